"""Publishing once by a key (docs/deduplication.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Message
from rexchange.errors import InvalidArgument, PublishRefused, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_messages
from tests.conformance.async_.support import Background, Connect
from tests.support.clock import Clock
from tests.support.servers import Bare

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def broker(connect: Connect, clock: Clock) -> AsyncBroker:  # noqa: ARG001 - it comes first
    """Return a broker whose scripts go by the test's clock."""
    broker = await connect(session_timeout=timedelta(days=30))
    await broker.declare_queue("q")
    return broker


def once(body: bytes, key: str = "k", *, routing_key: str = "q", **more: Any) -> Message:
    return Message(body, routing_key=routing_key, dedup_key=key, dedup_window=MINUTE, **more)


async def bodies(broker: AsyncBroker, queue: str = "q") -> list[bytes]:
    return [message.body for message in await async_messages(broker, queue)]


async def test_the_second_one_is_not_published_and_has_the_receipt_of_the_first(broker: AsyncBroker) -> None:
    first = await broker.publish(once(b"1"))
    second = await broker.publish(once(b"2"))

    assert (first, first.duplicate) == (1, False)
    assert (second, second.duplicate) == (1, True)
    assert await bodies(broker) == [b"1"]


async def test_another_key_is_another_message(broker: AsyncBroker) -> None:
    assert await broker.publish_many([once(b"1", "a"), once(b"2", "b")]) == [1, 1]
    assert await bodies(broker) == [b"1", b"2"]


async def test_when_the_window_is_over_the_key_is_free_again(broker: AsyncBroker, clock: Clock) -> None:
    await broker.publish(once(b"1"))
    clock.advance(59.999)
    assert (await broker.publish(once(b"2"))).duplicate
    clock.advance(0.001)
    assert not (await broker.publish(once(b"3"))).duplicate
    clock.advance(59.999)
    assert (await broker.publish(once(b"4"))).duplicate

    assert await bodies(broker) == [b"1", b"3"]


async def test_a_duplicate_in_the_same_group_is_one(broker: AsyncBroker) -> None:
    receipts = await broker.publish_many([once(b"1"), Message(b"2", routing_key="q"), once(b"3"), once(b"4")])

    assert receipts == [1, 1, 1, 1]
    assert [receipt.duplicate for receipt in receipts] == [False, False, True, True]
    assert await bodies(broker) == [b"1", b"2"]


async def test_of_many_at_once_one_is_published(connect: Connect, broker: AsyncBroker) -> None:
    brokers = [await connect(session_timeout=timedelta(days=30)) for _ in range(4)]
    running = [Background(lambda each=each: each.publish(once(b"x"))) for each in brokers for _ in range(5)]  # type: ignore[misc]

    receipts = [await work.result() for work in running]

    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert await bodies(broker) == [b"x"]


async def test_a_duplicate_of_one_that_waits_has_its_schedule(broker: AsyncBroker, clock: Clock) -> None:
    first = await broker.publish(once(b"1", delay=timedelta(seconds=30)))
    second = await broker.publish(once(b"2"))

    assert (second, second.duplicate, second.schedule_id) == (0, True, first.schedule_id)
    clock.advance(30)
    await broker.reap()
    assert await bodies(broker) == [b"1"]


async def test_a_duplicate_is_told_what_the_first_reached_wherever_it_would_go_now(broker: AsyncBroker) -> None:
    await broker.bind("q", "amq.fanout")
    await broker.publish(b"", exchange="amq.fanout", dedup_key="k", dedup_window=MINUTE)
    await broker.unbind("q", "amq.fanout")

    again = await broker.publish(b"", exchange="amq.fanout", dedup_key="k", dedup_window=MINUTE, mandatory=True)
    other = await broker.publish(b"", exchange="missing", dedup_key="k", dedup_window=MINUTE)

    assert (again, again.duplicate, other) == (1, True, 1)


async def test_a_group_that_was_refused_leaves_its_keys_free(broker: AsyncBroker) -> None:
    with pytest.raises(Unroutable):
        await broker.publish_many([once(b"1"), Message(b"", routing_key="nobody", mandatory=True)])

    assert not (await broker.publish(once(b"2"))).duplicate
    assert await bodies(broker) == [b"2"]


async def test_what_a_full_queue_refused_leaves_its_key_free(broker: AsyncBroker) -> None:
    await broker.declare_queue("full", max_length=1, overflow="reject-publish")
    await broker.publish(b"0", routing_key="full")
    with pytest.raises(PublishRefused):
        await broker.publish(once(b"1", routing_key="full"))
    await async_drain(broker, "full")

    assert not (await broker.publish(once(b"2", routing_key="full"))).duplicate
    assert await bodies(broker, "full") == [b"2"]


async def test_one_that_waited_and_was_cancelled_leaves_its_key_free(broker: AsyncBroker, clock: Clock) -> None:
    first = await broker.publish(once(b"1", delay=timedelta(seconds=30)))
    assert [each.body for each in await broker.scheduled()] == [b"1"]
    await broker.cancel_scheduled(first.schedule_id)

    second = await broker.publish(once(b"2", delay=timedelta(seconds=30)))

    assert not second.duplicate
    clock.advance(30)
    await broker.reap()
    assert await bodies(broker) == [b"2"]
    assert (await broker.publish(once(b"3"))).duplicate


async def test_old_keys_are_forgotten(broker: AsyncBroker, clock: Clock, ask: Bare, keys: Keys) -> None:
    await broker.publish_many([once(b"", f"old {number}") for number in range(150)])
    clock.advance(60)
    await broker.publish_many([once(b"", f"new {number}") for number in range(10)])
    assert ask("HLEN", keys.fates) == ask("ZCARD", keys.fading) == 150 + 10 - 20

    await broker.reap()
    await broker.reap()

    assert ask("HLEN", keys.fates) == ask("ZCARD", keys.fading) == 10
    clock.advance(60)
    await broker.reap()


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"dedup_key": "k"}, "dedup_window"),
        ({"dedup_window": MINUTE}, "dedup_key"),
        ({"dedup_key": "k", "dedup_window": timedelta(0)}, "dedup_window"),
        ({"dedup_key": "k", "dedup_window": -MINUTE}, "dedup_window"),
        ({"dedup_key": "k", "dedup_window": timedelta(days=40_000)}, "dedup_window"),
        ({"dedup_key": "k", "dedup_window": 60}, "dedup_window"),
        ({"dedup_key": "", "dedup_window": MINUTE}, "dedup_key"),
        ({"dedup_key": 7, "dedup_window": MINUTE}, "dedup_key"),
        ({"dedup_key": "k" * 256, "dedup_window": MINUTE}, "dedup_key"),
    ],
    ids=str,
)
async def test_what_is_no_key_and_no_window_is_refused(
    broker: AsyncBroker, given: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await broker.publish(b"", routing_key="q", **given)

    assert caught.value.argument == argument
    assert await bodies(broker) == []
