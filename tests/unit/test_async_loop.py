"""An AsyncBroker belongs to the event loop in which it was used first; another one is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncConsumer, AsyncDelivery
from rexchange.errors import BrokerConnectionError

ATTEMPTS: list[Callable[[AsyncBroker, AsyncConsumer, AsyncDelivery], Awaitable[Any]]] = [
    lambda broker, _consumer, _delivery: broker.publish(b"", routing_key="q"),
    lambda broker, _consumer, _delivery: broker.get("q"),
    lambda broker, _consumer, _delivery: broker.declare_queue("q"),
    lambda broker, _consumer, _delivery: broker.open(),
    lambda broker, _consumer, _delivery: broker.aclose(),
    lambda broker, _consumer, _delivery: broker.consume("q").open(),
    lambda _broker, consumer, _delivery: consumer.next(),
    lambda _broker, _consumer, delivery: delivery.ack(),
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_another_event_loop_is_refused(
    url: str, vhost: str, attempt: Callable[[AsyncBroker, AsyncConsumer, AsyncDelivery], Awaitable[Any]]
) -> None:
    broker = AsyncBroker(url, vhost=vhost)

    async def first() -> tuple[AsyncConsumer, AsyncDelivery]:
        await broker.declare_queue("q")
        await broker.publish(b"", routing_key="q")
        consumer = broker.consume("q", auto_ack=False, timeout=1)
        return consumer, await anext(consumer)

    async def again(consumer: AsyncConsumer, delivery: AsyncDelivery) -> None:
        with pytest.raises(BrokerConnectionError, match="it belongs to the event loop in which it was used first"):
            await attempt(broker, consumer, delivery)

    with asyncio.Runner() as runner, asyncio.Runner() as other:
        held = runner.run(first())
        other.run(again(*held))
        runner.run(broker.aclose())


def test_one_that_was_not_used_yet_belongs_to_nobody(url: str, vhost: str) -> None:
    broker = AsyncBroker(url, vhost=vhost)

    async def use() -> None:
        async with broker:
            await broker.declare_queue("q")
            await broker.delete_queue("q")

    asyncio.run(use())
