"""Exchanges, queues and bindings: frozen values, what is a legal name and type, and what is equivalent.

The rules are RabbitMQ's (4.x).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from rexchange.arguments import (
    ALTERNATE_EXCHANGE,
    CONSUMER_TIMEOUT,
    DELAYED_TYPE,
    EQUIVALENCE,
    HASHED,
    HISTORY_LENGTH,
    same_value,
)
from rexchange.changes import method
from rexchange.codec import FieldValue, Table, as_text, short_string
from rexchange.errors import AccessRefused, InvalidArgument, NotSupported, PreconditionFailed, ResourceLocked

DestinationKind = Literal["queue", "exchange"]

REPLY_TO = "amq.rabbitmq.reply-to"
"""Stands for the queue of replies to a Broker's requests (RabbitMQ's direct reply-to)."""
DELAYED = "x-delayed-message"
TYPES = (
    *("direct", "fanout", "topic", "headers"),
    *("x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history", DELAYED),
)
"""The types of exchanges; those with an x are plugins in RabbitMQ."""
_ELSEWHERE = frozenset({"x-local-random", "x-federation-upstream"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange: `type` is one of TYPES; `internal` ones take no publish from clients."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = field(default_factory=dict[str, FieldValue])

    @property
    def alternate_exchange(self) -> str | None:
        """Where messages go that match no binding of this exchange."""
        value = self.arguments.get(ALTERNATE_EXCHANGE)
        return None if value is None else as_text(value)


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
        value = self.arguments.get(CONSUMER_TIMEOUT)
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


# --- names and types


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


def check_type(type_name: object, name: str = "") -> None:
    """Raise PreconditionFailed for an exchange type nobody knows, NotSupported for one that only RabbitMQ has."""
    wanted = ", ".join(TYPES)
    if not isinstance(type_name, str):
        raise InvalidArgument("type", type_name, f"one of {wanted}")
    if type_name in TYPES:
        return
    if type_name in _ELSEWHERE:
        message = f"exchange {name!r}: rexchange does not have the type {type_name}"
        raise NotSupported(message, kind="exchange", name=name, argument="type", wanted=type_name)
    raise PreconditionFailed.illegal("exchange", name, "type", type_name, f"one of {wanted}")


def check_exchange(exchange: Exchange) -> None:
    """Raise PreconditionFailed for arguments that the exchange's type cannot have (RabbitMQ's plugins)."""
    arguments, name = exchange.arguments, exchange.name
    if exchange.type == DELAYED:
        kind = as_text(arguments.get(DELAYED_TYPE))
        if kind == DELAYED or kind not in TYPES:
            wanted = "the type by which it routes, such as direct"
            raise PreconditionFailed.illegal("exchange", name, DELAYED_TYPE, arguments.get(DELAYED_TYPE), wanted)
    if exchange.type == "x-recent-history":
        length = arguments.get(HISTORY_LENGTH, 20)
        if type(length) is not int or length <= 0:
            raise PreconditionFailed.illegal("exchange", name, HISTORY_LENGTH, length, "an int of at least 1")
    if exchange.type == "x-consistent-hash":
        if "hash-header" in arguments and "hash-property" in arguments:
            value = arguments["hash-property"]
            raise PreconditionFailed.illegal("exchange", name, "hash-property", value, "either it or hash-header")
        of = arguments.get("hash-property", "message_id")
        if as_text(of) not in HASHED:
            raise PreconditionFailed.illegal("exchange", name, "hash-property", of, f"one of {', '.join(HASHED)}")


def check_queue(queue: Queue, *, named: bool) -> None:
    """Raise PreconditionFailed for flags that do not go with the queue's type (RabbitMQ: 406).

    Quorum queues and streams are durable, shared, kept without consumers, and named by their user.
    """
    kind = as_text(queue.arguments.get("x-queue-type"))
    if kind not in ("quorum", "stream"):
        return
    wrong = {"durable": not queue.durable, "exclusive": queue.exclusive, "auto_delete": queue.auto_delete}
    for flag, is_wrong in wrong.items():
        if is_wrong:
            value = getattr(queue, flag)
            raise PreconditionFailed.illegal("queue", queue.name, flag, value, f"{not value} for a {kind} queue")
    if not named:
        raise PreconditionFailed.illegal("queue", queue.name, "name", "", f"a name of your own for a {kind} queue")


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
        change = method("exchange", existing.name, ALTERNATE_EXCHANGE)
        raise PreconditionFailed.mismatch("exchange", existing.name, ALTERNATE_EXCHANGE, *values, change=change)


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
    here, there = is_durable(existing), is_durable(wanted)
    if here != there:
        raise PreconditionFailed.mismatch("queue", existing.name, "durable", here, there)
    if existing.auto_delete != wanted.auto_delete:
        values = existing.auto_delete, wanted.auto_delete
        raise PreconditionFailed.mismatch("queue", existing.name, "auto_delete", *values)
    for argument in EQUIVALENCE:
        default = "classic" if argument == "x-queue-type" else None
        current, asked = existing.arguments.get(argument, default), wanted.arguments.get(argument, default)
        if not same_value(current, asked):
            change = method("queue", existing.name, argument)
            raise PreconditionFailed.mismatch("queue", existing.name, argument, current, asked, change=change)


def _exclusivity(queue: Queue) -> str:
    return "exclusive" if queue.exclusive else "not exclusive"


def is_durable(queue: Queue) -> bool:
    """Say whether it is durable in effect: an exclusive queue never is, since it dies with its session (RabbitMQ)."""
    return queue.durable and not queue.exclusive
