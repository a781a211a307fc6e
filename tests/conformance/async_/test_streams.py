"""Stream queues: readers, offsets, retention, and what a stream has not (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncConsumer, AsyncDelivery, Message
from rexchange.errors import (
    ConsumerCancelled,
    InvalidArgument,
    NotFound,
    NotSupported,
    PreconditionFailed,
    ResourceLocked,
)
from rexchange.keyspace import Keys
from rexchange.testing import async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.faults import Faults, reap
from tests.support.servers import Bare


def numbered(count: int, *, first: int = 0) -> list[Message]:
    """Return messages to s whose bodies are numbers."""
    return [Message(b"%d" % number, routing_key="s") for number in range(first, first + count)]


async def declare(broker: AsyncBroker, count: int = 0, **options: Any) -> None:
    """Declare a stream of so many messages."""
    await broker.declare_queue("s", queue_type="stream", **options)
    await broker.publish_many(numbered(count))


def read(broker: AsyncBroker, **options: Any) -> AsyncConsumer:
    """Return a reader that ends where nothing comes."""
    return broker.consume("s", **{"auto_ack": False, "prefetch": 100, "timeout": 0.05, **options})


async def bodies(consumer: AsyncConsumer) -> list[int]:
    """Read to the end, and return the bodies."""
    async with consumer:
        return [int(delivery.body) async for delivery in consumer]


async def first(consumer: AsyncConsumer) -> AsyncDelivery:
    """Wait for a delivery."""
    delivery = await consumer.next(timeout=10)
    assert delivery is not None
    return delivery


async def retained(broker: AsyncBroker) -> list[int]:
    """Return the bodies of all that the stream holds."""
    return [int(message.body) for message in await async_messages(broker, "s")]


# --- reading


async def test_reading_removes_nothing_so_that_two_readers_see_the_same(broker: AsyncBroker) -> None:
    await declare(broker, 3)
    async with read(broker, offset="first") as one, read(broker, offset="first") as two:
        for consumer in (one, two):
            assert [int((await first(consumer)).body) for _ in range(3)] == [0, 1, 2]
            await consumer.ack(0, multiple=True, wait=True)

    assert (await broker.queues())[0].ready == 3
    assert await bodies(read(broker, offset="first")) == [0, 1, 2]


async def test_each_delivery_tells_its_offset(broker: AsyncBroker) -> None:
    await declare(broker, 2)
    await broker.publish(b"2", routing_key="s", headers={"h": 1})

    async with read(broker, offset="first") as consumer:
        deliveries = [delivery async for delivery in consumer]

    assert [delivery.headers["x-stream-offset"] for delivery in deliveries] == [0, 1, 2]
    assert deliveries[-1].headers == {"h": 1, "x-stream-offset": 2}
    assert {(delivery.redelivered, delivery.delivery_count) for delivery in deliveries} == {(False, 1)}


async def test_a_reader_that_waits_gets_what_is_published(broker: AsyncBroker) -> None:
    await declare(broker)
    async with read(broker, timeout=10) as consumer:

        async def next_one() -> AsyncDelivery:
            return await first(consumer)

        waiting = Background(next_one)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish_many(numbered(1))

        assert (await waiting.result()).body == b"0"


async def test_settling_makes_room_for_more(broker: AsyncBroker) -> None:
    await declare(broker, 5)
    async with read(broker, offset="first", prefetch=2) as consumer:
        held = [await first(consumer), await first(consumer)]
        assert await consumer.next(timeout=0.05) is None

        await held[0].ack(wait=True)
        assert (await first(consumer)).body == b"2"
        assert await consumer.next(timeout=0.05) is None

        await held[1].nack(wait=True)  # it makes room as well, and nothing comes again
        assert (await first(consumer)).body == b"3"


async def test_a_message_reaches_a_stream_by_any_exchange_beside_other_queues(broker: AsyncBroker) -> None:
    await declare(broker)
    await broker.declare_queue("q")
    for name in ("s", "q"):
        await broker.bind(name, "amq.topic", "#")

    assert await broker.publish(b"1", exchange="amq.topic", routing_key="a") == 2

    async with read(broker, offset="first") as consumer:
        delivery = await first(consumer)
    assert (delivery.body, delivery.exchange, delivery.routing_key) == (b"1", "amq.topic", "a")


async def test_a_message_in_a_stream_does_not_expire(broker: AsyncBroker) -> None:
    await declare(broker)
    await broker.publish(b"0", routing_key="s", expiration="1")
    until = time.monotonic() + 0.02
    await async_wait_until(lambda: time.monotonic() > until)
    await broker.reap()

    async with read(broker, offset="first") as consumer:
        assert (await first(consumer)).properties.expiration == "1"


async def test_declare_and_listing_count_what_the_stream_holds(broker: AsyncBroker) -> None:
    await declare(broker, 3)
    async with read(broker, offset="first") as consumer:
        await first(consumer)

        assert (await broker.declare_queue("s", passive=True)).message_count == 3
        (info,) = await broker.queues()
        assert (info.ready, info.unacked, info.consumers) == (3, 0, 1)


async def test_a_verdict_after_the_close_does_no_harm(broker: AsyncBroker) -> None:
    await declare(broker, 1)
    async with read(broker, offset="first") as consumer:
        delivery = await first(consumer)
    with pytest.raises(Exception, match="given back"):
        await delivery.ack(wait=True)

    assert await retained(broker) == [0]


# --- where it begins


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("first", [0, 1, 2, 3, 4, 5, 6]),
        ("last", [4, 5, 6]),
        ("next", [5, 6]),
        (None, [5, 6]),
        (0, [0, 1, 2, 3, 4, 5, 6]),
        (3, [3, 4, 5, 6]),
        (4, [4, 5, 6]),
        (5, [5, 6]),
        (1000, [5, 6]),
        ("1h", [0, 1, 2, 3, 4, 5, 6]),
        ("0s", [5, 6]),
    ],
)
async def test_a_reader_begins_where_its_offset_says(broker: AsyncBroker, offset: Any, expected: list[int]) -> None:
    await declare(broker, 5)
    stored_for = time.monotonic() + 0.005
    await async_wait_until(lambda: time.monotonic() > stored_for)
    async with read(broker, offset=offset) as consumer:
        await broker.publish_many(numbered(2, first=5))

        assert [int(delivery.body) async for delivery in consumer] == expected


async def test_a_reader_may_begin_at_an_instant(broker: AsyncBroker) -> None:
    await declare(broker, 2)
    stored_for = time.monotonic() + 0.01
    await async_wait_until(lambda: time.monotonic() > stored_for)
    instant = datetime.now(UTC)
    await broker.publish_many(numbered(2, first=2))

    assert await bodies(read(broker, offset=instant)) == [2, 3]
    assert await bodies(read(broker, offset=instant - timedelta(days=1))) == [0, 1, 2, 3]
    assert await bodies(read(broker, offset=instant + timedelta(days=1))) == []
    assert await bodies(read(broker, offset=datetime(1900, 1, 1, tzinfo=UTC))) == [0, 1, 2, 3]


async def test_an_empty_stream_begins_anywhere(broker: AsyncBroker) -> None:
    await declare(broker)
    consumers = [read(broker, offset=offset) for offset in ("first", "last", "next", 0, 7, datetime.now(UTC), "1h")]
    for consumer in consumers:
        await consumer.open()

    await broker.publish_many(numbered(2))

    for consumer in consumers:
        assert await bodies(consumer) == [0, 1]


@pytest.mark.parametrize("offset", [0, 1, 99, 100, 101, 250, 399, 400])
async def test_an_offset_is_found_in_a_long_stream(broker: AsyncBroker, offset: int) -> None:
    await declare(broker, 450)

    async with read(broker, offset=offset, prefetch=1) as consumer:
        delivery = await first(consumer)

    assert (int(delivery.body), delivery.headers["x-stream-offset"]) == (offset, offset)


async def test_the_offset_is_the_argument_x_stream_offset(broker: AsyncBroker) -> None:
    await declare(broker, 3)

    assert await bodies(read(broker, arguments={"x-stream-offset": 1})) == [1, 2]
    assert await bodies(read(broker, arguments={"x-stream-offset": "first"})) == [0, 1, 2]
    with pytest.raises(InvalidArgument):
        read(broker, offset="first", arguments={"x-stream-offset": "last"})


# --- a reader with a name


async def test_a_reader_with_a_name_goes_on_where_it_was(broker: AsyncBroker, connect: Connect) -> None:
    await declare(broker, 4)
    async with read(broker, offset="first", reader="mine") as consumer:
        for _ in range(2):
            await (await first(consumer)).ack()
    other = await connect()

    assert await bodies(read(other, offset="first", reader="mine")) == [2, 3]
    assert await bodies(read(other, offset="first", reader="another")) == [0, 1, 2, 3]
    assert await bodies(read(other, offset="first")) == [0, 1, 2, 3]


async def test_a_reader_with_a_name_begins_at_its_first_message_that_is_not_settled(broker: AsyncBroker) -> None:
    await declare(broker, 5)
    async with read(broker, offset="first", reader="mine") as consumer:
        held = [await first(consumer) for _ in range(4)]
        for number in (0, 2, 3):
            await held[number].ack(wait=True)

    assert await bodies(read(broker, offset="first", reader="mine")) == [1, 2, 3, 4]


async def test_what_a_reader_was_not_shown_is_read_again(broker: AsyncBroker) -> None:
    await declare(broker, 3)
    async with read(broker, offset="first", reader="mine", prefetch=3) as consumer:
        await (await first(consumer)).ack(wait=True)

    assert await bodies(read(broker, reader="mine")) == [1, 2]


async def test_a_readers_place_outlives_the_death_of_its_process(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await declare(broker, 3)
    consumer = read(other, offset="first", reader="mine")
    await (await first(consumer)).ack(wait=True)
    await other._session.aclose()  # as the reaper ends it

    assert await bodies(read(broker, reader="mine")) == [1, 2]


async def test_a_readers_place_goes_with_its_stream(broker: AsyncBroker) -> None:
    await declare(broker, 2)
    async with read(broker, offset="first", reader="mine") as consumer:
        await first(consumer)
        await (await first(consumer)).ack(multiple=True, wait=True)
    await broker.delete_queue("s")
    await declare(broker, 2)

    assert await bodies(read(broker, offset="first", reader="mine")) == [0, 1]


async def test_a_reader_goes_on_after_its_connection_was_lost(connect: Connect) -> None:
    broker = await connect(block=timedelta(milliseconds=50))
    await declare(broker, 3)
    faults = Faults(broker)
    async with read(broker, offset="first", prefetch=1, timeout=10) as consumer:
        await (await first(consumer)).ack()
        rule = faults.cut("XREAD")

        rest = []
        for _ in range(2):
            delivery = await first(consumer)
            rest.append(int(delivery.body))
            await delivery.ack()

    assert rest == [1, 2]
    assert rule.done == 1


async def test_a_reader_goes_on_after_its_session_was_reaped(broker: AsyncBroker, connect: Connect, url: str) -> None:
    other = await connect(heartbeat=timedelta(milliseconds=50))
    await declare(broker, 4)
    async with read(other, offset="first", reader="mine", prefetch=2, timeout=10) as consumer:
        held = await first(consumer)
        reap(url, other)
        await async_wait_until(lambda: not other._session.alive)
        await held.ack(wait=True)

        for number in range(1, 4):
            delivery = await first(consumer)
            assert int(delivery.body) == number
            await delivery.ack(wait=True)

    assert await bodies(read(broker, reader="mine")) == []


@pytest.mark.parametrize("renew", [True, False])
async def test_a_reader_may_take_its_time(broker: AsyncBroker, renew: bool) -> None:
    await declare(broker, 2)
    short = timedelta(milliseconds=60)
    async with read(broker, offset="first", reader="mine", ack_timeout=short, renew=renew) as consumer:
        held = await first(consumer)
        until = time.monotonic() + 0.15
        await async_wait_until(lambda: time.monotonic() > until)
        await broker.reap()

        await held.extend()
        await held.ack(wait=True)

    assert await bodies(read(broker, reader="mine")) == [1]


# --- retention


async def test_a_stream_drops_the_oldest_where_its_bytes_are_too_many(broker: AsyncBroker) -> None:
    await declare(broker, max_length_bytes=10)

    for number in range(5):
        await broker.publish(b"%05d" % number, routing_key="s", headers={"long": "x" * 100})

    assert await retained(broker) == [3, 4]
    async with read(broker, offset="first") as consumer:
        assert (await first(consumer)).headers["x-stream-offset"] == 3


async def test_a_stream_keeps_its_newest_message_whatever_its_size(broker: AsyncBroker) -> None:
    await declare(broker, max_length_bytes=2)

    await broker.publish(b"00001", routing_key="s")
    await broker.publish(b"00002", routing_key="s")

    assert await retained(broker) == [2]


async def test_empty_bodies_leave_a_stream_too(broker: AsyncBroker) -> None:
    await declare(broker, max_length_bytes=1)

    await broker.publish_many([Message(body, routing_key="s") for body in (b"", b"", b"0", b"1")])

    assert await retained(broker) == [1]


async def test_a_stream_drops_what_is_older_than_its_age(broker: AsyncBroker) -> None:
    await declare(broker, 2, max_age=timedelta(seconds=1))
    old_at = time.monotonic() + 1.01
    await async_wait_until(lambda: time.monotonic() > old_at)

    await broker.publish_many(numbered(1, first=2))

    assert await retained(broker) == [2]


async def test_an_offset_that_was_dropped_begins_at_the_oldest(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await declare(broker, max_length_bytes=300)
    for start in range(0, 400, 100):
        await broker.publish_many([Message(b"%03d" % number, routing_key="s") for number in range(start, start + 100)])

    for offset in (0, 50, 299):
        async with read(broker, offset=offset, prefetch=1) as consumer:
            assert (await first(consumer)).headers["x-stream-offset"] == 300
    assert ask("ZCARD", keys.prefix + b"marks:s") == 1  # of every hundredth entry that is there
    async with read(broker, offset=350, prefetch=1) as consumer:
        assert (await first(consumer)).headers["x-stream-offset"] == 350


async def test_a_reader_whose_place_was_dropped_goes_on_with_the_oldest(broker: AsyncBroker) -> None:
    await declare(broker, 2, max_length_bytes=2)
    async with read(broker, offset="first", reader="mine") as consumer:
        await (await first(consumer)).ack(wait=True)
    await broker.publish_many(numbered(2, first=2))

    assert await bodies(read(broker, reader="mine")) == [2, 3]


# --- what a stream has not


async def test_get_takes_nothing_from_a_stream(broker: AsyncBroker) -> None:
    await declare(broker, 1)

    with pytest.raises(NotSupported) as caught:
        await broker.get("s")

    assert (caught.value.reply_code, caught.value.name) == (540, "s")
    assert await retained(broker) == [0]


async def test_a_stream_cannot_be_purged(broker: AsyncBroker) -> None:
    await declare(broker, 1)

    with pytest.raises(NotSupported):
        await broker.purge("s")

    assert await retained(broker) == [0]


async def test_a_stream_is_not_consumed_with_auto_ack(broker: AsyncBroker) -> None:
    await declare(broker, 1)

    with pytest.raises(NotSupported) as caught:
        await broker.consume("s").open()

    assert caught.value.argument == "auto_ack"
    assert await broker.consumers() == []


@pytest.mark.parametrize("queues", [["s", "q"], ["q", "s"]])
async def test_a_consumer_of_a_stream_has_no_other_queues(broker: AsyncBroker, queues: list[str]) -> None:
    await declare(broker)
    await broker.declare_queue("q")

    with pytest.raises(NotSupported):
        await broker.consume(queues, auto_ack=False).open()

    assert await broker.consumers() == []


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("durable", {"durable": False}),
        ("exclusive", {"exclusive": True}),
        ("auto_delete", {"auto_delete": True}),
        ("name", {"name": ""}),
        ("x-message-ttl", {"message_ttl": timedelta(1)}),
        ("x-expires", {"expires": timedelta(1)}),
        ("x-max-length", {"max_length": 5}),
        ("x-overflow", {"overflow": "drop-head"}),
        ("x-max-priority", {"max_priority": 5}),
        ("x-dead-letter-exchange", {"dead_letter_exchange": "dlx"}),
        ("x-single-active-consumer", {"single_active_consumer": True}),
        ("x-delivery-limit", {"delivery_limit": 5}),
        ("x-max-age", {"arguments": {"x-max-age": "7 days"}}),
        ("x-max-age", {"arguments": {"x-max-age": 7}}),
        ("x-max-age", {"arguments": {"x-max-age": "-1s"}}),
    ],
)
async def test_what_a_stream_cannot_have_is_a_failed_precondition(
    broker: AsyncBroker, argument: str, options: dict[str, Any]
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue(**{"name": "s", "queue_type": "stream", **options})

    assert caught.value.argument == argument
    assert await broker.queues() == []


@pytest.mark.parametrize("kind", ["classic", None])
async def test_only_a_stream_has_an_age(broker: AsyncBroker, kind: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", queue_type=kind, max_age=timedelta(days=1))

    assert caught.value.argument == "x-max-age"
    assert await broker.queues() == []


async def test_the_age_is_the_argument_x_max_age(broker: AsyncBroker) -> None:
    await broker.declare_queue("s", queue_type="stream", arguments={"x-max-age": "90s"})

    await broker.declare_queue("s", queue_type="stream", max_age=timedelta(seconds=90))

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("s", queue_type="stream", max_age=timedelta(seconds=91))
    assert caught.value.argument == "x-max-age"


@pytest.mark.parametrize("age", [timedelta(milliseconds=999), timedelta(days=50), 5])
async def test_an_age_that_is_no_time_is_an_invalid_argument(broker: AsyncBroker, age: Any) -> None:
    with pytest.raises(InvalidArgument):
        await broker.declare_queue("s", queue_type="stream", max_age=age)

    assert await broker.queues() == []


@pytest.mark.parametrize("offset", ["begin", "", "1x", -1, 1.5, True, datetime(2024, 1, 1)])  # noqa: DTZ001 - naive
async def test_an_offset_that_is_none_is_a_failed_precondition(
    broker: AsyncBroker, ask: Bare, keys: Keys, offset: Any
) -> None:
    await declare(broker, 1)
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        read(broker, offset=offset)

    assert caught.value.argument == "x-stream-offset"
    assert ask.dump(keys.prefix) == before


@pytest.mark.parametrize("reader", [None, 5, b"bytes", "x" * 256])
async def test_a_readers_name_is_a_short_string(broker: AsyncBroker, reader: Any) -> None:
    await declare(broker)

    with pytest.raises(InvalidArgument):
        read(broker, reader=reader)


# --- its end


async def test_a_reader_is_told_when_its_stream_is_deleted(connect: Connect) -> None:
    broker = await connect(block=timedelta(milliseconds=50))
    await declare(broker, 1)
    async with read(broker, offset="first", timeout=10) as consumer:
        await first(consumer)

        async def next_one() -> AsyncDelivery | None:
            return await consumer.next(timeout=10)

        waiting = Background(next_one)
        await async_wait_until(lambda: is_waiting(consumer))

        assert await broker.delete_queue("s") == 1

        with pytest.raises(ConsumerCancelled):
            await waiting.result()


@pytest.mark.parametrize("kind", ["stream", "classic"])
async def test_a_reader_goes_on_with_the_queue_that_was_declared_anew_under_its_name(
    broker: AsyncBroker, kind: Any
) -> None:
    await declare(broker, 2)
    async with read(broker, offset="first", reader="mine") as consumer:
        await first(consumer)
        await (await first(consumer)).ack(multiple=True, wait=True)
        await broker.delete_queue("s")
        await broker.declare_queue("s", queue_type=kind)
        await broker.publish_many(numbered(2))

        for number in range(2):
            delivery = await first(consumer)
            assert int(delivery.body) == number
            assert delivery.headers.get("x-stream-offset") == (number if kind == "stream" else None)
            await delivery.ack(wait=True)

    assert (await broker.queues())[0].ready == (2 if kind == "stream" else 0)


async def test_a_reader_of_a_missing_stream_is_not_found(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound):
        await read(broker).open()


@pytest.mark.parametrize(
    "attempt",
    [lambda broker: broker.declare_queue("s"), lambda broker: broker.declare_queue("s", queue_type="quorum")],
)
async def test_a_stream_is_no_other_queue(
    broker: AsyncBroker, attempt: Callable[[AsyncBroker], Awaitable[object]]
) -> None:
    await declare(broker)

    with pytest.raises(PreconditionFailed) as caught:
        await attempt(broker)

    assert (caught.value.argument, caught.value.current) == ("x-queue-type", "stream")


async def test_a_stream_may_have_an_exclusive_reader(broker: AsyncBroker) -> None:
    await declare(broker, 1)

    async with read(broker, offset="first", exclusive=True) as consumer:
        with pytest.raises(Exception, match="exclusive") as caught:
            await read(broker).open()
        assert not isinstance(caught.value, ResourceLocked)
        assert (await first(consumer)).body == b"0"
