"""A delivery: one handing-over of a message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rexchange.checks import check_flags
from rexchange.codec import decode_table
from rexchange.errors import AlreadySettled, InvalidArgument
from rexchange.message import decode_envelope, decode_properties

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange._async.stakes import Stakes
    from rexchange.codec import FieldValue
    from rexchange.message import Properties
    from rexchange.protocol.consume import Entry
    from rexchange.protocol.settle import Verdict


def nack_verdict(*, requeue: object, retry: object) -> Verdict:
    """Return what a nack asks for; raises InvalidArgument where it contradicts itself."""
    check_flags(requeue=requeue, retry=retry)
    if retry and not requeue:
        raise InvalidArgument("retry", retry, "either retry=True or requeue=False: a retry comes back to the queue")
    if retry:
        return "retry"
    return "requeue" if requeue else "reject"


class Settler(Protocol):
    """Who handed the delivery out, and settles it."""

    @property
    def tag(self) -> str:
        """The consumer's tag."""
        ...

    async def settle(self, tag: int, verdict: Verdict, *, multiple: bool, wait: bool) -> None:
        """Settle."""
        ...

    async def extend(self, tag: int) -> None:
        """Start the ack timeout anew."""
        ...

    def stakes(self, tag: int) -> Stakes:
        """Return who holds the delivery, for a transaction that will settle it. Raises AlreadySettled."""
        ...

    def settled(self, tags: Sequence[int]) -> None:
        """Take note that a transaction has settled deliveries."""
        ...


class OnReceipt:
    """The settler of what was acknowledged on receipt: there is nothing left to settle."""

    _HINT = "it was acknowledged on receipt: pass auto_ack=False to consume() or get() to settle it yourself"

    def __init__(self, tag: str) -> None:
        """Of the consumer with this tag."""
        self.tag = tag

    async def settle(self, tag: int, verdict: Verdict, *, multiple: bool, wait: bool) -> None:  # noqa: ARG002 - a Settler's
        """Refuse."""
        raise AlreadySettled(tag, hint=self._HINT)

    async def extend(self, tag: int) -> None:
        """Refuse."""
        raise AlreadySettled(tag, hint=self._HINT)

    def stakes(self, tag: int) -> Stakes:
        """Refuse."""
        raise AlreadySettled(tag, hint=self._HINT)

    def settled(self, tags: Sequence[int]) -> None:
        """Do nothing: no transaction settles these."""


class Origin(NamedTuple):
    """What the deliveries of one consumer from one queue have in common."""

    settler: Settler
    queue: str
    queue_type: str


class AsyncDelivery:
    """One handing-over of a message to a consumer. What it carries is decoded when it is asked for."""

    __slots__ = ("_decoded", "_headers", "_origin", "_properties", "body", "delivery_tag", "entry")

    # Unset until they are asked for: most never are, and each that is set costs 2 % of a consumer's work.
    _decoded: tuple[str, str, bytes, bytes]
    _properties: Properties
    _headers: dict[str, FieldValue]

    def __init__(self, origin: Origin, entry: Entry, tag: int) -> None:
        """Made by consumers."""
        self._origin = origin
        #: The stream's entry, as it was read.
        self.entry = entry
        #: The message's body.
        self.body = entry.body
        #: Unique in its consumer, rising.
        self.delivery_tag = tag

    @property
    def settler(self) -> Settler:
        """Who handed it out; transactions ask."""
        return self._origin.settler

    @property
    def consumer_tag(self) -> str:
        """The consumer that it was handed to; ``amq.get.<queue>`` where it was fetched with `get`."""
        return self._origin.settler.tag

    @property
    def queue(self) -> str:
        """The queue it was taken from."""
        return self._origin.queue

    @property
    def _parts(self) -> tuple[str, str, bytes, bytes]:
        try:
            return self._decoded
        except AttributeError:
            self._decoded = decode_envelope(self.entry.envelope)
            return self._decoded

    @property
    def exchange(self) -> str:
        """The exchange it was published to, whatever exchanges it passed after."""
        return self._parts[0]

    @property
    def routing_key(self) -> str:
        """The routing key it was published with."""
        return self._parts[1]

    @property
    def properties(self) -> Properties:
        """AMQP's properties, None where the publisher gave none."""
        try:
            return self._properties
        except AttributeError:
            self._properties = decode_properties(self._parts[2])
            return self._properties

    @property
    def headers(self) -> dict[str, FieldValue]:
        """The headers; a redelivery from a quorum queue has x-delivery-count, a stream's delivery x-stream-offset."""
        try:
            return self._headers
        except AttributeError:
            headers = decode_table(self._parts[3])
            if self._origin.queue_type == "quorum" and self.redelivered:
                headers["x-delivery-count"] = self.entry.times - 1
            elif self._origin.queue_type == "stream":
                headers["x-stream-offset"] = int(self.entry.note)
            self._headers = headers
            return headers

    @property
    def delivery_count(self) -> int:
        """How often the message was handed out from this queue, this time included."""
        return self.entry.times

    @property
    def redelivered(self) -> bool:
        """Whether it was handed out before: somebody may have worked on it already."""
        return self.entry.times > 1

    def json(self) -> Any:  # noqa: ANN401 - JSON has any shape
        """Return the body read as JSON; raises InvalidArgument where it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise InvalidArgument("body", self.body, "JSON in UTF-8") from error

    async def ack(self, *, multiple: bool = False, wait: bool = False) -> None:
        """Acknowledge: the message is done and leaves the queue (AMQP basic.ack).

        It returns at once; the verdict is sent within 5 ms, or with the next read. `wait` waits for the answer and
        raises StaleDelivery where the message had been given back. `multiple`: all up to this delivery.
        Raises AlreadySettled, and StaleDelivery where that is known already.
        """
        await self._origin.settler.settle(self.delivery_tag, "ack", multiple=multiple, wait=wait)

    async def nack(
        self, *, requeue: bool = True, retry: bool = False, multiple: bool = False, wait: bool = False
    ) -> None:
        """Refuse: back to its place in the queue, or with requeue=False drop it (RabbitMQ's basic.nack).

        `retry`: back to its place when the queue's retry policy says so; after its last try it is dead-lettered.
        Raises PreconditionFailed where the queue has no such policy.
        """
        verdict = nack_verdict(requeue=requeue, retry=retry)
        await self._origin.settler.settle(self.delivery_tag, verdict, multiple=multiple, wait=wait)

    async def reject(self, *, requeue: bool = False, wait: bool = False) -> None:
        """Refuse this one: drop it, or with requeue=True put it back to its place (AMQP basic.reject)."""
        check_flags(requeue=requeue)
        verdict: Verdict = "requeue" if requeue else "reject"
        await self._origin.settler.settle(self.delivery_tag, verdict, multiple=False, wait=wait)

    async def extend(self) -> None:
        """Start the ack timeout anew, for work that takes longer. Raises StaleDelivery, AlreadySettled."""
        await self._origin.settler.extend(self.delivery_tag)

    def __repr__(self) -> str:
        """Show where it came from, not what it holds."""
        again = ", redelivered" if self.redelivered else ""
        return f"<{type(self).__name__} {self.delivery_tag} of queue {self.queue!r}, {len(self.body)} bytes{again}>"
