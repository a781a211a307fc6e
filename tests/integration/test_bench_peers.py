"""The benchmark against the peers, with those that need no network: one short round of each, and one that fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.peers import jobs, roster, schedule
from tests.bench.peers.durable import Durable
from tests.bench.peers.process import Failed

# No time for a second round.
PACE = schedule.Pace(rounds=2, box_s=0.001, trips=3, trips_s=0.1, limit_s=0)
PYTHON = Path(sys.executable)


def test_a_round_measures_each_and_a_failure_stops_nobody() -> None:
    contestants = [*roster.named(["huey", "bare"]), *roster.named(["rexchange"])[:1]]
    pythons: dict[str, Path | str] = {each.venv: PYTHON for each in contestants}
    said: list[str] = []
    with Durable() as server:
        backends: dict[str, schedule.Backend | str] = {"redis": server}
        records = schedule.run(contestants, backends, pythons, PACE, said.append)
    huey, bare, ours = records
    assert (huey.rounds, len(huey.failures)) == ([], 1)
    assert said[3:] == ["no time for round 2/2: the medians are of 1"]
    assert "No module named 'huey'" in huey.failures[0]
    for record in (bare, ours):
        assert record.failures == []
        assert len(record.rounds) == 1
        figures = record.rounds[0]
        assert figures["versions"]["redis"]
        assert len(figures["trips_ms"]) == 3
        for phase in ("publish", "consume", "through_200", "through_1024", "through_65536"):
            assert figures[phase]["rate"] > 0
            assert figures[phase]["server_us"] >= 0
        assert 5 < figures["memory_mib"] < 1000


def test_workers_drain_all_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = roster.named(["rexchange"])[0]
    with Durable() as server:
        done = jobs.drain(ours, PYTHON, server.url, 500, 2)
        assert (done["jobs"], done["workers"]) == (500, 2)
        assert done["rate"] > 0
        server.reset()
        assert server.client.dbsize() == 0
        # Whoever is too slow is given up, with the reason.
        monkeypatch.setattr(jobs, "_LIMIT_S", 0.001)
        with pytest.raises(Failed, match=r"did not answer within 0.001 s|of 500 jobs after 0.001 s"):
            jobs.drain(ours, PYTHON, server.url, 500, 2)
