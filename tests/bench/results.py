"""bench-results.json, one file for all parts of the benchmark: each replaces its own section and keeps the others.

Top level: `machine`, `servers` (name -> version), `budgets`, `growth` (lists of rows with a `name`), `peers`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def replace_rows(before: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Return `before` with each of `rows` in the place of the one that has its name, else at the end."""
    new = {row["name"]: row for row in rows}
    kept = [new.pop(row["name"], row) for row in before]
    return [*kept, *new.values()]


def put(path: Path, section: str, value: object, servers: Mapping[str, str], *, only: bool = False) -> None:
    """Write a section; `only`: it holds some of the rows of a list, so those of other names stay as they are.

    Raises ValueError where the file is not one of ours: it is somebody's, and is left alone.
    """
    content: dict[str, Any] = {}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds no results of this benchmark")
    if only and isinstance(value, list):
        value = replace_rows(content.get(section, []), value)
    content |= {"machine": machine(), "servers": {**content.get("servers", {}), **servers}, section: value}
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    new.replace(path)  # whoever is stopped in the middle leaves the old file


def machine() -> dict[str, object]:
    """Say what this machine is, as far as it can be told."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
