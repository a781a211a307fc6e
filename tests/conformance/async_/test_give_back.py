"""What goes back to its queue: on cancel, close, the end of a session, and the ack timeout."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange._async import io
from rexchange.errors import StaleDelivery
from rexchange.keyspace import Keys
from rexchange.protocol import tick
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.servers import Bare

SHORT = timedelta(milliseconds=150)


async def fill(broker: AsyncBroker, count: int) -> None:
    """Declare a queue of so many messages."""
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(count)])


async def ready(broker: AsyncBroker) -> int:
    """Return how many are ready."""
    (info,) = await broker.queues()
    return info.ready


async def abandon(broker: AsyncBroker) -> None:
    """Let a broker's session die as if its process had been killed: nothing is given back, nothing renewed."""
    heart = broker._session._heart
    assert heart is not None
    heart.stop()
    await async_wait_until(lambda: not heart.thread.is_alive())


async def test_cancel_gives_back_what_was_not_handed_out_as_never_delivered(broker: AsyncBroker) -> None:
    await fill(broker, 5)

    async with broker.consume("q", auto_ack=False, prefetch=5) as consumer:
        shown = await anext(consumer)
        await consumer.cancel()

        others = await async_drain(broker, "q")
        assert [delivery.body for delivery in others] == [b"1", b"2", b"3", b"4"]
        assert {(delivery.redelivered, delivery.delivery_count) for delivery in others} == {(False, 1)}
        await shown.ack(wait=True)

    assert await broker.get("q") is None


async def test_cancel_leaves_a_consumer_of_several_queues_what_it_handed_out(broker: AsyncBroker) -> None:
    await fill(broker, 3)
    await broker.declare_queue("other")
    await broker.publish(b"other", routing_key="other")

    async with broker.consume(["q", "other"], auto_ack=False, timeout=0.05) as consumer:
        shown = [await anext(consumer), await anext(consumer)]
        await consumer.cancel()
        assert sum(info.ready for info in await broker.queues()) == 2
        for delivery in shown:
            await delivery.ack(wait=True)

    assert sum(info.ready for info in await broker.queues()) == 2


async def test_closing_gives_back_what_was_not_settled_in_its_place(broker: AsyncBroker) -> None:
    await fill(broker, 4)

    async with broker.consume("q", auto_ack=False, prefetch=3) as consumer:
        await anext(consumer)
        second = await anext(consumer)
        await second.ack()

    left = await async_drain(broker, "q")
    assert [(delivery.body, delivery.redelivered) for delivery in left] == [
        (b"0", True),
        (b"2", False),
        (b"3", False),
    ]


async def test_a_verdict_after_the_close_is_stale(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    async with broker.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)

    with pytest.raises(StaleDelivery):
        await delivery.ack()

    assert await ready(broker) == 1


async def test_a_nack_reaches_a_waiting_consumer_within_50_ms(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    took = []

    async with broker.consume("q", auto_ack=False, timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        for _ in range(5):  # the quickest of five: other processes may want the machine, which says nothing of ours
            await broker.publish(b"0", routing_key="q")
            delivery = await broker.get("q", auto_ack=False)
            assert delivery is not None
            waiting = Background(first)
            await async_wait_until(lambda: is_waiting(consumer))
            started = time.monotonic()

            await delivery.nack()
            again = await waiting.result()

            took.append(time.monotonic() - started)
            assert (again.body, again.redelivered) == (b"0", True)
            await again.ack(wait=True)

    assert min(took) < 0.05


async def test_closing_a_broker_wakes_the_consumers_of_others(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await fill(broker, 2)
    consumer = other.consume("q", auto_ack=False, prefetch=1)
    await anext(consumer)

    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=10) as waiting:
        assert (await anext(waiting)).body == b"1"

        async def first() -> AsyncDelivery:
            return await anext(waiting)

        running = Background(first)
        await other.aclose()

        assert (await running.result()).body == b"0"


async def test_an_ack_timeout_gives_back_and_counts(broker: AsyncBroker, connect: Connect) -> None:
    slow = await connect(ack_timeout=timedelta(seconds=1))
    await fill(broker, 2)

    async with slow.consume("q", auto_ack=False, prefetch=1) as consumer:
        await anext(consumer)
        async with broker.consume("q", auto_ack=False, prefetch=2, timeout=10) as holder:
            assert (await anext(holder)).body == b"1"
            again = await anext(holder)

            assert (again.body, again.redelivered, again.delivery_count) == (b"0", True, 2)


@pytest.mark.parametrize("wait", [True, False])
async def test_a_late_ack_is_stale_and_does_the_new_holder_no_harm(
    broker: AsyncBroker, connect: Connect, wait: bool
) -> None:
    told: list[tuple[int, str]] = []
    slow = await connect(ack_timeout=SHORT)
    await fill(broker, 1)

    async with slow.consume("q", auto_ack=False, on_stale=lambda tag, queue: told.append((tag, queue))) as consumer:
        late = await anext(consumer)
        await async_wait_until(lambda: ready(broker))
        async with broker.consume("q", auto_ack=False, timeout=10) as holder:
            again = await anext(holder)

            if wait:
                with pytest.raises(StaleDelivery) as caught:
                    await late.ack(wait=True)
                assert caught.value.delivery_tag == late.delivery_tag
            else:
                await late.ack()
            await async_wait_until(lambda: slow.counters.stale == 1)

            assert told == [(late.delivery_tag, "q")]
            assert (await broker.queues())[0].unacked == 1
            await again.ack(wait=True)

    assert await async_messages(broker, "q") == []


async def test_a_late_nack_does_the_new_holder_no_harm(broker: AsyncBroker, connect: Connect) -> None:
    slow = await connect(ack_timeout=SHORT)
    await fill(broker, 1)

    async with slow.consume("q", auto_ack=False) as consumer:
        late = await anext(consumer)
        await async_wait_until(lambda: ready(broker))
        again = await broker.get("q", auto_ack=False)
        assert again is not None

        with pytest.raises(StaleDelivery):
            await late.nack(wait=True)

        assert await broker.get("q", auto_ack=False) is None
        await again.ack()


async def test_a_late_ack_of_get_raises(broker: AsyncBroker, connect: Connect) -> None:
    slow = await connect(ack_timeout=SHORT)
    await fill(broker, 1)
    late = await slow.get("q", auto_ack=False)
    assert late is not None
    await async_wait_until(lambda: ready(broker))

    with pytest.raises(StaleDelivery):
        await late.ack()

    assert await ready(broker) == 1


async def test_what_came_again_to_the_same_consumer_can_not_be_acked_by_its_old_tag(connect: Connect) -> None:
    slow = await connect(ack_timeout=SHORT)
    await fill(slow, 1)

    async with slow.consume("q", auto_ack=False, timeout=10) as consumer:
        late = await anext(consumer)
        again = await anext(consumer)
        assert again.redelivered

        with pytest.raises(StaleDelivery):
            await late.ack()
        await again.ack(wait=True)

    assert await async_messages(slow, "q") == []


async def test_the_queues_own_ack_timeout_beats_the_setting(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", ack_timeout=SHORT)
    await broker.publish(b"0", routing_key="q")

    async with broker.consume("q", auto_ack=False, timeout=10) as consumer:
        await anext(consumer)
        assert (await anext(consumer)).redelivered


async def test_the_consumers_ack_timeout_beats_the_queues(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", ack_timeout=timedelta(minutes=5))
    await broker.publish(b"0", routing_key="q")

    async with broker.consume("q", auto_ack=False, timeout=10, ack_timeout=SHORT) as consumer:
        await anext(consumer)
        assert (await anext(consumer)).redelivered


async def test_a_consumers_ack_timeout_may_be_given_as_argument(broker: AsyncBroker) -> None:
    await fill(broker, 1)

    async with broker.consume("q", auto_ack=False, timeout=10, arguments={"x-consumer-timeout": 150}) as consumer:
        await anext(consumer)
        assert (await anext(consumer)).redelivered
        (listed,) = await broker.consumers()
        assert listed.ack_timeout == SHORT


@pytest.mark.slow
async def test_extend_starts_the_ack_timeout_anew(connect: Connect, broker: AsyncBroker) -> None:
    slow = await connect(ack_timeout=timedelta(seconds=1))
    await fill(broker, 1)

    async with slow.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)
        until = time.monotonic() + 1.5

        async def extended_for_long_enough() -> bool:
            await delivery.extend()
            return time.monotonic() > until

        await async_wait_until(extended_for_long_enough, interval=0.05)

        await delivery.ack(wait=True)


async def test_extending_what_was_given_back_is_stale(connect: Connect, broker: AsyncBroker) -> None:
    slow = await connect(ack_timeout=SHORT)
    await fill(broker, 1)

    async with slow.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)
        await async_wait_until(lambda: ready(broker))

        with pytest.raises(StaleDelivery):
            await delivery.extend()


@pytest.mark.slow
async def test_renew_keeps_what_a_living_consumer_holds(connect: Connect, broker: AsyncBroker) -> None:
    slow = await connect(ack_timeout=timedelta(seconds=1))
    await fill(broker, 1)

    async with slow.consume("q", auto_ack=False, renew=True) as consumer:
        delivery = await anext(consumer)
        until = time.monotonic() + 1.5
        await async_wait_until(lambda: time.monotonic() > until)

        await delivery.ack(wait=True)


async def test_a_dead_session_gives_back_all_it_held(connect: Connect) -> None:
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    dead, living = await connect(**beat), await connect(**beat)
    await fill(living, 3)
    await dead.declare_queue("mine", exclusive=True)
    await dead.consume("q", auto_ack=False, prefetch=2).open()
    consumer = dead.consume("q", auto_ack=False, prefetch=2)
    assert (await anext(consumer)).body == b"0"

    await abandon(dead)

    async with living.consume("q", auto_ack=False, prefetch=10, timeout=10) as rescuer:
        found: dict[bytes, bool] = {}
        while len(found) < 3:
            delivery = await anext(rescuer)
            found[delivery.body] = delivery.redelivered
        assert found == {b"0": True, b"1": True, b"2": False}
        assert [info.queue.name for info in await living.queues()] == ["q"]  # the exclusive one is gone
        assert {each.tag for each in await living.consumers()} == {rescuer.tag}


async def test_a_broker_whose_session_was_reaped_goes_on_with_another(connect: Connect, broker: AsyncBroker) -> None:
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    sleeper, other = await connect(**beat), await connect(**beat)
    await fill(broker, 1)
    async with sleeper.consume("q", auto_ack=False, timeout=10) as consumer:
        late = await anext(consumer)
        await abandon(sleeper)

        async def reaped() -> bool:
            await other.reap()
            return await ready(broker) == 1

        await async_wait_until(reaped)

        again = await anext(consumer)
        assert (again.body, again.redelivered) == (b"0", True)
        with pytest.raises(StaleDelivery):
            await late.ack()
        await again.ack(wait=True)


async def test_reap_says_what_it_did(connect: Connect) -> None:
    beat = {"session_timeout": timedelta(milliseconds=600), "heartbeat": timedelta(milliseconds=150)}
    dead, reaper = await connect(**beat), await connect(**beat)
    await fill(reaper, 3)
    assert await dead.get("q", auto_ack=False) is not None
    assert await dead.get("q", auto_ack=False) is not None
    await abandon(dead)
    sessions = given_back = 0

    async def done() -> bool:
        nonlocal sessions, given_back
        ticked = await reaper.reap()
        sessions += ticked.sessions
        given_back += ticked.given_back
        return sessions == 1

    await async_wait_until(done)

    assert given_back == 2
    assert [message.body for message in await async_messages(reaper, "q")] == [b"0", b"1", b"2"]


async def test_what_was_read_ahead_is_not_handed_out_once_the_session_was_reaped(
    connect: Connect, broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    sleeper, other = await connect(heartbeat=timedelta(milliseconds=50)), await connect()
    await fill(broker, 3)
    async with sleeper.consume("q", auto_ack=False, prefetch=3, timeout=10) as consumer:
        first = await anext(consumer)
        session = sleeper._session.id

        async def reaped() -> bool:
            # As if the process had slept for longer than its session lives; again if a heartbeat came between.
            ask("ZADD", keys.sessions, "XX", 0, session)
            await other.reap()
            return sleeper._session.alive != 1

        await async_wait_until(reaped)

        again = [await anext(consumer) for _ in range(3)]
        assert [(delivery.body, delivery.redelivered) for delivery in again] == [
            (b"0", True),
            (b"1", True),
            (b"2", True),
        ]
        with pytest.raises(StaleDelivery):
            await first.ack()
        await again[-1].ack(multiple=True, wait=True)
    assert await ready(broker) == 0


async def test_a_late_verdict_is_stale_also_when_the_consumer_has_registered_anew_before_it_left(
    connect: Connect, broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    stale: list[int] = []
    sleeper = await connect(heartbeat=timedelta(milliseconds=50), settle_delay=timedelta(seconds=30))
    other = await connect()
    await fill(broker, 1)
    async with sleeper.consume(
        "q", auto_ack=False, timeout=0.05, on_stale=lambda tag, _: stale.append(tag)
    ) as consumer:
        late = await anext(consumer)
        session = sleeper._session.id

        async def reaped() -> bool:
            ask("ZADD", keys.sessions, "XX", 0, session)
            await other.reap()
            return sleeper._session.alive != 1

        await async_wait_until(reaped)
        again = await other.get("q", auto_ack=False)
        assert again is not None

        await late.ack()  # it waits for company, and the next read registers the consumer anew
        assert [delivery async for delivery in consumer] == []

        assert stale == [late.delivery_tag]
        await again.nack()  # it is still the other's to give back, so it was not settled under him
        assert [message.body for message in await async_messages(broker, "q")] == [b"0"]


async def test_get_keeps_its_ack_timeout_beside_a_consumer_with_a_longer_one(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", ack_timeout=SHORT)
    async with broker.consume("q", auto_ack=False, ack_timeout=timedelta(hours=1)) as consumer:
        await consumer.cancel()
        assert await broker.get("q") is None
        await io.sleep(2 * SHORT.total_seconds())  # the visit that was planned for the first get is over
        await broker.publish(b"0", routing_key="q")
        assert await broker.get("q", auto_ack=False) is not None

        async def given_back() -> bool:
            return await ready(broker) == 1

        await async_wait_until(given_back)


async def test_a_renewal_that_crosses_a_reconnect_takes_nothing_for_lost(broker: AsyncBroker) -> None:
    await fill(broker, 1)
    async with broker.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)
        renewing = consumer._renewing
        renewal = renewing.extension()
        assert renewal is not None

        await consumer._holder.attach()
        stale = await broker._link.run(renewal)
        renewing.lost(stale)

        await delivery.ack(wait=True)


async def test_a_dead_session_ends_also_where_it_lives_only_two_heartbeats(connect: Connect) -> None:
    heartbeat = timedelta(milliseconds=400)
    broker = await connect(heartbeat=heartbeat, session_timeout=2 * heartbeat)
    await broker.declare_queue("q", exclusive=True)  # it needs a session
    for phase in (0.1, 0.25):
        await io.sleep(phase)
        await broker._link.run(tick.open_session(f"dead-{phase}", 800))

    async def ended() -> bool:
        return (await broker.status()).sessions == 1

    await async_wait_until(ended)
