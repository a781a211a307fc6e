"""The broker: RabbitMQ's model on Redis. Every operation of the library begins here."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rexchange._async.base import name_of
from rexchange._async.consumer import AsyncConsumer
from rexchange._async.getter import Getter
from rexchange._async.listing import AsyncListing
from rexchange._async.topology import AsyncTopology
from rexchange.arguments import consumer_timeout_ms
from rexchange.errors import ContentTooLarge, InvalidArgument
from rexchange.message import Message
from rexchange.protocol import publish
from rexchange.topology import Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from rexchange._async.delivery import AsyncDelivery
    from rexchange._async.holder import OnStale
    from rexchange.codec import Table
    from rexchange.message import PropertyArgs


class AsyncBroker(AsyncTopology, AsyncListing):
    """A connection to the broker (AMQP's connection and channel in one). Tasks of one event loop may share it.

    `url`: None means the environment's REXCHANGE_URL, else an embedded server; see the README for the schemes.
    `client`: take the connection settings of a redis-py client instead. `settings`: all settings at once; `options`:
    single ones by name, such as `ack_timeout=timedelta(minutes=5)` (see `rexchange.settings.Settings`).
    Raises InvalidArgument; the server is asked when it is first needed, or on entering.
    """

    # --- publishing

    async def publish(
        self,
        body: bytes | bytearray | memoryview | Message,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        timeout: float | None = None,
        **properties: Unpack[PropertyArgs],
    ) -> int:
        """Publish one message and return how many queues it reached; it is in all of them, or an error is raised.

        Takes every AMQP property by keyword, or a `Message` made before. `timeout`: seconds to go on trying.
        Raises Unroutable (`mandatory`, and no queue), NotFound (no such exchange), AccessRefused (internal exchange),
        PublishRefused (server full), BrokerConnectionError whose `outcome` says whether it may have been done.
        """
        if isinstance(body, Message):
            message = body
        else:
            message = Message(
                body,
                exchange=exchange.name if isinstance(exchange, Exchange) else exchange,
                routing_key=routing_key,
                headers=headers,
                mandatory=mandatory,
                **properties,
            )
        return (await self.publish_many((message,), timeout=timeout))[0]

    async def publish_many(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[int]:
        """Publish messages as one group, all or none, and return the queues reached by each.

        At most 1,000 messages and 16 MiB. Raises what `publish` does; Unroutable lists every message at fault.
        """
        if not isinstance(messages, Iterable):
            raise InvalidArgument("messages", messages, "an iterable of Message values")
        batch = messages if isinstance(messages, tuple | list) else list(messages)
        if not batch:
            return []
        if len(batch) > self.settings.max_batch:
            raise ContentTooLarge("a batch (messages)", len(batch), self.settings.max_batch)
        for message in batch:
            if not isinstance(message, Message):
                raise InvalidArgument("messages", message, "Message values, such as Message(b'…', routing_key='mail')")
        if self._hooks is not None:
            self._hooks.before_publish(batch)
        try:
            group = publish.Group(batch, max_body=self.settings.max_body, max_call=self.settings.max_call)
            await self._ready()
            counts = await self._publisher.publish(group, self._link.deadline(timeout))
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
        self, queue: str | Queue, *, auto_ack: bool = True, timeout: float | None = None
    ) -> AsyncDelivery | None:
        """Take one message, or None where nothing is ready (AMQP basic.get).

        With auto_ack=False settle it, or it goes back after the queue's ack timeout. `timeout`: seconds to go on
        trying to reach the server; it does not wait for a message. Raises NotFound, ResourceLocked.
        """
        _check_flags(auto_ack=auto_ack)
        await self._ready()
        name = name_of("queue", queue)
        getter = self._getters.get(name)
        if getter is None:
            getter = self._getters.setdefault(name, Getter(self._link, self._session, name, self._hooks))
        delivery = await getter.get(auto_ack=auto_ack, deadline=self._link.deadline(timeout))
        if delivery is not None:
            self._link.counters.delivered += 1
            self._link.counters.redelivered += delivery.redelivered
            if self._hooks is not None:
                self._hooks.before_deliver(delivery)
        return delivery

    def consume(
        self,
        queues: str | Queue | Sequence[str | Queue],
        *,
        auto_ack: bool = True,
        prefetch: int | None = None,
        timeout: float | timedelta | None = None,
        ack_timeout: timedelta | None = None,
        renew: bool = False,
        tag: str = "",
        on_stale: OnStale | None = None,
        arguments: Mapping[str, object] | None = None,
    ) -> AsyncConsumer:
        """Return a consumer of one or several queues; use it in `with`, iterate over it.

        `auto_ack`: acknowledged as it is read; pass False where a message must survive its worker. `prefetch`: unacked
        deliveries in all its queues together (0: 2,000); with auto_ack only the size of a read. `timeout`: seconds
        without a delivery after which iteration ends. `ack_timeout`: for this consumer; AMQP's argument
        "x-consumer-timeout" in ms is the same. `renew`: renew the deliveries while this process lives.
        `on_stale(tag, queue)` is told of verdicts that came too late. Raises InvalidArgument.
        """
        if not isinstance(queues, Queue | Iterable):
            raise InvalidArgument("queues", queues, "a queue's name, or several")
        _check_flags(auto_ack=auto_ack, renew=renew)
        items = [queues] if isinstance(queues, str | Queue) else list(queues)
        names = list(dict.fromkeys(name_of("queue", queue) for queue in items))
        if not names:
            raise InvalidArgument("queues", queues, "at least one queue")
        limit = self.settings.prefetch if prefetch is None else prefetch
        if type(limit) is not int or limit < 0:
            raise InvalidArgument("prefetch", prefetch, "an int of at least 0 (0: unlimited, that is 2,000)")
        idle = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        if idle is not None and (not isinstance(idle, int | float) or idle < 0):
            raise InvalidArgument("timeout", timeout, "seconds, at least 0, or None to wait for ever")
        return AsyncConsumer(
            self._link,
            self._session,
            self._hooks,
            names,
            tag=tag or f"amq.ctag-{secrets.token_urlsafe(12)}",
            auto_ack=auto_ack,
            prefetch=limit,
            timeout=idle,
            ack_timeout_ms=consumer_timeout_ms(arguments, ack_timeout=ack_timeout),
            renew=renew,
            on_stale=on_stale,
            on_open=self._consumer_opens,
            on_close=self._consumers.discard,
            client=f"{socket.gethostname()}:{os.getpid()} {Path(sys.argv[0]).name}",
        )

    async def _consumer_opens(self, consumer: AsyncConsumer) -> None:
        await self._ready()
        self._consumers.add(consumer)


def _check_flags(**flags: object) -> None:
    """Refuse what is no bool: the text "false" would mean True, and the message would be gone."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InvalidArgument(name, value, "True or False")
