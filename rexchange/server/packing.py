"""Commands as the server reads them (RESP), for one write.

redis-py does the same, and takes two to four times as long for the many small arguments of a script call (one for each
message that is published or settled). hiredis is the quickest for a few words, and takes 15 times as long for 1 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import hiredis

Word = bytes | str | int | float


class _Heads(dict[int, bytes]):
    """What stands before an argument of a length, with the end of the one before; kept for short ones."""

    def __missing__(self, length: int) -> bytes:
        head = b"\r\n$%d\r\n" % length
        if length < 1024:  # noqa: PLR2004 - most are; for longer ones it is small beside copying them
            self[length] = head
        return head


_heads = _Heads()


_FEW = 24
"""Words of a command that hiredis packs quicker: one message, one ack."""
_SMALL = 16384
"""Bytes; the last word of a publish is its body."""
_PLAIN = frozenset((bytes, str, int))
"""Of a class of its own hiredis writes what it shows of itself, such as the name of an enum's value."""
_hiredis: Any = cast("Any", hiredis).pack_command  # its stub knows tuples of one


def _encode(word: Word) -> bytes:
    if isinstance(word, str):
        return word.encode()
    return bytes(word) if isinstance(word, bytes) else repr(word + 0).encode()  # the number, whatever class it is of


def pack_commands(commands: Sequence[Sequence[Word]]) -> bytes:
    """Return what is to be written, in one piece."""
    if len(commands) == 1 and len(commands[0]) <= _FEW:
        last = commands[0][-1]
        if type(last) is not bytes or len(last) < _SMALL:
            plain = [word if type(word) in _PLAIN else _encode(word) for word in commands[0]]
            packed: bytes = _hiredis(tuple(plain))
            return packed
    parts: list[bytes] = []
    for command in commands:
        words = [
            word if type(word) is bytes else word.encode() if type(word) is str else _encode(word) for word in command
        ]
        row = [b""] * (2 * len(words))
        row[::2] = map(_heads.__getitem__, map(len, words))
        row[1::2] = words
        parts.append(b"*%d" % len(words))
        parts += row
        parts.append(b"\r\n")
    return b"".join(parts)
