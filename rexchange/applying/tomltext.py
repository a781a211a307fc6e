"""TOML, and in which line each of its keys stands.

The standard library's parser tells no lines but those of errors of syntax. So the text is gone through once more for
the keys alone, after it was read or refused: what is scanned here needs no check.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from rexchange.applying.places import Lines, Path, twice
from rexchange.definitions.jsontext import Wrong

_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]*")
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def loads(text: str) -> tuple[Mapping[str, object], Lines]:
    """Return what a text holds, and the lines of its keys. Raises Wrong with a line."""
    scanner = _Scanner(text)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        scanner.scan()
        if scanner.twice is not None:
            raise twice(*scanner.twice) from error
        place = _WHERE.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place and place[1] else (text.count("\n") + 1, 1)
        raise Wrong(f"no TOML: {_WHERE.sub('', str(error))}", line, column) from error
    except RecursionError as error:
        raise Wrong("it is nested too deeply") from error
    scanner.scan()
    return found, scanner.lines


class _Lost(Exception):
    """The text is not what it was taken for: the parser says what is wrong with it."""


class _Scanner:
    """Goes through a text and notes where each key stands; of what is no TOML as far as that can be said."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.twice: tuple[Path, int, int] | None = None
        self._text = text.replace("\r\n", " \n")
        self._starts = [0, *(match.end() for match in re.finditer("\n", self._text))]
        self._at = 0
        self._counts: dict[Path, int] = {}
        self._made: set[Path] = set()

    def scan(self) -> None:
        """Note all keys."""
        table: Path = ()
        try:
            while self._skip(_BETWEEN) < len(self._text):
                if self._text.startswith("[", self._at):
                    table = self._header()
                else:
                    self._pair(table)
        except (_Lost, RecursionError, tomllib.TOMLDecodeError):
            return  # the parser has said it, or will

    def _header(self) -> Path:
        start, many = self._at, self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        path = self._resolved(self._keys())
        self._expect("]]" if many else "]")
        if many:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            self.lines.setdefault(path, self._line(start))
            path = (*path, index)
        self._define(path, start)
        return path

    def _pair(self, table: Path) -> None:
        start = self._at
        path = (*table, *self._keys())
        self._expect("=")
        self._define(path, start)
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        opened = self._text[self._at : self._at + 1]
        if opened == "[":
            self._at += 1
            index = 0
            while not self._closed("]"):
                self.lines[*path, index] = self._line(self._at)
                self._value((*path, index))
                index += 1
        elif opened == "{":
            self._at += 1
            while not self._closed("}"):
                self._pair(path)
        elif opened in ("'", '"'):
            self._take(_STRING)
        else:
            self._take(_SCALAR)

    def _closed(self, bracket: str) -> bool:
        if self._skip(_BETWEEN) >= len(self._text):
            raise _Lost
        if not self._text.startswith(bracket, self._at):
            return False
        self._at += 1
        return True

    def _keys(self) -> Path:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            quoted = self._text[self._at : self._at + 1] in ("'", '"')
            word = self._take(_STRING if quoted else _BARE)
            keys.append(_unquoted(word) if quoted else word)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(keys)
            self._at += 1

    def _resolved(self, keys: Path) -> Path:
        """Return a header's path: of a list of tables it is about the last one."""
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return (*path, *keys[-1:])

    def _define(self, path: Path, start: int) -> None:
        line = self._line(start)
        if path in self._made and self.twice is None:
            self.twice = path, self.lines[path], line
        self._made.add(path)
        self.lines[path] = line
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None or found.end() == self._at:
            raise _Lost
        self._at = found.end()
        return found[0]

    def _expect(self, text: str) -> None:
        self._skip(_SPACE)
        if not self._text.startswith(text, self._at):
            raise _Lost
        self._at += len(text)

    def _line(self, at: int) -> int:
        return bisect_right(self._starts, at)


def _unquoted(word: str) -> str:
    table: dict[str, Any] = tomllib.loads(f"word = {word}")
    return str(table["word"])
