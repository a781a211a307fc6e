"""What a message costs as the consumers of its queue become many."""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack

from rexchange import AsyncBroker, AsyncConsumer, Message
from tests.bench.growth.curve import SERVER_CPU, Curve, Lines, Scale
from tests.bench.holding import SMALL
from tests.bench.server import BenchServer
from tests.bench.work import BATCH

_ALL_HANDLED_S = 60


class _Count:
    """How many were handled, and whether that is all."""

    def __init__(self) -> None:
        self.left = 0
        self.all = asyncio.Event()

    def start(self, messages: int) -> None:
        self.left = messages
        self.all.clear()

    async def handle(self, consumer: AsyncConsumer) -> None:
        async for delivery in consumer:
            await delivery.ack()
            self.left -= 1
            if self.left == 0:
                self.all.set()


async def _draw(server: BenchServer, scale: Scale) -> Lines:
    lines = Lines(scale.up_to(1, 10, 100, 1000))
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(AsyncBroker(server.url))
        await broker.declare_queue("q")
        batch = [Message(SMALL, routing_key="q")] * BATCH
        handled, tasks = _Count(), set[asyncio.Task[None]]()

        async def block() -> float:
            handled.start(scale.messages)
            cpu = server.cpu()
            for _ in range(0, scale.messages, BATCH):
                await broker.publish_many(batch)
            await asyncio.wait_for(handled.all.wait(), _ALL_HANDLED_S)
            return (server.cpu() - cpu) / scale.messages * 1e6

        for size in lines.x:
            while len(tasks) < size:
                consumer = await stack.enter_async_context(broker.consume("q", auto_ack=False))
                tasks.add(asyncio.create_task(handled.handle(consumer)))
            costs = [await block() for _ in range(scale.blocks + 1)][1:]
            lines.add("publish + consume", statistics.median(costs))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return lines


def _consumers(server: BenchServer, scale: Scale) -> Lines:
    return asyncio.run(_draw(server, scale))


_TITLE = "Cost of a message against the consumers of its queue"
CURVES = (Curve("consumers", _TITLE, "consumers of one queue", SERVER_CPU, _consumers),)
