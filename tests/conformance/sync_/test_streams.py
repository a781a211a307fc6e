# Generated from tests/conformance/async_/test_streams.py by `python tools/unasync.py`. Do not edit.
"""Stream queues: readers, offsets, retention, and what a stream has not (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, Consumer, Delivery, Message
from rexchange.errors import (
    ConsumerCancelled,
    InvalidArgument,
    NotFound,
    NotSupported,
    PreconditionFailed,
    ResourceLocked,
)
from rexchange.keyspace import Keys
from rexchange.testing import messages, wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting
from tests.support.faults import Faults, reap
from tests.support.servers import Bare


def numbered(count: int, *, first: int = 0) -> list[Message]:
    """Return messages to s whose bodies are numbers."""
    return [Message(b"%d" % number, routing_key="s") for number in range(first, first + count)]


def declare(broker: Broker, count: int = 0, **options: Any) -> None:
    """Declare a stream of so many messages."""
    broker.declare_queue("s", queue_type="stream", **options)
    broker.publish_many(numbered(count))


def read(broker: Broker, **options: Any) -> Consumer:
    """Return a reader that ends where nothing comes."""
    return broker.consume("s", **{"auto_ack": False, "prefetch": 100, "timeout": 0.05, **options})


def bodies(consumer: Consumer) -> list[int]:
    """Read to the end, and return the bodies."""
    with consumer:
        return [int(delivery.body) for delivery in consumer]


def first(consumer: Consumer) -> Delivery:
    """Wait for a delivery."""
    delivery = consumer.next(timeout=10)
    assert delivery is not None
    return delivery


def retained(broker: Broker) -> list[int]:
    """Return the bodies of all that the stream holds."""
    return [int(message.body) for message in messages(broker, "s")]


# --- reading


def test_reading_removes_nothing_so_that_two_readers_see_the_same(broker: Broker) -> None:
    declare(broker, 3)
    with read(broker, offset="first") as one, read(broker, offset="first") as two:
        for consumer in (one, two):
            assert [int((first(consumer)).body) for _ in range(3)] == [0, 1, 2]
            consumer.ack(0, multiple=True, wait=True)

    assert (broker.queues())[0].ready == 3
    assert bodies(read(broker, offset="first")) == [0, 1, 2]


def test_each_delivery_tells_its_offset(broker: Broker) -> None:
    declare(broker, 2)
    broker.publish(b"2", routing_key="s", headers={"h": 1})

    with read(broker, offset="first") as consumer:
        deliveries = [delivery for delivery in consumer]

    assert [delivery.headers["x-stream-offset"] for delivery in deliveries] == [0, 1, 2]
    assert deliveries[-1].headers == {"h": 1, "x-stream-offset": 2}
    assert {(delivery.redelivered, delivery.delivery_count) for delivery in deliveries} == {(False, 1)}


def test_a_reader_that_waits_gets_what_is_published(broker: Broker) -> None:
    declare(broker)
    with read(broker, timeout=10) as consumer:

        def next_one() -> Delivery:
            return first(consumer)

        waiting = Background(next_one)
        wait_until(lambda: is_waiting(consumer))

        broker.publish_many(numbered(1))

        assert (waiting.result()).body == b"0"


def test_settling_makes_room_for_more(broker: Broker) -> None:
    declare(broker, 5)
    with read(broker, offset="first", prefetch=2) as consumer:
        held = [first(consumer), first(consumer)]
        assert consumer.next(timeout=0.05) is None

        held[0].ack(wait=True)
        assert (first(consumer)).body == b"2"
        assert consumer.next(timeout=0.05) is None

        held[1].nack(wait=True)  # it makes room as well, and nothing comes again
        assert (first(consumer)).body == b"3"


def test_a_message_reaches_a_stream_by_any_exchange_beside_other_queues(broker: Broker) -> None:
    declare(broker)
    broker.declare_queue("q")
    for name in ("s", "q"):
        broker.bind(name, "amq.topic", "#")

    assert broker.publish(b"1", exchange="amq.topic", routing_key="a") == 2

    with read(broker, offset="first") as consumer:
        delivery = first(consumer)
    assert (delivery.body, delivery.exchange, delivery.routing_key) == (b"1", "amq.topic", "a")


def test_a_message_in_a_stream_does_not_expire(broker: Broker) -> None:
    declare(broker)
    broker.publish(b"0", routing_key="s", expiration="1")
    until = time.monotonic() + 0.02
    wait_until(lambda: time.monotonic() > until)
    broker.reap()

    with read(broker, offset="first") as consumer:
        assert (first(consumer)).properties.expiration == "1"


def test_declare_and_listing_count_what_the_stream_holds(broker: Broker) -> None:
    declare(broker, 3)
    with read(broker, offset="first") as consumer:
        first(consumer)

        assert (broker.declare_queue("s", passive=True)).message_count == 3
        (info,) = broker.queues()
        assert (info.ready, info.unacked, info.consumers) == (3, 0, 1)


def test_a_verdict_after_the_close_does_no_harm(broker: Broker) -> None:
    declare(broker, 1)
    with read(broker, offset="first") as consumer:
        delivery = first(consumer)
    with pytest.raises(Exception, match="given back"):
        delivery.ack(wait=True)

    assert retained(broker) == [0]


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
def test_a_reader_begins_where_its_offset_says(broker: Broker, offset: Any, expected: list[int]) -> None:
    declare(broker, 5)
    stored_for = time.monotonic() + 0.005
    wait_until(lambda: time.monotonic() > stored_for)
    with read(broker, offset=offset) as consumer:
        broker.publish_many(numbered(2, first=5))

        assert [int(delivery.body) for delivery in consumer] == expected


def test_a_reader_may_begin_at_an_instant(broker: Broker) -> None:
    declare(broker, 2)
    stored_for = time.monotonic() + 0.01
    wait_until(lambda: time.monotonic() > stored_for)
    instant = datetime.now(UTC)
    broker.publish_many(numbered(2, first=2))

    assert bodies(read(broker, offset=instant)) == [2, 3]
    assert bodies(read(broker, offset=instant - timedelta(days=1))) == [0, 1, 2, 3]
    assert bodies(read(broker, offset=instant + timedelta(days=1))) == []
    assert bodies(read(broker, offset=datetime(1900, 1, 1, tzinfo=UTC))) == [0, 1, 2, 3]


def test_an_empty_stream_begins_anywhere(broker: Broker) -> None:
    declare(broker)
    consumers = [read(broker, offset=offset) for offset in ("first", "last", "next", 0, 7, datetime.now(UTC), "1h")]
    for consumer in consumers:
        consumer.open()

    broker.publish_many(numbered(2))

    for consumer in consumers:
        assert bodies(consumer) == [0, 1]


@pytest.mark.parametrize("offset", [0, 1, 99, 100, 101, 250, 399, 400])
def test_an_offset_is_found_in_a_long_stream(broker: Broker, offset: int) -> None:
    declare(broker, 450)

    with read(broker, offset=offset, prefetch=1) as consumer:
        delivery = first(consumer)

    assert (int(delivery.body), delivery.headers["x-stream-offset"]) == (offset, offset)


def test_the_offset_is_the_argument_x_stream_offset(broker: Broker) -> None:
    declare(broker, 3)

    assert bodies(read(broker, arguments={"x-stream-offset": 1})) == [1, 2]
    assert bodies(read(broker, arguments={"x-stream-offset": "first"})) == [0, 1, 2]
    with pytest.raises(InvalidArgument):
        read(broker, offset="first", arguments={"x-stream-offset": "last"})


# --- a reader with a name


def test_a_reader_with_a_name_goes_on_where_it_was(broker: Broker, connect: Connect) -> None:
    declare(broker, 4)
    with read(broker, offset="first", reader="mine") as consumer:
        for _ in range(2):
            (first(consumer)).ack()
    other = connect()

    assert bodies(read(other, offset="first", reader="mine")) == [2, 3]
    assert bodies(read(other, offset="first", reader="another")) == [0, 1, 2, 3]
    assert bodies(read(other, offset="first")) == [0, 1, 2, 3]


def test_a_reader_with_a_name_begins_at_its_first_message_that_is_not_settled(broker: Broker) -> None:
    declare(broker, 5)
    with read(broker, offset="first", reader="mine") as consumer:
        held = [first(consumer) for _ in range(4)]
        for number in (0, 2, 3):
            held[number].ack(wait=True)

    assert bodies(read(broker, offset="first", reader="mine")) == [1, 2, 3, 4]


def test_what_a_reader_was_not_shown_is_read_again(broker: Broker) -> None:
    declare(broker, 3)
    with read(broker, offset="first", reader="mine", prefetch=3) as consumer:
        (first(consumer)).ack(wait=True)

    assert bodies(read(broker, reader="mine")) == [1, 2]


def test_a_readers_place_outlives_the_death_of_its_process(broker: Broker, connect: Connect) -> None:
    other = connect()
    declare(broker, 3)
    consumer = read(other, offset="first", reader="mine")
    (first(consumer)).ack(wait=True)
    other._session.close()  # as the reaper ends it

    assert bodies(read(broker, reader="mine")) == [1, 2]


def test_a_readers_place_goes_with_its_stream(broker: Broker) -> None:
    declare(broker, 2)
    with read(broker, offset="first", reader="mine") as consumer:
        first(consumer)
        (first(consumer)).ack(multiple=True, wait=True)
    broker.delete_queue("s")
    declare(broker, 2)

    assert bodies(read(broker, offset="first", reader="mine")) == [0, 1]


def test_a_reader_goes_on_after_its_connection_was_lost(connect: Connect) -> None:
    broker = connect(block=timedelta(milliseconds=50))
    declare(broker, 3)
    faults = Faults(broker)
    with read(broker, offset="first", prefetch=1, timeout=10) as consumer:
        (first(consumer)).ack()
        rule = faults.cut("XREAD")

        rest = []
        for _ in range(2):
            delivery = first(consumer)
            rest.append(int(delivery.body))
            delivery.ack()

    assert rest == [1, 2]
    assert rule.done == 1


def test_a_reader_goes_on_after_its_session_was_reaped(broker: Broker, connect: Connect, url: str) -> None:
    other = connect(heartbeat=timedelta(milliseconds=50))
    declare(broker, 4)
    with read(other, offset="first", reader="mine", prefetch=2, timeout=10) as consumer:
        held = first(consumer)
        reap(url, other)
        wait_until(lambda: not other._session.alive)
        held.ack(wait=True)

        for number in range(1, 4):
            delivery = first(consumer)
            assert int(delivery.body) == number
            delivery.ack(wait=True)

    assert bodies(read(broker, reader="mine")) == []


@pytest.mark.parametrize("renew", [True, False])
def test_a_reader_may_take_its_time(broker: Broker, renew: bool) -> None:
    declare(broker, 2)
    short = timedelta(milliseconds=60)
    with read(broker, offset="first", reader="mine", ack_timeout=short, renew=renew) as consumer:
        held = first(consumer)
        until = time.monotonic() + 0.15
        wait_until(lambda: time.monotonic() > until)
        broker.reap()

        held.extend()
        held.ack(wait=True)

    assert bodies(read(broker, reader="mine")) == [1]


# --- retention


def test_a_stream_drops_the_oldest_where_its_bytes_are_too_many(broker: Broker) -> None:
    declare(broker, max_length_bytes=10)

    for number in range(5):
        broker.publish(b"%05d" % number, routing_key="s", headers={"long": "x" * 100})

    assert retained(broker) == [3, 4]
    with read(broker, offset="first") as consumer:
        assert (first(consumer)).headers["x-stream-offset"] == 3


def test_a_stream_keeps_its_newest_message_whatever_its_size(broker: Broker) -> None:
    declare(broker, max_length_bytes=2)

    broker.publish(b"00001", routing_key="s")
    broker.publish(b"00002", routing_key="s")

    assert retained(broker) == [2]


def test_empty_bodies_leave_a_stream_too(broker: Broker) -> None:
    declare(broker, max_length_bytes=1)

    broker.publish_many([Message(body, routing_key="s") for body in (b"", b"", b"0", b"1")])

    assert retained(broker) == [1]


def test_a_stream_drops_what_is_older_than_its_age(broker: Broker) -> None:
    declare(broker, 2, max_age=timedelta(seconds=1))
    old_at = time.monotonic() + 1.01
    wait_until(lambda: time.monotonic() > old_at)

    broker.publish_many(numbered(1, first=2))

    assert retained(broker) == [2]


def test_an_offset_that_was_dropped_begins_at_the_oldest(broker: Broker, ask: Bare, keys: Keys) -> None:
    declare(broker, max_length_bytes=300)
    for start in range(0, 400, 100):
        broker.publish_many([Message(b"%03d" % number, routing_key="s") for number in range(start, start + 100)])

    for offset in (0, 50, 299):
        with read(broker, offset=offset, prefetch=1) as consumer:
            assert (first(consumer)).headers["x-stream-offset"] == 300
    assert ask("ZCARD", keys.prefix + b"marks:s") == 1  # of every hundredth entry that is there
    with read(broker, offset=350, prefetch=1) as consumer:
        assert (first(consumer)).headers["x-stream-offset"] == 350


def test_a_reader_whose_place_was_dropped_goes_on_with_the_oldest(broker: Broker) -> None:
    declare(broker, 2, max_length_bytes=2)
    with read(broker, offset="first", reader="mine") as consumer:
        (first(consumer)).ack(wait=True)
    broker.publish_many(numbered(2, first=2))

    assert bodies(read(broker, reader="mine")) == [2, 3]


# --- what a stream has not


def test_get_takes_nothing_from_a_stream(broker: Broker) -> None:
    declare(broker, 1)

    with pytest.raises(NotSupported) as caught:
        broker.get("s")

    assert (caught.value.reply_code, caught.value.name) == (540, "s")
    assert retained(broker) == [0]


def test_a_stream_cannot_be_purged(broker: Broker) -> None:
    declare(broker, 1)

    with pytest.raises(NotSupported):
        broker.purge("s")

    assert retained(broker) == [0]


def test_a_stream_is_not_consumed_with_auto_ack(broker: Broker) -> None:
    declare(broker, 1)

    with pytest.raises(NotSupported) as caught:
        broker.consume("s").open()

    assert caught.value.argument == "auto_ack"
    assert broker.consumers() == []


@pytest.mark.parametrize("queues", [["s", "q"], ["q", "s"]])
def test_a_consumer_of_a_stream_has_no_other_queues(broker: Broker, queues: list[str]) -> None:
    declare(broker)
    broker.declare_queue("q")

    with pytest.raises(NotSupported):
        broker.consume(queues, auto_ack=False).open()

    assert broker.consumers() == []


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
def test_what_a_stream_cannot_have_is_a_failed_precondition(
    broker: Broker, argument: str, options: dict[str, Any]
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue(**{"name": "s", "queue_type": "stream", **options})

    assert caught.value.argument == argument
    assert broker.queues() == []


@pytest.mark.parametrize("kind", ["classic", None])
def test_only_a_stream_has_an_age(broker: Broker, kind: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", queue_type=kind, max_age=timedelta(days=1))

    assert caught.value.argument == "x-max-age"
    assert broker.queues() == []


def test_the_age_is_the_argument_x_max_age(broker: Broker) -> None:
    broker.declare_queue("s", queue_type="stream", arguments={"x-max-age": "90s"})

    broker.declare_queue("s", queue_type="stream", max_age=timedelta(seconds=90))

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("s", queue_type="stream", max_age=timedelta(seconds=91))
    assert caught.value.argument == "x-max-age"


@pytest.mark.parametrize("age", [timedelta(milliseconds=999), timedelta(days=50), 5])
def test_an_age_that_is_no_time_is_an_invalid_argument(broker: Broker, age: Any) -> None:
    with pytest.raises(InvalidArgument):
        broker.declare_queue("s", queue_type="stream", max_age=age)

    assert broker.queues() == []


@pytest.mark.parametrize("offset", ["begin", "", "1x", -1, 1.5, True, datetime(2024, 1, 1)])  # noqa: DTZ001 - naive
def test_an_offset_that_is_none_is_a_failed_precondition(broker: Broker, ask: Bare, keys: Keys, offset: Any) -> None:
    declare(broker, 1)
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        read(broker, offset=offset)

    assert caught.value.argument == "x-stream-offset"
    assert ask.dump(keys.prefix) == before


@pytest.mark.parametrize("reader", [None, 5, b"bytes", "x" * 256])
def test_a_readers_name_is_a_short_string(broker: Broker, reader: Any) -> None:
    declare(broker)

    with pytest.raises(InvalidArgument):
        read(broker, reader=reader)


# --- its end


def test_a_reader_is_told_when_its_stream_is_deleted(connect: Connect) -> None:
    broker = connect(block=timedelta(milliseconds=50))
    declare(broker, 1)
    with read(broker, offset="first", timeout=10) as consumer:
        first(consumer)

        def next_one() -> Delivery | None:
            return consumer.next(timeout=10)

        waiting = Background(next_one)
        wait_until(lambda: is_waiting(consumer))

        assert broker.delete_queue("s") == 1

        with pytest.raises(ConsumerCancelled):
            waiting.result()


@pytest.mark.parametrize("kind", ["stream", "classic"])
def test_a_reader_goes_on_with_the_queue_that_was_declared_anew_under_its_name(broker: Broker, kind: Any) -> None:
    declare(broker, 2)
    with read(broker, offset="first", reader="mine") as consumer:
        first(consumer)
        (first(consumer)).ack(multiple=True, wait=True)
        broker.delete_queue("s")
        broker.declare_queue("s", queue_type=kind)
        broker.publish_many(numbered(2))

        for number in range(2):
            delivery = first(consumer)
            assert int(delivery.body) == number
            assert delivery.headers.get("x-stream-offset") == (number if kind == "stream" else None)
            delivery.ack(wait=True)

    assert (broker.queues())[0].ready == (2 if kind == "stream" else 0)


def test_a_reader_of_a_missing_stream_is_not_found(broker: Broker) -> None:
    with pytest.raises(NotFound):
        read(broker).open()


@pytest.mark.parametrize(
    "attempt",
    [lambda broker: broker.declare_queue("s"), lambda broker: broker.declare_queue("s", queue_type="quorum")],
)
def test_a_stream_is_no_other_queue(broker: Broker, attempt: Callable[[Broker], object]) -> None:
    declare(broker)

    with pytest.raises(PreconditionFailed) as caught:
        attempt(broker)

    assert (caught.value.argument, caught.value.current) == ("x-queue-type", "stream")


def test_a_stream_may_have_an_exclusive_reader(broker: Broker) -> None:
    declare(broker, 1)

    with read(broker, offset="first", exclusive=True) as consumer:
        with pytest.raises(Exception, match="exclusive") as caught:
            read(broker).open()
        assert not isinstance(caught.value, ResourceLocked)
        assert (first(consumer)).body == b"0"
