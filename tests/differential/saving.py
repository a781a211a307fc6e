"""A scenario that differed becomes a test: it fails until the difference is mended or explained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tests.differential.steps import Step, code

FOLDER = Path(__file__).parent


def as_module(scenario: Sequence[Step], why: Sequence[str]) -> str:
    """Return the text of a file of tests with this scenario."""
    lines = [code(step) for step in scenario]
    steps = sorted({type(step).__name__ for step in scenario} | {"Step"})
    uses = "\n".join(lines)
    imports = ["import datetime"] * ("datetime." in uses) + ["from decimal import Decimal"] * ("Decimal(" in uses)
    return "\n".join(
        [
            '"""Found by `make differential`: move it to test_found.py under a name that says what it shows."""',
            "",
            "from __future__ import annotations",
            "",
            *imports,
            *[""] * bool(imports),
            "import pytest",
            "",
            "from tests.differential.compare import Both",
            f"from tests.differential.steps import {', '.join(steps)}",
            "",
            "pytestmark = pytest.mark.differential",
            "",
            *[f"# {words}" for words in why],
            "SCENARIO: list[Step] = [",
            *[f"    {line}," for line in lines],
            "]",
            "",
            "",
            "def test_it_does_not_differ(pair: Both) -> None:",
            "    pair.run(SCENARIO)",
            "",
        ]
    )


def save(scenario: Sequence[Step], why: Sequence[str], folder: Path = FOLDER) -> Path:
    """Write it as a file of tests, named by what is in it: the same scenario is saved once."""
    name = hashlib.sha256("\n".join(map(code, scenario)).encode()).hexdigest()[:8]
    path = folder / f"test_found_{name}.py"
    path.write_text(as_module(scenario, why))
    return path
