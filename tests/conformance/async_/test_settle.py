"""Ack, nack, reject: what becomes of a delivery (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import redis

from rexchange import AsyncBroker, AsyncConsumer, AsyncDelivery, Message
from rexchange._async.wire import ConnectionLost
from rexchange.errors import AlreadySettled, UnknownDeliveryTag
from rexchange.protocol.call import Arg, Reply
from rexchange.testing import async_drain, async_wait_until


@pytest.fixture
async def consumer(broker: AsyncBroker) -> AsyncIterator[AsyncConsumer]:
    """Yield a consumer of a queue of five."""
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(1, 6)])
    async with broker.consume("q", auto_ack=False, prefetch=3, timeout=0.05) as consumer:
        yield consumer


async def take(consumer: AsyncConsumer, count: int) -> list[AsyncDelivery]:
    """Take deliveries."""
    return [await anext(consumer) for _ in range(count)]


async def counts(broker: AsyncBroker) -> tuple[int, int]:
    """Return how many are ready and unacked."""
    (info,) = await broker.queues()
    return info.ready, info.unacked


async def test_an_acked_message_leaves_the_queue(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    (delivery,) = await take(consumer, 1)

    await delivery.ack(wait=True)

    await consumer.aclose()
    assert [left.body for left in await async_drain(broker, "q")] == [b"2", b"3", b"4", b"5"]


async def test_an_ack_that_does_not_wait_arrives_by_itself(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    (delivery,) = await take(consumer, 1)
    assert await counts(broker) == (2, 3)

    await delivery.ack()

    async def settled() -> bool:
        return await counts(broker) == (2, 2)

    await async_wait_until(settled)


async def test_a_rejected_message_is_dropped(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    (delivery,) = await take(consumer, 1)

    await delivery.reject(wait=True)

    await consumer.aclose()
    assert [left.body for left in await async_drain(broker, "q")] == [b"2", b"3", b"4", b"5"]


async def test_a_nack_without_requeue_drops_the_message(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    (delivery,) = await take(consumer, 1)

    await delivery.nack(requeue=False, wait=True)

    await consumer.aclose()
    assert [left.body for left in await async_drain(broker, "q")] == [b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("order", [(3, 1, 2), (1, 2, 3), (2,)])
async def test_nacked_messages_return_to_their_places(
    broker: AsyncBroker, consumer: AsyncConsumer, order: tuple[int, ...]
) -> None:
    deliveries = await take(consumer, 3)

    for number in order:
        await deliveries[number - 1].nack(wait=True)

    left = [int(delivery.body) for delivery in await async_drain(broker, "q")]
    assert left == [*sorted(order), 4, 5]


async def test_a_reject_with_requeue_returns_it_too(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    (delivery,) = await take(consumer, 1)

    await delivery.reject(requeue=True, wait=True)

    again = await broker.get("q")
    assert again is not None
    assert again.body == b"1"


async def test_what_was_given_back_is_redelivered_and_counted(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    (delivery,) = await take(consumer, 1)

    for count in range(2, 5):
        await delivery.nack(wait=True)
        again = await broker.get("q", auto_ack=False)
        assert again is not None
        assert (again.body, again.redelivered, again.delivery_count) == (b"1", True, count)
        delivery = again

    await delivery.ack()


async def test_a_nacked_message_comes_back_to_the_same_consumer(consumer: AsyncConsumer) -> None:
    first = await take(consumer, 3)

    await first[1].nack()

    again = await anext(consumer)
    assert (again.body, again.redelivered) == (b"2", True)
    assert again.delivery_tag > 3


async def test_multiple_settles_all_up_to_the_tag(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    deliveries = await take(consumer, 3)

    await deliveries[1].ack(multiple=True, wait=True)

    assert await counts(broker) == (2, 1)
    await deliveries[2].ack(wait=True)
    with pytest.raises(AlreadySettled):
        await deliveries[0].ack()


async def test_multiple_nack_gives_back_all_up_to_the_tag(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    deliveries = await take(consumer, 3)

    await deliveries[1].nack(multiple=True, wait=True)

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"1", b"2", b"4", b"5"]


async def test_tag_0_with_multiple_settles_all_that_was_handed_out(
    broker: AsyncBroker, consumer: AsyncConsumer
) -> None:
    await take(consumer, 2)  # the third was read and not handed out

    await consumer.ack(0, multiple=True, wait=True)

    assert await counts(broker) == (2, 1)
    assert (await anext(consumer)).body == b"3"


async def test_tag_0_with_multiple_is_no_error_where_nothing_is_out(consumer: AsyncConsumer) -> None:
    await consumer.ack(0, multiple=True, wait=True)
    await consumer.nack(0, multiple=True)


@pytest.mark.parametrize("tag", [0, -1, 99])
async def test_a_tag_that_was_never_given_out_is_unknown(
    broker: AsyncBroker, consumer: AsyncConsumer, tag: int
) -> None:
    await take(consumer, 2)

    for attempt in (consumer.ack, consumer.nack, consumer.reject):
        with pytest.raises(UnknownDeliveryTag) as caught:
            await attempt(tag)
        assert caught.value.delivery_tag == tag

    assert (await counts(broker))[1] == 3


async def test_a_tag_that_was_read_and_not_handed_out_is_unknown(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    await take(consumer, 1)  # 2 and 3 wait in the consumer

    with pytest.raises(UnknownDeliveryTag):
        await consumer.ack(2)

    assert (await counts(broker))[1] == 3


async def test_settling_twice_is_an_error_and_does_nothing(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    one, two = await take(consumer, 2)
    await one.ack(wait=True)
    await two.nack(wait=True)

    for delivery in (one, two):
        for attempt in (delivery.ack, delivery.nack, delivery.reject, delivery.extend):
            with pytest.raises(AlreadySettled) as caught:
                await attempt()
            assert caught.value.delivery_tag == delivery.delivery_tag

    await consumer.aclose()
    assert await counts(broker) == (4, 0)


async def test_callers_who_keep_tags_settle_by_the_consumer(broker: AsyncBroker, consumer: AsyncConsumer) -> None:
    tags = [delivery.delivery_tag for delivery in await take(consumer, 3)]

    await consumer.ack(tags[0], wait=True)
    await consumer.reject(tags[1], wait=True)
    await consumer.nack(tags[2], wait=True)

    assert await counts(broker) == (3, 0)


async def test_a_cancelled_consumer_still_settles_what_it_handed_out(
    broker: AsyncBroker, consumer: AsyncConsumer
) -> None:
    one, two = await take(consumer, 2)

    await consumer.cancel()
    await one.ack(wait=True)
    await two.nack(wait=True)

    assert await counts(broker) == (4, 0)


async def test_verdicts_on_two_queues_go_to_each(broker: AsyncBroker) -> None:
    for name in ("one", "two"):
        await broker.declare_queue(name)
        await broker.publish_many([Message(b"%d" % number, routing_key=name) for number in range(3)])

    async with broker.consume(["one", "two"], auto_ack=False, timeout=0.05) as consumer:
        async for delivery in consumer:
            if delivery.redelivered or delivery.queue == "one":
                await delivery.ack()
            else:
                await delivery.nack()

    assert [(info.ready, info.unacked) for info in await broker.queues()] == [(0, 0), (0, 0)]


async def test_a_fence_stays_down_while_a_verdict_waits(broker: AsyncBroker) -> None:
    await broker.declare_queue("fenced")
    await broker.publish_many([Message(b"", routing_key="fenced")] * 2)
    async with broker.consume("fenced", auto_ack=False, prefetch=2) as consumer:
        first, second = await anext(consumer), await anext(consumer)
        holder = consumer._holder
        holder.judge(first.delivery_tag, "ack", multiple=False, shown=2)
        batch = holder.take_batch()
        assert batch is not None
        assert holder.held == 2

        holder.judge(second.delivery_tag, "ack", multiple=False, shown=2)

        assert holder.held == 2  # so the batch that leaves now does not set the fence, which would speak for the second
        await holder.send(batch)


async def test_a_nack_whose_reply_was_lost_does_not_take_away_what_came_again(
    broker: AsyncBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"0", routing_key="q")
    async with broker.consume("q", auto_ack=False, prefetch=2) as consumer:
        delivery = await anext(consumer)
        wire = broker._link.commands
        roundtrip = wire.roundtrip
        again: list[AsyncDelivery] = []

        async def cut_once(commands: Sequence[Sequence[Arg]], within: float) -> list[Reply]:
            replies = await roundtrip(commands, within)
            if not again:
                again.append(await anext(consumer))
                raise ConnectionLost(redis.ConnectionError("cut"), sent=True)
            return replies

        monkeypatch.setattr(wire, "roundtrip", cut_once)

        await delivery.nack(wait=True)

        assert (again[0].body, again[0].redelivered) == (b"0", True)
        assert await counts(broker) == (0, 1)  # one holds it, and it is not ready for another
        await again[0].ack(wait=True)
    assert await counts(broker) == (0, 0)
