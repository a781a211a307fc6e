"""What the benchmark against the peers decides: who runs when, how much, what the figures say, what is written."""

from __future__ import annotations

import importlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.bench import report
from tests.bench.peers import __main__ as command
from tests.bench.peers import jobs, rabbit, roster, schedule, session, tables

runner: Any = importlib.import_module("tests.bench.peers.contestants.runner")
BARE, OURS = roster.named(["bare"])[0], roster.named(["rexchange"])[0]


def a_round(rate: float, trips: list[float] | None = None) -> dict[str, Any]:
    phase = {"rate": rate, "client_us": 1e6 / rate, "server_us": 2.0}
    phases = dict.fromkeys(("publish", "consume", "through_200", "through_1024", "through_65536"), phase)
    return {**phases, "versions": {"x": "1"}, "count": 300, "memory_mib": 20.0, "trips_ms": trips or [1.0]}


def a_section(**rates: float) -> dict[str, Any]:
    contestants = {}
    for one in roster.ROSTER:
        rate = rates.get(one.name.replace("-", "_"))
        rounds = [a_round(rate)] if rate else []
        contestants[one.name] = schedule.summary(schedule.Record(one, rounds), None if rate else "not installed")
    drained = {
        "label": "RQ",
        "ours": False,
        "jobs": 200,
        "workers": 10,
        "publish_s": 0.1,
        "drain_s": 2.0,
        "rate": 100.0,
    }
    drains = {"rq-fork": drained, "arq": {"label": "arq", "ours": False, "missing": "it | hung"}}
    return {
        "made": "today",
        "load": 3.0,
        "mode": "full",
        "rounds": 5,
        "contestants": contestants,
        "jobs": drains,
    }


def test_each_round_has_everybody_and_begins_with_another() -> None:
    names = list(roster.ROSTER)
    orders = [schedule.rotated(names, number) for number in range(5)]
    assert all(sorted(order, key=names.index) == names for order in orders)
    assert len({order[0].name for order in orders}) == 5
    followers = [order[order.index(OURS) + 1 : order.index(OURS) + 2] for order in orders[:2]]
    assert followers[0] != followers[1]
    assert schedule.rotated([], 3) == []


def test_a_contestant_gets_what_fits_into_the_time_box_at_its_speed() -> None:
    pace = schedule.Pace(rounds=5, box_s=0.5, trips=10, trips_s=1)
    record = schedule.Record(OURS)
    assert schedule.plan(record, pace).count == OURS.rate * 0.5
    record.rounds = [a_round(2000), a_round(4000), a_round(90_000)]
    assert schedule.plan(record, pace) == session.Plan(2000, ((1024, 500), (65_536, 100)), 10, 1)
    record.rounds = [a_round(3)]
    assert schedule.plan(record, pace).count == 200
    record.rounds = [a_round(1e9)]
    assert schedule.plan(record, pace).count == 40_000
    assert jobs.count_for(1e9, 3) == 20_000
    assert jobs.count_for(1000, 3) == 3000
    assert jobs.count_for(1, 3) == 200


def test_two_failures_and_a_contestant_is_out_with_the_last_reason() -> None:
    record = schedule.Record(BARE, failures=["it ended: a"])
    assert not record.is_out()
    record.failures.append("it ended: b")
    assert record.is_out()
    said = schedule.summary(record, None)
    assert said["missing"] == "it ended: b"
    assert "through_200" not in said


def test_a_summary_has_medians_and_the_spread_of_the_rounds() -> None:
    record = schedule.Record(BARE, [a_round(100, [1, 2]), a_round(300, [3, 4]), a_round(200, [5, 100])], ["once"])
    said = schedule.summary(record, None)
    assert said["through_200"]["rate"] == {"median": 200, "min": 100, "max": 300}
    assert said["failures"] == ["once"]
    assert said["rounds"] == 3
    assert said["round_trip_ms"]["p0"] == 1
    assert said["round_trip_ms"]["p100"] == 100
    assert said["round_trip_ms"]["samples"] == 6
    del record.rounds[0]["through_200"]["server_us"]  # RabbitMQ on another machine: nobody knows its CPU
    assert "server_us" not in schedule.summary(record, None)["through_200"]


def test_a_consumer_is_measured_where_its_queue_is_filled_quickly() -> None:
    for one in roster.ROSTER:
        said = schedule.summary(schedule.Record(one, [a_round(100)]), None)
        assert ("consume" in said) == (one.consumer_of == "")
        if one.consumer_of:
            other = next(each for each in roster.ROSTER if each.name == one.consumer_of)
            assert (other.adapter, other.consumes) == (one.adapter, one.consumes)


def test_what_is_not_there_is_missing_with_its_reason() -> None:
    pika = roster.named(["pika"])[0]
    backends, pythons = {"redis": object(), "rabbitmq": "no RabbitMQ"}, {"bare": Path("x"), "pika": Path("y")}
    assert schedule.missing(BARE, backends, pythons) is None
    assert schedule.missing(pika, backends, pythons) == "no RabbitMQ"
    assert schedule.missing(BARE, backends, {"bare": "not installed: no network"}) == "not installed: no network"
    said: list[str] = []
    records = schedule.run([pika], {"rabbitmq": "no RabbitMQ"}, pythons, schedule.QUICK, said.append)
    assert (records[0].rounds, records[0].failures, said) == ([], [], [])


def test_no_rabbitmq_is_a_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening: connecting is refused
        url = f"amqp://guest:guest@127.0.0.1:{unused.getsockname()[1]}/?connection_attempts=1"
        with pytest.raises(ConnectionError, match="no RabbitMQ at 127"):
            rabbit.Rabbit(url)


def test_a_name_is_one_contestant_or_a_family() -> None:
    assert [each.name for each in roster.named(["celery", "bare"])] == ["celery-redis", "celery-rabbitmq", "bare"]
    with pytest.raises(ValueError, match="no contestant 'selery'; there are bare, rexchange"):
        roster.named(["selery"])


def test_every_contestant_has_its_adapter_and_its_venv() -> None:
    for one in roster.ROSTER:
        adapter = roster.ADAPTERS / f"{one.adapter}.py"
        assert len(adapter.read_text().splitlines()) < 100
        assert roster.REPORTED[one.venv]
    assert roster.VENVS.keys() == roster.REPORTED.keys() == {each.venv for each in roster.ROSTER}
    assert len({each.name for each in roster.ROSTER}) == len(roster.ROSTER)


def test_harness_and_runner_speak_of_the_same_things() -> None:
    assert runner.MARK.format == session._MARK.format
    assert runner.SLOT.format == jobs._SLOT.format
    assert runner.NAME == rabbit.NAME


def test_marks_are_those_asked_for_and_then_every_one() -> None:
    receive, send = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receive, send:
        marks = runner.Marks(send, [1, 4])
        for _ in range(6):
            marks()
        assert [runner.MARK.unpack(receive.recv(100))[0] for _ in range(4)] == [1, 4, 5, 6]


def test_running_some_keeps_the_figures_of_the_others() -> None:
    old = {"contestants": {"bare": 1, "gone": 1, "pika": 1}, "jobs": {"rq-fork": 1}}
    new = {"made": "now", "contestants": {"pika": 2, "rexchange": 2}, "jobs": {}}
    together = command.joined(old, new)
    assert together == {
        "made": "now",
        "contestants": {"bare": 1, "rexchange": 2, "pika": 2},
        "jobs": {"rq-fork": 1},
    }
    assert list(together["contestants"]) == ["bare", "rexchange", "pika"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "0.12"), (12.34, "12.3"), (123.4, "123"), (12_345, "12,300"), (217_499, "217,000")]
)
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert tables.number(value) == shown


def test_the_report_has_tables_reasons_and_the_plots_that_exist(tmp_path: Path) -> None:
    (tmp_path / "throughput.svg").touch()
    (tmp_path / "growth-depth.svg").touch()
    curve = {"title": "Depth", "x": [1], "series": {}}
    measured = {"what": "measured", "ratio": 16.0, "budget": 15, "better": "higher", "verdict": "pass"}
    results = {
        "machine": {"cores": 2},
        "servers": {"peers: RabbitMQ": "no | answer"},
        "budgets": [measured],
        "peers": a_section(rexchange=100_000, pika=50, bare=200_000),
        "growth": [{"name": "depth", **curve}, {"name": "not-drawn", **curve}],
    }
    text = report.render(json.loads(json.dumps(results)), tmp_path)
    assert "| **rexchange** | **100,000** |" in text
    assert text.index("| bare Redis commands") < text.index("| **rexchange**") < text.index("| pika |")
    assert "| measured | 16.0 | - | ≥ 15 | pass |" in text
    assert "- arq: it \\| hung" in text
    assert "- SAQ: not installed" in text
    assert "](plots/throughput.svg)" in text
    assert "](plots/growth-depth.svg)" in text
    assert "not-drawn" not in text
    assert "plots/phases.svg" not in text


def test_the_report_goes_between_its_markers_again_and_again() -> None:
    document = f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nby hand\n"
    once = report.insert(document, "| new |")
    assert once == f"# Title\n\n{report.BEGIN}\n\n| new |\n\n{report.END}\n\nby hand\n"
    assert report.insert(once, "| new |") == once
    assert report.BEGIN in report.DOCUMENT.read_text()
    for wrong in ("no markers", f"{report.END} {report.BEGIN}", report.BEGIN):
        with pytest.raises(ValueError, match="needs the two lines"):
            report.insert(wrong, "x")
