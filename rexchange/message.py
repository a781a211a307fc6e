"""Messages and their AMQP properties: what may be published, and how Redis keeps it.

An envelope is the netstrings of exchange, routing key, table of properties, table of headers, and, where the broker
keeps something for itself, a table of that (lua/lib/envelope.lua); what follows is of a later release and not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict, cast

from rexchange.codec import (
    FieldValue,
    Table,
    as_text,
    corrupt,
    decode_table,
    encode_table,
    encode_value,
    netstring,
    read_netstring,
    read_text,
    short_string,
)
from rexchange.errors import ContentTooLarge, InvalidArgument, PreconditionFailed
from rexchange.special import NAMES, Special

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Unpack

_LONGEST_MS = 0xFFFF_FFFF  # 49 days: RabbitMQ's own limit of timers
_CACHED = 4096  # distinct (exchange, routing key) pairs whose bytes are kept, at most 0.5 KB each
_SMALL = 128  # such an envelope often comes again byte by byte: no properties, no headers


class PropertyArgs(TypedDict, total=False):
    """The AMQP properties, as keyword arguments of `Message`; None is the same as not given."""

    content_type: str | None
    content_encoding: str | None
    delivery_mode: int | None
    priority: int | None
    correlation_id: str | None
    reply_to: str | None
    expiration: str | None
    message_id: str | None
    timestamp: datetime | None
    type: str | None
    user_id: str | None
    app_id: str | None
    cluster_id: str | None


class MessageArgs(PropertyArgs, total=False):
    """What may be said of a message by keyword: AMQP's properties, and what AMQP has not.

    `delay`: it is routed after so long; or `at`: when this time has come (docs/scheduling.md). `dedup_key`: it is
    published only if none with this key was within the last `dedup_window` (docs/deduplication.md).
    """

    delay: timedelta | None
    at: datetime | None
    dedup_key: str | None
    dedup_window: timedelta | None


@dataclass(frozen=True, slots=True)
class Properties:
    """The AMQP properties of a delivery; None where the publisher gave none."""

    content_type: str | None = None
    content_encoding: str | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


class Message:
    """A message to publish. It is checked when it is published, not here: see `validate`.

    `headers` are free values for the headers exchange and for the consumer; `properties` are AMQP's own, and beside
    them delay, at, dedup_key and dedup_window (see `MessageArgs`). `mandatory`: raise Unroutable where no queue would
    get it. A bytearray or memoryview body is copied.
    """

    __slots__ = ("body", "exchange", "headers", "mandatory", "properties", "routing_key", "special")
    __hash__ = None  # type: ignore[assignment]  # messages can be changed, so equal ones may stop being equal

    def __init__(
        self,
        body: bytes | bytearray | memoryview,
        *,
        exchange: str = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        **properties: Unpack[MessageArgs],
    ) -> None:
        """Keep the parts as they are."""
        self.body: bytes = body if type(body) is bytes else _own_bytes(body)
        self.exchange = exchange
        self.routing_key = routing_key
        self.headers: Table = {} if headers is None else headers
        self.mandatory = mandatory
        self.special: Special | None = None
        self.properties: PropertyArgs = properties
        if properties and not NAMES.isdisjoint(properties):
            self.properties, self.special = _split(properties, Special())

    @classmethod
    def json(
        cls,
        obj: object,
        *,
        exchange: str = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        **properties: Unpack[MessageArgs],
    ) -> Message:
        """Return a message whose body is `obj` as compact UTF-8 JSON, content_type application/json.

        Raises InvalidArgument for what JSON cannot say, NaN and infinity included.
        """
        try:
            body = json.dumps(obj, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument("obj", obj, f"a value that JSON can hold ({error})") from error
        properties.setdefault("content_type", "application/json")
        return cls(body, exchange=exchange, routing_key=routing_key, headers=headers, mandatory=mandatory, **properties)

    def copy(self, *, mandatory: bool | None = None, **properties: Unpack[MessageArgs]) -> Message:
        """Return another message with the same parts, but for those given."""
        other = copy(self)
        if mandatory is not None:
            other.mandatory = mandatory
        given, other.special = _split(properties, self.special or Special())
        other.properties = {**self.properties, **given}
        return other

    def __eq__(self, other: object) -> bool:
        """Compare all parts."""
        if not isinstance(other, Message):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        """Show where it goes and the start of the body."""
        body = repr(self.body if len(self.body) <= 40 else self.body[:40] + b"...")  # noqa: PLR2004 - a look, no rule
        return f"Message({body}, exchange={self.exchange!r}, routing_key={self.routing_key!r})"


def _split(given: MessageArgs, special: Special) -> tuple[PropertyArgs, Special | None]:
    """Return AMQP's properties, and what is special with what is given of it; None where nothing is."""
    own: dict[str, Any] = {name: value for name, value in given.items() if name in NAMES and value is not None}
    merged = special._replace(**own)
    properties = {name: value for name, value in given.items() if name not in NAMES}
    return cast("PropertyArgs", properties), merged if any(value is not None for value in merged) else None


def _own_bytes(body: object) -> bytes:
    """Return a bytes-like body as bytes; anything else as it is, for `validate` to refuse."""
    like_bytes = isinstance(body, bytes | bytearray | memoryview)
    return bytes(cast("bytes", body)) if like_bytes else cast("bytes", body)


# --- writing

_TEXTS = frozenset(
    {"content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "type", "user_id", "app_id"}
    | {"cluster_id"}
)


def _encode_property(name: str, value: object) -> bytes:
    """Return the typed value of one property, or refuse it."""
    if name in _TEXTS:
        return b"s" + short_string(name, value)
    if name == "delivery_mode":
        if type(value) is int and value in (1, 2):
            return b"i%d" % value
        raise InvalidArgument(name, value, "1 (transient) or 2 (persistent)")
    if name == "priority":
        if type(value) is int and 0 <= value <= 255:  # noqa: PLR2004 - AMQP's octet
            return b"i%d" % value
        raise InvalidArgument(name, value, "an int from 0 to 255")
    if name == "timestamp":
        if isinstance(value, datetime):
            return encode_value(value, name)
        raise InvalidArgument(name, value, "a datetime with a time zone")
    if name == "expiration":
        expiration_ms(value)
        return b"s" + short_string(name, value)
    raise InvalidArgument(name, value, f"one of the AMQP properties: {', '.join(_PROPERTIES)}")


def expiration_ms(value: object) -> int:
    """Return the milliseconds of an expiration; RabbitMQ answers "5 ", "abc" and "-1" with 406."""
    if not isinstance(value, str):
        raise InvalidArgument("expiration", value, 'milliseconds as a str, such as "60000"')
    if not (value.isascii() and value.isdigit()) or int(value) > _LONGEST_MS:
        wanted = f'milliseconds as a str of digits, at most {_LONGEST_MS}, such as "60000"'
        raise PreconditionFailed.illegal("message", "", "expiration", value, wanted)
    return int(value)


def encode_properties(properties: PropertyArgs) -> bytes:
    """Return the table of the properties that are not None; refuse the rest as `validate` says."""
    parts: list[bytes] = []
    for name, value in properties.items():
        if value is not None:
            typed = _encode_property(name, value)
            parts.append(b"%d:%b%d:%b" % (len(name), name.encode(), len(typed), typed))
    return b"".join(parts)


@lru_cache(maxsize=_CACHED)
def _address(exchange: str, routing_key: str) -> bytes:
    return netstring(short_string("exchange", exchange)) + netstring(short_string("routing_key", routing_key))


@lru_cache(maxsize=_CACHED)
def _bare(exchange: str, routing_key: str) -> bytes:
    return _address(exchange, routing_key) + b"0:0:"


def _more_keys(name: str, value: object) -> list[str]:
    """Return the routing keys of CC or BCC; a list of RabbitMQ's may hold what is no string, which it passes over."""
    if not isinstance(value, list | tuple):
        raise PreconditionFailed.illegal("message", "", f"header {name}", value, "a list of routing keys")
    keys = [as_text(each) for each in cast("Sequence[object]", value)]
    return [key for key in keys if key is not None and short_string(f"a key of {name}", key) is not None]


def _encode_headers(headers: object) -> tuple[bytes, bytes]:
    """Return the table of the headers, and that of what the broker keeps for itself: BCC is not for consumers."""
    if not isinstance(headers, Mapping):
        raise InvalidArgument("headers", headers, "a dict")
    table = cast("Mapping[object, object]", headers)
    if "BCC" not in table:
        return encode_table(table, "headers"), b""
    shown = {key: value for key, value in table.items() if key != "BCC"}
    return encode_table(shown, "headers"), encode_table({"k": _more_keys("BCC", table["BCC"])})


def encode_options(message: Message) -> bytes:
    """Return what routing and queues need besides exchange, key and headers (lua/lib/options.lua)."""
    properties, headers, special = message.properties, message.headers, message.special
    if not properties and not headers and special is None:
        return b""
    options: dict[str, FieldValue] = {} if special is None else special.options()
    expiration, priority = properties.get("expiration"), properties.get("priority")
    if expiration is not None:
        options["x"] = expiration_ms(expiration)
    if priority:
        options["p"] = priority
    if "CC" in headers or "BCC" in headers:
        keys = [key for name in ("CC", "BCC") if name in headers for key in _more_keys(name, headers[name])]
        options["k"] = b"".join(netstring(key.encode()) for key in keys)
    return encode_table(options) if options else b""


def encode_envelope(message: Message) -> bytes:
    """Return the envelope (without the body). Raises what `validate` raises for all but the body."""
    exchange, routing_key = message.exchange, message.routing_key
    try:
        if not message.properties and message.headers == {}:
            return _bare(exchange, routing_key)
        address = _address(exchange, routing_key)
    except TypeError as error:  # of the caches: not hashable, so not a str
        raise InvalidArgument("exchange or routing_key", (exchange, routing_key), "a str") from error
    properties = encode_properties(message.properties)
    headers, own = _encode_headers(message.headers)
    envelope = b"%b%d:%b%d:%b" % (address, len(properties), properties, len(headers), headers)
    return envelope + netstring(own) if own else envelope


def validate(message: Message, max_body: int) -> bytes:
    """Check a message whole and return its envelope, so that hot code walks it once.

    Raises InvalidArgument (types and ranges), ContentTooLarge (a body over `max_body` bytes) or PreconditionFailed
    (an expiration that is no number, a CC or BCC that is no list: RabbitMQ's 406).
    """
    body = message.body
    if type(body) is not bytes:
        raise _wrong_body(body)
    if len(body) > max_body:
        raise ContentTooLarge("a body (bytes)", len(body), max_body)
    if message.mandatory is not False and message.mandatory is not True:
        raise InvalidArgument("mandatory", message.mandatory, "a bool")
    return encode_envelope(message)


def _wrong_body(body: object) -> InvalidArgument:
    hint = "bytes: use .encode() or Message.json" if isinstance(body, str) else "bytes, bytearray or memoryview"
    return InvalidArgument("body", body, hint)


# --- reading


def decode_properties(raw: bytes) -> Properties:
    """Return the properties; names of a later release are ignored. Raises ScriptError where corrupt."""
    if not raw:
        return _NONE
    table = decode_table(raw, "the properties of a message")
    for name, value in table.items():
        expected = _PROPERTIES.get(name)
        if expected is not None and not isinstance(value, expected):
            raise corrupt(f"property {name} of a message", raw)
    return Properties(**{name: value for name, value in table.items() if name in _PROPERTIES})  # type: ignore[arg-type]  # checked above


def decode_envelope(raw: bytes) -> tuple[str, str, bytes, bytes]:
    """Return exchange, routing key and, not yet decoded, properties and headers; ScriptError where corrupt.

    For `decode_properties` and `decode_table`, when and if somebody asks.
    """
    return _decode_small(raw) if len(raw) <= _SMALL else _decode_envelope(raw)


def _decode_envelope(raw: bytes) -> tuple[str, str, bytes, bytes]:
    what = "the envelope of a message"
    exchange, at = read_netstring(raw, 0, what)
    routing_key, at = read_netstring(raw, at, what)
    properties, at = read_netstring(raw, at, what)
    headers, _ = read_netstring(raw, at, what)
    return read_text(exchange, what), read_text(routing_key, what), properties, headers


_decode_small = lru_cache(maxsize=_CACHED)(_decode_envelope)
_NONE = Properties()
_PROPERTIES: dict[str, type] = {field.name: str for field in fields(Properties)} | {
    "delivery_mode": int,
    "priority": int,
    "timestamp": datetime,
}
