"""Exchanges, queues and bindings: frozen values, what is legal, what is equivalent, and how Redis keeps them.

The rules are RabbitMQ's (4.x). Records are written by scripts from a head and a tail made here, since only a script
knows what stands between: the exchange's generation, the queue's incarnation.

- exchange: ``<d|f|t|h><durable><auto_delete><internal>;<generation>;<alternate><arguments table>``, where
  <alternate> is ``-`` or a netstring
- queue: ``<durable><auto_delete>;<incarnation>;<timeout ms, 0: none>;<netstring of owner><arguments table>``
- binding id: ``<q|x><netstring of destination><netstring of binding key><canonical arguments>``
- headers match form: ``<a|o>`` (all, or any), then netstring of key and netstring of the canonical value of each
  test; an empty value asks for presence only
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias, cast

from rexchange.errors import (
    AccessRefused,
    InvalidArgument,
    NotSupported,
    PreconditionFailed,
    ResourceLocked,
    ScriptError,
    TopologyLost,
)
from rexchange.message import (
    FieldValue,
    Table,
    canonical_table,
    decode_table,
    encode_table,
    encode_value,
    netstring,
    read_netstring,
    short_string,
)

DestinationKind = Literal["queue", "exchange"]
Rule: TypeAlias = tuple[str, Callable[[object], bool]]
"""What an argument may be: in words, and as a test."""

_TIMEOUT = "x-consumer-timeout"
_ALTERNATE = "alternate-exchange"
_LETTERS = {"direct": b"d", "fanout": b"f", "topic": b"t", "headers": b"h"}
_TYPES = {letter: name for name, letter in _LETTERS.items()}
_PLUGIN_TYPES = frozenset(
    {"x-delayed-message", "x-consistent-hash", "x-modulus-hash", "x-random", "x-local-random", "x-recent-history"}
)
_KIND_LETTERS: dict[DestinationKind, bytes] = {"queue": b"q", "exchange": b"x"}
_LETTER_KINDS: dict[bytes, DestinationKind] = {b"q": "queue", b"x": "exchange"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange: `type` is direct, fanout, topic or headers; `internal` ones take no publish from clients."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = field(default_factory=dict[str, FieldValue])

    @property
    def alternate_exchange(self) -> str | None:
        """Where messages go that match no binding of this exchange."""
        value = self.arguments.get(_ALTERNATE)
        return None if value is None else _as_text(value)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. `owner` is the session an exclusive queue belongs to.

    `incarnation` is another one after the queue was deleted and declared again. `message_count` (ready ones) and
    `consumer_count` are those of the moment of the answer.
    """

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Table = field(default_factory=dict[str, FieldValue])
    owner: str = ""
    incarnation: str = ""
    message_count: int = 0
    consumer_count: int = 0

    @property
    def ack_timeout(self) -> timedelta | None:
        """The queue's own x-consumer-timeout; None: the consumer's setting applies."""
        value = self.arguments.get(_TIMEOUT)
        return timedelta(milliseconds=value) if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding from an exchange to a queue or another exchange."""

    source: str
    destination: str
    destination_kind: DestinationKind = "queue"
    binding_key: str = ""
    arguments: Table = field(default_factory=dict[str, FieldValue])


PREDECLARED: Mapping[str, Exchange] = MappingProxyType(
    {
        exchange.name: exchange
        for exchange in (
            Exchange("", "direct"),
            Exchange("amq.direct", "direct"),
            Exchange("amq.fanout", "fanout"),
            Exchange("amq.topic", "topic"),
            Exchange("amq.headers", "headers"),
            Exchange("amq.match", "headers"),
            Exchange("amq.rabbitmq.trace", "topic", internal=True),
        )
    }
)
"""What every vhost has from the start and nobody can delete."""


# --- names


def check_name(kind: str, name: object) -> bytes:
    """Return a name as bytes, or raise InvalidArgument.

    NUL, CR and LF are refused: RabbitMQ strips CR and LF silently, so that two names become one.
    """
    raw = short_string(f"{kind} name", name)
    if any(byte in raw for byte in (b"\0", b"\r", b"\n")):
        raise InvalidArgument(f"{kind} name", name, "no NUL, CR or LF (RabbitMQ strips the last two silently)")
    return raw


def check_vhost(name: object) -> bytes:
    """Return a vhost's name as bytes, or raise InvalidArgument: it becomes a hash tag, so it has no braces."""
    raw = check_name("vhost", name)
    if not raw or b"{" in raw or b"}" in raw:
        raise InvalidArgument("vhost name", name, "a name that is not empty and has no braces")
    return raw


def check_new_name(kind: str, name: object) -> bytes:
    """Return the name of what is to be made, or raise InvalidArgument, or AccessRefused for a reserved one."""
    raw = check_name(kind, name)
    if raw.startswith(b"amq."):
        message = f"{kind} {name!r}: names that begin with 'amq.' are the broker's own, choose another"
        raise AccessRefused(message, kind=kind, name=str(name))
    if not raw and kind == "exchange":
        raise AccessRefused("the default exchange cannot be declared or changed", kind=kind)
    if not raw:
        raise InvalidArgument(f"{kind} name", name, "a name that is not empty")
    return raw


def exchange_type(type_name: object, name: str = "") -> bytes:
    """Return the letter of an exchange type: PreconditionFailed if unknown, NotSupported if only RabbitMQ has it."""
    if not isinstance(type_name, str):
        raise InvalidArgument("type", type_name, "direct, fanout, topic or headers")
    letter = _LETTERS.get(type_name)
    if letter is not None:
        return letter
    if type_name in _PLUGIN_TYPES:
        message = f"exchange {name!r}: rexchange does not have the type {type_name}"
        raise NotSupported(message, kind="exchange", name=name, argument="type", wanted=type_name)
    raise PreconditionFailed.illegal("exchange", name, "type", type_name, "direct, fanout, topic or headers")


# --- arguments


def _as_text(value: object) -> str | None:
    """Return a string argument as str; b"x" equals "x" in AMQP tables."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else None


def _whole(low: int, high: int | None = None) -> Rule:
    words = f"an int of at least {low}" if high is None else f"an int from {low} to {high}"
    return words, lambda value: type(value) is int and low <= value and (high is None or value <= high)


def _one_of(*words: str) -> Rule:
    return "one of " + ", ".join(words), lambda value: _as_text(value) in words


_STRING: Rule = ("a string", lambda value: _as_text(value) is not None)
_BOOL: Rule = ("a bool", lambda value: isinstance(value, bool))
_ANY_INT: Rule = ("an int", lambda value: type(value) is int)
_TIMER_MS = 0xFFFF_FFFF  # 49 days: RabbitMQ's own limit of timers, and exact in Lua

_SUPPORTED: dict[str, Rule] = {
    _TIMEOUT: _whole(1, _TIMER_MS),
    "x-queue-type": _one_of("classic", "quorum", "stream"),
}
_NOT_YET: dict[str, Rule] = {
    "x-message-ttl": _whole(0, _TIMER_MS),
    "x-expires": _whole(1, _TIMER_MS),
    "x-max-length": _whole(0),
    "x-max-length-bytes": _whole(0),
    "x-max-priority": _whole(0, 255),
    "x-overflow": _one_of("drop-head", "reject-publish", "reject-publish-dlx"),
    "x-dead-letter-exchange": _STRING,
    "x-dead-letter-routing-key": _STRING,
    "x-dead-letter-strategy": _one_of("at-most-once", "at-least-once"),
    "x-single-active-consumer": _BOOL,
    "x-delivery-limit": _ANY_INT,
    "x-delayed-retry-type": _one_of("disabled", "all", "failed", "returned"),
    "x-delayed-retry-min": _whole(0),
    "x-delayed-retry-max": _whole(0),
    "x-quorum-initial-group-size": _whole(1),
    "x-quorum-target-group-size": _whole(1),
    "x-initial-cluster-size": _whole(1),
    "x-max-age": _STRING,
    "x-max-in-memory-length": _whole(0),
    "x-max-in-memory-bytes": _whole(0),
}


def _merge(raw: Table | None, option: str, argument: str, value: FieldValue) -> dict[str, FieldValue]:
    """Return raw arguments with a typed option added; both given and different is InvalidArgument."""
    merged = _own_dict(raw)
    if value is not None:
        if argument in merged and not _same(merged[argument], value):
            raise InvalidArgument(option, value, f"the same as {argument} in arguments ({merged[argument]!r}), or one")
        merged[argument] = value
    encode_table(merged, "arguments")  # types and lengths, before anything is compared or sent
    return merged


def _own_dict(raw: object) -> dict[str, FieldValue]:
    if raw is not None and not isinstance(raw, Mapping):
        raise InvalidArgument("arguments", raw, "a dict")
    return dict(cast("Table", raw or {}))


def _same(one: FieldValue, other: FieldValue) -> bool:
    return encode_value(one, canonical=True) == encode_value(other, canonical=True)


def queue_arguments(
    raw: Table | None, *, ack_timeout: timedelta | None = None, name: str = ""
) -> dict[str, FieldValue]:
    """Return a queue's arguments from the raw ones and the typed options.

    Raises InvalidArgument (an option contradicts its raw form), PreconditionFailed (a value RabbitMQ answers with
    406) or NotSupported (legal, but rexchange does not have it). Arguments nobody knows are kept and ignored, as
    RabbitMQ does; so are those that only tune RabbitMQ's own storage (x-queue-mode, x-queue-version, ...).
    """
    milliseconds = None if ack_timeout is None else _milliseconds("ack_timeout", ack_timeout)
    merged = _merge(raw, "ack_timeout", _TIMEOUT, milliseconds)
    for argument, value in merged.items():
        rule = _SUPPORTED.get(argument) or _NOT_YET.get(argument)
        if rule is not None and not rule[1](value):
            raise PreconditionFailed.illegal("queue", name, argument, value, rule[0])
    if "x-dead-letter-routing-key" in merged and "x-dead-letter-exchange" not in merged:
        key = merged["x-dead-letter-routing-key"]
        wanted = "x-dead-letter-exchange too"
        raise PreconditionFailed.illegal("queue", name, "x-dead-letter-routing-key", key, wanted)
    for argument, value in merged.items():
        other_type = argument == "x-queue-type" and _as_text(value) != "classic"
        if other_type or argument in _NOT_YET or argument.startswith("x-stream-"):
            shown = f"{argument}={_as_text(value)}" if other_type else argument
            message = (
                f"queue {name!r}: rexchange does not have {shown} yet, and ignoring it would change what the queue does"
            )
            raise NotSupported(message, kind="queue", name=name, argument=argument, wanted=value)
    return merged


def _milliseconds(option: str, value: object) -> int:
    """Return a typed time in whole milliseconds."""
    if not isinstance(value, timedelta):
        raise InvalidArgument(option, value, "a timedelta")
    milliseconds = value // timedelta(milliseconds=1)
    if not 1 <= milliseconds <= _TIMER_MS:
        raise InvalidArgument(option, value, "from 1 ms to 49 days")
    return milliseconds


def exchange_arguments(
    raw: Table | None, *, alternate_exchange: str | None = None, name: str = ""
) -> dict[str, FieldValue]:
    """Return an exchange's arguments from the raw ones and the typed option.

    Raises InvalidArgument (they contradict) or PreconditionFailed (an alternate exchange that is no string). The
    alternate exchange need not exist.
    """
    if alternate_exchange is not None:
        check_name("alternate_exchange", alternate_exchange)
    merged = _merge(raw, "alternate_exchange", _ALTERNATE, alternate_exchange)
    if _ALTERNATE in merged:
        alternate = _as_text(merged[_ALTERNATE])
        if alternate is None:
            wanted = "the name of an exchange"
            raise PreconditionFailed.illegal("exchange", name, _ALTERNATE, merged[_ALTERNATE], wanted)
        check_name(_ALTERNATE, alternate)
    return merged


def headers_match(arguments: Table, name: str = "") -> bytes:
    """Return the match form of a binding of the headers exchange `name`; PreconditionFailed for a wrong x-match.

    Tests on keys that begin with "x-" count in all-with-x and any-with-x only; no x-match is "all".
    """
    mode = arguments.get("x-match", "all")
    word = _as_text(mode)
    if word not in ("all", "any", "all-with-x", "any-with-x"):
        wanted = "all, any, all-with-x or any-with-x"
        raise PreconditionFailed.illegal("binding", name, "x-match", mode, wanted)
    with_x = word.endswith("-with-x")
    parts = [b"a" if word.startswith("all") else b"o"]
    for key, value in sorted(arguments.items()):
        if key != "x-match" and (with_x or not key.startswith("x-")):
            typed = b"" if value is None else encode_value(value, f"arguments[{key!r}]", canonical=True)
            parts += (netstring(short_string("a key of arguments", key)), netstring(typed))
    return b"".join(parts)


def consumer_timeout_ms(arguments: Mapping[str, object] | None, *, ack_timeout: timedelta | None = None) -> int:
    """Return a consumer's own ack timeout in ms, 0 where it has none; errors as `queue_arguments`."""
    known = {name: value for name, value in (arguments or {}).items() if name == _TIMEOUT}
    merged = queue_arguments(cast("Table", known), ack_timeout=ack_timeout)
    value = merged.get(_TIMEOUT, 0)
    return value if isinstance(value, int) else 0


def owned_by(queue: Queue, session: str) -> Queue:
    """Return the queue with its owner: the session for an exclusive one, else nobody."""
    return replace(queue, owner=session)


# --- equivalence


def compare_exchange(existing: Exchange, wanted: Exchange) -> None:
    """Raise PreconditionFailed where a second declare differs in what RabbitMQ compares; other arguments may."""
    for argument in ("type", "durable", "auto_delete", "internal"):
        here, there = getattr(existing, argument), getattr(wanted, argument)
        if here != there:
            raise PreconditionFailed.mismatch("exchange", existing.name, argument, here, there)
    if existing.alternate_exchange != wanted.alternate_exchange:
        values = existing.alternate_exchange, wanted.alternate_exchange
        raise PreconditionFailed.mismatch("exchange", existing.name, _ALTERNATE, *values)


def compare_queue(existing: Queue, wanted: Queue) -> None:
    """Raise ResourceLocked (exclusivity) or PreconditionFailed where a second declare differs.

    Compared are the flags and the arguments that mean something; x-queue-type classic is the same as none.
    """
    another = existing.exclusive and wanted.exclusive and existing.owner != wanted.owner
    if another or existing.exclusive != wanted.exclusive:
        now = "exclusive to another session" if another else _exclusivity(existing)
        asks = _exclusivity(wanted)
        raise ResourceLocked(
            f"queue {existing.name!r} is {now}, and this declare wants it {asks}",
            kind="queue",
            name=existing.name,
            argument="exclusive",
            current=existing.exclusive,
            wanted=wanted.exclusive,
        )
    here, there = _durable(existing), _durable(wanted)
    if here != there:
        raise PreconditionFailed.mismatch("queue", existing.name, "durable", here, there)
    if existing.auto_delete != wanted.auto_delete:
        values = existing.auto_delete, wanted.auto_delete
        raise PreconditionFailed.mismatch("queue", existing.name, "auto_delete", *values)
    for argument in (*_SUPPORTED, *_NOT_YET):
        default = "classic" if argument == "x-queue-type" else None
        current, asked = existing.arguments.get(argument, default), wanted.arguments.get(argument, default)
        if not _same(current, asked):
            raise PreconditionFailed.mismatch("queue", existing.name, argument, current, asked)


def _exclusivity(queue: Queue) -> str:
    return "exclusive" if queue.exclusive else "not exclusive"


def _durable(queue: Queue) -> bool:
    """An exclusive queue dies with its session, so it is never durable (RabbitMQ: forced)."""
    return queue.durable and not queue.exclusive


# --- records


def _flags(*flags: bool) -> bytes:
    return b"".join(b"1" if flag else b"0" for flag in flags)


def encode_exchange(exchange: Exchange) -> tuple[bytes, bytes]:
    """Return head and tail of an exchange's record."""
    alternate = exchange.alternate_exchange
    where = b"-" if alternate is None else netstring(check_name(_ALTERNATE, alternate))
    head = exchange_type(exchange.type, exchange.name)
    head += _flags(exchange.durable, exchange.auto_delete, exchange.internal)
    return head, where + encode_table(exchange.arguments, "arguments")


def decode_exchange(name: bytes, record: bytes, *, key: bytes) -> Exchange:
    """Return the exchange of a record found in `key`; TopologyLost that names the key where it is corrupt."""
    try:
        head, _generation, tail = record.split(b";", 2)
        durable, auto_delete, internal = _flags_of(head[1:], 3)
        after = 1 if tail[:1] == b"-" else read_netstring(tail, 0, "the alternate exchange")[1]
        arguments = decode_table(tail[after:], "the arguments")
        return Exchange(name.decode(), _TYPES[head[:1]], durable, auto_delete, internal, arguments)
    except (ValueError, KeyError, ScriptError) as error:
        raise _lost("exchange", name, key, record) from error


def encode_queue(queue: Queue) -> tuple[bytes, bytes]:
    """Return head and tail of a queue's record; an exclusive queue without an owner is InvalidArgument."""
    owner = short_string("owner", queue.owner) if queue.exclusive else b""
    if queue.exclusive and not owner:
        raise InvalidArgument("owner", queue.owner, "the session that the exclusive queue belongs to")
    timeout = queue.ack_timeout or timedelta(0)
    tail = b"%d;" % (timeout // timedelta(milliseconds=1)) + netstring(owner)
    return _flags(_durable(queue), queue.auto_delete), tail + encode_table(queue.arguments, "arguments")


def decode_queue(name: bytes, record: bytes, *, key: bytes, message_count: int = 0, consumer_count: int = 0) -> Queue:
    """Return the queue of a record found in `key`; TopologyLost that names the key where it is corrupt."""
    try:
        head, incarnation, _timeout, tail = record.split(b";", 3)
        durable, auto_delete = _flags_of(head, 2)
        owner, after = read_netstring(tail, 0, "the owner")
        return Queue(
            name=name.decode(),
            durable=durable,
            exclusive=owner != b"",
            auto_delete=auto_delete,
            arguments=decode_table(tail[after:], "the arguments"),
            owner=owner.decode(),
            incarnation=incarnation.decode(),
            message_count=message_count,
            consumer_count=consumer_count,
        )
    except (ValueError, ScriptError) as error:
        raise _lost("queue", name, key, record) from error


def encode_binding_id(binding: Binding) -> bytes:
    """Return what makes a binding this one, apart from its source: destination, key and arguments."""
    return b"".join(
        (
            _KIND_LETTERS[binding.destination_kind],
            netstring(check_name(binding.destination_kind, binding.destination)),
            netstring(short_string("binding_key", binding.binding_key)),
            canonical_table(binding.arguments),
        )
    )


def decode_binding(source: bytes, binding_id: bytes, arguments: bytes, *, key: bytes) -> Binding:
    """Return the binding stored in `key`; TopologyLost that names the key where it is corrupt."""
    try:
        destination, at = read_netstring(binding_id, 1, "the destination")
        binding_key, _ = read_netstring(binding_id, at, "the binding key")
        return Binding(
            source=source.decode(),
            destination=destination.decode(),
            destination_kind=_LETTER_KINDS[binding_id[:1]],
            binding_key=binding_key.decode(),
            arguments=decode_table(arguments, "the arguments"),
        )
    except (ValueError, KeyError, ScriptError) as error:
        raise _lost("binding", source, key, binding_id) from error


def pack_destinations(destinations: Iterable[tuple[DestinationKind, bytes]]) -> bytes:
    """Return ``<q|x><netstring of name>`` of each, joined."""
    return b"".join(_KIND_LETTERS[kind] + netstring(name) for kind, name in destinations)


def unpack_destinations(packed: bytes) -> list[tuple[DestinationKind, str]]:
    """Return what `pack_destinations` packed; ScriptError where corrupt."""
    found: list[tuple[DestinationKind, str]] = []
    at = 0
    while at < len(packed):
        kind = _LETTER_KINDS.get(packed[at : at + 1])
        if kind is None:
            raise ScriptError(f"packed destinations are corrupt at {at}: {packed[:60]!r}")
        name, at = read_netstring(packed, at + 1, "packed destinations")
        found.append((kind, name.decode("utf-8", "backslashreplace")))
    return found


def _flags_of(raw: bytes, length: int) -> list[bool]:
    if len(raw) != length or raw.strip(b"01"):
        raise ValueError(raw)
    return [flag == ord("1") for flag in raw]


def _lost(kind: str, name: bytes, key: bytes, record: bytes) -> TopologyLost:
    shown = name.decode("utf-8", "backslashreplace")
    where = key.decode("utf-8", "backslashreplace")
    message = f"the record of {kind} {shown!r} in {where} is corrupt: {record[:60]!r}"
    return TopologyLost(message, kind=kind, name=shown, argument=where, current=record)
