# Generated from tests/conformance/async_/test_tracing.py by `python tools/unasync.py`. Do not edit.
"""Tracing: the history of a message, what is traced, and how a trace ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, Message, TraceEvent
from rexchange.errors import InvalidArgument, NotFound, PublishRefused
from rexchange.keyspace import Keys
from rexchange.protocol import tick
from rexchange.testing import drain, wait_until
from tests.conformance.sync_.support import Connect
from tests.conformance.sync_.test_give_back import abandon
from tests.support.servers import Bare

HOUR = timedelta(hours=1)


def told(events: list[TraceEvent]) -> list[tuple[str, ...]]:
    """Return of each event its kind and what there is of queue, tag, reason and count."""
    rows: list[tuple[str, ...]] = []
    for event in events:
        count = "" if event.delivery_count is None else str(event.delivery_count)
        parts = (event.kind, event.queue, event.consumer_tag, event.reason, count)
        rows.append(tuple(part for part in parts if part))
    return rows


def kinds(broker: Broker) -> list[str]:
    """Return the kinds of all events."""
    return [event.kind for event in broker.traced()]


def work_queue(broker: Broker) -> None:
    """Declare a queue of work whose dead letters go to "dlq", bound twice to "events"."""
    broker.declare_exchange("events", "topic")
    broker.declare_exchange("dead", "fanout")
    broker.declare_queue("work", dead_letter_exchange="dead")
    broker.declare_queue("dlq")
    broker.bind("work", "events", "user.#")
    broker.bind("work", "events", "*.created")
    broker.bind("dlq", "dead")


def test_the_whole_history_of_a_poison_message(broker: Broker, connect: Connect) -> None:
    work_queue(broker)
    broker.trace(queue="work")
    before = datetime.now(UTC)

    broker.publish(b"poison", exchange="events", routing_key="user.created", message_id="m-1")
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    doomed, living = connect(**beat), connect(**beat)
    first = doomed.consume("work", auto_ack=False, tag="A")
    next(first)
    abandon(doomed)
    with living.consume("work", auto_ack=False, tag="B", timeout=10) as second:
        (next(second)).reject(wait=True)
    assert broker.get("dlq") is not None

    history = broker.history(message_id="m-1")
    assert told(history) == [
        ("published",),
        ("routed", "work"),
        ("delivered", "work", "A", "1"),
        ("given_back", "work", "A", "consumer died", "1"),
        ("delivered", "work", "B", "2"),
        ("rejected", "work", "rejected"),
        ("dead_lettered", "work", "rejected"),
        ("routed", "dlq"),
        ("delivered", "dlq", "amq.get.dlq", "1"),
        ("acked", "dlq", "amq.get.dlq", "1"),
    ]
    published, routed, delivered = history[:3]
    assert (published.exchange, published.routing_key, published.size) == ("events", "user.created", 6)
    assert sorted((step.source, step.destination, step.binding_key, step.why) for step in routed.bindings) == [
        ("events", "work", "*.created", "binding"),
        ("events", "work", "user.#", "binding"),
    ]
    assert delivered.client
    assert (history[6].exchange, history[6].routing_key) == ("dead", "user.created")
    assert [(step.source, step.destination) for step in history[7].bindings] == [("dead", "dlq")]
    assert abs(published.at - before) < timedelta(minutes=5)
    assert [event.at for event in history] == sorted(event.at for event in history)
    assert broker.history(published.trace_id) == history == broker.traced()


def test_reasons_of_giving_back(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q")
    broker.publish(b"", routing_key="q")

    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    delivery.nack(requeue=True)
    with broker.consume("q", auto_ack=False, tag="closes") as consumer:
        next(consumer)
    with broker.consume("q", auto_ack=False, tag="late", ack_timeout=timedelta(milliseconds=20)) as consumer:
        next(consumer)
        wait_until(lambda: _gave_back(broker, 3))

    given_back = [event for event in broker.traced() if event.kind == "given_back"]
    assert [(event.consumer_tag, event.reason) for event in given_back[:3]] == [
        ("amq.get.q", "requeued"),
        ("closes", "cancelled"),
        ("late", "ack timeout"),
    ]


def _gave_back(broker: Broker, times: int) -> bool:
    broker.reap()
    return (kinds(broker)).count("given_back") >= times


def test_what_was_read_and_not_shown_says_so(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q")
    for _ in range(2):
        broker.publish(b"", routing_key="q")
    with broker.consume("q", auto_ack=False, prefetch=2) as consumer:
        (next(consumer)).ack(wait=True)
        wait_until(lambda: _delivered(broker, 2))
        consumer.cancel()
    assert told(broker.traced())[-1][-2:] == ("not shown", "1")


def _delivered(broker: Broker, times: int) -> bool:
    return (kinds(broker)).count("delivered") == times


def test_a_running_consumer_is_seen_soon_and_told_whole(broker: Broker) -> None:
    broker.declare_queue("q")
    with broker.consume("q", auto_ack=False, tag="t") as consumer:
        broker.publish(b"before", routing_key="q")
        (next(consumer)).ack(wait=True)
        broker.trace(queue="q")
        broker.publish(b"switches", routing_key="q")
        (next(consumer)).ack(wait=True)
        broker.publish(b"seen", routing_key="q", message_id="seen")
        (next(consumer)).ack(wait=True)

    assert told(broker.history(message_id="seen")) == [
        ("published",),
        ("routed", "q"),
        ("delivered", "q", "t", "1"),
        ("acked", "q", "t", "1"),
    ]


def test_auto_ack_is_told(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q")
    broker.publish(b"", routing_key="q")
    with broker.consume("q", timeout=0.2) as consumer:
        assert len([delivery for delivery in consumer]) == 1
    assert kinds(broker) == ["published", "routed", "delivered", "acked"]


def test_what_dies_says_of_what(broker: Broker) -> None:
    broker.declare_queue("brief", message_ttl=timedelta(milliseconds=1))
    broker.declare_queue("small", max_length=1)
    broker.declare_queue("purged")
    broker.declare_queue("full", max_length=0, overflow="reject-publish")
    for name in ("brief", "small", "purged", "full"):
        broker.trace(queue=name)

    broker.publish(b"", routing_key="brief", message_id="brief")
    wait_until(lambda: _has_expired(broker))
    for _ in range(2):
        broker.publish(b"", routing_key="small", message_id="small")
    broker.publish(b"", routing_key="purged", message_id="purged")
    broker.purge("purged")
    with pytest.raises(PublishRefused):
        broker.publish(b"", routing_key="full", message_id="full")

    def ends(message_id: str) -> tuple[str, str]:
        event = (broker.history(message_id=message_id))[-1]
        return event.kind, event.reason

    assert ends("brief") == ("expired", "expired")
    assert ends("small") == ("dropped", "maxlen")
    assert ends("purged") == ("purged", "")
    assert ends("full") == ("refused", "the queue is full")


def _has_expired(broker: Broker) -> bool:
    broker.reap()
    return "expired" in kinds(broker)


def test_by_routing_key(broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    for name in ("one", "other"):
        broker.declare_queue(name)
        broker.bind(name, "events", "user.#")
    broker.trace(routing_key="user.*.created")
    for key in ("user.1.created", "user.1.deleted", "user.created", "a.user.1.created"):
        broker.publish(b"", exchange="events", routing_key=key)
    broker.publish(b"", exchange="events", routing_key="x", headers={"CC": ["user.2.created"]})
    for name in ("one", "other"):
        drain(broker, name)

    events = broker.traced()
    published = [event for event in events if event.kind == "published"]
    assert [event.routing_key for event in published] == ["user.1.created", "x"]
    assert told(broker.history(published[0].trace_id)) == [
        ("published",),
        ("routed", "one"),
        ("routed", "other"),
        ("delivered", "one", "amq.get.one", "1"),
        ("acked", "one", "amq.get.one", "1"),
        ("delivered", "other", "amq.get.other", "1"),
        ("acked", "other", "amq.get.other", "1"),
    ]


def test_by_exchange_and_where_nothing_is_bound(broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    broker.trace(exchange="events")
    broker.publish(b"", exchange="events", routing_key="nobody")
    broker.publish(b"", routing_key="nobody")
    assert told(broker.traced()) == [("published",), ("unroutable",)]


@pytest.mark.parametrize("kind", ["x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history"])
def test_the_way_where_an_exchange_chooses(broker: Broker, kind: str) -> None:
    broker.declare_exchange("chooses", kind)
    for name in ("one", "other"):
        broker.declare_queue(name)
        broker.bind(name, "chooses", "1")
    broker.trace(exchange="chooses")
    for number in range(8):
        broker.publish(b"", exchange="chooses", routing_key=f"k{number}")
    routed = [event for event in broker.traced() if event.kind == "routed"]
    assert len(routed) == (16 if kind == "x-recent-history" else 8)
    for event in routed:
        assert [(step.source, step.destination) for step in event.bindings] == [("chooses", event.queue)]


def test_all_that_is_given_must_hold(broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    broker.declare_queue("q")
    broker.bind("q", "events", "#")
    broker.trace(queue="q", exchange="events", routing_key="a.#")
    broker.publish(b"", exchange="events", routing_key="a.b", message_id="this")
    broker.publish(b"", exchange="events", routing_key="b.a")
    broker.publish(b"", routing_key="q")
    assert {event.message_id for event in broker.traced() if event.kind == "published"} == {"this"}
    assert kinds(broker) == ["published", "routed"]


def test_a_dead_letter_that_enters_a_traced_queue_begins_there(broker: Broker) -> None:
    work_queue(broker)
    broker.trace(queue="dlq")
    broker.publish(b"", exchange="events", routing_key="user.1")
    delivery = broker.get("work", auto_ack=False)
    assert delivery is not None
    delivery.reject()
    assert told(broker.traced()) == [("routed", "dlq")]


def test_a_message_that_waits_is_told(broker: Broker) -> None:
    broker.declare_exchange("slow", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    broker.declare_queue("q")
    broker.bind("q", "slow", "k")
    broker.trace(exchange="slow")
    broker.publish(b"", exchange="slow", routing_key="k", headers={"x-delay": 20})
    wait_until(lambda: _reaped_into(broker))
    events = broker.traced()
    assert told(events) == [("published",), ("delayed", "20 ms"), ("routed", "q")]
    assert [step.source for step in events[2].bindings] == ["slow"]


def _reaped_into(broker: Broker) -> bool:
    broker.reap()
    return "routed" in kinds(broker)


def test_a_queue_declared_later_is_traced(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q")
    broker.delete_queue("q")
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")
    assert kinds(broker) == ["published", "routed"]


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
