"""Writes the figures of bench-results.json into docs/performance.md: `python -m tests.bench.report`.

They go between two markers; the rest of the document is written by hand. Nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.peers import tables

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN = "<!-- written by tests/bench/report.py: begin -->"
END = "<!-- written by tests/bench/report.py: end -->"
# The plots of the peers, in the order of the document, each with what it shows, for those who do not see it.
_PLOTS = {
    "throughput": "messages a second end to end, a bar for each contestant",
    "phases": "publishing alone and consuming alone, a bar for each contestant",
    "cpu": "microseconds of CPU a message, the server's and the clients', for each contestant",
    "sizes": "messages a second end to end for bodies of 200 bytes, 1 KB and 64 KB",
    "round-trips": "the distribution of round trips, a line for each contestant",
    "jobs": "no-op jobs a second drained by 10 workers, a bar for each contestant",
}
Section = Mapping[str, Any]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown: names on the left, figures on the right, ours bold."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    rows = [[_cell(cell) for cell in line] for line in lines]
    bold = [[f"**{cell}**" for cell in line] if line[0].startswith("rexchange") else line for line in rows]
    return _table([head, rule, *bold])


def words(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of words, which are all on the left."""
    return _table([head, ["---"] * len(head), *([_cell(cell) for cell in line] for line in lines)])


def _plot(plots: Path, name: str, what: str) -> Iterator[str]:
    file = plots / f"{name}.svg"
    if file.exists():
        yield f"![{what}](plots/{file.name})"


def _peers(peers: Section, plots: Path) -> Iterator[str]:
    quick = " A quick run: it shows that all of it works, not how fast it is." if peers["mode"] == "quick" else ""
    yield "### Against every peer"
    yield (
        f"Made {peers['made']}, medians of {peers['rounds']} rounds in which all took turns; the load average of the "
        f"machine was {peers['load']:g} at the end.{quick} Messages a second; "
        "end to end with the least and the most of the rounds; microseconds of CPU a message end to end, the server's "
        "and that of both clients together; peak memory of both clients together; a round trip's median and p99."
    )
    yield from _plot(plots, "throughput", _PLOTS["throughput"])
    yield figures(tables.HEAD, tables.rows(peers))
    for name in ("phases", "cpu", "sizes", "round-trips"):
        yield from _plot(plots, name, _PLOTS[name])
    if peers["jobs"]:
        yield "### Job queues: no-op jobs drained by 10 workers"
        yield from _plot(plots, "jobs", _PLOTS["jobs"])
        yield figures(tables.JOBS_HEAD, tables.jobs_rows(peers))
    absent = tables.absent(peers)
    if absent:
        yield "Not measured in this run:"
        yield "\n".join(f"- {label}: {_cell(why)}" for label, why in absent)
    yield "### What each was set to"
    yield words(("", "versions", "publishes", "consumes"), list(_settings(peers)))


def _settings(peers: Section) -> Iterator[list[str]]:
    for one in peers["contestants"].values():
        versions = ", ".join(f"{name} {version}" for name, version in one.get("versions", {}).items())
        yield [one["label"], versions or "not measured", one["publishes"], one["consumes"]]


def render(results: Section, plots: Path) -> str:
    """Return the part of the document that is figures."""
    machine = results.get("machine", {})
    parts = [
        "Made on {cores} cores ({cpu}), {system}, {python}. The servers and all clients share them.".format(
            **{"cores": "?", "cpu": "?", "system": "?", "python": "?", **machine}
        )
    ]
    servers = results.get("servers", {})
    if servers:
        parts.append("\n".join(f"- {name}: {_cell(str(what))}" for name, what in servers.items()))
    budgets: list[Section] = results.get("budgets", [])
    if budgets:
        parts += ["### Budgets", figures(tables.BUDGETS_HEAD, tables.budget_rows(budgets))]
        missing = dict.fromkeys(f"- {row['name']}: {_cell(row['why'])}" for row in budgets if "why" in row)
        parts += ["Missing:", "\n".join(missing)] if missing else []
    if "peers" in results:
        parts += _peers(results["peers"], plots)
    growth = [(f"growth-{row['name']}", row["title"]) for row in results.get("growth", [])]
    drawn = [line for name, what in growth for line in _plot(plots, name, what)]
    if drawn:
        parts += ["### As things grow", *drawn]
    return "\n\n".join(parts)


def insert(document: str, text: str) -> str:
    """Return the document with the text between its markers; ValueError where they are not both there, in order."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document needs the two lines {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main() -> int:
    """Write the figures into the document."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.report", description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "bench-results.json", metavar="FILE")
    parser.add_argument("--document", type=Path, default=DOCUMENT, metavar="FILE")
    options = parser.parse_args()
    text = render(json.loads(options.json.read_text(encoding="utf-8")), options.document.parent / "plots")
    document = insert(options.document.read_text(encoding="utf-8"), text)
    options.document.write_text(document, encoding="utf-8")
    print(f"figures written into {options.document}")  # noqa: T201 - what it did, for a person at a terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
