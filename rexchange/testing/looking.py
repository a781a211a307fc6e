"""Looking at what was routed where."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from rexchange._sync.base import name_of
from rexchange.codec import Table, decode_table
from rexchange.errors import NotFound
from rexchange.message import Message, decode_envelope

if TYPE_CHECKING:
    from rexchange._async.broker import AsyncBroker
    from rexchange._async.delivery import AsyncDelivery
    from rexchange._sync.broker import Broker
    from rexchange._sync.delivery import Delivery
    from rexchange.topology import Exchange, Queue

_MOST_PENDING = 1_000_000
_GIVEN_BACK = b"-"


def assert_routed(
    broker: Broker,
    exchange: str | Exchange,
    routing_key: str = "",
    headers: Table | None = None,
    *,
    queues: Iterable[str | Queue],
) -> None:
    """Assert that a message would reach exactly these queues; nothing is published. Raises NotFound."""
    _compare(broker.route(exchange, routing_key, headers), queues, exchange, routing_key)


async def async_assert_routed(
    broker: AsyncBroker,
    exchange: str | Exchange,
    routing_key: str = "",
    headers: Table | None = None,
    *,
    queues: Iterable[str | Queue],
) -> None:
    """Do the same with an AsyncBroker."""
    _compare(await broker.route(exchange, routing_key, headers), queues, exchange, routing_key)


def _compare(found: list[str], queues: Iterable[str | Queue], exchange: str | Exchange, routing_key: str) -> None:
    wanted = sorted({_name(queue) for queue in queues})
    if found == wanted:
        return
    missing, more = sorted({*wanted} - {*found}), sorted({*found} - {*wanted})
    what = f"exchange {_name(exchange)!r}, key {routing_key!r}: routed to {found}"
    raise AssertionError(f"{what}, wanted {wanted} (missing {missing}, not wanted {more})")


def messages(broker: Broker, queue: str | Queue) -> list[Message]:
    """Return what is ready in a queue, in the order of delivery, without taking it: nothing changes in the queue.

    They compare equal to the messages published, `mandatory` aside (it is not kept: False). Unacked messages, and
    those that wait to be tried again, are not among them. Made for tests: it reads the whole queue, and not in one
    step. Raises NotFound, BrokerConnectionError.
    """
    name = name_of("queue", queue)
    broker.open()
    entries = _ready(name, broker._link.replies(*_commands(broker, name)))
    bodies = broker._link.replies(*_bodies(broker, entries)) if _shared(entries) else []
    return _messages(entries, bodies)


async def async_messages(broker: AsyncBroker, queue: str | Queue) -> list[Message]:
    """Do the same with an AsyncBroker."""
    name = name_of("queue", queue)
    await broker.open()
    entries = _ready(name, await broker._link.replies(*_commands(broker, name)))
    bodies = await broker._link.replies(*_bodies(broker, entries)) if _shared(entries) else []
    return _messages(entries, bodies)


def _commands(broker: Broker | AsyncBroker, queue: str) -> list[list[bytes | str | int]]:
    stream = broker._link.keys.stream(queue.encode())
    return [["XRANGE", stream, "-", "+"], ["XPENDING", stream, "g", "-", "+", _MOST_PENDING]]


def _ready(queue: str, replies: list[Any]) -> list[list[bytes]]:
    """Return the fields of what is ready."""
    entries, pending = replies
    if isinstance(pending, RedisError):
        raise NotFound(kind="queue", name=queue) from pending
    unacked = {row[0] for row in pending if row[1] != _GIVEN_BACK}
    return [fields for entry_id, fields in entries if entry_id not in unacked]


def _shared(entries: list[list[bytes]]) -> list[bytes]:
    """Return the number of each large body that entries point to (lua/lib/bodies.lua)."""
    return [fields[5].partition(b":")[0] for fields in entries if fields[4:5] == [b"s"]]


def _bodies(broker: Broker | AsyncBroker, entries: list[list[bytes]]) -> list[list[bytes | str | int]]:
    return [["GET", broker._link.keys.body(share)] for share in _shared(entries)]


def _messages(entries: list[list[bytes]], bodies: list[Any]) -> list[Message]:
    """Put them together; what has left its queue since, and its body with it, is not ready any more."""
    stored = dict(zip(_shared(entries), bodies, strict=True))
    found = [(fields[1], stored.get(*_shared([fields])) if _shared([fields]) else fields[3]) for fields in entries]
    return [_message(envelope, body) for envelope, body in found if body is not None]


def _message(envelope: bytes, body: bytes) -> Message:
    exchange, routing_key, properties, headers = decode_envelope(envelope)
    given: Any = decode_table(properties)
    return Message(body, exchange=exchange, routing_key=routing_key, headers=decode_table(headers), **given)


def drain(broker: Broker, queue: str | Queue) -> list[Delivery]:
    """Take and acknowledge all that is ready in a queue, and return it. Raises NotFound, ResourceLocked."""
    return list(iter(lambda: broker.get(queue), None))


async def async_drain(broker: AsyncBroker, queue: str | Queue) -> list[AsyncDelivery]:
    """Do the same with an AsyncBroker."""
    taken: list[AsyncDelivery] = []
    while (delivery := await broker.get(queue)) is not None:
        taken.append(delivery)
    return taken


def _name(value: str | Queue | Exchange) -> str:
    return value if isinstance(value, str) else value.name
