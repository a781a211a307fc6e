"""Publishing, getting, consuming."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, overload

from rexchange._async.base import name_of
from rexchange._async.consumer import AsyncConsumer
from rexchange._async.getter import Getter
from rexchange._async.topology import AsyncTopology
from rexchange.arguments import consumer_priority, consumer_timeout_ms, stream_offset
from rexchange.checks import check_arguments, check_flags, check_optional_seconds
from rexchange.codec import short_string
from rexchange.errors import ContentTooLarge, InvalidArgument, PreconditionFailed
from rexchange.message import Message
from rexchange.protocol import publish
from rexchange.protocol.consume import Place
from rexchange.topology import REPLY_TO, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from rexchange._async.delivery import AsyncDelivery
    from rexchange._async.holder import OnStale
    from rexchange.codec import Table
    from rexchange.message import PropertyArgs


class AsyncMessaging(AsyncTopology):
    """The methods of a broker that move messages."""

    # --- publishing

    @overload
    async def publish(self, body: Message, *, timeout: float | timedelta | None = None) -> int: ...
    @overload
    async def publish(
        self,
        body: bytes | bytearray | memoryview,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        timeout: float | timedelta | None = None,
        **properties: Unpack[PropertyArgs],
    ) -> int: ...
    async def publish(
        self,
        body: bytes | bytearray | memoryview | Message,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        timeout: float | timedelta | None = None,
        **properties: Unpack[PropertyArgs],
    ) -> int:
        """Publish one message and return how many queues it reached; it is in all of them, or an error is raised.

        Takes every AMQP property by keyword, or a `Message` made before, which says all itself. `timeout`: seconds to
        go on trying.
        Raises Unroutable (`mandatory`, and no queue), NotFound (no such exchange), AccessRefused (internal exchange),
        PublishRefused (server full), BrokerConnectionError whose `outcome` says whether it may have been done.
        """
        message = self._message(body, exchange, routing_key, headers, properties, mandatory=mandatory)
        return (await self.publish_many((message,), timeout=timeout))[0]

    def _message(
        self,
        body: bytes | bytearray | memoryview | Message,
        exchange: str | Exchange,
        routing_key: str,
        headers: Table | None,
        properties: PropertyArgs,
        *,
        mandatory: bool = False,
    ) -> Message:
        if isinstance(body, Message):
            options = {"exchange": exchange or None, "routing_key": routing_key or None, "mandatory": mandatory or None}
            for option, value in {**options, "headers": headers, **properties}.items():
                if value is not None:
                    raise InvalidArgument(option, value, "nothing beside a Message: give it to Message(...)")
            return body
        name = name_of("exchange", exchange) if isinstance(exchange, Exchange | Queue) else exchange
        return Message(body, exchange=name, routing_key=routing_key, headers=headers, mandatory=mandatory, **properties)

    async def publish_many(self, messages: Iterable[Message], *, timeout: float | timedelta | None = None) -> list[int]:
        """Publish messages as one group, all or none, and return the queues reached by each.

        At most 1,000 messages and 16 MiB. Raises what `publish` does; Unroutable lists every message at fault.
        """
        if not isinstance(messages, Iterable):
            raise InvalidArgument("messages", messages, "an iterable of Message values")
        batch: Sequence[Message] = messages if isinstance(messages, tuple | list) else list(messages)
        seconds = check_optional_seconds("timeout", timeout)
        if not batch:
            return []
        if len(batch) > self.settings.max_batch:
            raise ContentTooLarge("a batch (messages)", len(batch), self.settings.max_batch)
        for message in batch:
            if not isinstance(message, Message):
                raise InvalidArgument("messages", message, "Message values, such as Message(b'…', routing_key='mail')")
        batch = self._with_reply_queue(batch)
        if self._hooks is not None:
            self._hooks.before_publish(batch)
        try:
            group = publish.Group(batch, max_body=self.settings.max_body, max_call=self.settings.max_call)
            await self._ready()
            counts = await self._publisher.publish(group, self._link.deadline(seconds))
        except Exception as error:
            if self._hooks is not None:
                self._hooks.after_publish(batch, None, error)
            raise
        self._link.counters.published += len(batch)
        if self._hooks is not None:
            self._hooks.after_publish(batch, counts, None)
        return counts

    # --- consuming

    async def get(
        self, queue: str | Queue, *, auto_ack: bool = True, timeout: float | timedelta | None = None
    ) -> AsyncDelivery | None:
        """Take one message, or None where nothing is ready (AMQP basic.get).

        With auto_ack=False settle it, or it goes back after the queue's ack timeout. `timeout`: seconds to go on
        trying to reach the server; it does not wait for a message. Raises NotFound, ResourceLocked.
        """
        check_flags(auto_ack=auto_ack)
        seconds = check_optional_seconds("timeout", timeout)
        name = name_of("queue", queue)
        await self._ready()
        getter = self._getters.get(name)
        if getter is None:
            getter = self._getters.setdefault(name, Getter(self._link, self._session, name, self._hooks, _client()))
        delivery = await getter.get(auto_ack=auto_ack, deadline=self._link.deadline(seconds))
        if delivery is not None:
            self._link.counters.delivered += 1
            self._link.counters.redelivered += delivery.redelivered
            getter.show(delivery, auto_ack=auto_ack)
        return delivery

    def consume(  # noqa: PLR0913 - by keyword, and each has a default
        self,
        queues: str | Queue | Sequence[str | Queue],
        *,
        auto_ack: bool = True,
        prefetch: int | None = None,
        timeout: float | timedelta | None = None,
        ack_timeout: timedelta | None = None,
        priority: int | None = None,
        exclusive: bool = False,
        offset: str | int | datetime | None = None,
        reader: str = "",
        renew: bool = False,
        tag: str = "",
        on_stale: OnStale | None = None,
        arguments: Mapping[str, object] | None = None,
    ) -> AsyncConsumer:
        """Return a consumer of one or several queues; use it in `with`, iterate over it.

        `auto_ack`: acknowledged as it is read; pass False where a message must survive its worker. `prefetch`: unacked
        deliveries in all its queues together (0: 2,000); with auto_ack only the size of a read. `timeout`: seconds
        without a delivery after which iteration ends. `ack_timeout`: for this consumer; AMQP's argument
        "x-consumer-timeout" in ms is the same. `priority` ("x-priority"): of consumers that wait the highest is served
        first. `exclusive`: the queues are to have no other consumer, else AccessRefused. `offset` ("x-stream-offset"):
        where to begin in a stream: "first", "last", "next" (the default), the number of a message, a datetime, or an
        age such as "1h"; a `reader` with a name goes on where it was instead. `renew`: renew the deliveries while this
        process lives.
        `on_stale(tag, queue)` is told of verdicts that came too late. Raises InvalidArgument.
        """
        if not isinstance(queues, Queue | Iterable):
            raise InvalidArgument("queues", queues, "a queue's name, or several")
        check_flags(auto_ack=auto_ack, renew=renew, exclusive=exclusive)
        check_arguments(arguments)
        short_string("reader", reader)
        short_string("tag", tag)
        if on_stale is not None and not callable(on_stale):
            raise InvalidArgument("on_stale", on_stale, "a function that takes a tag and a queue's name, or None")
        items = [queues] if isinstance(queues, str | Queue) else list(queues)
        names = list(dict.fromkeys(name_of("queue", queue) for queue in items))
        if REPLY_TO in names:
            names = [self._reply_queue_name(names, auto_ack=auto_ack)]
        if not names:
            raise InvalidArgument("queues", queues, "at least one queue")
        limit = self.settings.prefetch if prefetch is None else prefetch
        if type(limit) is not int or limit < 0:
            raise InvalidArgument("prefetch", prefetch, "an int of at least 0 (0: unlimited, that is 2,000)")
        return AsyncConsumer(
            self._link,
            self._session,
            self._hooks,
            names,
            tag=tag or f"amq.ctag-{secrets.token_urlsafe(12)}",
            auto_ack=auto_ack,
            prefetch=limit,
            timeout=check_optional_seconds("timeout", timeout),
            ack_timeout_ms=consumer_timeout_ms(arguments, ack_timeout=ack_timeout),
            priority=consumer_priority(arguments, priority=priority),
            exclusive=exclusive,
            place=Place(*stream_offset(arguments, offset=offset)),
            reader=reader,
            renew=renew,
            on_stale=on_stale,
            on_open=self._consumer_opens,
            on_close=self._consumers.discard,
            client=_client(),
        )

    async def _consumer_opens(self, consumer: AsyncConsumer) -> None:
        await self._ready()
        if consumer.queues == [self._reply_name]:
            await self._declare_queue(Queue(self._reply_name, exclusive=True, auto_delete=True), passive=False)
        self._consumers.add(consumer)

    # --- direct reply-to

    def _reply_queue_name(self, names: list[str], *, auto_ack: bool) -> str:
        """Return the name of the queue that REPLY_TO stands for in `consume`; RabbitMQ's rules (406)."""
        wrong = None
        if len(names) > 1:
            wrong = "it alone: a consumer of replies has no other queues"
        elif not auto_ack:
            wrong = "auto_ack=True: replies are not kept"
        elif any(consumer.queues == [self._reply_name] for consumer in self._consumers):
            wrong = "one consumer of it in a Broker"
        if wrong is not None:
            raise PreconditionFailed.illegal("queue", REPLY_TO, "consume", names, wrong)
        self._reply_name = self._reply_name or f"{REPLY_TO}.{secrets.token_urlsafe(16)}"
        return self._reply_name

    def _with_reply_queue(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Put this Broker's own queue where a message's reply_to is REPLY_TO."""
        if not any(message.properties and message.properties.get("reply_to") == REPLY_TO for message in messages):
            return messages
        if not any(consumer.queues == [self._reply_name] for consumer in self._consumers):
            wanted = f"a consumer of {REPLY_TO!r} in this Broker first: replies have nowhere to go"
            raise PreconditionFailed.illegal("message", "", "reply_to", REPLY_TO, wanted)
        return [
            message.copy(reply_to=self._reply_name) if message.properties.get("reply_to") == REPLY_TO else message
            for message in messages
        ]


def _client() -> str:
    """Return what listings and traces call this process."""
    return f"{socket.gethostname()}:{os.getpid()} {Path(sys.argv[0]).name}"
