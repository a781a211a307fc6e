# Generated from tests/conformance/async_/test_hooks_settle.py by `python tools/unasync.py`. Do not edit.
"""Hooks are told of every delivery that a settle settles, before and after; and after every `get`, too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Hooks, Message
from rexchange.errors import AlreadySettled, StaleDelivery
from rexchange.testing import wait_until
from tests.conformance.sync_.support import Connect


class Watcher(Hooks):
    """Writes down what it is told of deliveries."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.refusing = False

    def before_deliver(self, delivery: Any) -> None:
        self.told.append(("before_deliver", delivery.body))

    def after_deliver(self, delivery: Any) -> None:
        self.told.append(("after_deliver", delivery.body))

    def before_settle(self, consumer_tag: str, tags: Sequence[int], kind: str) -> None:  # noqa: ARG002 - only one
        self.told.append(("before_settle", list(tags), kind))
        if self.refusing:
            raise RuntimeError("not now")

    def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: str, stale: Sequence[int]) -> None:  # noqa: ARG002 - the same
        self.told.append(("after_settle", list(tags), kind, list(stale)))

    def of(self, word: str) -> list[tuple[Any, ...]]:
        """Return what was told of delivering, or of settling."""
        return [each for each in self.told if word in each[0]]


@pytest.fixture
def watcher() -> Watcher:
    """Return the hooks of `watched`."""
    return Watcher()


@pytest.fixture
def watched(connect: Connect, watcher: Watcher) -> Broker:
    """Return a broker with hooks and a queue of three messages."""
    broker = connect(hooks=watcher)
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(1, 4)])
    return broker


# --- settling several


@pytest.mark.parametrize("wait", [True, False])
def test_multiple_tells_of_all_that_it_settles(watched: Broker, watcher: Watcher, wait: bool) -> None:
    with watched.consume("q", auto_ack=False) as consumer:
        seen = [next(consumer) for _ in range(3)]
        seen[1].ack(multiple=True, wait=wait)
        wait_until(lambda: len(watcher.of("settle")) == 2)

    assert watcher.of("settle") == [("before_settle", [1, 2], "ack"), ("after_settle", [1, 2], "ack", [])]


def test_tag_0_tells_of_all_that_was_handed_out(watched: Broker, watcher: Watcher) -> None:
    with watched.consume("q", auto_ack=False) as consumer:
        next(consumer)
        next(consumer)
        consumer.nack(0, requeue=False, multiple=True, wait=True)
        consumer.ack(0, multiple=True, wait=True)

    assert watcher.of("settle") == [("before_settle", [1, 2], "reject"), ("after_settle", [1, 2], "reject", [])]


def test_auto_ack_tells_of_all_that_was_read(watched: Broker, watcher: Watcher) -> None:
    with watched.consume("q", timeout=0) as consumer:
        next(consumer)
        before, after = watcher.of("settle")[:2]

    assert (before, after) == (("before_settle", [1, 2, 3], "ack"), ("after_settle", [1, 2, 3], "ack", []))


def test_what_cannot_be_settled_is_not_told(watched: Broker, watcher: Watcher) -> None:
    with watched.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        delivery.ack(wait=True)
        for wait in (True, False):
            with pytest.raises(AlreadySettled):
                delivery.ack(wait=wait)

    assert len(watcher.of("settle")) == 2


@pytest.mark.parametrize("multiple", [True, False])
def test_what_the_hook_refuses_stays_unsettled(watched: Broker, watcher: Watcher, multiple: bool) -> None:
    with watched.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        watcher.refusing = True
        for wait in (True, False):
            with pytest.raises(RuntimeError, match="not now"):
                delivery.ack(multiple=multiple, wait=wait)
        watcher.refusing = False
        delivery.ack(multiple=multiple, wait=True)


# --- get


def test_get_tells_when_its_delivery_is_settled(watched: Broker, watcher: Watcher) -> None:
    first, second, third = [watched.get("q", auto_ack=False) for _ in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    assert watcher.of("after_deliver") == []

    third.nack()
    assert watcher.of("after_deliver") == [("after_deliver", b"3")]
    second.ack(multiple=True)
    assert watcher.of("after_deliver") == [("after_deliver", body) for body in (b"3", b"1", b"2")]
    with pytest.raises(AlreadySettled):
        first.ack()
    assert len(watcher.of("after_deliver")) == 3


def test_get_with_auto_ack_tells_at_once(watched: Broker, watcher: Watcher) -> None:
    watched.get("q")

    assert watcher.of("_deliver") == [("before_deliver", b"1"), ("after_deliver", b"1")]


def test_get_tells_of_a_settle_that_came_too_late(connect: Connect, watcher: Watcher) -> None:
    slow = connect(hooks=watcher, ack_timeout=timedelta(milliseconds=50))
    slow.declare_queue("q")
    slow.publish(b"1", routing_key="q")
    delivery = slow.get("q", auto_ack=False)
    assert delivery is not None

    def given_back() -> bool:
        slow.reap()
        return (slow.queues())[0].ready == 1

    wait_until(given_back)
    with pytest.raises(StaleDelivery):
        delivery.ack()

    assert watcher.of("_deliver") == [("before_deliver", b"1"), ("after_deliver", b"1")]


@pytest.mark.parametrize("ending", ["close", "delete"])
def test_what_get_handed_out_and_nobody_settled_is_told_in_the_end(
    url: str, vhost: str, watcher: Watcher, ending: str
) -> None:
    with Broker(url, vhost=vhost, hooks=watcher) as broker:
        broker.declare_queue("q")
        broker.publish(b"1", routing_key="q")
        broker.get("q", auto_ack=False)
        assert watcher.of("after_deliver") == []
        if ending == "delete":
            broker.delete_queue("q")
            assert watcher.of("after_deliver") == [("after_deliver", b"1")]

    assert watcher.of("after_deliver") == [("after_deliver", b"1")]
