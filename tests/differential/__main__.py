"""`make differential N=2000`: random scenarios on RabbitMQ and on rexchange: what they covered, where they differ."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
from collections import Counter
from contextlib import nullcontext

from rich.console import Console
from rich.table import Table

from tests.differential.compare import Both, both
from tests.differential.explained import BY_CONSTRUCTION
from tests.differential.hunt import hunt
from tests.differential.saving import save
from tests.differential.server import own_server

MOST_DIFFERENCES = 20


def tables(console: Console, pair: Both) -> None:
    """Print how often each feature occurred, and each explained difference."""
    table = Table("feature", "times", title="features covered (steps in which they occurred)")
    for feature, times in sorted(pair.features.items()):
        table.add_row(feature, f"{times:,}")
    console.print(table)
    explained = Table("explained difference", "times", title="different on purpose (docs/semantics.md)")
    counts: Counter[str] = Counter({reason.value: times for reason, times in pair.explained.counts.items()})
    for reason, times in counts.most_common():
        explained.add_row(reason, f"{times:,}")
    for words in BY_CONSTRUCTION:
        explained.add_row(words, "never met")
    console.print(explained)


def main() -> int:
    """Return 1 where they differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("scenarios", type=int, nargs="?", default=2000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--url", default="", help="the server of rexchange; else one of its own")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    started = time.monotonic()
    kinds: Counter[tuple[object, ...]] = Counter()
    with nullcontext(options.url) if options.url else own_server() as url, both(url) as pair:
        for different in hunt(pair, options.seed, count=options.scenarios, seconds=options.seconds):
            kinds[different.kind] += 1
            if kinds[different.kind] == 1:
                console.print(f"\n[bold]difference[/] (--seed {pair.seed})")
                console.print(str(different), markup=False, highlight=False, soft_wrap=True)
                console.print(f"saved as {save(different.scenario, different.what)}", soft_wrap=True)
            if len(kinds) == MOST_DIFFERENCES:
                break
        tables(console, pair)
    total = sum(kinds.values())
    took = time.monotonic() - started
    seeds = f"seeds {options.seed} to {pair.seed}"
    console.print(f"{pair.scenarios:,} scenarios, {pair.steps:,} steps on {url} in {took:.0f} s, {seeds}")
    console.print(f"{pair.flukes} scenarios differed once and not again")
    console.print(f"{total} scenarios differ, of {len(kinds)} kinds")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
