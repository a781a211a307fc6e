"""Prefetch: never more unacked than that, over all queues of a consumer (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Message


async def fill(broker: AsyncBroker, names: list[str], count: int) -> None:
    """Declare queues of so many messages each."""
    for name in names:
        await broker.declare_queue(name)
        await broker.publish_many([Message(b"%d" % number, routing_key=name) for number in range(count)])


async def unacked(broker: AsyncBroker) -> int:
    """Return how many are unacked, as the server sees it."""
    return sum(info.unacked for info in await broker.queues())


@pytest.mark.parametrize("names", [["q"], ["one", "two", "three"]])
@pytest.mark.parametrize("prefetch", [1, 7, 100])
async def test_unacked_messages_never_exceed_the_prefetch(broker: AsyncBroker, prefetch: int, names: list[str]) -> None:
    await fill(broker, names, 120 // len(names))
    seen = 0

    async with broker.consume(names, auto_ack=False, prefetch=prefetch, timeout=0.05) as consumer:
        async for delivery in consumer:
            seen += 1
            assert await unacked(broker) <= prefetch
            if seen % 3:
                await delivery.ack()
            elif not delivery.redelivered:
                await delivery.nack()
            else:
                await delivery.reject()

    assert seen >= 120
    assert await unacked(broker) == 0


@pytest.mark.parametrize("names", [["q"], ["one", "two", "three"]])
async def test_a_full_window_waits_for_a_settle(broker: AsyncBroker, names: list[str]) -> None:
    await fill(broker, names, 6)

    async with broker.consume(names, auto_ack=False, prefetch=4, timeout=0.05) as consumer:
        deliveries = [delivery async for delivery in consumer]
        assert len(deliveries) == 4
        assert await unacked(broker) == 4

        await deliveries[0].ack()
        await deliveries[1].ack()

        assert len([delivery async for delivery in consumer]) == 2


async def test_two_consumers_of_one_broker_have_a_window_each(broker: AsyncBroker) -> None:
    await fill(broker, ["q"], 10)

    async with (
        broker.consume("q", auto_ack=False, prefetch=2, timeout=0) as one,
        broker.consume("q", auto_ack=False, prefetch=3, timeout=0) as two,
    ):
        assert len([delivery async for delivery in one]) == 2
        assert len([delivery async for delivery in two]) == 3


async def test_a_prefetch_of_0_is_2000(broker: AsyncBroker) -> None:
    await fill(broker, ["q"], 1000)
    await fill(broker, ["q"], 1000)
    await fill(broker, ["q"], 10)

    async with broker.consume("q", auto_ack=False, prefetch=0, timeout=0.05) as consumer:
        assert len([delivery async for delivery in consumer]) == 2000

    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (2010, 0)


async def test_get_is_not_limited_by_a_prefetch(broker: AsyncBroker) -> None:
    await fill(broker, ["q"], 5)

    async with broker.consume("q", auto_ack=False, prefetch=1) as consumer:
        await anext(consumer)
        for _ in range(4):
            assert await broker.get("q", auto_ack=False) is not None

        assert await unacked(broker) == 5
