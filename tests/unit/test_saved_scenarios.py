"""What `make differential` saves is a test of the same scenario."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

from hypothesis import given, settings

from tests.differential.saving import save
from tests.differential.scenarios import scenarios
from tests.differential.steps import Bind, Step, Wait


@settings(max_examples=50, deadline=None)
@given(scenarios())
def test_what_is_saved_is_the_scenario(scenario: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved = save(scenario, ["value: RabbitMQ 1, rexchange 2"], Path(folder))
        module = runpy.run_path(str(saved))
    assert module["SCENARIO"] == scenario
    assert list(map(repr, module["SCENARIO"])) == list(map(repr, scenario)), "1 and True are equal and not the same"
    assert callable(module["test_it_does_not_differ"])


def test_the_same_scenario_is_saved_once(tmp_path: Path) -> None:
    first, again = (save([Wait(), Bind("q0", "amq.topic")], [why], tmp_path) for why in ("one", "two"))
    assert first == again
    assert first.name.startswith("test_found_")
    assert "# two" in first.read_text()
