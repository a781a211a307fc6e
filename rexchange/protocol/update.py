"""Changing a queue or an exchange that is there: it is read, worked out, and written if it is still what was read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from rexchange import policies, records, traits
from rexchange.protocol.call import Call, Reply, flag
from rexchange.topology import Exchange, Queue

if TYPE_CHECKING:
    from rexchange.keyspace import Keys
    from rexchange.protocol.policies import State

Thing = TypeVar("Thing", Queue, Exchange)


class Found(NamedTuple, Generic[Thing]):
    """What is there, and its record."""

    record: bytes
    value: Thing


def read_queue(name: str, session: str, keys: Keys) -> Call[Found[Queue]]:
    """Read a queue; raises NotFound, ResourceLocked."""

    def decode(reply: Reply) -> Found[Queue]:
        return Found(reply[1], records.decode_queue(name.encode(), reply[1], key=keys.queues))

    return Call("declare_queue", (session, name, 1, 0, b"", b"", b"", 0, b"0"), decode)


def read_exchange(name: str, keys: Keys) -> Call[Found[Exchange]]:
    """Read an exchange; raises NotFound."""

    def decode(reply: Reply) -> Found[Exchange]:
        return Found(reply[1], records.decode_exchange(name.encode(), reply[1], key=keys.exchanges))

    return Call("declare_exchange", (name, 1, b"", b"", b"0"), decode)


def update_queue(found: Found[Queue], wanted: Queue, session: str, state: State) -> Call[bool]:
    """Write a queue with other arguments; False: it is another one by now. PoliciesChanged as for a declare."""
    # An exclusive one is stored as not durable; its declare said something else, which nobody needs any more.
    head, tail = records.encode_queue(replace(wanted, owner=found.value.owner))
    record = b";".join((head, found.value.incarnation.encode(), tail))
    extra = traits.of_queue(wanted, policies.definition(state.policies, wanted))
    return Call("update", (session, b"q", wanted.name, found.record, record, extra, state.number), flag)


def update_exchange(found: Found[Exchange], wanted: Exchange, state: State) -> Call[bool]:
    """Write an exchange with other arguments; as `update_queue`."""
    head, tail = records.encode_exchange(wanted, policies.alternate_exchange(state.policies, wanted))
    generation = found.record.split(b";", 2)[1]
    record = b";".join((head, generation, tail))
    return Call("update", (b"", b"x", wanted.name, found.record, record, b"", state.number), flag)
