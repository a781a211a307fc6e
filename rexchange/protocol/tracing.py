"""Tracing: what is traced, and what happened to the messages that were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from rexchange.checks import check_seconds
from rexchange.codec import as_text, decode_table, encode_table, read_netstring, read_text, short_string
from rexchange.errors import InvalidArgument
from rexchange.protocol.call import Call, Plan, Reply
from rexchange.special import time_of
from rexchange.topology import check_name

if TYPE_CHECKING:
    from rexchange.codec import FieldValue
    from rexchange.topology import DestinationKind

PER_PAGE = 200
"""Events that the server looks at in one call."""
MOST = 1_000_000
"""Events that may be kept: some 200 MB."""
LONGEST = timedelta(days=30)
SHORTEST = timedelta(milliseconds=1)

Kind = Literal[
    "published",
    "delayed",
    "routed",
    "refused",
    "unroutable",
    "delivered",
    "acked",
    "given_back",
    "retried",
    "rejected",
    "expired",
    "dropped",
    "dead_lettered",
    "purged",
    "deleted",
    "moved",
    "copied",
]
Why = Literal["binding", "alternate exchange", "queue name"]
_WHYS: dict[bytes, Why] = {b"b": "binding", b"a": "alternate exchange", b"n": "queue name"}
_KINDS: dict[bytes, DestinationKind] = {b"q": "queue", b"x": "exchange"}
_WHAT = "an event of a trace"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is traced, and until when. `keep`: of all traces of a vhost the greatest number holds."""

    id: str
    queue: str | None
    exchange: str | None
    routing_key: str | None
    keep: int
    begun: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a message on its way to a queue: by a binding, to an alternate exchange, or by the queue's name."""

    source: str
    destination: str
    destination_kind: DestinationKind
    binding_key: str
    why: Why


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One thing that happened to a traced message. What does not belong to its kind is empty, or None.

    `id` orders the events of a vhost. `trace_id`: which message; it stays the same through dead-lettering. `at`: by the
    server's clock. `bindings`: the way to the queue, for routed and refused. `reason`: why it was given back, died or
    was refused. `size`: bytes of the body.
    """

    id: str
    trace_id: str
    at: datetime
    kind: Kind
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    bindings: tuple[TraceStep, ...] = ()
    consumer_tag: str = ""
    client: str = ""
    reason: str = ""
    delivery_count: int | None = None
    message_id: str = ""
    size: int | None = None


# --- what is traced


class Answer(NamedTuple):
    """What the script `trace` says: whether it has to be called again, and what is on."""

    more: bool
    traces: list[Trace]


def start(
    trace_id: str,
    *,
    queue: str | None,
    exchange: str | None,
    routing_key: str | None,
    keep: object,
    life: object,
) -> Call[Answer]:
    """Switch a trace on; raises InvalidArgument for what is none."""
    record: dict[str, FieldValue] = {}
    if queue is None and exchange is None and routing_key is None:
        raise InvalidArgument("queue", None, "what is to be traced: a queue, a routing key or an exchange")
    if queue is not None:
        record["queue"] = check_name("queue", queue).decode()
    if exchange is not None:
        record["exchange"] = short_string("exchange", exchange).decode()
    if routing_key is not None:
        _check_pattern(routing_key)
        record["key"] = routing_key
    if type(keep) is not int or not 1 <= keep <= MOST:
        raise InvalidArgument("keep", keep, f"how many events to keep, an int from 1 to {MOST:,}")
    record["keep"] = keep
    seconds = check_seconds("for_", life)
    if not SHORTEST.total_seconds() <= seconds <= LONGEST.total_seconds():
        raise InvalidArgument("for_", life, f"a timedelta, more than 0 and at most {LONGEST.days} days")
    return Call("trace", ("on", trace_id, encode_table(record), int(seconds * 1000)), _answer)


def _check_pattern(key: object) -> None:
    short_string("routing_key", key)
    for word in cast("str", key).split("."):
        if len(word) > 1 and ("*" in word or "#" in word):
            wanted = "words with dots between them, * for one word, # for any number of words, such as 'user.#'"
            raise InvalidArgument("routing_key", key, wanted)


def stop(trace_id: str) -> Call[Answer]:
    """Switch one off, or all with an empty id; one that is over is no error."""
    return Call("trace", ("off", trace_id, b"", 0), _answer)


def listing() -> Call[Answer]:
    """Say what is on."""
    return Call("trace", ("list", b"", b"", 0), _answer)


def _answer(reply: Reply) -> Answer:
    found = [_trace(reply[at].decode(), reply[at + 1]) for at in range(1, len(reply), 2)]
    return Answer(reply[0] == 1, [trace for _, trace in sorted(found, key=lambda pair: pair[0])])


def _trace(trace_id: str, record: bytes) -> tuple[int, Trace]:
    """Return a trace, and its number among them by age."""
    table = decode_table(record, "the record of a trace")
    return _int(table["number"]), Trace(
        id=trace_id,
        queue=as_text(table.get("queue")),
        exchange=as_text(table.get("exchange")),
        routing_key=as_text(table.get("key")),
        keep=_int(table["keep"]),
        begun=time_of(_int(table["begun"])),
        ends=time_of(_int(table["ends"])),
    )


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


# --- what happened


class Page(NamedTuple):
    """Events of one page, and where the next one begins (empty: nowhere)."""

    cursor: bytes
    events: list[TraceEvent]


def _page(cursor: bytes, limit: int, field: str = "", values: tuple[str, ...] = ()) -> Call[Page]:
    return Call("history", (cursor, limit, field, *values), _read_page)


def _read_page(reply: Reply) -> Page:
    return Page(reply[0], [_event(reply[at], reply[at + 1]) for at in range(1, len(reply), 2)])


def of_message(trace_id: str | None, message_id: str | None) -> Plan[list[TraceEvent]]:
    """Read what happened to one message, or to all that were published with a message id."""
    ids: tuple[str, ...] = () if trace_id is None else (trace_id,)
    if message_id is not None:
        published = yield from _all("m", (message_id,))
        ids = tuple(event.trace_id for event in published[:PER_PAGE])
    if not ids:
        return []
    return (yield from _all("i", ids))


def _all(field: str, values: tuple[str, ...]) -> Plan[list[TraceEvent]]:
    found: list[TraceEvent] = []
    cursor = b"-"
    while cursor:
        page: Page = yield _page(cursor, PER_PAGE, field, values)
        found += page.events
        cursor = page.cursor
    return found


def latest(limit: int) -> Plan[list[TraceEvent]]:
    """Read the latest events, and return them oldest first."""
    found: list[TraceEvent] = []
    cursor = b"+"
    while cursor and len(found) < limit:
        page: Page = yield _page(cursor, min(PER_PAGE, limit - len(found)))
        found += page.events
        cursor = page.cursor
    return found[::-1]


def _event(entry_id: bytes, fields: list[bytes]) -> TraceEvent:
    known = dict(zip(fields[::2], fields[1::2], strict=True))

    def text(letter: bytes) -> str:
        return read_text(known.get(letter, b""), _WHAT)

    def number(letter: bytes) -> int | None:
        return int(known[letter]) if letter in known else None

    return TraceEvent(
        id=entry_id.decode(),
        trace_id=text(b"i"),
        at=time_of(int(entry_id.split(b"-")[0])),
        kind=cast("Kind", text(b"k")),
        queue=text(b"q"),
        exchange=text(b"x"),
        routing_key=text(b"r"),
        bindings=tuple(_steps(known.get(b"b", b""))),
        consumer_tag=text(b"c"),
        client=text(b"h"),
        reason=text(b"w"),
        delivery_count=number(b"n"),
        message_id=text(b"m"),
        size=number(b"z"),
    )


def _steps(packed: bytes) -> list[TraceStep]:
    steps: list[TraceStep] = []
    at = 0
    while at < len(packed):
        parts: list[bytes] = []
        for _ in range(5):
            part, at = read_netstring(packed, at, _WHAT)
            parts.append(part)
        source, kind, name, key, why = parts
        texts = [read_text(part, _WHAT) for part in (source, name, key)]
        steps.append(TraceStep(texts[0], texts[1], _KINDS[kind], texts[2], _WHYS[why]))
    return steps
