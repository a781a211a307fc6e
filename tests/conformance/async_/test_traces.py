"""Traces: how they begin and end, what they keep, and what is refused (test_tracing.py: what they tell)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Message, Trace
from rexchange.errors import InvalidArgument, NotFound
from rexchange.keyspace import Keys
from rexchange.protocol import tick, tracing
from rexchange.testing import async_wait_until
from tests.conformance.async_.test_tracing import kinds, work_queue
from tests.support.servers import Bare

HOUR = timedelta(hours=1)


async def test_a_policy_leaves_the_trace_in_place(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")
    await broker.set_policy("limit", "q", {"delivery-limit": 5})
    before = ask("HGET", keys.traits, b"q")
    await broker.trace(queue="q")
    await broker.set_policy("limit", "q", {"max-length": 2})
    for _ in range(3):
        await broker.publish(b"", routing_key="q")
    assert (await kinds(broker)).count("dropped") == 1
    await broker.set_policy("limit", "q", {"delivery-limit": 5})
    await broker.untrace()
    assert ask("HGET", keys.traits, b"q") == before


async def test_memory_is_bounded(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")
    await broker.trace(queue="q", keep=100)
    await broker.publish_many([Message(b"", routing_key="q") for _ in range(250)])
    assert 100 <= ask("XLEN", keys.trace) <= 300  # Redis cuts whole blocks of 100
    assert len(await broker.traced(10_000)) == ask("XLEN", keys.trace)
    latest = await broker.traced(7)
    assert len(latest) == 7
    assert latest == (await broker.traced(1000))[-7:]


async def test_of_a_large_batch_the_first_are_traced(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.trace(queue="q")
    await broker.publish_many([Message(b"", routing_key="q", message_id=f"m{number}") for number in range(260)])
    assert (await kinds(broker)).count("routed") == 50  # the latest 100 events
    published = [event.message_id for event in await broker.traced(1000) if event.kind == "published"]
    assert published == [f"m{number}" for number in range(250)]


async def test_it_ends_by_itself_and_its_events_stay_for_a_while(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")
    async with broker.consume("q", auto_ack=False) as consumer:
        kept = await broker.trace(queue="q")
        await broker.publish(b"traced", routing_key="q")
        await (await anext(consumer)).ack(wait=True)
        await broker.trace(queue="q", for_=timedelta(milliseconds=1))
        await async_wait_until(lambda: _has_one(broker))
        assert await broker.traces() == [kept]
        assert kept.ends - kept.begun == HOUR

        # The hour of the other has passed.
        await _expire(ask, keys, kept.id)
        await broker.publish(b"not any more", routing_key="q")
        await broker.reap()
        assert (await anext(consumer)).body == b"not any more"
    assert [ask("EXISTS", key) for key in (keys.traces, keys.traced, keys.traits, keys.trace)] == [0, 0, 0, 1]
    assert "published" in await kinds(broker)
    assert len({event.trace_id for event in await broker.traced()}) == 1
    await broker.untrace()
    assert ask("EXISTS", keys.trace) == 0


async def _has_one(broker: AsyncBroker) -> bool:
    await broker.reap()
    return len(await broker.traces()) == 1


async def _expire(ask: Bare, keys: Keys, trace_id: str) -> None:
    record: bytes = ask("HGET", keys.traces, trace_id)
    head, _, tail = record.rpartition(b"4:ends14:i")
    ask("HSET", keys.traces, trace_id, head + b"4:ends14:i" + b"1" * len(tail))


async def test_off_leaves_nothing_and_old_messages_do_no_harm(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await work_queue(broker)
    async with broker.consume("work", auto_ack=False) as consumer:
        trace = await broker.trace(queue="work")
        await broker.publish(b"", exchange="events", routing_key="user.1")
        delivery = await anext(consumer)
        await broker.untrace(trace)
        await broker.untrace(trace.id)
        await delivery.reject(wait=True)
        assert ask("HVALS", keys.fences) == [b"1"]
    letter = await broker.get("dlq")
    assert letter is not None
    assert letter.headers["x-first-death-queue"] == "work"
    assert [ask("EXISTS", key) for key in (keys.traces, keys.traced, keys.trace)] == [0, 0, 0]
    assert ask("HMGET", keys.vhost, "trace", "keyed", "untrace") == [None, None, None]
    assert await broker.history(message_id="m") == await broker.traced() == []
    assert await broker.traces() == []


async def test_one_of_two_goes_on(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    first, second = await broker.trace(queue="q", keep=50), await broker.trace(routing_key="#")
    assert [trace.id for trace in await broker.traces()] == [first.id, second.id]
    assert (second.queue, second.routing_key, second.exchange, second.keep) == (None, "#", None, 10_000)
    await broker.untrace(second)
    await broker.publish(b"", routing_key="q")
    assert await kinds(broker) == ["published", "routed"]


@pytest.mark.slow
async def test_many_queues_are_let_go_of(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_exchange("all", "fanout")
    for number in range(105):
        await broker.declare_queue(f"q{number}")
        await broker.bind(f"q{number}", "all")
    await broker.trace(exchange="all")
    assert await broker.publish(b"", exchange="all") == 105
    assert ask("HLEN", keys.traced) == 100  # a message is followed into so many
    await broker.trace(queue="q104")
    await broker.untrace()
    assert [ask("EXISTS", key) for key in (keys.traced, keys.traits)] == [0, 0]


async def test_tick_says_when_a_trace_ends(broker: AsyncBroker) -> None:
    await broker.trace(routing_key="#", for_=60)
    ticked: tick.Ticked = await broker._run(tick.tick(15_000))
    assert ticked.next_ms is not None
    assert 0 < ticked.next_ms <= 60_000


async def test_a_trace_whose_reply_was_lost_is_one(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    call = tracing.start("t1", queue=None, exchange=None, routing_key="#", keep=5, life=60)
    first = await broker._run(call)
    await async_wait_until(lambda: int(ask("TIME")[0]) * 1000 + int(ask("TIME")[1]) // 1000 > _ms(first.traces[0]))
    assert (await broker._run(call)).traces == first.traces
    assert ask("HLEN", keys.traces) == 1


def _ms(trace: Trace) -> int:
    return int(trace.begun.timestamp() * 1000)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "wanted what is to be traced"),
        ({"queue": 5}, "queue"),
        ({"routing_key": "user.4*"}, "words with dots between them"),
        ({"routing_key": 5}, "routing_key"),
        ({"routing_key": "k" * 256}, "routing_key"),
        ({"routing_key": "#", "keep": 0}, "how many events to keep"),
        ({"routing_key": "#", "keep": True}, "how many events to keep"),
        ({"routing_key": "#", "keep": 1_000_001}, "how many events to keep"),
        ({"routing_key": "#", "for_": 0}, "more than 0"),
        ({"routing_key": "#", "for_": timedelta(days=31)}, "at most 30 days"),
        ({"routing_key": "#", "for_": "1h"}, "for_"),
    ],
)
async def test_what_is_no_trace_is_refused(broker: AsyncBroker, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        await broker.trace(**wrong)
    assert await broker.traces() == []


async def test_a_trace_of_what_is_not_there(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound, match="queue 'missing'"):
        await broker.trace(queue="missing")
    with pytest.raises(NotFound, match="queue ''"):
        await broker.trace(queue="")
    with pytest.raises(NotFound, match="exchange 'missing'"):
        await broker.trace(exchange="missing")
    assert await broker.history("4711") == []


async def test_wrong_questions(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument, match="one of the two"):
        await broker.history()
    with pytest.raises(InvalidArgument, match="one of the two"):
        await broker.history("1", message_id="m")
    with pytest.raises(InvalidArgument, match="limit"):
        await broker.traced(0)
    with pytest.raises(InvalidArgument, match="None for all"):
        await broker.untrace("")
