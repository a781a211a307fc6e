"""Declaring, binding, deleting, purging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexchange import policies, records, topology, traits
from rexchange.arguments import headers_match
from rexchange.codec import encode_table
from rexchange.errors import PreconditionFailed
from rexchange.keyspace import SCHEMA
from rexchange.protocol.call import Call, Plan, Reply, flag, number, raw
from rexchange.protocol.policies import NONE, State

if TYPE_CHECKING:
    from rexchange.keyspace import Keys
    from rexchange.topology import Binding, Exchange, Queue

BINDINGS_PER_CALL = 200
"""So many bindings are taken away in one call of a delete: about 2 ms of the server's time."""

PURGED_PER_CALL = 1000
"""So many messages are purged in one call: about 1 ms of the server's time."""


def open_vhost(epoch: bytes) -> Call[bytes]:
    """Open the vhost, made with `epoch` (random) where it is missing; returns its id."""
    predeclared: list[bytes] = []
    for name, exchange in topology.PREDECLARED.items():
        if name:
            predeclared += (name.encode(), *records.encode_exchange(exchange))
    return Call("open_vhost", (SCHEMA, epoch, *predeclared), raw, opens=True)


def declare_exchange(exchange: Exchange, keys: Keys, state: State = NONE, *, passive: bool = False) -> Call[Exchange]:
    """Declare; decoding raises PreconditionFailed where it is declared otherwise (AMQP exchange.declare).

    `state`: the policies, as far as the caller knows; where they are others PoliciesChanged is raised.
    """
    name = exchange.name.encode()
    head, tail = records.encode_exchange(exchange, policies.alternate_exchange(state.policies, exchange))

    def decode(reply: Reply) -> Exchange:
        existing = records.decode_exchange(name, reply[1], key=keys.exchanges)
        if not passive:
            topology.compare_exchange(existing, exchange)
        return existing

    return Call("declare_exchange", (name, int(passive), head, tail, state.number), decode)


def declare_queue(queue: Queue, session: str, keys: Keys, state: State = NONE, *, passive: bool = False) -> Call[Queue]:
    """Declare; decoding raises PreconditionFailed, ResourceLocked where it is another one (AMQP queue.declare).

    `state`: as for `declare_exchange`.
    """
    name = queue.name.encode()
    head, tail = records.encode_queue(queue)

    def decode(reply: Reply) -> Queue:
        _created, record, ready, _unacked, consumers = reply
        existing = records.decode_queue(name, record, key=keys.queues, message_count=ready, consumer_count=consumers)
        if not passive:
            topology.compare_queue(existing, queue)
        return existing

    extra = b"" if passive else traits.of_queue(queue, policies.definition(state.policies, queue))
    single = int(traits.is_single(queue))
    args = (session, name, int(passive), int(queue.exclusive), head, tail, extra, single, state.number)
    return Call("declare_queue", args, decode)


def bind(binding: Binding, session: str) -> Call[bool]:
    """Bind; returns whether the binding is new."""
    arguments = encode_table(binding.arguments, "arguments")  # first: it checks their types
    try:
        form = headers_match(binding.arguments, binding.source)
    except PreconditionFailed as error:
        # Only the server knows whether the source is a headers exchange; elsewhere x-match means nothing.
        form = b"?" + str(error).encode()
    kind, destination = _destination(binding)
    source = binding.source.encode()
    args = (session, source, kind, destination, records.encode_binding_id(binding), arguments, form)
    return Call("bind", args, flag)


def unbind(binding: Binding, session: str) -> Call[bool]:
    """Unbind; returns whether the binding was there."""
    kind, destination = _destination(binding)
    args = (session, binding.source.encode(), kind, destination, records.encode_binding_id(binding))
    return Call("unbind", args, flag)


def delete_exchange(name: str, *, if_unused: bool) -> Plan[bool]:
    """Delete; returns whether it was there."""
    left = -1
    while left == -1:
        left = yield Call("delete_exchange", (name, int(if_unused), BINDINGS_PER_CALL), number)
        if_unused = False  # its condition held before the first bindings went
    return left == 1


def delete_queue(name: str, session: str, *, if_unused: bool, if_empty: bool, idle: bool = False) -> Plan[int]:
    """Delete; returns how many ready messages went with it. `idle`: only when nothing is unacked either."""
    left = -1
    while left == -1:
        empty = 2 if idle else int(if_empty)
        args = (session, name, int(if_unused), empty, BINDINGS_PER_CALL)
        left = yield Call("delete_queue", args, number)
    return left


def purge(name: str, session: str) -> Plan[int]:
    """Purge what is ready now; returns how many. What is published meanwhile stays."""
    purged, bound = 0, b""
    while True:
        count, bound = yield Call("purge", (session, name, bound, PURGED_PER_CALL), _purged)
        if count == 0:
            return purged
        purged += count


def _purged(reply: Reply) -> tuple[int, bytes]:
    return reply[0], reply[1]


def _destination(binding: Binding) -> tuple[bytes, bytes]:
    return (b"q" if binding.destination_kind == "queue" else b"x"), binding.destination.encode()
