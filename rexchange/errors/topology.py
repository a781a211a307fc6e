"""Errors about exchanges, queues, bindings, consumers, vhosts."""

from __future__ import annotations

from typing import ClassVar

from rexchange.errors.base import RexchangeError, redact, shown


class TopologyError(RexchangeError):
    """Something about an exchange, a queue, a binding, a consumer or a vhost.

    `kind` is one of these words (or ""), `name` its name. `argument`, `current` and `wanted` are set where one
    argument is at fault: the value there and the value asked for.
    """

    _default: ClassVar[str] = "refused"

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "",
        name: str = "",
        argument: str | None = None,
        current: object = None,
        wanted: object = None,
    ) -> None:
        """Take the message as it is, or make one of the fields."""
        self.kind = kind
        self.name = name
        self.argument = argument
        self.current = current
        self.wanted = wanted
        super().__init__(redact(message) or f"{self.subject}: {self._default}")

    @property
    def subject(self) -> str:
        """Kind and name as they stand in a message: ``queue 'orders'``."""
        return f"{self.kind} {self.name!r}" if self.kind else "broker"


class AccessRefused(TopologyError):
    """403: a reserved name, the default exchange, or a queue with an exclusive consumer."""

    reply_code = 403
    _default = "access refused"


class NotFound(TopologyError):
    """404: it does not exist."""

    reply_code = 404
    _default = "does not exist"


class ResourceLocked(TopologyError):
    """405: the queue is exclusive to another session, or is so and was declared as not so."""

    reply_code = 405
    _default = "exclusive to another session"


class PreconditionFailed(TopologyError):
    """406: it exists with other values, a value is not legal, or a condition (if_unused, if_empty) does not hold."""

    reply_code = 406
    _default = "a precondition does not hold"

    changeable = False
    """Whether `update_queue` or `update_exchange` makes it what this declare wants."""

    @classmethod
    def mismatch(
        cls, kind: str, name: str, argument: str, current: object, wanted: object, *, change: str = ""
    ) -> PreconditionFailed:
        """Return the error of a second declare that differs from the first in `argument`.

        `change`: the call that changes it, where there is one.
        """
        instead = f"change it by {change}" if change else f"delete the {kind} first"
        message = (
            f"{kind} {name!r} exists with {argument}={shown(current)}, and this declare wants {shown(wanted)}: "
            f"declare it with {shown(current)}, use another name, or {instead}"
        )
        error = cls(message, kind=kind, name=name, argument=argument, current=current, wanted=wanted)
        error.changeable = bool(change)
        return error

    @classmethod
    def illegal(cls, kind: str, name: str, argument: str, value: object, wanted: str) -> PreconditionFailed:
        """Return the error of a value that AMQP or RabbitMQ does not take; `wanted` says what it takes."""
        message = f"{kind} {name!r}: {argument} is {shown(value)}: give {wanted}"
        return cls(message, kind=kind, name=name, argument=argument, current=value, wanted=wanted)


class NotSupported(TopologyError):
    """540: a feature of RabbitMQ that rexchange does not have. It is refused, never ignored."""

    reply_code = 540
    _default = "not supported"


class TopologyLost(TopologyError):
    """541: what Redis holds is not what was declared: FLUSHALL, eviction, the wrong db, a corrupt record."""

    reply_code = 541
    _default = "the topology in Redis is lost or damaged"
