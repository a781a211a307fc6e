"""Plots of bench-results.json into docs/plots: `python -m tests.bench.plots` (extra `bench`: matplotlib)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")  # no display is needed

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from tests.bench.peers import tables
from tests.bench.peers.tables import number, ran

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "plots"
Section = Mapping[str, Any]
_OURS, _BARE, _REDIS, _RABBIT, _INK, _FAINT = "#d6336c", "#495057", "#9fb3c8", "#dfc9a2", "#212529", "#adb5bd"
_LINES = ("#d6336c", "#1c7ed6", "#2b8a3e", "#e67700", "#7048e8", "#0b7285", "#868e96")
_SHAPES = ("o", "s", "D")
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.hashsalt": "rexchange",  # the same figures give the same file
}


def short(value: float) -> str:
    """Return a number as an axis shows it: 1k, 2M, 0.1."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _colour(one: Section) -> str:
    if one["ours"]:
        return _OURS
    if one["label"].startswith("bare"):
        return _BARE
    return _RABBIT if one.get("broker") == "rabbitmq" else _REDIS


def _key(axes: Any, contestants: Sequence[Section], where: str) -> None:
    names = {_OURS: "rexchange", _BARE: "bare Redis commands", _REDIS: "others on Redis", _RABBIT: "on RabbitMQ"}
    shown = {_colour(each) for each in contestants}
    handles = [Patch(color=colour, label=name) for colour, name in names.items() if colour in shown]
    axes.legend(handles=handles, loc=where, frameon=False)


def _named(axes: Any, contestants: Sequence[Section]) -> None:
    """Write the names on the left, ours bold, the first one on top."""
    axes.set_yticks(range(len(contestants)), [each["label"] for each in contestants])
    axes.set_ylim(len(contestants) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for label, each in zip(axes.get_yticklabels(), contestants, strict=True):
        if each["ours"]:
            label.set(fontweight="bold", color=_OURS)


def _log(axes: Any, low: float, high: float, label: str) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
    axes.grid(axis="x", color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)


def _bars(axes: Any, contestants: Sequence[Section], figures: Sequence[Section], label: str) -> None:
    """Draw a bar each, its spread as a thin line, its figure behind it."""
    values = [each["median"] for each in figures]
    low, high = min(values) / 3, max(values) * 4
    axes.barh(range(len(values)), values, color=[_colour(each) for each in contestants], height=0.72)
    for place, each in enumerate(figures):
        axes.plot([each["min"], each["max"]], [place, place], color=_INK, linewidth=1, alpha=0.55)
        bold = "bold" if contestants[place]["ours"] else "normal"
        axes.text(max(each["max"], each["median"]) * 1.12, place, number(each["median"]), va="center", weight=bold)
    _named(axes, contestants)
    _log(axes, low, high, label)


def _figure(rows: int, columns: int = 1) -> tuple[Any, Any]:
    figure, axes = plt.subplots(1, columns, figsize=(4 + 4.5 * columns, 1.2 + 0.27 * rows), layout="constrained")
    return figure, axes


def through(peers: Section) -> Any:
    """Throughput end to end."""
    found = ran(peers)
    figure, axes = _figure(len(found))
    _bars(axes, found, [each["through_200"]["rate"] for each in found], "messages a second (log scale)")
    axes.set_title("Published, consumed and acked: 200 bytes, one process each side")
    _key(axes, found, "lower right")
    return figure


def phases(peers: Section) -> Any:
    """Publish alone and consume alone."""
    found = ran(peers)
    figure, both = _figure(len(found), 2)
    for axes, phase, title in zip(both, ("publish", "consume"), ("Publish only", "Consume and ack only"), strict=True):
        order = sorted((each for each in found if phase in each), key=lambda each: -each[phase]["rate"]["median"])
        _bars(axes, order, [each[phase]["rate"] for each in order], "messages a second (log scale)")
        axes.set_title(title)
    _key(both[1], found, "lower right")
    return figure


def _dots(found: Sequence[Section], points: Sequence[Sequence[float]], names: Sequence[str], label: str) -> Any:
    """Draw the figures of each contestant as marks on one line."""
    figure, axes = _figure(len(found))
    for place, (each, values) in enumerate(zip(found, points, strict=True)):
        axes.plot([min(values), max(values)], [place, place], color=_colour(each), linewidth=2, alpha=0.7)
        for value, shape in zip(values, _SHAPES, strict=False):
            axes.plot(value, place, shape, color=_colour(each), markersize=6, markeredgecolor="white")
    _named(axes, found)
    _log(axes, min(map(min, points)) / 2, max(map(max, points)) * 2, label)
    shown = zip(_SHAPES, names, strict=False)
    axes.legend(
        handles=[Line2D([], [], color=_INK, marker=shape, linestyle="", label=name) for shape, name in shown],
        loc="lower right",
        frameon=False,
    )
    return figure, axes


def sizes(peers: Section) -> Any:
    """End to end by size of the body."""
    phases = ("through_200", "through_1024", "through_65536")
    found = [each for each in ran(peers) if all(phase in each for phase in phases)]
    points = [[each[phase]["rate"]["median"] for phase in phases] for each in found]
    figure, axes = _dots(found, points, ("200 B", "1 KB", "64 KB"), "messages a second (log scale)")
    axes.set_title("End to end by size of the body")
    return figure


def cpu(peers: Section) -> Any:
    """CPU a message end to end: what the server pays, and what the clients pay."""
    found = [each for each in ran(peers) if "server_us" in each["through_200"]]
    points = [[each["through_200"][name]["median"] for name in ("server_us", "client_us")] for each in found]
    order = sorted(range(len(found)), key=lambda place: sum(points[place]))
    found, points = [found[place] for place in order], [points[place] for place in order]
    figure, axes = _dots(found, points, ("server", "both clients"), "µs of CPU a message (log scale)")
    axes.set_title("CPU a message, published, consumed and acked: 200 bytes")
    axes.get_legend().set_loc("upper right")
    return figure


def round_trips(peers: Section) -> Any:
    """Distributions of the time from publish to handler and back."""
    found = [each for each in peers["contestants"].values() if "round_trip_ms" in each]
    found.sort(key=lambda each: each["round_trip_ms"]["p50"])
    trips = [each["round_trip_ms"] for each in found]
    figure, axes = _figure(len(found))
    for place, (one, each) in enumerate(zip(found, trips, strict=True)):
        colour = _colour(one)
        axes.plot([each["p5"], each["p99"]], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([each["p25"], each["p75"]], [place, place], color=colour, linewidth=9, solid_capstyle="butt")
        axes.plot(each["p50"], place, "|", color=_INK, markersize=10, markeredgewidth=2)
        bold = "bold" if one["ours"] else "normal"
        axes.text(each["p99"] * 1.15, place, f"{number(each['p50'])} / {number(each['p99'])}", va="center", weight=bold)
    _named(axes, found)
    most, least = max(each["p99"] for each in trips), min(each["p5"] for each in trips)
    _log(axes, least / 1.5, most * 8, "milliseconds (log scale): median / p99; thick p25 to p75, thin p5 to p99")
    axes.set_title("One message at a time: publish, handler runs, publisher knows")
    _key(axes, found, "lower right" if len(found) < 4 else "upper right")
    return figure


def drained(peers: Section) -> Any:
    """No-op jobs by 10 workers."""
    found = sorted((each for each in peers["jobs"].values() if "missing" not in each), key=lambda each: -each["rate"])
    named = {each["label"]: each for each in peers["contestants"].values()}
    found = [{**each, "broker": named.get(each["label"], {}).get("broker", "redis")} for each in found]
    figure, axes = _figure(len(found))
    rates = [{"median": each["rate"], "min": each["rate"], "max": each["rate"]} for each in found]
    _bars(axes, found, rates, "jobs a second (log scale)")
    axes.set_title(f"No-op jobs drained by {found[0]['workers']} worker processes")
    _key(axes, found, "lower right")
    return figure


def grown(row: Section) -> Any:
    """Draw one curve of the section `growth`; a point that was too slow to measure ends its line."""
    figure, axes = plt.subplots(figsize=(7, 3.9), layout="constrained")
    x = row["x"]
    top = 0.0
    for (label, points), hue in zip(row["series"].items(), _LINES * 3, strict=False):
        known = [(where, value) for where, value in zip(x, points, strict=False) if value is not None]
        if not known:
            continue
        colour = _BARE if label.startswith("bare") else hue
        axes.plot(*zip(*known, strict=True), marker="o", markersize=4, linewidth=2, color=colour, label=label)
        where, value = known[-1]
        axes.annotate(
            number(value), (where, value), xytext=(6, 0), textcoords="offset points", va="center", color=colour
        )
        top = max(top, *(value for _, value in known))
    positive = [value for value in x if value > 0]
    if positive and max(positive) / min(positive) >= 50:
        axes.set_xscale("symlog" if min(x) <= 0 else "log", **({"linthresh": min(positive)} if min(x) <= 0 else {}))
        axes.set_xticks(x)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    lows = [value for points in row["series"].values() for value in points if value]
    if lows and top / min(lows) > 100:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, top * 1.15 or 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.margins(x=0.08)
    axes.set(xlabel=row["x_label"], ylabel=row["y_label"].replace("us of", "µs of"))
    axes.set_title(row["title"])
    axes.grid(color="#e9ecef", linewidth=0.8)
    if len(row["series"]) > 1:
        axes.legend(frameon=False)
    return figure


PEERS: dict[str, Callable[[Section], Any]] = {
    "throughput": through, "phases": phases, "cpu": cpu, "sizes": sizes,
    "round-trips": round_trips, "jobs": drained,
}  # fmt: skip


def draw(results: Section, folder: Path, suffix: str = "svg") -> list[Path]:
    """Draw all that the results hold; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    with mpl.rc_context(_STYLE):
        peers = results.get("peers")
        if peers and ran(peers):
            figures = {name: make(peers) for name, make in PEERS.items() if name != "jobs" or tables.jobs_rows(peers)}
        figures |= {f"growth-{row['name']}": grown(row) for row in results.get("growth", [])}
        files: list[Path] = []
        for name, figure in figures.items():
            files.append(folder / f"{name}.{suffix}")
            date = {"Date": None} if suffix == "svg" else {}
            figure.savefig(files[-1], metadata=date, dpi=130)
            plt.close(figure)
    return files


def main() -> int:
    """Draw them all anew."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plots", description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "bench-results.json", metavar="FILE")
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--suffix", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    files = draw(json.loads(options.json.read_text(encoding="utf-8")), options.to, options.suffix)
    print(f"{len(files)} plots in {options.to}")  # noqa: T201 - what it did, for a person at a terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
