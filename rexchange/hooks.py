"""What an application may watch: hooks to override, and counters to read.

Hooks run in the thread or task that does the work, inside its time, so they should be quick and not block. What a
hook raises reaches whoever made the call; one of an ``after_`` hook says nothing about whether the work was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SettleKind = Literal["ack", "nack", "reject", "retry"]


class MessageLike(Protocol):
    """What hooks may count on in a message; `rexchange.Message` is one."""

    @property
    def exchange(self) -> str:
        """The exchange it is published to."""
        ...

    @property
    def routing_key(self) -> str:
        """Its routing key."""
        ...

    @property
    def body(self) -> bytes:
        """Its body."""
        ...

    @property
    def headers(self) -> Mapping[str, object]:
        """Its headers."""
        ...


class DeliveryLike(MessageLike, Protocol):
    """What hooks may count on in a delivery."""

    @property
    def queue(self) -> str:
        """The queue it came from."""
        ...

    @property
    def delivery_tag(self) -> int:
        """Its tag, unique in its consumer."""
        ...

    @property
    def consumer_tag(self) -> str:
        """The consumer that it was handed to; ``amq.get.<queue>`` for one that was fetched with `get`."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether it was handed to a consumer before."""
        ...


class Hooks:
    """Hooks that do nothing. Override what you need and give an instance to the broker."""

    __slots__ = ()

    def before_publish(self, messages: Sequence[MessageLike]) -> None:
        """Run before one call's messages are checked and sent; raising refuses them all."""

    def after_publish(
        self, messages: Sequence[MessageLike], counts: Sequence[int] | None, error: BaseException | None
    ) -> None:
        """Run after the confirm: queues reached, a message; or `counts` None and the error that will be raised."""

    def before_deliver(self, delivery: DeliveryLike) -> None:
        """Run before a delivery is handed to the application."""

    def after_deliver(self, delivery: DeliveryLike) -> None:
        """Run when the application's handler is done with it, or has asked for the next one.

        After `get` that is when it is settled, or taken back unsettled; with auto_ack at once.
        """

    def before_settle(self, consumer_tag: str, tags: Sequence[int], kind: SettleKind) -> None:
        """Run before deliveries of a consumer, by their tags, are settled: raising leaves them unsettled."""

    def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: SettleKind, stale: Sequence[int]) -> None:
        """Run when the server has answered; `stale` are those that had been given back before, so nothing was done.

        It runs where the answer is read: in the background, or before the next read, unless the settle waited.
        """


class Counters:
    """What a broker did since it was made; every number only rises.

    Thread-safe enough: a reader sees whole numbers, each at most a moment old, but two threads that add to the same
    counter at once may lose one of the two, so writers hold the broker's lock. Do not bill by it.
    """

    __slots__ = ("delivered", "published", "reconnects", "redelivered", "retries", "settled", "stale")

    def __init__(self) -> None:
        """Start at 0."""
        self.published = 0
        self.delivered = 0
        self.settled = 0
        self.stale = 0
        self.redelivered = 0
        self.retries = 0
        self.reconnects = 0

    def snapshot(self) -> dict[str, int]:
        """Return all counters by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        """Show all counters."""
        shown = ", ".join(f"{name}={count}" for name, count in self.snapshot().items())
        return f"Counters({shown})"
