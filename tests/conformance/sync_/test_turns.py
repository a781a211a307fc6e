# Generated from tests/conformance/async_/test_turns.py by `python tools/unasync.py`. Do not edit.
"""Whose turn it is: single active consumer, consumer priorities, exclusive consumers (docs/semantics.md, Consuming)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Consumer, Delivery, Message
from rexchange.errors import AccessRefused, InvalidArgument, PreconditionFailed
from rexchange.keyspace import Keys
from rexchange.testing import messages, wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare

BEAT = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}


def numbered(count: int, *, first: int = 0) -> list[Message]:
    """Return messages to q whose bodies are numbers."""
    return [Message(b"%d" % number, routing_key="q") for number in range(first, first + count)]


def body(consumer: Consumer) -> bytes | None:
    """Return the body of the next delivery, None where none comes."""
    delivery = consumer.next(timeout=0.1)
    return None if delivery is None else delivery.body


def first(consumer: Consumer) -> Delivery:
    """Wait for a delivery."""
    delivery = consumer.next(timeout=10)
    assert delivery is not None
    return delivery


def abandon(broker: Broker) -> None:
    """Let a broker's session die as if its process had been killed."""
    heart = broker._session._heart
    assert heart is not None
    heart.stop()
    wait_until(lambda: not heart.thread.is_alive())


def test_who_consumes_several_queues_goes_on_when_nobody_comes_before_it_any_more(
    broker: Broker, connect: Connect
) -> None:
    """Who is called by turns has a bell; with the last of them gone the others wait for the queue's own token."""
    for name in ("q", "other"):
        broker.declare_queue(name)
    with broker.consume(["q", "other"], auto_ack=False, prefetch=10) as several:
        assert body(several) is None
        waiting = Background(lambda: first(several))
        wait_until(lambda: is_waiting(several))
        visitor = connect()
        with visitor.consume("q", auto_ack=False, prefetch=1, priority=5) as preferred:
            broker.publish_many(numbered(3))
            (first(preferred)).ack(wait=True)

        found = [waiting.result(), first(several)]

        assert [each.body for each in found] == [b"1", b"2"]
        for each in found:
            each.ack(wait=True)


# --- single active consumer


@pytest.fixture
def single(broker: Broker) -> Broker:
    """Return a broker with a queue that has a single active consumer."""
    broker.declare_queue("q", single_active_consumer=True)
    return broker


def test_the_consumer_that_was_first_gets_all_messages(single: Broker) -> None:
    with (
        single.consume("q", auto_ack=False, prefetch=5) as one,
        single.consume("q", auto_ack=False, prefetch=5) as two,
    ):
        single.publish_many(numbered(3))

        assert body(two) is None
        assert [body(one) for _ in range(3)] == [b"0", b"1", b"2"]
        single.publish_many(numbered(1, first=3))
        assert body(two) is None


def test_the_others_get_nothing_also_while_the_active_one_has_no_room(single: Broker) -> None:
    with (
        single.consume("q", auto_ack=False, prefetch=1) as one,
        single.consume("q", auto_ack=False, prefetch=1) as two,
    ):
        single.publish_many(numbered(2))
        held = first(one)

        assert body(two) is None
        held.ack(wait=True)
        assert body(two) is None
        assert body(one) == b"1"


def test_the_next_takes_over_when_the_active_one_is_closed(single: Broker) -> None:
    single.publish_many(numbered(3))
    one = single.consume("q", auto_ack=False, prefetch=2)
    assert (first(one)).body == b"0"
    with single.consume("q", auto_ack=False, prefetch=3) as two:

        def three() -> list[Delivery]:
            return [first(two) for _ in range(3)]

        waiting = Background(three)
        wait_until(lambda: is_waiting(two))

        one.close()

        got = {delivery.body: delivery.redelivered for delivery in waiting.result()}
        assert got == {b"0": True, b"1": False, b"2": False}


def test_the_next_takes_over_when_the_active_one_is_cancelled_which_keeps_what_it_holds(
    single: Broker,
) -> None:
    single.publish_many(numbered(3))
    with (
        single.consume("q", auto_ack=False, prefetch=2) as one,
        single.consume("q", auto_ack=False, prefetch=3) as two,
    ):
        held = first(one)

        one.cancel()

        assert [body(two), body(two), body(two)] == [b"1", b"2", None]
        held.ack(wait=True)


def test_the_next_takes_over_when_the_active_ones_broker_is_closed(single: Broker, connect: Connect) -> None:
    other = connect()
    single.publish_many(numbered(1))
    first(other.consume("q", auto_ack=False))
    with single.consume("q", auto_ack=False) as two:
        assert body(two) is None

        other.close()

        delivery = first(two)
        assert (delivery.body, delivery.redelivered) == (b"0", True)


def test_the_next_takes_over_when_the_active_ones_process_dies(connect: Connect) -> None:
    dead, living = connect(**BEAT), connect(**BEAT)
    living.declare_queue("q", single_active_consumer=True)
    living.publish_many(numbered(1))
    first(dead.consume("q", auto_ack=False))
    with living.consume("q", auto_ack=False) as two:
        abandon(dead)

        assert (first(two)).body == b"0"


def test_they_take_over_in_the_order_in_which_they_came(single: Broker) -> None:
    consumers = [single.consume("q", auto_ack=False) for _ in range(4)]
    for consumer in consumers:
        consumer.open()
    single.publish_many(numbered(1))
    consumers[1].close()

    consumers[0].close()

    assert body(consumers[3]) is None
    assert body(consumers[2]) == b"0"
    consumers[2].close()
    assert body(consumers[3]) == b"0"
    consumers[3].close()


def test_the_active_one_stays_it_whatever_the_priority_of_those_who_come(single: Broker) -> None:
    with (
        single.consume("q", auto_ack=False) as one,
        single.consume("q", auto_ack=False, priority=10) as two,
    ):
        single.publish_many(numbered(1))

        assert body(two) is None
        assert body(one) == b"0"


def test_of_those_that_are_there_the_one_of_the_highest_priority_takes_over(single: Broker) -> None:
    consumers = [single.consume("q", auto_ack=False, priority=priority) for priority in (0, 1, 5, 5)]
    for consumer in consumers:
        consumer.open()
    single.publish_many(numbered(1))

    for active in (0, 2, 3, 1):
        others = [each for each in consumers if each is not consumers[active]]
        assert [each.next(timeout=0) for each in others] == [None] * 3
        assert body(consumers[active]) == b"0"
        consumers[active].close()


def test_the_active_one_stays_it_when_its_connection_was_lost(connect: Connect) -> None:
    broker = connect(block=timedelta(milliseconds=50))
    broker.declare_queue("q", single_active_consumer=True)
    faults = Faults(broker)
    with broker.consume("q", auto_ack=False) as one, broker.consume("q", auto_ack=False) as two:
        rule = faults.cut("XREADGROUP")
        assert one.next(timeout=0.3) is None
        assert rule.done == 1
        broker.publish_many(numbered(1))

        assert body(two) is None
        assert body(one) == b"0"


def test_get_takes_from_a_queue_with_a_single_active_consumer(single: Broker) -> None:
    with single.consume("q", auto_ack=False):
        single.publish_many(numbered(1))

        delivery = single.get("q")

    assert delivery is not None


def test_a_queue_with_a_single_active_consumer_has_no_exclusive_one(single: Broker) -> None:
    with pytest.raises(AccessRefused) as caught:
        single.consume("q", exclusive=True).open()

    assert (caught.value.kind, caught.value.name) == ("queue", "q")
    assert single.consumers() == []


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_single_active_consumer_is_a_bool(broker: Broker, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", arguments={"x-single-active-consumer": value})

    assert caught.value.argument == "x-single-active-consumer"
    assert broker.queues() == []


def test_a_second_declare_must_repeat_the_single_active_consumer(single: Broker) -> None:
    single.declare_queue("q", arguments={"x-single-active-consumer": True})

    with pytest.raises(PreconditionFailed):
        single.declare_queue("q")


# --- consumer priorities


class Crew:
    """Consumers of q that ack what they get, each beside the test; `log` says who got what."""

    def __init__(self, broker: Broker, ask: Bare, waiting_key: bytes) -> None:
        self.broker = broker
        self.log: list[tuple[str, bytes]] = []
        self._consumers: list[Consumer] = []
        self._ask = ask
        self._waiting_key = waiting_key
        self._running: list[Background[None]] = []

    def start(self, name: str, **options: Any) -> Consumer:
        """Start one."""
        consumer = self.broker.consume("q", auto_ack=False, tag=name, **options)
        consumer.open()
        self._consumers.append(consumer)

        def work() -> None:
            for delivery in consumer:
                delivery.ack(wait=True)
                self.log.append((name, delivery.body))

        self._running.append(Background(work))
        return consumer

    def waits(self, count: int) -> None:
        """Wait until so many of them wait."""
        wait_until(lambda: self._ask("ZCARD", self._waiting_key) == count)

    def got(self, count: int) -> list[str]:
        """Return who got the messages, once it is so many."""
        wait_until(lambda: len(self.log) >= count)
        return [name for name, _ in self.log]

    def close(self) -> None:
        """End all."""
        for consumer in self._consumers:
            consumer.close()
        for running in self._running:
            running.result()


@pytest.fixture
def crew(broker: Broker, ask: Bare, keys: Keys) -> Iterator[Crew]:
    """Yield a crew for a queue q; who waits is seen in the key of those who do."""
    broker.declare_queue("q")
    crew = Crew(broker, ask, keys.prefix + b"waiting:q")
    yield crew
    crew.close()


def test_of_those_that_wait_the_one_of_the_highest_priority_is_served(crew: Crew) -> None:
    for name, priority in (("low", 1), ("high", 3), ("middle", 2)):
        crew.start(name, priority=priority)

    for number in range(3):
        crew.waits(3)
        crew.broker.publish_many(numbered(1, first=number))
        crew.got(number + 1)

    assert crew.got(3) == ["high"] * 3


def test_a_negative_priority_comes_after_those_without_one(crew: Crew) -> None:
    crew.start("negative", priority=-1)
    crew.start("none")

    for number in range(3):
        crew.waits(2)
        crew.broker.publish_many(numbered(1, first=number))
        crew.got(number + 1)

    assert crew.got(3) == ["none"] * 3


def test_consumers_of_one_priority_are_served_in_turn(crew: Crew) -> None:
    crew.start("one", priority=1)
    crew.start("two", priority=1)

    for number in range(6):
        crew.waits(2)
        crew.broker.publish_many(numbered(1, first=number))
        crew.got(number + 1)

    names = crew.got(6)
    assert set(names[:2]) == {"one", "two"}
    assert names == names[:2] * 3


def test_one_without_room_is_passed_over_whatever_its_priority(crew: Crew) -> None:
    with crew.broker.consume("q", auto_ack=False, prefetch=1, priority=10) as high:
        crew.broker.publish_many(numbered(1))
        held = first(high)
        crew.start("low", priority=1)
        crew.waits(1)

        crew.broker.publish_many(numbered(3, first=1))

        assert crew.got(3) == ["low"] * 3
        held.ack(wait=True)


def test_what_the_highest_has_no_room_for_goes_to_the_next(crew: Crew) -> None:
    high = crew.broker.consume("q", auto_ack=False, prefetch=2, priority=2)

    def two() -> list[bytes]:
        return [(first(high)).body, (first(high)).body]

    waiting = Background(two)
    crew.waits(1)
    crew.start("low")
    crew.waits(2)

    crew.broker.publish_many(numbered(4))

    assert waiting.result() == [b"0", b"1"]
    assert crew.got(2) == ["low", "low"]
    assert [found for _, found in crew.log] == [b"2", b"3"]
    high.ack(0, multiple=True, wait=True)
    high.close()


def test_what_is_given_back_goes_to_the_highest_too(crew: Crew) -> None:
    crew.broker.publish_many(numbered(1))
    held = crew.broker.get("q", auto_ack=False)
    assert held is not None
    crew.start("low", priority=1)
    crew.start("high", priority=2)
    crew.waits(2)

    held.nack()

    assert crew.got(1) == ["high"]


def test_those_that_were_there_before_stand_back_when_one_of_higher_priority_comes(crew: Crew) -> None:
    plain = crew.start("plain")
    wait_until(lambda: is_waiting(plain))
    high = crew.start("high", priority=1)
    crew.waits(2)

    crew.broker.publish_many(numbered(1))
    assert crew.got(1) == ["high"]
    high.close()
    crew.broker.publish_many(numbered(3, first=1))

    assert crew.got(4) == ["high", "plain", "plain", "plain"]


def test_one_that_was_busy_when_one_of_higher_priority_came_stands_back_too(crew: Crew) -> None:
    crew.broker.publish_many(numbered(1))
    plain = crew.broker.consume("q", auto_ack=False, prefetch=1)
    held = first(plain)
    crew.start("high", priority=1)
    crew.waits(1)

    def go_on() -> Delivery | None:
        held.ack()
        return plain.next(timeout=10)

    working = Background(go_on)
    crew.waits(2)
    for number in range(3):
        crew.waits(2)
        crew.broker.publish_many(numbered(1, first=number))
        crew.got(number + 1)

    assert crew.got(3) == ["high"] * 3
    plain.close()
    assert working.result() is None


def test_a_cancelled_consumer_keeps_nobody_waiting(crew: Crew) -> None:
    crew.broker.publish_many(numbered(1))
    with crew.broker.consume("q", auto_ack=False, prefetch=5, priority=10) as high:
        held = first(high)
        high.cancel()
        crew.start("low")

        crew.broker.publish_many(numbered(2, first=1))

        assert crew.got(2) == ["low", "low"]
        held.ack(wait=True)


def test_a_backlog_waits_for_nobody(crew: Crew) -> None:
    crew.broker.publish_many(numbered(5))

    crew.start("low", priority=-5)

    assert crew.got(5) == ["low"] * 5


def test_a_priority_is_the_argument_x_priority_and_listed(broker: Broker) -> None:
    broker.declare_queue("q")

    with (
        broker.consume("q", tag="one", arguments={"x-priority": 7}),
        broker.consume("q", tag="two", priority=-7, arguments={"x-priority": -7}),
        broker.consume("q", tag="three"),
    ):
        assert {each.tag: each.priority for each in broker.consumers()} == {"one": 7, "two": -7, "three": 0}

    with pytest.raises(InvalidArgument):
        broker.consume("q", priority=1, arguments={"x-priority": 2})


@pytest.mark.parametrize("priority", ["1", 1.5, True, 1 << 31, -(1 << 31) - 1])
def test_a_priority_that_is_no_number_is_a_failed_precondition(broker: Broker, priority: Any) -> None:
    broker.declare_queue("q")

    with pytest.raises(PreconditionFailed) as caught:
        broker.consume("q", arguments={"x-priority": priority})
    with pytest.raises(PreconditionFailed):
        broker.consume("q", priority=priority)

    assert caught.value.argument == "x-priority"
    assert broker.consumers() == []


# --- exclusive consumers


@pytest.fixture
def queue(broker: Broker) -> str:
    """Return a queue."""
    return (broker.declare_queue("q")).name


@pytest.mark.parametrize("exclusive", [True, False])
def test_beside_an_exclusive_consumer_there_is_no_other(
    broker: Broker, connect: Connect, queue: str, exclusive: bool
) -> None:
    other = connect()
    with broker.consume(queue, exclusive=True, tag="mine"):
        for attempt in (broker, other):
            with pytest.raises(AccessRefused) as caught:
                attempt.consume(queue, exclusive=exclusive).open()
            assert (caught.value.kind, caught.value.name) == ("queue", "q")

        assert [each.tag for each in broker.consumers()] == ["mine"]


def test_a_queue_that_is_consumed_cannot_be_consumed_exclusively(broker: Broker, queue: str) -> None:
    with broker.consume(queue, timeout=5) as consumer:
        with pytest.raises(AccessRefused):
            broker.consume(queue, exclusive=True).open()

        broker.publish(b"goes on", routing_key=queue)
        assert (next(consumer)).body == b"goes on"


def test_a_consumer_that_is_cancelled_and_not_closed_does_not_hold_up_an_exclusive_one(
    broker: Broker, queue: str
) -> None:
    broker.publish_many(numbered(2))
    with broker.consume(queue, auto_ack=False) as one:
        held = first(one)
        one.cancel()

        with broker.consume(queue, auto_ack=False, exclusive=True) as two:
            assert (first(two)).body == b"1"
        held.ack(wait=True)


def test_a_queue_is_free_again_when_its_exclusive_consumer_is_closed(broker: Broker, queue: str) -> None:
    with broker.consume(queue, exclusive=True):
        pass
    with broker.consume(queue, exclusive=True):
        pass
    with broker.consume(queue), broker.consume(queue):
        pass


def test_a_queue_is_free_again_when_its_exclusive_consumer_is_cancelled(broker: Broker, queue: str) -> None:
    broker.publish_many(numbered(2))
    with broker.consume(queue, auto_ack=False, exclusive=True) as one:
        held = first(one)
        one.cancel()

        with broker.consume(queue, timeout=5) as two:
            assert (next(two)).body == b"1"
        held.ack(wait=True)


def test_a_queue_is_free_again_when_its_exclusive_consumers_process_dies(connect: Connect) -> None:
    dead, living = connect(**BEAT), connect(**BEAT)
    living.declare_queue("q")
    dead.consume("q", exclusive=True).open()
    abandon(dead)

    def taken() -> bool:
        living.reap()
        try:
            living.consume("q", exclusive=True, tag="next").open()
        except AccessRefused:
            return False
        return True

    wait_until(taken)
    assert [each.tag for each in living.consumers()] == ["next"]


def test_an_exclusive_consumer_has_its_queue_also_after_its_connection_was_lost(connect: Connect) -> None:
    broker = connect(block=timedelta(milliseconds=50))
    broker.declare_queue("q")
    faults = Faults(broker)
    with broker.consume("q", exclusive=True) as consumer:
        rule = faults.cut("XREADGROUP")
        assert consumer.next(timeout=0.3) is None
        assert rule.done == 1

        with pytest.raises(AccessRefused):
            broker.consume("q").open()
        broker.publish_many(numbered(1))
        assert body(consumer) == b"0"


def test_anybody_may_publish_to_get_from_and_look_at_an_exclusively_consumed_queue(
    broker: Broker, connect: Connect, queue: str
) -> None:
    other = connect()
    with broker.consume(queue, auto_ack=False, exclusive=True):
        assert other.publish(b"1", routing_key=queue) == 1
        assert (other.declare_queue(queue, passive=True)).consumer_count == 1
        delivery = other.get(queue)

    assert delivery is not None


def test_of_several_queues_all_are_had_exclusively_or_none(broker: Broker, queue: str) -> None:
    broker.declare_queue("other")
    with broker.consume("other"):
        with pytest.raises(AccessRefused) as caught:
            broker.consume([queue, "other"], exclusive=True).open()
        assert caught.value.name == "other"

        with broker.consume(queue):
            pass

    with broker.consume([queue, "other"], exclusive=True):
        for name in (queue, "other"):
            with pytest.raises(AccessRefused):
                broker.consume(name).open()


def test_a_queue_that_is_deleted_and_declared_anew_is_nobodys(broker: Broker, queue: str) -> None:
    with broker.consume(queue, exclusive=True):
        broker.delete_queue(queue)
        broker.declare_queue(queue)

        with broker.consume(queue, exclusive=True):
            pass


@pytest.mark.parametrize("exclusive", ["yes", 1, None])
def test_exclusive_is_a_bool(broker: Broker, queue: str, exclusive: Any) -> None:
    with pytest.raises(InvalidArgument):
        broker.consume(queue, exclusive=exclusive)

    assert messages(broker, queue) == []
    assert broker.consumers() == []


def test_a_consumer_of_several_queues_learns_that_turns_have_come_to_matter(connect: Connect) -> None:
    """It waits to be called, and nobody calls one who has not asked."""
    broker = connect(block=timedelta(milliseconds=50))
    broker.declare_queue("q")
    broker.declare_queue("other")
    with broker.consume(["q", "other"], auto_ack=False) as low:
        assert low.next(timeout=0.1) is None
        with broker.consume("q", auto_ack=False, prefetch=1, priority=5) as high:
            waiting = Background(lambda: first(high))
            wait_until(lambda: is_waiting(high))
            broker.publish_many(numbered(3))

            assert (waiting.result()).body == b"0"
            assert [(first(low)).body, (first(low)).body] == [b"1", b"2"]
