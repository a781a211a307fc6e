"""Waiting behind a call, on the same connection, for replicas or the disk.

WAIT and WAITAOF speak of what this connection wrote last. So they follow the call's answer there, and are sent again
with it: the call is then answered from memory, which writes nothing, or done anew by a master that does not know it.
Between them goes a write of no meaning: on a new connection that wrote nothing Valkey's WAIT is over at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rexchange.protocol.call import Call, Reply

if TYPE_CHECKING:
    from rexchange.confirms import Level

T = TypeVar("T")


def confirmed(call: Call[T], level: Level, timeout_ms: int, vhost_key: bytes) -> Call[tuple[T, str]]:
    """Return the call with what waits for its level; it decodes to its own result, and why that was not reached."""
    wait = level.command(timeout_ms)

    def decode(replies: Reply) -> tuple[T, str]:
        if not wait:
            return call.decode(replies), ""
        result, touched, waited = replies
        return call.decode(result), _shortfall(level, touched if isinstance(touched, Exception) else waited, timeout_ms)

    return Call(call.script, call.args, decode, then=(("HSET", vhost_key, "touch", 1), wait) if wait else ())


def _shortfall(level: Level, waited: Reply, timeout_ms: int) -> str:
    if isinstance(waited, Exception):
        return f"the server would not wait for it: {waited}"
    if level.synced:
        return "" if waited[0] >= 1 else f"it was not on the server's disk within {timeout_ms} ms"
    if waited >= level.replicas:
        return ""
    return f"{waited} of the {level.replicas} replicas wanted had it within {timeout_ms} ms"
