"""Direct reply-to, `call` and `reply` (RabbitMQ's doc of direct reply-to; RABBITMQ.md calls for each rule)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.errors import ConsumerCancelled, InvalidArgument, NoReply, NotFound, PreconditionFailed, Unroutable
from rexchange.topology import REPLY_TO
from tests.conformance.async_.support import Background, Connect
from tests.support.faults import reap


async def serve(broker: AsyncBroker, count: int = 1) -> None:
    """Answer so many requests of "work" with their body in capitals."""
    async with broker.consume("work", auto_ack=False) as consumer:
        for _ in range(count):
            request = await anext(consumer)
            await broker.reply(request, request.body.upper())
            await request.ack(wait=True)


@pytest.fixture
async def worker(broker: AsyncBroker, connect: Connect) -> AsyncBroker:
    """Another broker; the queue "work" is declared."""
    await broker.declare_queue("work")
    return await connect()


# --- call


async def test_a_call_returns_the_reply(broker: AsyncBroker, worker: AsyncBroker) -> None:
    serving = Background(lambda: serve(worker))

    reply = await broker.call(b"hello", routing_key="work", headers={"a": 1}, timeout=10)

    assert reply.body == b"HELLO"
    await serving.result()


async def test_calls_at_once_get_each_its_own_reply(broker: AsyncBroker, worker: AsyncBroker) -> None:
    serving = Background(lambda: serve(worker, 20))

    async def ask(number: int) -> bytes:
        return (await broker.call(b"a%d" % number, routing_key="work", timeout=10)).body

    asked = [Background(lambda number=number: ask(number)) for number in range(20)]  # type: ignore[misc]

    assert [await each.result() for each in asked] == [b"A%d" % number for number in range(20)]
    await serving.result()


async def test_a_call_takes_a_message_and_keeps_its_properties(broker: AsyncBroker, worker: AsyncBroker) -> None:
    async def look() -> AsyncDelivery:
        async with worker.consume("work", auto_ack=False) as consumer:
            request = await anext(consumer)
            await worker.reply(request, b"", content_type="text/plain")
            await request.ack(wait=True)
            return request

    looking = Background(look)
    reply = await broker.call(Message.json([1], routing_key="work", type="sum"), timeout=10)
    request = await looking.result()

    assert (request.json(), request.properties.type) == ([1], "sum")
    assert request.properties.reply_to is not None
    assert request.properties.reply_to.startswith(f"{REPLY_TO}.")
    assert reply.properties.content_type == "text/plain"
    assert reply.properties.correlation_id == request.properties.correlation_id


@pytest.mark.usefixtures("worker")
async def test_a_call_that_nobody_answers_says_so_in_time(broker: AsyncBroker) -> None:
    with pytest.raises(NoReply, match=r"no reply within 0\.05 s from exchange '', key 'work'") as caught:
        await broker.call(b"hello", routing_key="work", timeout=0.05)

    assert (caught.value.exchange, caught.value.routing_key, caught.value.seconds) == ("", "work", 0.05)


async def test_a_reply_that_comes_too_late_is_nobody_elses(broker: AsyncBroker, worker: AsyncBroker) -> None:
    with pytest.raises(NoReply):
        await broker.call(b"late", routing_key="work", timeout=0.05)
    serving = Background(lambda: serve(worker, 2))  # answers the late one first

    reply = await broker.call(b"next", routing_key="work", timeout=10)

    assert reply.body == b"NEXT"
    await serving.result()


async def test_a_call_to_nowhere_is_unroutable(broker: AsyncBroker) -> None:
    with pytest.raises(Unroutable):
        await broker.call(b"hello", routing_key="nowhere", timeout=5)


@pytest.mark.parametrize("timeout", [0, -1, "5", None])
async def test_a_timeout_of_a_call_is_more_than_0(broker: AsyncBroker, timeout: object) -> None:
    with pytest.raises(InvalidArgument, match="timeout"):
        await broker.call(b"hello", routing_key="work", timeout=timeout)  # type: ignore[call-overload]


async def test_after_its_session_was_reaped_the_next_call_has_another_queue(
    broker: AsyncBroker, worker: AsyncBroker, url: str
) -> None:
    serving = Background(lambda: serve(worker, 3))
    await broker.call(b"a", routing_key="work", timeout=10)
    reap(url, broker)

    with pytest.raises(ConsumerCancelled):
        await broker.call(b"b", routing_key="work", timeout=10)
    assert (await broker.call(b"c", routing_key="work", timeout=10)).body == b"C"
    await serving.result()


async def test_no_queue_is_left_behind(connect: Connect, broker: AsyncBroker, worker: AsyncBroker) -> None:
    caller = await connect()
    serving = Background(lambda: serve(worker))
    await caller.call(b"hello", routing_key="work", timeout=10)
    await serving.result()

    await caller.aclose()

    assert [info.name for info in await broker.queues()] == ["work"]


# --- reply


async def test_a_request_that_asks_for_no_reply_cannot_be_answered(broker: AsyncBroker, worker: AsyncBroker) -> None:
    await broker.publish(b"hello", routing_key="work")
    request = await worker.get("work")
    assert request is not None

    with pytest.raises(InvalidArgument, match="reply_to"):
        await worker.reply(request, b"")


async def test_a_reply_to_one_that_is_gone_reaches_nobody(connect: Connect, worker: AsyncBroker) -> None:
    caller = await connect()
    with pytest.raises(NoReply):
        await caller.call(b"hello", routing_key="work", timeout=0.05)
    await caller.aclose()
    request = await worker.get("work")
    assert request is not None

    assert await worker.reply(request, b"") == 0


# --- direct reply-to, by hand


async def test_the_name_stands_for_a_queue_of_the_brokers_own(broker: AsyncBroker, worker: AsyncBroker) -> None:
    async with broker.consume(REPLY_TO, timeout=5) as consumer:
        await broker.publish(b"hello", routing_key="work", reply_to=REPLY_TO)
        request = await worker.get("work")
        assert request is not None
        assert request.properties.reply_to == consumer.queues[0] != REPLY_TO

        assert await worker.publish(b"answer", routing_key=str(request.properties.reply_to)) == 1
        assert (await anext(consumer)).body == b"answer"


async def test_whether_who_asked_is_still_there_can_be_asked(broker: AsyncBroker, worker: AsyncBroker) -> None:
    async with broker.consume(REPLY_TO) as consumer:
        name = consumer.queues[0]
        asked = await worker.declare_queue(name)
        assert (asked.message_count, asked.consumer_count) == (0, 1)

    with pytest.raises(NotFound):
        await worker.declare_queue(name)


async def test_a_request_before_there_is_a_consumer_of_replies_is_refused(
    broker: AsyncBroker, worker: AsyncBroker
) -> None:
    with pytest.raises(PreconditionFailed, match="replies have nowhere to go"):
        await broker.publish(b"hello", routing_key="work", reply_to=REPLY_TO)

    assert await worker.get("work") is None


@pytest.mark.parametrize(("queues", "auto_ack"), [([REPLY_TO], False), ([REPLY_TO, "work"], True)])
async def test_replies_are_consumed_alone_and_with_auto_ack(
    broker: AsyncBroker, queues: list[str], auto_ack: bool
) -> None:
    with pytest.raises(PreconditionFailed, match=REPLY_TO):
        broker.consume(queues, auto_ack=auto_ack)


async def test_a_second_consumer_of_replies_is_refused(broker: AsyncBroker) -> None:
    async with broker.consume(REPLY_TO):
        with pytest.raises(PreconditionFailed, match="one consumer of it in a Broker"):
            broker.consume(REPLY_TO)
