"""Closing an async consumer when the task that closes it is cancelled."""

from __future__ import annotations

import asyncio

from rexchange import Message
from rexchange.testing import async_memory_broker


async def test_a_close_that_is_cancelled_is_finished_all_the_same() -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(5)])
        consumer = broker.consume("q")  # all five are acknowledged as they are read
        await anext(consumer)

        closing = asyncio.ensure_future(consumer.aclose())
        await asyncio.sleep(0)  # it runs until its first wait
        closing.cancel()
        await asyncio.wait({closing})
        await consumer.aclose()

        assert closing.cancelled()
        assert (await broker.declare_queue("q")).message_count == 4
