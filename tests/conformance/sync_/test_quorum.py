# Generated from tests/conformance/async_/test_quorum.py by `python tools/unasync.py`. Do not edit.
"""Quorum queues: the delivery limit, and what they cannot have (docs/semantics.md, Queues)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import PreconditionFailed, PublishRefused
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults

SHORT = timedelta(milliseconds=150)


def declare(broker: Broker, limit: int | None = None, **options: Any) -> None:
    """Declare a quorum queue that dead-letters into "dead", and publish a message."""
    broker.declare_queue("dead")
    dead: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    broker.declare_queue("q", queue_type="quorum", delivery_limit=limit, **dead, **options)
    broker.publish(b"1", routing_key="q")


def get(broker: Broker) -> Delivery:
    """Take the message."""
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    return delivery


def counts(broker: Broker) -> tuple[int, int]:
    """Return how many are ready in q, and in dead."""
    dead, queue = broker.queues()
    return queue.ready, dead.ready


# --- the delivery limit


@pytest.mark.parametrize("verdict", ["nack", "reject"])
def test_a_message_that_comes_back_more_often_than_the_limit_dies(broker: Broker, verdict: str) -> None:
    declare(broker, 2)

    for count in range(3):
        assert counts(broker) == (1, 0), count
        delivery = get(broker)
        (delivery.nack() if verdict == "nack" else delivery.reject(requeue=True))

    assert counts(broker) == (0, 1)
    (dead,) = drain(broker, "dead")
    names = ("x-first-death-reason", "x-first-death-queue", "x-last-death-reason")
    assert [dead.headers[name] for name in names] == ["delivery_limit", "q", "delivery_limit"]
    assert (dead.body, dead.delivery_count) == (b"1", 1)


def test_a_quorum_queue_has_a_limit_of_20_where_nothing_is_said(broker: Broker) -> None:
    declare(broker)

    for _ in range(20):
        (get(broker)).nack()
    assert counts(broker) == (1, 0)
    (get(broker)).nack()

    assert counts(broker) == (0, 1)


def test_a_limit_of_minus_1_is_none(broker: Broker) -> None:
    declare(broker, -1)

    for _ in range(25):
        (get(broker)).nack()

    assert counts(broker) == (1, 0)


def test_a_limit_of_0_is_one_delivery(broker: Broker) -> None:
    declare(broker, 0)

    (get(broker)).nack()

    assert counts(broker) == (0, 1)


def test_a_classic_queue_has_no_limit_of_its_own(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")

    for _ in range(25):
        (get(broker)).nack()

    assert (get(broker)).delivery_count == 26


def test_a_classic_queue_may_be_given_a_limit(broker: Broker) -> None:
    """Not so in RabbitMQ, where only quorum queues have one (docs/semantics.md)."""
    broker.declare_queue("dead")
    broker.declare_queue("q", delivery_limit=1, dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.publish(b"1", routing_key="q")

    (get(broker)).nack()
    assert counts(broker) == (1, 0)
    (get(broker)).nack()

    (dead,) = drain(broker, "dead")
    assert dead.headers["x-last-death-reason"] == "delivery_limit"


def test_without_a_dead_letter_exchange_it_is_dropped(broker: Broker) -> None:
    broker.declare_queue("q", queue_type="quorum", delivery_limit=0)
    broker.publish(b"1", routing_key="q")

    (get(broker)).nack()

    (info,) = broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


def test_an_ack_at_the_limit_is_an_ack(broker: Broker) -> None:
    declare(broker, 1)
    (get(broker)).nack()

    (get(broker)).ack()

    assert counts(broker) == (0, 0)


def test_of_several_only_those_over_the_limit_die(broker: Broker) -> None:
    declare(broker, 1)
    (get(broker)).nack()
    broker.publish(b"2", routing_key="q")
    with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        for _ in range(2):
            next(consumer)

        consumer.nack(0, multiple=True, wait=True)
        consumer.cancel()

        assert [message.body for message in messages(broker, "q")] == [b"2"]
    assert [message.body for message in messages(broker, "dead")] == [b"1"]


def test_a_consumer_that_closes_has_handed_out_what_it_showed_and_no_more(broker: Broker) -> None:
    declare(broker, 0)
    broker.publish(b"2", routing_key="q")

    with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        next(consumer)

    assert [message.body for message in messages(broker, "q")] == [b"2"]
    assert [message.body for message in messages(broker, "dead")] == [b"1"]


def test_the_end_of_a_session_counts(broker: Broker, connect: Connect) -> None:
    other = connect()
    declare(broker, 0)
    assert other.get("q", auto_ack=False) is not None

    other.close()

    assert counts(broker) == (0, 1)


def test_an_ack_timeout_counts(broker: Broker, connect: Connect) -> None:
    slow = connect(ack_timeout=SHORT)
    declare(broker, 0)
    with slow.consume("q", auto_ack=False) as consumer:
        next(consumer)

        def died() -> bool:
            return counts(broker) == (0, 1)

        wait_until(died)


def test_a_nack_whose_reply_was_lost_counts_once(broker: Broker) -> None:
    declare(broker, 1)
    delivery = get(broker)
    rule = Faults(broker).cut("settle")

    delivery.nack()

    assert rule.done == 1
    assert (get(broker)).headers == {"x-delivery-count": 1}


def test_redeliveries_tell_how_often_it_was_delivered_before(broker: Broker) -> None:
    declare(broker)

    for count in range(4):
        delivery = get(broker)
        assert delivery.headers.get("x-delivery-count", 0) == count
        assert ("x-delivery-count" in delivery.headers, delivery.redelivered) == (count > 0, count > 0)
        assert delivery.delivery_count == count + 1
        delivery.nack()


def test_a_consumer_too_is_told_how_often_it_was_delivered_before(broker: Broker) -> None:
    declare(broker)
    (get(broker)).nack()

    with broker.consume("q", auto_ack=False, timeout=5) as consumer:
        assert (next(consumer)).headers == {"x-delivery-count": 1}


def test_a_classic_queue_tells_no_delivery_count_in_a_header(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")
    (get(broker)).nack()

    delivery = get(broker)

    assert (delivery.headers, delivery.redelivered) == ({}, True)


# --- the rest works as in a classic queue


def test_a_quorum_queue_has_ttl_limits_and_a_single_active_consumer(broker: Broker) -> None:
    declare(broker, message_ttl=timedelta(minutes=1), max_length=2, single_active_consumer=True)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2, 5)])
    with (
        broker.consume("q", auto_ack=False, timeout=0.05) as one,
        broker.consume("q", auto_ack=False, timeout=0.05) as two,
    ):
        assert [delivery.body for delivery in two] == []
        assert [delivery.body for delivery in one] == [b"3", b"4"]
    assert [message.body for message in messages(broker, "dead")] == [b"1", b"2"]


def test_a_full_quorum_queue_may_refuse(broker: Broker) -> None:
    broker.declare_queue("q", queue_type="quorum", max_length=1, overflow="reject-publish")
    broker.publish(b"1", routing_key="q")

    with pytest.raises(PublishRefused):
        broker.publish(b"2", routing_key="q")


def test_what_is_given_back_returns_to_its_place(broker: Broker) -> None:
    broker.declare_queue("q", queue_type="quorum")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])
    first, second = get(broker), get(broker)

    second.nack()
    first.nack()

    assert [delivery.body for delivery in drain(broker, "q")] == [b"0", b"1", b"2"]


# --- what it cannot have


def test_the_type_is_the_argument_x_queue_type_and_compared(broker: Broker) -> None:
    broker.declare_queue("q", queue_type="quorum")

    queue = broker.declare_queue("q", arguments={"x-queue-type": "quorum"})

    assert queue.arguments == {"x-queue-type": "quorum"}
    for options in ({}, {"queue_type": "classic"}, {"queue_type": "stream"}):
        with pytest.raises(PreconditionFailed) as caught:
            broker.declare_queue("q", **options)  # type: ignore[arg-type]
        assert caught.value.argument == "x-queue-type"


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("durable", {"durable": False}),
        ("exclusive", {"exclusive": True}),
        ("auto_delete", {"auto_delete": True}),
        ("name", {"name": ""}),
        ("x-max-priority", {"max_priority": 5}),
        ("x-overflow", {"overflow": "reject-publish-dlx"}),
        ("x-max-age", {"max_age": timedelta(days=1)}),
        ("x-delivery-limit", {"arguments": {"x-delivery-limit": "5"}}),
        ("x-delivery-limit", {"arguments": {"x-delivery-limit": 1.5}}),
    ],
)
def test_what_a_quorum_queue_cannot_have_is_a_failed_precondition(
    broker: Broker, argument: str, options: dict[str, Any]
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue(**{"name": "q", "queue_type": "quorum", **options})

    assert caught.value.argument == argument
    assert broker.queues() == []


@pytest.mark.parametrize("arguments", [{"x-quorum-initial-group-size": 3}, {"x-dead-letter-strategy": "at-least-once"}])
def test_what_tunes_rabbitmqs_replication_is_kept_without_effect(broker: Broker, arguments: dict[str, Any]) -> None:
    queue = broker.declare_queue("q", queue_type="quorum", arguments=arguments)

    assert queue.arguments == {"x-queue-type": "quorum", **arguments}
