"""What decides in the benchmark: verdicts, medians, turns, which rows are asked for. Nothing here is timed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.budgets import running
from tests.bench.budgets.case import DEFAULT, FULL, QUICK, Bench, Case, Missing, Row, Scale, Side
from tests.bench.growth.curve import Point, in_turns, series
from tests.bench.growth.curve import Scale as GrowthScale
from tests.bench.judging import Better, judge
from tests.bench.work import Figures


def test_the_median_of_the_rounds_ratios_counts() -> None:
    found = judge([2, 4, 30], [1, 2, 3], 2.5, "lower")
    assert (found.ours, found.other) == (4, 2)
    assert (found.ratio, found.low, found.high) == (2, 2, 10)
    assert found.verdict == "pass"


@pytest.mark.parametrize(
    ("ratio", "better", "verdict"),
    [
        (1.5, "lower", "pass"),
        (1.51, "lower", "short"),
        (0.1, "lower", "pass"),
        (1.5, "higher", "pass"),
        (1.49, "higher", "short"),
        (9, "higher", "pass"),
    ],
)
def test_a_budget_is_met_from_its_own_side(ratio: float, better: Better, verdict: str) -> None:
    assert judge([ratio], [1], 1.5, better).verdict == verdict


@pytest.mark.parametrize(
    ("ours", "other", "words"),
    [([], [], "no rounds"), ([1.0], [1.0, 2.0], "not pairs"), ([1.0, 1.0], [1.0, 0.0], "too little")],
)
def test_what_was_not_measured_has_no_verdict(ours: list[float], other: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        judge(ours, other, 1, "lower")


def a_case(*names: str, log: list[str] | None = None, missing: str = "") -> Case:
    log = [] if log is None else log

    def side(name: str, value: float) -> Side:
        def block() -> Figures:
            log.append(name)
            return {"server": value * len(log)}

        return block

    @contextmanager
    def make(_bench: Bench) -> Iterator[tuple[Side, Side]]:
        if missing:
            raise Missing(missing)
        yield side("ours", 2), side("other", 1)

    return Case(tuple(Row(name, f"what {name} is", "server", 1.5) for name in names), make)


def test_both_sides_take_turns_and_the_first_round_only_warms_up() -> None:
    log: list[str] = []
    rows, servers = running.run(a_case("a", log=log), Scale(rounds=3))
    assert log == ["other", "ours", "ours", "other", "other", "ours", "ours", "other"]
    (row,) = rows
    # Blocks 3 to 8 count: ours were the third, sixth and seventh, each twice its number.
    assert (row["ours"], row["other"]) == (12, 5)
    assert (row["low"], row["high"]) == (6 / 4, 2 * 6 / 5)
    assert row["verdict"] == "short"
    assert list(servers) in (["redis"], ["valkey"])


def test_a_slow_case_has_fewer_rounds() -> None:
    log: list[str] = []
    case = a_case("a", log=log)
    running.run(Case(case.rows, case.make, most_rounds=1), Scale(rounds=5))
    assert len(log) == 4


def test_what_is_missing_has_no_figures_and_says_why() -> None:
    rows, _ = running.run(a_case("a", "b", missing="no RabbitMQ at 127.0.0.1:1"), DEFAULT)
    for row in rows:
        assert row["verdict"] == "missing"
        assert row["why"] == "no RabbitMQ at 127.0.0.1:1"
        assert {row[name] for name in ("ours", "other", "ratio", "low", "high")} == {None}
    console = running.a_console()
    with console.capture() as captured:
        running.show(console, rows)
    assert "missing: no RabbitMQ at 127.0.0.1:1" in captured.get()


def test_rows_are_chosen_by_how_their_names_begin() -> None:
    cases = [a_case("deep"), a_case("publish-one", "publish-one-client"), a_case("publish-all")]
    assert running.chosen(cases, []) == cases
    assert running.chosen(cases, ["publish"]) == cases[1:]
    assert running.chosen(cases, ["publish-one-client", "deep"]) == cases[:2]
    with pytest.raises(ValueError, match="no budget is named pubish"):
        running.chosen(cases, ["deep", "pubish"])


@pytest.mark.parametrize("scale", [DEFAULT, QUICK, FULL])
def test_each_row_has_a_name_of_its_own_and_goes_into_the_file(scale: Scale) -> None:
    rows = [row for case in running.all_cases(scale) for row in case.rows]
    assert len({row.name for row in rows}) == len(rows)
    json.dumps([vars(row) for row in rows], allow_nan=False)


def test_rows_say_how_large_the_large_sizes_were() -> None:
    def said(scale: Scale, name: str) -> str:
        return next(row.what for case in running.all_cases(scale) for row in case.rows if row.name == name)

    assert "100,000 topic" in said(QUICK, "bindings-warm")
    assert "1,000,000 topic" in said(FULL, "bindings-warm")
    assert "200,000 deep" in said(QUICK, "deep")
    assert "10,000,000 deep" in said(FULL, "deep")


@pytest.mark.parametrize(
    ("figure", "shown"),
    [(0, "0.00"), (0.00138, "0.00138"), (1.2345, "1.23"), (43.21, "43.2"), (1631515.2, "1,631,515")],
)
def test_figures_are_shown_with_three_digits(figure: float, shown: str) -> None:
    assert running.short(figure) == shown


def test_the_points_of_a_curve_are_measured_in_rounds_that_begin_elsewhere() -> None:
    log: list[str] = []

    def point(label: str, size: int) -> Point:
        def block() -> float:
            log.append(f"{label}{size}")
            return {1: 100.0, 2: 3.0, 3: 1.0, 4: 2.0}[log.count(f"{label}{size}")]

        return Point(label, size, block)

    points = [point("a", 1), point("a", 10), point("b", 1), point("b", 10)]
    assert in_turns(points, 3) == [2.0] * 4  # the first of each, 100, warms up
    assert [log[start] for start in range(0, 16, 4)] == ["a1", "a10", "b1", "b10"]
    assert log[4:8] == ["a10", "b1", "b10", "a1"]


def test_a_size_that_a_series_lacks_is_none() -> None:
    points = [Point(label, size, lambda: 0.0) for label, size in (("topic", 10), ("topic", 1000), ("headers", 10))]
    assert series(points, [1, 2, 3], [10, 1000]) == {"topic": [1, 2], "headers": [3, None]}


def test_a_quick_curve_goes_to_a_part_of_the_largest_size() -> None:
    assert GrowthScale(part=0.1).up_to(0, 10, 100, 1000) == [0, 10, 100]
    assert GrowthScale().up_to(0, 10, 100, 1000) == [0, 10, 100, 1000]
