# Generated from tests/conformance/async_/test_retries.py by `python tools/unasync.py`. Do not edit.
"""Retries: what a queue's retry policy does with a message that is nacked with retry=True (docs/retries.md)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Hooks, Message
from rexchange.errors import (
    AlreadySettled,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
    StaleDelivery,
)
from rexchange.keyspace import Keys
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Connect
from tests.support.clock import Clock
from tests.support.faults import Faults
from tests.support.servers import Bare

DAY = timedelta(days=1)
SHORT = timedelta(milliseconds=150)
SECOND = timedelta(seconds=1)


@pytest.fixture
def broker(clock: Clock, connect: Connect) -> Broker:
    """Return a broker on that clock; its session outlives what tests move it."""
    del clock
    return connect(session_timeout=DAY)


def declare(broker: Broker, *seconds: float, messages: int = 1, **options: Any) -> None:
    """Declare a queue with these delays that dead-letters into "dead", and publish so many messages."""
    broker.declare_queue("dead")
    if seconds:
        options["retry_delays"] = [timedelta(seconds=each) for each in seconds]
    broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead", **options)
    for number in range(1, messages + 1):
        broker.publish(b"%d" % number, routing_key="q")


def get(broker: Broker, queue: str = "q") -> Delivery:
    """Take a message that has to be there."""
    delivery = broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


def retry(broker: Broker, times: int = 1) -> None:
    """Take and retry messages."""
    for _ in range(times):
        (get(broker)).nack(retry=True)


def counts(broker: Broker) -> tuple[int, int, int, int]:
    """Return how many of q are ready, unacked and waiting, and how many are in dead."""
    dead, queue = broker.queues()
    return queue.ready, queue.unacked, queue.waiting, dead.ready


def pass_by(broker: Broker, clock: Clock, seconds: float) -> None:
    """Let time pass, and what is due happen."""
    clock.advance(seconds)
    broker.reap()


# --- how long it waits


def test_it_waits_each_delay_of_the_list_and_dies_after_its_last_try(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, 10, 60)

    for count, seconds in enumerate((1, 10, 60), 1):
        delivery = get(broker)
        assert (delivery.body, delivery.delivery_count, delivery.redelivered) == (b"1", count, count > 1)
        delivery.nack(retry=True)
        assert counts(broker) == (0, 0, 1, 0)
        pass_by(broker, clock, seconds - 0.001)
        assert broker.get("q") is None
        pass_by(broker, clock, 0.001)
        assert counts(broker) == (1, 0, 0, 0)
    retry(broker)

    assert counts(broker) == (0, 0, 0, 1)
    (dead,) = drain(broker, "dead")
    deaths: Any = dead.headers["x-death"]
    assert [(row["queue"], row["reason"], row["count"]) for row in deaths] == [("q", "delivery_limit", 1)]


def test_with_more_tries_than_delays_the_last_delay_repeats(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, 2, retry_tries=5)

    waits = []
    for _ in range(4):
        retry(broker)
        (waiting,) = broker.waiting("q")
        waits.append(waiting.due.timestamp() - clock.now_ms / 1000)
        pass_by(broker, clock, 2)
    retry(broker)

    assert [round(seconds, 3) for seconds in waits] == [1, 2, 2, 2]
    assert counts(broker) == (0, 0, 0, 1)


def test_one_that_grows_doubles_up_to_the_longest(broker: Broker, clock: Clock) -> None:
    declare(broker, retry_first=SECOND, retry_longest=5 * SECOND, retry_tries=6, retry_jitter=0)

    waits = []
    for _ in range(5):
        retry(broker)
        (waiting,) = broker.waiting("q")
        waits.append(round(waiting.due.timestamp() - clock.now_ms / 1000, 3))
        pass_by(broker, clock, 5)
    retry(broker)

    assert waits == [1, 2, 4, 5, 5]
    assert counts(broker) == (0, 0, 0, 1)


def test_jitter_spreads_what_failed_together(broker: Broker, clock: Clock) -> None:
    declare(broker, 100, messages=200, retry_jitter=0.2)
    with broker.consume("q", auto_ack=False, prefetch=0, timeout=0) as consumer:
        last = 0
        for delivery in consumer:
            last = delivery.delivery_tag
        consumer.nack(last, retry=True, multiple=True, wait=True)

    found = broker.waiting("q")
    waits = [each.due.timestamp() - clock.now_ms / 1000 for each in found]
    assert len(waits) == 200
    assert 80 <= min(waits) < 84
    assert 116 < max(waits) <= 120
    assert 97 < sum(waits) / 200 < 103
    halves = [sum(low <= each < low + 10 for each in waits) for low in (80, 90, 100, 110)]
    assert min(halves) > 25, halves  # even: 50 in each quarter
    pass_by(broker, clock, 100)
    assert 80 < (counts(broker))[0] < 120


def test_an_ack_timeout_counts_as_a_try_as_any_return_does(connect: Connect) -> None:
    broker, slow = connect(), connect(ack_timeout=SHORT)
    declare(broker, 1, 1)

    get(slow)
    wait_until(lambda: is_ready(broker))
    (get(broker)).nack()
    retry(broker)  # the third

    assert counts(broker) == (0, 0, 0, 1)


def is_ready(broker: Broker) -> bool:
    """Say whether a message of q is ready."""
    return (counts(broker))[0] == 1


def test_without_a_dead_letter_exchange_it_is_dropped_as_a_reject_does(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("q", retry_delays=[SECOND], retry_tries=1)
    broker.publish(b"1", routing_key="q")

    retry(broker)

    assert counts(broker) == (0, 0, 0, 0)


def test_a_dead_letter_that_comes_round_to_its_own_queue_is_dropped(broker: Broker) -> None:
    declare(broker, 1, retry_tries=1)
    broker.declare_queue("round", retry_delays=[SECOND], retry_tries=1, dead_letter_exchange="")
    broker.publish(b"1", routing_key="round")

    (get(broker, "round")).nack(retry=True)

    assert messages(broker, "round") == []


def test_of_tries_and_a_delivery_limit_the_first_that_is_reached_holds(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, retry_tries=100, queue_type="quorum", delivery_limit=1)

    retry(broker)
    pass_by(broker, clock, 1)
    delivery = get(broker)
    assert delivery.headers["x-delivery-count"] == 1
    delivery.nack(retry=True)

    assert counts(broker) == (0, 0, 0, 1)


# --- where it waits


def test_it_comes_back_to_its_place(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, messages=3)

    first, second = get(broker), get(broker)
    second.nack(retry=True)
    first.nack(retry=True)
    assert [message.body for message in messages(broker, "q")] == [b"3"]
    pass_by(broker, clock, 1)

    assert [message.body for message in messages(broker, "q")] == [b"1", b"2", b"3"]
    assert [delivery.body for delivery in drain(broker, "q")] == [b"1", b"2", b"3"]


def test_it_comes_back_to_its_place_in_its_priority(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, messages=0, max_priority=5)
    for body, priority in ((b"low", 1), (b"high", 5), (b"high too", 5)):
        broker.publish(body, routing_key="q", priority=priority)

    retry(broker)
    assert (get(broker)).body == b"high too"
    pass_by(broker, clock, 1)

    assert [delivery.body for delivery in drain(broker, "q")] == [b"high", b"low"]


def test_what_waits_does_not_count_in_limits_and_what_is_too_many_then_goes(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, messages=1, max_length=1, max_length_bytes=100)

    retry(broker)
    broker.publish(b"2", routing_key="q")
    assert counts(broker) == (1, 0, 1, 0)
    pass_by(broker, clock, 1)

    assert counts(broker) == (1, 0, 0, 1)
    assert [message.body for message in messages(broker, "q")] == [b"2"]


def test_what_expires_while_it_waits_dies_when_its_time_comes(broker: Broker, clock: Clock) -> None:
    declare(broker, 10, message_ttl=5 * SECOND)

    retry(broker)
    pass_by(broker, clock, 6)
    assert counts(broker) == (0, 0, 1, 0)
    pass_by(broker, clock, 4)

    assert counts(broker) == (0, 0, 0, 1)
    (dead,) = drain(broker, "dead")
    assert dead.headers["x-first-death-reason"] == "expired"


def test_it_waits_on_when_its_consumer_and_its_broker_are_gone(broker: Broker, clock: Clock, connect: Connect) -> None:
    declare(broker, 600)
    other = connect(session_timeout=DAY)
    with other.consume("q", auto_ack=False, timeout=5) as consumer:
        (next(consumer)).nack(retry=True)  # not waited for: closing sends it
    other.close()

    assert counts(broker) == (0, 0, 1, 0)
    pass_by(broker, clock, 599)  # the reaper has looked for overdue deliveries meanwhile: this is none
    assert counts(broker) == (0, 0, 1, 0)
    pass_by(broker, clock, 1)
    assert (get(broker)).delivery_count == 2


def test_each_comes_in_its_own_time(broker: Broker, clock: Clock) -> None:
    declare(broker, 60, messages=3)
    for _ in range(3):
        retry(broker)
        pass_by(broker, clock, 10)

    for seconds, count in ((29, 0), (1, 1), (9, 1), (1, 2), (9, 2), (1, 3)):
        pass_by(broker, clock, seconds)
        assert counts(broker) == (count, 0, 3 - count, 0)


def test_a_page_and_more_that_are_due_at_once(broker: Broker, clock: Clock) -> None:
    declare(broker, 5, messages=0)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(130)])
    with broker.consume("q", auto_ack=False, prefetch=0, timeout=0) as consumer:
        for _ in consumer:
            pass
        consumer.nack(0, retry=True, multiple=True, wait=True)

    assert counts(broker) == (0, 0, 130, 0)
    assert len(broker.waiting("q")) == 130
    pass_by(broker, clock, 5)

    assert counts(broker) == (130, 0, 0, 0)
    assert [int(delivery.body) for delivery in drain(broker, "q")] == [*range(130)]


# --- consumers


def test_a_consumer_gets_the_next_at_once_and_the_retry_when_it_is_due(connect: Connect) -> None:
    broker = connect()
    declare(broker, 0.2, messages=2)

    with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:
        first = next(consumer)
        first.nack(retry=True)
        second = next(consumer)
        assert (first.body, second.body, second.redelivered) == (b"1", b"2", False)
        second.ack()
        again = next(consumer)
        assert (again.body, again.delivery_count) == (b"1", 2)
        again.ack(wait=True)


def test_one_verdict_may_retry_several(broker: Broker, clock: Clock) -> None:
    declare(broker, 1, messages=3)

    with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        first, second, third = [next(consumer) for _ in range(3)]
        first.ack()
        third.nack(retry=True, multiple=True, wait=True)
        with pytest.raises(AlreadySettled):
            second.ack()

    assert counts(broker) == (0, 0, 2, 0)
    pass_by(broker, clock, 1)
    assert [delivery.body for delivery in drain(broker, "q")] == [b"2", b"3"]


def test_hooks_are_told_of_a_retry(connect: Connect) -> None:
    told: list[Any] = []

    class Watcher(Hooks):
        def before_settle(self, consumer_tag: str, tags: Sequence[int], kind: str) -> None:
            told.append((consumer_tag, [*tags], kind))

        def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: str, stale: Sequence[int]) -> None:
            told.append((consumer_tag, [*tags], kind, [*stale]))

    broker = connect(hooks=Watcher())
    declare(broker, 60)
    retry(broker)

    assert told == [("amq.get.q", [1], "retry"), ("amq.get.q", [1], "retry", [])]


def test_a_late_retry_is_stale_and_does_the_new_holder_no_harm(connect: Connect) -> None:
    broker, slow = connect(), connect(ack_timeout=SHORT)
    declare(broker, 1)
    with slow.consume("q", auto_ack=False, timeout=5) as consumer:
        late = next(consumer)
        wait_until(lambda: is_ready(broker))
        again = get(broker)

        with pytest.raises(StaleDelivery):
            late.nack(retry=True, wait=True)

        assert counts(broker) == (0, 1, 0, 0)
        again.ack()


@pytest.mark.parametrize("of_get", [True, False])
def test_a_retry_whose_reply_is_lost_counts_and_waits_once(
    broker: Broker, clock: Clock, connect: Connect, of_get: bool
) -> None:
    declare(broker, 10, 10)
    other = connect(session_timeout=DAY)
    faults = Faults(other)
    rule = faults.cut("settle", times=2)
    if of_get:
        (get(other)).nack(retry=True)
    else:
        with other.consume("q", auto_ack=False, timeout=5) as consumer:
            (next(consumer)).nack(retry=True, wait=True)
    assert rule.done == 2

    (waiting,) = broker.waiting("q")
    assert waiting.tries == 1
    assert round(waiting.due.timestamp() * 1000) == clock.now_ms + 10_000
    pass_by(broker, clock, 10)
    assert (get(broker)).delivery_count == 2
    assert other.counters.stale == 0


def test_the_last_retry_whose_reply_is_lost_makes_one_dead_letter(broker: Broker, connect: Connect) -> None:
    declare(broker, 10, retry_tries=1)
    other = connect(session_timeout=DAY)
    rule = Faults(other).cut("settle")

    (get(other)).nack(retry=True)

    assert rule.done == 1
    assert counts(broker) == (0, 0, 0, 1)


# --- where there is no policy


def test_a_queue_without_a_policy_is_told_before_anything_is_done(broker: Broker) -> None:
    declare(broker)

    delivery = get(broker)
    with pytest.raises(PreconditionFailed, match=r"'q' has no retry policy: declare it with retry_delays") as caught:
        delivery.nack(retry=True)
    assert (caught.value.name, caught.value.argument) == ("q", "retry")
    delivery.nack()
    with broker.consume("q", auto_ack=False, timeout=5) as consumer:
        delivery = next(consumer)
        with pytest.raises(PreconditionFailed):
            delivery.nack(retry=True)
        assert counts(broker) == (0, 1, 0, 0)
        delivery.ack(wait=True)


def test_of_several_queues_each_needs_its_policy(broker: Broker) -> None:
    declare(broker, 1)
    broker.declare_queue("p")
    broker.publish(b"p", routing_key="p")

    with broker.consume(["q", "p"], auto_ack=False, prefetch=2, timeout=5) as consumer:
        both = {delivery.queue: delivery for delivery in [next(consumer), next(consumer)]}
        with pytest.raises(PreconditionFailed, match="'p' has no retry policy"):
            consumer.nack(0, retry=True, multiple=True)
        both["q"].nack(retry=True, wait=True)
        both["p"].ack(wait=True)

    assert [(info.name, info.waiting) for info in broker.queues()] == [("dead", 0), ("p", 0), ("q", 1)]


def test_a_policy_that_came_after_the_consumer_holds_and_one_that_went_gives_back(broker: Broker, clock: Clock) -> None:
    declare(broker)
    with broker.consume("q", auto_ack=False, prefetch=1, timeout=5) as consumer:
        delivery = next(consumer)
        broker.set_policy("again", "^q$", {"retry-delays": [1000]})
        delivery.nack(retry=True, wait=True)
        assert counts(broker) == (0, 0, 1, 0)
        pass_by(broker, clock, 1)

        delivery = next(consumer)
        broker.delete_policy("again")
        delivery.nack(retry=True, wait=True)
        assert (counts(broker))[2:] == (0, 0)
        assert (next(consumer)).delivery_count == 3


def test_what_waits_when_its_policy_goes_comes_back_in_its_time(broker: Broker, clock: Clock) -> None:
    declare(broker)
    broker.set_policy("again", "^q$", {"retry-first": 2000, "retry-tries": 3, "retry-jitter": 0})
    retry(broker)

    broker.delete_policy("again")
    pass_by(broker, clock, 2)

    assert counts(broker) == (1, 0, 0, 0)


def test_an_ack_on_receipt_leaves_nothing_to_retry(broker: Broker) -> None:
    declare(broker, 1)
    delivery = broker.get("q", auto_ack=True)
    assert delivery is not None
    with pytest.raises(AlreadySettled):
        delivery.nack(retry=True)


def test_what_contradicts_itself_is_refused(broker: Broker) -> None:
    declare(broker, 1)
    delivery = get(broker)
    flags: list[Any] = [{"retry": True, "requeue": False}, {"retry": "yes"}]
    for wrong in flags:
        with pytest.raises(InvalidArgument):
            delivery.nack(**wrong)
    with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        with pytest.raises(InvalidArgument):
            consumer.nack(0, retry=True, requeue=False, multiple=True)
    delivery.ack()


# --- declaring


def test_a_policy_that_cannot_end_declares_nothing(broker: Broker) -> None:
    with pytest.raises(PreconditionFailed, match="would never end"):
        broker.declare_queue("q", retry_first=SECOND)
    assert broker.queues() == []


def test_a_second_declare_must_repeat_the_policy(broker: Broker) -> None:
    declare(broker, 1, messages=0)
    for other in ({}, {"retry_delays": [2 * SECOND]}, {"retry_delays": [SECOND], "retry_tries": 5}):
        options: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead", **other}
        with pytest.raises(PreconditionFailed, match="x-retry-"):
            broker.declare_queue("q", **options)
    declare(broker, 1, messages=0)


# --- looking, sending at once, taking away


def test_what_waits_is_told(broker: Broker, clock: Clock) -> None:
    declare(broker, 60, 30, messages=2)
    assert broker.waiting("q") == []
    retry(broker)
    pass_by(broker, clock, 60)
    retry(broker, 2)

    first, second = broker.waiting("q")
    assert (first.tries, second.tries) == (2, 1)
    assert first.due == datetime.fromtimestamp(clock.now_ms / 1000 + 30, UTC)
    assert second.due - first.due == timedelta(seconds=30)
    with pytest.raises(NotFound):
        broker.waiting("nowhere")


def test_it_can_be_sent_at_once(broker: Broker, clock: Clock) -> None:
    declare(broker, 60, messages=3)
    retry(broker, 3)
    first, *_ = sorted(each.id for each in broker.waiting("q"))

    assert broker.retry_now("q", ["1-1", first, first]) == 1
    assert (get(broker)).body == b"1"
    assert counts(broker) == (0, 1, 2, 0)
    assert broker.retry_now("q", [first]) == 0
    assert broker.retry_now("q") == 2
    assert broker.retry_now("q") == 0
    assert [delivery.body for delivery in drain(broker, "q")] == [b"2", b"3"]
    pass_by(broker, clock, 60)
    assert (counts(broker))[:3] == (0, 1, 0)


def test_a_blocked_consumer_gets_what_is_sent_at_once(connect: Connect) -> None:
    broker, other = connect(), connect()
    declare(broker, 600)
    with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        (next(consumer)).nack(retry=True, wait=True)
        assert other.retry_now("q") == 1
        assert (next(consumer)).delivery_count == 2


def test_who_may_not_or_names_what_is_wrong(broker: Broker, connect: Connect) -> None:
    other = connect()
    broker.declare_queue("mine", exclusive=True, durable=False, retry_delays=[SECOND])
    with pytest.raises(ResourceLocked):
        other.retry_now("mine")
    with pytest.raises(NotFound):
        broker.retry_now("nowhere")
    wrong: list[Any] = ["1-0", [1], ["1"], 5]
    for ids in wrong:
        with pytest.raises(InvalidArgument):
            broker.retry_now("mine", ids)


def test_a_purge_takes_what_waits_too(broker: Broker, clock: Clock, ask: Bare, keys: Keys) -> None:
    declare(broker, 60, messages=4)
    retry(broker, 2)
    held = get(broker)

    assert broker.purge("q") == 3
    assert counts(broker) == (0, 1, 0, 0)
    assert ask("EXISTS", keys.retrying) == 0
    pass_by(broker, clock, 60)
    assert counts(broker) == (0, 1, 0, 0)
    held.ack()


def test_a_queue_in_which_something_waits_is_not_empty(broker: Broker) -> None:
    declare(broker, 60)
    retry(broker)
    with pytest.raises(PreconditionFailed, match="1 messages that wait to be tried again"):
        broker.delete_queue("q", if_empty=True)
    assert broker.delete_queue("q") == 0
    assert (broker.reap()).given_back == 0


@pytest.mark.damages_keys
def test_what_was_deleted_by_hand_while_it_waited_is_forgotten(
    broker: Broker, clock: Clock, ask: Bare, keys: Keys
) -> None:
    declare(broker, 1, messages=2)
    retry(broker, 2)
    first, second = broker.waiting("q")
    ask("XDEL", keys.stream(b"q"), first.id)
    ask("XACK", keys.stream(b"q"), "g", second.id)

    pass_by(broker, clock, 1)

    assert broker.waiting("q") == []
    assert ask("EXISTS", keys.retrying) == 0
    broker.publish(b"3", routing_key="q")
    assert [delivery.body for delivery in drain(broker, "q")] == [b"3"]
