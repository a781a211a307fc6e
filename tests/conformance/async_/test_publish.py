"""Publishing: groups, counts, order, limits (docs/semantics.md, Publishing)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Message, Receipt
from rexchange.errors import (
    AccessRefused,
    BrokerConnectionError,
    ContentTooLarge,
    InvalidArgument,
    NotFound,
    Unroutable,
)
from rexchange.testing import async_drain, async_messages
from tests.conformance.async_.support import Background, Connect


async def test_publish_returns_how_many_queues_it_reached(broker: AsyncBroker) -> None:
    for name in ("one", "two", "three"):
        await broker.declare_queue(name)
        await broker.bind(name, "amq.topic", f"{name}.#")
    await broker.bind("one", "amq.topic", "two.#")

    assert await broker.publish(b"", exchange="amq.topic", routing_key="two.x") == 2
    assert await broker.publish(b"", exchange="amq.topic", routing_key="three") == 1
    assert await broker.publish(b"", exchange="amq.topic", routing_key="four") == 0


async def test_a_group_returns_a_count_for_each_message(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    counts = await broker.publish_many(
        [Message(b"1", routing_key="q"), Message(b"2", routing_key="nobody"), Message(b"3", routing_key="q")]
    )

    assert counts == [1, 0, 1]
    assert [message.body for message in await async_messages(broker, "q")] == [b"1", b"3"]


async def test_a_group_of_none_does_nothing(broker: AsyncBroker) -> None:
    assert await broker.publish_many([]) == []


async def test_a_group_may_come_from_a_generator(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    assert await broker.publish_many(Message(b"", routing_key="q") for _ in range(3)) == [1, 1, 1]


async def test_a_message_value_can_be_published_alone(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    message = Message.json({"a": 1}, routing_key="q")

    assert await broker.publish(message) == 1

    assert await async_messages(broker, "q") == [message]


async def test_messages_of_one_broker_keep_their_order(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    for number in range(20):
        await broker.publish(b"%d" % number, routing_key="q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(20, 40)])

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"%d" % number for number in range(40)]


async def test_an_unroutable_mandatory_message_keeps_its_whole_group_out(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    group = [
        Message(b"1", routing_key="q"),
        Message(b"2", routing_key="nobody", mandatory=True),
        Message(b"3", routing_key="nobody"),
        Message(b"4", routing_key="no one", mandatory=True),
    ]

    with pytest.raises(Unroutable) as caught:
        await broker.publish_many(group)

    assert caught.value.messages == [(1, "", "nobody"), (3, "", "no one")]
    assert await async_messages(broker, "q") == []


async def test_a_missing_exchange_keeps_its_whole_group_out(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    with pytest.raises(NotFound):
        await broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", exchange="missing")])

    assert await async_messages(broker, "q") == []


async def test_an_internal_exchange_keeps_its_whole_group_out(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    with pytest.raises(AccessRefused):
        await broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", exchange="amq.rabbitmq.trace")])

    assert await async_messages(broker, "q") == []


async def test_groups_published_side_by_side_do_not_affect_each_other(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async def good() -> list[Receipt]:
        return await broker.publish_many([Message(b"good", routing_key="q")] * 2)

    async def bad() -> list[Receipt]:
        return await broker.publish_many([Message(b"bad", routing_key="q"), Message(b"bad", exchange="missing")])

    async def unroutable() -> list[Receipt]:
        return await broker.publish_many([Message(b"bad", routing_key="nobody", mandatory=True)])

    running = [Background(work) for work in (good, bad, good, unroutable, good)]

    assert [await running[index].result() for index in (0, 2, 4)] == [[1, 1]] * 3
    with pytest.raises(NotFound):
        await running[1].result()
    with pytest.raises(Unroutable):
        await running[3].result()
    assert [message.body for message in await async_messages(broker, "q")] == [b"good"] * 6


async def test_many_publishers_on_one_broker_lose_and_double_nothing(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async def publisher(name: int) -> None:
        for number in range(25):
            assert await broker.publish(b"%d.%d" % (name, number), routing_key="q") == 1

    running = [Background(lambda name=name: publisher(name)) for name in range(8)]  # type: ignore[misc]
    for one in running:
        await one.result()

    bodies = [message.body for message in await async_messages(broker, "q")]
    assert sorted(bodies) == sorted(b"%d.%d" % (name, number) for name in range(8) for number in range(25))
    for name in range(8):
        mine = [body for body in bodies if body.startswith(b"%d." % name)]
        assert mine == [b"%d.%d" % (name, number) for number in range(25)]


@pytest.mark.parametrize("size", [0, 1, 255, 65_536, 1_048_576])
async def test_a_body_of_any_size_comes_back_as_it_was(broker: AsyncBroker, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    await broker.declare_queue("q")

    assert await broker.publish(body, routing_key="q") == 1

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.body == body


async def test_bytearrays_and_memoryviews_are_copied(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    body = bytearray(b"before")
    group = [Message(body, routing_key="q"), Message(memoryview(body), routing_key="q")]
    body[:] = b"after!"

    await broker.publish_many(group)

    assert [message.body for message in await async_messages(broker, "q")] == [b"before"] * 2


async def test_a_body_over_the_limit_is_too_large(connect: Connect) -> None:
    broker = await connect(max_body=100)
    await broker.declare_queue("q")
    assert await broker.publish(bytes(100), routing_key="q") == 1

    with pytest.raises(ContentTooLarge) as caught:
        await broker.publish(bytes(101), routing_key="q")

    assert (caught.value.size, caught.value.limit) == (101, 100)
    assert len(await async_messages(broker, "q")) == 1


async def test_a_body_of_the_default_limit_of_16_mib_fits(broker: AsyncBroker) -> None:
    with pytest.raises(ContentTooLarge):
        await broker.publish(bytes(16 * 1024 * 1024 + 1), routing_key="nobody")

    assert await broker.publish(bytes(16 * 1024 * 1024), routing_key="nobody") == 0


async def test_a_group_over_a_thousand_messages_is_too_large(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    group = [Message(b"", routing_key="q")] * 1001

    with pytest.raises(ContentTooLarge) as caught:
        await broker.publish_many(group)

    assert (caught.value.size, caught.value.limit) == (1001, 1000)
    assert await broker.publish_many(group[1:]) == [1] * 1000


async def test_a_group_over_the_limit_of_a_call_is_too_large(connect: Connect) -> None:
    broker = await connect(max_body=100, max_call=250)
    await broker.declare_queue("q")

    with pytest.raises(ContentTooLarge):
        await broker.publish_many([Message(bytes(90), routing_key="q")] * 3)

    assert await async_messages(broker, "q") == []


async def test_what_is_no_message_is_refused(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        await broker.publish_many([b"body"])  # type: ignore[list-item]


async def test_a_closed_broker_publishes_nothing(connect: Connect, broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    other = await connect()
    await other.aclose()

    with pytest.raises(Exception, match="closed"):
        await other.publish(b"", routing_key="q")

    assert await async_messages(broker, "q") == []


async def test_a_publish_gives_up_in_time_while_another_is_under_way(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    async with broker._publisher.lane.lock:  # as if another caller's publish waited for a server that is away
        with pytest.raises(BrokerConnectionError) as caught:
            await broker.publish(b"late", routing_key="q", timeout=0.05)
    assert caught.value.outcome == "not_done"

    await broker.publish(b"next", routing_key="q")
    assert [message.body for message in await async_messages(broker, "q")] == [b"next"]
