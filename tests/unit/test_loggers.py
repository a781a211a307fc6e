"""Every logger of the library is named in docs/consuming.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_logger_is_documented() -> None:
    used = {
        name
        for path in (ROOT / "rexchange").rglob("*.py")
        for name in re.findall(r'getLogger\("rexchange\.?([a-z]*)"\)', path.read_text())
    }
    text = (ROOT / "docs" / "consuming.md").read_text()
    (listed,) = re.findall(r"Loggers are (.*?); no password", text, re.DOTALL)

    assert used == {name.removeprefix("rexchange").removeprefix(".") for name in re.findall(r"`([a-z.]+)`", listed)}
