"""Each reply and each lost connection becomes the right error, and the right decision to retry or to reconnect."""

from __future__ import annotations

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from rexchange import errors
from rexchange.server import failures
from rexchange.server.address import resolve

ADDRESS = resolve("redis://me:s3cret@h:7/1")


def reply(text: str) -> Exception:
    """The exception that redis-py makes of an error reply."""
    parsed = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]  # redis-py has no types there
    assert isinstance(parsed, Exception)
    return parsed


UNBLOCKED = [
    "UNBLOCKED the stream key no longer exists",
    "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
    "NOGROUP the consumer group this client was blocked on no longer exists",
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option",
]
TRANSIENT = [
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica. script: 1b2c, on @user_script:1.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "ERR Error running script (call to f_1b): @user_script:3: -READONLY You can't write against a read only replica. ",
]
FINAL = [
    ("OOM command not allowed when used memory > 'maxmemory'.", errors.PublishRefused),
    ("OOM command not allowed when used memory > 'maxmemory'. script: 1b2c, on @user_script:1.", errors.PublishRefused),
    ("ERR Error running script (call to f_1b2c): @user_script: 3: -OOM command not allowed.", errors.PublishRefused),
    ("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.", errors.PublishRefused),
    ("NOREPLICAS Not enough good replicas to write.", errors.PublishRefused),
    ("NOPERM User me has no permissions to run the 'evalsha' command", errors.ServerRefused),
    ("NOAUTH Authentication required.", errors.ServerRefused),
    ("WRONGPASS invalid username-password pair or user is disabled.", errors.ServerRefused),
    ("ERR invalid password", errors.ServerRefused),
    ("MOVED 3999 127.0.0.1:6381", errors.ServerRefused),
    ("CROSSSLOT Keys in request don't hash to the same slot", errors.ServerRefused),
    ("NEWER_SCHEMA vhost|orders|schema 2 is newer than this rexchange knows", errors.ServerRefused),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", errors.TopologyLost),
    ("NOT_FOUND queue|orders|no queue 'orders'", errors.NotFound),
    ("PRECONDITION_FAILED queue|orders|not empty", errors.PreconditionFailed),
    ("ERR unknown command 'XAUTOCLAIM'", errors.ScriptError),
    ("ERR Error running script (call to f_1b2c): @user_script:1: attempt to index a nil value", errors.ScriptError),
    ("BUSYGROUP Consumer Group name already exists", errors.ScriptError),
]
LOST = [
    exceptions.ConnectionError("Connection closed by server."),
    exceptions.TimeoutError("Timeout reading from socket"),
    ConnectionResetError("reset by peer"),
    TimeoutError("timed out"),
    EOFError(),
    reply("ERR max number of clients reached"),
]


@pytest.mark.parametrize("text", TRANSIENT)
def test_what_passes_is_tried_again(text: str) -> None:
    error = reply(text)
    assert failures.is_transient(error)
    assert failures.is_connection_failure(error) is ("READONLY" in text or "LOADING" in text)
    ours = failures.translate(error, ADDRESS, "unknown")
    assert type(ours) is errors.BrokerConnectionError
    assert ours.outcome == "not_done"


@pytest.mark.parametrize("error", LOST, ids=repr)
def test_a_lost_connection_is_made_anew_and_its_outcome_is_the_callers(error: Exception) -> None:
    assert failures.is_connection_failure(error)
    assert not failures.is_transient(error)
    ours = failures.translate(error, ADDRESS, "unknown")
    assert type(ours) is errors.BrokerConnectionError
    assert ours.outcome == "unknown"
    assert ours.address == "redis://h:7/1"
    assert "s3cret" not in str(ours)


@pytest.mark.parametrize(("text", "wanted"), FINAL)
def test_what_does_not_pass_is_not_tried_again(text: str, wanted: type[errors.RexchangeError]) -> None:
    error = reply(text)
    assert not failures.is_transient(error)
    assert not failures.is_connection_failure(error)
    assert not failures.is_noscript(error)
    ours = failures.translate(error, ADDRESS, "unknown")
    assert type(ours) is wanted
    if isinstance(ours, errors.ServerRefused):
        assert ours.outcome == "not_done"
        assert ours.address == "redis://h:7/1"
    if isinstance(ours, errors.ScriptError):
        assert text in str(ours)


@pytest.mark.parametrize("text", UNBLOCKED)
def test_a_blocked_read_whose_queue_vanished(text: str) -> None:
    assert failures.is_unblocked(reply(text))
    assert not failures.is_unblocked(reply("ERR syntax error"))


def test_a_script_that_the_server_forgot() -> None:
    for text in ("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT No matching script."):
        assert failures.is_noscript(reply(text))
        assert failures.reply_text(reply(text)) == text


def test_a_missing_permission_is_named() -> None:
    ours = failures.translate(
        reply("NOPERM User me has no permissions to run the 'evalsha' command"), ADDRESS, "unknown"
    )
    assert "run the 'evalsha' command" in str(ours)
    assert str(ours).startswith("redis://h:7/1: ")


def test_what_is_no_redis_is_refused() -> None:
    ours = failures.translate(exceptions.InvalidResponse('Protocol error, got "H"'), "redis://h", "unknown")
    assert isinstance(ours, errors.ServerRefused)
    assert "neither Redis nor Valkey" in str(ours)


def test_our_own_error_passes_through() -> None:
    ours = errors.NotFound("no", kind="queue", name="q")
    assert failures.translate(ours, ADDRESS, "unknown") is ours
    assert not failures.is_connection_failure(ours)


def test_an_error_that_redis_py_wrapped_while_connecting_is_unwrapped() -> None:
    cause = reply("WRONGPASS invalid username-password pair or user is disabled.")
    wrapped = exceptions.ConnectionError(cause)
    wrapped.__cause__ = cause
    assert not failures.is_connection_failure(wrapped)
    assert isinstance(failures.translate(wrapped, ADDRESS, "unknown"), errors.ServerRefused)


def test_what_nobody_foresaw_shows_its_text() -> None:
    ours = failures.translate(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ADDRESS, "unknown")
    assert isinstance(ours, errors.ScriptError)
    assert "UnicodeDecodeError" in str(ours)


def test_backoff_grows_to_its_cap_with_full_jitter() -> None:
    for attempt, most in ((0, 0.05), (1, 0.1), (5, 1.6), (6, 2.0), (5000, 2.0)):
        drawn = [failures.backoff(attempt) for _ in range(400)]
        assert max(drawn) <= most
        assert max(drawn) > most * 0.9
        assert min(drawn) < most * 0.1
