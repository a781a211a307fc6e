"""Arguments: the x-arguments of queues, exchanges, bindings and consumers, and the typed options that set them.

One table says what each argument may be and which of them rexchange has; a feature that comes moves its row from
`_NOT_YET` to `_SUPPORTED`. The rules are RabbitMQ's (4.x).

The headers match form of a binding is ``<a|o>`` (all, or any), then netstring of key and netstring of the canonical
value of each test; an empty value asks for presence only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeAlias, cast

from rexchange.codec import FieldValue, Table, encode_table, encode_value, netstring, short_string
from rexchange.errors import InvalidArgument, NotSupported, PreconditionFailed

Rule: TypeAlias = tuple[str, Callable[[object], bool]]
"""What an argument may be: in words, and as a test."""

CONSUMER_TIMEOUT = "x-consumer-timeout"
ALTERNATE_EXCHANGE = "alternate-exchange"


def as_text(value: object) -> str | None:
    """Return a string argument as str; b"x" equals "x" in AMQP tables."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else None


def _whole(low: int, high: int | None = None) -> Rule:
    words = f"an int of at least {low}" if high is None else f"an int from {low} to {high}"
    return words, lambda value: type(value) is int and low <= value and (high is None or value <= high)


def _one_of(*words: str) -> Rule:
    return "one of " + ", ".join(words), lambda value: as_text(value) in words


_STRING: Rule = ("a string", lambda value: as_text(value) is not None)
_BOOL: Rule = ("a bool", lambda value: isinstance(value, bool))
_ANY_INT: Rule = ("an int", lambda value: type(value) is int)
_TIMER_MS = 0xFFFF_FFFF  # 49 days: RabbitMQ's own limit of timers, and exact in Lua

_SUPPORTED: dict[str, Rule] = {
    CONSUMER_TIMEOUT: _whole(1, _TIMER_MS),
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


EQUIVALENCE = (*_SUPPORTED, *_NOT_YET)
"""The arguments of a queue that a second declare must repeat; any other may differ, as in RabbitMQ."""


def _merge(raw: Table | None, option: str, argument: str, value: FieldValue) -> dict[str, FieldValue]:
    """Return raw arguments with a typed option added; both given and different is InvalidArgument."""
    merged = _own_dict(raw)
    if value is not None:
        if argument in merged and not same_value(merged[argument], value):
            raise InvalidArgument(option, value, f"the same as {argument} in arguments ({merged[argument]!r}), or one")
        merged[argument] = value
    encode_table(merged, "arguments")  # types and lengths, before anything is compared or sent
    return merged


def _own_dict(raw: object) -> dict[str, FieldValue]:
    if raw is not None and not isinstance(raw, Mapping):
        raise InvalidArgument("arguments", raw, "a dict")
    return dict(cast("Table", raw or {}))


def same_value(one: FieldValue, other: FieldValue) -> bool:
    """Compare as AMQP tables are compared: types count, but not whether a string is str or bytes."""
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
    merged = _merge(raw, "ack_timeout", CONSUMER_TIMEOUT, milliseconds)
    for argument, value in merged.items():
        rule = _SUPPORTED.get(argument) or _NOT_YET.get(argument)
        if rule is not None and not rule[1](value):
            raise PreconditionFailed.illegal("queue", name, argument, value, rule[0])
    if "x-dead-letter-routing-key" in merged and "x-dead-letter-exchange" not in merged:
        key = merged["x-dead-letter-routing-key"]
        wanted = "x-dead-letter-exchange too"
        raise PreconditionFailed.illegal("queue", name, "x-dead-letter-routing-key", key, wanted)
    for argument, value in merged.items():
        other_type = argument == "x-queue-type" and as_text(value) != "classic"
        if other_type or argument in _NOT_YET or argument.startswith("x-stream-"):
            shown = f"{argument}={as_text(value)}" if other_type else argument
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
        short_string("alternate_exchange", alternate_exchange)
    merged = _merge(raw, "alternate_exchange", ALTERNATE_EXCHANGE, alternate_exchange)
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
    if "x-priority" in (arguments or {}):
        message = (
            "x-priority: rexchange does not have consumer priorities yet, and ignoring it would change who is served"
        )
        raise NotSupported(message, kind="consumer", argument="x-priority")
    known = {name: value for name, value in (arguments or {}).items() if name == CONSUMER_TIMEOUT}
    merged = queue_arguments(cast("Table", known), ack_timeout=ack_timeout)
    value = merged.get(CONSUMER_TIMEOUT, 0)
    return value if isinstance(value, int) else 0
