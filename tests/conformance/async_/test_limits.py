"""max-length and max-length-bytes, and what becomes of what is over them (docs/semantics.md, Queues)."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message, Receipt
from rexchange.codec import Table
from rexchange.errors import InvalidArgument, PreconditionFailed, PublishRefused, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.faults import Faults, reap
from tests.support.servers import Bare


async def bodies(broker: AsyncBroker, queue: str = "q") -> list[bytes]:
    """Return the bodies of what is ready."""
    return [message.body for message in await async_messages(broker, queue)]


def numbered(count: int, queue: str = "q", *, first: int = 0) -> list[Message]:
    """Return messages to a queue whose bodies are numbers."""
    return [Message(b"%d" % number, routing_key=queue) for number in range(first, first + count)]


# --- drop-head


async def test_the_oldest_ready_message_goes_where_there_are_too_many(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2)

    for number in range(5):
        assert await broker.publish(b"%d" % number, routing_key="q") == 1

    assert await bodies(broker) == [b"3", b"4"]


async def test_a_group_larger_than_the_limit_leaves_its_last_messages(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2)

    assert await broker.publish_many(numbered(500)) == [1] * 500

    assert await bodies(broker) == [b"498", b"499"]


async def test_unacked_messages_do_not_count(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2)
    await broker.publish_many(numbered(2))
    first = await broker.get("q", auto_ack=False)
    second = await broker.get("q", auto_ack=False)
    assert first is not None
    assert second is not None

    await broker.publish_many(numbered(2, first=2))

    assert await bodies(broker) == [b"2", b"3"]
    await first.ack()
    await second.ack()


async def test_a_requeue_that_overshoots_drops_from_the_head_again(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2)
    await broker.publish_many(numbered(2))
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await broker.publish(b"2", routing_key="q")
    assert await bodies(broker) == [b"1", b"2"]

    await delivery.nack()

    assert await bodies(broker) == [b"1", b"2"]
    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (2, 0)


async def test_what_a_closing_consumer_had_read_ahead_overshoots_too(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2)
    await broker.publish_many(numbered(2))
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        await anext(consumer)
        await broker.publish_many(numbered(2, first=2))

    assert await bodies(broker) == [b"2", b"3"]


async def test_a_length_of_0_keeps_nothing(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=0)

    assert await broker.publish(b"", routing_key="q") == 1

    assert (await broker.queues())[0].ready == 0
    assert await broker.get("q") is None


async def test_a_length_of_0_lets_pass_what_a_consumer_has_room_for(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=0)
    async with broker.consume("q", auto_ack=False, timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish(b"1", routing_key="q")

        delivery = await waiting.result()
        assert delivery.body == b"1"
        await delivery.ack(wait=True)


async def test_what_consumers_have_room_for_is_not_in_the_queue(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    async with (
        broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as one,
        broker.consume("q", auto_ack=False, prefetch=1, timeout=5) as other,
    ):
        await broker.publish_many(numbered(6))

        assert await bodies(broker) == [b"2", b"3", b"4", b"5"]
        assert [(await anext(one)).body, (await anext(other)).body] == [b"2", b"4"]
    assert await bodies(broker) == [b"5"]  # what they had room for counts when they are gone


async def test_a_cancelled_consumer_has_no_room(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    async with broker.consume("q", auto_ack=False, prefetch=5, timeout=5) as consumer:
        await broker.publish_many(numbered(4))
        held = await anext(consumer)

        await consumer.cancel()

        assert await bodies(broker) == [b"3"]
        await held.ack(wait=True)


async def test_what_consumers_have_room_for_is_not_dropped_for_what_is_given_back(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    await broker.publish_many(numbered(1))
    held = await broker.get("q", auto_ack=False)
    assert held is not None
    async with broker.consume("q", auto_ack=False, prefetch=5):
        await broker.publish_many(numbered(3, first=1))

        await held.nack()

        assert await bodies(broker) == [b"0", b"1", b"2", b"3"]


async def test_what_is_given_back_is_dropped_before_it_is_asked_who_has_room(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=0)
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=0.05) as consumer:
        await broker.publish_many(numbered(1))
        await (await anext(consumer)).nack(wait=True)

        assert [delivery.body async for delivery in consumer] == []
    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


async def test_a_dead_consumer_has_no_room(broker: AsyncBroker, connect: Connect, url: str) -> None:
    other = await connect()
    await broker.declare_queue("q", max_length=1)
    await other.consume("q", auto_ack=False, prefetch=5).open()
    await broker.publish_many(numbered(4))
    assert len(await bodies(broker)) == 4

    reap(url, other)

    assert await bodies(broker) == [b"3"]


async def test_what_get_holds_takes_no_room_from_consumers(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    await broker.publish_many(numbered(1))
    held = await broker.get("q", auto_ack=False)
    assert held is not None
    async with broker.consume("q", auto_ack=False, prefetch=2):
        await broker.publish_many(numbered(4, first=1))

        assert await bodies(broker) == [b"2", b"3", b"4"]
    await held.ack()


async def test_a_queue_of_which_much_is_dropped_is_delivered_in_order(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=3)
    for first in range(0, 100, 10):
        await broker.publish_many(numbered(10, first=first))

    async with broker.consume("q", auto_ack=False, prefetch=10, timeout=0.05) as consumer:
        deliveries = [delivery async for delivery in consumer]
        assert [delivery.body for delivery in deliveries] == [b"97", b"98", b"99"]
        await deliveries[-1].ack(multiple=True, wait=True)
    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


async def test_dropped_messages_are_dead_lettered_the_oldest_first(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", max_length=1, dead_letter_exchange="", dead_letter_routing_key="dead")

    await broker.publish_many(numbered(4))

    dead = await async_drain(broker, "dead")
    assert [each.body for each in dead] == [b"0", b"1", b"2"]
    assert {each.headers["x-first-death-reason"] for each in dead} == {"maxlen"}


# --- bytes


async def test_the_bytes_of_ready_bodies_are_limited_and_nothing_else_is_counted(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10)

    for number in range(4):
        await broker.publish(b"%d" % number * 5, routing_key="q", headers={"long": "x" * 100}, message_id="m" * 100)

    assert await bodies(broker) == [b"22222", b"33333"]


async def test_as_many_heads_go_as_make_room_for_the_bytes(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10)
    await broker.publish_many([Message(body, routing_key="q") for body in (b"1", b"22", b"333", b"4444")])

    await broker.publish(b"666666", routing_key="q")

    assert await bodies(broker) == [b"4444", b"666666"]


async def test_a_body_larger_than_the_limit_of_bytes_is_dropped(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10)

    assert await broker.publish(bytes(11), routing_key="q") == 1

    assert await bodies(broker) == []
    await broker.publish(bytes(10), routing_key="q")
    assert await bodies(broker) == [bytes(10)]


async def test_bytes_that_are_unacked_or_gone_do_not_count(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10)
    await broker.publish_many([Message(b"%d" % number * 5, routing_key="q") for number in range(2)])
    held = await broker.get("q", auto_ack=False)
    assert held is not None
    assert await broker.get("q") is not None

    await broker.publish_many([Message(b"%d" % number * 5, routing_key="q") for number in (2, 3)])

    assert await bodies(broker) == [b"22222", b"33333"]
    await held.ack()
    assert await broker.purge("q") == 2
    await broker.publish(bytes(10), routing_key="q")
    assert await bodies(broker) == [bytes(10)]


async def test_bytes_that_are_given_back_count_again(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10)
    await broker.publish(b"00000", routing_key="q")
    held = await broker.get("q", auto_ack=False)
    assert held is not None
    await broker.publish_many([Message(b"%d" % number * 5, routing_key="q") for number in (1, 2)])

    await held.nack()

    assert await bodies(broker) == [b"11111", b"22222"]


async def test_a_limit_of_0_bytes_keeps_empty_bodies(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=0)

    await broker.publish_many([Message(body, routing_key="q") for body in (b"", b"1", b"")])

    assert await bodies(broker) == [b""]


async def test_of_two_limits_the_one_that_is_hit_first_holds(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=3, max_length_bytes=10)

    await broker.publish_many(numbered(4))
    assert await bodies(broker) == [b"1", b"2", b"3"]
    await broker.publish(bytes(9), routing_key="q")

    assert await bodies(broker) == [b"3", bytes(9)]


async def test_consumers_that_wait_in_a_queue_with_a_limit_of_bytes_are_woken(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10)
    async with broker.consume("q", timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish(b"12345", routing_key="q")

        assert (await waiting.result()).body == b"12345"


# --- reject-publish


async def test_a_full_queue_refuses_the_newest(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2, overflow="reject-publish")
    await broker.publish_many(numbered(2))

    with pytest.raises(PublishRefused) as caught:
        await broker.publish(b"2", routing_key="q")

    assert (caught.value.refused, caught.value.counts) == ([(0, "q")], [0])
    assert await bodies(broker) == [b"0", b"1"]


async def test_the_other_queues_keep_what_a_full_one_refuses(broker: AsyncBroker) -> None:
    for name, options in (("full", {"max_length": 0, "overflow": "reject-publish"}), ("one", {}), ("two", {})):
        await broker.declare_queue(name, **options)  # type: ignore[arg-type]
        await broker.bind(name, "amq.fanout")

    with pytest.raises(PublishRefused) as caught:
        await broker.publish(b"1", exchange="amq.fanout")

    assert (caught.value.refused, caught.value.counts) == ([(0, "full")], [2])
    assert [await bodies(broker, name) for name in ("full", "one", "two")] == [[], [b"1"], [b"1"]]


async def test_a_refusal_tells_which_messages_of_a_group_which_queues_refused(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=2, overflow="reject-publish")
    await broker.declare_queue("tiny", max_length_bytes=2, overflow="reject-publish")
    await broker.declare_queue("plain")
    await broker.bind("q", "amq.direct", "both")
    await broker.bind("tiny", "amq.direct", "both")
    group = [
        Message(b"0", routing_key="plain"),
        Message(b"1", exchange="amq.direct", routing_key="both"),
        Message(b"22", exchange="amq.direct", routing_key="both"),
        Message(b"3", exchange="amq.direct", routing_key="both"),
        Message(b"4", routing_key="nobody"),
        Message(b"5", routing_key="q"),
    ]

    with pytest.raises(PublishRefused) as caught:
        await broker.publish_many(group)

    assert sorted(caught.value.refused) == [(2, "tiny"), (3, "q"), (5, "q")]
    assert caught.value.counts == [1, 2, 1, 1, 0, 0]
    assert await bodies(broker) == [b"1", b"22"]
    assert await bodies(broker, "tiny") == [b"1", b"3"]
    assert "'q', 'tiny'" in str(caught.value)


async def test_groups_published_side_by_side_are_refused_each_for_itself(broker: AsyncBroker) -> None:
    await broker.declare_queue("full", max_length=0, overflow="reject-publish")
    await broker.declare_queue("q")

    async def refused() -> list[Receipt]:
        return await broker.publish_many([Message(b"refused", routing_key="full")])

    async def taken() -> list[Receipt]:
        return await broker.publish_many([Message(b"taken", routing_key="q")])

    running = [Background(work) for work in (taken, refused, taken, refused, taken)]

    for number in (1, 3):
        with pytest.raises(PublishRefused):
            await running[number].result()
    assert [await running[number].result() for number in (0, 2, 4)] == [[1]] * 3
    assert await bodies(broker) == [b"taken"] * 3


async def test_a_queue_takes_again_what_unacked_messages_made_room_for(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1, overflow="reject-publish")
    await broker.publish(b"0", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    assert await broker.publish(b"1", routing_key="q") == 1

    await delivery.nack()  # it overshoots, and a queue that refuses the newest drops nothing
    assert await bodies(broker) == [b"0", b"1"]
    with pytest.raises(PublishRefused):
        await broker.publish(b"2", routing_key="q")


async def test_a_length_of_0_refuses_also_what_a_consumer_has_room_for(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=0, overflow="reject-publish")
    async with broker.consume("q"):
        with pytest.raises(PublishRefused):
            await broker.publish(b"", routing_key="q")


async def test_a_queue_that_refuses_holds_its_length_beyond_what_consumers_have_room_for(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1, overflow="reject-publish")
    async with broker.consume("q", auto_ack=False, prefetch=2, timeout=0.05) as consumer:
        assert await broker.publish_many(numbered(3)) == [1, 1, 1]

        with pytest.raises(PublishRefused):
            await broker.publish(b"3", routing_key="q")

        assert [delivery.body async for delivery in consumer] == [b"0", b"1"]


async def test_a_body_larger_than_the_limit_of_bytes_is_refused(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length_bytes=10, overflow="reject-publish")

    with pytest.raises(PublishRefused):
        await broker.publish(bytes(11), routing_key="q")

    assert await broker.publish(bytes(10), routing_key="q") == 1


async def test_what_is_refused_is_not_dead_lettered(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    options: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    await broker.declare_queue("q", max_length=0, overflow="reject-publish", **options)

    with pytest.raises(PublishRefused):
        await broker.publish(b"", routing_key="q")

    assert await bodies(broker, "dead") == []


async def test_reject_publish_dlx_refuses_and_dead_letters(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    options: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    await broker.declare_queue("q", max_length=1, overflow="reject-publish-dlx", **options)
    await broker.publish(b"0", routing_key="q")

    with pytest.raises(PublishRefused) as caught:
        await broker.publish(b"1", routing_key="q")

    assert (caught.value.refused, caught.value.counts) == ([(0, "q")], [0])
    assert await bodies(broker) == [b"0"]
    (dead,) = await async_drain(broker, "dead")
    assert (dead.body, dead.headers["x-first-death-reason"]) == (b"1", "maxlen")


async def test_a_refusal_whose_reply_was_lost_is_given_again_and_nothing_is_done_twice(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    options: Any = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    await broker.declare_queue("q", max_length=1, overflow="reject-publish-dlx", **options)
    rule = Faults(broker).cut("publish")

    with pytest.raises(PublishRefused) as caught:
        await broker.publish_many(numbered(3))

    assert rule.done == 1
    assert (caught.value.refused, caught.value.counts) == ([(1, "q"), (2, "q")], [1, 0, 0])
    assert (await bodies(broker), await bodies(broker, "dead")) == ([b"0"], [b"1", b"2"])


async def test_a_full_queue_takes_back_what_was_acknowledged_on_receipt_and_not_shown(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1, overflow="reject-publish")
    async with broker.consume("q", prefetch=2, timeout=5) as consumer:
        await broker.publish_many(numbered(3))
        await anext(consumer)
        await broker.publish_many(numbered(2, first=3))

    assert await bodies(broker) == [b"2", b"3", b"4", b"1"]


async def test_a_mandatory_message_that_a_full_queue_refuses_is_not_unroutable(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=0, overflow="reject-publish")

    with pytest.raises(PublishRefused):
        await broker.publish(b"", routing_key="q", mandatory=True)


async def test_a_mandatory_message_that_a_full_queue_drops_is_routed(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=0)

    assert await broker.publish(b"", routing_key="q", mandatory=True) == 1


async def test_an_unroutable_message_keeps_its_group_out_of_a_queue_with_a_limit(
    broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    await broker.declare_queue("q", max_length=1, max_length_bytes=5)
    await broker.publish(b"kept", routing_key="q")
    before = ask.dump(keys.stream(b"q"))

    with pytest.raises(Unroutable):
        await broker.publish_many([*numbered(3), Message(b"", routing_key="nobody", mandatory=True)])

    assert ask.dump(keys.stream(b"q")) == before


# --- bad input


@pytest.mark.parametrize("argument", ["x-max-length", "x-max-length-bytes"])
@pytest.mark.parametrize("value", [-1, "5", 1.5, True, None])
async def test_a_limit_that_is_no_number_is_a_failed_precondition(
    broker: AsyncBroker, argument: str, value: Any
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments={argument: value})

    assert caught.value.argument == argument
    assert await broker.queues() == []


@pytest.mark.parametrize("overflow", ["drop-tail", "", 5, None])
async def test_an_overflow_that_nobody_knows_is_a_failed_precondition(broker: AsyncBroker, overflow: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments={"x-overflow": overflow})

    assert caught.value.argument == "x-overflow"
    assert await broker.queues() == []


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("x-max-length", {"x-max-length": 3, "x-max-length-bytes": 10}),
        ("x-max-length-bytes", {"x-max-length": 2}),
        ("x-overflow", {"x-max-length": 2, "x-max-length-bytes": 10, "x-overflow": "reject-publish"}),
    ],
)
async def test_a_second_declare_must_repeat_the_limits(broker: AsyncBroker, argument: str, arguments: Table) -> None:
    await broker.declare_queue("q", max_length=2, max_length_bytes=10)

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments=arguments)

    assert caught.value.argument == argument


async def test_an_option_that_contradicts_its_argument_is_an_invalid_argument(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        await broker.declare_queue("q", max_length=2, arguments={"x-max-length": 3})

    assert await broker.queues() == []
