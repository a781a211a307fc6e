"""Retries against a model, on a clock that only the test moves: in whatever order, both hold the same."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rexchange import Broker, Consumer, Delivery
from rexchange.keyspace import Keys
from rexchange.testing import forget, messages
from tests.support.clock import Clock, controlled
from tests.support.keys import Check
from tests.support.servers import Bare


@dataclass(frozen=True)
class Policy:
    """A retry policy as the book says it: the delay after each try, in ms; the last one repeats up to `tries`."""

    options: dict[str, Any]
    delays: tuple[int, ...]
    tries: int
    jitter: float = 0.0
    limit: int = 1_000_000

    def delay(self, count: int) -> int:
        return self.delays[min(count, len(self.delays)) - 1]


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


POLICIES = (
    Policy({"retry_delays": seconds(1, 0.001, 5)}, (1000, 1, 5000), 4),
    Policy({"retry_delays": seconds(2), "retry_tries": 3, "retry_jitter": 0.5}, (2000,), 3, 0.5),
    Policy(
        {"retry_first": timedelta(seconds=1), "retry_factor": 3, "retry_longest": timedelta(seconds=8)}
        | {"retry_tries": 5, "retry_jitter": 0},
        (1000, 3000, 8000),
        5,
    ),
    Policy(
        {"retry_delays": seconds(1), "retry_tries": 9, "queue_type": "quorum", "delivery_limit": 2}, (1000,), 9, 0, 2
    ),
)


@dataclass(eq=False)
class Stored:
    """A message in the queue: its place, how often it was handed out, and while it waits its id and when it is due."""

    place: int
    body: bytes
    count: int = 0
    id: str = ""
    due_ms: int = 0


@dataclass(eq=False)
class Held:
    stored: Stored
    delivery: Delivery
    consumer: Consumer | None


@dataclass
class Model:
    """What the queue and its dead-letter queue should hold."""

    ready: list[Stored] = field(default_factory=list[Stored])
    held: list[Held] = field(default_factory=list[Held])
    waiting: list[Stored] = field(default_factory=list[Stored])
    dead: list[bytes] = field(default_factory=list[bytes])

    def back(self, policy: Policy, stored: Stored) -> None:
        """Return a message to its place, unless that is once too often."""
        if stored.count > policy.limit:
            self.dead.append(stored.body)
        else:
            self.ready.append(stored)
            self.ready.sort(key=lambda each: each.place)


class Machine(RuleBasedStateMachine):
    """Does the same to both."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.vhost = f"model-{secrets.token_hex(8)}"
        self.clock = Clock(self.url, self.vhost)
        self.broker = Broker(self.url, vhost=self.vhost, session_timeout=timedelta(days=30))
        self.model = Model()
        self.policy = POLICIES[0]
        self.serial = 0

    @initialize(policy=st.sampled_from(POLICIES))
    def declare(self, policy: Policy) -> None:
        self.policy = policy
        self.broker.declare_queue("dead")
        dead: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
        self.broker.declare_queue("q", **policy.options, **dead)
        self.publish(5)

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.serial += 1
            self.model.ready.append(Stored(self.serial, b"%d" % self.serial))
            self.broker.publish(b"%d" % self.serial, routing_key="q")

    def _took(self, delivery: Delivery, consumer: Consumer | None) -> None:
        stored = self.model.ready.pop(0)
        stored.count += 1
        assert (delivery.body, delivery.delivery_count) == (stored.body, stored.count)
        self.model.held.append(Held(stored, delivery, consumer))

    @precondition(lambda self: self.model.ready)
    @rule()
    def get(self) -> None:
        delivery = self.broker.get("q", auto_ack=False)
        if delivery is None:
            assert self.model.ready == []
        else:
            self._took(delivery, None)

    @precondition(lambda self: self.model.ready)
    @rule(prefetch=st.integers(1, 3), data=st.data())
    def work_and_die(self, prefetch: int, data: st.DataObject) -> None:
        """A consumer takes some, retries the oldest of them, and ends with the rest unsettled: they go back."""
        with self.broker.consume("q", auto_ack=False, prefetch=prefetch, timeout=0) as consumer:
            taken = len(list(consumer_of(consumer, self._took)))
            assert taken == min(prefetch, taken + len(self.model.ready))
            held = [each for each in self.model.held if each.consumer is consumer]
            if held:
                last = data.draw(st.integers(0, len(held)))
                if last:
                    consumer.nack(held[last - 1].delivery.delivery_tag, retry=True, multiple=True, wait=True)
                self._retried(held[:last])
        for each in held[last:] if held else []:
            self.model.held.remove(each)
            self.model.back(self.policy, each.stored)

    def _retried(self, several: list[Held]) -> None:
        found = {each.id: each for each in self.broker.waiting("q")}
        new = sorted(found.keys() - {stored.id for stored in self.model.waiting}, key=by_place)
        for held in several:
            self.model.held.remove(held)
            stored = held.stored
            if stored.count >= self.policy.tries or stored.count > self.policy.limit:
                self.model.dead.append(stored.body)
                continue
            waiting = found[new.pop(0)]
            assert waiting.tries == stored.count
            stored.id, stored.due_ms = waiting.id, round(waiting.due.timestamp() * 1000)
            delay, spread = self.policy.delay(stored.count), self.policy.jitter * self.policy.delay(stored.count)
            assert delay - spread <= stored.due_ms - self.clock.now_ms <= delay + spread
            self.model.waiting.append(stored)
        assert new == []

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), verdict=st.sampled_from(["retry", "retry", "retry", "ack", "nack", "reject"]))
    def settle(self, data: st.DataObject, verdict: str) -> None:
        held = self.model.held[data.draw(st.integers(0, len(self.model.held) - 1))]
        if verdict == "retry":
            held.delivery.nack(retry=True, wait=True)
            self._retried([held])
            return
        self.model.held.remove(held)
        if verdict == "ack":
            held.delivery.ack(wait=True)
        elif verdict == "nack":
            held.delivery.nack(wait=True)
            self.model.back(self.policy, held.stored)
        else:
            held.delivery.reject(wait=True)
            self.model.dead.append(held.stored.body)

    @precondition(lambda self: self.model.waiting)
    @rule(ms=st.sampled_from([1, 500, 999, 1000, 2000, 5000, 8000]))
    def advance(self, ms: int) -> None:
        self.clock.advance(ms / 1000)
        self.broker.reap()
        self._due(self.clock.now_ms)

    def _due(self, now_ms: int) -> None:
        for stored in sorted(self.model.waiting, key=lambda each: (each.due_ms, each.place)):
            if stored.due_ms <= now_ms:
                self.model.waiting.remove(stored)
                self.model.back(self.policy, stored)

    @precondition(lambda self: self.model.ready)
    @rule(times=st.integers(1, 5))
    def fail_again_and_again(self, times: int) -> None:
        """The oldest message is retried as soon as it may; with few rules none would come to its last try by chance."""
        for _ in range(times):
            self.get()
            if self.model.held:
                held = self.model.held[-1]
                held.delivery.nack(retry=True, wait=True)
                self._retried([held])
            self.advance(8000)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def retry_now(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.model.waiting), unique=True))
        assert self.broker.retry_now("q", [stored.id for stored in chosen]) == len(chosen)
        for stored in chosen:
            self.model.waiting.remove(stored)
            self.model.back(self.policy, stored)

    @precondition(lambda self: len(self.model.waiting) > 2)
    @rule(purge=st.booleans())
    def all_at_once(self, purge: bool) -> None:
        """All that waits is sent at once, or goes with a purge."""
        if not purge:
            assert self.broker.retry_now("q") == len(self.model.waiting)
            self._due(1 << 52)
            return
        assert self.broker.purge("q") == len(self.model.ready) + len(self.model.waiting)
        self.model.ready.clear()
        self.model.waiting.clear()
        self.publish(5)

    @invariant()
    def both_hold_the_same(self) -> None:
        model = self.model
        counts = {info.name: (info.ready, info.unacked, info.waiting) for info in self.broker.queues()}
        if not counts:
            return
        assert counts == {
            "dead": (len(model.dead), 0, 0),
            "q": (len(model.ready), len(model.held), len(model.waiting)),
        }
        assert [message.body for message in messages(self.broker, "q")] == [stored.body for stored in model.ready]
        assert sorted(message.body for message in messages(self.broker, "dead")) == sorted(model.dead)
        found = {each.id: round(each.due.timestamp() * 1000) for each in self.broker.waiting("q")}
        assert found == {stored.id: stored.due_ms for stored in model.waiting}

    def teardown(self) -> None:
        """Close, and look whether every key still has an owner; then remove them."""
        self.broker.close()
        self.clock.__exit__(None, None, None)
        ask, keys = Bare(self.url), Keys(self.vhost.encode())
        problems = Check(ask, keys).run()
        for key in ask.keys(keys.prefix):
            ask("UNLINK", key)
        ask.close()
        assert problems == []


def by_place(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def consumer_of(consumer: Consumer, took: Any) -> Iterator[Delivery]:
    for delivery in consumer:
        took(delivery, consumer)
        yield delivery


@pytest.fixture
def machine(tmp_path: Path, url: str) -> Iterator[type[Machine]]:
    """Yield the machine on a server."""
    with controlled(tmp_path):
        yield type("MachineOnAServer", (Machine,), {"url": url})
    forget(url.removeprefix("memory://"))


@pytest.mark.slow
def test_any_order_of_retries_leaves_what_the_model_holds(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
