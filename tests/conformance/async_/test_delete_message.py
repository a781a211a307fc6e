"""Deleting one message of a queue (docs/browsing.md)."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.errors import PreconditionFailed, StaleDelivery
from rexchange.testing import async_messages
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults


async def bodies(broker: AsyncBroker, queue: str) -> list[bytes]:
    """Return the bodies of what is ready."""
    return [message.body for message in await async_messages(broker, queue)]


async def counts(broker: AsyncBroker, queue: str) -> tuple[int, int]:
    """Return how many are ready, and unacked."""
    (info,) = [each for each in await broker.queues() if each.name == queue]
    return info.ready, info.unacked


async def fill(broker: AsyncBroker, queue: str, count: int) -> list[bytes]:
    """Publish bodies that are numbers."""
    found = [b"%d" % number for number in range(count)]
    await broker.publish_many([Message(body, routing_key=queue, headers={"n": i % 2}) for i, body in enumerate(found)])
    return found


async def taken(broker: AsyncBroker, queue: str) -> AsyncDelivery:
    """Get a delivery to settle."""
    delivery = await broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


async def test_one_message_is_deleted(broker: AsyncBroker) -> None:
    for options in ({}, {"max_priority": 3}, {"max_length_bytes": 1000}):
        await _delete_two(broker, options)


async def _delete_two(broker: AsyncBroker, options: dict[str, Any]) -> None:
    await broker.declare_queue("q", **options)
    await fill(broker, "q", 3)
    delivery = await taken(broker, "q")
    await delivery.nack(wait=True)
    given_back, new, _ = await broker.browse("q")
    assert given_back.delivery_count == 1

    assert await broker.delete_message("q", new.id)
    assert await bodies(broker, "q") == [b"0", b"2"]
    assert await broker.delete_message("q", given_back.id)
    assert await bodies(broker, "q") == [b"2"]
    assert await counts(broker, "q") == (1, 0)
    assert not await broker.delete_message("q", new.id)
    assert not await broker.delete_message("q", "1-1")
    await broker.delete_queue("q")


async def test_a_deleted_message_is_not_dead_lettered(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    await fill(broker, "q", 1)
    (found,) = await broker.browse("q")

    assert await broker.delete_message("q", found.id)
    assert await bodies(broker, "dead") == []


async def test_what_a_consumer_holds_is_deleted_by_force_alone(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("q")
    await fill(broker, "q", 2)
    other = await connect()
    async with other.consume("q", auto_ack=False, prefetch=2, tag="worker") as consumer:
        first, second = [await anext(consumer), await anext(consumer)]
        held, _ = await broker.browse("q")

        with pytest.raises(PreconditionFailed, match=r"'worker'.*has held it.*force=True") as caught:
            await broker.delete_message("q", held.id)
        assert (caught.value.kind, caught.value.name) == ("queue", "q")
        assert await counts(broker, "q") == (0, 2)

        assert await broker.delete_message("q", held.id, force=True)
        assert await counts(broker, "q") == (0, 1)
        with pytest.raises(StaleDelivery):
            await first.ack(wait=True)
        await second.ack(wait=True)
    assert await counts(broker, "q") == (0, 0)


async def test_a_delete_whose_reply_is_lost_still_says_that_it_went(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await fill(broker, "q", 2)
    first, second = await broker.browse("q")
    rule = Faults(broker).cut("delete_message", 2)

    assert await broker.delete_message("q", first.id)
    assert rule.done == 2
    assert await bodies(broker, "q") == [b"1"]
    assert await broker.delete_message("q", second.id)
