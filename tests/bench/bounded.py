"""No call stalls the server: `python -m tests.bench.bounded` does the largest jobs and shows the slowest call of each.

The server itself measures, by SLOWLOG. A call that waited for the processor counts, too, so run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from rexchange import Broker, Message, scripts
from tests.bench.server import BenchServer

LIMIT_MS = 20.0
BATCH = 1000


def fill(broker: Broker, queue: str, count: int) -> None:
    batch = [Message(b"x" * 20, routing_key=queue)] * BATCH
    for _ in range(0, count, BATCH):
        broker.publish_many(batch)


def bindings(broker: Broker, scale: float) -> str:
    """Bind a queue 5,000 times, route, and delete it."""
    count = int(5000 * scale)
    broker.declare_exchange("events", "topic")
    broker.declare_queue("bound")
    for number in range(count):
        broker.bind("bound", "events", f"user.{number}.*.#")
    broker.publish(b"", exchange="events", routing_key="user.1.created")
    broker.delete_queue("bound")
    return f"{count:,} bindings of one queue, made and deleted"


def expiry(broker: Broker, scale: float) -> str:
    """Let messages expire that nobody takes; each goes to a dead-letter queue."""
    count = int(1_000_000 * scale)
    broker.declare_queue("dead")
    broker.declare_queue(
        "short", message_ttl=timedelta(milliseconds=1), dead_letter_exchange="", dead_letter_routing_key="dead"
    )
    fill(broker, "short", count)
    while broker.declare_queue("dead", passive=True).message_count < count:
        broker.reap(wait=0.5)
    return f"{count:,} messages expired and dead-lettered"


def purge(broker: Broker, scale: float) -> str:
    """Purge a deep queue."""
    count = int(10_000_000 * scale)
    broker.declare_queue("deep")
    fill(broker, "deep", count)
    purged = broker.purge("deep")
    return f"{purged:,} messages purged"


def delete(broker: Broker, scale: float) -> str:
    """Delete a deep queue."""
    count = int(1_000_000 * scale)
    broker.declare_queue("gone")
    fill(broker, "gone", count)
    return f"a queue of {broker.delete_queue('gone'):,} messages deleted"


def shrink(broker: Broker, scale: float) -> str:
    """Set a policy that leaves 10 of all messages."""
    count = int(1_000_000 * scale)
    broker.declare_queue("shrinks")
    fill(broker, "shrinks", count)
    broker.set_policy("few", "^shrinks$", {"max-length": 10})
    assert broker.declare_queue("shrinks", passive=True).message_count == 10
    return f"{count:,} messages dropped by a policy's max-length"


def reaped(broker: Broker, scale: float) -> str:
    """Let a session die that holds 100,000 deliveries."""
    count = int(100_000 * scale)
    broker.declare_queue("held")
    fill(broker, "held", count)
    with broker.consume("held", auto_ack=False, prefetch=2000, timeout=0) as consumer:
        taken = sum(1 for _ in consumer)
    return f"{taken:,} deliveries given back by one consumer"


JOBS: tuple[Callable[[Broker, float], str], ...] = (bindings, expiry, purge, delete, shrink, reaped)


def slowest(server: BenchServer) -> tuple[float, str]:
    """Return the milliseconds of the slowest call since the last look, and what it was."""
    names = {scripts.load(name).sha: name for name in scripts.names()}
    worst, what = 0.0, "-"
    for entry in server.client.slowlog_get(10_000):
        words = entry["command"].split(b" ")
        if entry["duration"] / 1000 > worst:
            worst = entry["duration"] / 1000
            what = names.get(words[1].decode(), "?") if words[0] == b"EVALSHA" else words[0].decode()
    server.client.slowlog_reset()
    return worst, what


def main() -> int:
    """Print a table; return 1 where a call took longer than the limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bounded", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes, such as 0.01")
    options = parser.parse_args()
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    table = Table("what", "seconds", "slowest call, ms", "of", "", title=f"at most {LIMIT_MS:g} ms a call")
    late = 0
    with BenchServer() as server:
        server.client.config_set("slowlog-log-slower-than", 200)
        server.client.config_set("slowlog-max-len", 10_000)
        for job in JOBS:
            server.flush()
            with Broker(server.url) as broker:
                started = time.monotonic()
                what = job(broker, options.scale)
            took = time.monotonic() - started
            worst, name = slowest(server)
            late += worst > LIMIT_MS
            verdict = "[red]short[/]" if worst > LIMIT_MS else "[green]pass[/]"
            table.add_row(what, f"{took:.1f}", f"{worst:.1f}", name, verdict)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
