"""A consumer's replies get lost, its reads are cancelled, lines go dead: nothing sticks, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
import redis

from rexchange import Broker, Message, scripts
from tests.chaos.conftest import AsyncMake, Make
from tests.chaos.proxy import Proxy
from tests.chaos.servers import until


def sha(script: str) -> bytes:
    return scripts.load(script).sha.encode()


def fill(broker: Broker, count: int, queue: str = "q") -> set[bytes]:
    broker.declare_queue(queue)
    bodies = [b"%d" % i for i in range(count)]
    for first in range(0, count, 1000):
        broker.publish_many([Message(body, routing_key=queue) for body in bodies[first : first + 1000]])
    return set(bodies)


def settled(outside: redis.Redis, vhost: str, queue: str = "q") -> None:
    """Nothing is left: not in the queue, not in anybody's hands, not in the counter of what was given back."""
    prefix = f"rx:{{{vhost}}}:"
    until(lambda: outside.xpending(f"{prefix}stream:{queue}", "g")["pending"] == 0, 5, "the last settle")
    assert outside.xlen(f"{prefix}stream:{queue}") == 0
    assert int(outside.hget(f"{prefix}returned", queue) or 0) == 0


@pytest.mark.parametrize("lost", ["XREADGROUP", "settle", "consume", "take"])
def test_a_consumer_whose_replies_get_lost_handles_all(
    make: Make, proxy: Proxy, outside: redis.Redis, vhost: str, lost: str
) -> None:
    wanted = fill(make(), 400)
    rule = proxy.cut(lost.encode() if lost.isupper() else sha(lost), 10 if lost != "consume" else 3, every=2)
    handled: Counter[bytes] = Counter()
    stale: list[int] = []
    choice = random.Random(1)
    with make(proxy.url()).consume(
        "q", auto_ack=False, prefetch=20, timeout=1.5, on_stale=lambda tag, _: stale.append(tag)
    ) as consumer:
        for delivery in consumer:
            handled[delivery.body] += 1
            if delivery.delivery_count == 1 and choice.random() < 0.2:
                delivery.nack()
            else:
                delivery.ack()
            if lost == "consume" and rule.left and sum(handled.values()) % 40 == 0:
                proxy.cut_all()
    assert set(handled) == wanted
    assert stale == []
    assert rule.done > 2
    settled(outside, vhost)


async def test_an_async_consumer_whose_replies_get_lost_handles_all(
    make: Make, amake: AsyncMake, proxy: Proxy, outside: redis.Redis, vhost: str
) -> None:
    wanted = await asyncio.to_thread(fill, make(), 400)
    rules = [proxy.cut(match, 6, every=3) for match in (b"XREADGROUP", sha("settle"), sha("take"))]
    handled: Counter[bytes] = Counter()
    stale: list[int] = []
    broker = await amake(proxy.url())
    async with broker.consume(
        "q", auto_ack=False, prefetch=20, timeout=1.5, on_stale=lambda tag, _: stale.append(tag)
    ) as consumer:
        async for delivery in consumer:
            handled[delivery.body] += 1
            await (delivery.nack() if delivery.delivery_count == 1 and len(handled) % 7 == 0 else delivery.ack())
    assert set(handled) == wanted
    assert stale == []
    assert rules[0].done + rules[1].done > 5
    await asyncio.to_thread(settled, outside, vhost)


def test_a_consumer_of_two_queues_whose_replies_get_lost_handles_all(
    make: Make, proxy: Proxy, outside: redis.Redis, vhost: str
) -> None:
    broker = make()
    fill(broker, 150, "q")
    fill(broker, 150, "r")
    rules = [proxy.cut(match, 5, every=3) for match in (b"XREADGROUP", sha("take"), sha("settle"))]
    handled: Counter[tuple[str, bytes]] = Counter()
    with make(proxy.url()).consume(["q", "r"], auto_ack=False, prefetch=10, timeout=1.5) as consumer:
        for delivery in consumer:
            handled[delivery.queue, delivery.body] += 1
            delivery.ack()
    assert set(handled) == {(queue, b"%d" % i) for queue in "qr" for i in range(150)}
    assert rules[1].done > 1 < rules[2].done
    settled(outside, vhost, "q")
    settled(outside, vhost, "r")


@pytest.mark.parametrize("auto_ack", [False, True])
def test_a_get_whose_reply_is_lost(make: Make, proxy: Proxy, outside: redis.Redis, vhost: str, auto_ack: bool) -> None:
    wanted = fill(make(), 40)
    broker = make(proxy.url())
    rules = [proxy.cut(sha(name), 8, every=2) for name in ("take", "settle")]
    order: list[bytes] = []
    while (delivery := broker.get("q", auto_ack=auto_ack)) is not None:
        assert not delivery.redelivered
        order.append(delivery.body)
        if not auto_ack:
            delivery.ack()
    assert set(order) == wanted
    assert len(order) == 40
    assert all(rule.done == 8 for rule in rules)
    settled(outside, vhost)


def test_unacked_deliveries_outlive_a_lost_registration(
    make: Make, proxy: Proxy, outside: redis.Redis, vhost: str
) -> None:
    """The connection breaks, and the reply to the new registration is lost too: what is being worked on stays ours."""
    fill(make(), 5)
    with make(proxy.url()).consume("q", auto_ack=False, prefetch=6, timeout=5) as consumer:
        held = [next(consumer) for _ in range(5)]
        rule = proxy.cut(sha("consume"))
        proxy.cut_all()
        make().publish(b"more", routing_key="q")
        held.append(next(consumer))
        assert rule.done == 1
        for delivery in held:
            delivery.ack(wait=True)
    assert held[-1].body == b"more"
    settled(outside, vhost)


def test_a_registration_given_up_leaves_no_ghost(make: Make, proxy: Proxy, outside: redis.Redis, vhost: str) -> None:
    """Registering anew was done, but no reply ever came: the next try goes on with it."""
    fill(make(), 5)
    broker = make(
        proxy.url(),
        retry_timeout=timedelta(seconds=0.4),
        settle_delay=timedelta(seconds=0),
        socket_timeout=timedelta(seconds=0.3),
    )
    with broker.consume("q", auto_ack=False, prefetch=6, timeout=5) as consumer:
        held = [next(consumer) for _ in range(5)]
        rule = proxy.cut(sha("consume"), 1000)
        proxy.cut_all()
        reading = threading.Thread(target=lambda: held.append(next(consumer)))
        reading.start()
        until(lambda: rule.done >= 5, 5, "a registration given up")
        rule.left = 0
        make().publish(b"more", routing_key="q")
        reading.join(10)
        assert held[-1].body == b"more"
        for delivery in held:
            delivery.ack(wait=True)
        assert make().declare_queue("q", passive=True).consumer_count == 1
    settled(outside, vhost)
    assert make().declare_queue("q", passive=True).consumer_count == 0


async def test_racing_cancels_of_reads_leave_nothing_behind(amake: AsyncMake, outside: redis.Redis, vhost: str) -> None:
    broker = await amake()
    await broker.declare_queue("q")
    handled: Counter[bytes] = Counter()
    choice = random.Random(2)
    cancels = sent = 0
    async with broker.consume("q", auto_ack=False, prefetch=7) as consumer:

        async def publish() -> None:
            nonlocal sent
            while cancels < 200:
                await broker.publish(b"%d" % sent, routing_key="q")
                sent += 1

        publishing = asyncio.ensure_future(publish())
        while not publishing.done() or len(handled) < sent:
            try:
                async with asyncio.timeout(choice.random() * 0.002 if cancels < 200 else 5):
                    delivery = await anext(consumer)
            except TimeoutError:
                cancels += 1
                assert cancels < 20_000
                continue
            handled[delivery.body] += 1
            await delivery.ack()
        await publishing
    assert len(handled) == sent
    assert set(handled.values()) == {1}
    await asyncio.to_thread(settled, outside, vhost)


@pytest.mark.parametrize("auto_ack", [False, True])
async def test_racing_cancels_of_get_leave_nothing_behind(
    make: Make, amake: AsyncMake, outside: redis.Redis, vhost: str, auto_ack: bool
) -> None:
    wanted = await asyncio.to_thread(fill, make(), 200)
    broker = await amake()
    handled: Counter[bytes] = Counter()
    choice = random.Random(3)
    cancels = 0

    async def one(limit: float) -> bool:
        nonlocal cancels
        try:
            async with asyncio.timeout(limit):
                delivery = await broker.get("q", auto_ack=auto_ack)
        except TimeoutError:
            cancels += 1
            return True
        if delivery is None:
            return False
        handled[delivery.body] += 1
        if not auto_ack:
            await delivery.ack()
        return True

    for _ in range(200):
        await one(choice.random() * 0.0004)
    deadline = time.monotonic() + 5
    while set(handled) != wanted and time.monotonic() < deadline:
        await one(5)
    assert cancels > 20
    assert set(handled) == wanted
    assert set(handled.values()) == {1}
    await asyncio.to_thread(settled, outside, vhost)


@pytest.mark.parametrize("what", ["read", "read after an ack", "get"])
def test_an_interrupted_read_leaves_nothing_behind(
    make: Make, proxy: Proxy, outside: redis.Redis, vhost: str, what: str
) -> None:
    """Ctrl-C, or a signal's handler that raises, after the server has done a read: the user catches it and goes on."""
    feeder, stream = make(), f"rx:{{{vhost}}}:stream:q"
    feeder.declare_queue("q")
    broker = make(proxy.url())
    consumer = broker.consume("q", auto_ack=False, prefetch=5, timeout=5)
    feeder.publish(b"first", routing_key="q")

    def one() -> bytes:
        delivery = broker.get("q", auto_ack=False) if what == "get" else next(consumer)
        assert delivery is not None
        delivery.ack(wait=what != "read after an ack")
        return delivery.body

    def interrupt() -> None:
        feeder.publish(b"second", routing_key="q")
        until(lambda: outside.xpending_range(stream, "g", "-", "+", 9, idle=0), 5, "the read")
        os.kill(os.getpid(), signal.SIGINT)

    assert one() == b"first"
    if what == "get":
        broker.get("q", auto_ack=False)
    proxy.hold()
    if what == "get":
        feeder.publish(b"second", routing_key="q")
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        one()
    thread.join(10)
    proxy.release()
    assert one() == b"second"
    if what == "get":
        assert one() == b"second"  # it was published twice
    consumer.close()
    settled(outside, vhost)


def test_a_half_open_read_is_found(make: Make, proxy: Proxy) -> None:
    """Nothing comes and nothing breaks: a read has a deadline, block + 2 s, and commands have socket_timeout."""
    make().declare_queue("q")
    with make(proxy.url(), block=timedelta(seconds=0.5)).consume("q", auto_ack=False) as consumer:
        make().publish(b"first", routing_key="q")
        next(consumer).ack(wait=True)
        proxy.swallow()
        start = time.monotonic()
        make().publish(b"second", routing_key="q")
        delivery = next(consumer)
        took = time.monotonic() - start
        delivery.ack(wait=True)
    assert delivery.body == b"second"
    assert took < 0.5 + 2 + 2 + 1


async def test_an_async_half_open_read_is_found(make: Make, amake: AsyncMake, proxy: Proxy) -> None:
    await asyncio.to_thread(make().declare_queue, "q")
    broker = await amake(proxy.url(), block=timedelta(seconds=0.5))
    direct = await amake()
    async with broker.consume("q", auto_ack=False) as consumer, asyncio.timeout(8):
        await direct.publish(b"first", routing_key="q")
        await (await anext(consumer)).ack(wait=True)
        proxy.swallow()
        start = time.monotonic()
        await direct.publish(b"second", routing_key="q")
        delivery = await anext(consumer)
        assert time.monotonic() - start < 0.5 + 2 + 2 + 1
        await delivery.ack(wait=True)
    assert delivery.body == b"second"
