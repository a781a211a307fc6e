"""What redis-py's exceptions and the server's error replies mean: reconnect, try again, or an error of ours.

Servers word their errors differently, so only the first word of a reply counts. Redis 6.2 buries it in a sentence when
a script fails (``ERR Error running script …: @user_script:1: -OOM command not allowed``); it is dug out here.
"""

from __future__ import annotations

import random
import re

from redis.exceptions import AuthenticationError, AuthorizationError, InvalidResponse, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from rexchange.errors import (
    BrokerConnectionError,
    Outcome,
    PublishRefused,
    RexchangeError,
    ScriptError,
    ServerRefused,
    TopologyLost,
)
from rexchange.protocol.refusals import from_reply
from rexchange.server.endpoint import Address

_BASE_S = 0.05
_CAP_S = 2.0
_TRANSIENT = frozenset({"LOADING", "BUSY", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"})
_NO_ROOM = {
    "OOM": "the server's memory is full (maxmemory)",
    "MISCONF": "the server cannot write to its disk",
    "NOREPLICAS": "the server has fewer good replicas than min-replicas-to-write asks for",
}
_IN_SCRIPT = re.compile(r"@user_script: ?\d+: -?([A-Z]{2,}) ")
# Inside a script Redis up to 7.0 and Valkey say it without a code of its own.
_NO_PERMISSION = ("The user executing the script can't", "ACL failure in script")
_FAKEREDIS_NO_KEY = "requires the key to exist"


def reply_text(error: BaseException) -> str:
    """The server's error reply as it was sent: redis-py cuts off the first words that it knows."""
    text = str(error)
    code = getattr(error, "status_code", None)
    return f"{code} {text}" if isinstance(code, str) and not text.startswith(f"{code} ") else text


def _code(error: BaseException) -> str:
    text = reply_text(error)
    buried = _IN_SCRIPT.findall(text) if text.startswith("ERR Error running script") else []
    return buried[-1] if buried else text.partition(" ")[0]


def _unwrapped(error: BaseException) -> BaseException:
    """The cause of an error that redis-py's asyncio connect wrapped into a bare ConnectionError."""
    cause = error.__cause__
    return cause if isinstance(cause, RedisError | RexchangeError) and error.args == (cause,) else error


def is_connection_failure(error: BaseException) -> bool:
    """Whether the connection is of no use any more: lost, timed out, or to a server that is no master now.

    True for LOADING and READONLY too, which are transient besides: redis-py has closed the connection after LOADING,
    and after READONLY the next connect may find another master. False for a refused password.
    """
    error = _unwrapped(error)
    if isinstance(error, AuthenticationError | AuthorizationError | RexchangeError):
        return False
    return isinstance(error, RedisConnectionError | RedisTimeoutError | ReadOnlyError | OSError | EOFError) or (
        _code(error) == "READONLY"
    )


def is_transient(error: BaseException) -> bool:
    """Whether the server refused for the moment and did nothing: send the same again after `backoff`."""
    return _code(_unwrapped(error)) in _TRANSIENT


def is_noscript(error: BaseException) -> bool:
    """Whether the server does not know the script (any more): SCRIPT LOAD, then send again. Nothing ran."""
    return _code(error) == "NOSCRIPT"


def is_unblocked(error: BaseException) -> bool:
    """Whether a read ended since its stream or group vanished, or since CLIENT UNBLOCK … ERROR ended it.

    Redis 7.0 says UNBLOCKED where later ones say NOGROUP; fakeredis has a sentence of its own.
    """
    return _code(error) in ("UNBLOCKED", "NOGROUP") or _FAKEREDIS_NO_KEY in str(error)


def backoff(attempt: int) -> float:
    """Seconds to wait before try number `attempt` + 1 (the first failure is attempt 0).

    Full jitter: anything from 0 to 50 ms · 2^attempt, at most 2 s, so that all clients of a server that came back do
    not return at one instant.
    """
    return random.uniform(0, min(_CAP_S, _BASE_S * 2.0 ** min(attempt, 16)))  # noqa: S311 - jitter is no secret


def translate(error: BaseException, address: Address | str, outcome: Outcome) -> RexchangeError:
    """Return our error for an exception of redis-py; raise it `from` the exception.

    Args:
        error: what redis-py raised; an error of ours is returned as it is.
        address: the server, for the message.
        outcome: whether the operation may have been done. A reply that says no overrules it: nothing was done.
    """
    error = _unwrapped(error)
    if isinstance(error, RexchangeError):
        return error
    shown = address if isinstance(address, str) else address.display
    refusal = _refusal(error, shown)
    if refusal is not None:
        return refusal
    if is_transient(error):
        why = f"the server refuses for now: {reply_text(error)}"
        return BrokerConnectionError(why, address=shown, outcome="not_done")
    if is_connection_failure(error):
        return BrokerConnectionError(str(error) or type(error).__name__, address=shown, outcome=outcome)
    return _by_code(error, shown)


def _refusal(error: BaseException, shown: str) -> ServerRefused | None:
    """The error of a server that will not serve us however often we ask."""
    code = _code(error)
    text = reply_text(error)
    if code == "NOPERM" or any(words in text for words in _NO_PERMISSION):
        why = f"the account lacks a permission that rexchange needs: {text}"
    elif code in ("NOAUTH", "WRONGPASS") or isinstance(error, AuthenticationError | AuthorizationError):
        why = f"the server does not accept the user or password: {text}"
    elif code in ("MOVED", "ASK", "CROSSSLOT"):
        why = f"this is a node of a cluster, which rexchange does not support yet: {text}"
    elif "DB index" in text:
        why = f"the database number is not there: {text}"
    elif isinstance(error, InvalidResponse):
        why = f"what answers there is neither Redis nor Valkey: {text}"
    else:
        return None
    return ServerRefused(why, address=shown, outcome="not_done")


def _by_code(error: BaseException, shown: str) -> RexchangeError:
    """The error that an error reply stands for."""
    code = _code(error)
    text = reply_text(error)
    if code in _NO_ROOM:
        return PublishRefused(f"{_NO_ROOM[code]}, and nothing was done: {text}")
    if code == "WRONGTYPE":
        return TopologyLost(f"a key of rexchange holds a value of another type: {text}")
    if not isinstance(error, RedisError):
        return ScriptError(f"{type(error).__name__}: {text}")
    ours = from_reply(text)
    if isinstance(ours, ServerRefused):  # made without the address, which the reply does not hold
        return ServerRefused(text.split("|", 2)[-1], address=shown, outcome="not_done")
    return ours
