# Generated from tests/conformance/async_/test_failures_consume.py by `python tools/unasync.py`. Do not edit.
"""A consumer whose connection, session or queue fails: it goes on as long as it may, and loses nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from rexchange import Broker, Consumer, Message
from rexchange.errors import BrokerConnectionError, ConsumerCancelled, ServerRefused
from rexchange.keyspace import Keys
from rexchange.testing import drain, messages
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults, reap
from tests.support.servers import Bare

REFUSED = "NOPERM this user has no permissions to run the 'xreadgroup' command"


def fill(broker: Broker, count: int, queue: str = "q") -> Faults:
    """Declare a queue of so many messages."""
    broker.declare_queue(queue)
    broker.publish_many([Message(b"%d" % number, routing_key=queue) for number in range(count)])
    return Faults(broker)


def taken(consumer: Consumer) -> tuple[bytes, bool]:
    """Take the next delivery and acknowledge it."""
    delivery = next(consumer)
    if not consumer.auto_ack:
        delivery.ack(wait=True)
    return delivery.body, delivery.redelivered


@pytest.mark.parametrize("match", ["XREADGROUP", "consume"])
def test_what_a_lost_reply_brought_comes_again_as_never_seen(broker: Broker, match: str) -> None:
    faults = fill(broker, 2)
    rule = faults.cut(match)

    with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:
        assert [taken(consumer), taken(consumer)] == [(b"0", False), (b"1", False)]

    assert rule.done == 1


def test_a_consumer_of_several_queues_reconnects_too(broker: Broker) -> None:
    faults = fill(broker, 1)
    fill(broker, 1, "other")
    rule = faults.cut("take")

    with broker.consume(["q", "other"], auto_ack=False, timeout=10) as consumer:
        assert [taken(consumer), taken(consumer)] == [(b"0", False)] * 2

    assert rule.done == 1
    assert broker.counters.reconnects == 1


def test_a_read_that_is_refused_for_now_is_made_again(broker: Broker) -> None:
    faults = fill(broker, 1)
    faults.answer("XREADGROUP", "READONLY You can't write against a read only replica.")
    rule = faults.answer("XREADGROUP", "BUSY Redis is busy running a script.")

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        assert taken(consumer) == (b"0", False)

    assert rule.done == 1


@pytest.mark.parametrize("match", ["XREADGROUP", "consume"])
def test_a_lost_permission_ends_the_iteration_and_can_be_given_back(broker: Broker, match: str) -> None:
    faults = fill(broker, 2)

    with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:
        assert taken(consumer) == (b"0", False)
        if match == "consume":
            faults.cut("XREADGROUP")
        faults.answer(match, REFUSED)

        with pytest.raises(ServerRefused):
            next(consumer)
        assert taken(consumer) == (b"1", False)


def test_a_refused_password_is_not_tried_again(broker: Broker) -> None:
    faults = fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        faults.refuse(AuthenticationError("WRONGPASS invalid username-password pair"))

        with pytest.raises(ServerRefused):
            next(consumer)
        assert taken(consumer) == (b"0", False)


def test_reconnecting_outlives_the_limit_of_one_operation(connect: Connect) -> None:
    broker = connect(retry_timeout=timedelta(0))
    faults = fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        faults.cut("XREADGROUP")
        rule = faults.cut("consume", times=2)

        assert taken(consumer) == (b"0", False)

    assert rule.done == 2


def test_opening_a_session_anew_outlives_it_too(connect: Connect, url: str) -> None:
    broker = connect(retry_timeout=timedelta(0))
    faults = fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        reap(url, broker)
        broker._session._went()  # what the heartbeat tells at its next beat
        rule = faults.answer("session", RedisConnectionError("no route to the host"), times=2)

        assert taken(consumer) == (b"0", False)

    assert rule.done == 2


@pytest.mark.parametrize("also", ["", "consume"])
def test_a_consumer_gives_up_when_its_time_is_over_and_may_be_asked_again(
    connect: Connect, url: str, also: str
) -> None:
    broker = connect(retry_timeout=timedelta(0), consumer_retry_timeout=timedelta(0))
    faults = fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        if also:
            reap(url, broker)
            broker._session._went()
            faults.cut(also)
        else:
            faults.cut("XREADGROUP")

        with pytest.raises(BrokerConnectionError) as caught:
            next(consumer)
        assert caught.value.outcome == "unknown"
        assert taken(consumer) == (b"0", False)


def test_what_was_read_while_the_session_was_reaped_comes_again(broker: Broker, url: str) -> None:
    faults = fill(broker, 1)

    def reaped() -> None:
        reap(url, broker)
        broker._session._went()

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        rule = faults.during("XREADGROUP", reaped)

        assert taken(consumer) == (b"0", True)
        assert rule.done == 1
        assert messages(broker, "q") == []


def test_what_is_read_under_a_name_that_was_reaped_before_comes_again_at_once(
    broker: Broker, url: str, ask: Bare, keys: Keys
) -> None:
    """A process that was frozen reads on, and learns only then that its session is gone."""
    faults = fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        reap(url, broker)
        rule = faults.during("XREADGROUP", broker._session._went)

        assert taken(consumer) == (b"0", False)
        assert rule.done == 1
        assert messages(broker, "q") == []
        assert len(ask("XINFO", "CONSUMERS", keys.stream(b"q"), "g")) == 2  # itself, and who holds what is given back


def test_what_was_shown_under_a_name_that_was_reaped_before_stays_its_own(broker: Broker, url: str) -> None:
    fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        reap(url, broker)
        delivery = next(consumer)
        broker._session._went()

        assert consumer.next(0) is None  # it has registered anew
        delivery.ack(wait=True)

        (info,) = broker.queues()
        assert (info.ready, info.unacked) == (0, 0)


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_what_was_read_under_a_name_that_was_reaped_before_goes_back_at_the_end(
    broker: Broker, url: str, ask: Bare, keys: Keys, end: str
) -> None:
    fill(broker, 2)
    consumer = broker.consume("q", auto_ack=False, timeout=10)
    consumer.open()
    reap(url, broker)
    first = next(consumer)

    getattr(consumer, end)()

    left = [(message.body, message.redelivered) for message in drain(broker, "q")]
    assert left == ([(b"1", False)] if end == "cancel" else [(b"0", True), (b"1", False)])
    if end == "cancel":
        first.ack(wait=True)
        consumer.close()
    (info,) = broker.queues()
    assert (info.ready, info.unacked) == (0, 0)
    names = [
        dict(zip(row[::2], row[1::2], strict=True))[b"name"]
        for row in ask("XINFO", "CONSUMERS", keys.stream(b"q"), "g")
    ]
    assert consumer._holder.name.encode() not in names


@pytest.mark.parametrize("anew", [True, False])
def test_a_queue_of_several_that_is_deleted_ends_the_consumer_unless_it_is_declared_anew(
    broker: Broker, url: str, anew: bool
) -> None:
    fill(broker, 0)
    fill(broker, 0, "other")

    with broker.consume(["q", "other"], auto_ack=False, timeout=10) as consumer:
        with Broker(url, vhost=broker.vhost) as others:
            others.delete_queue("q")
            if anew:
                others.declare_queue("q")
                others.publish(b"new", routing_key="q")

        if anew:
            assert taken(consumer) == (b"new", False)
        else:
            with pytest.raises(ConsumerCancelled) as caught:
                next(consumer)
            assert caught.value.queue == "q"


def test_a_consumer_that_is_cancelled_while_it_reconnects_ends(broker: Broker) -> None:
    faults = fill(broker, 1)
    consumer = broker.consume("q", auto_ack=False, timeout=10)
    consumer.open()

    def stop() -> None:
        consumer._intake.stopped = True  # what `cancel` does first, in another task or thread
        raise RedisConnectionError("cut by the test")

    faults.during("XREADGROUP", stop)

    assert [delivery for delivery in consumer] == []
    consumer.close()
    assert [message.body for message in messages(broker, "q")] == [b"0"]


def test_what_was_acked_on_receipt_and_not_shown_is_put_back_though_the_reply_is_lost(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    faults = fill(broker, 3)

    with broker.consume("q", prefetch=3, timeout=10) as consumer:
        assert taken(consumer) == (b"0", False)
        rule = faults.cut("restore")

    assert rule.done == 1
    assert "could not give back its deliveries now" in caplog.text
    assert [message.body for message in messages(broker, "q")] == [b"1", b"2"]


def test_what_was_acked_on_receipt_goes_with_its_queue_and_a_warning(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    fill(broker, 3)

    with broker.consume("q", prefetch=3, timeout=10) as consumer:
        assert taken(consumer) == (b"0", False)
        broker.delete_queue("q")

    assert "2 messages of queue 'q' went with it" in caplog.text


def test_an_auto_ack_that_comes_too_late_hands_out_the_message_once(connect: Connect, url: str) -> None:
    broker = connect()
    faults = fill(broker, 2)

    with broker.consume("q", prefetch=2, timeout=10) as consumer:
        rule = faults.during("XREADGROUP", lambda: reap(url, broker))

        assert [taken(consumer), taken(consumer)] == [(b"0", True), (b"1", True)]
        assert rule.done == 1
        assert broker.counters.stale == 2
