"""What each level of confirmation costs a publish: `python -m tests.bench.confirms`.

A master with AOF everysec and a replica, both on this machine: over a network its delay comes on top.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time

from rich.console import Console
from rich.table import Table

from rexchange import Broker
from rexchange.testing import wait_until
from tests.chaos.servers import running

BODY = b"x" * 200
LEVELS = ("memory", "replicated", "synced")


def latencies(broker: Broker, level: str, count: int) -> list[float]:
    """Return how many microseconds each publish took, one after the other."""
    found: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        broker.publish(BODY, routing_key="q", confirm=level)
        found.append((time.perf_counter() - start) * 1e6)
    return found


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.confirms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fsync", choices=["everysec", "always"], default="everysec")
    options = parser.parse_args()
    logging.getLogger("rexchange").setLevel(logging.ERROR)
    counts = {"memory": 300, "replicated": 300, "synced": 3 if options.fsync == "everysec" else 100}
    found: dict[str, list[float]] = {level: [] for level in LEVELS}
    with (
        running("valkey", "--appendonly", "yes", "--appendfsync", options.fsync) as master,
        running("valkey", "--replicaof", "127.0.0.1", str(master.port)) as replica,
        Broker(f"redis://127.0.0.1:{master.port}") as broker,
        replica.client() as client,
    ):
        wait_until(lambda: client.info("replication").get("master_link_status") == "up", timeout=15)
        broker.declare_queue("q")
        for number in range(options.rounds + 1):
            for level in LEVELS:
                took = latencies(broker, level, counts[level])
                if number:  # the first round connects and loads scripts
                    found[level] += took
    table = Table("confirm", "median", "p99", "over memory", title=f"latency of one publish, AOF {options.fsync}")
    for level in LEVELS:
        took = sorted(found[level])
        half, most = statistics.median(took), took[int(len(took) * 0.99)]
        table.add_row(level, f"{half:,.0f} us", f"{most:,.0f} us", f"{half / statistics.median(found['memory']):.1f} x")
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
