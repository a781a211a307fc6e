"""Errors of publishing, of deliveries, of transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from rexchange.errors.base import SHOWN_CHARACTERS, RexchangeError, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN_MESSAGES = 5


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
        who = f"queue {names} is" if len(queues) == 1 else f"queues {names} are"
        return cls(f"{who} full and refused {which}{kept}", refused=refused, counts=counts, limit="queue")


class Unconfirmed(PublishError):
    """Messages were published, and the level of confirmation asked for was not reached in time (docs/confirms.md).

    They are in the server's memory, and its replicas or its disk may get them yet; publishing them again would double
    them. `counts`: the queues that took each.
    """

    def __init__(self, why: str, counts: Sequence[int] = ()) -> None:
        """Take what was not reached, and the receipts."""
        self.why = why
        self.counts = list(counts)
        super().__init__(f"published, but not confirmed as asked: {why}; do not publish it again")


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
    words = [repr(arg[:SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")) for arg in args[1:10]]
    text = redact(" ".join([args[0].decode("utf-8", "backslashreplace").upper(), *words]))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


class NoReply(RexchangeError):
    """A call was not answered in `seconds`: the request may be waiting, may be worked on, or may have been done."""

    def __init__(self, exchange: str, routing_key: str, seconds: float) -> None:
        """Keep the fields."""
        self.exchange = exchange
        self.routing_key = routing_key
        self.seconds = seconds
        where = f"exchange {exchange!r}, key {routing_key!r}"
        super().__init__(f"no reply within {seconds:g} s from {where}: the request may yet be handled")
