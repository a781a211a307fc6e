"""auto_ack: acknowledged as it is read, but what nobody was shown is not lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from rexchange import AsyncBroker, Message
from rexchange._async.wire import ConnectionLost
from rexchange.errors import AlreadySettled
from rexchange.protocol.call import Arg, Reply
from rexchange.testing import async_messages
from tests.conformance.async_.support import Connect


async def fill(broker: AsyncBroker, *names: str) -> None:
    """Declare queues of six messages each."""
    for name in names:
        await broker.declare_queue(name)
        await broker.publish_many([Message(b"%d" % number, routing_key=name, type="t") for number in range(6)])


async def test_what_was_read_is_acknowledged_already(broker: AsyncBroker) -> None:
    await fill(broker, "q")

    async with broker.consume("q", prefetch=4) as consumer:
        await anext(consumer)
        (info,) = await broker.queues()

    assert (info.ready, info.unacked) == (2, 0)


async def test_it_is_the_default(broker: AsyncBroker) -> None:
    await fill(broker, "q")

    async with broker.consume("q", timeout=0) as consumer:
        assert len([delivery async for delivery in consumer]) == 6

    assert await async_messages(broker, "q") == []


async def test_leaving_the_loop_early_puts_back_what_was_not_shown(broker: AsyncBroker) -> None:
    await fill(broker, "q")

    async with broker.consume("q", prefetch=4) as consumer:
        async for delivery in consumer:
            assert delivery.body == b"0"
            break

    left = await async_messages(broker, "q")
    assert sorted(message.body for message in left) == [b"1", b"2", b"3", b"4", b"5"]
    assert {message.properties["type"] for message in left} == {"t"}


async def test_cancel_puts_back_what_was_not_shown(broker: AsyncBroker) -> None:
    await fill(broker, "one", "two")

    async with broker.consume(["one", "two"], prefetch=8) as consumer:
        await anext(consumer)
        await consumer.cancel()
        assert [delivery async for delivery in consumer] == []

    assert sum([len(await async_messages(broker, name)) for name in ("one", "two")]) == 11


async def test_settling_says_what_to_pass_instead(broker: AsyncBroker) -> None:
    await fill(broker, "q")

    async with broker.consume("q") as consumer:
        delivery = await anext(consumer)

        for attempt in (delivery.ack, delivery.nack, delivery.reject, delivery.extend):
            with pytest.raises(AlreadySettled, match="auto_ack=False"):
                await attempt()
        with pytest.raises(AlreadySettled, match="auto_ack=False"):
            await consumer.ack(delivery.delivery_tag)


async def test_what_was_read_is_shown_however_long_its_settle_takes(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = await connect(retry_timeout=timedelta(milliseconds=100))
    await fill(broker, "q")
    async with broker.consume("q", timeout=1) as consumer:
        wire, until = broker._link.commands, time.monotonic() + 0.5
        roundtrip = wire.roundtrip

        async def down(commands: Sequence[Sequence[Arg]], within: float) -> list[Reply]:
            if time.monotonic() < until:
                raise ConnectionLost(ConnectionError("down"), sent=False)
            return await roundtrip(commands, within)

        monkeypatch.setattr(wire, "roundtrip", down)

        assert [delivery.body async for delivery in consumer] == [b"%d" % n for n in range(6)]
