"""The budget of doing nothing: what 100 consumers with a session each and 10,000 idle queues cost the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

from rexchange import AsyncBroker, AsyncConsumer, Broker
from tests.bench.budgets.case import QUICK, Bench, Case, Row, Scale, Side
from tests.bench.holding import declare_many
from tests.bench.looping import Tasks, loop
from tests.bench.work import Figures

_ONE_CORE_MS = 1000.0


@contextmanager
def _consumers(url: str, count: int) -> Iterator[None]:
    """So many processes' worth: a broker, so a session and a heartbeat, and a consumer of a queue of its own each."""
    tasks, stack = Tasks(), AsyncExitStack()

    async def begin() -> None:
        for number in range(count):
            broker = await stack.enter_async_context(AsyncBroker(url))
            consumer = await stack.enter_async_context(broker.consume(f"q{number}", auto_ack=False))
            tasks.start(partial(_wait, consumer))

    async def end() -> None:
        try:
            await tasks.cancel()
        finally:
            await stack.aclose()

    with loop() as own:
        try:
            own.run(begin)
            yield
        finally:
            own.run(end)


async def _wait(consumer: AsyncConsumer) -> None:
    async for delivery in consumer:
        raise AssertionError(f"nobody publishes here: {delivery}")


@contextmanager
def _idle(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server = bench.server
    queues, count = bench.scale.size(10_000), bench.scale.size(100, 5)
    seconds = 1.0 if bench.scale.part < QUICK.part else 10.0
    with Broker(server.url) as broker:
        declare_many(broker, 0, queues)
    with _consumers(server.url, count):

        def ours() -> Figures:
            cpu, started = server.cpu(), time.monotonic()
            time.sleep(seconds)  # two heartbeats of each
            return {"share": (server.cpu() - cpu) / (time.monotonic() - started) * 1000}

        yield ours, lambda: {"share": _ONE_CORE_MS}


def cases(scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    what = f"{scale.size(10_000):,} idle queues, {scale.size(100, 5)} consumers: share of one Redis core"
    return [Case((Row("idle", what, "share", 0.01, "ms of CPU a second"),), _idle, most_rounds=1)]
