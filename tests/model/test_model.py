"""The broker against a model of dicts: whatever is done in whatever order, both hold the same in the same order."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rexchange import Broker, Consumer, Delivery, Message
from rexchange.keyspace import Keys
from rexchange.testing import forget, messages
from tests.support.keys import Check
from tests.support.servers import Bare

QUEUES = ("one", "two", "three")
EXCHANGES = ("amq.direct", "amq.fanout", "amq.topic")
KEYS = ("a", "a.b", "", "b")
BINDING_KEYS = (*KEYS, "a.*", "#", "*")

queues = st.sampled_from(QUEUES)
exchanges = st.sampled_from(EXCHANGES)


def matches(exchange: str, binding_key: str, key: str) -> bool:
    """Route as the book says; the topic patterns are few enough to be written down."""
    if exchange == "amq.direct":
        return binding_key == key
    if exchange == "amq.fanout":
        return True
    words = key.split(".") if key else []
    known = {"#": True, "*": len(words) == 1, "a.*": len(words) == 2 and words[0] == "a"}
    return known.get(binding_key, binding_key == key)


@dataclass(eq=False)
class Stored:
    """A message in a queue: its place, and how often it was handed out."""

    place: int
    body: bytes
    count: int = 0


@dataclass(eq=False)
class Held:
    """A delivery that was handed out and not settled; `consumer` is None where it came by `get`."""

    queue: str
    stored: Stored
    delivery: Delivery
    consumer: Consumer | None


@dataclass
class Model:
    """What the vhost should hold."""

    ready: dict[str, list[Stored]] = field(default_factory=dict[str, list[Stored]])
    bindings: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    held: list[Held] = field(default_factory=list[Held])
    next_place: int = 0

    def targets(self, exchange: str, key: str) -> set[str]:
        """Return the queues that a message reaches."""
        if exchange == "":
            return {key} & {*self.ready}
        return {queue for queue, source, bound in self.bindings if source == exchange and matches(exchange, bound, key)}

    def publish(self, exchange: str, key: str, body: bytes) -> int:
        """Put a message in its queues."""
        reached = self.targets(exchange, key)
        for queue in reached:
            self.next_place += 1
            self.ready[queue].append(Stored(self.next_place, body))
        return len(reached)

    def give_back(self, held: Held) -> None:
        """Return a message to its place."""
        self.held.remove(held)
        self.ready[held.queue].append(held.stored)
        self.ready[held.queue].sort(key=lambda stored: stored.place)

    def delete(self, queue: str) -> int:
        """Delete a queue with all that is in it."""
        self.bindings = {binding for binding in self.bindings if binding[0] != queue}
        self.held = [held for held in self.held if held.queue != queue]
        return len(self.ready.pop(queue, []))


class Machine(RuleBasedStateMachine):
    """Does the same to both."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.vhost = f"model-{secrets.token_hex(8)}"
        self.broker = Broker(self.url, vhost=self.vhost)
        self.model = Model()
        self.consumers: list[Consumer] = []
        self.serial = 0

    @rule(queue=queues)
    def declare(self, queue: str) -> None:
        declared = self.broker.declare_queue(queue)
        assert declared.message_count == len(self.model.ready.setdefault(queue, []))

    @rule(queue=queues)
    def delete(self, queue: str) -> None:
        assert self.broker.delete_queue(queue) == self.model.delete(queue)

    @precondition(lambda self: self.model.ready)
    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        queue = data.draw(st.sampled_from(sorted(self.model.ready)))
        assert self.broker.purge(queue) == len(self.model.ready[queue])
        self.model.ready[queue].clear()

    @precondition(lambda self: self.model.ready)
    @rule(data=st.data(), exchange=exchanges, key=st.sampled_from(BINDING_KEYS))
    def bind(self, data: st.DataObject, exchange: str, key: str) -> None:
        queue = data.draw(st.sampled_from(sorted(self.model.ready)))
        self.broker.bind(queue, exchange, key)
        self.model.bindings.add((queue, exchange, key))

    @rule(queue=queues, exchange=exchanges, key=st.sampled_from(BINDING_KEYS))
    def unbind(self, queue: str, exchange: str, key: str) -> None:
        self.broker.unbind(queue, exchange, key)
        self.model.bindings.discard((queue, exchange, key))

    @rule(
        addresses=st.lists(
            st.one_of(st.tuples(exchanges, st.sampled_from(KEYS)), st.tuples(st.just(""), queues)),
            min_size=1,
            max_size=4,
        )
    )
    def publish(self, addresses: list[tuple[str, str]]) -> None:
        group = []
        for exchange, key in addresses:
            self.serial += 1
            group.append(Message(b"%d" % self.serial, exchange=exchange, routing_key=key))
        wanted = [self.model.publish(message.exchange, message.routing_key, message.body) for message in group]
        assert self.broker.publish_many(group) == wanted

    def _took(self, queue: str, delivery: Delivery, consumer: Consumer | None) -> None:
        stored = self.model.ready[queue].pop(0)
        stored.count += 1
        assert (delivery.body, delivery.delivery_count, delivery.redelivered) == (
            stored.body,
            stored.count,
            stored.count > 1,
        )
        self.model.held.append(Held(queue, stored, delivery, consumer))

    @precondition(lambda self: self.model.ready)
    @rule(data=st.data())
    def get(self, data: st.DataObject) -> None:
        queue = data.draw(st.sampled_from(sorted(self.model.ready)))
        delivery = self.broker.get(queue, auto_ack=False)
        if delivery is None:
            assert self.model.ready[queue] == []
        else:
            self._took(queue, delivery, None)

    @precondition(lambda self: self.model.ready and len(self.consumers) < 4)
    @rule(data=st.data(), prefetch=st.integers(1, 3))
    def consume(self, data: st.DataObject, prefetch: int) -> None:
        queue = data.draw(st.sampled_from(sorted(self.model.ready)))
        consumer = self.broker.consume(queue, auto_ack=False, prefetch=prefetch, timeout=0)
        consumer.open()
        self.consumers.append(consumer)
        wanted = min(prefetch, len(self.model.ready[queue]))
        taken = list(consumer)
        assert len(taken) == wanted
        for delivery in taken:
            self._took(queue, delivery, consumer)
        consumer.cancel()

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def close_consumer(self, data: st.DataObject) -> None:
        consumer = self.consumers.pop(data.draw(st.integers(0, len(self.consumers) - 1)))
        consumer.close()
        for held in [held for held in self.model.held if held.consumer is consumer]:
            self.model.give_back(held)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), verdict=st.sampled_from(["ack", "nack", "reject", "requeue"]))
    def settle(self, data: st.DataObject, verdict: str) -> None:
        held = self.model.held[data.draw(st.integers(0, len(self.model.held) - 1))]
        if verdict == "ack":
            held.delivery.ack(wait=True)
        elif verdict == "nack":
            held.delivery.nack(wait=True)
        else:
            held.delivery.reject(requeue=verdict == "requeue", wait=True)
        if verdict in ("nack", "requeue"):
            self.model.give_back(held)
        else:
            self.model.held.remove(held)

    @invariant()
    def both_hold_the_same(self) -> None:
        found = {info.queue.name: (info.ready, info.unacked) for info in self.broker.queues()}
        wanted = {
            queue: (len(ready), sum(held.queue == queue for held in self.model.held))
            for queue, ready in self.model.ready.items()
        }
        assert found == wanted
        for queue, ready in self.model.ready.items():
            assert [message.body for message in messages(self.broker, queue)] == [stored.body for stored in ready]

    def teardown(self) -> None:
        """Close, and look whether every key still has an owner; then remove them."""
        for consumer in self.consumers:
            consumer.close()
        self.broker.close()
        ask, keys = Bare(self.url), Keys(self.vhost.encode())
        problems = Check(ask, keys).run()
        for key in ask.keys(keys.prefix):
            ask("UNLINK", key)
        ask.close()
        assert problems == []


@pytest.fixture
def machine(url: str) -> Iterator[type[Machine]]:
    """Yield the machine on a server."""
    yield type("MachineOnAServer", (Machine,), {"url": url})
    forget(url.removeprefix("memory://"))


@pytest.mark.slow
def test_any_order_of_operations_leaves_what_the_model_holds(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
