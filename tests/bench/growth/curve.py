"""What a growth curve is here: a cost at each of some sizes, for one or several ways of doing things.

All sizes are prepared first, each in a vhost of its own, and then measured in rounds, one after the other, in an order
that turns: so a neighbour's load of some seconds bends no curve.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tests.bench.server import BenchServer

SERVER_CPU = "us of server CPU a message"


@dataclass(frozen=True)
class Scale:
    """How much is done: `part` of the largest sizes, so many messages a block, so many rounds."""

    part: float = 1.0
    messages: int = 3000
    rounds: int = 7

    def up_to(self, *sizes: int) -> list[int]:
        """Return the sizes up to that part of the largest."""
        return [size for size in sizes if size <= max(sizes) * self.part]


DEFAULT = Scale()
QUICK = Scale(part=0.1, messages=2000, rounds=3)


@dataclass(frozen=True)
class Point:
    """One point of one series: its block does some messages and returns the cost of one."""

    label: str
    size: int
    block: Callable[[], float]


@dataclass(frozen=True)
class Curve:
    """One plot: what is on its axes, and how its points are prepared on a server of its own.

    What must stay open while they are measured enters the stack. A size that a series lacks was too slow to prepare.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    sizes: Callable[[Scale], list[int]]
    prepare: Callable[[BenchServer, Scale, ExitStack], list[Point]]

    def row(self, server: BenchServer, scale: Scale) -> dict[str, Any]:
        """Measure it, and return what the file of results says of it."""
        with ExitStack() as stack:
            points = self.prepare(server, scale, stack)
            costs = in_turns(points, scale.rounds)
        axes = {"name": self.name, "title": self.title, "x_label": self.x_label, "y_label": self.y_label}
        sizes = self.sizes(scale)
        return {**axes, "x": sizes, "series": series(points, costs, sizes)}


def in_turns(points: Sequence[Point], rounds: int) -> list[float]:
    """Return each point's median cost over the rounds, after one that warms up."""
    found: list[list[float]] = [[] for _ in points]
    for number in range(rounds + 1):
        start = number * len(points) // (rounds + 1)  # each round begins elsewhere
        for turn in range(len(points)):
            at = (start + turn) % len(points)
            cost = points[at].block()
            if number:
                found[at].append(cost)
    return [statistics.median(costs) for costs in found]


def series(points: Sequence[Point], costs: Sequence[float], sizes: Sequence[int]) -> dict[str, list[float | None]]:
    """Return the costs by label, one a size; None where a series has no such point."""
    lines: dict[str, list[float | None]] = {point.label: [None] * len(sizes) for point in points}
    for point, cost in zip(points, costs, strict=True):
        lines[point.label][sizes.index(point.size)] = cost
    return lines
