"""Transactions on connections that fail: once, or not at all, or an error that says what is known."""

# ruff: noqa: PT012 - a transaction raises at the end of its block

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, AsyncDelivery
from rexchange.errors import BrokerConnectionError, CommandFailed, StaleDelivery
from rexchange.testing import async_messages
from tests.conformance.async_.support import Background, Connect, interrupted
from tests.support.faults import Faults
from tests.support.keys import Cached
from tests.support.servers import Bare


async def bodies(broker: AsyncBroker) -> list[bytes]:
    """Return what is ready, in order."""
    return [message.body for message in await async_messages(broker, "events")]


async def count(broker: AsyncBroker, key: str, delivery: AsyncDelivery | None = None, timeout: float = 10) -> int:
    """Count one up and tell of it, as one step; return the new count."""
    async with broker.transaction(timeout=timeout) as tx:
        number = tx.redis.incr(key)
        tx.publish(b"counted", routing_key="events")
        if delivery is not None:
            tx.ack(delivery)
    value: int = number.value
    return value


async def test_a_lost_reply_runs_nothing_twice(broker: AsyncBroker, ask: Bare, cached: Cached) -> None:
    key = cached("n")
    await broker.declare_queue("events")
    rule = Faults(broker).cut("transaction", times=4)
    assert [await count(broker, key) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert rule.done == 4
    assert ask("GET", key) == b"6"
    assert len(await bodies(broker)) == 6


async def test_the_repeated_answer_has_the_same_results(broker: AsyncBroker, cached: Cached) -> None:
    key, table = cached("n"), cached("h")
    await broker.declare_queue("events")
    Faults(broker).cut("transaction")
    async with broker.transaction() as tx:
        tx.redis.set(key, b"\x00;:\xff\n")
        tx.redis.get(key)
        tx.redis.hgetall(table)
        tx.redis.hset(table, mapping={"a": 1})
        tx.redis.hmget(table, ["a", "none"])
        tx.redis.execute_command("COMMAND", "INFO", "nosuch")
        tx.publish(b"m", routing_key="events")
    unread = [None]  # redis-py itself fails on this one
    assert tx.results == [True, b"\x00;:\xff\n", {}, 1, [b"1", None], unread]
    assert tx.published == [1]


async def test_a_failed_command_with_a_lost_reply_is_not_repeated(
    broker: AsyncBroker, ask: Bare, cached: Cached
) -> None:
    """What had been written before it would be written twice."""
    number, text = cached("n"), cached("text")
    await broker.declare_queue("events")
    ask("SET", text, "words")
    rule = Faults(broker).cut("transaction", times=2)
    with pytest.raises(CommandFailed) as caught:
        async with broker.transaction() as tx:
            tx.redis.incr(number)
            tx.redis.incr(text)
            tx.publish(b"m", routing_key="events")
    assert rule.done == 2
    assert caught.value.index == 1
    assert ask("GET", number) == b"1"
    assert await bodies(broker) == []


async def test_after_an_unknown_outcome_the_ack_decides(broker: AsyncBroker, ask: Bare, cached: Cached) -> None:
    """A delivery can be settled once, so the same transaction again does nothing where the first was done."""
    key = cached("n")
    for name in ("events", "work"):
        await broker.declare_queue(name)
    await broker.publish(b"job", routing_key="work")
    job = await broker.get("work", auto_ack=False)
    rule = Faults(broker).cut("transaction")
    with pytest.raises(BrokerConnectionError) as caught:
        await count(broker, key, job, timeout=0)
    assert rule.done == 1
    assert caught.value.outcome == "unknown"
    with pytest.raises(StaleDelivery):
        await count(broker, key, job)
    assert ask("GET", key) == b"1"
    assert await bodies(broker) == [b"counted"]


@pytest.mark.parametrize("error", ["READONLY You can't write against a read only replica.", "LOADING it loads"])
async def test_what_the_server_refuses_for_now_is_sent_again(
    broker: AsyncBroker, ask: Bare, cached: Cached, error: str
) -> None:
    key = cached("n")
    await broker.declare_queue("events")
    rule = Faults(broker).answer("transaction", error, times=2)
    assert await count(broker, key) == 1
    assert rule.done == 2
    assert ask("GET", key) == b"1"


async def test_what_never_got_through_was_not_done_and_leaves_the_delivery(
    broker: AsyncBroker, ask: Bare, cached: Cached
) -> None:
    key = cached("n")
    for name in ("events", "work"):
        await broker.declare_queue(name)
    await broker.publish(b"job", routing_key="work")
    job = await broker.get("work", auto_ack=False)
    assert job is not None
    faults = Faults(broker)
    faults.away = True
    with pytest.raises(BrokerConnectionError) as caught:
        await count(broker, key, job, timeout=0)
    assert caught.value.outcome == "not_done"
    faults.away = False
    assert ask("GET", key) is None
    assert await count(broker, key, job) == 1


async def test_two_processes_on_one_lane_lose_and_double_nothing(
    broker: AsyncBroker, connect: Connect, ask: Bare, cached: Cached
) -> None:
    key = cached("n")
    await broker.declare_queue("events")
    copy = await connect()
    await count(broker, key)
    copy._publisher.lane.id, copy._publisher.lane.number = broker._publisher.lane.id, broker._publisher.lane.number
    assert [await count(each, key) for each in (broker, copy, broker, copy)] == [2, 3, 4, 5]
    assert ask("GET", key) == b"5"
    assert copy._publisher.lane.id != broker._publisher.lane.id


async def test_one_that_waits_too_long_for_a_publish_was_not_done(
    broker: AsyncBroker, ask: Bare, cached: Cached
) -> None:
    key = cached("n")
    await broker.declare_queue("events")
    await broker._publisher.lane.lock.acquire()
    with pytest.raises(BrokerConnectionError, match="the time was up") as caught:
        await count(broker, key, timeout=0.01)
    broker._publisher.lane.lock.release()
    assert caught.value.outcome == "not_done"
    assert ask("GET", key) is None
    assert await count(broker, key) == 1


async def test_one_that_is_interrupted_is_whole(broker: AsyncBroker, ask: Bare, cached: Cached) -> None:
    key = cached("n")
    await broker.declare_queue("events")
    await count(broker, key)
    await interrupted(Faults(broker), "transaction", lambda: count(broker, key))
    assert await count(broker, key) == 3
    assert len(await bodies(broker)) == 3
    assert ask("GET", key) == b"3"


async def test_publishes_and_transactions_at_once_each_happen_once(
    broker: AsyncBroker, ask: Bare, cached: Cached
) -> None:
    key = cached("n")
    await broker.declare_queue("events")
    await broker.publish(b"published", routing_key="events")
    Faults(broker).cut("transaction", times=3)

    async def publish() -> int:
        return await broker.publish(b"published", routing_key="events")

    async def counted() -> int:
        return await count(broker, key)

    work = [Background(each) for _ in range(8) for each in (publish, counted)]
    await work[0].result()
    assert sorted([await each.result() for each in work[1::2]]) == list(range(1, 9))
    for each in work[2::2]:
        assert await each.result() == 1
    assert ask("GET", key) == b"8"
    found = await bodies(broker)
    assert (found.count(b"counted"), found.count(b"published")) == (8, 9)


async def test_two_that_settle_of_the_same_consumers_do_not_wait_for_each_other(broker: AsyncBroker) -> None:
    for name in ("a", "b"):
        await broker.declare_queue(name)
        for _ in range(20):
            await broker.publish(b"job", routing_key=name)
    jobs = [[await broker.get(name, auto_ack=False) for name in order] for order in ("ab", "ba") * 10]

    async def settle(one: AsyncDelivery | None, two: AsyncDelivery | None) -> None:
        assert one is not None
        assert two is not None
        async with broker.transaction() as tx:
            tx.ack(one)
            tx.ack(two)

    work = [Background(lambda pair=pair: settle(*pair)) for pair in jobs]  # type: ignore[misc]  # of a default
    for each in work:
        await each.result()
    assert [(info.ready, info.unacked) for info in await broker.queues()] == [(0, 0), (0, 0)]
