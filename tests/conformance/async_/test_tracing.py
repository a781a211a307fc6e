"""Tracing: the history of a message, and for which messages there is one (test_traces.py: how traces begin and end)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rexchange import AsyncBroker, TraceEvent
from rexchange.errors import PublishRefused
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_wait_until
from tests.conformance.async_.support import Connect
from tests.conformance.async_.test_give_back import abandon
from tests.support.servers import Bare


def told(events: list[TraceEvent]) -> list[tuple[str, ...]]:
    """Return of each event its kind and what there is of queue, tag, reason and count."""
    rows: list[tuple[str, ...]] = []
    for event in events:
        count = "" if event.delivery_count is None else str(event.delivery_count)
        parts = (event.kind, event.queue, event.consumer_tag, event.reason, count)
        rows.append(tuple(part for part in parts if part))
    return rows


async def kinds(broker: AsyncBroker) -> list[str]:
    """Return the kinds of all events."""
    return [event.kind for event in await broker.traced()]


async def work_queue(broker: AsyncBroker) -> None:
    """Declare a queue of work whose dead letters go to "dlq", bound twice to "events"."""
    await broker.declare_exchange("events", "topic")
    await broker.declare_exchange("dead", "fanout")
    await broker.declare_queue("work", dead_letter_exchange="dead")
    await broker.declare_queue("dlq")
    await broker.bind("work", "events", "user.#")
    await broker.bind("work", "events", "*.created")
    await broker.bind("dlq", "dead")


async def test_the_whole_history_of_a_poison_message(broker: AsyncBroker, connect: Connect) -> None:
    await work_queue(broker)
    await broker.trace(queue="work")
    before = datetime.now(UTC)

    await broker.publish(b"poison", exchange="events", routing_key="user.created", message_id="m-1")
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    doomed, living = await connect(**beat), await connect(**beat)
    first = doomed.consume("work", auto_ack=False, tag="A")
    await anext(first)
    await abandon(doomed)
    async with living.consume("work", auto_ack=False, tag="B", timeout=10) as second:
        await (await anext(second)).reject(wait=True)
    assert await broker.get("dlq") is not None

    history = await broker.history(message_id="m-1")
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
    assert await broker.history(published.trace_id) == history == await broker.traced()


async def test_reasons_of_giving_back(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.trace(queue="q")
    await broker.publish(b"", routing_key="q")

    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await delivery.nack(requeue=True)
    async with broker.consume("q", auto_ack=False, tag="closes") as consumer:
        await anext(consumer)
    async with broker.consume("q", auto_ack=False, tag="late", ack_timeout=timedelta(milliseconds=20)) as consumer:
        await anext(consumer)
        await async_wait_until(lambda: _gave_back(broker, 3))

    given_back = [event for event in await broker.traced() if event.kind == "given_back"]
    assert [(event.consumer_tag, event.reason) for event in given_back[:3]] == [
        ("amq.get.q", "requeued"),
        ("closes", "cancelled"),
        ("late", "ack timeout"),
    ]


async def _gave_back(broker: AsyncBroker, times: int) -> bool:
    await broker.reap()
    return (await kinds(broker)).count("given_back") >= times


async def test_what_was_read_and_not_shown_says_so(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.trace(queue="q")
    for _ in range(2):
        await broker.publish(b"", routing_key="q")
    async with broker.consume("q", auto_ack=False, prefetch=2) as consumer:
        await (await anext(consumer)).ack(wait=True)
        await async_wait_until(lambda: _delivered(broker, 2))
        await consumer.cancel()
    assert told(await broker.traced())[-1][-2:] == ("not shown", "1")


async def _delivered(broker: AsyncBroker, times: int) -> bool:
    return (await kinds(broker)).count("delivered") == times


async def test_a_running_consumer_is_seen_soon_and_told_whole(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    async with broker.consume("q", auto_ack=False, tag="t") as consumer:
        await broker.publish(b"before", routing_key="q")
        await (await anext(consumer)).ack(wait=True)
        await broker.trace(queue="q")
        await broker.publish(b"switches", routing_key="q")
        await (await anext(consumer)).ack(wait=True)
        await broker.publish(b"seen", routing_key="q", message_id="seen")
        await (await anext(consumer)).ack(wait=True)

    assert told(await broker.history(message_id="seen")) == [
        ("published",),
        ("routed", "q"),
        ("delivered", "q", "t", "1"),
        ("acked", "q", "t", "1"),
    ]


async def test_auto_ack_is_told(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.trace(queue="q")
    await broker.publish(b"", routing_key="q")
    async with broker.consume("q", timeout=0.2) as consumer:
        assert len([delivery async for delivery in consumer]) == 1
    assert await kinds(broker) == ["published", "routed", "delivered", "acked"]


async def test_what_dies_says_of_what(broker: AsyncBroker) -> None:
    await broker.declare_queue("brief", message_ttl=timedelta(milliseconds=1))
    await broker.declare_queue("small", max_length=1)
    await broker.declare_queue("purged")
    await broker.declare_queue("full", max_length=0, overflow="reject-publish")
    for name in ("brief", "small", "purged", "full"):
        await broker.trace(queue=name)

    await broker.publish(b"", routing_key="brief", message_id="brief")
    await async_wait_until(lambda: _has_expired(broker))
    for _ in range(2):
        await broker.publish(b"", routing_key="small", message_id="small")
    await broker.publish(b"", routing_key="purged", message_id="purged")
    await broker.purge("purged")
    with pytest.raises(PublishRefused):
        await broker.publish(b"", routing_key="full", message_id="full")

    async def ends(message_id: str) -> tuple[str, str]:
        event = (await broker.history(message_id=message_id))[-1]
        return event.kind, event.reason

    assert await ends("brief") == ("expired", "expired")
    assert await ends("small") == ("dropped", "maxlen")
    assert await ends("purged") == ("purged", "")
    assert await ends("full") == ("refused", "the queue is full")


async def _has_expired(broker: AsyncBroker) -> bool:
    await broker.reap()
    return "expired" in await kinds(broker)


async def test_one_delivery_too_many(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", delivery_limit=1, dead_letter_exchange="", dead_letter_routing_key="gone")
    await broker.trace(queue="q")
    await broker.publish(b"", routing_key="q")
    for _ in range(2):
        delivery = await broker.get("q", auto_ack=False)
        assert delivery is not None
        await delivery.nack()
    assert told(await broker.traced())[-4:] == [
        ("given_back", "q", "amq.get.q", "requeued", "2"),
        ("dropped", "q", "delivery_limit"),
        ("dead_lettered", "q", "delivery_limit"),
        ("unroutable",),
    ]


async def test_a_consumer_of_several_queues(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    for name in ("traced", "other"):
        await broker.declare_queue(name)
    async with broker.consume(["traced", "other"], auto_ack=False, prefetch=5) as consumer:
        await broker.trace(queue="traced")
        for name in ("traced", "other"):
            await broker.publish(b"", routing_key=name)
        for _ in range(2):
            await (await anext(consumer)).ack(wait=True)
        assert await kinds(broker) == ["published", "routed", "delivered", "acked"]
        await broker.untrace()
        assert ask("HVALS", keys.fences) == [b"1"]


async def test_by_routing_key(broker: AsyncBroker) -> None:
    await broker.declare_exchange("events", "topic")
    for name in ("one", "other"):
        await broker.declare_queue(name)
        await broker.bind(name, "events", "user.#")
    await broker.trace(routing_key="user.*.created")
    for key in ("user.1.created", "user.1.deleted", "user.created", "a.user.1.created"):
        await broker.publish(b"", exchange="events", routing_key=key)
    await broker.publish(b"", exchange="events", routing_key="x", headers={"CC": ["user.2.created"]})
    for name in ("one", "other"):
        await async_drain(broker, name)

    events = await broker.traced()
    published = [event for event in events if event.kind == "published"]
    assert [event.routing_key for event in published] == ["user.1.created", "x"]
    assert told(await broker.history(published[0].trace_id)) == [
        ("published",),
        ("routed", "one"),
        ("routed", "other"),
        ("delivered", "one", "amq.get.one", "1"),
        ("acked", "one", "amq.get.one", "1"),
        ("delivered", "other", "amq.get.other", "1"),
        ("acked", "other", "amq.get.other", "1"),
    ]


async def test_by_exchange_and_where_nothing_is_bound(broker: AsyncBroker) -> None:
    await broker.declare_exchange("events", "topic")
    await broker.trace(exchange="events")
    await broker.publish(b"", exchange="events", routing_key="nobody")
    await broker.publish(b"", routing_key="nobody")
    assert told(await broker.traced()) == [("published",), ("unroutable",)]


@pytest.mark.parametrize("kind", ["x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history"])
async def test_the_way_where_an_exchange_chooses(broker: AsyncBroker, kind: str) -> None:
    await broker.declare_exchange("chooses", kind)
    for name in ("one", "other"):
        await broker.declare_queue(name)
        await broker.bind(name, "chooses", "1")
    await broker.trace(exchange="chooses")
    for number in range(8):
        await broker.publish(b"", exchange="chooses", routing_key=f"k{number}")
    routed = [event for event in await broker.traced() if event.kind == "routed"]
    assert len(routed) == (16 if kind == "x-recent-history" else 8)
    for event in routed:
        assert [(step.source, step.destination) for step in event.bindings] == [("chooses", event.queue)]


async def test_all_that_is_given_must_hold(broker: AsyncBroker) -> None:
    await broker.declare_exchange("events", "topic")
    await broker.declare_queue("q")
    await broker.bind("q", "events", "#")
    await broker.trace(queue="q", exchange="events", routing_key="a.#")
    await broker.publish(b"", exchange="events", routing_key="a.b", message_id="this")
    await broker.publish(b"", exchange="events", routing_key="b.a")
    await broker.publish(b"", routing_key="q")
    assert {event.message_id for event in await broker.traced() if event.kind == "published"} == {"this"}
    assert await kinds(broker) == ["published", "routed"]


async def test_a_dead_letter_that_enters_a_traced_queue_begins_there(broker: AsyncBroker) -> None:
    await work_queue(broker)
    await broker.trace(queue="dlq")
    await broker.publish(b"", exchange="events", routing_key="user.1")
    delivery = await broker.get("work", auto_ack=False)
    assert delivery is not None
    await delivery.reject()
    assert told(await broker.traced()) == [("routed", "dlq")]


async def test_a_message_that_waits_is_told(broker: AsyncBroker) -> None:
    await broker.declare_exchange("slow", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    await broker.declare_queue("q")
    await broker.bind("q", "slow", "k")
    await broker.trace(exchange="slow")
    await broker.publish(b"", exchange="slow", routing_key="k", headers={"x-delay": 20})
    await async_wait_until(lambda: _reaped_into(broker))
    events = await broker.traced()
    assert told(events) == [("published",), ("delayed", "20 ms"), ("routed", "q")]
    assert [step.source for step in events[2].bindings] == ["slow"]


async def _reaped_into(broker: AsyncBroker) -> bool:
    await broker.reap()
    return "routed" in await kinds(broker)


async def test_what_rabbitmq_has_not_is_told_too(broker: AsyncBroker) -> None:
    await broker.declare_queue("work", retry_delays=[timedelta(hours=1)])
    await broker.declare_queue("parked")
    await broker.trace(queue="work")

    hour = timedelta(hours=1)
    await broker.publish(b"1", routing_key="work", message_id="m", delay=timedelta(milliseconds=1))
    await broker.publish(b"2", routing_key="work", message_id="other", dedup_key="k", dedup_window=hour)
    await broker.publish(b"3", routing_key="work", message_id="twice", dedup_key="k", dedup_window=hour)

    async def there() -> bool:
        await broker.reap()
        return not await broker.scheduled()

    await async_wait_until(there)
    await broker.delete_message("work", (await broker.browse("work", message_id="other"))[0].id)
    delivery = await broker.get("work", auto_ack=False)
    assert delivery is not None
    await delivery.nack(retry=True)
    await broker.retry_now("work")
    assert await broker.move("work", "parked") == 1
    parked = await broker.get("parked", auto_ack=False)
    assert parked is not None
    async with broker.transaction() as tx:
        tx.ack(parked)

    tag = "amq.get.work"
    assert told(await broker.history(message_id="m")) == [
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
    assert [event.kind for event in await broker.history(message_id="other")] == ["published", "routed", "deleted"]
    assert await broker.history(message_id="twice") == []


async def test_what_is_published_in_a_transaction_or_waits_for_room_is_traced_by_its_key(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_vhost_limit(10)
    await broker.trace(routing_key="q")

    async with broker.transaction() as tx:
        tx.publish(b"1", routing_key="q")
    await broker.publish(b"2", routing_key="q", wait=1)

    assert await kinds(broker) == ["published", "routed"] * 2


async def test_a_queue_declared_later_is_traced(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.trace(queue="q")
    await broker.delete_queue("q")
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q")
    assert await kinds(broker) == ["published", "routed"]
