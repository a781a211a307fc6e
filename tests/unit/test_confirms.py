"""Levels of confirmation: their names, their commands, and what the replies mean."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange.confirms import MEMORY, Level, read_level
from rexchange.errors import InvalidArgument
from rexchange.protocol.call import Call, number
from rexchange.protocol.confirm import confirmed

CALL = Call("publish", (b"a",), number)


@pytest.mark.parametrize(
    ("text", "level", "command"),
    [
        ("memory", MEMORY, ()),
        ("replicated", Level(replicas=1), ("WAIT", 1, 300)),
        ("replicated:2", Level(replicas=2), ("WAIT", 2, 300)),
        ("replicated:1000", Level(replicas=1000), ("WAIT", 1000, 300)),
        ("synced", Level(synced=True), ("WAITAOF", 1, 0, 300)),
    ],
)
def test_a_level_has_a_name_and_waits_by_a_command(text: str, level: Level, command: tuple[Any, ...]) -> None:
    assert read_level(text) == level
    assert level.command(300) == command
    call = confirmed(CALL, level, 300, b"v")
    assert (call.script, call.args) == ("publish", (b"a",))
    assert call.then == ((("HSET", b"v", "touch", 1), command) if command else ())


@pytest.mark.parametrize("text", ["", "replicated:0", "replicated:1001", "replicated:x", "disk", None, 2])
def test_other_names_are_refused(text: object) -> None:
    with pytest.raises(InvalidArgument, match="'replicated:<replicas>'"):
        read_level(text)


@pytest.mark.parametrize(
    ("text", "waited", "why"),
    [
        ("replicated:2", 2, ""),
        ("replicated:2", 3, ""),
        ("replicated:2", 1, "1 of the 2 replicas"),
        ("synced", [1, 0], ""),
        ("synced", [0, 2], "not on the server's disk within 300 ms"),
        ("synced", ValueError("NOPERM"), "would not wait for it: NOPERM"),
    ],
)
def test_what_was_not_reached_is_told(text: str, waited: Any, why: str) -> None:
    result, told = confirmed(CALL, read_level(text), 300, b"v").decode([7, 0, waited])
    assert result == 7
    assert why in told
    assert bool(told) == bool(why)


def test_a_write_that_is_refused_is_nothing_that_a_wait_could_speak_of() -> None:
    """WAIT would be over at once, where a call that was sent again wrote nothing."""
    full = MemoryError("OOM command not allowed")
    assert "OOM" in confirmed(CALL, Level(replicas=1), 300, b"v").decode([7, full, 1])[1]


def test_memory_has_nothing_to_wait_for() -> None:
    assert confirmed(CALL, MEMORY, 300, b"v").decode(7) == (7, "")
