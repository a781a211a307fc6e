"""`make bench-growth`: what a message costs as things grow, for the plots of docs/performance.md."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import results
from tests.bench.growth import bindings, bodies, consumers, sizes
from tests.bench.growth.curve import DEFAULT, QUICK, Curve
from tests.bench.server import BenchServer

CURVES: tuple[Curve, ...] = (*bindings.CURVES, *sizes.CURVES, *consumers.CURVES, *bodies.CURVES)


def show(console: Console, row: Mapping[str, Any]) -> None:
    """Print one curve as a table."""
    table = Table(row["x_label"], *row["series"], title=f"{row['title']}: {row['y_label']}", title_justify="left")
    for number, size in enumerate(row["x"]):
        points = [line[number] for line in row["series"].values()]
        table.add_row(f"{size:,}", *("too slow" if point is None else f"{point:,.2f}" for point in points))
    console.print(table)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to a tenth of the largest sizes")
    parser.add_argument("--only", action="append", default=[], choices=[curve.name for curve in CURVES])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write them into this file of results")
    options = parser.parse_args()
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    console = Console(width=None if sys.stdout.isatty() else 140)
    rows: list[dict[str, Any]] = []
    servers: dict[str, str] = {}
    begun = time.monotonic()
    for curve in CURVES:
        if options.only and curve.name not in options.only:
            continue
        started = time.monotonic()
        with BenchServer() as server:
            name, _, version = server.name.partition(" ")
            servers[name] = version
            rows.append(curve.row(server, QUICK if options.quick else DEFAULT))
        show(console, rows[-1])
        console.print(f"[dim]{time.monotonic() - started:.0f} s[/]")
    console.print(f"{time.monotonic() - begun:.0f} seconds, {servers}")
    if options.json:
        results.put(options.json, "growth", rows, servers, only=bool(options.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
