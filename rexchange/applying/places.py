"""Where in a file something stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from rexchange.definitions.jsontext import Wrong
from rexchange.records import encode_binding_id
from rexchange.topology import Binding

KINDS: Mapping[str, str] = {"exchanges": "exchange", "policies": "policy", "queues": "queue", "bindings": "binding"}
"""The sections of a file, and what is in them."""
Path: TypeAlias = tuple[str | int, ...]
"""The keys that lead to something, and for lists its index."""
Lines: TypeAlias = Mapping[Path, int]


def place_of(binding: Binding) -> tuple[str, str]:
    """Return what a binding's line is kept under: several may bear one name."""
    return "binding", f"{binding.source}\0{encode_binding_id(binding).decode('latin-1')}"


def line_of(lines: Lines, path: Path) -> int | None:
    """Return the line of something, or of what it is in; None where nothing has one (what is no file)."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def twice(path: Path, first: int, line: int) -> Wrong:
    """Return the error of a key that stands twice: half of what is said would be lost."""
    section = str(path[0])
    if len(path) == 2 and section in KINDS:  # noqa: PLR2004 - section and name
        kind, name = KINDS[section], str(path[1])
        error = Wrong(f"two {section} of the name {name!r}, the first in line {first}: keep one of them", line)
        error.problem = error.problem._replace(kind=kind, name=name)
        return error
    return Wrong(f"{'.'.join(map(str, path))} is here twice, first in line {first}: keep one of them", line)
