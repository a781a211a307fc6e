"""Consuming: what is delivered, in which order, until when (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.codec import Table
from rexchange.errors import ConsumerCancelled, InvalidArgument, NotFound, PreconditionFailed
from rexchange.testing import async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting


async def fill(broker: AsyncBroker, queue: str, count: int) -> None:
    """Declare a queue and publish the bodies 0, 1, 2 ..."""
    await broker.declare_queue(queue)
    await broker.publish_many([Message(b"%d" % number, routing_key=queue) for number in range(count)])


async def test_deliveries_come_in_the_order_of_publishing(broker: AsyncBroker) -> None:
    await fill(broker, "q", 10)

    async with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        deliveries = [delivery async for delivery in consumer]

    assert [delivery.body for delivery in deliveries] == [b"%d" % number for number in range(10)]
    assert [delivery.delivery_tag for delivery in deliveries] == list(range(1, 11))
    assert {delivery.queue for delivery in deliveries} == {"q"}


async def test_a_first_delivery_is_not_redelivered_and_counts_one(broker: AsyncBroker) -> None:
    await fill(broker, "q", 1)

    async with broker.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)

        assert (delivery.redelivered, delivery.delivery_count) == (False, 1)


async def test_iteration_ends_after_the_timeout(broker: AsyncBroker) -> None:
    await fill(broker, "q", 2)

    async with broker.consume("q", timeout=0.05) as consumer:
        assert [delivery.body async for delivery in consumer] == [b"0", b"1"]


async def test_a_consumer_that_timed_out_may_go_on(broker: AsyncBroker) -> None:
    await fill(broker, "q", 1)

    async with broker.consume("q", timeout=0.02) as consumer:
        assert len([delivery async for delivery in consumer]) == 1
        await broker.publish(b"later", routing_key="q")
        assert [delivery.body async for delivery in consumer] == [b"later"]


async def test_a_waiting_consumer_gets_what_is_published(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q", timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await broker.publish(b"hello", routing_key="q")

        assert (await waiting.result()).body == b"hello"


async def test_a_delivery_goes_to_one_consumer_only(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await fill(broker, "q", 30)

    async with (
        broker.consume("q", auto_ack=False, prefetch=5, timeout=0.05) as one,
        other.consume("q", auto_ack=False, prefetch=5, timeout=0.05) as two,
    ):

        async def read(consumer: object) -> list[bytes]:
            bodies = []
            async for delivery in consumer:  # type: ignore[attr-defined]
                bodies.append(delivery.body)
                await delivery.ack(wait=True)
            return bodies

        readers = [Background(lambda: read(one)), Background(lambda: read(two))]
        bodies = [body for reader in readers for body in await reader.result()]

    assert sorted(bodies, key=int) == [b"%d" % number for number in range(30)]


async def test_one_consumer_may_read_several_queues(broker: AsyncBroker) -> None:
    for name in ("one", "two", "three"):
        await fill(broker, name, 4)

    async with broker.consume(["one", "two", "three"], auto_ack=False, timeout=0.05) as consumer:
        found: dict[str, list[bytes]] = {}
        async for delivery in consumer:
            found.setdefault(delivery.queue, []).append(delivery.body)
            await delivery.ack()

    assert found == {name: [b"0", b"1", b"2", b"3"] for name in ("one", "two", "three")}
    assert [info.ready + info.unacked for info in await broker.queues()] == [0, 0, 0]


async def test_a_consumer_of_several_queues_is_woken_by_each(broker: AsyncBroker) -> None:
    await broker.declare_queue("one")
    await broker.declare_queue("two")

    async with broker.consume(["one", "two"], timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        for name in ("two", "one", "two"):
            waiting = Background(first)
            await broker.publish(b"", routing_key=name)
            assert (await waiting.result()).queue == name


async def test_what_a_consumer_of_several_queues_had_no_room_for_comes_later(broker: AsyncBroker) -> None:
    """Having found all empty it looks only where it is called, and must be called again for the rest."""
    names = ("one", "two", "three")
    for name in names:
        await broker.declare_queue(name)
    async with broker.consume(names, auto_ack=False, prefetch=2) as consumer:
        assert await consumer.next(timeout=0) is None
        for _ in range(2):
            messages = [Message(b"%d" % number, routing_key=name) for number in range(4) for name in names[:2]]
            await broker.publish_many(messages)
            found: dict[str, list[bytes]] = {}
            for _ in messages:
                delivery = await consumer.next(timeout=10)
                assert delivery is not None
                found.setdefault(delivery.queue, []).append(delivery.body)
                await delivery.ack()
            assert found == {name: [b"0", b"1", b"2", b"3"] for name in names[:2]}
            assert await consumer.next(timeout=0) is None
        await broker.publish(b"", routing_key="three")
        assert await consumer.next(timeout=0) is not None, "what is there is taken without waiting"


async def test_a_queue_named_twice_is_consumed_once(broker: AsyncBroker) -> None:
    queue = await broker.declare_queue("q")

    async with broker.consume([queue, "q"], timeout=0) as consumer:
        assert consumer.queues == ["q"]


async def test_batches_hold_what_is_there_up_to_their_size(broker: AsyncBroker) -> None:
    await fill(broker, "q", 7)

    async with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        batches = []
        async for batch in consumer.batches(3):
            batches.append([delivery.body for delivery in batch])
            await batch[-1].ack(multiple=True)

    assert batches == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6"]]
    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


async def test_a_batch_size_below_one_is_refused(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q", timeout=0) as consumer:
        with pytest.raises(InvalidArgument):
            await anext(consumer.batches(0))


async def test_a_callback_is_called_with_each_delivery(broker: AsyncBroker) -> None:
    await fill(broker, "q", 3)
    seen = []

    async def callback(delivery: AsyncDelivery) -> None:
        seen.append(delivery.body)
        await delivery.ack()

    async with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        await consumer.run(callback)

    assert seen == [b"0", b"1", b"2"]
    assert (await broker.queues())[0].unacked == 0


async def test_what_a_callback_raises_ends_the_consumer(broker: AsyncBroker) -> None:
    await fill(broker, "q", 3)

    async def callback(delivery: AsyncDelivery) -> None:
        raise RuntimeError(delivery.body)

    with pytest.raises(RuntimeError):
        async with broker.consume("q", auto_ack=False) as consumer:
            await consumer.run(callback)

    (info,) = await broker.queues()
    assert (info.ready, info.unacked, info.consumers) == (3, 0, 0)


async def test_consuming_a_missing_queue_is_not_found(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.consume("missing").open()

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")
    assert await broker.consumers() == []


async def test_one_missing_queue_of_several_is_not_found(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    with pytest.raises(NotFound):
        await broker.consume(["q", "missing"]).open()

    assert await broker.consumers() == []


async def test_cancel_ends_the_iteration_of_a_waiting_consumer(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q") as consumer:

        async def read() -> int:
            return len([delivery async for delivery in consumer])

        waiting = Background(read)
        await async_wait_until(lambda: is_waiting(consumer))
        await consumer.cancel()

        assert await waiting.result(timeout=3) == 0


async def test_a_closed_consumer_can_not_be_used_again(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    consumer = broker.consume("q")
    await consumer.open()
    await consumer.aclose()
    await consumer.aclose()  # closing twice is no error

    with pytest.raises(ConsumerCancelled):
        await consumer.open()


@pytest.mark.parametrize("several", [False, True])
async def test_a_consumer_is_told_when_its_queue_is_deleted(broker: AsyncBroker, several: bool) -> None:
    await broker.declare_queue("q")
    await broker.declare_queue("other")

    async with broker.consume(["q", "other"] if several else "q", auto_ack=False) as consumer:

        async def read() -> None:
            await anext(consumer)

        waiting = Background(read)
        await async_wait_until(lambda: is_waiting(consumer))
        await broker.delete_queue("q")

        with pytest.raises(ConsumerCancelled) as caught:
            await waiting.result(timeout=3)

    assert caught.value.queue == "q"


async def test_acks_after_the_queue_is_deleted_are_harmless(broker: AsyncBroker) -> None:
    await fill(broker, "q", 2)

    async with broker.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)
        await broker.delete_queue("q")
        await fill(broker, "q", 2)  # another queue of the same name

        await delivery.ack(wait=True)

        (info,) = await broker.queues()
        assert (info.ready, info.unacked) == (2, 0)


async def test_prefetch_may_not_be_negative(broker: AsyncBroker) -> None:
    for wrong in (-1, 1.5, "3", True):
        with pytest.raises(InvalidArgument):
            broker.consume("q", prefetch=wrong)  # type: ignore[arg-type]


async def test_a_consumer_wants_at_least_one_queue(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        broker.consume([])


async def test_a_negative_timeout_is_refused(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        broker.consume("q", timeout=-1)


@pytest.mark.parametrize("wrong", [{"x-priority": "5"}, {"x-stream-offset": "begin"}, {"x-consumer-timeout": 0}])
async def test_an_argument_that_rabbitmq_refuses_is_a_failed_precondition(broker: AsyncBroker, wrong: Table) -> None:
    with pytest.raises(PreconditionFailed):
        broker.consume("q", arguments=wrong)


async def test_a_consumer_is_listed_while_it_lives(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q", tag="mine", auto_ack=False, prefetch=7, priority=-3) as consumer:
        (listed,) = await broker.consumers()
        assert (listed.tag, listed.queues, listed.prefetch, listed.auto_ack) == ("mine", ["q"], 7, False)
        assert listed.priority == -3
        assert consumer.tag == "mine"

    assert await broker.consumers() == []


async def test_a_consumer_without_a_tag_gets_one(broker: AsyncBroker) -> None:
    assert broker.consume("q").tag.startswith("amq.ctag-")


async def test_a_consumer_with_one_place_starves_none_of_its_queues(broker: AsyncBroker) -> None:
    await fill(broker, "a", 40)
    await fill(broker, "b", 40)

    seen: set[str] = set()
    async with broker.consume(["a", "b"], auto_ack=False, prefetch=1) as consumer:
        for _ in range(40):
            delivery = await anext(consumer)
            seen.add(delivery.queue)
            await delivery.ack()

    assert seen == {"a", "b"}


async def test_a_declared_queue_is_as_good_as_its_name(broker: AsyncBroker) -> None:
    await fill(broker, "a", 1)
    queue = await broker.declare_queue("a")

    async with broker.consume(queue, timeout=0) as consumer:
        assert [delivery.body async for delivery in consumer] == [b"0"]


@pytest.mark.parametrize("several", [False, True])
async def test_a_consumer_whose_prefetch_is_used_up_is_told_too(connect: Connect, several: bool) -> None:
    broker = await connect(block=timedelta(milliseconds=50))
    await fill(broker, "q", 2)
    await broker.declare_queue("other")
    async with broker.consume(["q", "other"] if several else "q", auto_ack=False, prefetch=1) as consumer:
        await anext(consumer)
        await broker.delete_queue("q")

        with pytest.raises(ConsumerCancelled) as caught:
            await anext(consumer)

    assert caught.value.queue == "q"
