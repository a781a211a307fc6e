"""Finding the files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"})
LARGEST_BYTES = 256 * 2**20
"""A larger file would keep one worker for longer than the whole demo takes."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file: its path below the folder, as the system writes it, and its size in bytes."""

    path: bytes
    size: int


@dataclass(slots=True)
class Files:
    """What there is in a folder."""

    found: list[Found] = field(default_factory=list[Found])
    skipped: int = 0
    """Files that nobody may read, that are no plain files, or too large."""
    cut: bool = False
    """Whether there are more than were asked for."""


def walk_all(folders: Sequence[Path], limit: int) -> tuple[Path, Files]:
    """Return at most `limit` files below folders, and the folder that they have in common, for the paths."""
    root = Path(os.path.commonpath(folders))
    files = Files()
    for folder in dict.fromkeys(folders):
        if not any(other in folder.parents for other in folders):  # else its files are among those of the other
            walk(folder, limit, files, root)
    return root, files


def walk(folder: Path, limit: int, files: Files | None = None, root: Path | None = None) -> Files:
    """Return at most `limit` files below a folder; symbolic links and SKIPPED_FOLDERS are not followed.

    `files`: found before, to be added to. `root`: what paths begin at, in place of the folder.
    """
    files = Files() if files is None else files
    start = os.fsencode(root or folder)
    for parent, folders, names in os.walk(os.fsencode(folder), onerror=lambda _: _skip(files)):
        folders[:] = sorted(name for name in folders if os.fsdecode(name) not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = os.path.join(parent, name)  # noqa: PTH118 - a name need not be text, and Path wants text
            size = _size(path)
            if size is None:
                _skip(files)
            elif len(files.found) == limit:
                files.cut = True
                return files
            else:
                files.found.append(Found(os.path.relpath(path, start), size))
    return files


def _skip(files: Files) -> None:
    files.skipped += 1


def _size(path: bytes) -> int | None:
    """Return the size of a plain file that can be read, or None: opening a pipe or a device could wait for ever."""
    try:
        status = os.lstat(path)
    except OSError:  # gone meanwhile
        return None
    fit = stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_BYTES and os.access(path, os.R_OK)
    return status.st_size if fit else None
