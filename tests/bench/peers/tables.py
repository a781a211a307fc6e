"""The results of the peers as rows of words: for the terminal and, by tests/bench/report.py, for the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Section = Mapping[str, Any]
HEAD = (
    "", "publish", "consume", "end to end", "1 KB", "64 KB", "server µs", "client µs", "MiB", "p50 ms", "p99 ms",
)  # fmt: skip
JOBS_HEAD = ("", "workers", "jobs", "published, s", "drained, s", "jobs a second")


BUDGETS_HEAD = ("", "ratio", "of the rounds", "budget", "")


def number(value: float) -> str:
    """Return a figure with three digits that say something."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _median(one: Section, phase: str, name: str) -> str:
    figures = one.get(phase, {}).get(name)
    return number(figures["median"]) if figures else "-"


def spread(one: Section) -> str:
    """Return the least and the most of the rounds, end to end."""
    figures = one["through_200"]["rate"]
    return f"{number(figures['min'])}-{number(figures['max'])}"


def ran(section: Section) -> list[Section]:
    """Return the contestants that have figures, the fastest end to end first."""
    found = [each for each in section["contestants"].values() if "missing" not in each]
    return sorted(found, key=lambda each: -each["through_200"]["rate"]["median"])


def absent(section: Section) -> list[tuple[str, str]]:
    """Return who has no figures, and why."""
    found = [*section["contestants"].values(), *section["jobs"].values()]
    return list({(each["label"], each["missing"]): None for each in found if "missing" in each})


def rows(section: Section) -> list[list[str]]:
    """Return a row for each contestant that ran: messages a second, microseconds a message, milliseconds."""
    found: list[list[str]] = []
    for one in ran(section):
        trips = one.get("round_trip_ms", {})
        found.append([
            one["label"],
            _median(one, "publish", "rate"),
            _median(one, "consume", "rate"),
            f"{_median(one, 'through_200', 'rate')} ({spread(one)})",
            _median(one, "through_1024", "rate"),
            _median(one, "through_65536", "rate"),
            _median(one, "through_200", "server_us"),
            _median(one, "through_200", "client_us"),
            number(one["memory_mib"]["median"]),
            number(trips["p50"]) if trips else "-",
            number(trips["p99"]) if trips else "-",
        ])  # fmt: skip
    return found


def jobs_rows(section: Section) -> list[list[str]]:
    """Return a row for each that drained jobs, the fastest first."""
    found = [each for each in section["jobs"].values() if "missing" not in each]
    return [
        [
            each["label"],
            str(each["workers"]),
            f"{each['jobs']:,}",
            f"{each['publish_s']:.2f}",
            f"{each['drain_s']:.2f}",
            number(each["rate"]),
        ]
        for each in sorted(found, key=lambda each: -each["rate"])
    ]


def budget_rows(budgets: Sequence[Section]) -> list[list[str]]:
    """Return a row for each budget."""
    found: list[list[str]] = []
    for each in budgets:
        sign = "≥" if each["better"] == "higher" else "≤"
        ratio = number(each["ratio"]) if "ratio" in each else "-"
        rounds = f"{number(each['low'])}-{number(each['high'])}" if "low" in each else "-"
        found.append([each["what"], ratio, rounds, f"{sign} {each['budget']:g}", each["verdict"]])
    return found


def _table(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for number_, name in enumerate(head):
        table.add_column(name, justify="right" if number_ else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line, style="bold green" if line[0].startswith("rexchange") else None)
    return table


def show(console: Console, section: Section) -> None:
    """Print it all."""
    title = f"messages a second, medians of {section['rounds']} rounds ({section['mode']}); CPU a message end to end"
    console.print(_table(title, HEAD, rows(section)))
    if section["jobs"]:
        console.print(_table("no-op jobs drained by several workers", JOBS_HEAD, jobs_rows(section)))
    for label, why in absent(section):
        console.print(f"[red]missing[/] {label}: ", end="")
        console.print(why, markup=False, highlight=False)
