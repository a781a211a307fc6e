"""Virtual environments for what is compared with: each contestant has its own, made once, in .bench/venvs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".bench" / "venvs"
_PIP_S = 300


class NotInstalled(Exception):
    """pip could not install it; the message says why."""


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of the venv `name`, which has the newest versions of its requirements.

    Raises NotInstalled.
    """
    folder = FOLDER / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = "\n".join(sorted(requirements))
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    # Our pip installs into it: to give each a pip of its own takes longer than most of them.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    steps = ([sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)], [*pip, *requirements])
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=_PIP_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise NotInstalled(f"{name}: pip needed more than {_PIP_S} seconds") from error
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
            raise NotInstalled(f"{name}: {said[-1] if said else f'status {done.returncode}'}")
    ready.write_text(wanted, encoding="utf-8")
    return python
