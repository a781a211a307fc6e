"""Message TTL: of a queue and of a message (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_wait_until
from tests.conformance.async_.support import Background, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare

SHORT = timedelta(milliseconds=100)
LIFE = timedelta(milliseconds=600)  # long enough to be read before


async def ready(broker: AsyncBroker, queue: str = "q") -> int:
    """Return how many are ready."""
    return (await broker.declare_queue(queue, passive=True)).message_count


async def past(milliseconds: int) -> None:
    """Let so much time go by: what is to expire in it has expired."""
    until = time.monotonic() + milliseconds / 1000
    await async_wait_until(lambda: time.monotonic() > until)


async def with_dead_letters(broker: AsyncBroker, **options: timedelta) -> None:
    """Declare q, and dead for what dies in it."""
    await broker.declare_queue("dead")
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead", **options)  # type: ignore[arg-type]


# --- how long


async def test_a_message_expires_after_the_ttl_of_its_queue(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=SHORT)
    await broker.publish(b"", routing_key="q")

    await past(110)

    assert await broker.get("q") is None
    assert await ready(broker) == 0


async def test_a_message_expires_after_its_own_expiration(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q", expiration="100")

    await past(110)

    assert await broker.get("q") is None
    assert await ready(broker) == 0


@pytest.mark.parametrize(("ttl_ms", "expiration"), [(500, "60000"), (60_000, "500")])
async def test_the_shorter_one_of_ttl_and_expiration_holds(broker: AsyncBroker, ttl_ms: int, expiration: str) -> None:
    await broker.declare_queue("q", message_ttl=timedelta(milliseconds=ttl_ms))
    await broker.publish(b"", routing_key="q", expiration=expiration)
    assert await ready(broker) == 1

    await past(510)

    assert await ready(broker) == 0


async def test_an_expiration_holds_in_each_queue_with_that_queues_own_ttl(broker: AsyncBroker) -> None:
    for name, ttl in (("short", SHORT), ("long", timedelta(minutes=1))):
        await broker.declare_queue(name, message_ttl=ttl)
        await broker.bind(name, "amq.fanout")
    await broker.publish(b"", exchange="amq.fanout", expiration="60000")

    await past(110)

    assert (await ready(broker, "short"), await ready(broker, "long")) == (0, 1)


async def test_the_ttl_is_the_argument_x_message_ttl(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=timedelta(seconds=90))

    queue = await broker.declare_queue("q", arguments={"x-message-ttl": 90_000})

    assert queue.arguments == {"x-message-ttl": 90_000}
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", message_ttl=timedelta(seconds=91))
    assert caught.value.argument == "x-message-ttl"


async def test_what_lives_is_delivered_with_its_expiration(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=timedelta(minutes=1))
    await broker.publish(b"1", routing_key="q", expiration="30000")

    async with broker.consume("q", timeout=5) as consumer:
        delivery = await anext(consumer)

    assert (delivery.body, delivery.properties.expiration, delivery.redelivered) == (b"1", "30000", False)


# --- what has expired is never delivered


async def test_get_passes_over_what_has_expired(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    messages = [Message(b"short", routing_key="q", expiration="20") for _ in range(3)]
    await broker.publish_many([*messages, Message(b"long", routing_key="q")])

    await past(30)

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"long"]


@pytest.mark.parametrize("managed", [False, True])
async def test_get_and_consumers_pass_over_many_that_have_expired(broker: AsyncBroker, managed: bool) -> None:
    await broker.declare_queue("q")
    await broker.declare_queue("other")
    for body in (b"got", b"consumed"):
        await broker.publish_many([Message(b"dead", routing_key="q", expiration="20") for _ in range(250)])
        await broker.publish(body, routing_key="q")

    await past(30)

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.body == b"got"
    async with broker.consume(["q", "other"] if managed else "q", timeout=5) as consumer:
        assert (await anext(consumer)).body == b"consumed"


async def test_a_consumer_that_waits_in_a_queue_with_a_ttl_is_woken(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=timedelta(minutes=1))
    async with broker.consume("q", timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish(b"1", routing_key="q")

        assert (await waiting.result()).body == b"1"


async def test_a_consumer_that_was_blocked_already_is_not_shown_what_expired_on_its_way(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    # The reply takes longer than the message lives.
    rule = Faults(broker).during("XREADGROUP", lambda: time.sleep(0.06), times=1000)
    async with broker.consume("q", auto_ack=False, prefetch=5, timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish_many(
            [Message(b"short", routing_key="q", expiration="20"), Message(b"long", routing_key="q")]
        )
        delivery = await waiting.result()

        assert (delivery.body, delivery.redelivered, delivery.delivery_count) == (b"long", False, 1)
        assert rule.done
        assert (await broker.queues())[0].unacked == 1
        await delivery.ack(wait=True)
    assert await ready(broker) == 0


async def test_a_consumer_of_several_queues_is_not_shown_what_has_expired(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=SHORT)
    await broker.declare_queue("other")
    await broker.publish(b"expires", routing_key="q")
    await broker.publish(b"stays", routing_key="other")
    await past(110)

    async with broker.consume(["q", "other"], timeout=0.05) as consumer:
        assert [delivery.body async for delivery in consumer] == [b"stays"]


async def test_behind_many_that_have_expired_a_consumer_of_several_queues_gets_all(broker: AsyncBroker) -> None:
    """More than one call passes over; the first takes the token that told of them."""
    await broker.declare_queue("q")
    await broker.declare_queue("other")
    async with broker.consume(["q", "other"], auto_ack=False, prefetch=1) as consumer:
        assert await consumer.next(timeout=0) is None
        await broker.publish_many([Message(b"", routing_key="q", expiration="20")] * 150)
        await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])
        await past(30)
        for number in range(3):
            delivery = await consumer.next(timeout=10)
            assert delivery is not None
            assert delivery.body == b"%d" % number
            await delivery.ack()


async def test_counts_do_not_show_what_has_expired_where_nobody_runs_the_reaper(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=SHORT)
    await broker.publish_many([Message(b"", routing_key="q")] * 3)
    await past(110)

    assert (await broker.queues())[0].ready == 0
    assert (await broker.declare_queue("q", message_ttl=SHORT)).message_count == 0
    assert (await broker.status()).sessions == 0


async def test_purge_does_not_count_what_has_expired(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q", expiration="20")
    await broker.publish(b"", routing_key="q")
    await past(30)

    assert await broker.purge("q") == 1


async def test_what_has_expired_does_not_hold_up_if_empty(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=SHORT)
    await broker.publish(b"", routing_key="q")
    await past(110)

    assert await broker.delete_queue("q", if_empty=True) == 0

    assert await broker.queues() == []


async def test_the_reaper_drops_what_has_expired_and_says_how_many(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=SHORT)
    await broker.publish_many([Message(b"", routing_key="q")] * 150)
    await past(110)

    assert (await broker.reap()).died == 150


# --- at the head only


async def test_what_expired_behind_a_live_head_is_counted_until_it_is_the_head(broker: AsyncBroker) -> None:
    await with_dead_letters(broker)
    await broker.publish(b"head", routing_key="q")
    await broker.publish(b"behind", routing_key="q", expiration="20")
    await past(30)
    await broker.reap()
    assert (await ready(broker), await ready(broker, "dead")) == (2, 0)

    head = await broker.get("q", auto_ack=False)
    assert head is not None
    assert head.body == b"head"

    assert (await ready(broker), await ready(broker, "dead")) == (0, 1)
    await head.ack()


async def test_what_expired_behind_a_live_head_is_never_delivered(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"head", routing_key="q")
    await broker.publish(b"behind", routing_key="q", expiration="20")
    await broker.publish(b"last", routing_key="q")
    await past(30)

    async with broker.consume("q", auto_ack=False, prefetch=10, timeout=0.05) as consumer:
        assert [delivery.body async for delivery in consumer] == [b"head", b"last"]


# --- unacked, and back again


async def test_unacked_messages_do_not_expire(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=LIFE)
    await broker.publish(b"", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    await past(610)
    await broker.reap()

    assert (await broker.queues())[0].unacked == 1
    await delivery.ack()  # it raises where the message is gone


async def test_what_was_read_ahead_does_not_expire_either(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=LIFE)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)])

    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        await anext(consumer)
        await past(610)

        assert (await anext(consumer)).body == b"1"


async def test_the_instant_of_expiry_is_kept_when_a_message_is_given_back(broker: AsyncBroker) -> None:
    await with_dead_letters(broker, message_ttl=LIFE)
    await broker.declare_queue("meanwhile", dead_letter_exchange="", dead_letter_routing_key="dead")
    await broker.publish(b"given back", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await past(300)

    await delivery.nack()
    await broker.publish(b"sooner than with a life anew", routing_key="meanwhile", expiration="450")

    async def died() -> bool:
        await broker.reap()
        return await ready(broker, "dead") == 2

    await async_wait_until(died)
    dead = [each.body for each in await async_drain(broker, "dead")]
    assert dead == [b"given back", b"sooner than with a life anew"]


async def test_what_expired_while_it_was_unacked_dies_when_it_is_given_back(broker: AsyncBroker) -> None:
    await with_dead_letters(broker, message_ttl=LIFE)
    await broker.publish(b"", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await past(610)
    await broker.reap()

    await delivery.nack()

    assert (await ready(broker), await ready(broker, "dead")) == (0, 1)


async def test_what_was_read_ahead_and_has_expired_dies_when_its_consumer_goes(broker: AsyncBroker) -> None:
    await with_dead_letters(broker, message_ttl=LIFE)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    async with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        await anext(consumer)
        await past(610)
        await broker.reap()

    assert sorted(delivery.body for delivery in await async_drain(broker, "dead")) == [b"0", b"1", b"2"]
    assert await ready(broker) == 0


async def test_the_reaper_comes_for_what_was_given_back_and_expires_later(broker: AsyncBroker) -> None:
    await with_dead_letters(broker)
    await broker.publish_many([Message(b"", routing_key="q", expiration=ms) for ms in ("600", "1200")])
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        first = await anext(consumer)
        await past(610)
        await broker.reap()  # with nothing ready in it, the queue has no head to wait for
        await first.ack()

    async def died() -> bool:
        await broker.reap()
        return await ready(broker, "dead") == 1

    await async_wait_until(died)


async def test_what_was_acknowledged_on_receipt_and_not_shown_keeps_its_instant_of_expiry(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=LIFE)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    async with broker.consume("q", prefetch=3, timeout=5) as consumer:
        await anext(consumer)
        await past(610)

    assert await ready(broker) == 0


# --- zero


async def test_a_message_of_ttl_0_is_gone_where_no_consumer_has_room(broker: AsyncBroker) -> None:
    await with_dead_letters(broker, message_ttl=timedelta(0))

    assert await broker.publish(b"", routing_key="q") == 1

    assert (await ready(broker), await ready(broker, "dead")) == (0, 1)


async def test_an_expiration_of_0_is_gone_where_no_consumer_has_room(broker: AsyncBroker) -> None:
    await with_dead_letters(broker)

    assert await broker.publish(b"", routing_key="q", expiration="0") == 1

    assert (await ready(broker), await ready(broker, "dead")) == (0, 1)


async def test_a_message_of_ttl_0_goes_behind_what_is_there(broker: AsyncBroker) -> None:
    await with_dead_letters(broker)
    await broker.publish(b"head", routing_key="q")
    await broker.publish(b"behind", routing_key="q", expiration="0")
    assert (await ready(broker), await ready(broker, "dead")) == (2, 0)

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"head"]

    assert await ready(broker, "dead") == 1


@pytest.mark.parametrize("options", [{"message_ttl": timedelta(0)}, {}])
async def test_a_message_of_ttl_0_reaches_a_consumer_that_waits(
    broker: AsyncBroker, options: dict[str, timedelta]
) -> None:
    await with_dead_letters(broker, **options)
    async with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish(b"now", routing_key="q", expiration="0")

        assert (await waiting.result()).body == b"now"
        await broker.publish(b"too late", routing_key="q", expiration="0")  # its one place is taken
        assert (await ready(broker), await ready(broker, "dead")) == (0, 1)


async def test_a_message_of_ttl_0_waits_for_a_consumer_that_has_room_for_it(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=timedelta(0))
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

        assert [(await anext(consumer)).body for _ in range(2)] == [b"0", b"1"]
        await consumer.ack(0, multiple=True, wait=True)
        assert await consumer.next(timeout=0.05) is None


async def test_a_message_of_ttl_0_waits_for_a_consumer_for_a_second_at_most(broker: AsyncBroker) -> None:
    await with_dead_letters(broker, message_ttl=timedelta(0))
    async with broker.consume("q", auto_ack=False):
        await broker.publish(b"", routing_key="q")
        assert await ready(broker) == 1

        await past(1010)

        assert (await ready(broker), await ready(broker, "dead")) == (0, 1)


# --- bad input


@pytest.mark.parametrize("expiration", ["5 ", " 5", "abc", "-1", "1.5", "", "4294967296"])
async def test_an_expiration_that_is_no_number_is_a_failed_precondition(
    broker: AsyncBroker, ask: Bare, keys: Keys, expiration: str
) -> None:
    await broker.declare_queue("q")
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        await broker.publish(b"", routing_key="q", expiration=expiration)

    assert (caught.value.argument, caught.value.current) == ("expiration", expiration)
    assert ask.dump(keys.prefix) == before


@pytest.mark.parametrize("ttl", [-1, "5", 1.5, True, None, 1 << 32])
async def test_a_ttl_that_is_no_number_is_a_failed_precondition(broker: AsyncBroker, ttl: object) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments={"x-message-ttl": ttl})  # type: ignore[dict-item]

    assert caught.value.argument == "x-message-ttl"
    assert await broker.queues() == []


@pytest.mark.parametrize("ttl", [5, timedelta(milliseconds=-1), timedelta(days=50)])
async def test_a_ttl_that_is_no_time_is_an_invalid_argument(broker: AsyncBroker, ttl: object) -> None:
    with pytest.raises(InvalidArgument):
        await broker.declare_queue("q", message_ttl=ttl)  # type: ignore[arg-type]

    assert await broker.queues() == []
