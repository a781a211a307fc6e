"""Declaring, binding, deleting, purging; and declaring again what the server lost (redeclare=True)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from rexchange import topology
from rexchange._async.base import AsyncBase, name_of
from rexchange.arguments import exchange_arguments, queue_arguments
from rexchange.errors import AccessRefused
from rexchange.protocol import declare, tick
from rexchange.protocol.call import SessionGone
from rexchange.records import encode_binding_id
from rexchange.topology import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from rexchange.codec import Table
    from rexchange.protocol.call import Call


class AsyncTopology(AsyncBase):
    """The methods of a broker that change topology."""

    async def declare_exchange(
        self,
        name: str,
        type: str = "direct",
        *,
        durable: bool = True,
        auto_delete: bool = False,
        internal: bool = False,
        passive: bool = False,
        alternate_exchange: str | None = None,
        arguments: Table | None = None,
    ) -> Exchange:
        """Declare an exchange, or with `passive` look whether it is there (AMQP exchange.declare; docs/semantics.md).

        `type`: direct, fanout, topic or headers. `alternate_exchange` is x-argument "alternate-exchange".
        Raises PreconditionFailed where it is declared otherwise, NotFound (passive), AccessRefused ("amq." names).
        """
        topology.check_name("exchange", name)
        predeclared = topology.PREDECLARED.get(name) if name else None
        if not passive:
            topology.check_type(type, name)
        if not name or (not passive and predeclared is None):
            topology.check_new_name("exchange", name)
        if passive:  # looked for by name alone: RabbitMQ does not even check the rest
            wanted = Exchange(name, "direct")
        else:
            merged = exchange_arguments(arguments, alternate_exchange=alternate_exchange, name=name)
            wanted = Exchange(name, type, durable, auto_delete, internal, merged)
        exchange: Exchange = await self._run(declare.declare_exchange(wanted, self._link.keys, passive=passive))
        if not passive and predeclared is None:
            self._declared["exchange", name] = wanted
        return exchange

    async def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        passive: bool = False,
        ack_timeout: timedelta | None = None,
        arguments: Table | None = None,
    ) -> Queue:
        """Declare a queue, or with `passive` look whether it is there (AMQP queue.declare; docs/semantics.md).

        An empty name asks for one of the broker's own choice. `exclusive`: it is this Broker's alone and goes with it.
        `ack_timeout` is x-argument "x-consumer-timeout" (ms). The queue returned knows its ready message_count and its
        consumer_count. Raises PreconditionFailed, ResourceLocked, NotFound (passive), AccessRefused, NotSupported.
        """
        merged = {} if passive else queue_arguments(arguments, ack_timeout=ack_timeout, name=name)
        if name == "" and not passive:
            name = f"amq.gen-{secrets.token_urlsafe(16)}"
        elif passive:
            topology.check_name("queue", name)
        else:
            topology.check_new_name("queue", name)
        wanted = Queue(name, durable, exclusive, auto_delete, merged)
        queue = await self._declare_queue(wanted, passive=passive)
        if not passive:
            self._declared["queue", name] = wanted
        return queue

    async def _declare_queue(self, wanted: Queue, *, passive: bool) -> Queue:
        await self._ready()
        while True:
            session = await self._session.ensure() if wanted.exclusive else self._session.id
            owned = topology.owned_by(wanted, session if wanted.exclusive else "")
            try:
                return await self._link.run(declare.declare_queue(owned, session, self._link.keys, passive=passive))
            except SessionGone:
                await self._session.renewed(session)

    async def bind(
        self,
        destination: str | Queue | Exchange,
        source: str | Exchange,
        binding_key: str = "",
        arguments: Table | None = None,
    ) -> None:
        """Bind a queue (its name or value) or an exchange (its value) to an exchange (AMQP queue.bind, exchange.bind).

        Raises NotFound, ResourceLocked, AccessRefused (the default exchange), PreconditionFailed (x-match).
        """
        binding = _binding(destination, source, binding_key, arguments)
        await self._run(declare.bind(binding, self._session.id))
        self._declared["binding", binding.source, encode_binding_id(binding)] = binding

    async def unbind(
        self,
        destination: str | Queue | Exchange,
        source: str | Exchange,
        binding_key: str = "",
        arguments: Table | None = None,
    ) -> None:
        """Take a binding away; one that is missing is no error (RabbitMQ)."""
        binding = _binding(destination, source, binding_key, arguments)
        await self._run(declare.unbind(binding, self._session.id))
        self._declared.pop(("binding", binding.source, encode_binding_id(binding)), None)

    async def delete_exchange(self, name: str | Exchange, *, if_unused: bool = False) -> None:
        """Delete an exchange and its bindings; one that is missing is no error.

        Raises PreconditionFailed (`if_unused` and something is bound to it), AccessRefused (predeclared ones).
        """
        name = name_of("exchange", name)
        topology.check_new_name("exchange", name)
        await self._ready()
        await self._link.follow(declare.delete_exchange(name, if_unused=if_unused))
        self._undeclare("exchange", name)

    async def delete_queue(self, name: str | Queue, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Delete a queue with its messages and bindings; returns how many ready messages went (0 if it was missing).

        Raises PreconditionFailed (`if_unused` and it has consumers, `if_empty` and it has ready messages).
        """
        name = name_of("queue", name)
        await self._ready()
        plan = declare.delete_queue(name, self._session.id, if_unused=if_unused, if_empty=if_empty)
        count = await self._link.follow(plan)
        self._undeclare("queue", name)
        getter = self._getters.pop(name, None)
        if getter is not None:
            await getter.aclose()
        return count

    async def purge(self, queue: str | Queue) -> int:
        """Remove what is ready in a queue and return how many; unacked ones stay. Raises NotFound."""
        await self._ready()
        return await self._link.follow(declare.purge(name_of("queue", queue), self._session.id))

    def _undeclare(self, kind: str, name: str) -> None:
        self._declared.pop((kind, name), None)
        for key, value in list(self._declared.items()):
            if isinstance(value, Binding) and (
                (kind == "exchange" and value.source == name)
                or (value.destination_kind == kind and value.destination == name)
            ):
                del self._declared[key]

    async def restore(self, run: Callable[[Call[Any]], Awaitable[Any]]) -> None:
        """Declare again, after the server lost it all, what this Broker declared (redeclare=True)."""
        values = list(self._declared.values())
        for exchange in (value for value in values if isinstance(value, Exchange)):
            await run(declare.declare_exchange(exchange, self._link.keys))
        if any(isinstance(value, Queue) and value.exclusive for value in values):
            ttl_ms = int(self.settings.session_timeout.total_seconds() * 1000)
            await run(tick.open_session(self._session.id, ttl_ms))
        for queue in (value for value in values if isinstance(value, Queue)):
            owned = topology.owned_by(queue, self._session.id if queue.exclusive else "")
            await run(declare.declare_queue(owned, self._session.id, self._link.keys))
        for binding in (value for value in values if isinstance(value, Binding)):
            await run(declare.bind(binding, self._session.id))


def _binding(
    destination: str | Queue | Exchange, source: str | Exchange, binding_key: str, arguments: Table | None
) -> Binding:
    kind: topology.DestinationKind = "exchange" if isinstance(destination, Exchange) else "queue"
    binding = Binding(name_of("exchange", source), name_of(kind, destination), kind, binding_key, arguments or {})
    if binding.source == "" or (kind == "exchange" and binding.destination == ""):
        raise AccessRefused(
            "the default exchange cannot be bound: every queue is bound to it by its name", kind="exchange"
        )
    return binding
