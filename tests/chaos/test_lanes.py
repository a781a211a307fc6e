"""Publishing through faults: exactly one copy, or an error that says what is known (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import islice

import pytest

from rexchange import Broker, Message, scripts
from rexchange.errors import BrokerConnectionError
from tests.chaos.conftest import AsyncMake, Make
from tests.chaos.proxy import Proxy
from tests.chaos.servers import until

PUBLISH = scripts.load("publish").sha.encode()


def bodies(broker: Broker, queue: str) -> Counter[bytes]:
    """Drain a queue: what is ready now in one stream, since a slow machine makes many; `get` shows that it is empty."""
    found: Counter[bytes] = Counter()
    ready = broker.declare_queue(queue, passive=True).message_count
    with broker.consume(queue, auto_ack=True, timeout=5) as consumer:
        found.update(delivery.body for delivery in islice(consumer, ready))
    while (delivery := broker.get(queue)) is not None:
        found[delivery.body] += 1
    return found


def test_each_cut_reply_leaves_one_copy(make: Make, proxy: Proxy) -> None:
    broker = make(proxy.url())
    for name in ("a", "b"):
        broker.declare_queue(name)
        broker.bind(name, "amq.fanout")
    rule = proxy.cut(PUBLISH, 12, every=3)
    for i in range(20):
        assert broker.publish(b"%d" % i, exchange="amq.fanout") == 2
    for first in range(100, 600, 50):
        group = [Message(b"%d" % i, exchange="amq.fanout") for i in range(first, first + 50)]
        assert broker.publish_many(group) == [2] * 50
    assert rule.done == 12
    wanted = Counter(b"%d" % i for i in (*range(20), *range(100, 600)))
    assert bodies(make(), "a") == wanted
    assert bodies(make(), "b") == wanted


def test_threads_that_share_a_call_get_one_copy_each(make: Make, proxy: Proxy) -> None:
    broker = make(proxy.url())
    broker.declare_queue("q")
    rule = proxy.cut(PUBLISH, 12, every=3)

    def work(name: int) -> None:
        for i in range(50):
            assert broker.publish(b"%d-%d" % (name, i), routing_key="q") == 1

    run_threads(8, work)
    assert rule.done == 12
    assert bodies(make(), "q") == Counter(b"%d-%d" % (n, i) for n in range(8) for i in range(50))


async def test_tasks_that_share_a_call_get_one_copy_each(make: Make, amake: AsyncMake, proxy: Proxy) -> None:
    broker = await amake(proxy.url())
    await broker.declare_queue("q")
    rule = proxy.cut(PUBLISH, 12, every=3)

    async def work(name: int) -> None:
        for i in range(40):
            assert await broker.publish(b"%d-%d" % (name, i), routing_key="q") == 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for name in range(50):
            group.create_task(work(name))
    assert rule.done == 12
    wanted = Counter(b"%d-%d" % (n, i) for n in range(50) for i in range(40))
    assert await asyncio.to_thread(bodies, make(), "q") == wanted


async def test_a_cancelled_publish_does_not_cancel_its_neighbours(make: Make, amake: AsyncMake, proxy: Proxy) -> None:
    broker = await amake(proxy.url())
    await broker.declare_queue("q")
    await broker.publish(b"warm", routing_key="q")
    proxy.hold()
    tasks = [asyncio.ensure_future(broker.publish(b"%d" % i, routing_key="q")) for i in range(60)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    await asyncio.sleep(0)
    proxy.release()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [a for i, a in enumerate(answers) if i % 3] == [1] * 40
    found = await asyncio.to_thread(bodies, make(), "q")
    assert set(found.values()) == {1}
    assert {b"%d" % i for i in range(60) if i % 3} <= set(found)


def test_the_outcome_is_unknown_after_the_retry_limit(make: Make, proxy: Proxy) -> None:
    broker = make(proxy.url(), retry_timeout=timedelta(seconds=0.5))
    broker.declare_queue("q")
    broker.publish(b"w", routing_key="q")  # else the reply that is lost is that of a server that has no script yet
    rule = proxy.cut(PUBLISH, 1000)
    with pytest.raises(BrokerConnectionError) as caught:
        broker.publish(b"x", routing_key="q")
    assert caught.value.outcome == "unknown"
    assert str(proxy.port) in str(caught.value)
    rule.left = 0
    assert broker.publish(b"y", routing_key="q") == 1
    assert bodies(make(), "q") == Counter([b"w", b"x", b"y"])


def test_the_outcome_stays_unknown_when_the_server_then_refuses(make: Make, proxy: Proxy) -> None:
    """A refusal of the retry says nothing about the first try, whose reply was lost."""
    broker = make(proxy.url(), retry_timeout=timedelta(seconds=0.5))
    broker.declare_queue("q")
    broker.publish(b"warm", routing_key="q")
    for reply in (b"-LOADING Redis is loading the dataset in memory\r\n", b"-BUSY a script runs\r\n"):
        lost = proxy.cut(PUBLISH)
        lies = proxy.lie(PUBLISH, reply, 10_000)
        with pytest.raises(BrokerConnectionError) as caught:
            broker.publish(b"x", routing_key="q")
        assert lost.done == 1
        assert caught.value.outcome == "unknown"
        lies.left = 0


def test_nothing_is_done_when_connections_are_refused(make: Make, proxy: Proxy) -> None:
    broker = make(proxy.url(), retry_timeout=timedelta(seconds=0.5))
    broker.declare_queue("q")
    broker.publish(b"warm", routing_key="q")
    fresh = make(proxy.url(), retry_timeout=timedelta(seconds=0.5))
    proxy.refuse()
    with pytest.raises(BrokerConnectionError) as caught:
        fresh.publish(b"x", routing_key="q")
    assert caught.value.outcome == "not_done"
    proxy.accept()
    assert fresh.publish(b"y", routing_key="q") == 1
    assert broker.publish(b"z", routing_key="q") == 1
    assert bodies(make(), "q") == Counter([b"warm", b"y", b"z"])


# --- forks and copies


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def reap(*pids: int, seconds: float = 15) -> None:
    limit = time.monotonic() + seconds
    for pid in pids:
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > limit:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                pytest.fail("a forked child hangs")
            time.sleep(0.005)


def run_threads(size: int, work: Callable[[int], object]) -> None:
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
        assert not thread.is_alive(), "a thread hangs"
    assert errors == []


def test_children_of_a_preloaded_broker_publish(make: Make) -> None:
    """Gunicorn --preload: one Broker made and used in the master, then used by every worker and the master."""
    broker = make()
    broker.declare_queue("q")
    for i in range(10):
        broker.publish(b"m%d" % i, routing_key="q")

    def child(name: int) -> None:
        for i in range(50):
            assert broker.publish(b"%d-%d" % (name, i), routing_key="q") == 1

    pids = [in_child(partial(child, n)) for n in range(4)]
    for i in range(10, 60):
        broker.publish(b"m%d" % i, routing_key="q")
    reap(*pids)
    wanted = [b"m%d" % i for i in range(60)] + [b"%d-%d" % (n, i) for n in range(4) for i in range(50)]
    assert bodies(make(), "q") == Counter(wanted)


def test_a_fork_while_threads_publish(make: Make) -> None:
    """Locks held by threads that do not exist in the child must not stop it, nor its calls join theirs."""
    broker = make()
    broker.declare_queue("q")
    stop = threading.Event()
    sent: list[list[bytes]] = [[], [], []]

    def busy(name: int) -> None:
        i = 0
        while not stop.is_set():
            broker.publish(b"t%d-%d" % (name, i), routing_key="q")
            sent[name].append(b"t%d-%d" % (name, i))
            i += 1

    threads = [threading.Thread(target=busy, args=(name,), daemon=True) for name in range(3)]
    for thread in threads:
        thread.start()
    wanted: list[bytes] = []
    for fork in range(20):

        def child(fork: int = fork) -> None:
            for i in range(5):
                assert broker.publish(b"c%d-%d" % (fork, i), routing_key="q", timeout=5) == 1

        reap(in_child(child))
        wanted += [b"c%d-%d" % (fork, i) for i in range(5)]
    stop.set()
    for thread in threads:
        thread.join(10)
    assert bodies(make(), "q") == Counter([*wanted, *sent[0], *sent[1], *sent[2]])


def test_a_fork_under_a_held_publish(make: Make, proxy: Proxy) -> None:
    broker = make(proxy.url())
    broker.declare_queue("q")
    broker.publish(b"warm", routing_key="q")
    proxy.hold()
    held = threading.Thread(target=lambda: broker.publish(b"parent", routing_key="q"))
    held.start()
    look = make()
    until(lambda: look.declare_queue("q", passive=True).message_count == 2, 5, "the publish")
    pid = in_child(lambda: broker.publish(b"child", routing_key="q"))
    proxy.release()
    reap(pid)
    held.join(10)
    assert bodies(make(), "q") == Counter([b"warm", b"parent", b"child"])


def test_a_fork_inside_a_consumer_leaves_the_parents_deliveries_alone(make: Make) -> None:
    broker = make()
    broker.declare_queue("q")
    for i in range(10):
        broker.publish(b"%d" % i, routing_key="q")
    seen: list[bytes] = []
    with broker.consume("q", auto_ack=False, prefetch=5, timeout=1) as consumer:
        first = next(consumer)

        def child() -> None:
            # What a child does that leaves the parent's blocks by an exception.
            consumer.__exit__(None, None, None)
            broker.close()

        reap(in_child(child))
        seen.append(first.body)
        first.ack(wait=True)
        for delivery in consumer:
            assert not delivery.redelivered
            seen.append(delivery.body)
            delivery.ack(wait=True)
    assert seen == [b"%d" % i for i in range(10)]


def copied(make: Make, url: str | None = None) -> tuple[Broker, Broker]:
    """Two Brokers that count on one lane, as after a snapshot of a virtual machine."""
    one = make(url)
    one.declare_queue("q")
    one.publish(b"warm", routing_key="q")
    two = make(url)
    two.open()
    two._publisher.lane.id, two._publisher.lane.number = one._publisher.lane.id, one._publisher.lane.number
    return one, two


def test_a_copied_lane_swallows_and_doubles_nothing(make: Make) -> None:
    one, two = copied(make)
    for i in range(20):
        assert two.publish(b"two-%d" % i, routing_key="q") == 1
        assert one.publish(b"one-%d" % i, routing_key="q") == 1
    wanted = [b"warm"] + [b"%s-%d" % (name, i) for name in (b"one", b"two") for i in range(20)]
    assert bodies(make(), "q") == Counter(wanted)


def test_a_copied_lane_that_moved_on_leaves_the_outcome_unknown(make: Make, proxy: Proxy) -> None:
    """Our reply was lost, and the copy has used the lane since: whether ours was done cannot be told any more."""
    one, two = copied(make, proxy.url())
    other = make()
    other._publisher.lane.id, other._publisher.lane.number = one._publisher.lane.id, one._publisher.lane.number + 1
    proxy.hold()
    rule = proxy.cut(PUBLISH)
    errors: list[BrokerConnectionError] = []

    def publish() -> None:
        try:
            one.publish(b"one", routing_key="q")
        except BrokerConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    look = make()
    until(lambda: look.declare_queue("q", passive=True).message_count == 2, 5, "the publish")
    assert other.publish(b"copy", routing_key="q") == 1
    proxy.release()
    thread.join(10)
    assert rule.done == 1
    assert [error.outcome for error in errors] == ["unknown"]
    assert one.publish(b"next", routing_key="q") == 1
    assert bodies(make(), "q") == Counter([b"warm", b"one", b"copy", b"next"])
    assert two.publish(b"last", routing_key="q") == 1
