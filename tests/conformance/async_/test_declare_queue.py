"""Declaring and deleting queues (docs/semantics.md, Queues)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rexchange import AsyncBroker, Message, Queue
from rexchange.codec import Table
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, NotSupported, PreconditionFailed, ResourceLocked
from tests.conformance.async_.support import Connect


async def test_a_declared_queue_is_listed_as_declared(broker: AsyncBroker) -> None:
    declared = await broker.declare_queue("q", durable=False, auto_delete=True, arguments={"foo": "bar"})

    (listed,) = await broker.queues()

    assert (declared.name, declared.durable, declared.auto_delete, declared.exclusive) == ("q", False, True, False)
    assert listed.queue.arguments == {"foo": "bar"}
    assert (listed.ready, listed.unacked, listed.consumers) == (0, 0, 0)


async def test_a_declare_tells_the_ready_and_the_consumer_count(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    for body in (b"1", b"2", b"3"):
        await broker.publish(body, routing_key="q")
    delivery = await broker.get("q", auto_ack=False)  # unacked ones do not count
    assert delivery is not None

    async with broker.consume("q", auto_ack=False, prefetch=1):
        queue = await broker.declare_queue("q", passive=True)

    assert (queue.message_count, queue.consumer_count) == (2, 1)
    await delivery.ack()


async def test_declaring_the_same_queue_again_keeps_its_messages(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"kept", routing_key="q")

    again = await broker.declare_queue("q")

    assert again.message_count == 1


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("durable", {"durable": False}),
        ("auto_delete", {"auto_delete": True}),
        ("x-consumer-timeout", {"ack_timeout": timedelta(seconds=5)}),
    ],
)
async def test_an_inequivalent_declare_names_the_argument(
    broker: AsyncBroker, argument: str, wanted: dict[str, object]
) -> None:
    await broker.declare_queue("q")

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", **wanted)  # type: ignore[arg-type]

    assert (caught.value.argument, caught.value.name) == (argument, "q")
    assert caught.value.current != caught.value.wanted


async def test_arguments_nobody_knows_are_not_compared(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", arguments={"foo": 1})

    await broker.declare_queue("q", arguments={"x-foo": 2})


async def test_the_classic_queue_type_is_the_same_as_none(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    await broker.declare_queue("q", arguments={"x-queue-type": "classic"})


async def test_the_ack_timeout_is_the_argument_x_consumer_timeout(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", ack_timeout=timedelta(seconds=90))

    queue = await broker.declare_queue("q", arguments={"x-consumer-timeout": 90_000})

    assert queue.ack_timeout == timedelta(seconds=90)


async def test_a_queue_without_a_name_gets_one_of_its_own(broker: AsyncBroker) -> None:
    first = await broker.declare_queue()
    second = await broker.declare_queue("")

    assert first.name.startswith("amq.gen-")
    assert first.name != second.name
    assert await broker.publish(b"", routing_key=first.name) == 1


async def test_names_that_begin_with_amq_are_reserved(broker: AsyncBroker) -> None:
    with pytest.raises(AccessRefused):
        await broker.declare_queue("amq.mine")


async def test_passive_raises_not_found_for_a_missing_queue(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.declare_queue("missing", passive=True)

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")


async def test_passive_does_not_compare(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", durable=False)

    assert (await broker.declare_queue("q", passive=True)).durable is False


async def test_passive_does_not_check_what_it_does_not_compare(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    assert (await broker.declare_queue("q", passive=True, arguments={"x-message-ttl": "abc"})).arguments == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-consumer-timeout": 0},
        {"x-consumer-timeout": "90"},
        {"x-message-ttl": -1},
        {"x-max-length": "5"},
        {"x-overflow": "drop-tail"},
        {"x-dead-letter-routing-key": "k"},
        {"x-queue-type": "clasic"},
        {"x-queue-type": "quorum", "x-max-priority": 5},
        {"x-queue-type": "stream", "x-message-ttl": 5},
        {"x-max-age": "7D"},
    ],
)
async def test_a_value_that_rabbitmq_refuses_is_a_failed_precondition(broker: AsyncBroker, arguments: Table) -> None:
    with pytest.raises(PreconditionFailed):
        await broker.declare_queue("q", arguments=arguments)

    assert await broker.queues() == []


@pytest.mark.parametrize("arguments", [{"x-delayed-retry-type": "all"}, {"x-delayed-retry-min": 5}])
async def test_a_feature_that_is_missing_is_refused_and_not_ignored(broker: AsyncBroker, arguments: Table) -> None:
    with pytest.raises(NotSupported):
        await broker.declare_queue("q", arguments=arguments)

    assert await broker.queues() == []


async def test_an_option_that_contradicts_its_raw_argument_is_refused(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        await broker.declare_queue("q", ack_timeout=timedelta(seconds=1), arguments={"x-consumer-timeout": 2})


async def test_deleting_a_queue_returns_how_many_were_ready(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    for _ in range(3):
        await broker.publish(b"", routing_key="q")
    assert await broker.get("q", auto_ack=False) is not None

    assert await broker.delete_queue("q") == 2

    assert await broker.queues() == []


async def test_deleting_a_missing_queue_is_no_error(broker: AsyncBroker) -> None:
    assert await broker.delete_queue("missing") == 0


async def test_deleting_a_queue_takes_its_bindings(broker: AsyncBroker) -> None:
    queue = await broker.declare_queue("q")
    await broker.bind(queue, "amq.topic", "a.#")

    await broker.delete_queue(queue)

    assert await broker.bindings() == []
    assert await broker.publish(b"", exchange="amq.topic", routing_key="a.b") == 0


async def test_a_queue_declared_again_after_its_delete_is_empty(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"old", routing_key="q")
    await broker.delete_queue("q")

    assert (await broker.declare_queue("q")).message_count == 0
    assert await broker.get("q") is None


async def test_if_unused_refuses_a_queue_with_consumers(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q"):
        with pytest.raises(PreconditionFailed):
            await broker.delete_queue("q", if_unused=True)

    assert await broker.delete_queue("q", if_unused=True) == 0


async def test_if_empty_refuses_a_queue_with_ready_messages(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q")

    with pytest.raises(PreconditionFailed):
        await broker.delete_queue("q", if_empty=True)

    assert len(await broker.queues()) == 1


async def test_unacked_messages_do_not_hold_up_if_empty(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q")
    assert await broker.get("q", auto_ack=False) is not None

    assert await broker.delete_queue("q", if_empty=True) == 0

    assert await broker.queues() == []


async def test_purge_removes_what_is_ready_and_returns_how_many(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    for body in (b"1", b"2", b"3"):
        await broker.publish(body, routing_key="q")
    unacked = await broker.get("q", auto_ack=False)
    assert unacked is not None

    assert await broker.purge("q") == 2

    await unacked.nack()
    again = await broker.get("q")
    assert again is not None
    assert again.body == b"1"


async def test_purge_removes_what_was_given_back_too(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await delivery.nack()

    assert await broker.purge("q") == 1
    assert (await broker.declare_queue("q")).message_count == 0


async def test_a_purge_of_thousands_removes_all(broker: AsyncBroker) -> None:
    queue = await broker.declare_queue("q")
    await fill(broker, queue, 2_500)

    assert await broker.purge("q") == 2_500


async def fill(broker: AsyncBroker, queue: Queue, count: int) -> None:
    for start in range(0, count, 500):
        await broker.publish_many([Message(b"", routing_key=queue.name) for _ in range(start, start + 500)])


async def test_purging_a_missing_queue_is_not_found(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound):
        await broker.purge("missing")


async def test_an_exclusive_queue_is_locked_for_everybody_else(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("mine", exclusive=True)
    await broker.bind("mine", "amq.topic", "#")
    other = await connect()

    for attempt in (
        lambda: other.declare_queue("mine"),
        lambda: other.declare_queue("mine", exclusive=True),
        lambda: other.declare_queue("mine", passive=True),
        lambda: other.bind("mine", "amq.topic", "#"),
        lambda: other.unbind("mine", "amq.topic", "#"),
        lambda: other.get("mine"),
        lambda: other.purge("mine"),
        lambda: other.delete_queue("mine"),
        lambda: other.consume("mine").open(),
    ):
        with pytest.raises(ResourceLocked):
            await attempt()

    assert len(await broker.bindings("amq.topic")) == 1
    await other.unbind("mine", "amq.topic", "not.bound")  # as in RabbitMQ: there is nothing to protect


async def test_anybody_may_publish_to_an_exclusive_queue(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("mine", exclusive=True)
    other = await connect()

    assert await other.publish(b"hello", routing_key="mine") == 1

    delivery = await broker.get("mine")
    assert delivery is not None
    assert delivery.body == b"hello"


async def test_an_exclusive_queue_goes_with_its_broker(broker: AsyncBroker, connect: Connect) -> None:
    owner = await connect()
    await owner.declare_queue("mine", exclusive=True)
    await owner.bind("mine", "amq.topic", "#")
    await owner.publish(b"", routing_key="mine")

    await owner.aclose()

    assert await broker.queues() == []
    assert await broker.bindings() == []


async def test_its_owner_may_declare_an_exclusive_queue_again(broker: AsyncBroker) -> None:
    await broker.declare_queue("mine", exclusive=True)

    assert (await broker.declare_queue("mine", exclusive=True)).exclusive


async def test_exclusive_and_not_exclusive_do_not_match(broker: AsyncBroker) -> None:
    await broker.declare_queue("mine", exclusive=True)
    await broker.declare_queue("ours")

    with pytest.raises(ResourceLocked):
        await broker.declare_queue("mine")
    with pytest.raises(ResourceLocked):
        await broker.declare_queue("ours", exclusive=True)
