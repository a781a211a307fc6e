"""The broker: RabbitMQ's model on Redis. Every operation of the library begins here."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from rexchange import settings as settings_module
from rexchange import topology
from rexchange._async import io
from rexchange._async.consumer import AsyncConsumer
from rexchange._async.getter import Getter
from rexchange._async.link import Link
from rexchange._async.publisher import Publisher
from rexchange._async.session import Session
from rexchange.errors import AccessRefused, ContentTooLarge, InvalidArgument
from rexchange.message import Message
from rexchange.protocol import declare, inspect, publish, tick
from rexchange.protocol.call import SessionGone
from rexchange.server.clients import from_client
from rexchange.server.address import from_url
from rexchange.topology import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from rexchange._async.delivery import AsyncDelivery
    from rexchange._async.holder import OnStale
    from rexchange.hooks import Counters, Hooks
    from rexchange.message import PropertyArgs, Table
    from rexchange.protocol.call import Call
    from rexchange.protocol.inspect import ConsumerInfo, QueueInfo, Status
    from rexchange.protocol.tick import Ticked
    from rexchange.server.facts import ServerFacts
    from rexchange.settings import Settings

_brokers: weakref.WeakSet[AsyncBroker] = weakref.WeakSet()


class AsyncBroker:
    """A connection to the broker (AMQP's connection and channel in one). Tasks of one event loop may share it.

    `url`: None means the environment's REXCHANGE_URL, else an embedded server; see the README for the schemes.
    `client`: take the connection settings of a redis-py client instead. `settings`: all settings at once; `options`:
    single ones by name, such as `ack_timeout=timedelta(minutes=5)` (see `rexchange.settings.Settings`).
    Raises InvalidArgument; the server is asked when it is first needed, or on entering.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: object = None,
        vhost: str | None = None,
        settings: Settings | None = None,
        hooks: Hooks | None = None,
        **options: Any,  # noqa: ANN401 - Settings checks each by name and type
    ) -> None:
        """Nothing is connected yet."""
        if url is not None and client is not None:
            raise InvalidArgument("client", type(client).__name__, "either url or client, not both")
        if settings is not None and options:
            raise InvalidArgument("settings", sorted(options), "either settings or single options, not both")
        self.settings = settings or settings_module.load(vhost=vhost, **options)
        name = self.settings.vhost if vhost is None else vhost
        if client is not None:
            address = from_client(client)
        else:
            known = self.settings.url
            address = from_url(url if url is not None else known.get_secret_value() if known is not None else None)
        self._link = Link(address, self.settings, name)
        self._link.restore = self._restore
        self._session = Session(self._link)
        self._publisher = Publisher(self._link)
        self._hooks = hooks
        self._getters: dict[str, Getter] = {}
        self._consumers: set[AsyncConsumer] = set()
        self._declared: dict[object, Exchange | Queue | Binding] = {}
        self._release: Callable[[], None] | None = None
        self._holding = io.Lock()
        self._pid = os.getpid()
        _brokers.add(self)

    # --- life

    async def open(self) -> Self:
        """Connect now; every operation does it when needed. Raises BrokerConnectionError, ServerRefused."""
        await self._ready()
        await self._link.open()
        return self

    async def _ready(self) -> None:
        if self._pid != os.getpid():
            self._after_fork()
        if self._release is None:
            async with self._holding:
                if self._release is None and not self._link.closed:
                    self._release = await io.run_blocking(self._link.address.hold)

    def _after_fork(self) -> None:
        """Become a broker of one's own in a forked child: its connections, lane and session are the parent's."""
        self._pid = os.getpid()
        self._holding = io.Lock()
        self._release = None
        self._getters = {}
        self._consumers = set()
        self._link.reset()
        self._session.reset()
        self._publisher.reset()

    async def __aenter__(self) -> Self:
        """Connect."""
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close: consumers end, all that is unacked goes back at once, exclusive queues are deleted."""
        if self._link.closed or self._pid != os.getpid():
            return
        for consumer in list(self._consumers):
            await consumer.aclose()
        await self._session.aclose()
        await self._publisher.aclose()
        await self._link.aclose()
        if self._release is not None:
            await io.run_blocking(self._release)
            self._release = None

    # --- what it is

    @property
    def vhost(self) -> str:
        """The name of its vhost."""
        return self._link.vhost

    @property
    def address(self) -> str:
        """The server's address, without password."""
        return self._link.address.display

    @property
    def counters(self) -> Counters:
        """What it did since it was made."""
        return self._link.counters

    async def server(self) -> ServerFacts:
        """What the server is."""
        await self.open()
        assert self._link.facts is not None  # noqa: S101 - open sets it
        return self._link.facts

    async def status(self) -> Status:
        """Counts of the vhost: sessions, consumers, queues, exchanges, lanes."""
        return await self._run(inspect.status())

    async def _run(self, call: Call[Any], timeout: float | None = None) -> Any:  # noqa: ANN401 - what the call decodes to
        await self._ready()
        return await self._link.run(call, deadline=self._link.deadline(timeout))

    # --- topology

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
        """Declare an exchange, or with `passive` look whether it is there (RABBITMQ.md §1.1; AMQP exchange.declare).

        `type`: direct, fanout, topic or headers. `alternate_exchange` is x-argument "alternate-exchange".
        Raises PreconditionFailed where it is declared otherwise, NotFound (passive), AccessRefused ("amq." names).
        """
        merged = topology.exchange_arguments(arguments, alternate_exchange=alternate_exchange, name=name)
        topology.check_name("exchange", name)
        predeclared = topology.PREDECLARED.get(name) if name else None
        if not passive and predeclared is None:
            topology.check_new_name("exchange", name)
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
        """Declare a queue, or with `passive` look whether it is there (RABBITMQ.md §1.3; AMQP queue.declare).

        An empty name asks for one of the broker's own choice. `exclusive`: it is this Broker's alone and goes with it.
        `ack_timeout` is x-argument "x-consumer-timeout" (ms). The queue returned knows its ready message_count and its
        consumer_count. Raises PreconditionFailed, ResourceLocked, NotFound (passive), AccessRefused, NotSupported.
        """
        merged = topology.queue_arguments(arguments, ack_timeout=ack_timeout, name=name)
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
        self._declared["binding", binding.source, topology.encode_binding_id(binding)] = binding

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
        self._declared.pop(("binding", binding.source, topology.encode_binding_id(binding)), None)

    async def delete_exchange(self, name: str | Exchange, *, if_unused: bool = False) -> None:
        """Delete an exchange and its bindings; one that is missing is no error.

        Raises PreconditionFailed (`if_unused` and something is bound to it), AccessRefused (predeclared ones).
        """
        name = _name("exchange", name)
        topology.check_new_name("exchange", name)
        await self._ready()
        await self._link.follow(declare.delete_exchange(name, if_unused=if_unused))
        self._undeclare("exchange", name)

    async def delete_queue(self, name: str | Queue, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Delete a queue with its messages and bindings; returns how many ready messages went (0 if it was missing).

        Raises PreconditionFailed (`if_unused` and it has consumers, `if_empty` and it has ready messages).
        """
        name = _name("queue", name)
        await self._ready()
        plan = declare.delete_queue(name, self._session.id, if_unused=if_unused, if_empty=if_empty)
        count = await self._link.follow(plan)
        self._undeclare("queue", name)
        self._getters.pop(name, None)
        return count

    async def purge(self, queue: str | Queue) -> int:
        """Remove what is ready in a queue and return how many; unacked ones stay. Raises NotFound."""
        await self._ready()
        return await self._link.follow(declare.purge(_name("queue", queue), self._session.id))

    def _undeclare(self, kind: str, name: str) -> None:
        self._declared.pop((kind, name), None)
        for key, value in list(self._declared.items()):
            if isinstance(value, Binding) and (
                (kind == "exchange" and value.source == name)
                or (value.destination_kind == kind and value.destination == name)
            ):
                del self._declared[key]

    async def _restore(self, run: Callable[[Call[Any]], Awaitable[Any]]) -> None:
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
        batch = messages if isinstance(messages, tuple | list) else list(messages)
        if not batch:
            return []
        if len(batch) > self.settings.max_batch:
            raise ContentTooLarge("a batch (messages)", len(batch), self.settings.max_batch)
        for message in batch:
            if not isinstance(message, Message):
                raise InvalidArgument("messages", message, "Message values")
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

    async def route(
        self, exchange: str | Exchange, routing_key: str = "", headers: Table | None = None
    ) -> list[str]:
        """Return the queues that a message would reach; nothing is published. Raises NotFound."""
        names: list[str] = await self._run(publish.route(_name("exchange", exchange), routing_key, headers))
        return sorted(names)

    # --- consuming

    async def get(
        self, queue: str | Queue, *, auto_ack: bool = True, timeout: float | None = None
    ) -> AsyncDelivery | None:
        """Take one message, or None where nothing is ready (AMQP basic.get).

        With auto_ack=False settle it, or it goes back after the queue's ack timeout. `timeout`: seconds to go on
        trying to reach the server; it does not wait for a message. Raises NotFound, ResourceLocked.
        """
        await self._ready()
        name = _name("queue", queue)
        topology.check_name("queue", name)
        getter = self._getters.get(name)
        if getter is None:
            getter = self._getters.setdefault(name, Getter(self._link, self._session, name))
        delivery = await getter.get(auto_ack=auto_ack, deadline=self._link.deadline(timeout))
        if delivery is not None:
            self._link.counters.delivered += 1
            self._link.counters.redelivered += delivery.redelivered
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
        items = [queues] if isinstance(queues, str | Queue) else list(queues)
        names = list(dict.fromkeys(_name("queue", queue) for queue in items))
        if not names:
            raise InvalidArgument("queues", queues, "at least one queue")
        for name in names:
            topology.check_name("queue", name)
        limit = self.settings.prefetch if prefetch is None else prefetch
        if type(limit) is not int or limit < 0:
            raise InvalidArgument("prefetch", prefetch, "an int of at least 0 (0: unlimited, that is 2,000)")
        idle = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        if idle is not None and idle < 0:
            raise InvalidArgument("timeout", timeout, "seconds, at least 0, or None to wait for ever")
        consumer = AsyncConsumer(
            self._link,
            self._session,
            self._hooks,
            names,
            tag=tag or f"amq.ctag-{secrets.token_urlsafe(12)}",
            auto_ack=auto_ack,
            prefetch=limit,
            timeout=idle,
            ack_timeout_ms=topology.consumer_timeout_ms(arguments, ack_timeout=ack_timeout),
            renew=renew,
            on_stale=on_stale,
            on_open=self._consumer_opens,
            on_close=self._consumers.discard,
            client=f"{socket.gethostname()}:{os.getpid()} {os.path.basename(sys.argv[0] or 'python')}",  # noqa: PTH119
        )
        return consumer

    async def _consumer_opens(self, consumer: AsyncConsumer) -> None:
        await self._ready()
        self._consumers.add(consumer)

    # --- looking

    async def exchanges(self) -> list[Exchange]:
        """List the vhost's exchanges, the default one aside."""
        await self._ready()
        return await self._link.follow(inspect.exchanges(self._link.keys))

    async def queues(self) -> list[QueueInfo]:
        """List the queues with their ready, unacked and consumer counts."""
        await self._ready()
        return await self._link.follow(inspect.queues(self._link.keys))

    async def bindings(self, source: str | Exchange | None = None) -> list[Binding]:
        """List all bindings, or those of one exchange; the default exchange's are implied."""
        if source is None:
            sources = [exchange.name for exchange in await self.exchanges()]
        else:
            sources = [_name("exchange", source)]
        await self._ready()
        return await self._link.follow(inspect.bindings(self._link.keys, sources))

    async def consumers(self) -> list[ConsumerInfo]:
        """List the consumers of all processes."""
        await self._ready()
        return await self._link.follow(inspect.consumers())

    async def reap(self) -> Ticked:
        """Run the reaper until nothing is due, and return what it did; every consuming process does it by itself."""
        ttl_ms = int(self.settings.session_timeout.total_seconds() * 1000)
        total: Ticked = await self._run(tick.tick(ttl_ms))
        while total.next_ms == 0:
            total = total + await self._run(tick.tick(ttl_ms))
        return total


def _name(kind: str, value: str | Queue | Exchange) -> str:
    name = value.name if isinstance(value, Queue | Exchange) else value
    topology.check_name(kind, name)
    return name


def _binding(
    destination: str | Queue | Exchange, source: str | Exchange, binding_key: str, arguments: Table | None
) -> Binding:
    kind: topology.DestinationKind = "exchange" if isinstance(destination, Exchange) else "queue"
    binding = Binding(_name("exchange", source), _name(kind, destination), kind, binding_key, arguments or {})
    if binding.source == "" or (kind == "exchange" and binding.destination == ""):
        raise AccessRefused("the default exchange cannot be bound: every queue is bound to it by its name", kind="exchange")
    return binding


def _fork_all() -> None:
    for broker in list(_brokers):
        broker._after_fork()  # noqa: SLF001 - this module's own class


os.register_at_fork(after_in_child=_fork_all)
