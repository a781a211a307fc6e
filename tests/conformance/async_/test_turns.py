"""Whose turn it is: single active consumer, consumer priorities, exclusive consumers (docs/semantics.md, Consuming)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncConsumer, AsyncDelivery, Message
from rexchange.errors import AccessRefused, InvalidArgument, PreconditionFailed
from rexchange.keyspace import Keys
from rexchange.testing import async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare

BEAT = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}


def numbered(count: int, *, first: int = 0) -> list[Message]:
    """Return messages to q whose bodies are numbers."""
    return [Message(b"%d" % number, routing_key="q") for number in range(first, first + count)]


async def body(consumer: AsyncConsumer) -> bytes | None:
    """Return the body of the next delivery, None where none comes."""
    delivery = await consumer.next(timeout=0.1)
    return None if delivery is None else delivery.body


async def first(consumer: AsyncConsumer) -> AsyncDelivery:
    """Wait for a delivery."""
    delivery = await consumer.next(timeout=10)
    assert delivery is not None
    return delivery


async def abandon(broker: AsyncBroker) -> None:
    """Let a broker's session die as if its process had been killed."""
    heart = broker._session._heart
    assert heart is not None
    heart.stop()
    await async_wait_until(lambda: not heart.thread.is_alive())


async def test_who_consumes_several_queues_goes_on_when_nobody_comes_before_it_any_more(
    broker: AsyncBroker, connect: Connect
) -> None:
    """Who is called by turns has a bell; with the last of them gone the others wait for the queue's own token."""
    for name in ("q", "other"):
        await broker.declare_queue(name)
    async with broker.consume(["q", "other"], auto_ack=False, prefetch=10) as several:
        assert await body(several) is None
        waiting = Background(lambda: first(several))
        await async_wait_until(lambda: is_waiting(several))
        visitor = await connect()
        async with visitor.consume("q", auto_ack=False, prefetch=1, priority=5) as preferred:
            await broker.publish_many(numbered(3))
            await (await first(preferred)).ack(wait=True)

        found = [await waiting.result(), await first(several)]

        assert [each.body for each in found] == [b"1", b"2"]
        for each in found:
            await each.ack(wait=True)


# --- single active consumer


@pytest.fixture
async def single(broker: AsyncBroker) -> AsyncBroker:
    """Return a broker with a queue that has a single active consumer."""
    await broker.declare_queue("q", single_active_consumer=True)
    return broker


async def test_the_consumer_that_was_first_gets_all_messages(single: AsyncBroker) -> None:
    async with (
        single.consume("q", auto_ack=False, prefetch=5) as one,
        single.consume("q", auto_ack=False, prefetch=5) as two,
    ):
        await single.publish_many(numbered(3))

        assert await body(two) is None
        assert [await body(one) for _ in range(3)] == [b"0", b"1", b"2"]
        await single.publish_many(numbered(1, first=3))
        assert await body(two) is None


async def test_the_others_get_nothing_also_while_the_active_one_has_no_room(single: AsyncBroker) -> None:
    async with (
        single.consume("q", auto_ack=False, prefetch=1) as one,
        single.consume("q", auto_ack=False, prefetch=1) as two,
    ):
        await single.publish_many(numbered(2))
        held = await first(one)

        assert await body(two) is None
        await held.ack(wait=True)
        assert await body(two) is None
        assert await body(one) == b"1"


async def test_the_next_takes_over_when_the_active_one_is_closed(single: AsyncBroker) -> None:
    await single.publish_many(numbered(3))
    one = single.consume("q", auto_ack=False, prefetch=2)
    assert (await first(one)).body == b"0"
    async with single.consume("q", auto_ack=False, prefetch=3) as two:

        async def three() -> list[AsyncDelivery]:
            return [await first(two) for _ in range(3)]

        waiting = Background(three)
        await async_wait_until(lambda: is_waiting(two))

        await one.aclose()

        got = {delivery.body: delivery.redelivered for delivery in await waiting.result()}
        assert got == {b"0": True, b"1": False, b"2": False}


async def test_the_next_takes_over_when_the_active_one_is_cancelled_which_keeps_what_it_holds(
    single: AsyncBroker,
) -> None:
    await single.publish_many(numbered(3))
    async with (
        single.consume("q", auto_ack=False, prefetch=2) as one,
        single.consume("q", auto_ack=False, prefetch=3) as two,
    ):
        held = await first(one)

        await one.cancel()

        assert [await body(two), await body(two), await body(two)] == [b"1", b"2", None]
        await held.ack(wait=True)


async def test_the_next_takes_over_when_the_active_ones_broker_is_closed(single: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await single.publish_many(numbered(1))
    await first(other.consume("q", auto_ack=False))
    async with single.consume("q", auto_ack=False) as two:
        assert await body(two) is None

        await other.aclose()

        delivery = await first(two)
        assert (delivery.body, delivery.redelivered) == (b"0", True)


async def test_the_next_takes_over_when_the_active_ones_process_dies(connect: Connect) -> None:
    dead, living = await connect(**BEAT), await connect(**BEAT)
    await living.declare_queue("q", single_active_consumer=True)
    await living.publish_many(numbered(1))
    await first(dead.consume("q", auto_ack=False))
    async with living.consume("q", auto_ack=False) as two:
        await abandon(dead)

        assert (await first(two)).body == b"0"


async def test_they_take_over_in_the_order_in_which_they_came(single: AsyncBroker) -> None:
    consumers = [single.consume("q", auto_ack=False) for _ in range(4)]
    for consumer in consumers:
        await consumer.open()
    await single.publish_many(numbered(1))
    await consumers[1].aclose()

    await consumers[0].aclose()

    assert await body(consumers[3]) is None
    assert await body(consumers[2]) == b"0"
    await consumers[2].aclose()
    assert await body(consumers[3]) == b"0"
    await consumers[3].aclose()


async def test_the_active_one_stays_it_whatever_the_priority_of_those_who_come(single: AsyncBroker) -> None:
    async with (
        single.consume("q", auto_ack=False) as one,
        single.consume("q", auto_ack=False, priority=10) as two,
    ):
        await single.publish_many(numbered(1))

        assert await body(two) is None
        assert await body(one) == b"0"


async def test_of_those_that_are_there_the_one_of_the_highest_priority_takes_over(single: AsyncBroker) -> None:
    consumers = [single.consume("q", auto_ack=False, priority=priority) for priority in (0, 1, 5, 5)]
    for consumer in consumers:
        await consumer.open()
    await single.publish_many(numbered(1))

    for active in (0, 2, 3, 1):
        others = [each for each in consumers if each is not consumers[active]]
        assert [await each.next(timeout=0) for each in others] == [None] * 3
        assert await body(consumers[active]) == b"0"
        await consumers[active].aclose()


async def test_the_active_one_stays_it_when_its_connection_was_lost(connect: Connect) -> None:
    broker = await connect(block=timedelta(milliseconds=50))
    await broker.declare_queue("q", single_active_consumer=True)
    faults = Faults(broker)
    async with broker.consume("q", auto_ack=False) as one, broker.consume("q", auto_ack=False) as two:
        rule = faults.cut("XREADGROUP")
        assert await one.next(timeout=0.3) is None
        assert rule.done == 1
        await broker.publish_many(numbered(1))

        assert await body(two) is None
        assert await body(one) == b"0"


async def test_get_takes_from_a_queue_with_a_single_active_consumer(single: AsyncBroker) -> None:
    async with single.consume("q", auto_ack=False):
        await single.publish_many(numbered(1))

        delivery = await single.get("q")

    assert delivery is not None


async def test_a_queue_with_a_single_active_consumer_has_no_exclusive_one(single: AsyncBroker) -> None:
    with pytest.raises(AccessRefused) as caught:
        await single.consume("q", exclusive=True).open()

    assert (caught.value.kind, caught.value.name) == ("queue", "q")
    assert await single.consumers() == []


@pytest.mark.parametrize("value", ["yes", 1, None])
async def test_single_active_consumer_is_a_bool(broker: AsyncBroker, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments={"x-single-active-consumer": value})

    assert caught.value.argument == "x-single-active-consumer"
    assert await broker.queues() == []


async def test_a_second_declare_must_repeat_the_single_active_consumer(single: AsyncBroker) -> None:
    await single.declare_queue("q", arguments={"x-single-active-consumer": True})

    with pytest.raises(PreconditionFailed):
        await single.declare_queue("q")


# --- consumer priorities


class Crew:
    """Consumers of q that ack what they get, each beside the test; `log` says who got what."""

    def __init__(self, broker: AsyncBroker, ask: Bare, waiting_key: bytes) -> None:
        self.broker = broker
        self.log: list[tuple[str, bytes]] = []
        self._consumers: list[AsyncConsumer] = []
        self._ask = ask
        self._waiting_key = waiting_key
        self._running: list[Background[None]] = []

    async def start(self, name: str, **options: Any) -> AsyncConsumer:
        """Start one."""
        consumer = self.broker.consume("q", auto_ack=False, tag=name, **options)
        await consumer.open()
        self._consumers.append(consumer)

        async def work() -> None:
            async for delivery in consumer:
                await delivery.ack(wait=True)
                self.log.append((name, delivery.body))

        self._running.append(Background(work))
        return consumer

    async def waits(self, count: int) -> None:
        """Wait until so many of them wait."""
        await async_wait_until(lambda: self._ask("ZCARD", self._waiting_key) == count)

    async def got(self, count: int) -> list[str]:
        """Return who got the messages, once it is so many."""
        await async_wait_until(lambda: len(self.log) >= count)
        return [name for name, _ in self.log]

    async def aclose(self) -> None:
        """End all."""
        for consumer in self._consumers:
            await consumer.aclose()
        for running in self._running:
            await running.result()


@pytest.fixture
async def crew(broker: AsyncBroker, ask: Bare, keys: Keys) -> AsyncIterator[Crew]:
    """Yield a crew for a queue q; who waits is seen in the key of those who do."""
    await broker.declare_queue("q")
    crew = Crew(broker, ask, keys.prefix + b"waiting:q")
    yield crew
    await crew.aclose()


async def test_of_those_that_wait_the_one_of_the_highest_priority_is_served(crew: Crew) -> None:
    for name, priority in (("low", 1), ("high", 3), ("middle", 2)):
        await crew.start(name, priority=priority)

    for number in range(3):
        await crew.waits(3)
        await crew.broker.publish_many(numbered(1, first=number))
        await crew.got(number + 1)

    assert await crew.got(3) == ["high"] * 3


async def test_a_negative_priority_comes_after_those_without_one(crew: Crew) -> None:
    await crew.start("negative", priority=-1)
    await crew.start("none")

    for number in range(3):
        await crew.waits(2)
        await crew.broker.publish_many(numbered(1, first=number))
        await crew.got(number + 1)

    assert await crew.got(3) == ["none"] * 3


async def test_consumers_of_one_priority_are_served_in_turn(crew: Crew) -> None:
    await crew.start("one", priority=1)
    await crew.start("two", priority=1)

    for number in range(6):
        await crew.waits(2)
        await crew.broker.publish_many(numbered(1, first=number))
        await crew.got(number + 1)

    names = await crew.got(6)
    assert set(names[:2]) == {"one", "two"}
    assert names == names[:2] * 3


async def test_one_without_room_is_passed_over_whatever_its_priority(crew: Crew) -> None:
    async with crew.broker.consume("q", auto_ack=False, prefetch=1, priority=10) as high:
        await crew.broker.publish_many(numbered(1))
        held = await first(high)
        await crew.start("low", priority=1)
        await crew.waits(1)

        await crew.broker.publish_many(numbered(3, first=1))

        assert await crew.got(3) == ["low"] * 3
        await held.ack(wait=True)


async def test_what_the_highest_has_no_room_for_goes_to_the_next(crew: Crew) -> None:
    high = crew.broker.consume("q", auto_ack=False, prefetch=2, priority=2)

    async def two() -> list[bytes]:
        return [(await first(high)).body, (await first(high)).body]

    waiting = Background(two)
    await crew.waits(1)
    await crew.start("low")
    await crew.waits(2)

    await crew.broker.publish_many(numbered(4))

    assert await waiting.result() == [b"0", b"1"]
    assert await crew.got(2) == ["low", "low"]
    assert [found for _, found in crew.log] == [b"2", b"3"]
    await high.ack(0, multiple=True, wait=True)
    await high.aclose()


async def test_what_is_given_back_goes_to_the_highest_too(crew: Crew) -> None:
    await crew.broker.publish_many(numbered(1))
    held = await crew.broker.get("q", auto_ack=False)
    assert held is not None
    await crew.start("low", priority=1)
    await crew.start("high", priority=2)
    await crew.waits(2)

    await held.nack()

    assert await crew.got(1) == ["high"]


async def test_those_that_were_there_before_stand_back_when_one_of_higher_priority_comes(crew: Crew) -> None:
    plain = await crew.start("plain")
    await async_wait_until(lambda: is_waiting(plain))
    high = await crew.start("high", priority=1)
    await crew.waits(2)

    await crew.broker.publish_many(numbered(1))
    assert await crew.got(1) == ["high"]
    await high.aclose()
    await crew.broker.publish_many(numbered(3, first=1))

    assert await crew.got(4) == ["high", "plain", "plain", "plain"]


async def test_one_that_was_busy_when_one_of_higher_priority_came_stands_back_too(crew: Crew) -> None:
    await crew.broker.publish_many(numbered(1))
    plain = crew.broker.consume("q", auto_ack=False, prefetch=1)
    held = await first(plain)
    await crew.start("high", priority=1)
    await crew.waits(1)

    async def go_on() -> AsyncDelivery | None:
        await held.ack()
        return await plain.next(timeout=10)

    working = Background(go_on)
    await crew.waits(2)
    for number in range(3):
        await crew.waits(2)
        await crew.broker.publish_many(numbered(1, first=number))
        await crew.got(number + 1)

    assert await crew.got(3) == ["high"] * 3
    await plain.aclose()
    assert await working.result() is None


async def test_a_cancelled_consumer_keeps_nobody_waiting(crew: Crew) -> None:
    await crew.broker.publish_many(numbered(1))
    async with crew.broker.consume("q", auto_ack=False, prefetch=5, priority=10) as high:
        held = await first(high)
        await high.cancel()
        await crew.start("low")

        await crew.broker.publish_many(numbered(2, first=1))

        assert await crew.got(2) == ["low", "low"]
        await held.ack(wait=True)


async def test_a_backlog_waits_for_nobody(crew: Crew) -> None:
    await crew.broker.publish_many(numbered(5))

    await crew.start("low", priority=-5)

    assert await crew.got(5) == ["low"] * 5


async def test_a_priority_is_the_argument_x_priority_and_listed(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with (
        broker.consume("q", tag="one", arguments={"x-priority": 7}),
        broker.consume("q", tag="two", priority=-7, arguments={"x-priority": -7}),
        broker.consume("q", tag="three"),
    ):
        assert {each.tag: each.priority for each in await broker.consumers()} == {"one": 7, "two": -7, "three": 0}

    with pytest.raises(InvalidArgument):
        broker.consume("q", priority=1, arguments={"x-priority": 2})


@pytest.mark.parametrize("priority", ["1", 1.5, True, 1 << 31, -(1 << 31) - 1])
async def test_a_priority_that_is_no_number_is_a_failed_precondition(broker: AsyncBroker, priority: Any) -> None:
    await broker.declare_queue("q")

    with pytest.raises(PreconditionFailed) as caught:
        broker.consume("q", arguments={"x-priority": priority})
    with pytest.raises(PreconditionFailed):
        broker.consume("q", priority=priority)

    assert caught.value.argument == "x-priority"
    assert await broker.consumers() == []


# --- exclusive consumers


@pytest.fixture
async def queue(broker: AsyncBroker) -> str:
    """Return a queue."""
    return (await broker.declare_queue("q")).name


@pytest.mark.parametrize("exclusive", [True, False])
async def test_beside_an_exclusive_consumer_there_is_no_other(
    broker: AsyncBroker, connect: Connect, queue: str, exclusive: bool
) -> None:
    other = await connect()
    async with broker.consume(queue, exclusive=True, tag="mine"):
        for attempt in (broker, other):
            with pytest.raises(AccessRefused) as caught:
                await attempt.consume(queue, exclusive=exclusive).open()
            assert (caught.value.kind, caught.value.name) == ("queue", "q")

        assert [each.tag for each in await broker.consumers()] == ["mine"]


async def test_a_queue_that_is_consumed_cannot_be_consumed_exclusively(broker: AsyncBroker, queue: str) -> None:
    async with broker.consume(queue, timeout=5) as consumer:
        with pytest.raises(AccessRefused):
            await broker.consume(queue, exclusive=True).open()

        await broker.publish(b"goes on", routing_key=queue)
        assert (await anext(consumer)).body == b"goes on"


async def test_a_consumer_that_is_cancelled_and_not_closed_does_not_hold_up_an_exclusive_one(
    broker: AsyncBroker, queue: str
) -> None:
    await broker.publish_many(numbered(2))
    async with broker.consume(queue, auto_ack=False) as one:
        held = await first(one)
        await one.cancel()

        async with broker.consume(queue, auto_ack=False, exclusive=True) as two:
            assert (await first(two)).body == b"1"
        await held.ack(wait=True)


async def test_a_queue_is_free_again_when_its_exclusive_consumer_is_closed(broker: AsyncBroker, queue: str) -> None:
    async with broker.consume(queue, exclusive=True):
        pass
    async with broker.consume(queue, exclusive=True):
        pass
    async with broker.consume(queue), broker.consume(queue):
        pass


async def test_a_queue_is_free_again_when_its_exclusive_consumer_is_cancelled(broker: AsyncBroker, queue: str) -> None:
    await broker.publish_many(numbered(2))
    async with broker.consume(queue, auto_ack=False, exclusive=True) as one:
        held = await first(one)
        await one.cancel()

        async with broker.consume(queue, timeout=5) as two:
            assert (await anext(two)).body == b"1"
        await held.ack(wait=True)


async def test_a_queue_is_free_again_when_its_exclusive_consumers_process_dies(connect: Connect) -> None:
    dead, living = await connect(**BEAT), await connect(**BEAT)
    await living.declare_queue("q")
    await dead.consume("q", exclusive=True).open()
    await abandon(dead)

    async def taken() -> bool:
        await living.reap()
        try:
            await living.consume("q", exclusive=True, tag="next").open()
        except AccessRefused:
            return False
        return True

    await async_wait_until(taken)
    assert [each.tag for each in await living.consumers()] == ["next"]


async def test_an_exclusive_consumer_has_its_queue_also_after_its_connection_was_lost(connect: Connect) -> None:
    broker = await connect(block=timedelta(milliseconds=50))
    await broker.declare_queue("q")
    faults = Faults(broker)
    async with broker.consume("q", exclusive=True) as consumer:
        rule = faults.cut("XREADGROUP")
        assert await consumer.next(timeout=0.3) is None
        assert rule.done == 1

        with pytest.raises(AccessRefused):
            await broker.consume("q").open()
        await broker.publish_many(numbered(1))
        assert await body(consumer) == b"0"


async def test_anybody_may_publish_to_get_from_and_look_at_an_exclusively_consumed_queue(
    broker: AsyncBroker, connect: Connect, queue: str
) -> None:
    other = await connect()
    async with broker.consume(queue, auto_ack=False, exclusive=True):
        assert await other.publish(b"1", routing_key=queue) == 1
        assert (await other.declare_queue(queue, passive=True)).consumer_count == 1
        delivery = await other.get(queue)

    assert delivery is not None


async def test_of_several_queues_all_are_had_exclusively_or_none(broker: AsyncBroker, queue: str) -> None:
    await broker.declare_queue("other")
    async with broker.consume("other"):
        with pytest.raises(AccessRefused) as caught:
            await broker.consume([queue, "other"], exclusive=True).open()
        assert caught.value.name == "other"

        async with broker.consume(queue):
            pass

    async with broker.consume([queue, "other"], exclusive=True):
        for name in (queue, "other"):
            with pytest.raises(AccessRefused):
                await broker.consume(name).open()


async def test_a_queue_that_is_deleted_and_declared_anew_is_nobodys(broker: AsyncBroker, queue: str) -> None:
    async with broker.consume(queue, exclusive=True):
        await broker.delete_queue(queue)
        await broker.declare_queue(queue)

        async with broker.consume(queue, exclusive=True):
            pass


@pytest.mark.parametrize("exclusive", ["yes", 1, None])
async def test_exclusive_is_a_bool(broker: AsyncBroker, queue: str, exclusive: Any) -> None:
    with pytest.raises(InvalidArgument):
        broker.consume(queue, exclusive=exclusive)

    assert await async_messages(broker, queue) == []
    assert await broker.consumers() == []


async def test_a_consumer_of_several_queues_learns_that_turns_have_come_to_matter(connect: Connect) -> None:
    """It waits to be called, and nobody calls one who has not asked."""
    broker = await connect(block=timedelta(milliseconds=50))
    await broker.declare_queue("q")
    await broker.declare_queue("other")
    async with broker.consume(["q", "other"], auto_ack=False) as low:
        assert await low.next(timeout=0.1) is None
        async with broker.consume("q", auto_ack=False, prefetch=1, priority=5) as high:
            waiting = Background(lambda: first(high))
            await async_wait_until(lambda: is_waiting(high))
            await broker.publish_many(numbered(3))

            assert (await waiting.result()).body == b"0"
            assert [(await first(low)).body, (await first(low)).body] == [b"1", b"2"]
