"""Listings, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rexchange import records
from rexchange.codec import decode_table, read_netstring
from rexchange.protocol.call import Call, Plan, Reply

if TYPE_CHECKING:
    from rexchange.keyspace import Keys
    from rexchange.topology import Binding, Exchange, Queue

PER_PAGE = 100
"""Entries of one page: listing 10,000 queues never stalls the server."""
QUEUE_ROW = 6
"""Values of a queue in a page: its name, its record, four counts."""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue in a listing. Counts are -1 where its stream is broken."""

    queue: Queue
    ready: int
    unacked: int
    consumers: int
    waiting: int = 0
    """Those that wait to be tried again; neither ready nor unacked."""

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.queue.name


@dataclass(frozen=True, slots=True)
class ConsumerInfo:
    """A consumer in a listing. `name` is its name in Redis, `tag` the one its user knows."""

    name: str
    tag: str
    queues: list[str]
    session: str
    ack_timeout: timedelta
    managed: bool
    prefetch: int
    priority: int
    auto_ack: bool
    client: str


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of a vhost; who only gets from a queue counts as a consumer."""

    sessions: int
    consumers: int
    queues: int
    exchanges: int
    lanes: int


def status() -> Call[Status]:
    """Count."""
    return Call("status", (), lambda reply: Status(*reply))


def pages(kind: str, width: int) -> Plan[dict[bytes, list[Reply]]]:
    """Return all rows by name; a name that a rehash shows twice counts once."""
    found: dict[bytes, list[Reply]] = {}
    cursor: bytes = b"0"
    while True:
        reply = yield Call("inspect", (kind, cursor, PER_PAGE), list)
        for at in range(1, len(reply), width):
            found[reply[at]] = reply[at + 1 : at + width]
        cursor = reply[0]
        if cursor == b"0":
            return found


def exchanges(keys: Keys) -> Plan[list[Exchange]]:
    """List all exchanges but the default one, by name."""
    rows = yield from pages("exchanges", 2)
    return [records.decode_exchange(name, row[0], key=keys.exchanges) for name, row in sorted(rows.items())]


def queues(keys: Keys) -> Plan[list[QueueInfo]]:
    """List all queues with their counts, by name."""
    rows = yield from pages("queues", QUEUE_ROW)
    found: list[QueueInfo] = []
    for name, (record, ready, unacked, consumers, waiting) in sorted(rows.items()):
        queue = records.decode_queue(name, record, key=keys.queues, message_count=ready, consumer_count=consumers)
        found.append(QueueInfo(queue, ready, unacked, consumers, waiting))
    return found


def bindings(keys: Keys, sources: list[str]) -> Plan[list[Binding]]:
    """List the bindings of these exchanges."""
    found: list[Binding] = []
    for source in sources:
        rows = yield from pages(f"bindings:{source}", 2)
        key = keys.bindings(source.encode())
        found += [
            records.decode_binding(source.encode(), binding_id, row[0], key=key)
            for binding_id, row in sorted(rows.items())
        ]
    return found


def consumers() -> Plan[list[ConsumerInfo]]:
    """List all consumers; those that only `get` are not among them."""
    rows = yield from pages("consumers", 2)
    return [consumer(name, row[0]) for name, row in sorted(rows.items()) if row[0].split(b";", 2)[1] != b"g"]


def consumer(name: bytes, record: bytes) -> ConsumerInfo:
    """Read the record of a consumer; one that is gone has an empty one, and only its name is known."""
    if not record:
        record = b"0;g;0;0;0:0:"
    timeout_ms, kind, prefetch, priority, rest = record.split(b";", 4)
    what = "the record of a consumer"
    packed, at = read_netstring(rest, 0, what)
    session, at = read_netstring(rest, at, what)
    info = decode_table(rest[at:], what)
    return ConsumerInfo(
        name=name.decode(),
        tag=str(info.get("tag", "")),
        queues=[queue for _, queue in records.unpack_destinations(packed)],
        session=session.decode(),
        ack_timeout=timedelta(milliseconds=int(timeout_ms)),
        managed=kind == b"m",
        prefetch=int(prefetch),
        priority=int(priority),
        auto_ack=info.get("auto_ack") is True,
        client=str(info.get("client", "")),
    )
