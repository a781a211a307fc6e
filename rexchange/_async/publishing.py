"""Publishing, and waiting for room where the broker is full."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, overload

from rexchange._async import io
from rexchange._async.base import name_of
from rexchange._async.publisher import Publisher
from rexchange._async.topology import AsyncTopology
from rexchange.blocked import Blocked
from rexchange.checks import check_seconds
from rexchange.confirms import MEMORY, read_level
from rexchange.errors import ContentTooLarge, InvalidArgument, PreconditionFailed, PublishRefused, ServerRefused
from rexchange.message import Message
from rexchange.protocol.publish import Group
from rexchange.server import facts, failures
from rexchange.topology import REPLY_TO, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Unpack

    from rexchange.codec import Table
    from rexchange.confirms import Level
    from rexchange.message import MessageArgs
    from rexchange.receipt import Receipt

_SHORTEST_S = 0.01
"""Between two tries of a publish that waits for room."""


class AsyncPublishing(AsyncTopology):
    """The methods of a broker that publish."""

    @overload
    async def publish(
        self,
        body: Message,
        *,
        timeout: float | timedelta | None = None,
        wait: float | timedelta | None = None,
        confirm: str | None = None,
    ) -> Receipt: ...
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
        wait: float | timedelta | None = None,
        confirm: str | None = None,
        **properties: Unpack[MessageArgs],
    ) -> Receipt: ...
    async def publish(
        self,
        body: bytes | bytearray | memoryview | Message,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        timeout: float | timedelta | None = None,
        wait: float | timedelta | None = None,
        confirm: str | None = None,
        **properties: Unpack[MessageArgs],
    ) -> Receipt:
        """Publish one message and return how many queues it reached; it is in all of them, or an error is raised.

        Takes every AMQP property by keyword, or a `Message` made before, which says all itself. `delay` or `at`: it is
        routed later, and the receipt has the `schedule_id` for `cancel_scheduled`. `dedup_key` with `dedup_window`: it
        is published once in that time, and a second one gets the first's receipt, with `duplicate`. `timeout`: seconds
        to go on trying to reach the server. `wait`: seconds to wait for room where a queue, the vhost or the server's
        memory is full; without it that is an error at once (or what is in the queue makes room: its x-overflow).
        `confirm`: what to wait for before it returns: "memory", "replicated", "replicated:2" (so many replicas),
        "synced" (the server's disk); the default is the setting of that name (docs/confirms.md). Raises Unroutable
        (`mandatory`, and no queue), NotFound (no such exchange), AccessRefused (internal exchange), PublishRefused
        (full), Unconfirmed (published, and no more), BrokerConnectionError whose `outcome` says whether it may have
        been done.
        """
        message = self._message(body, exchange, routing_key, headers, properties, mandatory=mandatory)
        return (await self._publish((message,), timeout, wait, confirm))[0]

    def _message(
        self,
        body: bytes | bytearray | memoryview | Message,
        exchange: str | Exchange,
        routing_key: str,
        headers: Table | None,
        properties: MessageArgs,
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

    async def publish_many(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | timedelta | None = None,
        wait: float | timedelta | None = None,
        confirm: str | None = None,
    ) -> list[Receipt]:
        """Publish messages as one group, all or none, and return the queues reached by each.

        At most 1,000 messages and 16 MiB. `timeout`, `wait` and `confirm` as for `publish`; a group waits until there
        is room for all of it. Raises what `publish` does; Unroutable lists every message at fault.
        """
        if not isinstance(messages, Iterable):
            raise InvalidArgument("messages", messages, "an iterable of Message values")
        batch: Sequence[Message] = messages if isinstance(messages, tuple | list) else list(messages)
        if len(batch) > self.settings.max_batch:
            raise ContentTooLarge("a batch (messages)", len(batch), self.settings.max_batch)
        return await self._publish(batch, timeout, wait, confirm)

    async def _publish(
        self,
        batch: Sequence[Message],
        timeout: float | timedelta | None,
        wait: float | timedelta | None,
        confirm: str | None,
    ) -> list[Receipt]:
        seconds = None if timeout is None else check_seconds("timeout", timeout)
        patience = None if wait is None else check_seconds("wait", wait)
        level = self._confirm if confirm is None else read_level(confirm)
        if level is not MEMORY:
            level = await self._reachable(level, self._link.deadline(seconds))
        if not batch:
            return []
        self._check_batch(batch)
        batch = self._with_reply_queue(batch)
        if self._hooks is not None:
            self._hooks.before_publish(batch)
        try:
            settings = self.settings
            group = Group(batch, max_body=settings.max_body, max_call=settings.max_call, patient=patience is not None)
            if self._release is None or self._pid != os.getpid():
                await self._ready()
            publisher = self._publisher if level is MEMORY else self._publisher_of(level)
            if patience is None:
                receipts = await publisher.publish(group, self._link.deadline(seconds))
            else:
                receipts = await self._when_there_is_room(publisher, group, seconds, patience)
        except Exception as error:
            if self._hooks is not None:
                self._hooks.after_publish(batch, None, error)
            raise
        self._link.counters.published += len(batch)
        if self._hooks is not None:
            self._hooks.after_publish(batch, receipts, None)
        return receipts

    def _publisher_of(self, level: Level) -> Publisher:
        if level is MEMORY:
            return self._publisher
        found = self._confirming.get(level)
        return self._confirming.setdefault(level, Publisher(self._link, level)) if found is None else found

    async def _reachable(self, level: Level, deadline: float) -> Level:
        """Return the level, or that of memory in memory://, which has no more; raises ServerRefused."""
        if level is MEMORY:
            return level
        await self._ready()
        await self._link.open(deadline)
        told = self._link.facts
        if told is None or told.kind == "fakeredis":
            return MEMORY
        lack = facts.lack(told, level)
        if lack is not None:
            raise ServerRefused(lack, address=self._link.address.display, outcome="not_done")
        return level

    def _check_batch(self, batch: Sequence[Message]) -> None:
        for message in batch:
            if not isinstance(message, Message):
                raise InvalidArgument("messages", message, "Message values, such as Message(b'…', routing_key='mail')")
            if message.special is not None:
                message.special.check_time(int(time.time() * 1000))

    # --- waiting for room

    @property
    def blocked(self) -> Blocked | None:
        """Why a publish of this Broker waits for room now, the one that waits longest; None where none waits.

        What RabbitMQ tells a client by connection.blocked and connection.unblocked.
        """
        return next(iter(self._blocked.values()), None)

    async def _when_there_is_room(
        self, publisher: Publisher, group: Group, timeout: float | None, patience: float
    ) -> list[Receipt]:
        """Publish a group as soon as there is room for all of it: each refused try did nothing."""
        until = time.monotonic() + patience
        attempt = 0
        try:
            while True:
                try:
                    return await publisher.publish(group, self._link.deadline(timeout))
                except PublishRefused as error:
                    left = until - time.monotonic()
                    if left <= 0:
                        raise
                    known = self._blocked.get(group)
                    self._blocked[group] = Blocked.by(error, time.time() if known is None else known.since_s)
                pause = max(failures.backoff(min(attempt, 3)), _SHORTEST_S)
                attempt += 1
                await io.sleep(min(pause, left))
        finally:
            self._blocked.pop(group, None)

    # --- direct reply-to

    def _with_reply_queue(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Put this Broker's own queue where a message's reply_to is REPLY_TO."""
        for message in messages:
            if message.properties and message.properties.get("reply_to") == REPLY_TO:
                break
        else:
            return messages
        if not any(consumer.queues == [self._reply_name] for consumer in self._consumers):
            wanted = f"a consumer of {REPLY_TO!r} in this Broker first: replies have nowhere to go"
            raise PreconditionFailed.illegal("message", "", "reply_to", REPLY_TO, wanted)
        return [
            message.copy(reply_to=self._reply_name) if message.properties.get("reply_to") == REPLY_TO else message
            for message in messages
        ]
