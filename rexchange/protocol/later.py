"""Messages that wait for their time: listing and cancelling them; and the limit of a vhost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rexchange.codec import corrupt, decode_table, read_netstring
from rexchange.errors import BrokerConnectionError, NotFound
from rexchange.message import Properties, decode_envelope, decode_properties
from rexchange.protocol.call import Call, Plan, Reply, nothing
from rexchange.special import time_of

if TYPE_CHECKING:
    from datetime import datetime

    from rexchange.codec import FieldValue

PER_PAGE = 100
"""Messages of one page."""
_WHAT = "a scheduled message"
_BY_EXCHANGE = 7  # netstrings of what an x-delayed-message exchange keeps


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A message that waits for its time. `id` is that of its receipt; `due` when it is routed, by the server's clock.

    `queue`: it is for this queue alone, which was full when it was due, and tries again.
    """

    id: str
    due: datetime
    exchange: str
    routing_key: str
    headers: dict[str, FieldValue]
    properties: Properties
    body: bytes
    queue: str = ""


class Limit(NamedTuple):
    """The limit of a vhost, None where there is none, and how many messages it holds, counted lately."""

    messages: int | None
    held: int


def scheduled(epoch: str, limit: int) -> Plan[list[Scheduled]]:
    """List what waits, the next one first, at most so many; `epoch` ends every id of this vhost."""
    found: dict[bytes, Scheduled] = {}
    due: bytes | str = ""
    number: bytes | str = ""
    while len(found) < limit:
        args = ("list", due, number, min(PER_PAGE, limit - len(found)))
        page = yield Call("scheduled", args, list)
        if not page:
            break
        for at in range(0, len(page), 3):
            number, due = page[at], page[at + 1]
            if page[at + 2]:
                found[page[at]] = _read(page[at], epoch, int(due), page[at + 2])
    return list(found.values())


def cancel(schedule_id: str, epoch: str, *, again: bool = False) -> Call[Scheduled]:
    """Cancel one; raises NotFound where it is gone, or is `again` asked for since a reply was lost: then who knows."""
    number, _, own = schedule_id.partition(".")

    def decode(reply: Reply) -> Scheduled:
        if not reply:
            raise missing(schedule_id)
        if len(reply) == 1:
            what = f"schedule {schedule_id!r} is gone: cancelled by this call, or its time came before"
            raise BrokerConnectionError(what, address="", outcome="unknown")
        return _read(reply[0], epoch, int(reply[1]), reply[2])

    # An id from before a FLUSHALL has another epoch, and its number may be another message's by now.
    return Call("scheduled", ("cancel", number if own == epoch else "", int(again), 0), decode)


def missing(schedule_id: str) -> NotFound:
    """Return the error for an id of nothing that waits."""
    why = "its time has come, it was cancelled, or it is another vhost's"
    return NotFound(f"schedule {schedule_id!r} is not there: {why}", kind="schedule", name=schedule_id)


def _read(number: bytes, epoch: str, due_ms: int, parcel: bytes) -> Scheduled:
    """Read what lua/lib/later.lua keeps."""
    kind, at = parcel[:1], 1
    if kind not in (b"s", b"q"):
        kind, at = b"", 0
    parts: list[bytes] = []
    while at < len(parcel):
        part, at = read_netstring(parcel, at, _WHAT)
        parts.append(part)
    first = {b"s": 0, b"q": 1, b"": _BY_EXCHANGE - 2}[kind]
    if not first + 2 <= len(parts) <= first + 2 + (kind == b"s"):
        raise corrupt(_WHAT, parcel)
    exchange, key, properties, headers = decode_envelope(parts[first])
    return Scheduled(
        f"{number.decode()}.{epoch}",
        time_of(due_ms),
        exchange,
        key,
        decode_table(headers),
        decode_properties(properties),
        parts[first + 1],
        parts[0].decode() if kind == b"q" else "",
    )


def set_limit(messages: int | None) -> Call[None]:
    """Set the vhost's limit, or take it away."""
    return Call("limit", ("delete", 0) if messages is None else ("set", messages), nothing)


def limit() -> Plan[Limit]:
    """Read it, and count until all is counted."""
    while True:
        most, held, more = yield Call("limit", ("read", 0), tuple)
        if not more:
            return Limit(None if most < 0 else most, held)
