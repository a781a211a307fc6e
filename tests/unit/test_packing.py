"""Commands as they are written: the same bytes as redis-py's own packer makes."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any

import redis
from hypothesis import given
from hypothesis import strategies as st

from rexchange.server import packing
from rexchange.server.packing import Word, pack_commands


class Name(str, Enum):  # noqa: UP042 - what older code has, and str() of it is its name
    MAIL = "mail"


class Number(IntEnum):
    SEVEN = 7


class Raw(bytes):
    pass


LONG = [b"x" * 1023, b"x" * 1024, b"x" * 70_000]
ODD: list[Word] = [0.5, 1e300, Name.MAIL, Raw(b"raw")]
WORDS = st.one_of(st.binary(), st.text(), st.integers(), st.sampled_from([*LONG, *ODD]))
# The first is a name: redis-py splits it where it has a space.
COMMANDS = st.lists(st.tuples(st.sampled_from(["SET", "EVALSHA"]), WORDS, WORDS), max_size=4)
CONNECTION: Any = redis.Connection  # redis-py has not typed it


@given(COMMANDS)
def test_they_are_what_redis_py_would_write(commands: list[tuple[Word, ...]]) -> None:
    assert pack_commands(commands) == b"".join(CONNECTION().pack_commands(commands))


def test_only_so_much_is_remembered() -> None:
    for length in range(2000):
        assert pack_commands([[b"x" * length]] * 2) == b"*1\r\n$%d\r\n%b\r\n" % (length, b"x" * length) * 2
    assert len(packing._heads) == 1024


def test_a_number_of_a_class_of_its_own_is_written_as_a_number() -> None:
    assert pack_commands([["X", Number.SEVEN]]) == pack_commands([["X", 7]]) == b"*2\r\n$1\r\nX\r\n$1\r\n7\r\n"


def test_no_commands_are_no_bytes() -> None:
    assert pack_commands([]) == b""
