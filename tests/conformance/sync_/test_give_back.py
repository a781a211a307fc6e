# Generated from tests/conformance/async_/test_give_back.py by `python tools/unasync.py`. Do not edit.
"""What goes back to its queue: on cancel, close, the end of a session, and the ack timeout."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from rexchange import Broker, Delivery, Message
from rexchange._sync import io
from rexchange.errors import StaleDelivery
from rexchange.keyspace import Keys
from rexchange.protocol import tick
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting
from tests.support.servers import Bare

SHORT = timedelta(milliseconds=150)


def fill(broker: Broker, count: int) -> None:
    """Declare a queue of so many messages."""
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(count)])


def ready(broker: Broker) -> int:
    """Return how many are ready."""
    (info,) = broker.queues()
    return info.ready


def abandon(broker: Broker) -> None:
    """Let a broker's session die as if its process had been killed: nothing is given back, nothing renewed."""
    heart = broker._session._heart
    assert heart is not None
    heart.stop()
    wait_until(lambda: not heart.thread.is_alive())


def test_cancel_gives_back_what_was_not_handed_out_as_never_delivered(broker: Broker) -> None:
    fill(broker, 5)

    with broker.consume("q", auto_ack=False, prefetch=5) as consumer:
        shown = next(consumer)
        consumer.cancel()

        others = drain(broker, "q")
        assert [delivery.body for delivery in others] == [b"1", b"2", b"3", b"4"]
        assert {(delivery.redelivered, delivery.delivery_count) for delivery in others} == {(False, 1)}
        shown.ack(wait=True)

    assert broker.get("q") is None


def test_cancel_leaves_a_consumer_of_several_queues_what_it_handed_out(broker: Broker) -> None:
    fill(broker, 3)
    broker.declare_queue("other")
    broker.publish(b"other", routing_key="other")

    with broker.consume(["q", "other"], auto_ack=False, timeout=0.05) as consumer:
        shown = [next(consumer), next(consumer)]
        consumer.cancel()
        assert sum(info.ready for info in broker.queues()) == 2
        for delivery in shown:
            delivery.ack(wait=True)

    assert sum(info.ready for info in broker.queues()) == 2


def test_closing_gives_back_what_was_not_settled_in_its_place(broker: Broker) -> None:
    fill(broker, 4)

    with broker.consume("q", auto_ack=False, prefetch=3) as consumer:
        next(consumer)
        second = next(consumer)
        second.ack()

    left = drain(broker, "q")
    assert [(delivery.body, delivery.redelivered) for delivery in left] == [
        (b"0", True),
        (b"2", False),
        (b"3", False),
    ]


def test_a_verdict_after_the_close_is_stale(broker: Broker) -> None:
    fill(broker, 1)
    with broker.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)

    with pytest.raises(StaleDelivery):
        delivery.ack()

    assert ready(broker) == 1


def test_a_nack_reaches_a_waiting_consumer_within_50_ms(broker: Broker) -> None:
    broker.declare_queue("q")
    took = []

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        for _ in range(5):  # the quickest of five: other processes may want the machine, which says nothing of ours
            broker.publish(b"0", routing_key="q")
            delivery = broker.get("q", auto_ack=False)
            assert delivery is not None
            waiting = Background(first)
            wait_until(lambda: is_waiting(consumer))
            started = time.monotonic()

            delivery.nack()
            again = waiting.result()

            took.append(time.monotonic() - started)
            assert (again.body, again.redelivered) == (b"0", True)
            again.ack(wait=True)

    assert min(took) < 0.05


def test_closing_a_broker_wakes_the_consumers_of_others(broker: Broker, connect: Connect) -> None:
    other = connect()
    fill(broker, 2)
    consumer = other.consume("q", auto_ack=False, prefetch=1)
    next(consumer)

    with broker.consume("q", auto_ack=False, prefetch=2, timeout=10) as waiting:
        assert (next(waiting)).body == b"1"

        def first() -> Delivery:
            return next(waiting)

        running = Background(first)
        other.close()

        assert (running.result()).body == b"0"


def test_an_ack_timeout_gives_back_and_counts(broker: Broker, connect: Connect) -> None:
    slow = connect(ack_timeout=timedelta(seconds=1))
    fill(broker, 2)

    with slow.consume("q", auto_ack=False, prefetch=1) as consumer:
        next(consumer)
        with broker.consume("q", auto_ack=False, prefetch=2, timeout=10) as holder:
            assert (next(holder)).body == b"1"
            again = next(holder)

            assert (again.body, again.redelivered, again.delivery_count) == (b"0", True, 2)


@pytest.mark.parametrize("wait", [True, False])
def test_a_late_ack_is_stale_and_does_the_new_holder_no_harm(broker: Broker, connect: Connect, wait: bool) -> None:
    told: list[tuple[int, str]] = []
    slow = connect(ack_timeout=SHORT)
    fill(broker, 1)

    with slow.consume("q", auto_ack=False, on_stale=lambda tag, queue: told.append((tag, queue))) as consumer:
        late = next(consumer)
        wait_until(lambda: ready(broker))
        with broker.consume("q", auto_ack=False, timeout=10) as holder:
            again = next(holder)

            if wait:
                with pytest.raises(StaleDelivery) as caught:
                    late.ack(wait=True)
                assert caught.value.delivery_tag == late.delivery_tag
            else:
                late.ack()
            wait_until(lambda: slow.counters.stale == 1)

            assert told == [(late.delivery_tag, "q")]
            assert (broker.queues())[0].unacked == 1
            again.ack(wait=True)

    assert messages(broker, "q") == []


def test_a_late_nack_does_the_new_holder_no_harm(broker: Broker, connect: Connect) -> None:
    slow = connect(ack_timeout=SHORT)
    fill(broker, 1)

    with slow.consume("q", auto_ack=False) as consumer:
        late = next(consumer)
        wait_until(lambda: ready(broker))
        again = broker.get("q", auto_ack=False)
        assert again is not None

        with pytest.raises(StaleDelivery):
            late.nack(wait=True)

        assert broker.get("q", auto_ack=False) is None
        again.ack()


def test_a_late_ack_of_get_raises(broker: Broker, connect: Connect) -> None:
    slow = connect(ack_timeout=SHORT)
    fill(broker, 1)
    late = slow.get("q", auto_ack=False)
    assert late is not None
    wait_until(lambda: ready(broker))

    with pytest.raises(StaleDelivery):
        late.ack()

    assert ready(broker) == 1


def test_what_came_again_to_the_same_consumer_can_not_be_acked_by_its_old_tag(connect: Connect) -> None:
    slow = connect(ack_timeout=SHORT)
    fill(slow, 1)

    with slow.consume("q", auto_ack=False, timeout=10) as consumer:
        late = next(consumer)
        again = next(consumer)
        assert again.redelivered

        with pytest.raises(StaleDelivery):
            late.ack()
        again.ack(wait=True)

    assert messages(slow, "q") == []


def test_the_queues_own_ack_timeout_beats_the_setting(broker: Broker) -> None:
    broker.declare_queue("q", ack_timeout=SHORT)
    broker.publish(b"0", routing_key="q")

    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        next(consumer)
        assert (next(consumer)).redelivered


def test_the_consumers_ack_timeout_beats_the_queues(broker: Broker) -> None:
    broker.declare_queue("q", ack_timeout=timedelta(minutes=5))
    broker.publish(b"0", routing_key="q")

    with broker.consume("q", auto_ack=False, timeout=10, ack_timeout=SHORT) as consumer:
        next(consumer)
        assert (next(consumer)).redelivered


def test_a_consumers_ack_timeout_may_be_given_as_argument(broker: Broker) -> None:
    fill(broker, 1)

    with broker.consume("q", auto_ack=False, timeout=10, arguments={"x-consumer-timeout": 150}) as consumer:
        next(consumer)
        assert (next(consumer)).redelivered
        (listed,) = broker.consumers()
        assert listed.ack_timeout == SHORT


@pytest.mark.slow
def test_extend_starts_the_ack_timeout_anew(connect: Connect, broker: Broker) -> None:
    slow = connect(ack_timeout=timedelta(seconds=1))
    fill(broker, 1)

    with slow.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        until = time.monotonic() + 1.5

        def extended_for_long_enough() -> bool:
            delivery.extend()
            return time.monotonic() > until

        wait_until(extended_for_long_enough, interval=0.05)

        delivery.ack(wait=True)


def test_extending_what_was_given_back_is_stale(connect: Connect, broker: Broker) -> None:
    slow = connect(ack_timeout=SHORT)
    fill(broker, 1)

    with slow.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        wait_until(lambda: ready(broker))

        with pytest.raises(StaleDelivery):
            delivery.extend()


@pytest.mark.slow
def test_renew_keeps_what_a_living_consumer_holds(connect: Connect, broker: Broker) -> None:
    slow = connect(ack_timeout=timedelta(seconds=1))
    fill(broker, 1)

    with slow.consume("q", auto_ack=False, renew=True) as consumer:
        delivery = next(consumer)
        until = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > until)

        delivery.ack(wait=True)


def test_a_dead_session_gives_back_all_it_held(connect: Connect) -> None:
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    dead, living = connect(**beat), connect(**beat)
    fill(living, 3)
    dead.declare_queue("mine", exclusive=True)
    dead.consume("q", auto_ack=False, prefetch=2).open()
    consumer = dead.consume("q", auto_ack=False, prefetch=2)
    assert (next(consumer)).body == b"0"

    abandon(dead)

    with living.consume("q", auto_ack=False, prefetch=10, timeout=10) as rescuer:
        found: dict[bytes, bool] = {}
        while len(found) < 3:
            delivery = next(rescuer)
            found[delivery.body] = delivery.redelivered
        assert found == {b"0": True, b"1": True, b"2": False}
        assert [info.queue.name for info in living.queues()] == ["q"]  # the exclusive one is gone
        assert {each.tag for each in living.consumers()} == {rescuer.tag}


def test_a_broker_whose_session_was_reaped_goes_on_with_another(connect: Connect, broker: Broker) -> None:
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    sleeper, other = connect(**beat), connect(**beat)
    fill(broker, 1)
    with sleeper.consume("q", auto_ack=False, timeout=10) as consumer:
        late = next(consumer)
        abandon(sleeper)

        def reaped() -> bool:
            other.reap()
            return ready(broker) == 1

        wait_until(reaped)

        again = next(consumer)
        assert (again.body, again.redelivered) == (b"0", True)
        with pytest.raises(StaleDelivery):
            late.ack()
        again.ack(wait=True)


def test_reap_says_what_it_did(connect: Connect) -> None:
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    dead, reaper = connect(**beat), connect(**beat)
    fill(reaper, 3)
    assert dead.get("q", auto_ack=False) is not None
    assert dead.get("q", auto_ack=False) is not None
    abandon(dead)
    sessions = given_back = 0

    def done() -> bool:
        nonlocal sessions, given_back
        ticked = reaper.reap()
        sessions += ticked.sessions
        given_back += ticked.given_back
        return sessions == 1

    wait_until(done)

    assert given_back == 2
    assert [message.body for message in messages(reaper, "q")] == [b"0", b"1", b"2"]


def test_what_was_read_ahead_is_not_handed_out_once_the_session_was_reaped(
    connect: Connect, broker: Broker, ask: Bare, keys: Keys
) -> None:
    sleeper, other = connect(heartbeat=timedelta(milliseconds=50)), connect()
    fill(broker, 3)
    with sleeper.consume("q", auto_ack=False, prefetch=3, timeout=10) as consumer:
        first = next(consumer)
        session = sleeper._session.id

        def reaped() -> bool:
            # As if the process had slept for longer than its session lives; again if a heartbeat came between.
            ask("ZADD", keys.sessions, "XX", 0, session)
            other.reap()
            return sleeper._session.alive != 1

        wait_until(reaped)

        again = [next(consumer) for _ in range(3)]
        assert [(delivery.body, delivery.redelivered) for delivery in again] == [
            (b"0", True),
            (b"1", True),
            (b"2", True),
        ]
        with pytest.raises(StaleDelivery):
            first.ack()
        again[-1].ack(multiple=True, wait=True)
    assert ready(broker) == 0


def test_a_late_verdict_is_stale_also_when_the_consumer_has_registered_anew_before_it_left(
    connect: Connect, broker: Broker, ask: Bare, keys: Keys
) -> None:
    stale: list[int] = []
    sleeper = connect(heartbeat=timedelta(milliseconds=50), settle_delay=timedelta(seconds=30))
    other = connect()
    fill(broker, 1)
    with sleeper.consume("q", auto_ack=False, timeout=0.05, on_stale=lambda tag, _: stale.append(tag)) as consumer:
        late = next(consumer)
        session = sleeper._session.id

        def reaped() -> bool:
            ask("ZADD", keys.sessions, "XX", 0, session)
            other.reap()
            return sleeper._session.alive != 1

        wait_until(reaped)
        again = other.get("q", auto_ack=False)
        assert again is not None

        late.ack()  # it waits for company, and the next read registers the consumer anew
        assert [delivery for delivery in consumer] == []

        assert stale == [late.delivery_tag]
        again.nack()  # it is still the other's to give back, so it was not settled under him
        assert [message.body for message in messages(broker, "q")] == [b"0"]


def test_get_keeps_its_ack_timeout_beside_a_consumer_with_a_longer_one(broker: Broker) -> None:
    broker.declare_queue("q", ack_timeout=SHORT)
    with broker.consume("q", auto_ack=False, ack_timeout=timedelta(hours=1)) as consumer:
        consumer.cancel()
        assert broker.get("q") is None
        io.sleep(2 * SHORT.total_seconds())  # the visit that was planned for the first get is over
        broker.publish(b"0", routing_key="q")
        assert broker.get("q", auto_ack=False) is not None

        def given_back() -> bool:
            return ready(broker) == 1

        wait_until(given_back)


def test_a_renewal_that_crosses_a_reconnect_takes_nothing_for_lost(broker: Broker) -> None:
    fill(broker, 1)
    with broker.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        renewing = consumer._renewing
        renewal = renewing.extension()
        assert renewal is not None

        consumer._holder.attach()
        stale = broker._link.run(renewal)
        renewing.lost(stale)

        delivery.ack(wait=True)


def test_a_dead_session_ends_also_where_it_lives_only_two_heartbeats(connect: Connect) -> None:
    heartbeat = timedelta(milliseconds=400)
    broker = connect(heartbeat=heartbeat, session_timeout=2 * heartbeat)
    broker.declare_queue("q", exclusive=True)  # it needs a session
    for phase in (0.1, 0.25):
        io.sleep(phase)
        broker._link.run(tick.open_session(f"dead-{phase}", 800))

    def ended() -> bool:
        return (broker.status()).sessions == 1

    wait_until(ended)
