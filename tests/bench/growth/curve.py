"""What a growth curve is here: a cost at each of some sizes, for one or several ways of doing things."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.server import BenchServer

SERVER_CPU = "us of server CPU a message"


@dataclass(frozen=True)
class Scale:
    """How much is done: `part` of the largest sizes, so many messages a block, so many blocks a point."""

    part: float = 1.0
    messages: int = 5000
    blocks: int = 5

    def up_to(self, *sizes: int) -> list[int]:
        """Return the sizes up to that part of the largest."""
        return [size for size in sizes if size <= max(sizes) * self.part]


DEFAULT = Scale()
QUICK = Scale(part=0.1, messages=2000, blocks=3)


@dataclass
class Lines:
    """The points found so far; None where a way of doing things became too slow to go on."""

    x: list[int]
    series: dict[str, list[float | None]] = field(default_factory=dict[str, "list[float | None]"])

    def add(self, label: str, value: float | None) -> None:
        """Append the next point of a series."""
        self.series.setdefault(label, []).append(value)

    def gone(self, label: str, limit: float) -> bool:
        """Whether the last point of a series is over the limit, or it ended before."""
        points = self.series.get(label, [])
        return bool(points) and (points[-1] is None or points[-1] > limit)


@dataclass(frozen=True)
class Curve:
    """One plot: what is on its axes, and how its points are found on a server of its own."""

    name: str
    title: str
    x_label: str
    y_label: str
    draw: Callable[[BenchServer, Scale], Lines]

    def row(self, lines: Lines) -> dict[str, Any]:
        """Return what the file of results says of it."""
        axes = {"name": self.name, "title": self.title, "x_label": self.x_label, "y_label": self.y_label}
        return {**axes, "x": lines.x, "series": lines.series}


def median_of(scale: Scale, block: Callable[[], float]) -> float:
    """Measure some blocks after one that warms up, and return their median."""
    costs: Sequence[float] = [block() for _ in range(scale.blocks + 1)][1:]
    return statistics.median(costs)
