# Generated from tests/conformance/async_/test_scheduling.py by `python tools/unasync.py`. Do not edit.
"""Messages published with a delay or a time (docs/scheduling.md)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, Message, Receipt
from rexchange.errors import BrokerConnectionError, InvalidArgument, NotFound, PublishRefused, Unroutable
from rexchange.testing import drain, messages
from tests.conformance.sync_.support import Connect
from tests.support.clock import Clock
from tests.support.faults import Faults

MINUTE = timedelta(minutes=1)


@pytest.fixture
def broker(connect: Connect, clock: Clock) -> Broker:  # noqa: ARG001 - it comes first
    """Return a broker whose scripts go by the test's clock."""
    broker = connect(session_timeout=timedelta(days=30))
    broker.declare_queue("q")
    return broker


def bodies(broker: Broker, queue: str = "q") -> list[bytes]:
    return [message.body for message in messages(broker, queue)]


def test_a_delayed_message_comes_when_its_time_has_come_and_not_before(broker: Broker, clock: Clock) -> None:
    receipt = broker.publish(b"later", routing_key="q", delay=MINUTE)

    assert (receipt, receipt.duplicate) == (0, False)
    assert re.fullmatch(r"\d+\.\w{6}", receipt.schedule_id)
    clock.advance(59.999)
    broker.reap()
    assert bodies(broker) == []
    clock.advance(0.001)
    broker.reap()
    assert bodies(broker) == [b"later"]
    assert broker.scheduled() == []


def test_an_ordinary_message_has_a_receipt_without_a_schedule(broker: Broker) -> None:
    receipt = broker.publish(b"", routing_key="q")

    assert (receipt, receipt.schedule_id, receipt.duplicate) == (1, "", False)


def test_a_time_is_as_good_as_a_delay(broker: Broker, clock: Clock) -> None:
    at = datetime.fromtimestamp(clock.now_ms / 1000, UTC) + timedelta(hours=1)
    broker.publish(b"at", routing_key="q", at=at.astimezone())

    (waiting,) = broker.scheduled()
    assert abs(waiting.due - at) < timedelta(milliseconds=2)
    clock.advance(3600.001)
    broker.reap()
    assert bodies(broker) == [b"at"]


def test_what_waits_is_listed_in_the_order_of_its_time_with_all_that_it_carries(broker: Broker) -> None:
    broker.publish(b"2", routing_key="q", delay=2 * MINUTE)
    receipt = broker.publish(
        b"1", exchange="amq.topic", routing_key="a.b", delay=MINUTE, headers={"h": 1}, priority=3, message_id="m"
    )

    first, second = broker.scheduled()

    assert (first.id, first.exchange, first.routing_key, first.body) == (receipt.schedule_id, "amq.topic", "a.b", b"1")
    assert (first.headers, first.properties.priority, first.properties.message_id) == ({"h": 1}, 3, "m")
    assert second.body == b"2"
    assert second.due - first.due >= timedelta(seconds=59)
    assert [each.body for each in broker.scheduled(limit=1)] == [b"1"]


def test_a_long_list_comes_page_by_page(broker: Broker) -> None:
    broker.publish_many(
        [Message(b"%d" % number, routing_key="q", delay=(1 + number % 7) * MINUTE) for number in range(250)]
    )

    found = broker.scheduled(limit=1000)

    assert sorted(int(each.body) for each in found) == [*range(250)]
    assert [each.due for each in found] == sorted(each.due for each in found)
    assert len({each.id for each in found}) == 250
    assert len(broker.scheduled(limit=120)) == 120


def test_a_cancelled_message_never_comes(broker: Broker, clock: Clock) -> None:
    receipts = broker.publish_many([Message(b"%d" % n, routing_key="q", delay=MINUTE) for n in range(3)])

    cancelled = broker.cancel_scheduled(receipts[1].schedule_id)

    assert (cancelled.body, cancelled.routing_key) == (b"1", "q")
    clock.advance(60)
    broker.reap()
    assert sorted(bodies(broker)) == [b"0", b"2"]


def test_a_schedule_that_is_gone_cannot_be_cancelled(broker: Broker, clock: Clock) -> None:
    receipt = broker.publish(b"", routing_key="q", delay=MINUTE)
    other = broker.publish(b"", routing_key="q", delay=MINUTE)
    broker.cancel_scheduled(receipt.schedule_id)
    clock.advance(60)
    broker.reap()

    for gone in (receipt.schedule_id, other.schedule_id, "1", "no such", f"{other.schedule_id}x"):
        with pytest.raises(NotFound) as caught:
            broker.cancel_scheduled(gone)
        assert (caught.value.kind, caught.value.name) == ("schedule", gone)


def test_the_id_of_another_life_of_the_vhost_means_no_message_of_this_one(broker: Broker) -> None:
    receipt = broker.publish(b"", routing_key="q", delay=MINUTE)
    number, _, epoch = receipt.schedule_id.partition(".")

    with pytest.raises(NotFound):
        broker.cancel_scheduled(f"{number}.{epoch[::-1]}x")

    assert len(broker.scheduled()) == 1


def test_it_is_routed_by_the_bindings_of_its_time(broker: Broker, clock: Clock) -> None:
    broker.publish(b"1", exchange="amq.topic", routing_key="a.b", headers={"BCC": ["c"]}, delay=MINUTE)
    broker.bind("q", "amq.topic", "a.*")
    broker.declare_queue("c")
    broker.bind("c", "amq.topic", "c")

    clock.advance(60)
    broker.reap()

    assert (bodies(broker), bodies(broker, "c")) == ([b"1"], [b"1"])
    delivery = broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key, delivery.headers) == ("amq.topic", "a.b", {})


def test_a_mandatory_one_is_judged_by_the_bindings_of_now(broker: Broker) -> None:
    with pytest.raises(Unroutable):
        broker.publish(b"", routing_key="nobody", mandatory=True, delay=MINUTE)
    with pytest.raises(NotFound):
        broker.publish(b"", exchange="missing", delay=MINUTE)

    assert broker.scheduled() == []


def test_its_expiration_and_priority_count_from_its_time_on(broker: Broker, clock: Clock) -> None:
    broker.declare_queue("p", max_priority=5)
    broker.publish(b"low", routing_key="p", delay=MINUTE, priority=1)
    broker.publish(b"high", routing_key="p", delay=2 * MINUTE, priority=4, expiration="30000")

    clock.advance(60)
    broker.reap()
    clock.advance(60)
    broker.reap()

    assert (drain(broker, "p"))[0].body == b"high"
    broker.publish(b"short", routing_key="p", delay=MINUTE, expiration="30000")
    clock.advance(60)
    broker.reap()
    clock.advance(31)
    assert broker.get("p") is None


def test_a_queue_that_is_full_when_it_is_due_gets_it_later(broker: Broker, clock: Clock) -> None:
    broker.declare_queue("full", max_length=1, overflow="reject-publish")
    broker.bind("full", "amq.fanout")
    broker.bind("q", "amq.fanout")
    broker.publish(b"first", routing_key="full")
    broker.publish(b"second", exchange="amq.fanout", delay=MINUTE)

    clock.advance(60)
    broker.reap()

    assert (bodies(broker), bodies(broker, "full")) == ([b"second"], [b"first"])
    (waiting,) = broker.scheduled()
    assert (waiting.queue, waiting.body) == ("full", b"second")
    assert len(drain(broker, "full")) == 1
    clock.advance(1)
    broker.reap()
    assert (bodies(broker), bodies(broker, "full")) == ([b"second"], [b"second"])
    assert broker.scheduled() == []


def test_what_a_full_queue_dead_letters_when_it_is_due_does_not_come_again(broker: Broker, clock: Clock) -> None:
    broker.declare_queue("dead")
    broker.declare_queue(
        "full", max_length=1, overflow="reject-publish-dlx", dead_letter_exchange="", dead_letter_routing_key="dead"
    )
    broker.publish(b"first", routing_key="full")
    broker.publish(b"second", routing_key="full", delay=MINUTE)

    clock.advance(60)
    broker.reap()
    clock.advance(60)
    broker.reap()

    assert (bodies(broker, "full"), bodies(broker, "dead")) == ([b"first"], [b"second"])
    assert broker.scheduled() == []


def test_who_is_refused_in_part_learns_the_schedule_of_the_rest(broker: Broker) -> None:
    broker.declare_queue("full", max_length=1, overflow="reject-publish")
    broker.publish(b"", routing_key="full")
    with pytest.raises(PublishRefused) as caught:
        broker.publish_many([Message(b"1", routing_key="q", delay=MINUTE), Message(b"2", routing_key="full")])

    first, second = caught.value.counts
    assert isinstance(first, Receipt)
    assert (first, second) == (0, 0)
    assert [each.id for each in broker.scheduled()] == [first.schedule_id]


def test_a_delay_of_nothing_is_none(broker: Broker) -> None:
    assert broker.publish(b"now", routing_key="q", delay=timedelta(0)) == 1
    assert bodies(broker) == [b"now"]


def test_messages_of_one_group_have_each_its_own_time(broker: Broker, clock: Clock) -> None:
    receipts = broker.publish_many(
        [
            Message(b"now", routing_key="q"),
            Message(b"soon", routing_key="q", delay=MINUTE),
            Message(b"late", routing_key="q", delay=2 * MINUTE),
        ]
    )

    assert receipts == [1, 0, 0]
    assert [bool(receipt.schedule_id) for receipt in receipts] == [False, True, True]
    assert bodies(broker) == [b"now"]
    clock.advance(60)
    broker.reap()
    assert bodies(broker) == [b"now", b"soon"]


def test_what_an_exchange_delays_is_listed_and_cancelled_too(broker: Broker) -> None:
    broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    broker.bind("q", "x", "k")
    broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 60_000})

    (waiting,) = broker.scheduled()
    assert (waiting.exchange, waiting.routing_key, waiting.body) == ("x", "k", b"1")
    broker.cancel_scheduled(waiting.id)

    assert broker.scheduled() == []


def test_an_exchange_that_delays_does_so_when_the_publishers_delay_is_over(broker: Broker, clock: Clock) -> None:
    broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    broker.bind("q", "x", "k")
    broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 60_000}, delay=MINUTE)

    clock.advance(60)
    broker.reap()
    assert (bodies(broker), len(broker.scheduled())) == ([], 1)
    clock.advance(60)
    broker.reap()
    assert bodies(broker) == [b"1"]


@pytest.mark.parametrize(
    "given",
    [
        {"delay": timedelta(seconds=-1)},
        {"delay": timedelta(days=40_000)},
        {"delay": 5},
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"at": datetime(2999, 1, 1, tzinfo=UTC)},
        {"at": datetime(2999, 1, 1)},  # noqa: DTZ001 - no zone: wrong on purpose
        {"at": "tomorrow"},
        {"at": datetime(2999, 1, 1, tzinfo=UTC), "delay": MINUTE},
    ],
    ids=str,
)
def test_what_is_no_delay_and_no_time_to_come_is_refused(broker: Broker, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        broker.publish(b"", routing_key="q", **given)

    assert caught.value.argument in given
    assert broker.scheduled() == []


def test_a_limit_of_a_list_and_an_id_are_checked(broker: Broker) -> None:
    with pytest.raises(InvalidArgument):
        broker.scheduled(limit=0)
    with pytest.raises(InvalidArgument):
        broker.cancel_scheduled("")


def test_a_publish_whose_reply_was_lost_waits_once(broker: Broker) -> None:
    rule = Faults(broker).cut("publish")

    receipt = broker.publish(b"1", routing_key="q", delay=MINUTE)

    assert rule.done == 1
    assert [each.id for each in broker.scheduled()] == [receipt.schedule_id]


def test_a_cancel_whose_reply_was_lost_says_so_and_was_done(broker: Broker) -> None:
    receipt = broker.publish(b"1", routing_key="q", delay=MINUTE)
    Faults(broker).cut("scheduled")

    with pytest.raises(BrokerConnectionError, match="cancelled by this call") as caught:
        broker.cancel_scheduled(receipt.schedule_id)

    assert caught.value.outcome == "unknown"
    assert broker.scheduled() == []


def test_a_consumer_in_any_process_brings_it(connect: Connect) -> None:
    broker = connect()
    broker.declare_queue("q")
    with broker.consume("q", timeout=10) as consumer:
        (connect()).publish(b"1", routing_key="q", delay=timedelta(milliseconds=50))

        assert (next(consumer)).body == b"1"
