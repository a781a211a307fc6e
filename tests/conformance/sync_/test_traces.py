# Generated from tests/conformance/async_/test_traces.py by `python tools/unasync.py`. Do not edit.
"""Traces: how they begin and end, what they keep, and what is refused (test_tracing.py: what they tell)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Message, Trace
from rexchange.errors import InvalidArgument, NotFound
from rexchange.keyspace import Keys
from rexchange.protocol import tick, tracing
from rexchange.testing import wait_until
from tests.conformance.sync_.test_tracing import kinds, work_queue
from tests.support.servers import Bare

HOUR = timedelta(hours=1)


def test_a_policy_leaves_the_trace_in_place(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    broker.set_policy("limit", "q", {"delivery-limit": 5})
    before = ask("HGET", keys.traits, b"q")
    broker.trace(queue="q")
    broker.set_policy("limit", "q", {"max-length": 2})
    for _ in range(3):
        broker.publish(b"", routing_key="q")
    assert (kinds(broker)).count("dropped") == 1
    broker.set_policy("limit", "q", {"delivery-limit": 5})
    broker.untrace()
    assert ask("HGET", keys.traits, b"q") == before


def test_memory_is_bounded(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q", keep=100)
    broker.publish_many([Message(b"", routing_key="q") for _ in range(250)])
    assert 100 <= ask("XLEN", keys.trace) <= 300  # Redis cuts whole blocks of 100
    assert len(broker.traced(10_000)) == ask("XLEN", keys.trace)
    latest = broker.traced(7)
    assert len(latest) == 7
    assert latest == (broker.traced(1000))[-7:]


def test_of_a_large_batch_the_first_are_traced(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q")
    broker.publish_many([Message(b"", routing_key="q", message_id=f"m{number}") for number in range(260)])
    assert (kinds(broker)).count("routed") == 50  # the latest 100 events
    published = [event.message_id for event in broker.traced(1000) if event.kind == "published"]
    assert published == [f"m{number}" for number in range(250)]


def test_it_ends_by_itself_and_its_events_stay_for_a_while(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    with broker.consume("q", auto_ack=False) as consumer:
        kept = broker.trace(queue="q")
        broker.publish(b"traced", routing_key="q")
        (next(consumer)).ack(wait=True)
        broker.trace(queue="q", for_=timedelta(milliseconds=1))
        wait_until(lambda: _has_one(broker))
        assert broker.traces() == [kept]
        assert kept.ends - kept.begun == HOUR

        # The hour of the other has passed.
        _expire(ask, keys, kept.id)
        broker.publish(b"not any more", routing_key="q")
        broker.reap()
        assert (next(consumer)).body == b"not any more"
    assert [ask("EXISTS", key) for key in (keys.traces, keys.traced, keys.traits, keys.trace)] == [0, 0, 0, 1]
    assert "published" in kinds(broker)
    assert len({event.trace_id for event in broker.traced()}) == 1
    broker.untrace()
    assert ask("EXISTS", keys.trace) == 0


def _has_one(broker: Broker) -> bool:
    broker.reap()
    return len(broker.traces()) == 1


def _expire(ask: Bare, keys: Keys, trace_id: str) -> None:
    record: bytes = ask("HGET", keys.traces, trace_id)
    head, _, tail = record.rpartition(b"4:ends14:i")
    ask("HSET", keys.traces, trace_id, head + b"4:ends14:i" + b"1" * len(tail))


def test_off_leaves_nothing_and_old_messages_do_no_harm(broker: Broker, ask: Bare, keys: Keys) -> None:
    work_queue(broker)
    with broker.consume("work", auto_ack=False) as consumer:
        trace = broker.trace(queue="work")
        broker.publish(b"", exchange="events", routing_key="user.1")
        delivery = next(consumer)
        broker.untrace(trace)
        broker.untrace(trace.id)
        delivery.reject(wait=True)
        assert ask("HVALS", keys.fences) == [b"1"]
    letter = broker.get("dlq")
    assert letter is not None
    assert letter.headers["x-first-death-queue"] == "work"
    assert [ask("EXISTS", key) for key in (keys.traces, keys.traced, keys.trace)] == [0, 0, 0]
    assert ask("HMGET", keys.vhost, "trace", "keyed", "untrace") == [None, None, None]
    assert broker.history(message_id="m") == broker.traced() == []
    assert broker.traces() == []


def test_one_of_two_goes_on(broker: Broker) -> None:
    broker.declare_queue("q")
    first, second = broker.trace(queue="q", keep=50), broker.trace(routing_key="#")
    assert [trace.id for trace in broker.traces()] == [first.id, second.id]
    assert (second.queue, second.routing_key, second.exchange, second.keep) == (None, "#", None, 10_000)
    broker.untrace(second)
    broker.publish(b"", routing_key="q")
    assert kinds(broker) == ["published", "routed"]


@pytest.mark.slow
def test_many_queues_are_let_go_of(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_exchange("all", "fanout")
    for number in range(105):
        broker.declare_queue(f"q{number}")
        broker.bind(f"q{number}", "all")
    broker.trace(exchange="all")
    assert broker.publish(b"", exchange="all") == 105
    assert ask("HLEN", keys.traced) == 100  # a message is followed into so many
    broker.trace(queue="q104")
    broker.untrace()
    assert [ask("EXISTS", key) for key in (keys.traced, keys.traits)] == [0, 0]


def test_tick_says_when_a_trace_ends(broker: Broker) -> None:
    broker.trace(routing_key="#", for_=60)
    ticked: tick.Ticked = broker._run(tick.tick(15_000))
    assert ticked.next_ms is not None
    assert 0 < ticked.next_ms <= 60_000


def test_a_trace_whose_reply_was_lost_is_one(broker: Broker, ask: Bare, keys: Keys) -> None:
    call = tracing.start("t1", queue=None, exchange=None, routing_key="#", keep=5, life=60)
    first = broker._run(call)
    wait_until(lambda: int(ask("TIME")[0]) * 1000 + int(ask("TIME")[1]) // 1000 > _ms(first.traces[0]))
    assert (broker._run(call)).traces == first.traces
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
def test_what_is_no_trace_is_refused(broker: Broker, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        broker.trace(**wrong)
    assert broker.traces() == []


def test_a_trace_of_what_is_not_there(broker: Broker) -> None:
    with pytest.raises(NotFound, match="queue 'missing'"):
        broker.trace(queue="missing")
    with pytest.raises(NotFound, match="queue ''"):
        broker.trace(queue="")
    with pytest.raises(NotFound, match="exchange 'missing'"):
        broker.trace(exchange="missing")
    assert broker.history("4711") == []


def test_wrong_questions(broker: Broker) -> None:
    with pytest.raises(InvalidArgument, match="one of the two"):
        broker.history()
    with pytest.raises(InvalidArgument, match="one of the two"):
        broker.history("1", message_id="m")
    with pytest.raises(InvalidArgument, match="limit"):
        broker.traced(0)
    with pytest.raises(InvalidArgument, match="None for all"):
        broker.untrace("")
