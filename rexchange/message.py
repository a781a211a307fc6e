"""Messages, their AMQP properties, and the codec of everything structured that rexchange keeps in Redis.

A netstring is ``<decimal length>:<bytes>``. A typed value is one letter and its text: ``n`` None, ``t`` True,
``f`` False, ``i`` int (signed 64 bit), ``d`` float, ``s`` str, ``b`` bytes, ``T`` whole seconds since 1970,
``D`` Decimal, ``l`` list (netstrings of typed values), ``m`` table (netstring of key, netstring of typed value, ...).
A table that stands alone has no ``m``. An envelope is the netstrings of exchange, routing key, table of properties,
table of headers; what follows is of a later release and not read. All of it is plain enough for Lua to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, TypedDict, cast

from rexchange.errors import ContentTooLarge, InvalidArgument, NotSupported, PreconditionFailed, ScriptError

if TYPE_CHECKING:
    from typing import Unpack

FieldValue: TypeAlias = (
    "bool | int | float | str | bytes | datetime | Decimal | Sequence[FieldValue] | Mapping[str, FieldValue] | None"
)
Table: TypeAlias = Mapping[str, FieldValue]

SHORT_BYTES = 255
"""AMQP's short string: names, keys, properties."""

_DEPTH = 32  # tables in tables: far more than anyone needs, far less than Python's recursion limit
_INT_LIMIT = 1 << 63
_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)
_FIRST, _FINAL = -62_135_596_800, 253_402_300_799  # what datetime can say in UTC: a reader could not read more
_CACHED = 4096  # distinct (exchange, routing key) pairs whose bytes are kept, at most 0.5 KB each


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

    `headers` are free values for the headers exchange and for the consumer; `properties` are AMQP's own.
    `mandatory`: raise Unroutable where no queue would get it. A bytearray or memoryview body is copied.
    """

    __slots__ = ("body", "exchange", "headers", "mandatory", "properties", "routing_key")
    __hash__ = None  # type: ignore[assignment]  # messages can be changed, so equal ones may stop being equal

    def __init__(
        self,
        body: bytes | bytearray | memoryview,
        *,
        exchange: str = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        **properties: Unpack[PropertyArgs],
    ) -> None:
        """Keep the parts as they are."""
        self.body: bytes = body if type(body) is bytes else _own_bytes(body)
        self.exchange = exchange
        self.routing_key = routing_key
        self.headers: Table = {} if headers is None else headers
        self.mandatory = mandatory
        self.properties = properties

    @classmethod
    def json(
        cls,
        obj: object,
        *,
        exchange: str = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        **properties: Unpack[PropertyArgs],
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

    def __eq__(self, other: object) -> bool:
        """Compare all parts."""
        if not isinstance(other, Message):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        """Show where it goes and the start of the body."""
        body = repr(self.body if len(self.body) <= 40 else self.body[:40] + b"...")  # noqa: PLR2004 - a look, no rule
        return f"Message({body}, exchange={self.exchange!r}, routing_key={self.routing_key!r})"


def _own_bytes(body: object) -> bytes:
    """Return a bytes-like body as bytes; anything else as it is, for `validate` to refuse."""
    like_bytes = isinstance(body, bytes | bytearray | memoryview)
    return bytes(cast("bytes", body)) if like_bytes else cast("bytes", body)


# --- writing


def netstring(raw: bytes) -> bytes:
    """Return ``<length>:<raw>``."""
    return b"%d:%b" % (len(raw), raw)


def utf8(argument: str, text: str) -> bytes:
    """Return the text as UTF-8; a lone surrogate has none and raises InvalidArgument."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(argument, text, "text that has a UTF-8 form (no lone surrogates)") from error


def short_string(argument: str, text: object) -> bytes:
    """Return a str as UTF-8 of at most 255 bytes, AMQP's short string; else raise InvalidArgument."""
    if not isinstance(text, str):
        raise InvalidArgument(argument, text, "a str")
    raw = utf8(argument, text)
    if len(raw) > SHORT_BYTES:
        raise InvalidArgument(argument, text, f"at most {SHORT_BYTES} bytes of UTF-8, and it has {len(raw)}")
    return raw


def encode_value(value: object, argument: str = "value", *, canonical: bool = False, depth: int = 0) -> bytes:
    """Return the typed value; `argument` names it in the InvalidArgument raised for what AMQP has no type for.

    `canonical` is the form to compare by (RABBITMQ.md has none; RabbitMQ's rules): "x" equals b"x", order of keys
    does not count.
    """
    if isinstance(value, str):
        return b"s" + utf8(argument, value)
    if isinstance(value, bytes):
        return (b"s" if canonical else b"b") + value
    if value is None or value is True or value is False:
        return _WORDS[value]
    if isinstance(value, int):
        if not -_INT_LIMIT <= value < _INT_LIMIT:
            raise InvalidArgument(argument, value, "an int of at most 64 bits, with its sign")
        return b"i%d" % value
    if isinstance(value, float):
        return b"d" + repr(float(value)).encode()
    return _encode_rare(value, argument, canonical=canonical, depth=depth)


def _encode_rare(value: object, argument: str, *, canonical: bool, depth: int) -> bytes:
    if depth >= _DEPTH:
        raise InvalidArgument(argument, type(value).__name__, f"at most {_DEPTH} levels of lists and tables")
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return b"m" + encode_table(table, argument, canonical=canonical, depth=depth + 1)
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return b"l" + b"".join(
            netstring(encode_value(item, f"{argument}[{index}]", canonical=canonical, depth=depth + 1))
            for index, item in enumerate(items)
        )
    if isinstance(value, datetime):
        return b"T%d" % _seconds(value, argument)
    if isinstance(value, Decimal) and value.is_finite():
        return b"D" + str(value).encode()
    raise InvalidArgument(
        argument, value, "None, bool, int, float, str, bytes, datetime, finite Decimal, list, tuple or dict"
    )


def _seconds(value: datetime, argument: str) -> int:
    """Return AMQP's timestamp: whole seconds since 1970."""
    if value.utcoffset() is None:
        raise InvalidArgument(argument, value, "a datetime with a time zone: a naive one names no instant")
    seconds = (value - _EPOCH) // _SECOND
    if not _FIRST <= seconds <= _FINAL:
        raise InvalidArgument(argument, value, "an instant that is in the years 1 to 9999 in UTC too")
    return seconds


def encode_table(
    table: Mapping[object, object] | Table, argument: str = "table", *, canonical: bool = False, depth: int = 0
) -> bytes:
    """Return the table, keys in the order given; keys are str of at most 255 bytes, else InvalidArgument."""
    items = [
        (
            short_string(f"a key of {argument}", key),
            encode_value(value, f"{argument}[{key!r}]", canonical=canonical, depth=depth),
        )
        for key, value in table.items()
    ]
    if canonical:
        items.sort()
    return b"".join([b"%d:%b%d:%b" % (len(key), key, len(value), value) for key, value in items])


def canonical_table(table: Table, argument: str = "arguments") -> bytes:
    """Return the form in which equal tables are equal bytes: keys sorted, recursively, bytes written as str."""
    return encode_table(table, argument, canonical=True)


# --- properties and envelope

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
        raise _expiration(value)
    raise InvalidArgument(name, value, f"one of the AMQP properties: {', '.join(_PROPERTIES)}")


def _expiration(value: object) -> InvalidArgument | PreconditionFailed | NotSupported:
    """Return why this expiration is refused: an ignored one would let messages live for ever."""
    if not isinstance(value, str):
        return InvalidArgument("expiration", value, 'milliseconds as a str, such as "60000"')
    if not (value.isascii() and value.isdigit()):  # RabbitMQ: "5 ", "abc" and "-1" are 406
        wanted = 'milliseconds as a str of digits, such as "60000"'
        return PreconditionFailed.illegal("message", "", "expiration", value, wanted)
    message = "expiration: rexchange does not have message TTL yet, and ignoring it would keep the message for ever"
    return NotSupported(message, kind="message", argument="expiration", wanted=value)


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


def _encode_headers(headers: object) -> bytes:
    if not isinstance(headers, Mapping):
        raise InvalidArgument("headers", headers, "a dict")
    return encode_table(cast("Mapping[object, object]", headers), "headers")


def encode_envelope(message: Message) -> bytes:
    """Return the envelope (without the body). Raises what `validate` raises for all but the body."""
    exchange, routing_key = message.exchange, message.routing_key
    try:
        if not message.properties and message.headers == {}:
            return _bare(exchange, routing_key)
        address = _address(exchange, routing_key)
    except TypeError as error:  # of the caches: not hashable, so not a str
        raise InvalidArgument("exchange or routing_key", (exchange, routing_key), "a str") from error
    properties, headers = encode_properties(message.properties), _encode_headers(message.headers)
    return b"%b%d:%b%d:%b" % (address, len(properties), properties, len(headers), headers)


def validate(message: Message, max_body: int) -> bytes:
    """Check a message whole and return its envelope, so that hot code walks it once.

    Raises InvalidArgument (types and ranges), ContentTooLarge (a body over `max_body` bytes), PreconditionFailed
    (an expiration that is no number: RabbitMQ's 406) or NotSupported (any other expiration, as yet).
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


def read_netstring(raw: bytes, start: int, what: str) -> tuple[bytes, int]:
    """Return the netstring at `start` and where the next one begins; raise ScriptError naming `what` if cut."""
    colon = raw.find(b":", start, start + 20)
    digits = raw[start:colon]
    if colon < 0 or not digits.isdigit():
        raise _corrupt(what, raw)
    end = colon + 1 + int(digits)
    if end > len(raw):
        raise _corrupt(what, raw)
    return raw[colon + 1 : end], end


def _corrupt(what: str, raw: bytes) -> ScriptError:
    return ScriptError(f"{what} is corrupt: {raw[:60]!r}{'...' if len(raw) > 60 else ''}")  # noqa: PLR2004 - a look


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _corrupt(what, raw) from error


def decode_value(raw: bytes, what: str = "a value", depth: int = 0) -> FieldValue:
    """Return the typed value; raise ScriptError naming `what` where it cannot be read."""
    kind = raw[:1]
    read = _READERS.get(kind)
    if read is not None:
        try:
            return read(raw[1:])
        except (ValueError, ArithmeticError, OSError) as error:
            raise _corrupt(what, raw) from error
    if raw in _CONSTANTS:
        return _CONSTANTS[raw]
    if kind == b"m" and depth < _DEPTH:
        return decode_table(raw[1:], what, depth + 1)
    if kind == b"l" and depth < _DEPTH:
        return _decode_list(raw[1:], what, depth + 1)
    raise _corrupt(what, raw)


def _decode_list(raw: bytes, what: str, depth: int) -> list[FieldValue]:
    values: list[FieldValue] = []
    at = 0
    while at < len(raw):
        typed, at = read_netstring(raw, at, what)
        values.append(decode_value(typed, what, depth))
    return values


def decode_table(raw: bytes, what: str = "a table", depth: int = 0) -> dict[str, FieldValue]:
    """Return the table as a dict; raise ScriptError naming `what` where it cannot be read."""
    table: dict[str, FieldValue] = {}
    at = 0
    while at < len(raw):
        key, at = read_netstring(raw, at, what)
        typed, at = read_netstring(raw, at, what)
        table[_text(key, what)] = decode_value(typed, what, depth)
    return table


def decode_properties(raw: bytes) -> Properties:
    """Return the properties; names of a later release are ignored. Raises ScriptError where corrupt."""
    if not raw:
        return _NONE
    table = decode_table(raw, "the properties of a message")
    for name, value in table.items():
        expected = _PROPERTIES.get(name)
        if expected is not None and not isinstance(value, expected):
            raise _corrupt(f"property {name} of a message", raw)
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
    return _text(exchange, what), _text(routing_key, what), properties, headers


_SMALL = 128  # such an envelope often comes again byte by byte: no properties, no headers
_decode_small = lru_cache(maxsize=_CACHED)(_decode_envelope)
_NONE = Properties()
_WORDS = {None: b"n", True: b"t", False: b"f"}
_CONSTANTS: dict[bytes, FieldValue] = {word: value for value, word in _WORDS.items()}
_READERS: dict[bytes, Callable[[bytes], FieldValue]] = {
    b"s": bytes.decode,
    b"b": bytes,
    b"i": int,
    b"d": float,
    b"T": lambda raw: datetime.fromtimestamp(int(raw), UTC),
    b"D": lambda raw: Decimal(raw.decode()),
}
_PROPERTIES: dict[str, type] = {field.name: str for field in fields(Properties)} | {
    "delivery_mode": int,
    "priority": int,
    "timestamp": datetime,
}
