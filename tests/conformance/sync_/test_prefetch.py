# Generated from tests/conformance/async_/test_prefetch.py by `python tools/unasync.py`. Do not edit.
"""Prefetch: never more unacked than that, over all queues of a consumer (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

import pytest

from rexchange import Broker, Message


def fill(broker: Broker, names: list[str], count: int) -> None:
    """Declare queues of so many messages each."""
    for name in names:
        broker.declare_queue(name)
        broker.publish_many([Message(b"%d" % number, routing_key=name) for number in range(count)])


def unacked(broker: Broker) -> int:
    """Return how many are unacked, as the server sees it."""
    return sum(info.unacked for info in broker.queues())


@pytest.mark.parametrize("names", [["q"], ["one", "two", "three"]])
@pytest.mark.parametrize("prefetch", [1, 7, 100])
def test_unacked_messages_never_exceed_the_prefetch(broker: Broker, prefetch: int, names: list[str]) -> None:
    fill(broker, names, 120 // len(names))
    seen = 0

    with broker.consume(names, auto_ack=False, prefetch=prefetch, timeout=0.05) as consumer:
        for delivery in consumer:
            seen += 1
            assert unacked(broker) <= prefetch
            if seen % 3:
                delivery.ack()
            elif not delivery.redelivered:
                delivery.nack()
            else:
                delivery.reject()

    assert seen >= 120
    assert unacked(broker) == 0


@pytest.mark.parametrize("names", [["q"], ["one", "two", "three"]])
def test_a_full_window_waits_for_a_settle(broker: Broker, names: list[str]) -> None:
    fill(broker, names, 6)

    with broker.consume(names, auto_ack=False, prefetch=4, timeout=0.05) as consumer:
        deliveries = [delivery for delivery in consumer]
        assert len(deliveries) == 4
        assert unacked(broker) == 4

        deliveries[0].ack()
        deliveries[1].ack()

        assert len([delivery for delivery in consumer]) == 2


def test_two_consumers_of_one_broker_have_a_window_each(broker: Broker) -> None:
    fill(broker, ["q"], 10)

    with (
        broker.consume("q", auto_ack=False, prefetch=2, timeout=0) as one,
        broker.consume("q", auto_ack=False, prefetch=3, timeout=0) as two,
    ):
        assert len([delivery for delivery in one]) == 2
        assert len([delivery for delivery in two]) == 3


def test_a_prefetch_of_0_is_2000(broker: Broker) -> None:
    fill(broker, ["q"], 1000)
    fill(broker, ["q"], 1000)
    fill(broker, ["q"], 10)

    with broker.consume("q", auto_ack=False, prefetch=0, timeout=0.05) as consumer:
        assert len([delivery for delivery in consumer]) == 2000

    (info,) = broker.queues()
    assert (info.ready, info.unacked) == (2010, 0)


def test_get_is_not_limited_by_a_prefetch(broker: Broker) -> None:
    fill(broker, ["q"], 5)

    with broker.consume("q", auto_ack=False, prefetch=1) as consumer:
        next(consumer)
        for _ in range(4):
            assert broker.get("q", auto_ack=False) is not None

        assert unacked(broker) == 5
