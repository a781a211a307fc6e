"""The file of results: each part of the benchmark replaces its own section and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import results


def test_a_section_is_replaced_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.put(path, "growth", [{"name": "depth"}], {"redis": "7.0.15"})
    results.put(path, "budgets", [{"name": "old"}], {"redis": "8.2"})
    results.put(path, "budgets", [{"name": "deep"}, {"name": "idle"}], {"rabbitmq": "3.10.8"})
    content = json.loads(path.read_text())
    assert content["growth"] == [{"name": "depth"}]
    assert content["budgets"] == [{"name": "deep"}, {"name": "idle"}]
    assert content["servers"] == {"redis": "8.2", "rabbitmq": "3.10.8"}
    assert content["machine"]["cores"] >= 1
    assert list(tmp_path.iterdir()) == [path]


def test_some_rows_of_a_section_are_replaced_in_their_places(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.put(path, "budgets", [{"name": "a", "ratio": 1}, {"name": "b", "ratio": 1}], {})
    results.put(path, "budgets", [{"name": "c", "ratio": 2}, {"name": "a", "ratio": 2}], {}, only=True)
    rows = json.loads(path.read_text())["budgets"]
    assert [(row["name"], row["ratio"]) for row in rows] == [("a", 2), ("b", 1), ("c", 2)]


@pytest.mark.parametrize("text", ["[]", "a: 1"])
def test_a_file_that_is_no_results_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of json in one case
        results.put(path, "budgets", [], {})
    assert path.read_text() == text
