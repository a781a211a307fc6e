"""Messages published with a delay or a time (docs/scheduling.md)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Message, Receipt
from rexchange.errors import BrokerConnectionError, InvalidArgument, NotFound, PublishRefused, Unroutable
from rexchange.testing import async_drain, async_messages
from tests.conformance.async_.support import Connect
from tests.support.clock import Clock
from tests.support.faults import Faults

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def broker(connect: Connect, clock: Clock) -> AsyncBroker:  # noqa: ARG001 - it comes first
    """Return a broker whose scripts go by the test's clock."""
    broker = await connect(session_timeout=timedelta(days=30))
    await broker.declare_queue("q")
    return broker


async def bodies(broker: AsyncBroker, queue: str = "q") -> list[bytes]:
    return [message.body for message in await async_messages(broker, queue)]


async def test_a_delayed_message_comes_when_its_time_has_come_and_not_before(broker: AsyncBroker, clock: Clock) -> None:
    receipt = await broker.publish(b"later", routing_key="q", delay=MINUTE)

    assert (receipt, receipt.duplicate) == (0, False)
    assert re.fullmatch(r"\d+\.\w{6}", receipt.schedule_id)
    clock.advance(59.999)
    await broker.reap()
    assert await bodies(broker) == []
    clock.advance(0.001)
    await broker.reap()
    assert await bodies(broker) == [b"later"]
    assert await broker.scheduled() == []


async def test_an_ordinary_message_has_a_receipt_without_a_schedule(broker: AsyncBroker) -> None:
    receipt = await broker.publish(b"", routing_key="q")

    assert (receipt, receipt.schedule_id, receipt.duplicate) == (1, "", False)


async def test_a_time_is_as_good_as_a_delay(broker: AsyncBroker, clock: Clock) -> None:
    at = datetime.fromtimestamp(clock.now_ms / 1000, UTC) + timedelta(hours=1)
    await broker.publish(b"at", routing_key="q", at=at.astimezone())

    (waiting,) = await broker.scheduled()
    assert abs(waiting.due - at) < timedelta(milliseconds=2)
    clock.advance(3600.001)
    await broker.reap()
    assert await bodies(broker) == [b"at"]


async def test_what_waits_is_listed_in_the_order_of_its_time_with_all_that_it_carries(broker: AsyncBroker) -> None:
    await broker.publish(b"2", routing_key="q", delay=2 * MINUTE)
    receipt = await broker.publish(
        b"1", exchange="amq.topic", routing_key="a.b", delay=MINUTE, headers={"h": 1}, priority=3, message_id="m"
    )

    first, second = await broker.scheduled()

    assert (first.id, first.exchange, first.routing_key, first.body) == (receipt.schedule_id, "amq.topic", "a.b", b"1")
    assert (first.headers, first.properties.priority, first.properties.message_id) == ({"h": 1}, 3, "m")
    assert second.body == b"2"
    assert second.due - first.due >= timedelta(seconds=59)
    assert [each.body for each in await broker.scheduled(limit=1)] == [b"1"]


async def test_a_long_list_comes_page_by_page(broker: AsyncBroker) -> None:
    await broker.publish_many(
        [Message(b"%d" % number, routing_key="q", delay=(1 + number % 7) * MINUTE) for number in range(250)]
    )

    found = await broker.scheduled(limit=1000)

    assert sorted(int(each.body) for each in found) == [*range(250)]
    assert [each.due for each in found] == sorted(each.due for each in found)
    assert len({each.id for each in found}) == 250
    assert len(await broker.scheduled(limit=120)) == 120


async def test_a_cancelled_message_never_comes(broker: AsyncBroker, clock: Clock) -> None:
    receipts = await broker.publish_many([Message(b"%d" % n, routing_key="q", delay=MINUTE) for n in range(3)])

    cancelled = await broker.cancel_scheduled(receipts[1].schedule_id)

    assert (cancelled.body, cancelled.routing_key) == (b"1", "q")
    clock.advance(60)
    await broker.reap()
    assert sorted(await bodies(broker)) == [b"0", b"2"]


async def test_a_schedule_that_is_gone_cannot_be_cancelled(broker: AsyncBroker, clock: Clock) -> None:
    receipt = await broker.publish(b"", routing_key="q", delay=MINUTE)
    other = await broker.publish(b"", routing_key="q", delay=MINUTE)
    await broker.cancel_scheduled(receipt.schedule_id)
    clock.advance(60)
    await broker.reap()

    for gone in (receipt.schedule_id, other.schedule_id, "1", "no such", f"{other.schedule_id}x"):
        with pytest.raises(NotFound) as caught:
            await broker.cancel_scheduled(gone)
        assert (caught.value.kind, caught.value.name) == ("schedule", gone)


async def test_the_id_of_another_life_of_the_vhost_means_no_message_of_this_one(broker: AsyncBroker) -> None:
    receipt = await broker.publish(b"", routing_key="q", delay=MINUTE)
    number, _, epoch = receipt.schedule_id.partition(".")

    with pytest.raises(NotFound):
        await broker.cancel_scheduled(f"{number}.{epoch[::-1]}x")

    assert len(await broker.scheduled()) == 1


async def test_it_is_routed_by_the_bindings_of_its_time(broker: AsyncBroker, clock: Clock) -> None:
    await broker.publish(b"1", exchange="amq.topic", routing_key="a.b", headers={"BCC": ["c"]}, delay=MINUTE)
    await broker.bind("q", "amq.topic", "a.*")
    await broker.declare_queue("c")
    await broker.bind("c", "amq.topic", "c")

    clock.advance(60)
    await broker.reap()

    assert (await bodies(broker), await bodies(broker, "c")) == ([b"1"], [b"1"])
    delivery = await broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key, delivery.headers) == ("amq.topic", "a.b", {})


async def test_a_mandatory_one_is_judged_by_the_bindings_of_now(broker: AsyncBroker) -> None:
    with pytest.raises(Unroutable):
        await broker.publish(b"", routing_key="nobody", mandatory=True, delay=MINUTE)
    with pytest.raises(NotFound):
        await broker.publish(b"", exchange="missing", delay=MINUTE)

    assert await broker.scheduled() == []


async def test_its_expiration_and_priority_count_from_its_time_on(broker: AsyncBroker, clock: Clock) -> None:
    await broker.declare_queue("p", max_priority=5)
    await broker.publish(b"low", routing_key="p", delay=MINUTE, priority=1)
    await broker.publish(b"high", routing_key="p", delay=2 * MINUTE, priority=4, expiration="30000")

    clock.advance(60)
    await broker.reap()
    clock.advance(60)
    await broker.reap()

    assert (await async_drain(broker, "p"))[0].body == b"high"
    await broker.publish(b"short", routing_key="p", delay=MINUTE, expiration="30000")
    clock.advance(60)
    await broker.reap()
    clock.advance(31)
    assert await broker.get("p") is None


async def test_a_queue_that_is_full_when_it_is_due_gets_it_later(broker: AsyncBroker, clock: Clock) -> None:
    await broker.declare_queue("full", max_length=1, overflow="reject-publish")
    await broker.bind("full", "amq.fanout")
    await broker.bind("q", "amq.fanout")
    await broker.publish(b"first", routing_key="full")
    await broker.publish(b"second", exchange="amq.fanout", delay=MINUTE)

    clock.advance(60)
    await broker.reap()

    assert (await bodies(broker), await bodies(broker, "full")) == ([b"second"], [b"first"])
    (waiting,) = await broker.scheduled()
    assert (waiting.queue, waiting.body) == ("full", b"second")
    assert len(await async_drain(broker, "full")) == 1
    clock.advance(1)
    await broker.reap()
    assert (await bodies(broker), await bodies(broker, "full")) == ([b"second"], [b"second"])
    assert await broker.scheduled() == []


async def test_what_a_full_queue_dead_letters_when_it_is_due_does_not_come_again(
    broker: AsyncBroker, clock: Clock
) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue(
        "full", max_length=1, overflow="reject-publish-dlx", dead_letter_exchange="", dead_letter_routing_key="dead"
    )
    await broker.publish(b"first", routing_key="full")
    await broker.publish(b"second", routing_key="full", delay=MINUTE)

    clock.advance(60)
    await broker.reap()
    clock.advance(60)
    await broker.reap()

    assert (await bodies(broker, "full"), await bodies(broker, "dead")) == ([b"first"], [b"second"])
    assert await broker.scheduled() == []


async def test_who_is_refused_in_part_learns_the_schedule_of_the_rest(broker: AsyncBroker) -> None:
    await broker.declare_queue("full", max_length=1, overflow="reject-publish")
    await broker.publish(b"", routing_key="full")
    with pytest.raises(PublishRefused) as caught:
        await broker.publish_many([Message(b"1", routing_key="q", delay=MINUTE), Message(b"2", routing_key="full")])

    first, second = caught.value.counts
    assert isinstance(first, Receipt)
    assert (first, second) == (0, 0)
    assert [each.id for each in await broker.scheduled()] == [first.schedule_id]


async def test_a_delay_of_nothing_is_none(broker: AsyncBroker) -> None:
    assert await broker.publish(b"now", routing_key="q", delay=timedelta(0)) == 1
    assert await bodies(broker) == [b"now"]


async def test_messages_of_one_group_have_each_its_own_time(broker: AsyncBroker, clock: Clock) -> None:
    receipts = await broker.publish_many(
        [
            Message(b"now", routing_key="q"),
            Message(b"soon", routing_key="q", delay=MINUTE),
            Message(b"late", routing_key="q", delay=2 * MINUTE),
        ]
    )

    assert receipts == [1, 0, 0]
    assert [bool(receipt.schedule_id) for receipt in receipts] == [False, True, True]
    assert await bodies(broker) == [b"now"]
    clock.advance(60)
    await broker.reap()
    assert await bodies(broker) == [b"now", b"soon"]


async def test_what_an_exchange_delays_is_listed_and_cancelled_too(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    await broker.bind("q", "x", "k")
    await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 60_000})

    (waiting,) = await broker.scheduled()
    assert (waiting.exchange, waiting.routing_key, waiting.body) == ("x", "k", b"1")
    await broker.cancel_scheduled(waiting.id)

    assert await broker.scheduled() == []


async def test_an_exchange_that_delays_does_so_when_the_publishers_delay_is_over(
    broker: AsyncBroker, clock: Clock
) -> None:
    await broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    await broker.bind("q", "x", "k")
    await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 60_000}, delay=MINUTE)

    clock.advance(60)
    await broker.reap()
    assert (await bodies(broker), len(await broker.scheduled())) == ([], 1)
    clock.advance(60)
    await broker.reap()
    assert await bodies(broker) == [b"1"]


@pytest.mark.parametrize(
    "given",
    [
        {"delay": timedelta(seconds=-1)},
        {"delay": timedelta(days=40_000)},
        {"delay": 5},
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"at": datetime(2999, 1, 1, tzinfo=UTC)},
        {"at": datetime(2999, 1, 1)},  # noqa: DTZ001 - no zone: wrong on purpose
        {"at": "tomorrow"},
        {"at": datetime(2999, 1, 1, tzinfo=UTC), "delay": MINUTE},
    ],
    ids=str,
)
async def test_what_is_no_delay_and_no_time_to_come_is_refused(broker: AsyncBroker, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await broker.publish(b"", routing_key="q", **given)

    assert caught.value.argument in given
    assert await broker.scheduled() == []


async def test_a_limit_of_a_list_and_an_id_are_checked(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        await broker.scheduled(limit=0)
    with pytest.raises(InvalidArgument):
        await broker.cancel_scheduled("")


async def test_a_publish_whose_reply_was_lost_waits_once(broker: AsyncBroker) -> None:
    rule = Faults(broker).cut("publish")

    receipt = await broker.publish(b"1", routing_key="q", delay=MINUTE)

    assert rule.done == 1
    assert [each.id for each in await broker.scheduled()] == [receipt.schedule_id]


async def test_a_cancel_whose_reply_was_lost_says_so_and_was_done(broker: AsyncBroker) -> None:
    receipt = await broker.publish(b"1", routing_key="q", delay=MINUTE)
    Faults(broker).cut("scheduled")

    with pytest.raises(BrokerConnectionError, match="cancelled by this call") as caught:
        await broker.cancel_scheduled(receipt.schedule_id)

    assert caught.value.outcome == "unknown"
    assert await broker.scheduled() == []


async def test_a_consumer_in_any_process_brings_it(connect: Connect) -> None:
    broker = await connect()
    await broker.declare_queue("q")
    async with broker.consume("q", timeout=10) as consumer:
        await (await connect()).publish(b"1", routing_key="q", delay=timedelta(milliseconds=50))

        assert (await anext(consumer)).body == b"1"
