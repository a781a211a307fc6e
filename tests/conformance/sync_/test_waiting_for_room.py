# Generated from tests/conformance/async_/test_waiting_for_room.py by `python tools/unasync.py`. Do not edit.
"""Publishers that wait for room, and the limit of a vhost (docs/back-pressure.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import Blocked, Broker, Message
from rexchange.errors import CommandFailed, InvalidArgument, PublishRefused
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Background, Connect


def bodies(broker: Broker, queue: str = "q") -> list[bytes]:
    return [message.body for message in messages(broker, queue)]


def is_blocked(broker: Broker) -> Blocked:
    """Wait until a publish of this Broker waits for room."""

    def blocked() -> bool:
        return broker.blocked is not None

    wait_until(blocked)
    assert broker.blocked is not None
    return broker.blocked


@pytest.mark.parametrize("overflow", [None, "reject-publish"])
@pytest.mark.parametrize("limit", [{"max_length": 2}, {"max_length_bytes": 4}], ids=str)
def test_a_publisher_that_waits_goes_on_when_there_is_room(
    broker: Broker, overflow: Any, limit: dict[str, Any]
) -> None:
    broker.declare_queue("q", overflow=overflow, **limit)
    broker.publish_many([Message(b"11", routing_key="q"), Message(b"22", routing_key="q")])
    publishing = Background(lambda: broker.publish(b"33", routing_key="q", wait=10))

    blocked = is_blocked(broker)

    assert (blocked.kind, blocked.queues) == ("queue", ("q",))
    assert "'q'" in blocked.reason
    assert bodies(broker) == [b"11", b"22"]
    taken = broker.get("q")
    assert taken is not None
    assert publishing.result() == 1
    assert broker.blocked is None
    assert (taken.body, bodies(broker)) == (b"11", [b"22", b"33"])


def test_one_that_has_waited_long_enough_is_refused_and_nothing_was_written(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1)
    broker.bind("q", "amq.fanout")
    broker.declare_queue("other")
    broker.bind("other", "amq.fanout")
    broker.publish(b"1", routing_key="q")

    with pytest.raises(PublishRefused) as caught:
        broker.publish(b"2", exchange="amq.fanout", wait=0.05)

    assert (caught.value.limit, caught.value.refused, caught.value.counts) == ("queue", [(0, "q")], [0])
    assert (bodies(broker), bodies(broker, "other")) == ([b"1"], [])
    assert broker.blocked is None


def test_a_group_waits_until_there_is_room_for_all_of_it(broker: Broker) -> None:
    broker.declare_queue("q", max_length=3)
    broker.publish_many([Message(b"old", routing_key="q")] * 2)
    publishing = Background(lambda: broker.publish_many([Message(b"new", routing_key="q")] * 3, wait=10))
    is_blocked(broker)

    broker.get("q")
    assert bodies(broker) == [b"old"]
    assert broker.blocked is not None
    broker.get("q")

    assert publishing.result() == [1, 1, 1]
    assert bodies(broker) == [b"new"] * 3


def test_others_are_not_held_up_by_one_that_waits(broker: Broker) -> None:
    broker.declare_queue("full", max_length=1)
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="full")
    publishing = Background(lambda: broker.publish(b"2", routing_key="full", wait=10))
    is_blocked(broker)

    assert broker.publish(b"3", routing_key="q") == 1

    assert broker.purge("full") == 1
    assert publishing.result() == 1


def test_where_there_is_room_nobody_waits(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1)
    broker.declare_queue("plain")

    assert broker.publish(b"1", routing_key="q", wait=10) == 1
    assert broker.publish(b"1", routing_key="plain", wait=0) == 1


def test_what_a_consumer_has_room_for_is_not_in_the_queue(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1)
    with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:
        assert broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="q")], wait=5) == [
            1,
            1,
        ]
        (next(consumer)).ack()


def test_one_that_comes_twice_in_a_group_needs_room_once(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1, overflow="reject-publish")
    once = Message(b"1", routing_key="q", dedup_key="k", dedup_window=timedelta(minutes=1))

    assert broker.publish_many([once, once], wait=0) == [1, 1]


def test_what_waits_for_its_time_needs_no_room_now(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1)
    broker.publish(b"1", routing_key="q")

    receipt = broker.publish(b"2", routing_key="q", delay=timedelta(hours=1), wait=0)

    assert receipt.schedule_id


# --- the limit of a vhost


def test_a_limit_changes_nothing_for_who_publishes_to_a_full_queue(broker: Broker) -> None:
    broker.declare_queue("full", max_length=1, overflow="reject-publish")
    broker.declare_queue("other")
    broker.bind("full", "amq.fanout")
    broker.bind("other", "amq.fanout")
    broker.set_vhost_limit(100)
    broker.publish(b"1", routing_key="full")

    with pytest.raises(PublishRefused) as caught:
        broker.publish(b"2", exchange="amq.fanout")

    assert (caught.value.limit, caught.value.counts) == ("queue", [1])
    assert bodies(broker, "other") == [b"2"]


def test_what_waits_for_its_time_counts_as_one(broker: Broker) -> None:
    broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    for name in ("one", "two"):
        broker.declare_queue(name)
        broker.bind(name, "amq.fanout")
    broker.set_vhost_limit(3)

    broker.publish(b"", exchange="x", headers={"x-delay": 60_000})
    broker.publish(b"", exchange="amq.fanout", delay=timedelta(hours=1))
    broker.publish(b"", exchange="amq.headers", delay=timedelta(hours=1))

    assert (broker.vhost_limit()).held == 3
    for exchange, more in (("x", {"headers": {"x-delay": 60_000}}), ("amq.headers", {"delay": timedelta(hours=1)})):
        options: Any = more
        with pytest.raises(PublishRefused):
            broker.publish(b"", exchange=exchange, **options)


def test_a_transaction_that_was_not_done_counts_for_nothing(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_vhost_limit(2)
    for _ in range(3):
        with pytest.raises(CommandFailed):  # noqa: PT012 - the end of the block raises
            with broker.transaction() as tx:
                tx.redis.execute_command("NO.SUCH.COMMAND")
                tx.publish(b"1", routing_key="q")

    assert broker.publish_many([Message(b"2", routing_key="q")] * 2) == [1, 1]
    with pytest.raises(PublishRefused):
        with broker.transaction() as tx:
            tx.publish(b"3", routing_key="q")


def test_a_vhost_takes_no_more_than_its_limit(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.declare_queue("other")
    broker.publish(b"before", routing_key="other")
    broker.set_vhost_limit(3)

    assert broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="q")]) == [1, 1]
    with pytest.raises(PublishRefused) as caught:
        broker.publish(b"3", routing_key="q")

    assert (caught.value.limit, caught.value.counts) == ("vhost", [])
    assert "3" in str(caught.value)
    assert broker.publish(b"nowhere", routing_key="nobody") == 0
    assert (bodies(broker), bodies(broker, "other")) == ([b"1", b"2"], [b"before"])
    assert broker.vhost_limit() == (3, 3)


def test_a_publisher_waits_for_room_in_the_vhost(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("q")
    broker.set_vhost_limit(1)
    broker.publish(b"1", routing_key="q")
    publishing = Background(lambda: broker.publish(b"2", routing_key="q", wait=10))

    blocked = is_blocked(broker)

    assert (blocked.kind, blocked.queues) == ("vhost", ())
    assert broker.vhost in blocked.reason
    assert [each.body for each in drain(connect(), "q")] == [b"1"]
    assert publishing.result() == 1


def test_a_limit_that_is_taken_away_holds_nobody(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_vhost_limit(0)
    with pytest.raises(PublishRefused):
        broker.publish(b"1", routing_key="q")
    broker.set_vhost_limit(None)

    assert broker.publish(b"1", routing_key="q") == 1
    assert broker.vhost_limit() == (None, 1)


def test_many_queues_are_counted_in_several_calls(broker: Broker) -> None:
    for number in range(600):
        broker.declare_queue(f"q{number}")
    broker.publish_many([Message(b"", routing_key=f"q{number}") for number in range(600)])
    assert broker.vhost_limit() == (None, 600)
    broker.set_vhost_limit(600)

    assert broker.vhost_limit() == (600, 600)
    with pytest.raises(PublishRefused):
        broker.publish(b"", routing_key="q1")


@pytest.mark.parametrize("wrong", [-1, "5", 2.5, True])
def test_a_limit_is_a_number_or_none(broker: Broker, wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        broker.set_vhost_limit(wrong)


@pytest.mark.parametrize("wrong", [-1, "5", True])
def test_a_wait_is_seconds(broker: Broker, wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        broker.publish(b"", routing_key="q", wait=wrong)
