"""What a budget is here: a case measures two sides in turns, and each of its rows judges one of the figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.bench.judging import Better
from tests.bench.server import BenchServer
from tests.bench.work import Figures

CPU = "us of CPU a message"


class Missing(Exception):
    """What a case needs is not there; its rows say so."""


@dataclass(frozen=True)
class Scale:
    """How much is done, in many short rounds rather than few long ones: a neighbour's load then spoils some of them.

    `part` is that of the large sizes, such as a million bindings.
    """

    messages: int = 5000
    rounds: int = 15
    part: float = 1.0
    deep: int = 2_000_000
    """Messages of the deep queue: the design says 10,000,000, for which --full is."""

    def size(self, whole: int, least: int = 20) -> int:
        """Return the part of a large size that is done."""
        return max(int(whole * self.part), least)

    def fewer(self, by: int, least: int = 100) -> int:
        """Return the messages of a block in which each costs much, in whole batches."""
        return max(self.messages // by // 100 * 100, least)


DEFAULT = Scale()
QUICK = Scale(messages=2500, rounds=5, part=0.1, deep=200_000)
FULL = Scale(messages=10_000, deep=10_000_000)


@dataclass(frozen=True)
class Bench:
    """What a case is given: a server of its own, and how much to do."""

    server: BenchServer
    scale: Scale


Side = Callable[[], Figures]
"""Does one block and returns what it cost; it leaves everything as it found it."""

Sides = AbstractContextManager[tuple[Side, Side]]
"""Ours and what it is compared with, ready to be measured in turns."""


@dataclass(frozen=True)
class Row:
    """One line of the table: which figure of the blocks, and how many times the other's it may be."""

    name: str
    what: str
    measure: str
    budget: float
    unit: str = CPU
    better: Better = "lower"


@dataclass(frozen=True)
class Case:
    """What is measured, in blocks that take turns. `make` may raise Missing."""

    rows: tuple[Row, ...]
    make: Callable[[Bench], Sides]
    aof: bool = False
    """On a server that writes an append-only file, once a second."""
    outside: bool = False
    """Needs other brokers and packages from the network; left out where it is only shown that all cases run."""
    most_rounds: int = 100
    """Where one round takes seconds."""
