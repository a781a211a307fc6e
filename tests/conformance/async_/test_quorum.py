"""Quorum queues: the delivery limit, and what they cannot have (docs/semantics.md, Queues)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.errors import PreconditionFailed, PublishRefused
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults

SHORT = timedelta(milliseconds=150)


async def declare(broker: AsyncBroker, limit: int | None = None, **options: Any) -> None:
    """Declare a quorum queue that dead-letters into "dead", and publish a message."""
    await broker.declare_queue("dead")
    dead: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    await broker.declare_queue("q", queue_type="quorum", delivery_limit=limit, **dead, **options)
    await broker.publish(b"1", routing_key="q")


async def get(broker: AsyncBroker) -> AsyncDelivery:
    """Take the message."""
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    return delivery


async def counts(broker: AsyncBroker) -> tuple[int, int]:
    """Return how many are ready in q, and in dead."""
    dead, queue = await broker.queues()
    return queue.ready, dead.ready


# --- the delivery limit


@pytest.mark.parametrize("verdict", ["nack", "reject"])
async def test_a_message_that_comes_back_more_often_than_the_limit_dies(broker: AsyncBroker, verdict: str) -> None:
    await declare(broker, 2)

    for count in range(3):
        assert await counts(broker) == (1, 0), count
        delivery = await get(broker)
        await (delivery.nack() if verdict == "nack" else delivery.reject(requeue=True))

    assert await counts(broker) == (0, 1)
    (dead,) = await async_drain(broker, "dead")
    names = ("x-first-death-reason", "x-first-death-queue", "x-last-death-reason")
    assert [dead.headers[name] for name in names] == ["delivery_limit", "q", "delivery_limit"]
    assert (dead.body, dead.delivery_count) == (b"1", 1)


async def test_a_quorum_queue_has_a_limit_of_20_where_nothing_is_said(broker: AsyncBroker) -> None:
    await declare(broker)

    for _ in range(20):
        await (await get(broker)).nack()
    assert await counts(broker) == (1, 0)
    await (await get(broker)).nack()

    assert await counts(broker) == (0, 1)


async def test_a_limit_of_minus_1_is_none(broker: AsyncBroker) -> None:
    await declare(broker, -1)

    for _ in range(25):
        await (await get(broker)).nack()

    assert await counts(broker) == (1, 0)


async def test_a_limit_of_0_is_one_delivery(broker: AsyncBroker) -> None:
    await declare(broker, 0)

    await (await get(broker)).nack()

    assert await counts(broker) == (0, 1)


async def test_a_classic_queue_has_no_limit_of_its_own(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")

    for _ in range(25):
        await (await get(broker)).nack()

    assert (await get(broker)).delivery_count == 26


async def test_a_classic_queue_may_be_given_a_limit(broker: AsyncBroker) -> None:
    """Not so in RabbitMQ, where only quorum queues have one (docs/semantics.md)."""
    await broker.declare_queue("dead")
    await broker.declare_queue("q", delivery_limit=1, dead_letter_exchange="", dead_letter_routing_key="dead")
    await broker.publish(b"1", routing_key="q")

    await (await get(broker)).nack()
    assert await counts(broker) == (1, 0)
    await (await get(broker)).nack()

    (dead,) = await async_drain(broker, "dead")
    assert dead.headers["x-last-death-reason"] == "delivery_limit"


async def test_without_a_dead_letter_exchange_it_is_dropped(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", queue_type="quorum", delivery_limit=0)
    await broker.publish(b"1", routing_key="q")

    await (await get(broker)).nack()

    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


async def test_an_ack_at_the_limit_is_an_ack(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    await (await get(broker)).nack()

    await (await get(broker)).ack()

    assert await counts(broker) == (0, 0)


async def test_of_several_only_those_over_the_limit_die(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    await (await get(broker)).nack()
    await broker.publish(b"2", routing_key="q")
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        for _ in range(2):
            await anext(consumer)

        await consumer.nack(0, multiple=True, wait=True)
        await consumer.cancel()

        assert [message.body for message in await async_messages(broker, "q")] == [b"2"]
    assert [message.body for message in await async_messages(broker, "dead")] == [b"1"]


async def test_a_consumer_that_closes_has_handed_out_what_it_showed_and_no_more(broker: AsyncBroker) -> None:
    await declare(broker, 0)
    await broker.publish(b"2", routing_key="q")

    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        await anext(consumer)

    assert [message.body for message in await async_messages(broker, "q")] == [b"2"]
    assert [message.body for message in await async_messages(broker, "dead")] == [b"1"]


async def test_the_end_of_a_session_counts(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await declare(broker, 0)
    assert await other.get("q", auto_ack=False) is not None

    await other.aclose()

    assert await counts(broker) == (0, 1)


async def test_an_ack_timeout_counts(broker: AsyncBroker, connect: Connect) -> None:
    slow = await connect(ack_timeout=SHORT)
    await declare(broker, 0)
    async with slow.consume("q", auto_ack=False) as consumer:
        await anext(consumer)

        async def died() -> bool:
            return await counts(broker) == (0, 1)

        await async_wait_until(died)


async def test_a_nack_whose_reply_was_lost_counts_once(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    delivery = await get(broker)
    rule = Faults(broker).cut("settle")

    await delivery.nack()

    assert rule.done == 1
    assert (await get(broker)).headers == {"x-delivery-count": 1}


async def test_redeliveries_tell_how_often_it_was_delivered_before(broker: AsyncBroker) -> None:
    await declare(broker)

    for count in range(4):
        delivery = await get(broker)
        assert delivery.headers.get("x-delivery-count", 0) == count
        assert ("x-delivery-count" in delivery.headers, delivery.redelivered) == (count > 0, count > 0)
        assert delivery.delivery_count == count + 1
        await delivery.nack()


async def test_a_consumer_too_is_told_how_often_it_was_delivered_before(broker: AsyncBroker) -> None:
    await declare(broker)
    await (await get(broker)).nack()

    async with broker.consume("q", auto_ack=False, timeout=5) as consumer:
        assert (await anext(consumer)).headers == {"x-delivery-count": 1}


async def test_a_classic_queue_tells_no_delivery_count_in_a_header(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")
    await (await get(broker)).nack()

    delivery = await get(broker)

    assert (delivery.headers, delivery.redelivered) == ({}, True)


# --- the rest works as in a classic queue


async def test_a_quorum_queue_has_ttl_limits_and_a_single_active_consumer(broker: AsyncBroker) -> None:
    await declare(broker, message_ttl=timedelta(minutes=1), max_length=2, single_active_consumer=True)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2, 5)])
    async with (
        broker.consume("q", auto_ack=False, timeout=0.05) as one,
        broker.consume("q", auto_ack=False, timeout=0.05) as two,
    ):
        assert [delivery.body async for delivery in two] == []
        assert [delivery.body async for delivery in one] == [b"3", b"4"]
    assert [message.body for message in await async_messages(broker, "dead")] == [b"1", b"2"]


async def test_a_full_quorum_queue_may_refuse(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", queue_type="quorum", max_length=1, overflow="reject-publish")
    await broker.publish(b"1", routing_key="q")

    with pytest.raises(PublishRefused):
        await broker.publish(b"2", routing_key="q")


async def test_what_is_given_back_returns_to_its_place(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", queue_type="quorum")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])
    first, second = await get(broker), await get(broker)

    await second.nack()
    await first.nack()

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"0", b"1", b"2"]


# --- what it cannot have


async def test_the_type_is_the_argument_x_queue_type_and_compared(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", queue_type="quorum")

    queue = await broker.declare_queue("q", arguments={"x-queue-type": "quorum"})

    assert queue.arguments == {"x-queue-type": "quorum"}
    for options in ({}, {"queue_type": "classic"}, {"queue_type": "stream"}):
        with pytest.raises(PreconditionFailed) as caught:
            await broker.declare_queue("q", **options)  # type: ignore[arg-type]
        assert caught.value.argument == "x-queue-type"


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("durable", {"durable": False}),
        ("exclusive", {"exclusive": True}),
        ("auto_delete", {"auto_delete": True}),
        ("name", {"name": ""}),
        ("x-max-priority", {"max_priority": 5}),
        ("x-overflow", {"overflow": "reject-publish-dlx"}),
        ("x-max-age", {"max_age": timedelta(days=1)}),
        ("x-delivery-limit", {"arguments": {"x-delivery-limit": "5"}}),
        ("x-delivery-limit", {"arguments": {"x-delivery-limit": 1.5}}),
    ],
)
async def test_what_a_quorum_queue_cannot_have_is_a_failed_precondition(
    broker: AsyncBroker, argument: str, options: dict[str, Any]
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue(**{"name": "q", "queue_type": "quorum", **options})

    assert caught.value.argument == argument
    assert await broker.queues() == []


@pytest.mark.parametrize("arguments", [{"x-quorum-initial-group-size": 3}, {"x-dead-letter-strategy": "at-least-once"}])
async def test_what_tunes_rabbitmqs_replication_is_kept_without_effect(
    broker: AsyncBroker, arguments: dict[str, Any]
) -> None:
    queue = await broker.declare_queue("q", queue_type="quorum", arguments=arguments)

    assert queue.arguments == {"x-queue-type": "quorum", **arguments}
