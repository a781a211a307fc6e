"""Policies: reading and setting them, and writing out what follows of them for all queues and exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rexchange import policies, records, traits
from rexchange.protocol.call import Call, Plan, Reply, number
from rexchange.protocol.inspect import QUEUE_ROW, pages

if TYPE_CHECKING:
    from rexchange.keyspace import Keys
    from rexchange.policies import Policy
    from rexchange.protocol.call import Arg

PER_CALL = 100
"""So many queues or exchanges are written in one call."""


class State(NamedTuple):
    """All policies, the number of this state, and that of the state that was last written out."""

    number: bytes = b"0"
    applied: bytes = b"0"
    policies: tuple[Policy, ...] = ()


NONE = State()
"""That of a vhost which never had any."""


def read() -> Call[State]:
    """Read all policies."""
    return Call("policies", ("read", b"", b""), _state)


def put(policy: Policy) -> Call[State]:
    """Set one; raises what `policies.check` does."""
    record = policies.check(policy)
    return Call("policies", ("set", policy.name, record), _state)


def delete(name: str) -> Call[State]:
    """Delete one; one that is missing is no error."""
    return Call("policies", ("delete", name, b""), _state)


def applied(state: State) -> Call[State]:
    """Note that all that follows of this state is written out."""
    return Call("policies", ("applied", state.number, b""), _state)


def _state(reply: Reply) -> State:
    state, applied, flat = reply
    found = [policies.decode(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
    return State(state, applied, tuple(sorted(found, key=lambda policy: policy.name)))


def write_out(state: State, keys: Keys) -> Plan[State]:
    """Write what the policies mean for each queue and exchange. PoliciesChanged: they are others by now."""
    items: list[tuple[Arg, ...]] = []
    queues = yield from pages("queues", QUEUE_ROW)
    for name, row in sorted(queues.items()):
        queue = records.decode_queue(name, row[0], key=keys.queues)
        items.append((b"q", name, row[0], traits.of_queue(queue, policies.definition(state.policies, queue))))
    exchanges = yield from pages("exchanges", 2)
    for name, row in sorted(exchanges.items()):
        exchange = records.decode_exchange(name, row[0], key=keys.exchanges)
        alternate = policies.alternate_exchange(state.policies, exchange)
        items.append((b"x", name, row[0], records.encode_alternate(alternate)))
    for start in range(0, len(items), PER_CALL):
        page = items[start : start + PER_CALL]
        yield Call("apply", (state.number, *(arg for item in page for arg in item)), number)
    final: State = yield applied(state)
    return final
