"""What a publish costs with many bindings, over the same with 10: `python -m tests.bench.bindings`.

Topic and direct exchanges with a million, headers exchanges with 10,000. Every message goes to one queue of ten, so
that only the number of bindings differs. Many and few take turns, so that a noisy neighbour hits both.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from rexchange import Binding, Broker, Message, scripts
from rexchange.codec import Table as Headers
from rexchange.keyspace import Keys
from rexchange.protocol import declare
from tests.bench.server import BenchServer

BODY = b"x" * 200
BATCH = 100
QUEUES = 10
FEW = 10
KEYS = 100
"""So many routing keys where the cache of routes is to be warm."""


def some(bindings: int) -> int:
    """Return the number of a binding."""
    return random.randrange(bindings)


Sent = Callable[[int, int], tuple[str, Headers]]
"""Routing key and headers of message number `at` (the second argument) to an exchange with so many bindings."""


@dataclass(frozen=True)
class Case:
    """A type of exchange, key and arguments of its binding number `at`, and what is sent, each with its budget."""

    type: str
    bind: Callable[[int], tuple[str, Headers]]
    sent: dict[str, tuple[Sent, float]]


def _headers(bind: Callable[[int], Headers], what: str, header: str) -> Case:
    def sent(bindings: int, at: int) -> tuple[str, Headers]:
        return "", {header: some(bindings), "kind": "invoice", "trace": at, "v": 1}

    return Case("headers", lambda at: ("", bind(at)), {what: (sent, 3.0)})


CASES = (
    Case(
        "topic",
        lambda at: (f"user.{at}.*", {}),
        {
            "warm cache": (lambda bindings, at: (f"user.{at % KEYS * bindings // KEYS}.k{at % KEYS}", {}), 1.25),
            "cold cache": (lambda bindings, at: (f"user.{some(bindings)}.n{at}", {}), 2.0),
        },
    ),
    Case(
        "direct",
        lambda at: (f"user.{at}", {}),
        {
            "10 keys": (lambda bindings, at: (f"user.{at % FEW * bindings // FEW}", {}), 1.25),
            "any key": (lambda bindings, _: (f"user.{some(bindings)}", {}), 2.0),
        },
    ),
    _headers(lambda at: {"tenant": at}, "one test", "tenant"),
    _headers(lambda at: {"x-match": "all", "kind": "invoice", "tenant": at, "trace": None}, "all, one rare", "tenant"),
    _headers(lambda at: {"x-match": "any", "tenant": at, "owner": at}, "any of two", "owner"),
)


def bind_all(server: BenchServer, broker: Broker, case: Case, count: int) -> float:
    """Bind in pipelines of 1,000 calls, and return the bytes of memory a binding."""
    script, keys = scripts.load("bind"), Keys(broker.vhost.encode())
    vhost_id = server.client.hget(keys.vhost, "id") or b""
    sha = server.client.script_load(script.text)
    before = server.client.info("memory")["used_memory"]
    for start in range(0, count, 1000):
        pipe = server.client.pipeline(transaction=False)
        for at in range(start, min(start + 1000, count)):
            key, arguments = case.bind(at)
            call = declare.bind(Binding("e", f"q{at % QUEUES}", binding_key=key, arguments=arguments), "")
            pipe.evalsha(sha, 1, keys.vhost, vhost_id, *call.args)
        pipe.execute()
    return float(server.client.info("memory")["used_memory"] - before) / count


def cost(server: BenchServer, broker: Broker, messages: list[Message]) -> float:
    """Return microseconds of the server's CPU a message."""
    before = server.cpu()
    for start in range(0, len(messages), BATCH):
        broker.publish_many(messages[start : start + BATCH])
    spent = (server.cpu() - before) / len(messages) * 1e6
    for number in range(QUEUES):
        broker.purge(f"q{number}")
    return spent


def ratios(
    server: BenchServer, brokers: dict[int, Broker], sent: Sent, rounds: int, messages: int
) -> list[list[float]]:
    """Return, each round, the cost of a message with few, with many, and their ratio."""
    found: list[list[float]] = []
    fresh = 0
    for number in range(rounds + 1):
        spent: dict[int, float] = {}
        for count in brokers if number % 2 else reversed(brokers):
            drawn = (sent(count, fresh + at) for at in range(messages))
            batch = [Message(BODY, exchange="e", routing_key=key, headers=headers) for key, headers in drawn]
            spent[count] = cost(server, brokers[count], batch)
        fresh += messages
        if number:  # the first round loads scripts and warms caches
            few, many = (spent[count] for count in brokers)
            found.append([few, many, many / few])
    return found


def measure(case: Case, many: int, table: Table, rounds: int, messages: int) -> int:
    """Add the rows of one case, and return how many are short of their budgets."""
    short = 0
    with BenchServer() as server, Broker(server.url, vhost="few") as few, Broker(server.url, vhost="many") as full:
        brokers = {FEW: few, many: full}
        started, size = server.cpu(), 0.0
        for count, broker in brokers.items():
            broker.declare_exchange("e", case.type)
            for number in range(QUEUES):
                broker.declare_queue(f"q{number}")
            size = bind_all(server, broker, case, count)
        took = server.cpu() - started
        for what, (sent, budget) in case.sent.items():
            found = ratios(server, brokers, sent, rounds, messages)
            low, high, ratio = (statistics.median(column) for column in zip(*found, strict=True))
            spread = f"{min(row[2] for row in found):.2f} to {max(row[2] for row in found):.2f}"
            short += ratio > budget
            table.add_row(
                *(
                    f"{case.type}, {what}",
                    f"{many:,}",
                    f"{took:.0f} s",
                    f"{size:.0f} bytes",
                    f"{low:.1f}",
                    f"{high:.1f}",
                ),
                *(f"{ratio:.2f} ({spread})", f"{budget:g}", "[green]pass[/]" if ratio <= budget else "[red]short[/]"),
            )
        table.title = server.name
    return short


def main() -> int:
    """Print a table; return 1 where a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bindings", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="bindings of topic and direct exchanges")
    parser.add_argument("--headers", type=int, default=10_000, help="bindings of headers exchanges")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=5000, help="in each round")
    options = parser.parse_args()
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    columns = ("exchange", "bindings", "CPU to bind", "memory of one", f"us, {FEW}", "us, many", "ratio", "budget", "")
    table, short = Table(*columns), 0
    for case in CASES:
        many = options.headers if case.type == "headers" else options.count
        short += measure(case, many, table, options.rounds, options.messages)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
