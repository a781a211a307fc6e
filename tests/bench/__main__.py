"""`make bench`: the first budgets of the design, each a ratio of two things measured in one run.

Rounds alternate ours and the bare commands, so that a noisy neighbour hits both; the ratio of the medians counts.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.cases import CASES, Case, Figure
from tests.bench.server import BenchServer

ROUNDS = 7


def measure(case: Case, server: BenchServer, messages: int, rounds: int) -> tuple[list[Figure], list[Figure]]:
    """Return the figures of ours and of the bare commands, one a round."""
    ours: list[Figure] = []
    bare: list[Figure] = []
    for number in range(rounds + 1):
        sides = [(case.ours, ours), (case.bare, bare)]
        for run, figures in sides if number % 2 else reversed(sides):
            server.flush()
            figure = run(server, messages)
            if number:  # the first round loads scripts and warms caches
                figures.append(figure)
    return ours, bare


def main() -> int:
    """Run the cases and print them; 0 also where a budget is missed: this measures, it does not judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="of one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    table = Table("what", "ours", "bare", "ratio", "spread", "budget", "", title="microseconds a message, medians")
    results: list[dict[str, object]] = []
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    console = Console(width=None if sys.stdout.isatty() else 120)
    with BenchServer() as server:
        console.print(f"{server.name}, {options.rounds} rounds of {options.messages:,} messages of 200 bytes each")
        for case in CASES:
            ours, bare = measure(case, server, max(options.messages // case.fewer, 100), options.rounds)
            for name, budget in case.budgets.items():
                mine = [getattr(figure, name) for figure in ours]
                theirs = [getattr(figure, name) for figure in bare]
                ratio = statistics.median(mine) / statistics.median(theirs)
                ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
                verdict = "pass" if ratio <= budget else "short"
                what = f"{case.what}: {name} CPU"
                table.add_row(
                    what,
                    f"{statistics.median(mine):.2f}",
                    f"{statistics.median(theirs):.2f}",
                    f"{ratio:.2f}",
                    f"{min(ratios):.2f}-{max(ratios):.2f}",
                    f"<= {budget}",
                    f"[green]{verdict}[/]" if verdict == "pass" else f"[red]{verdict}[/]",
                )
                results.append({"what": what, "ratio": ratio, "budget": budget, "verdict": verdict})
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"server": server.name, "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
