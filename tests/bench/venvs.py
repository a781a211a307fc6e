"""Virtual environments for what is compared with: each contestant has its own, kept in .bench/venvs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".bench" / "venvs"
_LIMIT_S = 300


class NotInstalled(Exception):
    """pip could not install it; the message says why."""


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of the venv `name`; made where it is missing, with the newest of its requirements.

    Raises NotInstalled.
    """
    folder = FOLDER / name
    python, done = folder / "bin" / "python", folder / "installed"
    wanted = " ".join(requirements)
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    _run(name, [sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)])
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    _run(name, [*pip, "install", "--quiet", *requirements])
    done.write_text(wanted, encoding="utf-8")
    return python


def _run(name: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"{name}: pip took longer than {_LIMIT_S} s") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled(f"{name}: {errors[-1] if errors else f'status {done.returncode}'}")
