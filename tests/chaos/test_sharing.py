"""One Broker shared by threads, one AsyncBroker by tasks."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable

import redis

from rexchange import Delivery
from tests.chaos.conftest import AsyncMake, Make
from tests.chaos.servers import until


def pending(outside: redis.Redis, vhost: str) -> int:
    return int(outside.xpending(f"rx:{{{vhost}}}:stream:q", "g")["pending"])


def test_eight_threads_publish_and_eight_settle(  # noqa: C901 - three kinds of threads, each a loop
    make: Make, outside: redis.Redis, vhost: str
) -> None:
    """One thread reads, eight settle, eight publish, all on one Broker; others look and get meanwhile."""
    broker = make()
    broker.declare_queue("q")
    broker.declare_queue("other")
    hand: queue.Queue[Delivery | None] = queue.Queue()
    handled: Counter[bytes] = Counter()
    lock = threading.Lock()
    errors: list[BaseException] = []

    def guarded(work: Callable[..., object], *args: object) -> None:
        try:
            work(*args)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            errors.append(error)

    def publish(name: int) -> None:
        for i in range(150):
            assert broker.publish(b"%d-%d" % (name, i), routing_key="q") == 1
            if i % 30 == 0:
                broker.publish(b"o", routing_key="other")
                assert broker.get("other") is not None
                assert broker.declare_queue("q", passive=True).message_count >= 0

    def settle(name: int) -> None:
        while (delivery := hand.get(timeout=15)) is not None:
            if delivery.delivery_tag % 10 == name and not delivery.redelivered:
                delivery.nack(wait=name == 3)
                continue
            with lock:
                handled[delivery.body] += 1
            delivery.ack(wait=name == 1)

    with broker.consume("q", auto_ack=False, prefetch=40) as consumer:

        def read() -> None:
            for delivery in consumer:
                hand.put(delivery)

        threads = [threading.Thread(target=guarded, args=(publish, n), daemon=True) for n in range(8)]
        settlers = [threading.Thread(target=guarded, args=(settle, n), daemon=True) for n in range(8)]
        reader = threading.Thread(target=guarded, args=(read,), daemon=True)
        for thread in (*threads, *settlers, reader):
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        until(lambda: sum(handled.values()) >= 1200 or errors, 15, "all of them handled")
        until(lambda: pending(outside, vhost) == 0 or errors, 5, "all of them settled")
        consumer.cancel()
        reader.join(5)
        for _ in settlers:
            hand.put(None)
        for thread in settlers:
            thread.join(5)
            assert not thread.is_alive()
    assert errors == []
    assert handled == Counter(b"%d-%d" % (n, i) for n in range(8) for i in range(150))


async def test_fifty_tasks_share_an_async_broker(amake: AsyncMake, outside: redis.Redis, vhost: str) -> None:
    broker = await amake()
    await broker.declare_queue("q")
    await broker.declare_queue("other")
    handled: Counter[bytes] = Counter()
    enough = asyncio.Event()

    async def publish(name: int) -> None:
        for i in range(40):
            assert await broker.publish(b"%d-%d" % (name, i), routing_key="q") == 1
            if i % 20 == 0:
                await broker.publish(b"o", routing_key="other")
                assert await broker.get("other") is not None

    async def consume() -> None:
        async with broker.consume("q", auto_ack=False, prefetch=5) as consumer:
            async for delivery in consumer:
                if len(handled) % 17 == 0 and not delivery.redelivered:
                    await delivery.nack()
                    continue
                await delivery.ack(wait=len(handled) % 5 == 0)
                # After it: whoever is cancelled while it waits for the answer has not been counted.
                handled[delivery.body] += 1
                if sum(handled.values()) == 2000:
                    enough.set()

    async with asyncio.timeout(25):
        consumers = [asyncio.ensure_future(consume()) for _ in range(10)]
        async with asyncio.TaskGroup() as group:
            for name in range(50):
                group.create_task(publish(name))
        await enough.wait()
        for task in consumers:
            task.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
    assert set(handled.values()) == {1}
    assert len(handled) == 2000
    assert pending(outside, vhost) == 0
