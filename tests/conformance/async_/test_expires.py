"""x-expires: a queue that nobody uses goes (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from rexchange import AsyncBroker
from rexchange.errors import InvalidArgument, NotFound, PreconditionFailed
from rexchange.testing import async_wait_until
from tests.conformance.async_.support import Connect

SHORT = timedelta(milliseconds=300)


async def names(broker: AsyncBroker) -> list[str]:
    """Return the names of the queues; a listing does not use them."""
    await broker.reap()
    return [info.name for info in await broker.queues()]


async def goes(broker: AsyncBroker, queue: str = "q") -> float:
    """Wait until the queue is gone, and return how many seconds it took."""
    started = time.monotonic()

    async def gone() -> bool:
        return queue not in await names(broker)

    await async_wait_until(gone)
    return time.monotonic() - started


async def stays_while(broker: AsyncBroker, used: Callable[[], Awaitable[object]]) -> None:
    """Use the queue for longer than it lives unused."""
    until = time.monotonic() + 0.7

    async def long_enough() -> bool:
        await used()
        assert await names(broker) == ["q"]
        return time.monotonic() > until

    await async_wait_until(long_enough)


async def test_a_queue_goes_when_nobody_has_used_it_for_its_time(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)

    assert await goes(broker) > 0.2


async def test_its_bindings_and_messages_go_with_it(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)
    await broker.bind("q", "amq.topic", "#")
    await broker.publish(b"", routing_key="q")

    await goes(broker)

    assert await broker.bindings() == []
    assert await broker.publish(b"", exchange="amq.topic") == 0
    with pytest.raises(NotFound):
        await broker.get("q")


async def test_its_messages_are_not_dead_lettered(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", expires=SHORT, dead_letter_exchange="", dead_letter_routing_key="dead")
    await broker.publish(b"", routing_key="q")

    await goes(broker)

    assert (await broker.declare_queue("dead", passive=True)).message_count == 0


async def test_an_auto_delete_exchange_goes_with_its_last_queue(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", auto_delete=True)
    await broker.declare_queue("q", expires=SHORT)
    await broker.bind("q", "x")

    await goes(broker)

    with pytest.raises(NotFound):
        await broker.declare_exchange("x", passive=True)


async def test_the_heartbeat_of_any_consumer_sees_to_it(broker: AsyncBroker) -> None:
    await broker.declare_queue("other")
    async with broker.consume("other"):
        await broker.declare_queue("q", expires=SHORT)

        async def gone() -> bool:
            return [info.name for info in await broker.queues()] == ["other"]

        await async_wait_until(gone)


async def test_a_consumer_uses_its_queue_and_the_time_runs_from_its_end(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)

    async with broker.consume("q"):
        await stays_while(broker, broker.status)

    assert await goes(broker) > 0.2


async def test_a_dead_consumer_uses_its_queue_no_more(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await broker.declare_queue("q", expires=SHORT)
    await other.consume("q").open()

    await other.aclose()

    assert await goes(broker) > 0.2


async def test_get_is_a_use_also_of_an_empty_queue(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)

    await stays_while(broker, lambda: broker.get("q"))

    assert await goes(broker) > 0.2


async def test_declaring_it_again_is_a_use(broker: AsyncBroker) -> None:
    await stays_while(broker, lambda: broker.declare_queue("q", expires=SHORT))

    assert await goes(broker) > 0.2


async def test_a_passive_declare_is_a_use(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)

    await stays_while(broker, lambda: broker.declare_queue("q", passive=True))


async def test_a_publish_is_no_use(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)

    async def gone() -> bool:
        await broker.reap()
        return await broker.publish(b"", routing_key="q") == 0

    await async_wait_until(gone)


async def test_a_purge_is_no_use(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)

    async def gone() -> bool:
        there = await names(broker)
        if there:
            await broker.purge("q")
        return not there

    await async_wait_until(gone)


async def test_a_queue_that_is_declared_anew_after_it_went_is_another_one(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=SHORT)
    await broker.publish(b"old", routing_key="q")
    assert await broker.get("q", auto_ack=False) is not None
    await goes(broker)

    await broker.declare_queue("q")

    assert await broker.get("q") is None
    assert (await broker.queues())[0].unacked == 0


async def test_it_is_the_argument_x_expires(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", expires=timedelta(minutes=5))

    await broker.declare_queue("q", arguments={"x-expires": 300_000})

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q")
    assert (caught.value.argument, caught.value.current) == ("x-expires", 300_000)


@pytest.mark.parametrize("expires", [0, -1, "5", 1.5, True, 1 << 32])
async def test_a_value_that_is_no_time_is_a_failed_precondition(broker: AsyncBroker, expires: object) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments={"x-expires": expires})  # type: ignore[dict-item]

    assert caught.value.argument == "x-expires"
    assert await broker.queues() == []


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(days=50), 5])
async def test_an_option_that_is_no_time_is_an_invalid_argument(broker: AsyncBroker, expires: object) -> None:
    with pytest.raises(InvalidArgument):
        await broker.declare_queue("q", expires=expires)  # type: ignore[arg-type]

    assert await broker.queues() == []
