"""Many queues and many consumers, and what they cost: `python -m tests.bench.crowds`.

The server's own figures: connections, memory, CPU of its main thread. Consumers are asyncio's, so that one process can
have a thousand; each session has its thread for the heartbeat, as always.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rich.console import Console
from rich.table import Table

from rexchange import AsyncBroker, AsyncConsumer, Message
from rexchange.testing import async_wait_until
from tests.bench.server import BenchServer

BODY = b"x" * 200
IDLE_PERCENT = 1.0
"""The design's budget: share of one core of Redis for the reaper and the heartbeats, 100 consumers, 10,000 queues."""


class Report:
    """The table, and how many figures are short of their budgets."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.table = Table("what", "figure", "budget", "")
        self.short = 0

    def add(self, what: str, figure: str, budget: str = "", *, good: bool = True) -> None:
        """Add a row; one without a budget is for information."""
        self.short += not good
        self.table.add_row(what, figure, budget, "" if not budget else "[green]pass[/]" if good else "[red]short[/]")


class Watch:
    """What the server spends while a block runs."""

    def __init__(self, server: BenchServer) -> None:
        """Start now."""
        self._server = server
        self._cpu, self._time = server.cpu(), time.monotonic()
        self._memory = self._info("memory", "used_memory")
        self._connections = self._info("clients", "connected_clients")
        self._calls = self.calls()

    def _info(self, section: str, name: str) -> int:
        return int(self._server.client.info(section)[name])

    def calls(self) -> dict[str, int]:
        """Return how often each command was called, by clients or scripts."""
        stats = self._server.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}

    @property
    def cpu(self) -> float:
        """CPU seconds of the main thread."""
        return self._server.cpu() - self._cpu

    @property
    def percent(self) -> float:
        """Percent of one core."""
        return 100 * self.cpu / (time.monotonic() - self._time)

    @property
    def memory(self) -> int:
        """Bytes that were not used before."""
        return self._info("memory", "used_memory") - self._memory

    @property
    def connections(self) -> int:
        """Connections that were not there before."""
        return self._info("clients", "connected_clients") - self._connections

    def called(self, command: str) -> int:
        """Return how often a command was called."""
        return self.calls().get(command, 0) - self._calls.get(command, 0)


async def declare(broker: AsyncBroker, names: Sequence[str]) -> None:
    """Declare queues, a hundred at a time."""
    for start in range(0, len(names), 100):
        await asyncio.gather(*(broker.declare_queue(name) for name in names[start : start + 100]))


async def register(stack: AsyncExitStack, consumers: Sequence[AsyncConsumer]) -> None:
    """Enter consumers, fifty at a time."""
    for start in range(0, len(consumers), 50):
        await asyncio.gather(*(stack.enter_async_context(each) for each in consumers[start : start + 50]))


@asynccontextmanager
async def reading(
    consumers: Sequence[AsyncConsumer], take: Callable[[AsyncConsumer], Awaitable[None]]
) -> AsyncIterator[None]:
    """Keep each consumer in a loop of its own."""
    tasks = [asyncio.ensure_future(take(each)) for each in consumers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def consuming(
    consumers: Sequence[AsyncConsumer], take: Callable[[AsyncConsumer], Awaitable[None]]
) -> AsyncIterator[None]:
    """Register consumers and read."""
    async with AsyncExitStack() as stack:
        await register(stack, consumers)
        async with reading(consumers, take):
            yield


class Taker:
    """Acks what comes, and counts it."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.count = 0
        self._came = asyncio.Event()

    async def __call__(self, consumer: AsyncConsumer) -> None:
        """Take until the consumer ends."""
        async for delivery in consumer:
            await delivery.ack()
            self.count += 1
            self._came.set()

    async def until(self, count: int) -> None:
        """Wait until so many have come."""
        while self.count < count:
            self._came.clear()
            await self._came.wait()


async def one_by_one(broker: AsyncBroker, taker: Taker, names: Sequence[str], count: int) -> None:
    """Publish each message when the one before has been taken, to the queues in turn."""
    for number in range(count):
        wanted = taker.count + 1
        await broker.publish(BODY, routing_key=names[number * 7919 % len(names)])
        await taker.until(wanted)


async def all_at_once(broker: AsyncBroker, taker: Taker, names: Sequence[str], count: int) -> None:
    """Publish in batches to all the queues, and wait until all has been taken."""
    wanted = taker.count + count
    for start in range(0, count, 100):
        await broker.publish_many(
            [Message(BODY, routing_key=names[at * 7919 % len(names)]) for at in range(start, start + 100)]
        )
    await taker.until(wanted)


async def over_queues(server: BenchServer, report: Report, count: int, seconds: float) -> None:
    """One consumer over so many queues."""
    async with AsyncBroker(server.url, vhost=f"over-{count}") as broker:
        names = [f"q{number}" for number in range(count)]
        await declare(broker, names)
        await broker.publish(BODY, routing_key="none")  # the lane's connection and memory are not the consumer's
        watch, started, taker = Watch(server), time.monotonic(), Taker()
        async with consuming([broker.consume(names, auto_ack=False, prefetch=200)], taker):
            took = time.monotonic() - started
            await asyncio.sleep(1)
            what = f"one consumer over {count:,} queue{'s' * (count > 1)}"
            report.add(f"{what}: connections, its heartbeat's with it", f"{watch.connections}")
            report.add(f"{what}: memory, registered in", f"{watch.memory / 1024:,.0f} KiB, {took * 1000:.0f} ms")
            idle = Watch(server)
            await asyncio.sleep(seconds)
            report.add(f"{what}: idle, share of a core", f"{idle.percent:.2f} %")
            for way, how in ((one_by_one, "one by one"), (all_at_once, "2,000 at once")):
                await way(broker, taker, names, 200)
                spent = Watch(server)
                await way(broker, taker, names, 2000)
                report.add(f"{what}: a message, {how}", f"{spent.cpu / 2000 * 1e6:.0f} us of the server")


async def on_one_queue(server: BenchServer, report: Report, count: int, seconds: float) -> float:
    """So many consumers on one queue; returns microseconds of the server a message."""
    # Reads that do not end by themselves meanwhile, so that only what wakes a consumer makes it read again.
    async with AsyncBroker(server.url, vhost=f"on-{count}", block=600, session_timeout=1200) as broker:
        await broker.declare_queue("q")
        await broker.publish(BODY, routing_key="none")
        watch, started, taker = Watch(server), time.monotonic(), Taker()
        consumers = [broker.consume("q", auto_ack=False, prefetch=1) for _ in range(count)]
        async with consuming(consumers, taker):

            def blocked() -> bool:
                return int(server.client.info("clients")["blocked_clients"]) > count  # one is the heartbeat's

            await async_wait_until(blocked, timeout=60)
            took = time.monotonic() - started
            what = f"{count:,} consumer{'s' * (count > 1)} on one queue"
            report.add(f"{what}: connections, the heartbeat's with them", f"{watch.connections}")
            report.add(
                f"{what}: memory of each, all blocked in", f"{watch.memory / count / 1024:,.0f} KiB, {took:.1f} s"
            )
            idle = Watch(server)
            await asyncio.sleep(seconds)
            report.add(f"{what}: idle, share of a core", f"{idle.percent:.2f} %")
            await one_by_one(broker, taker, ["q"], 100)
            await async_wait_until(blocked, timeout=60)
            spent = Watch(server)
            await one_by_one(broker, taker, ["q"], 500)
            await async_wait_until(blocked, timeout=60)
            woken = spent.called("xreadgroup") / 500
            report.add(f"{what}: woken by a publish", f"{woken:.2f}", "1", good=woken < 1.1)
            cost = spent.cpu / 500 * 1e6
            report.add(f"{what}: a message, one by one", f"{cost:.0f} us of the server")
            return cost


async def idle_crowd(server: BenchServer, report: Report, queues: int, each: int, seconds: float) -> None:
    """A hundred sessions with a consumer of `each` queues, all idle, in a vhost with very many queues."""
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(AsyncBroker(server.url, vhost=f"idle-{each}"))
        names = [f"q{number}" for number in range(queues)]
        watch, started = Watch(server), time.monotonic()
        await declare(owner, names)
        took = time.monotonic() - started
        if each == 1:
            figure = f"{watch.memory / queues:,.0f} bytes, {took:.1f} s"
            report.add(f"{queues:,} queues: memory of each, all declared in", figure)
        await asyncio.sleep(1)
        alone = Watch(server)
        await asyncio.sleep(seconds)
        base = alone.percent
        watch = Watch(server)
        brokers = [await stack.enter_async_context(AsyncBroker(server.url, vhost=owner.vhost)) for _ in range(100)]
        consumers = [
            broker.consume([names[(number * each + place) % queues] for place in range(each)], auto_ack=False)
            for number, broker in enumerate(brokers)
        ]
        what = f"{queues:,} idle queues, 100 consumers of {each}"
        await register(stack, consumers)
        await asyncio.sleep(6)  # the first beats come together
        idle = Watch(server)
        await asyncio.sleep(seconds)
        share = idle.percent - base
        figure = f"{share:.2f} % (alone {base:.2f} %)"
        report.add(
            f"{what}: heartbeats and reaper, share of Redis' core",
            figure,
            f"{IDLE_PERCENT:g} %",
            good=share <= IDLE_PERCENT,
        )
        async with reading(consumers, Taker()):
            await asyncio.sleep(6)
            report.add(f"{what}: connections", f"{watch.connections}")
            idle, process = Watch(server), time.process_time()
            await asyncio.sleep(seconds)
            share, mine = idle.percent - base, 100 * (time.process_time() - process) / seconds
            report.add(f"{what}: and their idle reads", f"{share:.2f} %")
            report.add(f"{what}: client CPU, share of a core", f"{mine:.1f} %")


async def measure(server: BenchServer, report: Report, queues: int, seconds: float) -> None:
    """Measure all."""
    for count in (1, 2, 500):
        await over_queues(server, report, count, seconds)
    one = await on_one_queue(server, report, 1, seconds)
    many = await on_one_queue(server, report, 1000, seconds)
    report.add("a message, 1,000 consumers over 1", f"{many / one:.2f}")
    for each in (1, 100):
        await idle_crowd(server, report, queues, each, seconds)


def main() -> int:
    """Print a table; return 1 where a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowds", description=__doc__)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="to watch what is idle")
    options = parser.parse_args()
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    report = Report()
    with BenchServer() as server:
        asyncio.run(measure(server, report, options.queues, options.seconds))
        report.table.title = server.name
    Console(width=None if sys.stdout.isatty() else 140).print(report.table)
    return 1 if report.short else 0


if __name__ == "__main__":
    sys.exit(main())
