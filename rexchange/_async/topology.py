"""Declaring, binding, deleting, purging; and declaring again what the server lost (redeclare=True)."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any

from rexchange import topology
from rexchange._async.base import key_of, name_of
from rexchange._async.policies import AsyncPolicies, known
from rexchange.arguments import exchange_arguments, queue_arguments
from rexchange.checks import check_flags
from rexchange.errors import AccessRefused, TopologyError, TopologyLost
from rexchange.policies import Policy
from rexchange.protocol import declare, policies, tick
from rexchange.protocol.call import PoliciesChanged, SessionGone
from rexchange.topology import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Unpack

    from rexchange.arguments import QueueOptions
    from rexchange.codec import Table
    from rexchange.protocol.call import Call

_log = logging.getLogger("rexchange.connection")


class AsyncTopology(AsyncPolicies):
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
        check_flags(durable=durable, auto_delete=auto_delete, internal=internal, passive=passive)
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
            topology.check_exchange(wanted)
        await self._ready()
        exchange = await self._declare_exchange(wanted, passive=passive)
        if not passive and predeclared is None:
            self._note(wanted)
        return exchange

    async def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        passive: bool = False,
        arguments: Table | None = None,
        **options: Unpack[QueueOptions],
    ) -> Queue:
        """Declare a queue, or with `passive` look whether it is there (AMQP queue.declare; docs/semantics.md).

        An empty name asks for one of the broker's own choice. `exclusive`: it is this Broker's alone and goes with it.
        `options` are x-arguments under their typed names: ack_timeout, message_ttl, expires, max_length,
        max_length_bytes, overflow, dead_letter_exchange, dead_letter_routing_key, max_priority, single_active_consumer,
        delivery_limit, queue_type, max_age. The queue returned knows its ready message_count and its consumer_count.
        Raises PreconditionFailed, ResourceLocked, NotFound (passive), AccessRefused, NotSupported.
        """
        check_flags(durable=durable, exclusive=exclusive, auto_delete=auto_delete, passive=passive)
        # Asked for by its name: whether who waits for a reply is still there.
        passive = passive or str(name).startswith(f"{topology.REPLY_TO}.")
        merged = {} if passive else queue_arguments(arguments, options, name=name)
        if name == "" and not passive:
            name = f"amq.gen-{secrets.token_urlsafe(16)}"
        elif passive:
            topology.check_name("queue", name)
        else:
            topology.check_new_name("queue", name)
        wanted = Queue(name, durable, exclusive, auto_delete, merged)
        if not passive:
            topology.check_queue(wanted, named=not name.startswith("amq.gen-"))
        queue = await self._declare_queue(wanted, passive=passive)
        if not passive:
            self._note(wanted)
        return queue

    async def _declare_exchange(self, wanted: Exchange, *, passive: bool) -> Exchange:
        link = self._link
        while True:
            try:
                return await link.run(declare.declare_exchange(wanted, link.keys, link.policies, passive=passive))
            except PoliciesChanged:
                await known(link)

    async def _declare_queue(self, wanted: Queue, *, passive: bool) -> Queue:
        await self._ready()
        link = self._link
        while True:
            session = await self._session.ensure() if wanted.exclusive else self._session.id
            owned = topology.owned_by(wanted, session if wanted.exclusive else "")
            try:
                return await link.run(declare.declare_queue(owned, session, link.keys, link.policies, passive=passive))
            except SessionGone:
                await self._session.renewed(session)
            except PoliciesChanged:
                await known(link)

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
        self._note(binding)

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
        self._declared.pop(key_of(binding), None)

    async def delete_exchange(self, name: str | Exchange, *, if_unused: bool = False) -> None:
        """Delete an exchange and its bindings; one that is missing is no error.

        Raises PreconditionFailed (`if_unused` and something is bound to it), AccessRefused (predeclared ones).
        """
        check_flags(if_unused=if_unused)
        name = name_of("exchange", name)
        topology.check_new_name("exchange", name)
        await self._ready()
        await self._link.follow(declare.delete_exchange(name, if_unused=if_unused))
        self._undeclare("exchange", name)

    async def delete_queue(self, name: str | Queue, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Delete a queue with its messages and bindings; returns how many ready messages went (0 if it was missing).

        Raises PreconditionFailed (`if_unused` and it has consumers, `if_empty` and it has ready messages).
        """
        check_flags(if_unused=if_unused, if_empty=if_empty)
        name = name_of("queue", name)
        await self._ready()
        plan = declare.delete_queue(name, self._session.id, if_unused=if_unused, if_empty=if_empty)
        count = await self._link.follow(plan)
        await self._forget_queue(name)
        return count

    async def _forget_queue(self, name: str) -> None:
        """Keep nothing of a queue that was deleted."""
        self._undeclare("queue", name)
        getter = self._getters.pop(name, None)
        if getter is not None:
            await getter.aclose()

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
        """Declare again, after the server lost it all, what this Broker declared (redeclare=True).

        What is refused, such as a binding to what another Broker declared, is left out from now on.
        """
        values = list(self._declared.values())
        for policy in (value for value in values if isinstance(value, Policy)):
            await run(policies.put(policy))
        await known(self._link, run)  # they hold for what others have declared again already, too
        if any(isinstance(value, Queue) and value.exclusive for value in values):
            ttl_ms = int(self.settings.session_timeout.total_seconds() * 1000)
            await run(tick.open_session(self._session.id, ttl_ms))
        for kind in (Exchange, Queue, Binding):
            for key, value in list(self._declared.items()):
                if isinstance(value, kind):
                    await self._restore(run, key, value)

    async def _restore(
        self, run: Callable[[Call[Any]], Awaitable[Any]], key: object, value: Exchange | Queue | Binding
    ) -> None:
        while True:
            try:
                await run(self._declaring(value))
            except PoliciesChanged:
                await known(self._link, run)  # another Broker restores its own
            except TopologyLost:
                raise
            except TopologyError as error:
                _log.warning("%s: lost, and not declared again: %s: %s", self._link, value, error)
                self._declared.pop(key, None)
                return
            else:
                return

    def _declaring(self, value: Exchange | Queue | Binding) -> Call[Any]:
        """Return the call that declares a value, an exclusive queue as our session's."""
        link, session = self._link, self._session.id
        if isinstance(value, Exchange):
            return declare.declare_exchange(value, link.keys, link.policies)
        if isinstance(value, Queue):
            owned = topology.owned_by(value, session if value.exclusive else "")
            return declare.declare_queue(owned, session, link.keys, link.policies)
        return declare.bind(value, session)


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
