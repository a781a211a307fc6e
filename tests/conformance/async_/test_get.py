"""`get`: one message at a time, without a consumer (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Message
from rexchange.errors import AlreadySettled, NotFound, UnknownDeliveryTag
from rexchange.protocol.consume import take
from rexchange.protocol.settle import Verdict
from rexchange.testing import async_drain
from tests.conformance.async_.support import Connect


async def fill(broker: AsyncBroker, count: int) -> None:
    """Declare a queue of so many messages."""
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(count)])


async def counts(broker: AsyncBroker) -> tuple[int, int]:
    """Return how many are ready and unacked."""
    (info,) = await broker.queues()
    return info.ready, info.unacked


async def test_get_takes_the_oldest_message(broker: AsyncBroker) -> None:
    await fill(broker, 2)

    for body in (b"0", b"1"):
        delivery = await broker.get("q")
        assert delivery is not None
        assert (delivery.body, delivery.queue, delivery.redelivered) == (body, "q", False)

    assert await broker.get("q") is None


async def test_an_auto_acked_message_is_gone_at_once(broker: AsyncBroker) -> None:
    await fill(broker, 1)

    assert await broker.get("q") is not None

    assert await counts(broker) == (0, 0)


async def test_without_auto_ack_it_stays_unacked_until_it_is_settled(broker: AsyncBroker) -> None:
    await fill(broker, 2)

    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    assert await counts(broker) == (1, 1)
    await delivery.ack()

    assert await counts(broker) == (1, 0)


async def test_a_nacked_message_is_gotten_again_in_its_place(broker: AsyncBroker) -> None:
    await fill(broker, 3)
    one = await broker.get("q", auto_ack=False)
    two = await broker.get("q", auto_ack=False)
    assert one is not None
    assert two is not None

    await two.nack()
    await one.nack()

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"0", b"1", b"2"]


async def test_a_rejected_message_is_dropped(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    await delivery.reject()

    assert await counts(broker) == (0, 0)


async def test_multiple_settles_all_gotten_from_this_queue(broker: AsyncBroker) -> None:
    await fill(broker, 3)
    deliveries = [await broker.get("q", auto_ack=False) for _ in range(3)]
    assert deliveries[1] is not None

    await deliveries[1].ack(multiple=True)

    assert await counts(broker) == (0, 1)


async def test_settling_twice_is_an_error(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await delivery.ack()

    with pytest.raises(AlreadySettled):
        await delivery.ack()


async def test_acking_an_auto_acked_message_says_what_to_pass(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    delivery = await broker.get("q")
    assert delivery is not None

    with pytest.raises(AlreadySettled, match="auto_ack=False"):
        await delivery.ack()


async def test_getting_from_a_missing_queue_is_not_found(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.get("missing")

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")


async def test_get_goes_on_with_a_queue_that_was_deleted_and_declared_again(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    assert await broker.get("q", auto_ack=False) is not None
    await broker.delete_queue("q")
    with pytest.raises(NotFound):
        await broker.get("q")
    await fill(broker, 1)

    assert await broker.get("q") is not None


async def test_an_ack_for_a_deleted_queue_does_not_touch_the_new_one(broker: AsyncBroker, connect: Connect) -> None:
    await fill(broker, 1)
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    other = await connect()
    await other.delete_queue("q")
    await fill(other, 1)

    await delivery.ack()

    assert await counts(broker) == (1, 0)


async def test_get_is_no_consumer(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    assert await broker.get("q", auto_ack=False) is not None

    assert await broker.consumers() == []
    assert (await broker.queues())[0].consumers == 0
    await broker.delete_queue("q", if_unused=True)


async def test_what_was_gotten_and_not_settled_goes_back_when_the_broker_closes(
    broker: AsyncBroker, connect: Connect
) -> None:
    await fill(broker, 2)
    other = await connect()
    assert await other.get("q", auto_ack=False) is not None

    await other.aclose()

    again = await broker.get("q")
    assert again is not None
    assert (again.body, again.redelivered, again.delivery_count) == (b"0", True, 2)


async def test_tags_of_get_are_not_tags_of_a_consumer(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    async with broker.consume("q", auto_ack=False) as consumer:
        with pytest.raises(UnknownDeliveryTag):
            await consumer.ack(delivery.delivery_tag)

    await delivery.ack()


async def test_extend_keeps_a_gotten_message(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    await delivery.extend()

    await delivery.ack()
    assert await counts(broker) == (0, 0)


async def test_settling_after_the_queue_is_deleted_is_harmless(broker: AsyncBroker) -> None:
    await fill(broker, 2)
    first, second = await broker.get("q", auto_ack=False), await broker.get("q", auto_ack=False)
    assert first is not None
    assert second is not None

    await broker.delete_queue("q")

    await first.nack()
    await second.ack()


async def test_deleting_a_queue_leaves_nothing_of_its_gets(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    await broker.get("q")
    assert (await broker.status()).consumers == 1

    await broker.delete_queue("q")

    assert (await broker.status()).consumers == 0


@pytest.mark.slow
@pytest.mark.timeout(120)  # fakeredis acks in a time that grows with what is unacked
@pytest.mark.parametrize("verdict", ["ack", "requeue"])
async def test_multiple_settles_more_than_lua_unpacks_at_once(broker: AsyncBroker, verdict: Verdict) -> None:
    count = 8500
    await broker.declare_queue("q")
    for first in range(0, count, 500):
        await broker.publish_many([Message(b"", routing_key="q")] * min(500, count - first))
    assert await broker.get("q", auto_ack=False) is not None
    getter = broker._getters["q"]
    holder = getter._holder
    entries = await broker._link.run(take(holder.name, count, ["q"], holder.incarnations))
    last = holder.add(entries)[-1]

    await getter.settle(last, verdict, multiple=True, wait=True)

    assert await counts(broker) == ((0, 0) if verdict == "ack" else (count, 0))
