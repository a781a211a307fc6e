"""Direct reply-to and calls: answers come to a queue of the Broker's own, which goes with it.

`amq.rabbitmq.reply-to` stands for that queue, in `consume` and as the reply_to of a message. One consumer reads it: the
user's own, or the one that all calls share. Whoever waits for a reply reads for all.
"""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from typing import TYPE_CHECKING, overload

from rexchange._async import io
from rexchange._async.messaging import AsyncMessaging
from rexchange.checks import check_seconds
from rexchange.errors import ConsumerCancelled, InvalidArgument, NoReply
from rexchange.topology import REPLY_TO

if TYPE_CHECKING:
    from typing import Unpack

    from rexchange._async.consumer import AsyncConsumer
    from rexchange._async.delivery import AsyncDelivery
    from rexchange.codec import Table
    from rexchange.message import Message, MessageArgs
    from rexchange.topology import Exchange


class ReplyDesk:
    """The replies to one Broker's calls."""

    def __init__(self, consumer: AsyncConsumer) -> None:
        """Take the consumer that all calls share; nothing is read before somebody waits."""
        self._consumer = consumer
        self._reading = io.Lock()
        self._waiting: dict[str, io.Signal] = {}
        self._arrived: dict[str, AsyncDelivery] = {}

    def expect(self, correlation_id: str) -> None:
        """Keep the reply to a request that is about to be sent."""
        self._waiting[correlation_id] = io.Signal()

    async def wait(self, correlation_id: str, until: float) -> AsyncDelivery | None:
        """Return the reply, or None where there is none by then (monotonic)."""
        signal = self._waiting[correlation_id]
        while correlation_id not in self._arrived:
            left = until - time.monotonic()
            if left <= 0:
                return None
            signal.clear()
            if await io.acquire(self._reading, 0.0):
                try:
                    if correlation_id not in self._arrived:
                        await self._read(left)
                finally:
                    self._reading.release()
                    for other in list(self._waiting.values()):
                        other.set()  # one of them reads on
            else:
                await signal.wait(left)
        return self._arrived[correlation_id]

    async def _read(self, seconds: float) -> None:
        """Read one reply; one that nobody waits for any more came too late."""
        delivery = await self._consumer.next(timeout=seconds)
        if delivery is not None and delivery.properties.correlation_id in self._waiting:
            self._arrived[str(delivery.properties.correlation_id)] = delivery

    async def aclose(self) -> None:
        """End the consumer."""
        await self._consumer.aclose()

    def forget(self, correlation_id: str) -> None:
        """Wait for it no more."""
        self._waiting.pop(correlation_id, None)
        self._arrived.pop(correlation_id, None)


class AsyncReplies(AsyncMessaging):
    """The methods of a broker for requests and replies."""

    @overload
    async def call(self, body: Message, *, timeout: float | timedelta = 30.0) -> AsyncDelivery: ...
    @overload
    async def call(
        self,
        body: bytes | bytearray | memoryview,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        timeout: float | timedelta = 30.0,
        **properties: Unpack[MessageArgs],
    ) -> AsyncDelivery: ...
    async def call(
        self,
        body: bytes | bytearray | memoryview | Message,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        timeout: float | timedelta = 30.0,
        **properties: Unpack[MessageArgs],
    ) -> AsyncDelivery:
        """Publish a request and return the reply (a remote procedure call). Threads and tasks may call at once.

        The request carries reply_to and a correlation_id of its own, and is mandatory. `timeout`: seconds. The reply is
        acknowledged on receipt. Raises NoReply, ConsumerCancelled when the session was lost meanwhile, and what
        `publish` raises: Unroutable where nobody could answer.
        """
        seconds = check_seconds("timeout", timeout)
        if seconds <= 0:
            raise InvalidArgument("timeout", timeout, "seconds, more than 0")
        until = time.monotonic() + seconds
        message = self._message(body, exchange, routing_key, headers, properties)
        replies = await self._replies_open()
        correlation_id = secrets.token_urlsafe(12)
        request = message.copy(mandatory=True, reply_to=REPLY_TO, correlation_id=correlation_id)
        replies.expect(correlation_id)
        try:
            await self.publish(request, timeout=seconds)
            reply = await replies.wait(correlation_id, until)
        except ConsumerCancelled:
            self._replies = None  # the session was reaped, and the queue went with it: the next call makes another
            await replies.aclose()
            raise
        finally:
            replies.forget(correlation_id)
        if reply is None:
            raise NoReply(request.exchange, request.routing_key, seconds)
        return reply

    async def _replies_open(self) -> ReplyDesk:
        await self._ready()
        async with self._holding:
            if self._replies is None:
                consumer = self.consume(REPLY_TO)
                await consumer.open()
                self._replies = ReplyDesk(consumer)
            return self._replies

    async def reply(
        self,
        request: AsyncDelivery,
        body: bytes | bytearray | memoryview,
        *,
        headers: Table | None = None,
        **properties: Unpack[MessageArgs],
    ) -> int:
        """Answer a request, to its reply_to and with its correlation_id; returns 0 where the caller is gone.

        It does not ack the request. Raises InvalidArgument where the request asks for no reply.
        """
        to = request.properties.reply_to
        if not to:
            raise InvalidArgument("request", request, "a delivery whose reply_to says where the answer goes")
        properties.setdefault("correlation_id", request.properties.correlation_id)
        return await self.publish(body, routing_key=to, headers=headers, **properties)
