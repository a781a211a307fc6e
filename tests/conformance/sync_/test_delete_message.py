# Generated from tests/conformance/async_/test_delete_message.py by `python tools/unasync.py`. Do not edit.
"""Deleting one message of a queue (docs/browsing.md)."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import PreconditionFailed, StaleDelivery
from rexchange.testing import messages
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults


def bodies(broker: Broker, queue: str) -> list[bytes]:
    """Return the bodies of what is ready."""
    return [message.body for message in messages(broker, queue)]


def counts(broker: Broker, queue: str) -> tuple[int, int]:
    """Return how many are ready, and unacked."""
    (info,) = [each for each in broker.queues() if each.name == queue]
    return info.ready, info.unacked


def fill(broker: Broker, queue: str, count: int) -> list[bytes]:
    """Publish bodies that are numbers."""
    found = [b"%d" % number for number in range(count)]
    broker.publish_many([Message(body, routing_key=queue, headers={"n": i % 2}) for i, body in enumerate(found)])
    return found


def taken(broker: Broker, queue: str) -> Delivery:
    """Get a delivery to settle."""
    delivery = broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


def test_one_message_is_deleted(broker: Broker) -> None:
    for options in ({}, {"max_priority": 3}, {"max_length_bytes": 1000}):
        _delete_two(broker, options)


def _delete_two(broker: Broker, options: dict[str, Any]) -> None:
    broker.declare_queue("q", **options)
    fill(broker, "q", 3)
    delivery = taken(broker, "q")
    delivery.nack(wait=True)
    given_back, new, _ = broker.browse("q")
    assert given_back.delivery_count == 1

    assert broker.delete_message("q", new.id)
    assert bodies(broker, "q") == [b"0", b"2"]
    assert broker.delete_message("q", given_back.id)
    assert bodies(broker, "q") == [b"2"]
    assert counts(broker, "q") == (1, 0)
    assert not broker.delete_message("q", new.id)
    assert not broker.delete_message("q", "1-1")
    broker.delete_queue("q")


def test_a_deleted_message_is_not_dead_lettered(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    fill(broker, "q", 1)
    (found,) = broker.browse("q")

    assert broker.delete_message("q", found.id)
    assert bodies(broker, "dead") == []


def test_what_a_consumer_holds_is_deleted_by_force_alone(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("q")
    fill(broker, "q", 2)
    other = connect()
    with other.consume("q", auto_ack=False, prefetch=2, tag="worker") as consumer:
        first, second = [next(consumer), next(consumer)]
        held, _ = broker.browse("q")

        with pytest.raises(PreconditionFailed, match=r"'worker'.*has held it.*force=True") as caught:
            broker.delete_message("q", held.id)
        assert (caught.value.kind, caught.value.name) == ("queue", "q")
        assert counts(broker, "q") == (0, 2)

        assert broker.delete_message("q", held.id, force=True)
        assert counts(broker, "q") == (0, 1)
        with pytest.raises(StaleDelivery):
            first.ack(wait=True)
        second.ack(wait=True)
    assert counts(broker, "q") == (0, 0)


def test_a_delete_whose_reply_is_lost_still_says_that_it_went(broker: Broker) -> None:
    broker.declare_queue("q")
    fill(broker, "q", 2)
    first, second = broker.browse("q")
    rule = Faults(broker).cut("delete_message", 2)

    assert broker.delete_message("q", first.id)
    assert rule.done == 2
    assert bodies(broker, "q") == [b"1"]
    assert broker.delete_message("q", second.id)
