"""A large body that goes to several queues is stored once, and freed with the last entry that points to it (ADR 14)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Broker, Delivery, Message
from rexchange.errors import PublishRefused, StaleDelivery, TopologyLost, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_messages, wait_until
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare

LARGE = 16_384
"""LARGE of lua/lib/planning.lua: bodies of so many bytes are shared."""
BODY = bytes(range(256)) * 256


async def fan(broker: AsyncBroker, *queues: str, **options: Any) -> None:
    """Declare queues behind one fanout exchange."""
    await broker.declare_exchange("fan", "fanout")
    for name in queues:
        await broker.declare_queue(name, **options)
        await broker.bind(name, "fan")


def stored(ask: Bare, keys: Keys) -> list[int]:
    """Return how many entries point to each body that is stored, which are as many as bodies."""
    counts = [int(count) for count in ask("HVALS", keys.shares)]
    assert sum(ask("TTL", key) < 0 for key in ask.keys(keys.body(b""))) == len(counts)
    return sorted(counts)


async def test_a_body_is_stored_once_and_freed_with_the_last_ack(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "a", "b", "c")

    assert await broker.publish(BODY, exchange="fan", headers={"n": 1}) == 3

    assert stored(ask, keys) == [3]
    for left, name in ((2, "a"), (1, "b")):
        async with broker.consume(name, auto_ack=False) as consumer:
            delivery = await anext(consumer)
            assert (delivery.body, delivery.headers, delivery.redelivered) == (BODY, {"n": 1}, False)
            await delivery.ack(wait=True)
        assert stored(ask, keys) == [left]
    assert [message.body for message in await broker.browse("c")] == [BODY]
    assert [message.body for message in await async_drain(broker, "c")] == [BODY]
    assert stored(ask, keys) == []
    assert ask("EXISTS", keys.sharing) == 0


async def test_small_bodies_and_those_of_one_queue_are_not_shared(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "a", "b")

    await broker.publish(b"x" * (LARGE - 1), exchange="fan")
    await broker.publish(b"x" * LARGE, routing_key="a")
    assert stored(ask, keys) == []

    await broker.publish(b"x" * LARGE, exchange="fan")
    assert stored(ask, keys) == [2]
    assert [len(message.body) for message in await async_messages(broker, "a")] == [LARGE - 1, LARGE, LARGE]


async def test_ten_megabytes_reach_all_kinds_of_queues(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    body = BODY * 160
    await fan(broker, "plain", "other")
    await fan(broker, "log", queue_type="stream")
    await fan(broker, "ranked", max_priority=3, max_length_bytes=len(body) * 2)

    await broker.publish_many([Message(body, exchange="fan"), Message(b"small", exchange="fan")])

    assert stored(ask, keys) == [3]
    for name in ("plain", "ranked"):
        assert [message.body for message in await async_drain(broker, name)] == [body, b"small"]
    async with broker.consume("log", auto_ack=False, offset="first", timeout=5) as consumer:
        assert (await anext(consumer)).body == body
    assert stored(ask, keys) == [1]


async def test_every_way_out_frees_it(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    async def settle(verdict: str, **options: Any) -> None:
        delivery = await broker.get("q", auto_ack=False)
        assert delivery is not None
        await getattr(delivery, verdict)(wait=True, **options)

    async def transact() -> None:
        delivery = await broker.get("q", auto_ack=False)
        assert delivery is not None
        async with broker.transaction() as tx:
            tx.ack(delivery)

    async def delete_one() -> None:
        (message,) = await broker.browse("q")
        await broker.delete_message("q", message.id)

    ways: dict[str, tuple[dict[str, Any], Callable[[], Awaitable[object]]]] = {
        "ack": ({}, lambda: settle("ack")),
        "reject": ({}, lambda: settle("reject")),
        "limit": ({"queue_type": "quorum", "delivery_limit": 0}, lambda: settle("nack")),
        "transaction": ({}, transact),
        "purge": ({}, lambda: broker.purge("q")),
        "purge by order": ({"max_priority": 2}, lambda: broker.purge("q")),
        "delete_queue": ({}, lambda: broker.delete_queue("q")),
        "delete_message": ({}, delete_one),
        "drop-head": ({"max_length": 1}, lambda: broker.publish(b"", routing_key="q")),
        "move": ({}, lambda: broker.move("q", "twin")),
    }
    for name, (options, leave) in ways.items():
        await fan(broker, "q", **options)
        await fan(broker, "twin")
        await broker.publish(BODY, exchange="fan")
        assert stored(ask, keys) == [2], name
        await leave()
        assert stored(ask, keys) == [2 if name == "move" else 1], name
        assert {message.body for message in await async_drain(broker, "twin")} == {BODY}, name
        assert stored(ask, keys) == [], name
        await broker.delete_queue("q")


async def test_dead_letters_share_it_too(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    for name in ("dead", "buried"):
        await broker.declare_queue(name)
        await broker.bind(name, "amq.fanout")
    await fan(broker, "a", "b", dead_letter_exchange="amq.fanout")
    await broker.publish(BODY, exchange="fan")

    for name in ("a", "b"):
        delivery = await broker.get(name, auto_ack=False)
        assert delivery is not None
        await delivery.reject(wait=True)

    assert stored(ask, keys) == [4]
    for name in ("dead", "buried"):
        assert [each.body for each in await async_drain(broker, name)] == [BODY, BODY]
    assert stored(ask, keys) == []


async def test_a_consumers_batches_hold_large_and_small_ones(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    """More than one call may hand out: 4 MiB of bodies; the order stays, and acks of all kinds free."""
    await fan(broker, "q", "twin")
    bodies = [(b"%03d" % n).ljust(150_000 if n % 2 else 3, b"x") for n in range(80)]
    await broker.publish_many([Message(body, exchange="fan") for body in bodies])
    assert stored(ask, keys) == [2] * 40
    await broker.purge("twin")

    async with broker.consume("q", auto_ack=False, prefetch=60, timeout=10) as consumer:
        found = [await anext(consumer) for _ in range(50)]
        await found[0].nack(requeue=False)
        await found[1].ack(wait=True)
        await consumer.ack(found[-1].delivery_tag, multiple=True, wait=True)
        assert stored(ask, keys) == [1] * 15
        found += [await anext(consumer) for _ in range(30)]
        await consumer.ack(found[-1].delivery_tag, multiple=True, wait=True)
    assert [delivery.body for delivery in found] == bodies
    assert stored(ask, keys) == []


async def test_who_reads_already_when_the_first_one_comes_frees_it(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "a", "b")

    def fence() -> bytes:
        (value,) = ask("HVALS", keys.fences)
        return bytes(value)

    async with broker.consume("a", auto_ack=False, timeout=10) as consumer:
        assert fence() == b"1"
        for left in (1, 2):
            await broker.publish(BODY, exchange="fan")
            assert fence() == b"s"
            await (await anext(consumer)).ack(wait=True)
            assert stored(ask, keys) == [1] * left
        await broker.publish(b"small", routing_key="a")
        assert (await anext(consumer)).body == b"small"
    assert len(await async_drain(broker, "b")) == 2


async def test_what_a_dead_process_held_comes_again_and_is_freed_once(
    connect: Connect, broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    await fan(broker, "q", "twin")
    await broker.publish_many([Message(BODY, exchange="fan")] * 3)
    sleeper = await connect()
    async with sleeper.consume("q", auto_ack=False, prefetch=3) as consumer:
        shown = [await anext(consumer), await anext(consumer)]
        ask("ZADD", keys.sessions, "XX", 0, sleeper._session.id)
        await broker.reap()

        again = [await broker.get("q", auto_ack=False) for _ in range(3)]
        assert [each is not None and (each.body, each.redelivered) for each in again] == [(BODY, True)] * 3
        with pytest.raises(StaleDelivery):
            await shown[0].ack(wait=True)
        assert stored(ask, keys) == [2, 2, 2]
        for each in again:
            assert each is not None
            await each.ack(wait=True)
    assert stored(ask, keys) == [1, 1, 1]
    assert len(await async_drain(broker, "twin")) == 3


async def test_what_was_acknowledged_on_receipt_and_not_shown_goes_back_whole(
    broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    await fan(broker, "q", "twin")
    await broker.publish_many([Message(BODY, exchange="fan")] * 3)

    async with broker.consume("q", prefetch=3) as consumer:
        assert (await anext(consumer)).body == BODY

    assert [message.body for message in await async_drain(broker, "q")] == [BODY] * 2
    assert stored(ask, keys) == [1, 1, 1]


async def test_the_fence_of_who_holds_some_outlives_a_trace(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "q", "twin")
    await broker.publish_many([Message(BODY, exchange="fan")] * 3)
    async with broker.consume("q", auto_ack=False, prefetch=1) as consumer:
        first = await anext(consumer)
        await broker.trace(queue="q")
        await first.ack(wait=True)
        second = await anext(consumer)
        await broker.untrace()
        await broker.reap()
        await second.ack(wait=True)
        await (await anext(consumer)).ack(wait=True)
    assert stored(ask, keys) == [1, 1, 1]


async def test_a_deep_queue_that_is_deleted_is_dug_up_by_the_reaper(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "q", "twin")
    await broker.publish_many([Message(b"", routing_key="q")] * 600)
    await broker.publish(BODY, exchange="fan")
    await broker.publish_many([Message(b"", routing_key="q")] * 600)
    async with broker.consume("q", auto_ack=False, prefetch=600) as consumer:
        held = await anext(consumer)

        assert await broker.delete_queue("q") == 601
        await broker.declare_queue("q")
        await broker.purge("twin")
        while ask("EXISTS", keys.graves):
            await broker.reap()

        assert stored(ask, keys) == []
        await held.ack()
    assert [info.ready for info in await broker.queues()] == [0, 0]


@pytest.mark.damages_keys
async def test_a_body_that_is_gone_is_told_and_its_message_can_be_deleted(
    broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    await fan(broker, "q", "twin")
    await broker.publish_many([Message(BODY, exchange="fan"), Message(b"next", exchange="fan")])
    (body,) = ask.keys(keys.body(b""))
    ask("DEL", body)

    for attempt in (
        lambda: broker.get("q"),
        lambda: broker.browse("q"),
        lambda: broker.consume("q", timeout=5).__aiter__().__anext__(),
    ):
        with pytest.raises(TopologyLost, match=r"the body of message \d+-\d+ is gone") as caught:
            await attempt()
        assert caught.value.name == "q"

    message = str(caught.value).partition("message ")[2].partition(" ")[0]
    assert await broker.delete_message("q", message)
    assert [each.body for each in await async_drain(broker, "q")] == [b"next"]
    assert await broker.purge("twin") == 2
    assert stored(ask, keys) == []


async def test_who_finds_bodies_gone_takes_nothing_from_those_who_have_the_messages_now(
    broker: AsyncBroker, connect: Connect, url: str
) -> None:
    await fan(broker, "q", "twin")
    await broker.publish_many([Message(BODY, exchange="fan"), Message(BODY[1:], exchange="fan")])
    slow = await connect(ack_timeout=timedelta(milliseconds=100))
    faults = Faults(slow)
    with Broker(url, vhost=broker.vhost) as other:
        taken: list[Delivery] = []

        def overtake() -> None:
            def given_back() -> bool:
                other.reap()
                return next(info for info in other.queues() if info.name == "q").ready == 2

            wait_until(given_back)
            taken.extend(filter(None, (other.get("q", auto_ack=False) for _ in range(2))))

        rule = faults.during("XREADGROUP", overtake)
        faults.answer("$3\r\nGET\r\n", [None, None])  # the command: scripts hold the word, too

        assert await slow.consume("q", auto_ack=False, timeout=0.5).next(timeout=0.5) is None

        assert rule.done == 1
        assert [each.body for each in taken] == [BODY, BODY[1:]]
        taken[0].ack(wait=True)
        taken[1].nack(wait=True)
    assert [(each.body, each.redelivered) for each in await async_drain(broker, "q")] == [(BODY[1:], True)]


# --- bodies that are stored ahead of the call that publishes them


async def test_a_call_holds_large_and_small_ones_of_all_kinds(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "a", "b", max_priority=3)
    await fan(broker, "log", queue_type="stream")
    await broker.declare_queue("copied")
    bodies = [BODY, b"small", BODY + b"!", b"s", b"x" * LARGE, BODY]
    options: list[dict[str, Any]] = [
        {},
        {},
        {"headers": {"CC": ["copied"]}},
        {"priority": 1},
        {"expiration": "60000"},
        {},
    ]

    counts = await broker.publish_many(
        [Message(body, exchange="fan", routing_key="k", **each) for body, each in zip(bodies, options, strict=True)]
    )

    assert counts == [3] * 6
    for name in ("a", "b"):
        assert [each.body for each in await async_drain(broker, name)] == [b"s", *bodies[:3], *bodies[4:]]
    async with broker.consume("log", auto_ack=False, offset="first", prefetch=10, timeout=5) as consumer:
        assert [(await anext(consumer)).body for _ in bodies] == bodies
    assert stored(ask, keys) == []


async def test_one_queue_has_a_body_for_itself_and_what_waits_keeps_it_whole(
    broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    await broker.declare_queue("q", max_length=1, overflow="reject-publish")
    waiting = await broker.publish(BODY, routing_key="q", delay=timedelta(hours=1))
    assert stored(ask, keys) == []
    assert await broker.publish(BODY, routing_key="q", dedup_key="once", dedup_window=timedelta(hours=1)) == 1
    assert (await broker.publish(BODY, routing_key="q", dedup_key="once", dedup_window=timedelta(hours=1))).duplicate
    with pytest.raises(PublishRefused):
        await broker.publish(BODY, routing_key="q")
    assert stored(ask, keys) == [1]

    assert waiting.schedule_id is not None
    assert [each.body for each in await broker.scheduled()] == [BODY]
    assert [each.body for each in await async_drain(broker, "q")] == [BODY]
    assert stored(ask, keys) == []
    await broker.cancel_scheduled(waiting.schedule_id)


async def test_what_a_refused_publish_stored_ahead_expires(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    with pytest.raises(Unroutable):
        await broker.publish(BODY, exchange="amq.topic", mandatory=True)

    assert ask("HLEN", keys.shares) == 0
    (left,) = ask.keys(keys.body(b""))
    assert 0 < ask("TTL", left) <= 60


async def test_a_body_that_is_not_there_any_more_is_sent_with_its_call(
    broker: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    await fan(broker, "a", "b")
    faults = Faults(broker)

    def evict() -> None:
        ask("DEL", *ask.keys(keys.body(b"")))

    evicted = faults.during("SET", evict)
    assert await broker.publish(BODY, exchange="fan") == 2
    lost = faults.cut("SET")
    assert await broker.publish(BODY, exchange="fan") == 2
    refused = faults.answer("SET", "OOM command not allowed when used memory > 'maxmemory'.")
    assert await broker.publish(BODY, exchange="fan") == 2

    assert [rule.done for rule in (evicted, lost, refused)] == [1, 1, 1]
    assert stored(ask, keys)[-3:] == [2, 2, 2]
    for name in ("a", "b"):
        assert [each.body for each in await async_drain(broker, name)] == [BODY] * 3


async def test_a_lost_reply_doubles_no_large_body(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "a", "b")
    faults = Faults(broker)

    cut = faults.cut("publish", 2)
    assert await broker.publish(BODY, exchange="fan") == 2

    assert cut.done == 2
    assert stored(ask, keys) == [2]
    for name in ("a", "b"):
        assert [each.body for each in await async_drain(broker, name)] == [BODY]


async def test_a_body_whose_fetching_is_cut_off_comes_again(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await fan(broker, "a", "b")
    await broker.publish(BODY, exchange="fan")
    faults = Faults(broker)

    cut = faults.cut("GET", 2)
    async with broker.consume("a", auto_ack=False, timeout=10) as consumer:
        delivery = await anext(consumer)
        assert (delivery.body, delivery.redelivered) == (BODY, False)
        await delivery.ack(wait=True)
    assert [each.body for each in await async_drain(broker, "b")] == [BODY]
    assert cut.done == 2
    assert stored(ask, keys) == []
