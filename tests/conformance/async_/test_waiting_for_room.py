"""Publishers that wait for room, and the limit of a vhost (docs/back-pressure.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Blocked, Message
from rexchange.errors import CommandFailed, InvalidArgument, PublishRefused
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect


async def bodies(broker: AsyncBroker, queue: str = "q") -> list[bytes]:
    return [message.body for message in await async_messages(broker, queue)]


async def is_blocked(broker: AsyncBroker) -> Blocked:
    """Wait until a publish of this Broker waits for room."""

    async def blocked() -> bool:
        return broker.blocked is not None

    await async_wait_until(blocked)
    assert broker.blocked is not None
    return broker.blocked


@pytest.mark.parametrize("overflow", [None, "reject-publish"])
@pytest.mark.parametrize("limit", [{"max_length": 2}, {"max_length_bytes": 4}], ids=str)
async def test_a_publisher_that_waits_goes_on_when_there_is_room(
    broker: AsyncBroker, overflow: Any, limit: dict[str, Any]
) -> None:
    await broker.declare_queue("q", overflow=overflow, **limit)
    await broker.publish_many([Message(b"11", routing_key="q"), Message(b"22", routing_key="q")])
    publishing = Background(lambda: broker.publish(b"33", routing_key="q", wait=10))

    blocked = await is_blocked(broker)

    assert (blocked.kind, blocked.queues) == ("queue", ("q",))
    assert "'q'" in blocked.reason
    assert await bodies(broker) == [b"11", b"22"]
    taken = await broker.get("q")
    assert taken is not None
    assert await publishing.result() == 1
    assert broker.blocked is None
    assert (taken.body, await bodies(broker)) == (b"11", [b"22", b"33"])


async def test_one_that_has_waited_long_enough_is_refused_and_nothing_was_written(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    await broker.bind("q", "amq.fanout")
    await broker.declare_queue("other")
    await broker.bind("other", "amq.fanout")
    await broker.publish(b"1", routing_key="q")

    with pytest.raises(PublishRefused) as caught:
        await broker.publish(b"2", exchange="amq.fanout", wait=0.05)

    assert (caught.value.limit, caught.value.refused, caught.value.counts) == ("queue", [(0, "q")], [0])
    assert (await bodies(broker), await bodies(broker, "other")) == ([b"1"], [])
    assert broker.blocked is None


async def test_a_group_waits_until_there_is_room_for_all_of_it(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=3)
    await broker.publish_many([Message(b"old", routing_key="q")] * 2)
    publishing = Background(lambda: broker.publish_many([Message(b"new", routing_key="q")] * 3, wait=10))
    await is_blocked(broker)

    await broker.get("q")
    assert await bodies(broker) == [b"old"]
    assert broker.blocked is not None
    await broker.get("q")

    assert await publishing.result() == [1, 1, 1]
    assert await bodies(broker) == [b"new"] * 3


async def test_others_are_not_held_up_by_one_that_waits(broker: AsyncBroker) -> None:
    await broker.declare_queue("full", max_length=1)
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="full")
    publishing = Background(lambda: broker.publish(b"2", routing_key="full", wait=10))
    await is_blocked(broker)

    assert await broker.publish(b"3", routing_key="q") == 1

    assert await broker.purge("full") == 1
    assert await publishing.result() == 1


async def test_where_there_is_room_nobody_waits(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    await broker.declare_queue("plain")

    assert await broker.publish(b"1", routing_key="q", wait=10) == 1
    assert await broker.publish(b"1", routing_key="plain", wait=0) == 1


async def test_what_a_consumer_has_room_for_is_not_in_the_queue(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    async with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:
        assert await broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="q")], wait=5) == [
            1,
            1,
        ]
        await (await anext(consumer)).ack()


async def test_one_that_comes_twice_in_a_group_needs_room_once(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1, overflow="reject-publish")
    once = Message(b"1", routing_key="q", dedup_key="k", dedup_window=timedelta(minutes=1))

    assert await broker.publish_many([once, once], wait=0) == [1, 1]


async def test_what_waits_for_its_time_needs_no_room_now(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    await broker.publish(b"1", routing_key="q")

    receipt = await broker.publish(b"2", routing_key="q", delay=timedelta(hours=1), wait=0)

    assert receipt.schedule_id


# --- the limit of a vhost


async def test_a_limit_changes_nothing_for_who_publishes_to_a_full_queue(broker: AsyncBroker) -> None:
    await broker.declare_queue("full", max_length=1, overflow="reject-publish")
    await broker.declare_queue("other")
    await broker.bind("full", "amq.fanout")
    await broker.bind("other", "amq.fanout")
    await broker.set_vhost_limit(100)
    await broker.publish(b"1", routing_key="full")

    with pytest.raises(PublishRefused) as caught:
        await broker.publish(b"2", exchange="amq.fanout")

    assert (caught.value.limit, caught.value.counts) == ("queue", [1])
    assert await bodies(broker, "other") == [b"2"]


async def test_what_waits_for_its_time_counts_as_one(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    for name in ("one", "two"):
        await broker.declare_queue(name)
        await broker.bind(name, "amq.fanout")
    await broker.set_vhost_limit(3)

    await broker.publish(b"", exchange="x", headers={"x-delay": 60_000})
    await broker.publish(b"", exchange="amq.fanout", delay=timedelta(hours=1))
    await broker.publish(b"", exchange="amq.headers", delay=timedelta(hours=1))

    assert (await broker.vhost_limit()).held == 3
    for exchange, more in (("x", {"headers": {"x-delay": 60_000}}), ("amq.headers", {"delay": timedelta(hours=1)})):
        options: Any = more
        with pytest.raises(PublishRefused):
            await broker.publish(b"", exchange=exchange, **options)


async def test_a_transaction_that_was_not_done_counts_for_nothing(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_vhost_limit(2)
    for _ in range(3):
        with pytest.raises(CommandFailed):  # noqa: PT012 - the end of the block raises
            async with broker.transaction() as tx:
                tx.redis.execute_command("NO.SUCH.COMMAND")
                tx.publish(b"1", routing_key="q")

    assert await broker.publish_many([Message(b"2", routing_key="q")] * 2) == [1, 1]
    with pytest.raises(PublishRefused):
        async with broker.transaction() as tx:
            tx.publish(b"3", routing_key="q")


async def test_a_vhost_takes_no_more_than_its_limit(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.declare_queue("other")
    await broker.publish(b"before", routing_key="other")
    await broker.set_vhost_limit(3)

    assert await broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="q")]) == [1, 1]
    with pytest.raises(PublishRefused) as caught:
        await broker.publish(b"3", routing_key="q")

    assert (caught.value.limit, caught.value.counts) == ("vhost", [])
    assert "3" in str(caught.value)
    assert await broker.publish(b"nowhere", routing_key="nobody") == 0
    assert (await bodies(broker), await bodies(broker, "other")) == ([b"1", b"2"], [b"before"])
    assert await broker.vhost_limit() == (3, 3)


async def test_a_publisher_waits_for_room_in_the_vhost(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("q")
    await broker.set_vhost_limit(1)
    await broker.publish(b"1", routing_key="q")
    publishing = Background(lambda: broker.publish(b"2", routing_key="q", wait=10))

    blocked = await is_blocked(broker)

    assert (blocked.kind, blocked.queues) == ("vhost", ())
    assert broker.vhost in blocked.reason
    assert [each.body for each in await async_drain(await connect(), "q")] == [b"1"]
    assert await publishing.result() == 1


async def test_a_limit_that_is_taken_away_holds_nobody(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_vhost_limit(0)
    with pytest.raises(PublishRefused):
        await broker.publish(b"1", routing_key="q")
    await broker.set_vhost_limit(None)

    assert await broker.publish(b"1", routing_key="q") == 1
    assert await broker.vhost_limit() == (None, 1)


async def test_many_queues_are_counted_in_several_calls(broker: AsyncBroker) -> None:
    for number in range(600):
        await broker.declare_queue(f"q{number}")
    await broker.publish_many([Message(b"", routing_key=f"q{number}") for number in range(600)])
    assert await broker.vhost_limit() == (None, 600)
    await broker.set_vhost_limit(600)

    assert await broker.vhost_limit() == (600, 600)
    with pytest.raises(PublishRefused):
        await broker.publish(b"", routing_key="q1")


@pytest.mark.parametrize("wrong", [-1, "5", 2.5, True])
async def test_a_limit_is_a_number_or_none(broker: AsyncBroker, wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        await broker.set_vhost_limit(wrong)


@pytest.mark.parametrize("wrong", [-1, "5", True])
async def test_a_wait_is_seconds(broker: AsyncBroker, wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        await broker.publish(b"", routing_key="q", wait=wrong)
