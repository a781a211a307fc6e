# Generated from tests/conformance/async_/test_tracing.py by `python tools/unasync.py`. Do not edit.
"""Tracing: the history of a message, and for which messages there is one (test_traces.py: how traces begin and end)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rexchange import Broker, TraceEvent
from rexchange.errors import PublishRefused
from rexchange.keyspace import Keys
from rexchange.testing import drain, wait_until
from tests.conformance.sync_.support import Connect
from tests.conformance.sync_.test_give_back import abandon
from tests.support.servers import Bare


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


def test_one_delivery_too_many(broker: Broker) -> None:
    broker.declare_queue("q", delivery_limit=1, dead_letter_exchange="", dead_letter_routing_key="gone")
    broker.trace(queue="q")
    broker.publish(b"", routing_key="q")
    for _ in range(2):
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        delivery.nack()
    assert told(broker.traced())[-4:] == [
        ("given_back", "q", "amq.get.q", "requeued", "2"),
        ("dropped", "q", "delivery_limit"),
        ("dead_lettered", "q", "delivery_limit"),
        ("unroutable",),
    ]


def test_a_consumer_of_several_queues(broker: Broker, ask: Bare, keys: Keys) -> None:
    for name in ("traced", "other"):
        broker.declare_queue(name)
    with broker.consume(["traced", "other"], auto_ack=False, prefetch=5) as consumer:
        broker.trace(queue="traced")
        for name in ("traced", "other"):
            broker.publish(b"", routing_key=name)
        for _ in range(2):
            (next(consumer)).ack(wait=True)
        assert kinds(broker) == ["published", "routed", "delivered", "acked"]
        broker.untrace()
        assert ask("HVALS", keys.fences) == [b"1"]


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


def test_what_rabbitmq_has_not_is_told_too(broker: Broker) -> None:
    broker.declare_queue("work", retry_delays=[timedelta(hours=1)])
    broker.declare_queue("parked")
    broker.trace(queue="work")

    hour = timedelta(hours=1)
    broker.publish(b"1", routing_key="work", message_id="m", delay=timedelta(milliseconds=1))
    broker.publish(b"2", routing_key="work", message_id="other", dedup_key="k", dedup_window=hour)
    broker.publish(b"3", routing_key="work", message_id="twice", dedup_key="k", dedup_window=hour)

    def there() -> bool:
        broker.reap()
        return not broker.scheduled()

    wait_until(there)
    broker.delete_message("work", (broker.browse("work", message_id="other"))[0].id)
    delivery = broker.get("work", auto_ack=False)
    assert delivery is not None
    delivery.nack(retry=True)
    broker.retry_now("work")
    assert broker.move("work", "parked") == 1
    parked = broker.get("parked", auto_ack=False)
    assert parked is not None
    with broker.transaction() as tx:
        tx.ack(parked)

    tag = "amq.get.work"
    assert told(broker.history(message_id="m")) == [
        ("published",),
        ("delayed", "1 ms"),
        ("routed", "work"),
        ("delivered", "work", tag, "1"),
        ("retried", "work", tag, "1"),
        ("given_back", "work", "its time has come", "1"),
        ("moved", "work", "parked", "1"),
        ("routed", "parked"),
        ("delivered", "parked", "amq.get.parked", "1"),
        ("acked", "parked", "amq.get.parked", "1"),
    ]
    assert [event.kind for event in broker.history(message_id="other")] == ["published", "routed", "deleted"]
    assert broker.history(message_id="twice") == []


def test_what_is_published_in_a_transaction_or_waits_for_room_is_traced_by_its_key(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_vhost_limit(10)
    broker.trace(routing_key="q")

    with broker.transaction() as tx:
        tx.publish(b"1", routing_key="q")
    broker.publish(b"2", routing_key="q", wait=1)

    assert kinds(broker) == ["published", "routed"] * 2


def test_a_queue_declared_later_is_traced(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.trace(queue="q")
    broker.delete_queue("q")
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")
    assert kinds(broker) == ["published", "routed"]
