"""Transactions: what is sent, which commands are refused, every shape of the answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexchange.codec import netstring
from rexchange.errors import (
    CommandFailed,
    ContentTooLarge,
    InvalidArgument,
    NotFound,
    PublishRefused,
    ScriptError,
    TransactionError,
    Unroutable,
)
from rexchange.message import Message
from rexchange.protocol import commands
from rexchange.protocol.commands import REFUSED, Commands, encode, read_replies
from rexchange.protocol.publish import Group
from rexchange.protocol.transaction import Done, Result, Row, transaction

MIB = 1 << 20
SET = (b"SET", b"k", b"v")


def group(*bodies: bytes) -> Group:
    messages = [Message(body, exchange="logs", routing_key="a") for body in bodies]
    return Group(messages, max_body=MIB, max_call=MIB)


def answered(reply: bytes, *words: tuple[bytes, ...], of: Group | None = None) -> Done:
    return transaction("lane", 1, "token", words, [], of).decode(reply)


# --- what is sent


def test_the_arguments_are_counted_commands_rows_and_a_group() -> None:
    row = Row("me", "q", b"7", [b"1-0"], [], [])
    row.of("reject").append(b"2-0")
    row.of("requeue").append(b"3-0")
    made = group(b"m")
    call = transaction("lane", 3, "token", [SET, (b"PING",)], [row], made)
    assert call.script == "transaction"
    sent = ["lane", 3, "token", 2, 3, *SET, 1, b"PING", 1, "me", "q", b"7", 1, 1, 1, b"1-0", b"3-0", b"2-0"]
    assert list(call.args) == [*sent, *made.args]
    assert row.of("ack") == [b"1-0"]


def test_nothing_is_three_counts() -> None:
    assert transaction("lane", 3, "token", [], [], None).args == ("lane", 3, "token", 0, 0)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("SET", "k", b"\xff"), (b"SET", b"k", b"\xff")),
        (("SET", "ü", 5), (b"SET", "ü".encode(), b"5")),
        (("XINFO STREAM", bytearray(b"k")), (b"XINFO", b"STREAM", b"k")),
        ((b"INCRBYFLOAT", memoryview(b"k"), 0.1), (b"INCRBYFLOAT", b"k", b"0.1")),
        (("XREAD", "COUNT", 1, "STREAMS", "BLOCK", "0"), (b"XREAD", b"COUNT", b"1", b"STREAMS", b"BLOCK", b"0")),
        (("XREAD",), (b"XREAD",)),
        (("nosuch", "on rx:{x}"), (b"nosuch", b"on rx:{x}")),
    ],
)
def test_words_are_written_as_redis_py_writes_them(args: tuple[Any, ...], words: tuple[bytes, ...]) -> None:
    assert encode(args) == words


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_why(name: str) -> None:
    for written in (name, name.lower(), name.encode(), f"{name} SUB"):
        with pytest.raises(InvalidArgument, match=REFUSED[name]) as caught:
            encode((written, "x"))
        assert name in str(caught.value)


@pytest.mark.parametrize("name", ["XREAD", "XREADGROUP"])
def test_a_read_may_not_wait(name: str) -> None:
    with pytest.raises(InvalidArgument, match="waits"):
        encode((name, "block", 5, "STREAMS", "k", "0"))


@pytest.mark.parametrize("args", [(), ("",), (" ",), (5,), (None,), ("SET", None), ("SET", True), ("SET", ["k"])])
def test_words_that_are_none(args: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument):
        encode(args)


@pytest.mark.parametrize("key", ["rx:{/}:queues", b"rx:{", bytearray(b"rx:{x}:vhost")])
def test_our_own_keys_are_refused_wherever_they_stand(key: Any) -> None:
    for args in (("DEL", key), ("RENAME", "mine", key), ("SET", "mine", key)):
        with pytest.raises(InvalidArgument, match="no key of rexchange"):
            encode(args)


def test_there_are_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="7000"):
        encode(("DEL", *["k"] * 7000))
    monkeypatch.setattr(commands, "MOST_COMMANDS", 3)
    monkeypatch.setattr(commands, "MOST_IN_ALL", 6)
    held = Commands(20)
    held.add(("SET", "a", "b"))
    with pytest.raises(ContentTooLarge, match="bytes"):
        held.add(("SET", "a", "x" * 15))
    with pytest.raises(ContentTooLarge, match="arguments"):
        held.add(("SET", "a", "b", "c"))
    held.add(("GET", "a"))
    held.add(("PING",))
    with pytest.raises(ContentTooLarge, match=r"\(Redis commands\)"):
        held.add(("PING",))
    assert held.words == [(b"SET", b"a", b"b"), (b"GET", b"a"), (b"PING",)]


# --- what is answered

replies = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.binary(), lambda inner: st.lists(inner, max_size=4), max_leaves=12
)


def written(reply: Any) -> bytes:
    """What lua/lib/commands.lua makes of a reply."""
    if reply is None:
        return b"n0:"
    if isinstance(reply, int):
        return b"i" + netstring(b"%d" % reply)
    if isinstance(reply, bytes):
        return b"b" + netstring(reply)
    return b"l" + netstring(b"%d" % len(reply)) + b"".join(map(written, reply))


@given(st.lists(replies, max_size=4))
def test_replies_come_back_as_they_were(given_replies: list[Any]) -> None:
    raw = b"head" + b"".join(map(written, given_replies))
    assert read_replies(raw, 4, len(given_replies)) == given_replies


def test_what_was_done() -> None:
    done = answered(b"=" + netstring(b"=2") + b"s2:OK" + b"i1:5", SET, SET, of=group(b"1", b"2"))
    assert (done.replies, done.counts) == ([b"OK", 5], [2, 2])
    assert answered(b"=0:" + b"n0:", SET).replies == [None]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-!1", Unroutable),
        (b"--" + netstring(b"NOT_FOUND exchange|logs|no such exchange"), NotFound),
        (b"-~" + netstring(netstring(b"0,0") + netstring(b"1") + netstring(b"q")), PublishRefused),
    ],
)
def test_a_group_that_is_refused(answer: bytes, error: type[Exception]) -> None:
    assert type(answered(answer, of=group(b"1", b"2")).error) is error


def test_stale_deliveries_by_row_and_id() -> None:
    assert answered(b"?" + b"1:0" + b"3:1-0" + b"1:1" + b"3:2-0").stale == [(0, b"1-0"), (1, b"2-0")]


def test_a_command_that_failed() -> None:
    words = [(b"set", b"k", b"x" * 200), (b"GET", b"k"), (b"INCR", b"redis://me:secret@host")]
    error = answered(b"!" + netstring(b"2") + netstring(b"ERR no number") + netstring(b"0"), *words).error
    assert isinstance(error, CommandFailed)
    assert (error.index, error.reason) == (2, "ERR no number")
    assert error.written[0].startswith("SET 'k' 'xxx")
    assert len(error.written[0]) == 80
    assert "secret" not in error.command + str(error)
    many = CommandFailed([SET] * 9, 8, "ERR", range(8))
    assert "and 3 more" in str(many)
    assert len(many.written) == 8
    clean = answered(b"!" + netstring(b"0") + netstring(b"ERR") + b"0:", SET).error
    assert "nothing written before it" in str(clean)


@pytest.mark.parametrize(
    ("answer", "of"),
    [
        (b"", None),
        (b"*", None),
        (b"-!0", None),
        (b"-=1", group(b"1")),
        (b"=" + netstring(b"!0"), group(b"1")),
        (b"=0:" + b"x0:", None),
        (b"=0:", None),
    ],
)
def test_an_answer_that_can_not_be_read(answer: bytes, of: Group | None) -> None:
    with pytest.raises(ScriptError):
        answered(answer, SET, of=of)


# --- results


def test_a_result_has_its_value_when_it_is_there() -> None:
    result: Result[int] = Result()
    with pytest.raises(TransactionError, match="ended"):
        _ = result.value
    uses: list[Any] = [bool, list]
    for use in uses:
        with pytest.raises(TransactionError, match="value"):
            use(result)
    assert repr(result) == "<Result>"
    result.fail()
    with pytest.raises(TransactionError, match="not done"):
        _ = result.value
    result.become(5)
    assert result.value == 5
    assert repr(result) == "<Result 5>"
