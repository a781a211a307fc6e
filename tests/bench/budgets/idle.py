"""The budget of doing nothing: what 100 consumers with a session each and 10,000 idle queues cost the server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from rexchange import AsyncBroker, AsyncConsumer, Broker
from tests.bench.budgets.case import QUICK, Bench, Case, Row, Scale, Side
from tests.bench.holding import declare_many
from tests.bench.work import Figures

_ONE_CORE_MS = 1000.0


@contextmanager
def consumers(url: str, count: int) -> Iterator[None]:
    """So many processes' worth: a broker, so a session and a heartbeat, and a consumer of a queue of its own each."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = AsyncExitStack()

    async def begin() -> list[asyncio.Task[None]]:
        tasks = []
        for number in range(count):
            broker = await stack.enter_async_context(AsyncBroker(url))
            consumer = await stack.enter_async_context(broker.consume(f"q{number}", auto_ack=False))
            tasks.append(loop.create_task(_wait(consumer)))
        return tasks

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stack.aclose()

    tasks = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    try:
        yield
        if ended := [task for task in tasks if task.done()]:
            raise AssertionError(f"{len(ended)} consumers did not wait for all of the time: {ended[0]}")
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _wait(consumer: AsyncConsumer) -> None:
    async for delivery in consumer:
        raise AssertionError(f"nobody publishes here: {delivery}")


@contextmanager
def _idle(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server, part = bench.server, bench.scale.part
    queues, count = bench.scale.size(10_000), bench.scale.size(100, 5)
    seconds = 1.0 if part < QUICK.part else 10.0
    with Broker(server.url) as broker:
        declare_many(broker, 0, queues)
    with consumers(server.url, count):

        def ours() -> Figures:
            cpu, started = server.cpu(), time.monotonic()
            time.sleep(seconds)  # two heartbeats of each
            return {"share": (server.cpu() - cpu) / (time.monotonic() - started) * 1000}

        yield ours, lambda: {"share": _ONE_CORE_MS}


def cases(scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    what = f"{scale.size(10_000):,} idle queues, {scale.size(100, 5)} consumers: share of one Redis core"
    return [Case((Row("idle", what, "share", 0.01, "ms of CPU a second"),), _idle, most_rounds=1)]
