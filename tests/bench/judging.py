"""What the figures of a budget say: medians, and the spread of the ratios. No I/O, no clock."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]
Verdict = Literal["pass", "short"]


@dataclass(frozen=True)
class Judged:
    """Medians of both sides; the median, the lowest and the highest ratio of one round; whether it meets the budget."""

    ours: float
    other: float
    ratio: float
    low: float
    high: float
    verdict: Verdict


def judge(ours: Sequence[float], other: Sequence[float], budget: float, better: Better) -> Judged:
    """Judge the figures of one row, one a round and side.

    The two figures of a round were measured one right after the other, so a neighbour's load that came and went hit
    both or spoilt one round: the median of the rounds' ratios counts, not the ratio of two medians.
    Raises ValueError where nothing was measured.
    """
    if not ours or len(ours) != len(other):
        raise ValueError(f"{len(ours)} rounds of ours and {len(other)} of the other: no rounds, or not pairs")
    if min(other) <= 0:
        raise ValueError(f"the other side cost {min(other)}: too little was done to measure it")
    ratios = [one / against for one, against in zip(ours, other, strict=True)]
    ratio = statistics.median(ratios)
    medians = statistics.median(ours), statistics.median(other)
    good = ratio >= budget if better == "higher" else ratio <= budget
    return Judged(*medians, ratio, min(ratios), max(ratios), "pass" if good else "short")


def ours_first(round_number: int) -> bool:
    """Whether ours goes first in this round: they take turns, so that neither always finds the warmer cache."""
    return round_number % 2 == 1
