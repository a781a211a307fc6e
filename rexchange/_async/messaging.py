"""Getting and consuming."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rexchange._async.base import name_of
from rexchange._async.consumer import AsyncConsumer
from rexchange._async.getter import Getter
from rexchange._async.publishing import AsyncPublishing
from rexchange._async.session import client_name
from rexchange.arguments import consumer_priority, consumer_timeout_ms, stream_offset
from rexchange.checks import check_arguments, check_flags, check_optional_seconds
from rexchange.codec import short_string
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.protocol.consume import Place
from rexchange.topology import REPLY_TO, Queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rexchange._async.delivery import AsyncDelivery
    from rexchange._async.holder import OnStale


class AsyncMessaging(AsyncPublishing):
    """The methods of a broker that hand out messages."""

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
            getter = self._getters.setdefault(name, Getter(self._link, self._session, name, self._hooks))
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
            client=client_name(),
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
