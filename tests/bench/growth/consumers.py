"""What a message costs as the consumers of its queue become many."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from functools import partial

from rexchange import AsyncBroker, AsyncConsumer, Message
from tests.bench.growth.curve import SERVER_CPU, Curve, Point, Scale
from tests.bench.holding import SMALL
from tests.bench.looping import Loop, Tasks, loop
from tests.bench.server import BenchServer
from tests.bench.work import BATCH

_ALL_HANDLED_S = 120


def _sizes(scale: Scale) -> list[int]:
    return scale.up_to(1, 10, 100, 1000)


class _Crowd:
    """A queue with so many consumers, each on a connection of its own."""

    def __init__(self, server: BenchServer, size: int, messages: int) -> None:
        self._server = server
        self._size = size
        self._messages = messages
        self._left = 0
        self._all = asyncio.Event()
        self._broker = AsyncBroker(server.url, vhost=f"size-{size}")
        self._tasks = Tasks()
        self._stack = AsyncExitStack()

    async def begin(self) -> None:
        """Let them wait for messages."""
        await self._stack.enter_async_context(self._broker)
        await self._broker.declare_queue("q")
        for _ in range(self._size):
            consumer = await self._stack.enter_async_context(self._broker.consume("q", auto_ack=False))
            self._tasks.start(partial(self._handle, consumer))

    async def end(self) -> None:
        """Close all of it."""
        try:
            await self._tasks.cancel()
        finally:
            await self._stack.aclose()

    async def block(self) -> float:
        """Publish, and wait until all is handled."""
        self._left = self._messages
        self._all.clear()
        batch = [Message(SMALL, routing_key="q")] * BATCH
        cpu = self._server.cpu()
        for _ in range(0, self._messages, BATCH):
            await self._broker.publish_many(batch)
        await asyncio.wait_for(self._all.wait(), _ALL_HANDLED_S)
        return (self._server.cpu() - cpu) / self._messages * 1e6

    async def _handle(self, consumer: AsyncConsumer) -> None:
        async for delivery in consumer:
            await delivery.ack()
            self._left -= 1
            if self._left == 0:
                self._all.set()


def _prepare(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    own: Loop = stack.enter_context(loop())
    points: list[Point] = []
    for size in _sizes(scale):
        crowd = _Crowd(server, size, scale.messages)
        stack.callback(own.run, crowd.end)
        own.run(crowd.begin)
        points.append(Point("publish + consume", size, partial(own.run, crowd.block)))
    return points


_TITLE = "Cost of a message against the consumers of its queue"
CURVES = (Curve("consumers", _TITLE, "consumers of one queue", SERVER_CPU, _sizes, _prepare),)
