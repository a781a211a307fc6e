"""Runs cases: both sides in turns, each case on a server of its own, and a verdict for each row."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.budgets import consuming, depth, idle, latency, memory, peers, publishing, routing
from tests.bench.budgets.case import Bench, Case, Missing, Row, Scale, Side
from tests.bench.judging import judge, ours_first
from tests.bench.server import BenchServer
from tests.bench.work import Figures

_TOPICS = (publishing, consuming, routing, depth, peers, latency, memory, idle)
_COLOURS = {"pass": "green", "short": "red", "missing": "yellow"}


def all_cases(scale: Scale) -> list[Case]:
    """Return every case, in the order of the design's table."""
    return [case for topic in _TOPICS for case in topic.cases(scale)]


def chosen(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """Return the cases with a row whose name begins so; all of them where nothing is asked for.

    Raises ValueError for a name that none has.
    """
    names = [row.name for case in cases for row in case.rows]
    for wanted in only:
        if not any(name.startswith(wanted) for name in names):
            raise ValueError(f"no budget is named {wanted}: there are {', '.join(names)}")
    return [case for case in cases if not only or any(row.name.startswith(tuple(only)) for row in case.rows)]


def run(case: Case, scale: Scale) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measure one case; return its rows for the results, and the versions of the servers."""
    servers: dict[str, str] = {}
    try:
        with BenchServer(aof=case.aof) as server:
            name, _, version = server.name.partition(" ")
            servers[name] = version
            with case.make(Bench(server, scale)) as sides:
                ours, other = _in_turns(*sides, min(scale.rounds, case.most_rounds))
    except Missing as why:
        return [_missing(row, str(why)) for row in case.rows], servers
    return [_judged(row, ours, other) for row in case.rows], servers


def _in_turns(ours: Side, other: Side, rounds: int) -> tuple[list[Figures], list[Figures]]:
    mine: list[Figures] = []
    theirs: list[Figures] = []
    for number in range(rounds + 1):
        sides = [(ours, mine), (other, theirs)]
        for side, found in sides if ours_first(number) else reversed(sides):
            figures = side()
            if number:  # the first round loads scripts and warms caches
                found.append(figures)
    return mine, theirs


def _judged(row: Row, ours: Sequence[Figures], other: Sequence[Figures]) -> dict[str, Any]:
    found = judge([one[row.measure] for one in ours], [one[row.measure] for one in other], row.budget, row.better)
    return {**_head(row), **vars(found)}


def _missing(row: Row, why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("ours", "other", "ratio", "low", "high"))
    return {**_head(row), **nothing, "verdict": "missing", "why": why}


def _head(row: Row) -> dict[str, Any]:
    return {"name": row.name, "what": row.what, "unit": row.unit, "budget": row.budget, "better": row.better}


def run_all(
    cases: Sequence[Case], scale: Scale, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run them one after the other; `tell` is told what comes next."""
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # the server's lack of persistence is on purpose here
    rows: list[dict[str, Any]] = []
    servers: dict[str, str] = {}
    for case in cases:
        tell(", ".join(row.name for row in case.rows))
        more, named = run(case, scale)
        rows += more
        servers |= named
    return rows, servers


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Print the table, and what is missing."""
    table = Table("budget", "what", "ours", "other", "unit", "ratio", "spread", "budget", "")
    for row in rows:
        sign = "<=" if row["better"] == "lower" else ">="
        figures = ["-"] * 4
        if row["verdict"] != "missing":
            figures = [short(row[name]) for name in ("ours", "other", "ratio")]
            figures.append(f"{short(row['low'])}-{short(row['high'])}")
        ours, other, ratio, spread = figures
        verdict = f"[{_COLOURS[row['verdict']]}]{row['verdict']}[/]"
        table.add_row(
            row["name"], row["what"], ours, other, row["unit"], ratio, spread, f"{sign} {row['budget']:g}", verdict
        )
    console.print(table)
    for why in dict.fromkeys(row["why"] for row in rows if row["verdict"] == "missing"):
        console.print(f"missing: {why}", markup=False)


def short(figure: float) -> str:
    """Three figures that count, and no exponents."""
    digits = 2 if figure == 0 else max(0, 2 - math.floor(math.log10(abs(figure))))
    return f"{figure:,.{digits}f}"


def a_console() -> Console:
    """As wide as the terminal, or wide enough for the table in a log."""
    return Console(width=None if sys.stdout.isatty() else 180)
