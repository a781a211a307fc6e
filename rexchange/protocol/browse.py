"""Looking into queues: what is in them, what consumers hold; and deleting one message."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from rexchange.codec import decode_table, encode_value, netstring, short_string
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.message import decode_envelope, decode_properties
from rexchange.protocol import inspect
from rexchange.protocol.call import Call, Plan, Reply
from rexchange.special import time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rexchange.codec import FieldValue, Table
    from rexchange.message import Properties
    from rexchange.protocol.inspect import ConsumerInfo

State = Literal["ready", "unacked", "waiting"]
Wanted = Literal["all", "ready", "unacked", "waiting"]
Order = Literal["age", "deliveries"]
STATES: tuple[Wanted, ...] = ("all", "ready", "unacked", "waiting")
ORDERS: tuple[Order, ...] = ("age", "deliveries")

PER_PAGE = 100
"""Entries of one call; scripts end a page sooner where its bodies are large."""

_ID = re.compile(r"(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,18})")
_BROWSED, _UNACKED = 8, 4


@dataclass(frozen=True, slots=True)
class BrowsedMessage:
    """A message as it lay in its queue when somebody looked; looking changed nothing.

    `state`: "ready", "unacked" (a consumer holds it), or "waiting" (to be tried again, docs/retries.md).
    `id`: unique in its queue, for `peek`, `delete_message`, `move` and `copy`; a message that is given back keeps it.
    `delivery_count`: how often it was handed out so far. `arrived`: when it came into this queue, by the server's
    clock. `expires`: when it will, None where it will not. `consumer` and `age` are of an unacked one: the tag of the
    consumer that holds it, and for how long. Exchange, routing key, properties and headers are read when they are asked
    for; ScriptError where they are corrupt.
    """

    id: str
    queue: str
    state: State
    body: bytes
    delivery_count: int
    arrived: datetime
    expires: datetime | None
    consumer: str
    age: timedelta | None
    envelope: bytes = field(repr=False)

    @property
    def exchange(self) -> str:
        """The exchange it was published to."""
        return decode_envelope(self.envelope)[0]

    @property
    def routing_key(self) -> str:
        """The routing key it was published with."""
        return decode_envelope(self.envelope)[1]

    @property
    def properties(self) -> Properties:
        """AMQP's properties, None where the publisher gave none."""
        return decode_properties(decode_envelope(self.envelope)[2])

    @property
    def headers(self) -> dict[str, FieldValue]:
        """The headers, its history in x-death among them."""
        return decode_table(decode_envelope(self.envelope)[3])


@dataclass(frozen=True, slots=True)
class Unacked:
    """A message that a consumer holds, and who that is.

    `consumer`: its tag, ``amq.get.<queue>`` for what was fetched with `get`; `client`: host, process and program;
    `session`: that of its Broker. `age`: since it was handed out, or the consumer asked for more time (`extend`,
    `renew`). `left`: until its ack timeout gives it back; 0 where that is due, or its holder is gone.
    """

    id: str
    queue: str
    consumer: str
    client: str
    session: str
    age: timedelta
    left: timedelta
    delivery_count: int


# --- what may be asked for


def check_limit(limit: object) -> int:
    """Return a limit; raises InvalidArgument."""
    if type(limit) is not int or limit < 1:
        raise InvalidArgument("limit", limit, "a number of messages, at least 1")
    return limit


def check_word(name: str, value: object, words: Sequence[str]) -> None:
    """Refuse what is none of the words."""
    if value not in words:
        raise InvalidArgument(name, value, " or ".join(map(repr, words)))


def check_id(name: str, value: object) -> str:
    """Return the id of a message; raises InvalidArgument."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        wanted = "the id of a message, such as '1700000000000-0', as browse() and waiting() show it"
        raise InvalidArgument(name, value, wanted)
    return value


def check_ids(ids: object) -> list[str]:
    """Return ids, each once; raises InvalidArgument."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InvalidArgument("ids", ids, "a list of the ids of messages, as browse() and waiting() show them")
    return list(dict.fromkeys(check_id("ids", each) for each in cast("Iterable[object]", ids)))


def match_form(headers: Table | None) -> bytes:
    """Return what lib/headers.lua tests: all of these are equal, as AMQP compares; None is for any value."""
    if headers is None:
        return b""
    if not isinstance(headers, Mapping):
        raise InvalidArgument("headers", headers, "a dict of headers and their values")
    parts = [b"a"]
    for key, value in headers.items():
        typed = b"" if value is None else encode_value(value, f"headers[{key!r}]", canonical=True)
        parts += (netstring(short_string("a key of headers", key)), netstring(typed))
    return b"".join(parts) if headers else b""


class Filter(NamedTuple):
    """Which messages are wanted, as scripts take it."""

    state: str = "all"
    deliveries: int = 0
    match: bytes = b""
    message_id: bytes = b""

    @classmethod
    def of(cls, state: object, headers: Table | None, message_id: str | None, min_deliveries: object) -> Filter:
        """Check what a user asks for; raises InvalidArgument."""
        check_word("state", state, STATES)
        if type(min_deliveries) is not int or min_deliveries < 0:
            raise InvalidArgument("min_deliveries", min_deliveries, "how often a message was handed out, at least 0")
        typed = b"" if message_id is None else b"s" + short_string("message_id", message_id)
        return cls(str(state), min_deliveries, match_form(headers), typed)


# --- browsing


def browse(queue: str, session: str, wanted: Filter, *, limit: int, after: str | None) -> Plan[list[BrowsedMessage]]:
    """Return messages, the oldest first, page by page until there are `limit`, or no more."""
    found: list[BrowsedMessage] = []
    first = "-" if after is None else f"({after}"
    while first and len(found) < limit:
        args = (session, queue, first, "+", min(limit - len(found), PER_PAGE), *wanted)
        first, page = yield Call("browse", args, partial(_page, queue))
        found += page
    return found


def peek(queue: str, session: str, message: str) -> Call[BrowsedMessage | None]:
    """Return one message, or None."""

    def decode(reply: Reply) -> BrowsedMessage | None:
        found = _page(queue, reply)[1]
        return found[0] if found else None

    return Call("browse", (session, queue, message, message, 1, *Filter()), decode)


def _page(queue: str, reply: Reply) -> tuple[str, list[BrowsedMessage]]:
    """Return where the next page begins (empty: nowhere), and the messages of this one."""
    holders = _holders(reply[1])
    found = [_browsed(queue, holders, *reply[at : at + _BROWSED]) for at in range(2, len(reply), _BROWSED)]
    return f"({reply[0].decode()}" if reply[0] else "", found


def _browsed(
    queue: str,
    holders: dict[bytes, ConsumerInfo],
    entry: bytes,
    state: bytes,
    owner: bytes,
    idle_ms: int,
    count: int,
    expires: bytes,
    envelope: bytes,
    body: bytes,
) -> BrowsedMessage:
    is_held = state == b"unacked"
    return BrowsedMessage(
        id=entry.decode(),
        queue=queue,
        state=cast("State", state.decode()),
        body=body,
        delivery_count=count,
        arrived=time_of(int(entry.partition(b"-")[0])),
        expires=time_of(int(expires)) if expires else None,
        consumer=holders[owner].tag if is_held else "",
        age=timedelta(milliseconds=idle_ms) if is_held else None,
        envelope=envelope,
    )


def _holders(flat: Sequence[bytes]) -> dict[bytes, ConsumerInfo]:
    """Return consumers by their names in Redis; one whose record is gone has only that."""
    return {name: inspect.consumer(name, record) for name, record in zip(flat[::2], flat[1::2], strict=True)}


# --- what consumers hold


def unacked(queue: str, session: str, *, limit: int, by: str) -> Plan[list[Unacked]]:
    """Return what consumers hold: what is held longest, or was handed out most often, first. It looks at all."""
    found: list[Unacked] = []
    first = "-"
    while first:
        first, page = yield Call("unacked", (session, queue, first, PER_PAGE), partial(_unacked, queue))
        found = heapq.nlargest(limit, [*found, *page], key=_RANKS[by])
    return found


_RANKS: dict[str, Callable[[Unacked], tuple[float, float]]] = {
    "age": lambda each: (each.age.total_seconds(), each.delivery_count),
    "deliveries": lambda each: (each.delivery_count, each.age.total_seconds()),
}


def _unacked(queue: str, reply: Reply) -> tuple[str, list[Unacked]]:
    holders, found = _holders(reply[1]), list[Unacked]()
    for at in range(2, len(reply), _UNACKED):
        entry, owner, idle_ms, count = reply[at : at + _UNACKED]
        found.append(_held(queue, entry, holders[owner], idle_ms, count))
    return reply[0].decode(), found


def _held(queue: str, entry: bytes, holder: ConsumerInfo, idle_ms: int, count: int) -> Unacked:
    age = timedelta(milliseconds=idle_ms)
    left = max(holder.ack_timeout - age, timedelta())
    return Unacked(entry.decode(), queue, holder.tag, holder.client, holder.session, age, left, count)


# --- deleting one


def delete(
    queue: str, session: str, message: str, lane: str, call_number: int, token: str, *, force: bool
) -> Call[bool]:
    """Delete a message; returns whether it was there. Raises PreconditionFailed where a consumer holds it."""

    def decode(reply: Reply) -> bool:
        if not isinstance(reply, list):
            return bytes(reply) == b"1"
        name, record, idle_ms, count = cast("tuple[bytes, bytes, int, int]", reply)
        held = _held(queue, message.encode(), inspect.consumer(name, record), idle_ms, count)
        by = f"consumer {held.consumer!r}" + (f" ({held.client})" if held.client else "")
        text = (
            f"queue {queue!r}: message {message} is unacked: {by} has held it for {held.age.total_seconds():g} s; "
            "let it settle or time out, or delete it all the same with force=True (its ack is then stale)"
        )
        raise PreconditionFailed(text, kind="queue", name=queue)

    return Call("delete_message", (session, lane, call_number, token, queue, message, int(force)), decode)
