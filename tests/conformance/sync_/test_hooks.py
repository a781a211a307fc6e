# Generated from tests/conformance/async_/test_hooks.py by `python tools/unasync.py`. Do not edit.
"""Hooks and counters: what an application may watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Hooks, Message
from rexchange.errors import NotFound
from rexchange.testing import messages, wait_until
from tests.conformance.sync_.support import Connect


class Watcher(Hooks):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def before_publish(self, messages: Sequence[Any]) -> None:
        self.told.append(("before_publish", [message.body for message in messages]))

    def after_publish(self, messages: Sequence[Any], counts: Sequence[int] | None, error: BaseException | None) -> None:
        self.told.append(("after_publish", len(messages), counts, type(error)))

    def before_deliver(self, delivery: Any) -> None:
        self.told.append(("before_deliver", delivery.body))

    def after_deliver(self, delivery: Any) -> None:
        self.told.append(("after_deliver", delivery.body))

    def before_settle(self, consumer_tag: str, tags: Sequence[int], kind: str) -> None:
        self.told.append(("before_settle", consumer_tag, list(tags), kind))

    def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: str, stale: Sequence[int]) -> None:
        self.told.append(("after_settle", consumer_tag, list(tags), kind, list(stale)))

    def of(self, *kinds: str) -> list[tuple[Any, ...]]:
        """Return what was told of these kinds."""
        return [each for each in self.told if each[0] in kinds]


def test_publishing_is_told_before_and_after(connect: Connect) -> None:
    watcher = Watcher()
    broker = connect(hooks=watcher)
    broker.declare_queue("q")

    broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="nobody")])

    assert watcher.told == [("before_publish", [b"1", b"2"]), ("after_publish", 2, [1, 0], type(None))]


def test_a_publish_that_failed_is_told_with_its_error(connect: Connect) -> None:
    watcher = Watcher()
    broker = connect(hooks=watcher)

    with pytest.raises(NotFound):
        broker.publish(b"1", exchange="missing")

    assert watcher.told == [("before_publish", [b"1"]), ("after_publish", 1, None, NotFound)]


def test_what_before_publish_raises_refuses_the_messages(connect: Connect) -> None:
    class Refuser(Hooks):
        def before_publish(self, messages: Sequence[Any]) -> None:
            raise RuntimeError(f"not {len(messages)} today")

    broker = connect(hooks=Refuser())
    broker.declare_queue("q")

    with pytest.raises(RuntimeError, match="not 1 today"):
        broker.publish(b"", routing_key="q")

    assert messages(broker, "q") == []


def test_deliveries_are_told_before_and_after_the_application_has_them(connect: Connect) -> None:
    watcher = Watcher()
    broker = connect(hooks=watcher)
    broker.declare_queue("q")
    broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="q")])

    with broker.consume("q", timeout=0) as consumer:
        for _ in consumer:
            pass

    assert watcher.of("before_deliver", "after_deliver") == [
        ("before_deliver", b"1"),
        ("after_deliver", b"1"),
        ("before_deliver", b"2"),
        ("after_deliver", b"2"),
    ]


@pytest.mark.parametrize("kind", ["ack", "nack", "reject"])
def test_a_settle_is_told_before_and_after(connect: Connect, kind: str) -> None:
    watcher = Watcher()
    broker = connect(hooks=watcher)
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")

    with broker.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        getattr(delivery, kind)(wait=True)

    before, after = watcher.of("before_settle", "after_settle")[:2]
    assert before == ("before_settle", consumer.tag, [delivery.delivery_tag], kind)
    assert after == ("after_settle", delivery.consumer_tag, [delivery.delivery_tag], kind, [])
    assert delivery.consumer_tag == consumer.tag


def test_a_stale_settle_is_told_as_stale(connect: Connect, broker: Broker) -> None:
    watcher = Watcher()
    slow = connect(hooks=watcher, ack_timeout=timedelta(milliseconds=150))
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")

    with slow.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)

        def given_back() -> bool:
            return (broker.queues())[0].ready == 1

        wait_until(given_back)
        delivery.ack()
        wait_until(lambda: watcher.of("after_settle"))

    tag = delivery.delivery_tag
    assert watcher.of("after_settle") == [("after_settle", consumer.tag, [tag], "ack", [tag])]


def test_what_get_fetched_is_told_by_its_queue(connect: Connect) -> None:
    """Tags begin anew in each consumer and each queue, so a tag alone would say nothing."""
    watcher = Watcher()
    broker = connect(hooks=watcher)
    for queue in ("one", "two"):
        broker.declare_queue(queue)
        broker.publish(b"", routing_key=queue)
        delivery = broker.get(queue, auto_ack=False)
        assert delivery is not None
        assert (delivery.consumer_tag, delivery.delivery_tag) == (f"amq.get.{queue}", 1)
        delivery.ack(wait=True)

    assert [told[1:3] for told in watcher.of("before_settle")] == [("amq.get.one", [1]), ("amq.get.two", [1])]


def test_counters_count(connect: Connect, broker: Broker) -> None:
    counted = connect()
    broker.declare_queue("q")
    counted.publish_many([Message(b"", routing_key="q")] * 3)

    with counted.consume("q", auto_ack=False, timeout=0.05) as consumer:
        first = next(consumer)
        first.nack(wait=True)
        for delivery in consumer:
            delivery.ack(wait=True)

    found = counted.counters.snapshot()
    assert found == {
        "published": 3,
        "delivered": 4,
        "settled": 4,
        "stale": 0,
        "redelivered": 1,
        "retries": 0,
        "reconnects": 0,
    }
