"""`make bench-budgets`: each budget of the design as a ratio of two things measured in turns in one run.

It measures and does not judge: its status is 0 also where a budget is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.bench import results
from tests.bench.budgets import running
from tests.bench.budgets.case import DEFAULT, FULL, QUICK


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.budgets", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="large sizes divided by 10, fewer rounds")
    size.add_argument("--full", action="store_true", help="a queue 10,000,000 deep, more rounds")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="rows whose name begins so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write them into this file of results")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL if options.full else DEFAULT
    try:
        cases = running.chosen(running.all_cases(scale), options.only)
    except ValueError as error:
        parser.error(str(error))
    console = running.a_console()
    started = time.monotonic()

    def tell(names: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:4.0f} s  {names}[/]", highlight=False)

    rows, servers = running.run_all(cases, scale, tell)
    running.show(console, rows)
    console.print(f"{time.monotonic() - started:.0f} seconds, {servers}")
    if options.json:
        results.put(options.json, "budgets", rows, servers, only=bool(options.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
