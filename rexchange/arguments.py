"""Arguments: the x-arguments of queues, exchanges, bindings and consumers, and the typed options that set them.

One table says what each argument may be. The rules are RabbitMQ's (4.x).

The headers match form of a binding is ``<a|o>`` (all, or any), then netstring of key and netstring of the canonical
value of each test; an empty value asks for presence only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias, TypedDict, cast

from rexchange import retries
from rexchange.codec import FieldValue, Table, as_text, encode_table, encode_value, netstring, short_string
from rexchange.errors import InvalidArgument, NotSupported, PreconditionFailed

Rule: TypeAlias = tuple[str, Callable[[object], bool]]
"""What an argument may be: in words, and as a test."""

CONSUMER_TIMEOUT = "x-consumer-timeout"
ALTERNATE_EXCHANGE = "alternate-exchange"
DELAYED_TYPE = "x-delayed-type"
HISTORY_LENGTH = "x-recent-history-length"
HASHED = ("message_id", "correlation_id", "timestamp")
"""What a consistent-hash exchange may take its hash of, as `hash-property`."""


def _whole(low: int, high: int | None = None) -> Rule:
    words = f"an int of at least {low}" if high is None else f"an int from {low} to {high}"
    return words, lambda value: type(value) is int and low <= value and (high is None or value <= high)


def _one_of(*words: str) -> Rule:
    return "one of " + ", ".join(words), lambda value: as_text(value) in words


_STRING: Rule = ("a string", lambda value: as_text(value) is not None)
_BOOL: Rule = ("a bool", lambda value: isinstance(value, bool))
_ANY_INT: Rule = ("an int", lambda value: type(value) is int)
_MOST_PRIORITY = 0x7FFF_FFFF
_TIMER_MS = 0xFFFF_FFFF  # 49 days: RabbitMQ's own limit of timers, and exact in Lua

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AGE = re.compile(r"([0-9]+)([YMDhms])")
_UNITS_S = {"Y": 31_536_000, "M": 2_592_000, "D": 86_400, "h": 3600, "m": 60, "s": 1}


def age_ms(text: str) -> int:
    """Return the milliseconds of a stream's x-max-age, such as "7D"; raises ValueError."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return int(found[1]) * _UNITS_S[found[2]] * 1000


def _is_age(value: object) -> bool:
    text = as_text(value)
    return text is not None and _AGE.fullmatch(text) is not None


_RULES: dict[str, Rule] = {
    CONSUMER_TIMEOUT: _whole(1, _TIMER_MS),
    "x-queue-type": _one_of("classic", "quorum", "stream"),
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
    **{f"x-{key}": rule for key, rule in retries.RULES.items()},
    "x-delayed-retry-type": _one_of("disabled", "all", "failed", "returned"),
    "x-delayed-retry-min": _whole(0),
    "x-delayed-retry-max": _whole(0),
    "x-quorum-initial-group-size": _whole(1),
    "x-quorum-target-group-size": _whole(1),
    "x-initial-cluster-size": _whole(1),
    "x-max-age": ('a number and a unit of Y, M, D, h, m, s, such as "7D"', _is_age),
    "x-stream-max-segment-size-bytes": _whole(0),
    "x-max-in-memory-length": _whole(0),
    "x-max-in-memory-bytes": _whole(0),
}
"""What each argument of a queue may be; a second declare must repeat those that were given (EQUIVALENCE)."""
EQUIVALENCE = tuple(_RULES)


def argument_rule(argument: str) -> Rule:
    """Return what an argument of a queue or an exchange may be, in words and as a test."""
    return _STRING if argument == ALTERNATE_EXCHANGE else _RULES[argument]


_NOT_YET = frozenset({"x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max"})
"""Legal, and refused, since ignoring them would change what the queue does."""

_REPLICATION = {"x-quorum-initial-group-size", "x-quorum-target-group-size", "x-initial-cluster-size"}
_MEMORY = {"x-max-in-memory-length", "x-max-in-memory-bytes"}
_STREAM_ONLY = {"x-max-age", "x-stream-max-segment-size-bytes", "x-initial-cluster-size"}
_ILLEGAL: dict[str, frozenset[str]] = {
    "classic": frozenset({*_STREAM_ONLY, *_REPLICATION, "x-dead-letter-strategy"}),
    "quorum": frozenset({*_STREAM_ONLY, "x-max-priority"}) - _REPLICATION,
    "stream": frozenset(
        {"x-message-ttl", "x-expires", "x-max-length", "x-max-priority", "x-overflow", "x-dead-letter-exchange"}
        | {"x-dead-letter-routing-key", "x-dead-letter-strategy", "x-single-active-consumer", "x-delivery-limit"}
        | {f"x-{key}" for key in retries.KEYS}
        | _MEMORY
    ),
}
"""Arguments that a queue of the type cannot have (RabbitMQ 4: 406)."""

QUORUM_DELIVERY_LIMIT = 20
"""What a quorum queue has where nothing is said (RabbitMQ 4.0)."""


def _merge(raw: Table | None, option: str, argument: str, value: FieldValue) -> dict[str, FieldValue]:
    """Return raw arguments with a typed option added; both given and different is InvalidArgument."""
    merged = _own_dict(raw)
    if value is not None:
        if argument in merged and not same_value(merged[argument], value):
            raise InvalidArgument(option, value, f"the same as {argument} in arguments ({merged[argument]!r}), or one")
        merged[argument] = value
    return merged


def _own_dict(raw: object) -> dict[str, FieldValue]:
    if raw is not None and not isinstance(raw, Mapping):
        raise InvalidArgument("arguments", raw, "a dict")
    return dict(cast("Table", raw or {}))


def same_value(one: FieldValue, other: FieldValue) -> bool:
    """Compare as AMQP tables are compared: types count, but not whether a string is str or bytes."""
    return encode_value(one, canonical=True) == encode_value(other, canonical=True)


class QueueOptions(TypedDict, total=False):
    """The typed options of a queue; each is an x-argument under a name of Python's. None is the same as not given."""

    ack_timeout: timedelta | None
    message_ttl: timedelta | None
    expires: timedelta | None
    max_length: int | None
    max_length_bytes: int | None
    overflow: Literal["drop-head", "reject-publish", "reject-publish-dlx"] | None
    dead_letter_exchange: str | None
    dead_letter_routing_key: str | None
    max_priority: int | None
    single_active_consumer: bool | None
    delivery_limit: int | None
    queue_type: Literal["classic", "quorum", "stream"] | None
    max_age: timedelta | None
    retry_delays: Sequence[timedelta] | None
    retry_first: timedelta | None
    retry_factor: float | None
    retry_longest: timedelta | None
    retry_tries: int | None
    retry_jitter: float | None


OPTION_NAMES = {
    "ack_timeout": CONSUMER_TIMEOUT,
    "dead_letter_exchange": "x-dead-letter-exchange",
    "dead_letter_routing_key": "x-dead-letter-routing-key",
} | {
    option: f"x-{option.replace('_', '-')}"
    for option in QueueOptions.__annotations__
    if not option.startswith(("ack", "dead"))
}
"""The typed options and the arguments that they set."""
TIME_OPTIONS = ("ack_timeout", "message_ttl", "expires", "max_age", "retry_first", "retry_longest")
"""Those that are times; retry_delays is a list of them."""


def option_value(option: str, value: object) -> FieldValue:
    """Return a typed option as the value of its argument."""
    if option == "max_age":
        return f"{_milliseconds(option, value, least=1000) // 1000}s"
    if option == "retry_delays":
        return _delays(option, value)
    if option in TIME_OPTIONS:
        return _milliseconds(option, value, least=0 if option == "message_ttl" else 1)
    if option in ("retry_factor", "retry_jitter") and isinstance(value, float) and value.is_integer():
        return int(value)  # a second declare may say 2 or 2.0
    return cast("FieldValue", value)


def queue_arguments(raw: Table | None, options: QueueOptions | None = None, *, name: str = "") -> dict[str, FieldValue]:
    """Return a queue's arguments from the raw ones and the typed options.

    Raises InvalidArgument (an option contradicts its raw form), PreconditionFailed (a value RabbitMQ answers with
    406) or NotSupported (legal, but rexchange does not have it). Arguments nobody knows are kept and ignored, as
    RabbitMQ does; so are those that only tune RabbitMQ's own storage and replication (x-queue-mode, ...).
    """
    merged = _own_dict(raw)
    for option, value in (options or {}).items():
        if option not in OPTION_NAMES:
            raise InvalidArgument("option", option, f"one of {', '.join(sorted(OPTION_NAMES))}")
        if value is not None:
            merged = _merge(merged, option, OPTION_NAMES[option], option_value(option, value))
    encode_table(merged, "arguments")  # types and lengths, before anything is compared or sent
    for argument, value in merged.items():
        rule = _RULES.get(argument)
        if rule is not None and not rule[1](value):
            raise PreconditionFailed.illegal("queue", name, argument, value, rule[0])
    _check_together(merged, name)
    return merged


def _check_together(merged: Table, name: str) -> None:
    """Refuse arguments that do not go with each other or with the queue's type."""
    if "x-dead-letter-routing-key" in merged and "x-dead-letter-exchange" not in merged:
        key = merged["x-dead-letter-routing-key"]
        wanted = "x-dead-letter-exchange too"
        raise PreconditionFailed.illegal("queue", name, "x-dead-letter-routing-key", key, wanted)
    kind = as_text(merged.get("x-queue-type", "classic")) or "classic"
    for argument in _ILLEGAL[kind]:
        if argument in merged:
            raise PreconditionFailed.illegal("queue", name, argument, merged[argument], f"none on a {kind} queue")
    if kind == "quorum" and as_text(merged.get("x-overflow")) == "reject-publish-dlx":
        wanted = "drop-head or reject-publish on a quorum queue"
        raise PreconditionFailed.illegal("queue", name, "x-overflow", "reject-publish-dlx", wanted)
    wrong = retries.fault(merged, "x-")
    if wrong is not None:
        raise PreconditionFailed.illegal("queue", name, *wrong)
    for argument in _NOT_YET & merged.keys():
        message = (
            f"queue {name!r}: rexchange does not have {argument}, and ignoring it would change what the queue does; "
            "x-retry-delays, or x-retry-first with x-retry-tries, let a message wait before it is tried again"
        )
        raise NotSupported(message, kind="queue", name=name, argument=argument, wanted=merged[argument])


def _milliseconds(option: str, value: object, *, least: int) -> int:
    """Return a typed time in whole milliseconds."""
    if not isinstance(value, timedelta):
        raise InvalidArgument(option, value, "a timedelta")
    milliseconds = value // timedelta(milliseconds=1)
    if not least <= milliseconds <= _TIMER_MS:
        raise InvalidArgument(option, value, f"from {least} ms to 49 days")
    return milliseconds


def _delays(option: str, value: object) -> list[FieldValue]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise InvalidArgument(option, value, "a list of timedeltas")
    return [_milliseconds(option, each, least=0) for each in cast("Sequence[object]", value)]


def exchange_arguments(
    raw: Table | None, *, alternate_exchange: str | None = None, name: str = ""
) -> dict[str, FieldValue]:
    """Return an exchange's arguments from the raw ones and the typed option.

    Raises InvalidArgument (they contradict) or PreconditionFailed (an alternate exchange that is no string). The
    alternate exchange need not exist.
    """
    if alternate_exchange is not None:
        short_string("alternate_exchange", alternate_exchange)
    merged = _merge(raw, "alternate_exchange", ALTERNATE_EXCHANGE, alternate_exchange)
    encode_table(merged, "arguments")
    if ALTERNATE_EXCHANGE in merged:
        alternate = as_text(merged[ALTERNATE_EXCHANGE])
        if alternate is None:
            wanted = "the name of an exchange"
            raise PreconditionFailed.illegal("exchange", name, ALTERNATE_EXCHANGE, merged[ALTERNATE_EXCHANGE], wanted)
    return merged


def headers_match(arguments: Table, name: str = "") -> bytes:
    """Return the match form of a binding of the headers exchange `name`; PreconditionFailed for a wrong x-match.

    Tests on keys that begin with "x-" count in all-with-x and any-with-x only; no x-match is "all".
    """
    mode = arguments.get("x-match", "all")
    word = as_text(mode)
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
    known = {name: value for name, value in (arguments or {}).items() if name == CONSUMER_TIMEOUT}
    merged = queue_arguments(cast("Table", known), {"ack_timeout": ack_timeout})
    value = merged.get(CONSUMER_TIMEOUT, 0)
    return value if isinstance(value, int) else 0


def consumer_priority(arguments: Mapping[str, object] | None, *, priority: int | None = None) -> int:
    """Return a consumer's x-priority, 0 where it has none; PreconditionFailed where it is no int (RabbitMQ)."""
    value: Table = cast("Table", arguments or {})
    if priority is not None:
        value = _merge(value, "priority", "x-priority", priority)
    found = value.get("x-priority", 0)
    if type(found) is not int or not -_MOST_PRIORITY <= found <= _MOST_PRIORITY:
        raise PreconditionFailed.illegal("consumer", "", "x-priority", found, "an int of at most 31 bits")
    return found


def stream_offset(
    arguments: Mapping[str, object] | None, *, offset: str | int | datetime | None = None
) -> tuple[str, int]:
    """Return where a consumer begins in a stream: first, last, next, or offset, time, age with its number (ms).

    Raises PreconditionFailed for what is none of RabbitMQ's forms of x-stream-offset.
    """
    given: Table = cast("Table", arguments or {})
    if offset is not None:
        given = _merge(given, "offset", "x-stream-offset", offset)
    value = given.get("x-stream-offset", "next")
    text = as_text(value)
    if text in ("first", "last", "next"):
        return text, 0
    if text is not None and _AGE.fullmatch(text):
        return "age", age_ms(text)
    if type(value) is int and value >= 0:
        return "offset", value
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return "time", max((value - _EPOCH) // timedelta(milliseconds=1), 0)
    wanted = 'first, last, next, a number, a datetime with a time zone, or an age such as "1h"'
    raise PreconditionFailed.illegal("consumer", "", "x-stream-offset", value, wanted)
