"""Rounds in which all contestants take turns, so that a noisy neighbour hits each of them alike; and their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.bench.peers import session
from tests.bench.peers.process import Failed
from tests.bench.peers.roster import Contestant

_STRIKES = 2
_MOST = 40_000
_LARGE_FEWEST, _LARGE_MOST = 20, 500
_POINTS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


class Backend(Protocol):
    """A server that contestants run on."""

    @property
    def url(self) -> str:
        """Where the contestants find it."""
        ...

    def cpu(self) -> float | None:
        """CPU seconds so far."""
        ...

    def reset(self) -> None:
        """Remove what the last contestant left; `Failed` where the server does not answer."""
        ...


@dataclass(frozen=True)
class Pace:
    """How long it may all take."""

    rounds: int
    box_s: float
    """About how long one phase of one contestant takes: its messages are counted out for that."""
    trips: int
    trips_s: float
    fewest: int = 200
    """Messages that a slow contestant publishes however long it takes."""
    limit_s: float = 420.0
    """No round begins that would end after so many seconds, if it took as long as the longest so far."""


FULL = Pace(rounds=5, box_s=0.25, trips=150, trips_s=0.3)
QUICK = Pace(rounds=1, box_s=0.1, trips=10, trips_s=0.1, fewest=50)


@dataclass
class Record:
    """What is known of one contestant: figures of its rounds, and why rounds of it failed."""

    contestant: Contestant
    rounds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failures: list[str] = field(default_factory=list[str])

    def is_out(self) -> bool:
        """Whether it had its chances."""
        return len(self.failures) >= _STRIKES


def rotated(names: Sequence[Contestant], round_number: int) -> list[Contestant]:
    """Return all of them, beginning with another one each round, every second round backwards.

    So nobody runs always after the same neighbour, whose dirty pages and warm caches it would inherit.
    """
    start = round_number * 5 % len(names) if names else 0
    turned = [*names[start:], *names[:start]]
    return turned if round_number % 2 == 0 else turned[::-1]


def plan(record: Record, pace: Pace) -> session.Plan:
    """Return how much a contestant does next: as much as fits into the time box at the speed it has shown."""
    shown = [each["through_200"]["rate"] for each in record.rounds]
    rate = statistics.median(shown) if shown else record.contestant.rate
    count = int(max(pace.fewest, min(_MOST, rate * pace.box_s)))
    large = max(_LARGE_FEWEST, min(_LARGE_MOST, count // 20))
    return session.Plan(count, ((1024, max(count // 4, 50)), (65_536, large)), pace.trips, pace.trips_s)


def run(
    contestants: Sequence[Contestant],
    backends: Mapping[str, Backend | str],
    pythons: Mapping[str, Path | str],
    pace: Pace,
    tell: Callable[[str], None],
) -> list[Record]:
    """Run all rounds. A string in place of a server or an interpreter says why there is none."""
    records = {each.name: Record(each) for each in contestants}
    began, longest = time.monotonic(), 0.0
    for number in range(pace.rounds):
        started = time.monotonic()
        if number and started - began + longest > pace.limit_s:
            tell(f"no time for round {number + 1}/{pace.rounds}: the medians are of {number}")
            break
        for contestant in rotated(contestants, number):
            record = records[contestant.name]
            backend, python = backends[contestant.broker], pythons[contestant.venv]
            if record.is_out() or isinstance(backend, str) or isinstance(python, str):
                continue
            try:
                backend.reset()
                figures = session.run(contestant, python, backend.url, plan(record, pace), backend.cpu)
            except Failed as error:
                record.failures.append(str(error))
                tell(f"round {number + 1}/{pace.rounds}  {contestant.label}: {error}")
            else:
                record.rounds.append(figures)
                rate = figures["through_200"]["rate"]
                tell(f"round {number + 1}/{pace.rounds}  {contestant.label}: {rate:,.0f} a second end to end")
        longest = max(longest, time.monotonic() - started)
    return list(records.values())


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the median, the least and the most, to four digits."""
    found = list(values)
    figures = {"median": statistics.median(found), "min": min(found), "max": max(found)}
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return the points of a distribution by name (`p50`); each is a value that was measured, not one between two."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {f"p{share * 100:g}": float(f"{ordered[round(share * last)]:.4g}") for share in _POINTS}


def missing(contestant: Contestant, backends: Mapping[str, object], pythons: Mapping[str, object]) -> str | None:
    """Return why a contestant cannot run, if it cannot."""
    for needed in (backends[contestant.broker], pythons[contestant.venv]):
        if isinstance(needed, str):
            return needed
    return None


def summary(record: Record, why: str | None) -> dict[str, Any]:
    """Return what bench-results.json holds of a contestant."""
    one = record.contestant
    said: dict[str, Any] = {
        "label": one.label,
        "broker": one.broker,
        "ours": one.ours,
        "publishes": one.publishes,
        "consumes": one.consumes,
    }
    if record.failures:
        said["failures"] = record.failures
    if not record.rounds:
        return {**said, "missing": why or (record.failures[-1] if record.failures else "it did not run")}
    said["rounds"] = len(record.rounds)
    said["versions"] = record.rounds[-1]["versions"]
    said["messages"] = record.rounds[-1]["count"]
    for phase in ("publish", "consume", "through_200", "through_1024", "through_65536"):
        found = [each[phase] for each in record.rounds if phase in each]
        if found and not (phase == "consume" and one.consumer_of):
            names = [name for name in ("rate", "server_us", "client_us") if name in found[0]]
            said[phase] = {name: spread(each[name] for each in found) for name in names}
    said["memory_mib"] = spread(each["memory_mib"] for each in record.rounds)
    trips = [trip for each in record.rounds for trip in each.get("trips_ms", ())]
    if trips:
        said["round_trip_ms"] = {**quantiles(trips), "samples": len(trips)}
    return said
