"""Commands as they are written: the same bytes as redis-py's own packer makes."""

from __future__ import annotations

import redis
from hypothesis import given
from hypothesis import strategies as st

from rexchange.server import packing
from rexchange.server.packing import Word, pack_commands

WORDS = st.one_of(
    st.binary(), st.text(), st.integers(), st.sampled_from([b"x" * 1023, b"x" * 1024, b"x" * 70_000, 0.5])
)
# The first is a name: redis-py splits it where it has a space.
COMMANDS = st.lists(st.tuples(st.sampled_from(["SET", "EVALSHA"]), WORDS, WORDS), max_size=4)


@given(COMMANDS)
def test_they_are_what_redis_py_would_write(commands: list[tuple[Word, ...]]) -> None:
    theirs: list[bytes] = redis.Connection().pack_commands(commands)
    assert b"".join(pack_commands(commands)) == b"".join(theirs)


def test_only_so_much_is_remembered() -> None:
    for length in range(2000):
        assert pack_commands([[b"x" * length]]) == [b"*1\r\n$%d\r\n%b\r\n" % (length, b"x" * length)]
    assert len(packing._heads) == 1024


def test_no_commands_are_no_bytes() -> None:
    assert pack_commands([]) == [b""]
