"""Delay and deduplication against a model, with a clock that the test moves."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rexchange import Broker, Message, Receipt
from rexchange.errors import NotFound
from rexchange.keyspace import Keys
from rexchange.testing import drain, forget, messages
from tests.support.clock import Clock, controlled
from tests.support.keys import Check
from tests.support.servers import Bare

QUEUES = ("one", "two")
delays = st.sampled_from([0, 1, 2, 5, 10_000, 60_000])  # ms
dedup = st.one_of(st.none(), st.tuples(st.sampled_from("ab"), st.sampled_from([1, 3, 10_000, 50_000])))


@dataclass
class Waiting:
    """A message that waits, and the receipt of its publish."""

    body: bytes
    queue: str
    due_ms: int


@dataclass
class Model:
    """What the vhost should hold."""

    now_ms: int
    ready: dict[str, list[bytes]] = field(default_factory=lambda: {queue: [] for queue in QUEUES})
    waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    #: Key -> end of its window, and the first one's receipt.
    fates: dict[str, tuple[int, Receipt]] = field(default_factory=dict[str, tuple[int, Receipt]])

    def known(self, key: str) -> Receipt | None:
        """Return the receipt of the first message with this key in its window."""
        end_ms, receipt = self.fates.get(key, (0, Receipt(0)))
        return receipt if end_ms > self.now_ms else None


class Machine(RuleBasedStateMachine):
    """Does the same to both."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.vhost = f"model-{secrets.token_hex(8)}"
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.stack.enter_context(controlled(Path(folder)))
        self.clock = self.stack.enter_context(Clock(self.url, self.vhost))
        self.broker = Broker(self.url, vhost=self.vhost, session_timeout=timedelta(days=30))
        for queue in QUEUES:
            self.broker.declare_queue(queue)
        self.model = Model(self.clock.now_ms)
        self.serial = 0
        self.gone: list[str] = []

    @rule(parts=st.lists(st.tuples(st.sampled_from(QUEUES), delays, dedup), min_size=1, max_size=3))
    def publish(self, parts: list[tuple[str, int, tuple[str, int] | None]]) -> None:
        group: list[Message] = []
        for queue, delay_ms, once in parts:
            self.serial += 1
            key, window_ms = once or (None, None)
            group.append(
                Message(
                    b"%d" % self.serial,
                    routing_key=queue,
                    delay=timedelta(milliseconds=delay_ms),
                    dedup_key=key,
                    dedup_window=None if window_ms is None else timedelta(milliseconds=window_ms),
                )
            )
        receipts = self.broker.publish_many(group)
        for message, (queue, delay_ms, once), receipt in zip(group, parts, receipts, strict=True):
            first = self.model.known(once[0]) if once else None
            assert receipt.duplicate == (first is not None)
            if first is not None:
                assert (receipt, receipt.schedule_id) == (first, first.schedule_id)
                continue
            if delay_ms:
                assert receipt.schedule_id not in self.model.waiting
                self.model.waiting[receipt.schedule_id] = Waiting(message.body, queue, self.model.now_ms + delay_ms)
            else:
                self.model.ready[queue].append(message.body)
            assert (receipt, bool(receipt.schedule_id)) == (int(not delay_ms), bool(delay_ms))
            if once:
                self.model.fates[once[0]] = (self.model.now_ms + once[1], receipt)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        schedule_id = data.draw(st.sampled_from(sorted(self.model.waiting)))
        assert self.broker.cancel_scheduled(schedule_id).body == self.model.waiting.pop(schedule_id).body
        for key, (_, first) in list(self.model.fates.items()):
            if first.schedule_id == schedule_id:
                del self.model.fates[key]  # what was not published leaves its key free
        self.gone.append(schedule_id)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def cancel_what_is_gone(self, data: st.DataObject) -> None:
        with pytest.raises(NotFound):
            self.broker.cancel_scheduled(data.draw(st.sampled_from(self.gone)))

    @rule(queue=st.sampled_from(QUEUES))
    def take(self, queue: str) -> None:
        assert sorted(each.body for each in drain(self.broker, queue)) == sorted(self.model.ready[queue])
        self.model.ready[queue].clear()

    @rule(ms=st.sampled_from([1, 2, 4, 9_999, 60_000]))
    def time_goes_on(self, ms: int) -> None:
        self.clock.advance(ms / 1000)
        self.model.now_ms = self.clock.now_ms
        self.broker.reap()
        for schedule_id, waiting in list(self.model.waiting.items()):
            if waiting.due_ms <= self.model.now_ms:
                self.model.ready[waiting.queue].append(waiting.body)
                del self.model.waiting[schedule_id]
                self.gone.append(schedule_id)

    @invariant()
    def both_hold_the_same(self) -> None:
        for queue, bodies in self.model.ready.items():
            # What was due in one step comes in no particular order.
            assert sorted(message.body for message in messages(self.broker, queue)) == sorted(bodies)
        found = {each.id: each.body for each in self.broker.scheduled()}
        assert found == {schedule_id: waiting.body for schedule_id, waiting in self.model.waiting.items()}

    def teardown(self) -> None:
        """Close, and look whether every key still has an owner; then remove them."""
        self.broker.close()
        ask, keys = Bare(self.url), Keys(self.vhost.encode())
        problems = Check(ask, keys).run()
        for key in ask.keys(keys.prefix):
            ask("UNLINK", key)
        ask.close()
        self.stack.close()
        assert problems == []


@pytest.fixture
def machine(url: str) -> Iterator[type[Machine]]:
    """Yield the machine on a server."""
    yield type("MachineOnAServer", (Machine,), {"url": url})
    forget(url.removeprefix("memory://"))


@pytest.mark.slow
def test_delay_and_deduplication_do_what_the_model_does(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
