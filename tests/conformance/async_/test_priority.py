"""Queues with priorities (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.testing import async_drain, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting


async def fill(broker: AsyncBroker, *priorities: int | None, **options: Any) -> None:
    """Declare a queue with priorities up to 5, and publish messages of these; their bodies are numbers from 0."""
    await broker.declare_queue("q", max_priority=5, **options)
    await broker.publish_many(
        [Message(b"%d" % number, routing_key="q", priority=priority) for number, priority in enumerate(priorities)]
    )


async def bodies(broker: AsyncBroker) -> list[bytes]:
    """Take all that is ready."""
    return [delivery.body for delivery in await async_drain(broker, "q")]


async def counts(broker: AsyncBroker) -> tuple[int, int]:
    """Return how many are ready and unacked in q."""
    (info,) = [info for info in await broker.queues() if info.name == "q"]
    return info.ready, info.unacked


async def test_the_highest_priority_goes_first_and_within_one_the_oldest(broker: AsyncBroker) -> None:
    await fill(broker, 1, 3, 1, 5, 3, 0)

    assert await bodies(broker) == [b"3", b"1", b"4", b"0", b"2", b"5"]


async def test_no_priority_is_0(broker: AsyncBroker) -> None:
    await fill(broker, None, 0, None, 1)

    assert await bodies(broker) == [b"3", b"0", b"1", b"2"]


async def test_a_priority_above_the_highest_is_the_highest(broker: AsyncBroker) -> None:
    await fill(broker, 5, 255, 6, 4)

    deliveries = await async_drain(broker, "q")

    assert [delivery.body for delivery in deliveries] == [b"0", b"1", b"2", b"3"]
    assert [delivery.properties.priority for delivery in deliveries] == [5, 255, 6, 4]  # as its publisher gave it


async def test_a_queue_without_priorities_keeps_the_order_of_arrival(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", arguments={"x-max-priority": 0})
    await broker.publish_many([Message(b"%d" % number, routing_key="q", priority=number) for number in range(3)])

    assert await bodies(broker) == [b"0", b"1", b"2"]


async def test_consumers_are_served_by_priority(broker: AsyncBroker) -> None:
    await fill(broker, 0, 2, 1)
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=0.05) as consumer:
        first = await anext(consumer)
        assert first.body == b"1"
        await broker.publish(b"3", routing_key="q", priority=5)  # after 1 and 2, which were read already
        await first.ack(wait=True)

        rest = [await anext(consumer), await anext(consumer)]
        assert [delivery.body for delivery in rest] == [b"2", b"3"]
        await rest[-1].ack(multiple=True, wait=True)
        assert [delivery.body async for delivery in consumer] == [b"0"]


async def test_a_consumer_that_waits_is_woken(broker: AsyncBroker) -> None:
    await fill(broker)
    async with broker.consume("q", timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish(b"1", routing_key="q", priority=1)

        assert (await waiting.result()).body == b"1"


async def test_a_consumer_of_several_queues_gets_from_each_by_its_own_order(broker: AsyncBroker) -> None:
    await fill(broker, 0, 5)
    await broker.declare_queue("plain")
    await broker.publish_many([Message(body, routing_key="plain") for body in (b"a", b"b")])

    async with broker.consume(["q", "plain"], auto_ack=False, prefetch=4, timeout=0.05) as consumer:
        got = [(delivery.queue, delivery.body) async for delivery in consumer]

    assert [body for queue, body in got if queue == "q"] == [b"1", b"0"]
    assert [body for queue, body in got if queue == "plain"] == [b"a", b"b"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
async def test_what_is_given_back_returns_to_its_place_in_its_priority(
    broker: AsyncBroker, order: tuple[int, ...]
) -> None:
    await fill(broker, 1, 3, 1, 3, 1)
    async with broker.consume("q", auto_ack=False, prefetch=4, timeout=5) as consumer:
        deliveries = [await anext(consumer) for _ in range(4)]
        await consumer.cancel()
        await broker.publish(b"5", routing_key="q", priority=3)

        for number in order:
            await deliveries[number].nack(wait=True)

    again = await async_drain(broker, "q")
    assert [delivery.body for delivery in again] == [b"1", b"3", b"5", b"0", b"2", b"4"]
    assert [delivery.redelivered for delivery in again] == [True, True, False, True, True, False]


async def test_what_was_read_ahead_returns_to_its_place_as_never_delivered(broker: AsyncBroker) -> None:
    await fill(broker, 1, 3, 2)
    async with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        assert (await anext(consumer)).body == b"1"

    again = await async_drain(broker, "q")
    assert [(delivery.body, delivery.delivery_count) for delivery in again] == [(b"1", 2), (b"2", 1), (b"0", 1)]


async def test_a_dead_session_gives_back_into_the_order(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await fill(broker, 1, 3)
    assert await other.get("q", auto_ack=False) is not None
    await broker.publish(b"2", routing_key="q", priority=2)

    await other.aclose()

    assert await bodies(broker) == [b"1", b"2", b"0"]


async def test_drop_head_takes_the_highest_priority_first(broker: AsyncBroker) -> None:
    await fill(broker, 1, 5, 3, max_length=2)
    assert await counts(broker) == (2, 0)

    assert await bodies(broker) == [b"2", b"0"]


async def test_a_requeue_that_overshoots_drops_the_highest_priority(broker: AsyncBroker) -> None:
    await fill(broker, 5, 1, max_length=2)
    held = await broker.get("q", auto_ack=False)
    assert held is not None
    await broker.publish(b"2", routing_key="q", priority=3)

    await held.nack()

    assert await bodies(broker) == [b"2", b"1"]


async def test_a_limit_of_bytes_drops_the_highest_priority_first(broker: AsyncBroker) -> None:
    await fill(broker, 1, 5, 3, max_length_bytes=2)

    assert await bodies(broker) == [b"2", b"0"]


async def test_counts_purge_and_delete_know_what_is_ready(broker: AsyncBroker) -> None:
    await fill(broker, *range(6), *range(6))
    held = [await broker.get("q", auto_ack=False) for _ in range(3)]
    assert await counts(broker) == (9, 3)
    back = held.pop()
    assert back is not None
    await back.nack()
    assert await counts(broker) == (10, 2)

    assert await broker.purge("q") == 10

    assert await counts(broker) == (0, 2)
    assert await broker.get("q") is None
    last = held.pop()
    assert last is not None
    await last.nack()
    assert await broker.delete_queue("q") == 1


async def test_a_purge_of_thousands_removes_all(broker: AsyncBroker) -> None:
    await fill(broker)
    for _ in range(3):
        await broker.publish_many([Message(b"", routing_key="q", priority=number % 6) for number in range(500)])

    assert await broker.purge("q") == 1500


async def test_an_ack_and_a_reject_take_a_message_out(broker: AsyncBroker) -> None:
    await fill(broker, 1, 2, 3)
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        await (await anext(consumer)).ack(wait=True)
        await (await anext(consumer)).reject(wait=True)

    assert await bodies(broker) == [b"0"]


async def test_a_dead_letter_keeps_its_priority(broker: AsyncBroker) -> None:
    await broker.declare_queue("first", max_length=0, dead_letter_exchange="", dead_letter_routing_key="q")
    await fill(broker, 2)

    await broker.publish(b"dead", routing_key="first", priority=3)

    assert await bodies(broker) == [b"dead", b"0"]


async def test_what_expires_in_any_priority_is_never_delivered(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_priority=5)
    await broker.publish(b"high", routing_key="q", priority=5, expiration="20")
    await broker.publish(b"low", routing_key="q", priority=1, expiration="20")
    await broker.publish(b"lives", routing_key="q", priority=3)
    until = time.monotonic() + 0.03
    await async_wait_until(lambda: time.monotonic() > until)

    assert await bodies(broker) == [b"lives"]
    assert await counts(broker) == (0, 0)


async def test_what_was_acknowledged_on_receipt_and_not_shown_goes_back_into_its_priority(broker: AsyncBroker) -> None:
    await fill(broker, 1, 5, 3)
    async with broker.consume("q", prefetch=3, timeout=5) as consumer:
        assert (await anext(consumer)).body == b"1"

    assert await bodies(broker) == [b"2", b"0"]


async def test_the_highest_priority_is_the_argument_x_max_priority(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_priority=5)

    await broker.declare_queue("q", arguments={"x-max-priority": 5})

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", max_priority=6)
    assert (caught.value.argument, caught.value.current, caught.value.wanted) == ("x-max-priority", 5, 6)


@pytest.mark.parametrize("value", [-1, 256, "5", 1.5, True, None])
async def test_a_highest_priority_out_of_range_is_a_failed_precondition(broker: AsyncBroker, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments={"x-max-priority": value})

    assert caught.value.argument == "x-max-priority"
    assert await broker.queues() == []


@pytest.mark.parametrize("priority", [-1, 256, "5", True])
async def test_a_priority_out_of_range_is_an_invalid_argument(broker: AsyncBroker, priority: Any) -> None:
    await fill(broker)

    with pytest.raises(InvalidArgument):
        await broker.publish(b"", routing_key="q", priority=priority)

    assert await counts(broker) == (0, 0)


async def test_a_ttl_holds_in_a_queue_with_priorities(broker: AsyncBroker) -> None:
    await fill(broker, 1, 3, message_ttl=timedelta(milliseconds=800))
    assert await counts(broker) == (2, 0)

    async def expired() -> bool:
        return await counts(broker) == (0, 0)

    await async_wait_until(expired)
