"""Scenario after scenario until one differs; what differs is shrunk, and has to differ again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from tests.differential.compare import Both, Different
from tests.differential.scenarios import scenarios
from tests.differential.steps import Step

BATCH = 100
SHRINK_S = 15.0


class Enough(BaseException):
    """The time is over; no Exception, since Hypothesis would take that for another failure."""


def hunt(pair: Both, number: int, *, count: int = 10**9, seconds: float = float("inf")) -> Iterator[Different]:
    """Yield differences, each shrunk, until so many scenarios ran or the time is over; seeds go up from `number`."""
    until, ran = time.monotonic() + seconds, 0
    while ran < count and time.monotonic() < until:
        before, pair.seed = pair.scenarios, number
        size = min(BATCH, count - ran)
        found = _batch(pair, number, size, until)
        ran += min(pair.scenarios - before, size)
        number += 1
        if found is not None:
            again = _again(pair, found)
            if again is not None:
                yield pair.shrink(again)


def _again(pair: Both, found: Different) -> Different | None:
    """Run it twice more: where it differs no more, a pause of this machine was taken for a time to live."""
    for _ in range(2):
        try:
            pair.run(found.scenario)
        except Different as again:
            return again
    pair.flukes += 1
    return None


def _batch(pair: Both, number: int, count: int, until: float) -> Different | None:
    """Run so many scenarios, fewer when the time is over; return the first difference, shrunk by Hypothesis."""
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

    with suppress(Different, Enough, Flaky):
        every()
    return smallest
