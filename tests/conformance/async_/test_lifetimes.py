"""Auto-delete: of queues after their last consumer, of exchanges after their last binding, and on upstream."""

from __future__ import annotations

from rexchange import AsyncBroker
from rexchange.topology import PREDECLARED
from tests.conformance.async_.support import Connect


async def names(broker: AsyncBroker) -> tuple[list[str], list[str]]:
    """Return the names of the queues and of our exchanges."""
    exchanges = [exchange.name for exchange in await broker.exchanges() if exchange.name not in PREDECLARED]
    return [info.queue.name for info in await broker.queues()], exchanges


async def test_an_auto_delete_queue_goes_with_its_last_consumer(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", auto_delete=True)

    async with broker.consume("q"):
        async with broker.consume("q"):
            pass
        assert (await names(broker))[0] == ["q"]

    assert (await names(broker))[0] == []


async def test_an_auto_delete_queue_that_was_never_consumed_stays(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", auto_delete=True)
    await broker.publish(b"", routing_key="q")

    assert await broker.get("q") is not None  # get is no consumer

    assert (await names(broker))[0] == ["q"]


async def test_an_auto_delete_queue_goes_when_its_consumers_broker_closes(
    broker: AsyncBroker, connect: Connect
) -> None:
    await broker.declare_queue("q", auto_delete=True)
    other = await connect()
    await other.consume("q").open()

    await other.aclose()

    assert (await names(broker))[0] == []


async def test_cancelling_the_last_consumer_keeps_the_queue_until_it_is_closed(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", auto_delete=True)
    await broker.publish(b"", routing_key="q")
    consumer = broker.consume("q", auto_ack=False)
    delivery = await anext(consumer)

    await consumer.cancel()
    await delivery.ack(wait=True)  # what was handed out stays valid
    await consumer.aclose()

    assert (await names(broker))[0] == []


async def test_an_auto_delete_exchange_goes_with_its_last_binding(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "topic", auto_delete=True)
    await broker.declare_queue("q")
    await broker.bind("q", "x", "a")
    await broker.bind("q", "x", "b")

    await broker.unbind("q", "x", "a")
    assert (await names(broker))[1] == ["x"]
    await broker.unbind("q", "x", "b")

    assert (await names(broker))[1] == []


async def test_an_auto_delete_exchange_that_was_never_bound_stays(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", auto_delete=True)
    await broker.unbind("q", "x", "a")

    assert (await names(broker))[1] == ["x"]


async def test_bindings_where_it_is_the_destination_do_not_keep_an_exchange(broker: AsyncBroker) -> None:
    destination = await broker.declare_exchange("destination", "fanout", auto_delete=True)
    await broker.bind(destination, "amq.fanout")
    await broker.declare_queue("q")
    await broker.bind("q", destination)

    await broker.unbind("q", destination)

    assert (await names(broker))[1] == []
    assert await broker.bindings() == []


async def test_the_last_consumer_takes_queue_exchange_and_upstream_exchange_along(broker: AsyncBroker) -> None:
    await broker.declare_exchange("upstream", "fanout", auto_delete=True)
    downstream = await broker.declare_exchange("downstream", "topic", auto_delete=True)
    await broker.bind(downstream, "upstream")
    await broker.declare_queue("q", auto_delete=True)
    await broker.bind("q", downstream, "#")

    async with broker.consume("q"):
        assert await broker.route("upstream", "k") == ["q"]

    assert await names(broker) == ([], [])


async def test_a_cycle_of_auto_delete_exchanges_goes_in_one_step(broker: AsyncBroker) -> None:
    one = await broker.declare_exchange("one", "fanout", auto_delete=True)
    two = await broker.declare_exchange("two", "fanout", auto_delete=True)
    await broker.bind(two, one)
    await broker.bind(one, two)

    await broker.unbind(two, one)

    assert await names(broker) == ([], [])


async def test_deleting_a_queue_takes_its_auto_delete_exchange_along(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "headers", auto_delete=True)
    await broker.declare_queue("q")
    await broker.bind("q", "x", "", {"a": 1})

    await broker.delete_queue("q")

    assert await names(broker) == ([], [])
