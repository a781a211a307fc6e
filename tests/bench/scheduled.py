"""A million messages that wait for their time: `python -m tests.bench.scheduled`.

It shows what publishing costs then, how late what is due comes, and how much memory each takes.
Publishing to a vhost with all of them and to one with none takes turns, so that a noisy neighbour hits both.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from rexchange import Broker, Message
from tests.bench.server import BenchServer

BODY = b"x" * 200
BATCH = 100
ROUNDS = 7
PER_ROUND = 5000
BUDGET_RATIO, BUDGET_MS = 1.3, 100.0


def waiting(count: int) -> list[Message]:
    """Return messages that come some time in the next year, in no order."""
    return [
        Message(BODY, routing_key="q", delay=timedelta(days=1, seconds=(number * 7919) % 31_000_000))
        for number in range(count)
    ]


def fill(broker: Broker, count: int) -> None:
    for start in range(0, count, 1000):
        broker.publish_many(waiting(min(1000, count - start)))


def cost(server: BenchServer, broker: Broker, messages: list[Message]) -> float:
    """Return microseconds of the server's CPU a message."""
    before = server.cpu()
    for start in range(0, len(messages), BATCH):
        broker.publish_many(messages[start : start + BATCH])
    return (server.cpu() - before) / len(messages) * 1e6


def ratios(server: BenchServer, full: Broker, empty: Broker, make: Callable[[int], list[Message]]) -> list[float]:
    """Return the cost with a million over that with none, each round."""
    found: list[float] = []
    for number in range(ROUNDS + 1):
        messages = make(PER_ROUND)
        sides = [full, empty] if number % 2 else [empty, full]
        spent = {id(broker): cost(server, broker, messages) for broker in sides}
        for broker in sides:
            broker.purge("q")
        _cancel_all(empty)
        if number:  # the first round loads scripts and warms caches
            found.append(spent[id(full)] / spent[id(empty)])
    return found


def _cancel_all(broker: Broker) -> None:
    for each in broker.scheduled(limit=PER_ROUND):
        broker.cancel_scheduled(each.id)


def lateness(broker: Broker, seconds: int, rate: int) -> list[float]:
    """Return by how many ms each message came after its time, at so many a second."""
    start = datetime.now(UTC) + timedelta(seconds=2 + seconds * rate / 20_000)
    due = [start + timedelta(seconds=number / rate) for number in range(seconds * rate)]
    for first in range(0, len(due), 1000):
        broker.publish_many(
            [Message(b"%f" % at.timestamp(), routing_key="q", at=at) for at in due[first : first + 1000]]
        )
    late: list[float] = []
    with broker.consume("q", timeout=10) as consumer:
        for delivery in consumer:
            late.append((time.time() - float(delivery.body)) * 1000)
            if len(late) == len(due):
                break
    return sorted(late)


def main() -> int:
    """Print a table; return 1 where a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduled", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=1000)
    options = parser.parse_args()
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    table = Table("what", "figure", "budget", "", title=f"{options.count:,} messages wait")
    short = 0

    def row(what: str, figure: str, budget: str, *, good: bool) -> None:
        nonlocal short
        short += not good
        table.add_row(what, figure, budget, "[green]pass[/]" if good else "[red]short[/]")

    with BenchServer() as server, Broker(server.url, vhost="full") as full, Broker(server.url, vhost="empty") as empty:
        for broker in (full, empty):
            broker.declare_queue("q")
        before = server.client.info("memory")["used_memory"]
        started = time.monotonic()
        fill(full, options.count)
        took = time.monotonic() - started
        memory = (server.client.info("memory")["used_memory"] - before) / options.count
        table.add_row("memory a waiting message of 200 bytes", f"{memory:.0f} bytes", "", "")
        table.add_row("published in batches of 1,000", f"{options.count / took:,.0f} a second", "", "")
        cases: dict[str, Callable[[int], list[Message]]] = {
            "publish with a delay": waiting,
            "publish without": lambda count: [Message(BODY, routing_key="q")] * count,
        }
        for what, make in cases.items():
            found = ratios(server, full, empty, make)
            ratio = statistics.median(found)
            figure = f"{ratio:.2f} ({min(found):.2f} to {max(found):.2f})"
            row(
                f"{what}: server CPU, over that with none waiting",
                figure,
                f"{BUDGET_RATIO}",
                good=ratio <= BUDGET_RATIO,
            )
        late = lateness(full, options.seconds, options.rate)
        half, most = late[len(late) // 2], late[int(len(late) * 0.999)]
        figure = f"{half:.1f} / {most:.1f} / {late[-1]:.1f} ms"
        what = f"late at {options.rate:,} a second: median / p99.9 / worst of {len(late):,}"
        row(what, figure, f"{BUDGET_MS:g} ms", good=late[-1] <= BUDGET_MS)
        Console(width=None if sys.stdout.isatty() else 140).print(f"{server.name}", table)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
