# Generated from tests/conformance/async_/test_priority.py by `python tools/unasync.py`. Do not edit.
"""Queues with priorities (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.testing import drain, wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting


def fill(broker: Broker, *priorities: int | None, **options: Any) -> None:
    """Declare a queue with priorities up to 5, and publish messages of these; their bodies are numbers from 0."""
    broker.declare_queue("q", max_priority=5, **options)
    broker.publish_many(
        [Message(b"%d" % number, routing_key="q", priority=priority) for number, priority in enumerate(priorities)]
    )


def bodies(broker: Broker) -> list[bytes]:
    """Take all that is ready."""
    return [delivery.body for delivery in drain(broker, "q")]


def counts(broker: Broker) -> tuple[int, int]:
    """Return how many are ready and unacked in q."""
    (info,) = [info for info in broker.queues() if info.name == "q"]
    return info.ready, info.unacked


def test_the_highest_priority_goes_first_and_within_one_the_oldest(broker: Broker) -> None:
    fill(broker, 1, 3, 1, 5, 3, 0)

    assert bodies(broker) == [b"3", b"1", b"4", b"0", b"2", b"5"]


def test_no_priority_is_0(broker: Broker) -> None:
    fill(broker, None, 0, None, 1)

    assert bodies(broker) == [b"3", b"0", b"1", b"2"]


def test_a_priority_above_the_highest_is_the_highest(broker: Broker) -> None:
    fill(broker, 5, 255, 6, 4)

    deliveries = drain(broker, "q")

    assert [delivery.body for delivery in deliveries] == [b"0", b"1", b"2", b"3"]
    assert [delivery.properties.priority for delivery in deliveries] == [5, 255, 6, 4]  # as its publisher gave it


def test_a_queue_without_priorities_keeps_the_order_of_arrival(broker: Broker) -> None:
    broker.declare_queue("q", arguments={"x-max-priority": 0})
    broker.publish_many([Message(b"%d" % number, routing_key="q", priority=number) for number in range(3)])

    assert bodies(broker) == [b"0", b"1", b"2"]


def test_consumers_are_served_by_priority(broker: Broker) -> None:
    fill(broker, 0, 2, 1)
    with broker.consume("q", auto_ack=False, prefetch=2, timeout=0.05) as consumer:
        first = next(consumer)
        assert first.body == b"1"
        broker.publish(b"3", routing_key="q", priority=5)  # after 1 and 2, which were read already
        first.ack(wait=True)

        rest = [next(consumer), next(consumer)]
        assert [delivery.body for delivery in rest] == [b"2", b"3"]
        rest[-1].ack(multiple=True, wait=True)
        assert [delivery.body for delivery in consumer] == [b"0"]


def test_a_consumer_that_waits_is_woken(broker: Broker) -> None:
    fill(broker)
    with broker.consume("q", timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        wait_until(lambda: is_waiting(consumer))

        broker.publish(b"1", routing_key="q", priority=1)

        assert (waiting.result()).body == b"1"


def test_a_consumer_of_several_queues_gets_from_each_by_its_own_order(broker: Broker) -> None:
    fill(broker, 0, 5)
    broker.declare_queue("plain")
    broker.publish_many([Message(body, routing_key="plain") for body in (b"a", b"b")])

    with broker.consume(["q", "plain"], auto_ack=False, prefetch=4, timeout=0.05) as consumer:
        got = [(delivery.queue, delivery.body) for delivery in consumer]

    assert [body for queue, body in got if queue == "q"] == [b"1", b"0"]
    assert [body for queue, body in got if queue == "plain"] == [b"a", b"b"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_what_is_given_back_returns_to_its_place_in_its_priority(broker: Broker, order: tuple[int, ...]) -> None:
    fill(broker, 1, 3, 1, 3, 1)
    with broker.consume("q", auto_ack=False, prefetch=4, timeout=5) as consumer:
        deliveries = [next(consumer) for _ in range(4)]
        consumer.cancel()
        broker.publish(b"5", routing_key="q", priority=3)

        for number in order:
            deliveries[number].nack(wait=True)

    again = drain(broker, "q")
    assert [delivery.body for delivery in again] == [b"1", b"3", b"5", b"0", b"2", b"4"]
    assert [delivery.redelivered for delivery in again] == [True, True, False, True, True, False]


def test_what_was_read_ahead_returns_to_its_place_as_never_delivered(broker: Broker) -> None:
    fill(broker, 1, 3, 2)
    with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        assert (next(consumer)).body == b"1"

    again = drain(broker, "q")
    assert [(delivery.body, delivery.delivery_count) for delivery in again] == [(b"1", 2), (b"2", 1), (b"0", 1)]


def test_a_dead_session_gives_back_into_the_order(broker: Broker, connect: Connect) -> None:
    other = connect()
    fill(broker, 1, 3)
    assert other.get("q", auto_ack=False) is not None
    broker.publish(b"2", routing_key="q", priority=2)

    other.close()

    assert bodies(broker) == [b"1", b"2", b"0"]


def test_drop_head_takes_the_highest_priority_first(broker: Broker) -> None:
    fill(broker, 1, 5, 3, max_length=2)
    assert counts(broker) == (2, 0)

    assert bodies(broker) == [b"2", b"0"]


def test_a_requeue_that_overshoots_drops_the_highest_priority(broker: Broker) -> None:
    fill(broker, 5, 1, max_length=2)
    held = broker.get("q", auto_ack=False)
    assert held is not None
    broker.publish(b"2", routing_key="q", priority=3)

    held.nack()

    assert bodies(broker) == [b"2", b"1"]


def test_a_limit_of_bytes_drops_the_highest_priority_first(broker: Broker) -> None:
    fill(broker, 1, 5, 3, max_length_bytes=2)

    assert bodies(broker) == [b"2", b"0"]


def test_counts_purge_and_delete_know_what_is_ready(broker: Broker) -> None:
    fill(broker, *range(6), *range(6))
    held = [broker.get("q", auto_ack=False) for _ in range(3)]
    assert counts(broker) == (9, 3)
    back = held.pop()
    assert back is not None
    back.nack()
    assert counts(broker) == (10, 2)

    assert broker.purge("q") == 10

    assert counts(broker) == (0, 2)
    assert broker.get("q") is None
    last = held.pop()
    assert last is not None
    last.nack()
    assert broker.delete_queue("q") == 1


def test_a_purge_of_thousands_removes_all(broker: Broker) -> None:
    fill(broker)
    for _ in range(3):
        broker.publish_many([Message(b"", routing_key="q", priority=number % 6) for number in range(500)])

    assert broker.purge("q") == 1500


def test_an_ack_and_a_reject_take_a_message_out(broker: Broker) -> None:
    fill(broker, 1, 2, 3)
    with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        (next(consumer)).ack(wait=True)
        (next(consumer)).reject(wait=True)

    assert bodies(broker) == [b"0"]


def test_a_dead_letter_keeps_its_priority(broker: Broker) -> None:
    broker.declare_queue("first", max_length=0, dead_letter_exchange="", dead_letter_routing_key="q")
    fill(broker, 2)

    broker.publish(b"dead", routing_key="first", priority=3)

    assert bodies(broker) == [b"dead", b"0"]


def test_what_expires_in_any_priority_is_never_delivered(broker: Broker) -> None:
    broker.declare_queue("q", max_priority=5)
    broker.publish(b"high", routing_key="q", priority=5, expiration="20")
    broker.publish(b"low", routing_key="q", priority=1, expiration="20")
    broker.publish(b"lives", routing_key="q", priority=3)
    until = time.monotonic() + 0.03
    wait_until(lambda: time.monotonic() > until)

    assert bodies(broker) == [b"lives"]
    assert counts(broker) == (0, 0)


def test_what_was_acknowledged_on_receipt_and_not_shown_goes_back_into_its_priority(broker: Broker) -> None:
    fill(broker, 1, 5, 3)
    with broker.consume("q", prefetch=3, timeout=5) as consumer:
        assert (next(consumer)).body == b"1"

    assert bodies(broker) == [b"2", b"0"]


def test_the_highest_priority_is_the_argument_x_max_priority(broker: Broker) -> None:
    broker.declare_queue("q", max_priority=5)

    broker.declare_queue("q", arguments={"x-max-priority": 5})

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", max_priority=6)
    assert (caught.value.argument, caught.value.current, caught.value.wanted) == ("x-max-priority", 5, 6)


@pytest.mark.parametrize("value", [-1, 256, "5", 1.5, True, None])
def test_a_highest_priority_out_of_range_is_a_failed_precondition(broker: Broker, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", arguments={"x-max-priority": value})

    assert caught.value.argument == "x-max-priority"
    assert broker.queues() == []


@pytest.mark.parametrize("priority", [-1, 256, "5", True])
def test_a_priority_out_of_range_is_an_invalid_argument(broker: Broker, priority: Any) -> None:
    fill(broker)

    with pytest.raises(InvalidArgument):
        broker.publish(b"", routing_key="q", priority=priority)

    assert counts(broker) == (0, 0)


def test_a_ttl_holds_in_a_queue_with_priorities(broker: Broker) -> None:
    fill(broker, 1, 3, message_ttl=timedelta(milliseconds=800))
    assert counts(broker) == (2, 0)

    def expired() -> bool:
        return counts(broker) == (0, 0)

    wait_until(expired)
