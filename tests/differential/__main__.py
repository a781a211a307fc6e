"""`make differential N=2000`: random scenarios on RabbitMQ and on rexchange: what they covered, where they differ."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
from collections import Counter
from contextlib import suppress

from hypothesis import HealthCheck, Phase, given, seed, settings
from rich.console import Console
from rich.table import Table

from tests.differential.compare import Both, Different, both
from tests.differential.explained import BY_CONSTRUCTION
from tests.differential.scenarios import scenarios
from tests.differential.steps import Step
from tests.support import servers

BATCH = 100
SHRINK_S = 15.0
MOST_DIFFERENCES = 20


class Enough(BaseException):
    """Shrinking has had its time; no Exception, since Hypothesis would take that for another failure."""


def batch(pair: Both, number: int, count: int, until: float) -> Different | None:
    """Run so many scenarios, fewer when the time is over; return the first difference, shrunk."""
    smallest: Different | None = None
    shrink_until = until

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def every(scenario: list[Step]) -> None:
        nonlocal smallest, shrink_until
        if time.monotonic() > shrink_until:
            raise Enough
        try:
            pair.run(scenario)
        except Different as different:
            if smallest is None:
                shrink_until = time.monotonic() + SHRINK_S
            if smallest is None or len(different.scenario) < len(smallest.scenario):
                smallest = different
            raise

    with suppress(Different, Enough):
        every()
    return None if smallest is None else pair.shrink(smallest)


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
    parser.add_argument("--url", default="", help="the server of rexchange; a Redis here, else memory://")
    options = parser.parse_args()
    here = "redis://{}:{}/0".format(*servers.REDIS) if "redis" in servers.available() else "memory://differential"
    url = options.url or here
    console = Console(width=None if sys.stdout.isatty() else 140)
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    started = time.monotonic()
    kinds: Counter[tuple[object, ...]] = Counter()
    ran, number = 0, options.seed
    with both(url) as pair:
        until = started + options.seconds
        while ran < options.scenarios and len(kinds) < MOST_DIFFERENCES and time.monotonic() < until:
            count = min(BATCH, options.scenarios - ran)
            before = pair.scenarios
            different = batch(pair, number, count, until)
            ran += min(pair.scenarios - before, count)
            number += 1
            if different is not None:
                kinds[different.kind] += 1
                if kinds[different.kind] == 1:
                    console.print(f"\n[bold]difference[/] (--seed {number - 1})")
                    console.print(str(different), markup=False, highlight=False, soft_wrap=True)
        tables(console, pair)
    total = sum(kinds.values())
    took = time.monotonic() - started
    console.print(f"{ran:,} scenarios, {pair.steps:,} steps on {url} in {took:.0f} s, seeds {options.seed} to {number}")
    console.print(f"{total} scenarios differ, of {len(kinds)} kinds")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
