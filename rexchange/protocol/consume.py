"""Consumers: registering, reading, taking, ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from rexchange.codec import encode_table
from rexchange.protocol.call import Call, Reply, flag, number, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rexchange.codec import Table
    from rexchange.keyspace import Keys
    from rexchange.protocol.call import Arg

Kind = Literal["p", "m", "g"]
"""plain: reads natively where the queue allows it; managed: by script alone; get: no consumer for RabbitMQ's counts."""
GROUP = "g"
"""The consumer group of every stream of ours."""
MANAGED = "m"
"""The group of those who read by script, in the streams by which consumers are woken."""


class Entry(NamedTuple):
    """An entry for a consumer: which of its queues, the stream's id, how often it was handed out, the message."""

    queue: int
    id: bytes
    times: int
    envelope: bytes
    body: bytes
    note: bytes = b""
    """What else the entry says: when it expires (ms by the server's clock); of a stream queue its offset.

    Before it, where the body is still to be fetched (lua/lib/bodies.lua): `<number>:<size>`, and a space.
    """


class Options(NamedTuple):
    """What a consumer asks for; a prefetch is what it may hold at once."""

    kind: Kind
    timeout_ms: int = 0
    prefetch: int = 0
    priority: int = 0
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """What `consume` answers.

    Each queue's incarnation, which of the ids named are still its own, its ack timeout, the kind that the queues made
    of it, each queue's type (empty: classic), whether it has a retry policy.
    """

    incarnations: list[bytes]
    kept: list[list[bytes]]
    timeout_ms: int
    kind: Kind
    types: list[str]
    retries: list[bool]


@dataclass(frozen=True, slots=True)
class Read:
    """What a native read brought: new entries, and the wake token's id where there was one."""

    entries: list[Entry]
    token: bytes

    @property
    def noted(self) -> bool:
        """Whether any entry is more than envelope and body."""
        return any(entry.note for entry in self.entries)

    @property
    def judged(self) -> bool:
        """Whether the server has to say what may be handed out: given-back entries first, and none that expired."""
        return self.token != b"" or any(entry.note and b":" not in entry.note for entry in self.entries)


def consume(
    session: str,
    consumer: str,
    old: str,
    queues: Sequence[str],
    known: Sequence[Sequence[bytes]],
    options: Options,
    *,
    default_ms: int,
    info: Table,
) -> Call[Registered]:
    """Register `consumer`; after a reconnect it takes over from `old` what its user was shown (`known`)."""
    wishes = (options.kind, options.prefetch, options.priority, int(options.exclusive))
    args: list[Arg] = [session, consumer, old, options.timeout_ms, default_ms, *wishes, encode_table(info, "info")]
    _add_known(args, queues, known)
    return Call("consume", tuple(args), _registered)


def _registered(reply: Reply) -> Registered:
    incarnations, kept, timeout_ms, kind, types, retries = reply
    return Registered(
        list(incarnations),
        [list(ids) for ids in kept],
        timeout_ms,
        kind.decode(),
        [name.decode() for name in types],
        [each == 1 for each in retries],
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
        args += (entry.envelope, entry.body, entry.note)
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
    wait_ms: int = 0,
    bell: bytes = b"",
    partial: bool = False,
) -> Call[list[Entry]]:
    """Take up to `window` entries, those given back first; `unseen` ones of a native read are put back before.

    `plan`: see to it that the reaper looks at the queues in time; for a consumer its registration has done it.
    `wait_ms`: how long it will wait where it gets nothing. `bell`: the token of its own bell. `partial`: from those
    queues alone that have a token; ALL where the others have to be looked at, too.
    """
    args: list[Arg] = [consumer, window, int(plan), wait_ms, bell, int(partial)]
    places = [index for index in range(len(queues)) if not partial or tokens[index]]
    for index in places:
        ids = [entry.id for entry in unseen if entry.queue == index]
        args += (queues[index], incarnations[index], tokens[index] if tokens else b"", len(ids), *ids)

    def decode(reply: Reply) -> list[Entry]:
        if reply == [-1]:
            return MORE
        if reply == [-2]:
            return ALL
        rows: list[tuple[Any, ...]] = [(places[reply[i] - 1], *reply[i + 1 : i + 6]) for i in range(0, len(reply), 6)]
        return [_entry(Entry, row) for row in rows]

    return Call("take", tuple(args), decode)


# Entry(...) is a function in Python: of all that a consumer does for a message it would be a twentieth.
_entry = cast("Callable[[type[Entry], tuple[object, ...]], Entry]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]  # typeshed's
_PLAIN = 4
"""Fields, names and values, of an entry without a note."""
MORE: list[Entry] = []
"""What `take` returns in place of entries when it passed over much that had expired: take again. Compare with `is`."""
ALL: list[Entry] = []
"""What a partial `take` returns when all queues have to be looked at: at one of them it matters whose turn it is."""


def read_command(keys: Keys, consumer: str, queue: bytes, count: int, block_ms: int | None) -> list[Arg]:
    """Return the native read of a plain consumer: its queue, and the wake stream beside it."""
    block: tuple[Arg, ...] = () if block_ms is None else ("BLOCK", block_ms)
    streams = (keys.wake(queue), keys.stream(queue), ">", ">")
    return ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, *block, "STREAMS", *streams]


def wake_command(keys: Keys, consumer: str, queues: Sequence[bytes], block_ms: int | None) -> list[Arg]:
    """Return the read of a managed consumer: the wake streams of its queues, and its own bell."""
    block: tuple[Arg, ...] = () if block_ms is None else ("BLOCK", block_ms)
    streams = [*(keys.wake(queue) for queue in queues), keys.bell(consumer.encode())]
    return ["XREADGROUP", "GROUP", MANAGED, consumer, "COUNT", 1, *block, "STREAMS", *streams, *[">"] * len(streams)]


def read_reply(reply: Reply, stream: bytes) -> Read:
    """Read what the native read of the queue whose stream is `stream` brought."""
    entries: list[Entry] = []
    token = b""
    for key, items in reply or ():
        if key == stream:
            # The last field: where there are several, the first may be a shared body, and the others want to be judged.
            entries = [
                _entry(Entry, (0, entry_id, 1, fields[1], fields[3], fields[-1] if len(fields) > _PLAIN else b""))
                for entry_id, fields in items
            ]
        elif items:
            token = items[0][0]
    return Read(entries, token)


def body_commands(keys: Keys, entries: Sequence[Entry]) -> list[list[Arg]]:
    """Return what fetches the bodies that entries share with those of other queues."""
    shares = (entry.note.partition(b":") for entry in entries)
    return [["GET", keys.body(share)] for share, colon, _ in shares if colon]


def with_bodies(entries: Sequence[Entry], bodies: Sequence[bytes | None]) -> list[Entry] | None:
    """Put entries and their bodies together; None where one is gone: somebody else has settled it, or it is lost."""
    found = [body for body in bodies if body is not None]
    if len(found) < len(bodies):
        return None
    left = iter(found)
    return [
        entry._replace(body=next(left), note=entry.note.partition(b" ")[2]) if b":" in entry.note else entry
        for entry in entries
    ]


def wake_reply(reply: Reply, wakes: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """Return the token of each queue, and that of the bell; empty where there was none."""
    found = {key: items[0][0] for key, items in reply or () if items}
    tokens = [found.pop(key, b"") for key in wakes]
    return tokens, next(iter(found.values()), b"")


# --- stream queues


class Place(NamedTuple):
    """Where a reader of a stream queue begins: first, last, next, offset (of a message), time or age (ms)."""

    word: str = "next"
    value: int = 0


def seek(queue: str, incarnation: bytes, reader: str, place: Place) -> Call[bytes]:
    """Ask after which entry to read; a `reader` with a name goes on where it was."""
    return Call("seek", (queue, incarnation, reader, place.word, place.value), raw)


def keep_place(queue: str, incarnation: bytes, reader: str, entry_id: bytes) -> Call[bytes]:
    """Note that a named reader is done with all up to an entry."""
    return Call("seek", (queue, incarnation, reader, "keep", entry_id), raw)


def look(queue: str, incarnation: bytes) -> Call[bytes]:
    """Ask whether the queue is there; raises NotFound."""
    return Call("seek", (queue, incarnation, "", "look", b""), raw)


def log_command(keys: Keys, queue: bytes, after: bytes, count: int, block_ms: int | None) -> list[Arg]:
    """Return the read of a stream queue: what comes after an entry stays where it is."""
    block: tuple[Arg, ...] = () if block_ms is None else ("BLOCK", block_ms)
    return ["XREAD", "COUNT", count, *block, "STREAMS", keys.stream(queue), after]


def log_reply(reply: Reply) -> list[Entry]:
    """Read what `log_command` brought."""
    return [Entry(0, entry_id, 1, f[1], f[3], f[5]) for _, items in reply or () for entry_id, f in items]
