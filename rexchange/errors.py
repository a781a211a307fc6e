"""What rexchange raises: one class per AMQP reply code, one tree.

::

    RexchangeError
    ├── InvalidArgument (also ValueError)   a Python argument of a wrong type or out of range
    ├── DefinitionsError (also ValueError)  definitions or a topology not to be had: .problems
    ├── TopologyError                       kind, name, argument, current, wanted
    │   ├── AccessRefused        403        reserved name, default exchange, exclusive consumer
    │   ├── NotFound             404        no such exchange, queue, vhost
    │   ├── ResourceLocked       405        exclusive to another session
    │   ├── PreconditionFailed   406        declared before with other values; a value AMQP forbids
    │   ├── NotSupported         540        RabbitMQ has it, rexchange has it not (yet)
    │   └── TopologyLost         541        FLUSHALL, eviction, wrong db, corrupt record
    ├── PublishError
    │   ├── ContentTooLarge      311        a body or a call over its limit (RabbitMQ answers 406)
    │   ├── Unroutable           312        mandatory, and no queue: .messages
    │   └── PublishRefused                  memory is full, or a queue: .refused, .counts, .moved
    ├── DeliveryError
    │   ├── UnknownDeliveryTag   406        never given out
    │   ├── AlreadySettled       406        acked, nacked or rejected before
    │   ├── StaleDelivery        406        given back meanwhile, another consumer may have it
    │   └── ConsumerCancelled               the queue was deleted while it was consumed
    ├── TransactionError                    used twice, outside of its block, or a value asked for too early
    │   └── CommandFailed                   a Redis command of a transaction: .command, .index, .reason, .written
    ├── NoReply                             a call was not answered in time
    ├── BrokerConnectionError               address, outcome
    │   └── ServerRefused                   no Redis, too old, cluster, newer schema
    └── ScriptError              541        a script failed, or stored bytes cannot be read

Every class can be pickled and copied. ``reply_code`` is the AMQP number, or None where AMQP has none.
No message holds a password: what looks like a URL's user part is masked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Rebuild = tuple[Callable[..., "RexchangeError"], tuple[object, ...]]

Outcome = Literal["not_done", "unknown"]

_SHOWN_CHARACTERS = 80
_SHOWN_MESSAGES = 5
# Greedy up to the last "@": a password with a raw "@" or "/" in it must not be shown in part.
_USER_PART = re.compile(r"://\S*@")
_PASSWORD_OPTION = re.compile(r"(?i)([?&]\w*password=)[^&\s'\"]*")


def redact(text: str) -> str:
    """Return `text` with passwords of URLs in it masked."""
    return _PASSWORD_OPTION.sub(r"\1***", _USER_PART.sub("://***@", text))


def _shown(value: object) -> str:
    """Return the repr of a value, masked and cut: a body of megabytes does not belong in a message."""
    if isinstance(value, str | bytes | bytearray):
        value = value[:4096]
    text = redact(repr(value))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _rebuild(cls: type[RexchangeError], args: tuple[object, ...], fields: dict[str, object]) -> RexchangeError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class RexchangeError(Exception):
    """The base of everything rexchange raises on purpose."""

    reply_code: ClassVar[int | None] = None

    def __reduce__(self) -> Rebuild:
        """Pickle by fields: Exception's own way calls __init__ with the message alone, which fails."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class InvalidArgument(RexchangeError, ValueError):
    """A Python argument has a wrong type or is out of range; nothing was sent.

    `value` is its repr, cut to 80 characters; `wanted` says in words what is taken.
    """

    def __init__(self, argument: str, value: object, wanted: str) -> None:
        """Keep the fields; `value` is anything."""
        self.argument = argument
        self.value = _shown(value)
        self.wanted = wanted
        super().__init__(f"{argument} is {self.value}: wanted {wanted}")


class Problem(NamedTuple):
    """What is wrong with definitions or a topology, and what to do; where in the file, or with which object.

    `why`: "invalid" (it must be mended), "differs" (another one of this name is there), "unsupported", "in use" (it
    is not deleted).
    """

    message: str
    kind: str = ""
    vhost: str = ""
    name: str = ""
    line: int | None = None
    column: int | None = None
    why: Literal["invalid", "differs", "unsupported", "in use"] = "invalid"


class DefinitionsError(RexchangeError, ValueError):
    """Definitions or a topology that cannot be read, imported or applied; nothing was written.

    The fields are those of the first problem.
    """

    def __init__(self, problems: Sequence[Problem], *, file: str = "") -> None:
        """Take all that is wrong, at least one, and the name of the file where there is one."""
        self.problems = list(problems)
        self.file = file
        first = self.problems[0]
        self.kind, self.vhost, self.name, self.line, self.column = first[1:6]
        listed = [problem.message for problem in self.problems]
        text = listed[0] if len(listed) == 1 else f"{len(listed)} problems" + "".join(f"\n- {each}" for each in listed)
        super().__init__(redact(f"{file}: {text}" if file else text))


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
            f"{kind} {name!r} exists with {argument}={_shown(current)}, and this declare wants {_shown(wanted)}: "
            f"declare it with {_shown(current)}, use another name, or {instead}"
        )
        error = cls(message, kind=kind, name=name, argument=argument, current=current, wanted=wanted)
        error.changeable = bool(change)
        return error

    @classmethod
    def illegal(cls, kind: str, name: str, argument: str, value: object, wanted: str) -> PreconditionFailed:
        """Return the error of a value that AMQP or RabbitMQ does not take; `wanted` says what it takes."""
        message = f"{kind} {name!r}: {argument} is {_shown(value)}: give {wanted}"
        return cls(message, kind=kind, name=name, argument=argument, current=value, wanted=wanted)


class NotSupported(TopologyError):
    """540: a feature of RabbitMQ that rexchange does not have. It is refused, never ignored."""

    reply_code = 540
    _default = "not supported"


class TopologyLost(TopologyError):
    """541: what Redis holds is not what was declared: FLUSHALL, eviction, the wrong db, a corrupt record."""

    reply_code = 541
    _default = "the topology in Redis is lost or damaged"


class PublishError(RexchangeError):
    """A publish that failed: it put no message of its group in any queue, but for what PublishRefused tells."""


class UnroutableMessage(NamedTuple):
    """Which message of the call had no queue: its position there (from 0), and where it was sent."""

    position: int
    exchange: str
    routing_key: str


class Unroutable(PublishError):
    """312: mandatory messages that no queue would get. No message of their group (one publish call) was written."""

    reply_code = 312

    def __init__(self, messages: Iterable[tuple[int, str, str]]) -> None:
        """Take (position in the call, exchange, routing key) of each."""
        self.messages = [UnroutableMessage(*message) for message in messages]
        ways: dict[tuple[str, str], list[int]] = {}
        for position, exchange, key in self.messages:
            ways.setdefault((exchange, key), []).append(position)
        shown = list(ways.items())[:_SHOWN_MESSAGES]
        listed = ", ".join(
            f"#{at[0]}{f' and {len(at) - 1} like it' if len(at) > 1 else ''} (exchange {exchange!r}, key {key!r})"
            for (exchange, key), at in shown
        )
        rest = len(self.messages) - sum(len(at) for _, at in shown)
        more = f" and {rest} more" if rest else ""
        super().__init__(f"mandatory messages reach no queue, so nothing was published: {listed}{more}")


class ContentTooLarge(PublishError):
    """311: `what` (a body, a call) has `size`, more than `limit`; both in bytes, or in messages for a batch."""

    reply_code = 311

    def __init__(self, what: str, size: int, limit: int) -> None:
        """Keep the fields."""
        self.what = what
        self.size = size
        self.limit = limit
        super().__init__(f"{what} is {size}, and the limit is {limit}: nothing was published")


class PublishRefused(PublishError):
    """The broker would not take the messages: its memory, its vhost or a queue is full (x-overflow reject-publish).

    `refused`: the index of a message in its group and the queue that refused it, empty where nothing was done at all;
    `counts`: the queues that took each message all the same, as in RabbitMQ, whose confirm is then a nack. `limit`:
    what is full: a "queue", the "vhost" (set_vhost_limit), or the server's "memory". `moved`: how many messages `move`
    or `copy` had brought over before the queue was full.
    """

    def __init__(
        self,
        message: str,
        *,
        refused: Sequence[tuple[int, str]] = (),
        counts: Sequence[int] = (),
        limit: Literal["memory", "vhost", "queue"] = "memory",
        moved: int = 0,
    ) -> None:
        """Take the words, what was refused and what was not, and what is full."""
        super().__init__(message)
        self.refused = list(refused)
        self.counts = list(counts)
        self.limit: Literal["memory", "vhost", "queue"] = limit
        self.moved = moved

    @classmethod
    def by_full_queues(cls, counts: Sequence[int], refused: Sequence[tuple[int, str]]) -> PublishRefused:
        """Return the error for messages that full queues refused."""
        queues = sorted({queue for _, queue in refused})
        messages = len({index for index, _ in refused})
        names = ", ".join(map(repr, queues[:_SHOWN_MESSAGES])) + (", ..." if len(queues) > _SHOWN_MESSAGES else "")
        kept = " (other queues keep what they got: see counts)" if any(counts) else ""
        which = "1 message" if messages == 1 else f"{messages} messages"
        return cls(f"full, and refused {which}: {names}{kept}", refused=refused, counts=counts, limit="queue")


class DeliveryError(RexchangeError):
    """A delivery cannot be settled, or deliveries stop."""


class _TagError(DeliveryError):
    """An error that concerns one delivery tag."""

    reply_code = 406
    _words: ClassVar[str] = ""

    def __init__(self, delivery_tag: int, *, queue: str = "", hint: str = "") -> None:
        """Name the tag, the queue where it is known, and what to do instead."""
        self.delivery_tag = delivery_tag
        self.queue = queue
        of = f" of queue {queue!r}" if queue else ""
        instead = f": {hint}" if hint else ""
        super().__init__(f"delivery tag {delivery_tag}{of} {self._words}{instead}")


class UnknownDeliveryTag(_TagError):
    """406: this tag was never given out by this consumer."""

    _words = "was never given out here"


class AlreadySettled(_TagError):
    """406: this delivery was acked, nacked or rejected before."""

    _words = "was settled before"


class StaleDelivery(_TagError):
    """406: the message was given back (ack timeout, lost session), so another consumer may have it now."""

    _words = "was given back meanwhile (ack timeout, lost session or closed consumer): the message is delivered again"


class ConsumerCancelled(DeliveryError):
    """The broker ended the consumer: its queue was deleted."""

    def __init__(self, queue: str, reason: str) -> None:
        """Name the queue and the reason."""
        self.queue = queue
        self.reason = reason
        super().__init__(f"the consumer of queue {queue!r} was cancelled: {reason}")


class TransactionError(RexchangeError):
    """A transaction is used in a way that it is not made for; the message says what to do. Nothing was sent by it."""


class CommandFailed(TransactionError):
    """A Redis command of a transaction failed: no message was published, no delivery settled, no later command run.

    `command` is its name and arguments, cut to 80 characters, `index` its place among the commands (from 0), `reason`
    what the server said. `written`: the commands before it that wrote, shown alike; Redis does not undo them.
    """

    def __init__(self, commands: Sequence[Sequence[bytes]], index: int, reason: str, written: Sequence[int]) -> None:
        """Take all commands, which of them failed and which had written."""
        self.command = _command(commands[index])
        self.index = index
        self.reason = reason
        self.written = [_command(commands[place]) for place in written]
        shown = "; ".join(self.written[:_SHOWN_MESSAGES])
        more = f" and {len(written) - _SHOWN_MESSAGES} more" if len(written) > _SHOWN_MESSAGES else ""
        before = f"written before it, and not undone: {shown}{more}" if written else "nothing written before it"
        super().__init__(f"command {index}, {self.command}, failed: {redact(reason)} (nothing published, {before})")


def _command(args: Sequence[bytes]) -> str:
    """Return a Redis command as it may be shown: ``SET 'price' '9.90'``."""
    words = [repr(arg[:_SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")) for arg in args[1:10]]
    text = redact(" ".join([args[0].decode("utf-8", "backslashreplace").upper(), *words]))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


class NoReply(RexchangeError):
    """A call was not answered in `seconds`: the request may be waiting, may be worked on, or may have been done."""

    def __init__(self, exchange: str, routing_key: str, seconds: float) -> None:
        """Keep the fields."""
        self.exchange = exchange
        self.routing_key = routing_key
        self.seconds = seconds
        where = f"exchange {exchange!r}, key {routing_key!r}"
        super().__init__(f"no reply within {seconds:g} s from {where}: the request may yet be handled")


class BrokerConnectionError(RexchangeError):
    """The server cannot be reached or did not answer.

    `outcome` is "not_done" where nothing of the operation happened for sure, "unknown" where it may have.
    """

    def __init__(self, message: str, *, address: str, outcome: Outcome) -> None:
        """Mask passwords in both texts: errors end in logs."""
        self.address = redact(address)
        self.outcome: Outcome = outcome
        words = "nothing was done" if outcome == "not_done" else "whether it was done is unknown"
        at = f"{self.address}: " if address else ""
        super().__init__(f"{at}{redact(message)} ({words})")


class ServerRefused(BrokerConnectionError):
    """The server answers but cannot be used: no Redis, too old, a cluster, a newer schema, an unfit policy."""


class ScriptError(RexchangeError):
    """541: a script failed, or what it or Redis gave back cannot be read. A bug or foreign data, never a refusal."""

    reply_code = 541
