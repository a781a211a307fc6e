"""Large bodies that go to several queues (ADR 14): `python -m tests.bench.bodies` measures what storing once costs.

Memory of a body to 1,000 queues; the server's CPU time of publishing 1 MB to ten, over one bare XADD of it; of
consuming, over bodies that each queue has for itself. Contestants take turns; medians.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.table import Table

from rexchange import Broker, Message
from rexchange.message import encode_envelope
from tests.bench.server import BenchServer

MIB = 1 << 20
SIZE, QUEUES = 65_536, 1000
LARGE = 16_384
"""LARGE of lua/lib/planning.lua: smaller ones are not shared."""
MOST_BODIES, MOST_BYTES, MOST_STALL = 2, 150, 2.0

Work = Callable[[], object]


def fan(broker: Broker, queues: int) -> list[str]:
    """Declare an exchange of so many queues, and return their names."""
    names = [f"queue-{number:03}" for number in range(queues)]
    broker.declare_exchange("events", "fanout")
    for name in names:
        broker.declare_queue(name)
        broker.bind(name, "events")
    return names


def publish(broker: Broker, body: bytes) -> None:
    """Publish to all queues of the exchange."""
    broker.publish(body, exchange="events", routing_key="user.42.created")


def memory(server: BenchServer, count: int) -> float:
    """Return the bytes that a body to all queues takes, where each holds one already."""
    server.flush()
    with Broker(server.url) as broker:
        fan(broker, QUEUES)
        publish(broker, os.urandom(SIZE))
        before = server.client.info("memory")["used_memory"]
        for _ in range(count):
            publish(broker, os.urandom(SIZE))
        return float(server.client.info("memory")["used_memory"] - before) / count


def in_turns(server: BenchServer, works: dict[str, tuple[Work, Work]], rounds: int, times: int = 5) -> dict[str, float]:
    """Return the server's CPU time in us of each work, done so many times after its preparation."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds):
        names = list(works)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            prepare, work = works[name]
            prepare()
            before = server.cpu()
            for _ in range(times):
                work()
            found[name].append((server.cpu() - before) * 1e6 / times)
    return {name: median(times) for name, times in found.items()}


def stall(server: BenchServer, rounds: int) -> dict[str, float]:
    """Publish 1 MB: by a bare XADD, to an empty script, to one queue, to ten."""
    server.flush()
    body, client = os.urandom(MIB), server.client
    empty = client.script_load("return #ARGV[1]")
    with Broker(server.url) as broker:
        names = fan(broker, 10)

        def clean() -> None:
            client.delete("bare")
            for name in names:
                broker.purge(name)

        works: dict[str, Work] = {
            "a bare XADD": lambda: client.xadd("bare", {"m": b"x" * 50, "b": body}),
            "a script that does nothing": lambda: client.evalsha(empty, 0, body),
            "a publish to 1 queue": lambda: broker.publish(body, routing_key=names[0]),
            "a publish to 10 queues": lambda: publish(broker, body),
        }
        return in_turns(server, {name: (clean, work) for name, work in works.items()}, rounds)


def consuming(server: BenchServer, rounds: int, size: int) -> dict[str, float]:
    """Take and ack what two queues hold: messages that share their bodies, or have them each for itself (bare XADD)."""
    server.flush()
    count = min(200, 32 * MIB // size)
    with Broker(server.url) as broker:
        names = fan(broker, 2)
        streams = [broker._link.keys.stream(name.encode()) for name in names]
        body = os.urandom(size)
        envelope = encode_envelope(Message(b"", exchange="events", routing_key="user.42.created"))

        def share() -> None:
            for _ in range(count):
                publish(broker, body)

        def whole() -> None:
            for stream in streams:
                for _ in range(count):
                    server.client.xadd(stream, {"m": envelope, "b": body})

        def consume() -> None:
            for name in names:
                with broker.consume(name, auto_ack=False, prefetch=50, timeout=1) as consumer:
                    for _, delivery in zip(range(count), consumer, strict=False):
                        delivery.ack()

        found = in_turns(server, {"shared": (share, consume), "whole": (whole, consume)}, rounds, times=1)
    return {name: each / 2 / count for name, each in found.items()}


def main() -> int:
    """Print a table; return 1 where a budget is not met."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bodies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    with BenchServer() as server:
        table = Table("what", "measured", "over", "budget", title=server.name)
        short = 0

        def row(what: str, measured: str, ratio: float | None = None, budget: float | None = None) -> None:
            nonlocal short
            late = ratio is not None and budget is not None and ratio > budget
            short += late
            verdict = "" if budget is None else f"{'[red]short' if late else '[green]pass'}[/] ({budget:g})"
            table.add_row(what, measured, "" if ratio is None else f"{ratio:.2f}", verdict)

        taken = memory(server, 100)
        row(f"memory of {SIZE:,} bytes to {QUEUES:,} queues", f"{taken:,.0f} bytes", taken / SIZE)
        row("the same beyond one body, a queue", f"{(taken - SIZE) / QUEUES:.0f} bytes")
        allowed = MOST_BODIES * SIZE + MOST_BYTES * QUEUES
        row(f"the same over {MOST_BODIES} bodies and {MOST_BYTES} bytes a queue", "", taken / allowed, 1)
        times = stall(server, rounds)
        for name, each in times.items():
            budget = MOST_STALL if name == "a publish to 10 queues" else None
            row(f"1 MB: {name}", f"{each:,.0f} us", each / times["a bare XADD"], budget)
        for size in (LARGE, 2 * LARGE, SIZE, MIB):
            times = consuming(server, max(rounds // 2, 1), size)
            row(f"consume {size:,} bytes: whole", f"{times['whole']:,.0f} us")
            row(f"consume {size:,} bytes: shared", f"{times['shared']:,.0f} us", times["shared"] / times["whole"])
        Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
