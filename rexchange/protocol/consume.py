"""Consumers: registering, reading, taking, ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from rexchange.codec import encode_table
from rexchange.protocol.call import Call, Reply, flag, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange.codec import Table
    from rexchange.keyspace import Keys
    from rexchange.protocol.call import Arg

Kind = Literal["plain", "managed", "get"]
GROUP = "g"
"""The consumer group of every stream of ours."""


class Entry(NamedTuple):
    """An entry for a consumer: which of its queues, the stream's id, how often it was handed out, the message."""

    queue: int
    id: bytes
    times: int
    envelope: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """What `consume` answers: each queue's incarnation, which of the ids named are still its own, its ack timeout."""

    incarnations: list[bytes]
    kept: list[list[bytes]]
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Read:
    """What a native read brought: new entries, and the wake token's id where there was one."""

    entries: list[Entry]
    token: bytes


def consume(
    session: str,
    consumer: str,
    old: str,
    queues: Sequence[str],
    known: Sequence[Sequence[bytes]],
    *,
    timeout_ms: int,
    default_ms: int,
    kind: Kind,
    info: Table,
) -> Call[Registered]:
    """Register `consumer`; after a reconnect it takes over from `old` what its user was shown (`known`)."""
    args: list[Arg] = [session, consumer, old, timeout_ms, default_ms, kind, encode_table(info, "info")]
    _add_known(args, queues, known)
    return Call(
        "consume", tuple(args), lambda reply: Registered(list(reply[0]), [list(ids) for ids in reply[1]], reply[2])
    )


def cancel(consumer: str, queues: Sequence[str], known: Sequence[Sequence[bytes]], *, keep: bool) -> Call[bool]:
    """End a consumer, or with `keep` only its reading: what its user was not shown goes back as never read."""
    args: list[Arg] = [consumer, int(keep)]
    _add_known(args, queues, known)
    return Call("cancel", tuple(args), flag)


def restore(queue: str, incarnation: bytes, entries: Sequence[Entry]) -> Call[int]:
    """Put back what was acknowledged on receipt and never shown, at the end of the queue; returns how many."""
    args: list[Arg] = [queue, incarnation]
    for entry in entries:
        args += (entry.envelope, entry.body)
    return Call("restore", tuple(args), number)


def _add_known(args: list[Arg], queues: Sequence[str], known: Sequence[Sequence[bytes]]) -> None:
    for name, ids in zip(queues, known, strict=True):
        args += (name, len(ids), *ids)


def take(
    consumer: str,
    window: int,
    queues: Sequence[str],
    incarnations: Sequence[bytes],
    *,
    tokens: Sequence[bytes] = (),
    unseen: Sequence[Entry] = (),
    plan: bool = False,
) -> Call[list[Entry]]:
    """Take up to `window` entries, those given back first; `unseen` ones of a native read are put back before.

    `plan`: see to it that the reaper looks at the queues in time; for a consumer its registration has done it.
    """
    args: list[Arg] = [consumer, window, int(plan)]
    for index, (name, incarnation) in enumerate(zip(queues, incarnations, strict=True)):
        ids = [entry.id for entry in unseen if entry.queue == index]
        args += (name, incarnation, tokens[index] if tokens else b"", len(ids), *ids)
    return Call("take", tuple(args), _entries)


def _entries(reply: Reply) -> list[Entry]:
    return [Entry(reply[i] - 1, *reply[i + 1 : i + 5]) for i in range(0, len(reply), 5)]


def read_command(keys: Keys, consumer: str, queue: bytes, count: int, block_ms: int | None) -> list[Arg]:
    """Return the native read of a plain consumer: its queue, and the wake stream beside it."""
    block: tuple[Arg, ...] = () if block_ms is None else ("BLOCK", block_ms)
    streams = (keys.wake(queue), keys.stream(queue), ">", ">")
    return ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, *block, "STREAMS", *streams]


def wake_command(keys: Keys, consumer: str, queues: Sequence[bytes], block_ms: int | None) -> list[Arg]:
    """Return the read of a managed consumer: the wake streams alone."""
    block: tuple[Arg, ...] = () if block_ms is None else ("BLOCK", block_ms)
    streams = [keys.wake(queue) for queue in queues]
    return ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", 1, *block, "STREAMS", *streams, *[">"] * len(streams)]


def read_reply(reply: Reply, stream: bytes) -> Read:
    """Read what the native read of the queue whose stream is `stream` brought."""
    entries: list[Entry] = []
    token = b""
    for key, items in reply or ():
        if key == stream:
            entries = [Entry(0, entry_id, 1, fields[1], fields[3]) for entry_id, fields in items]
        elif items:
            token = items[0][0]
    return Read(entries, token)


def wake_reply(reply: Reply, wakes: Sequence[bytes]) -> list[bytes]:
    """Return the token of each queue, empty where there was none."""
    found = {key: items[0][0] for key, items in reply or () if items}
    return [found.get(key, b"") for key in wakes]
