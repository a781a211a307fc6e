"""Retries: what a queue's retry policy does with a message that is nacked with retry=True (docs/retries.md)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Hooks, Message
from rexchange.errors import (
    AlreadySettled,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
    StaleDelivery,
)
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Connect
from tests.support.clock import Clock
from tests.support.faults import Faults
from tests.support.servers import Bare

DAY = timedelta(days=1)
SHORT = timedelta(milliseconds=150)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def broker(clock: Clock, connect: Connect) -> AsyncBroker:
    """Return a broker on that clock; its session outlives what tests move it."""
    del clock
    return await connect(session_timeout=DAY)


async def declare(broker: AsyncBroker, *seconds: float, messages: int = 1, **options: Any) -> None:
    """Declare a queue with these delays that dead-letters into "dead", and publish so many messages."""
    await broker.declare_queue("dead")
    if seconds:
        options["retry_delays"] = [timedelta(seconds=each) for each in seconds]
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead", **options)
    for number in range(1, messages + 1):
        await broker.publish(b"%d" % number, routing_key="q")


async def get(broker: AsyncBroker, queue: str = "q") -> AsyncDelivery:
    """Take a message that has to be there."""
    delivery = await broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


async def retry(broker: AsyncBroker, times: int = 1) -> None:
    """Take and retry messages."""
    for _ in range(times):
        await (await get(broker)).nack(retry=True)


async def counts(broker: AsyncBroker) -> tuple[int, int, int, int]:
    """Return how many of q are ready, unacked and waiting, and how many are in dead."""
    dead, queue = await broker.queues()
    return queue.ready, queue.unacked, queue.waiting, dead.ready


async def pass_by(broker: AsyncBroker, clock: Clock, seconds: float) -> None:
    """Let time pass, and what is due happen."""
    clock.advance(seconds)
    await broker.reap()


# --- how long it waits


async def test_it_waits_each_delay_of_the_list_and_dies_after_its_last_try(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 1, 10, 60)

    for count, seconds in enumerate((1, 10, 60), 1):
        delivery = await get(broker)
        assert (delivery.body, delivery.delivery_count, delivery.redelivered) == (b"1", count, count > 1)
        await delivery.nack(retry=True)
        assert await counts(broker) == (0, 0, 1, 0)
        await pass_by(broker, clock, seconds - 0.001)
        assert await broker.get("q") is None
        await pass_by(broker, clock, 0.001)
        assert await counts(broker) == (1, 0, 0, 0)
    await retry(broker)

    assert await counts(broker) == (0, 0, 0, 1)
    (dead,) = await async_drain(broker, "dead")
    deaths: Any = dead.headers["x-death"]
    assert [(row["queue"], row["reason"], row["count"]) for row in deaths] == [("q", "delivery_limit", 1)]


async def test_with_more_tries_than_delays_the_last_delay_repeats(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 1, 2, retry_tries=5)

    waits = []
    for _ in range(4):
        await retry(broker)
        (waiting,) = await broker.waiting("q")
        waits.append(waiting.due.timestamp() - clock.now_ms / 1000)
        await pass_by(broker, clock, 2)
    await retry(broker)

    assert [round(seconds, 3) for seconds in waits] == [1, 2, 2, 2]
    assert await counts(broker) == (0, 0, 0, 1)


async def test_one_that_grows_doubles_up_to_the_longest(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, retry_first=SECOND, retry_longest=5 * SECOND, retry_tries=6, retry_jitter=0)

    waits = []
    for _ in range(5):
        await retry(broker)
        (waiting,) = await broker.waiting("q")
        waits.append(round(waiting.due.timestamp() - clock.now_ms / 1000, 3))
        await pass_by(broker, clock, 5)
    await retry(broker)

    assert waits == [1, 2, 4, 5, 5]
    assert await counts(broker) == (0, 0, 0, 1)


async def test_jitter_spreads_what_failed_together(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 100, messages=200, retry_jitter=0.2)
    async with broker.consume("q", auto_ack=False, prefetch=0, timeout=0) as consumer:
        last = 0
        async for delivery in consumer:
            last = delivery.delivery_tag
        await consumer.nack(last, retry=True, multiple=True, wait=True)

    found = await broker.waiting("q")
    waits = [each.due.timestamp() - clock.now_ms / 1000 for each in found]
    assert len(waits) == 200
    assert 80 <= min(waits) < 84
    assert 116 < max(waits) <= 120
    assert 97 < sum(waits) / 200 < 103
    halves = [sum(low <= each < low + 10 for each in waits) for low in (80, 90, 100, 110)]
    assert min(halves) > 25, halves  # even: 50 in each quarter
    await pass_by(broker, clock, 100)
    assert 80 < (await counts(broker))[0] < 120


async def test_an_ack_timeout_counts_as_a_try_as_any_return_does(connect: Connect) -> None:
    broker, slow = await connect(), await connect(ack_timeout=SHORT)
    await declare(broker, 1, 1)

    await get(slow)
    await async_wait_until(lambda: is_ready(broker))
    await (await get(broker)).nack()
    await retry(broker)  # the third

    assert await counts(broker) == (0, 0, 0, 1)


async def is_ready(broker: AsyncBroker) -> bool:
    """Say whether a message of q is ready."""
    return (await counts(broker))[0] == 1


async def test_without_a_dead_letter_exchange_it_is_dropped_as_a_reject_does(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", retry_delays=[SECOND], retry_tries=1)
    await broker.publish(b"1", routing_key="q")

    await retry(broker)

    assert await counts(broker) == (0, 0, 0, 0)


async def test_a_dead_letter_that_comes_round_to_its_own_queue_is_dropped(broker: AsyncBroker) -> None:
    await declare(broker, 1, retry_tries=1)
    await broker.declare_queue("round", retry_delays=[SECOND], retry_tries=1, dead_letter_exchange="")
    await broker.publish(b"1", routing_key="round")

    await (await get(broker, "round")).nack(retry=True)

    assert await async_messages(broker, "round") == []


async def test_of_tries_and_a_delivery_limit_the_first_that_is_reached_holds(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 1, retry_tries=100, queue_type="quorum", delivery_limit=1)

    await retry(broker)
    await pass_by(broker, clock, 1)
    delivery = await get(broker)
    assert delivery.headers["x-delivery-count"] == 1
    await delivery.nack(retry=True)

    assert await counts(broker) == (0, 0, 0, 1)


# --- where it waits


async def test_it_comes_back_to_its_place(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 1, messages=3)

    first, second = await get(broker), await get(broker)
    await second.nack(retry=True)
    await first.nack(retry=True)
    assert [message.body for message in await async_messages(broker, "q")] == [b"3"]
    await pass_by(broker, clock, 1)

    assert [message.body for message in await async_messages(broker, "q")] == [b"1", b"2", b"3"]
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"1", b"2", b"3"]


async def test_it_comes_back_to_its_place_in_its_priority(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 1, messages=0, max_priority=5)
    for body, priority in ((b"low", 1), (b"high", 5), (b"high too", 5)):
        await broker.publish(body, routing_key="q", priority=priority)

    await retry(broker)
    assert (await get(broker)).body == b"high too"
    await pass_by(broker, clock, 1)

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"high", b"low"]


async def test_what_waits_does_not_count_in_limits_and_what_is_too_many_then_goes(
    broker: AsyncBroker, clock: Clock
) -> None:
    await declare(broker, 1, messages=1, max_length=1, max_length_bytes=100)

    await retry(broker)
    await broker.publish(b"2", routing_key="q")
    assert await counts(broker) == (1, 0, 1, 0)
    await pass_by(broker, clock, 1)

    assert await counts(broker) == (1, 0, 0, 1)
    assert [message.body for message in await async_messages(broker, "q")] == [b"2"]


async def test_what_expires_while_it_waits_dies_when_its_time_comes(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 10, message_ttl=5 * SECOND)

    await retry(broker)
    await pass_by(broker, clock, 6)
    assert await counts(broker) == (0, 0, 1, 0)
    await pass_by(broker, clock, 4)

    assert await counts(broker) == (0, 0, 0, 1)
    (dead,) = await async_drain(broker, "dead")
    assert dead.headers["x-first-death-reason"] == "expired"


async def test_it_waits_on_when_its_consumer_and_its_broker_are_gone(
    broker: AsyncBroker, clock: Clock, connect: Connect
) -> None:
    await declare(broker, 600)
    other = await connect(session_timeout=DAY)
    async with other.consume("q", auto_ack=False, timeout=5) as consumer:
        await (await anext(consumer)).nack(retry=True)  # not waited for: closing sends it
    await other.aclose()

    assert await counts(broker) == (0, 0, 1, 0)
    await pass_by(broker, clock, 599)  # the reaper has looked for overdue deliveries meanwhile: this is none
    assert await counts(broker) == (0, 0, 1, 0)
    await pass_by(broker, clock, 1)
    assert (await get(broker)).delivery_count == 2


async def test_each_comes_in_its_own_time(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 60, messages=3)
    for _ in range(3):
        await retry(broker)
        await pass_by(broker, clock, 10)

    for seconds, count in ((29, 0), (1, 1), (9, 1), (1, 2), (9, 2), (1, 3)):
        await pass_by(broker, clock, seconds)
        assert await counts(broker) == (count, 0, 3 - count, 0)


async def test_a_page_and_more_that_are_due_at_once(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 5, messages=0)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(130)])
    async with broker.consume("q", auto_ack=False, prefetch=0, timeout=0) as consumer:
        async for _ in consumer:
            pass
        await consumer.nack(0, retry=True, multiple=True, wait=True)

    assert await counts(broker) == (0, 0, 130, 0)
    assert len(await broker.waiting("q")) == 130
    await pass_by(broker, clock, 5)

    assert await counts(broker) == (130, 0, 0, 0)
    assert [int(delivery.body) for delivery in await async_drain(broker, "q")] == [*range(130)]


# --- consumers


async def test_a_consumer_gets_the_next_at_once_and_the_retry_when_it_is_due(connect: Connect) -> None:
    broker = await connect()
    await declare(broker, 0.2, messages=2)

    async with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:
        first = await anext(consumer)
        await first.nack(retry=True)
        second = await anext(consumer)
        assert (first.body, second.body, second.redelivered) == (b"1", b"2", False)
        await second.ack()
        again = await anext(consumer)
        assert (again.body, again.delivery_count) == (b"1", 2)
        await again.ack(wait=True)


async def test_one_verdict_may_retry_several(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 1, messages=3)

    async with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        first, second, third = [await anext(consumer) for _ in range(3)]
        await first.ack()
        await third.nack(retry=True, multiple=True, wait=True)
        with pytest.raises(AlreadySettled):
            await second.ack()

    assert await counts(broker) == (0, 0, 2, 0)
    await pass_by(broker, clock, 1)
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"2", b"3"]


async def test_hooks_are_told_of_a_retry(connect: Connect) -> None:
    told: list[Any] = []

    class Watcher(Hooks):
        def before_settle(self, consumer_tag: str, tags: Sequence[int], kind: str) -> None:
            told.append((consumer_tag, [*tags], kind))

        def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: str, stale: Sequence[int]) -> None:
            told.append((consumer_tag, [*tags], kind, [*stale]))

    broker = await connect(hooks=Watcher())
    await declare(broker, 60)
    await retry(broker)

    assert told == [("amq.get.q", [1], "retry"), ("amq.get.q", [1], "retry", [])]


async def test_a_late_retry_is_stale_and_does_the_new_holder_no_harm(connect: Connect) -> None:
    broker, slow = await connect(), await connect(ack_timeout=SHORT)
    await declare(broker, 1)
    async with slow.consume("q", auto_ack=False, timeout=5) as consumer:
        late = await anext(consumer)
        await async_wait_until(lambda: is_ready(broker))
        again = await get(broker)

        with pytest.raises(StaleDelivery):
            await late.nack(retry=True, wait=True)

        assert await counts(broker) == (0, 1, 0, 0)
        await again.ack()


@pytest.mark.parametrize("of_get", [True, False])
async def test_a_retry_whose_reply_is_lost_counts_and_waits_once(
    broker: AsyncBroker, clock: Clock, connect: Connect, of_get: bool
) -> None:
    await declare(broker, 10, 10)
    other = await connect(session_timeout=DAY)
    faults = Faults(other)
    rule = faults.cut("settle", times=2)
    if of_get:
        await (await get(other)).nack(retry=True)
    else:
        async with other.consume("q", auto_ack=False, timeout=5) as consumer:
            await (await anext(consumer)).nack(retry=True, wait=True)
    assert rule.done == 2

    (waiting,) = await broker.waiting("q")
    assert waiting.tries == 1
    assert round(waiting.due.timestamp() * 1000) == clock.now_ms + 10_000
    await pass_by(broker, clock, 10)
    assert (await get(broker)).delivery_count == 2
    assert other.counters.stale == 0


async def test_the_last_retry_whose_reply_is_lost_makes_one_dead_letter(broker: AsyncBroker, connect: Connect) -> None:
    await declare(broker, 10, retry_tries=1)
    other = await connect(session_timeout=DAY)
    rule = Faults(other).cut("settle")

    await (await get(other)).nack(retry=True)

    assert rule.done == 1
    assert await counts(broker) == (0, 0, 0, 1)


# --- where there is no policy


async def test_a_queue_without_a_policy_is_told_before_anything_is_done(broker: AsyncBroker) -> None:
    await declare(broker)

    delivery = await get(broker)
    with pytest.raises(PreconditionFailed, match=r"'q' has no retry policy: declare it with retry_delays") as caught:
        await delivery.nack(retry=True)
    assert (caught.value.name, caught.value.argument) == ("q", "retry")
    await delivery.nack()
    async with broker.consume("q", auto_ack=False, timeout=5) as consumer:
        delivery = await anext(consumer)
        with pytest.raises(PreconditionFailed):
            await delivery.nack(retry=True)
        assert await counts(broker) == (0, 1, 0, 0)
        await delivery.ack(wait=True)


async def test_of_several_queues_each_needs_its_policy(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    await broker.declare_queue("p")
    await broker.publish(b"p", routing_key="p")

    async with broker.consume(["q", "p"], auto_ack=False, prefetch=2, timeout=5) as consumer:
        both = {delivery.queue: delivery for delivery in [await anext(consumer), await anext(consumer)]}
        with pytest.raises(PreconditionFailed, match="'p' has no retry policy"):
            await consumer.nack(0, retry=True, multiple=True)
        await both["q"].nack(retry=True, wait=True)
        await both["p"].ack(wait=True)

    assert [(info.name, info.waiting) for info in await broker.queues()] == [("dead", 0), ("p", 0), ("q", 1)]


async def test_a_policy_that_came_after_the_consumer_holds_and_one_that_went_gives_back(
    broker: AsyncBroker, clock: Clock
) -> None:
    await declare(broker)
    async with broker.consume("q", auto_ack=False, prefetch=1, timeout=5) as consumer:
        delivery = await anext(consumer)
        await broker.set_policy("again", "^q$", {"retry-delays": [1000]})
        await delivery.nack(retry=True, wait=True)
        assert await counts(broker) == (0, 0, 1, 0)
        await pass_by(broker, clock, 1)

        delivery = await anext(consumer)
        await broker.delete_policy("again")
        await delivery.nack(retry=True, wait=True)
        assert (await counts(broker))[2:] == (0, 0)
        assert (await anext(consumer)).delivery_count == 3


async def test_what_waits_when_its_policy_goes_comes_back_in_its_time(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker)
    await broker.set_policy("again", "^q$", {"retry-first": 2000, "retry-tries": 3, "retry-jitter": 0})
    await retry(broker)

    await broker.delete_policy("again")
    await pass_by(broker, clock, 2)

    assert await counts(broker) == (1, 0, 0, 0)


async def test_an_ack_on_receipt_leaves_nothing_to_retry(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    delivery = await broker.get("q", auto_ack=True)
    assert delivery is not None
    with pytest.raises(AlreadySettled):
        await delivery.nack(retry=True)


async def test_what_contradicts_itself_is_refused(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    delivery = await get(broker)
    flags: list[Any] = [{"retry": True, "requeue": False}, {"retry": "yes"}]
    for wrong in flags:
        with pytest.raises(InvalidArgument):
            await delivery.nack(**wrong)
    async with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        with pytest.raises(InvalidArgument):
            await consumer.nack(0, retry=True, requeue=False, multiple=True)
    await delivery.ack()


# --- declaring


async def test_a_policy_that_cannot_end_declares_nothing(broker: AsyncBroker) -> None:
    with pytest.raises(PreconditionFailed, match="would never end"):
        await broker.declare_queue("q", retry_first=SECOND)
    assert await broker.queues() == []


async def test_a_second_declare_must_repeat_the_policy(broker: AsyncBroker) -> None:
    await declare(broker, 1, messages=0)
    for other in ({}, {"retry_delays": [2 * SECOND]}, {"retry_delays": [SECOND], "retry_tries": 5}):
        options: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead", **other}
        with pytest.raises(PreconditionFailed, match="x-retry-"):
            await broker.declare_queue("q", **options)
    await declare(broker, 1, messages=0)


# --- looking, sending at once, taking away


async def test_what_waits_is_told(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 60, 30, messages=2)
    assert await broker.waiting("q") == []
    await retry(broker)
    await pass_by(broker, clock, 60)
    await retry(broker, 2)

    first, second = await broker.waiting("q")
    assert (first.tries, second.tries) == (2, 1)
    assert first.due == datetime.fromtimestamp(clock.now_ms / 1000 + 30, UTC)
    assert second.due - first.due == timedelta(seconds=30)
    with pytest.raises(NotFound):
        await broker.waiting("nowhere")


async def test_it_can_be_sent_at_once(broker: AsyncBroker, clock: Clock) -> None:
    await declare(broker, 60, messages=3)
    await retry(broker, 3)
    first, *_ = sorted(each.id for each in await broker.waiting("q"))

    assert await broker.retry_now("q", ["1-1", first, first]) == 1
    assert (await get(broker)).body == b"1"
    assert await counts(broker) == (0, 1, 2, 0)
    assert await broker.retry_now("q", [first]) == 0
    assert await broker.retry_now("q") == 2
    assert await broker.retry_now("q") == 0
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"2", b"3"]
    await pass_by(broker, clock, 60)
    assert (await counts(broker))[:3] == (0, 1, 0)


async def test_a_blocked_consumer_gets_what_is_sent_at_once(connect: Connect) -> None:
    broker, other = await connect(), await connect()
    await declare(broker, 600)
    async with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        await (await anext(consumer)).nack(retry=True, wait=True)
        assert await other.retry_now("q") == 1
        assert (await anext(consumer)).delivery_count == 2


async def test_who_may_not_or_names_what_is_wrong(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await broker.declare_queue("mine", exclusive=True, durable=False, retry_delays=[SECOND])
    with pytest.raises(ResourceLocked):
        await other.retry_now("mine")
    with pytest.raises(NotFound):
        await broker.retry_now("nowhere")
    wrong: list[Any] = ["1-0", [1], ["1"], 5]
    for ids in wrong:
        with pytest.raises(InvalidArgument):
            await broker.retry_now("mine", ids)


async def test_a_purge_takes_what_waits_too(broker: AsyncBroker, clock: Clock, ask: Bare, keys: Keys) -> None:
    await declare(broker, 60, messages=4)
    await retry(broker, 2)
    held = await get(broker)

    assert await broker.purge("q") == 3
    assert await counts(broker) == (0, 1, 0, 0)
    assert ask("EXISTS", keys.retrying) == 0
    await pass_by(broker, clock, 60)
    assert await counts(broker) == (0, 1, 0, 0)
    await held.ack()


async def test_a_queue_in_which_something_waits_is_not_empty(broker: AsyncBroker) -> None:
    await declare(broker, 60)
    await retry(broker)
    with pytest.raises(PreconditionFailed, match="1 messages that wait to be tried again"):
        await broker.delete_queue("q", if_empty=True)
    assert await broker.delete_queue("q") == 0
    assert (await broker.reap()).given_back == 0


@pytest.mark.damages_keys
async def test_what_was_deleted_by_hand_while_it_waited_is_forgotten(
    broker: AsyncBroker, clock: Clock, ask: Bare, keys: Keys
) -> None:
    await declare(broker, 1, messages=2)
    await retry(broker, 2)
    first, second = await broker.waiting("q")
    ask("XDEL", keys.stream(b"q"), first.id)
    ask("XACK", keys.stream(b"q"), "g", second.id)

    await pass_by(broker, clock, 1)

    assert await broker.waiting("q") == []
    assert ask("EXISTS", keys.retrying) == 0
    await broker.publish(b"3", routing_key="q")
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"3"]
