"""Dead-lettering: what dies in a queue, where it goes, and its history (docs/semantics.md, Dead-lettering)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.codec import Table
from rexchange.errors import PreconditionFailed, StaleDelivery
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.faults import Faults

SHORT = timedelta(milliseconds=50)


@pytest.fixture
async def dlx(broker: AsyncBroker) -> str:
    """Return a fanout exchange to which the queue "dead" is bound."""
    await broker.declare_exchange("dlx", "fanout")
    await broker.declare_queue("dead")
    await broker.bind("dead", "dlx")
    return "dlx"


async def ready(broker: AsyncBroker, queue: str = "dead") -> int:
    """Return how many are ready."""
    return (await broker.declare_queue(queue, passive=True)).message_count


async def get(broker: AsyncBroker, queue: str) -> AsyncDelivery:
    """Take a message that must be there by now or soon, since the reaper brings it."""

    async def there() -> bool:
        await broker.reap()
        return await ready(broker, queue) > 0

    await async_wait_until(there)
    delivery = await broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


def deaths(delivery: AsyncDelivery) -> list[dict[str, Any]]:
    """Return the rows of x-death without their time."""
    rows: Any = delivery.headers["x-death"]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def shown(delivery: AsyncDelivery) -> list[tuple[str, str, int]]:
    """Return queue, reason and count of each row of x-death."""
    return [(row["queue"], row["reason"], row["count"]) for row in deaths(delivery)]


def died_at(delivery: AsyncDelivery, queue: str) -> datetime:
    """Return when it died there, of one row."""
    rows: Any = delivery.headers["x-death"]
    (found,) = [row["time"] for row in rows if row["queue"] == queue]
    assert isinstance(found, datetime)
    return found


# --- what dies


@pytest.mark.parametrize("verdict", ["reject", "nack"])
async def test_a_rejected_message_is_dead_lettered(broker: AsyncBroker, dlx: str, verdict: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.publish(b"1", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    await (delivery.reject() if verdict == "reject" else delivery.nack(requeue=False))

    dead = await broker.get("dead")
    assert dead is not None
    assert (dead.body, shown(dead), dead.redelivered) == (b"1", [("q", "rejected", 1)], False)
    assert (await ready(broker, "q"), (await broker.queues())[1].unacked) == (0, 0)


async def test_all_that_one_nack_rejects_is_dead_lettered_in_order(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(4)])
    async with broker.consume("q", auto_ack=False, prefetch=4, timeout=5) as consumer:
        deliveries = [await anext(consumer) for _ in range(4)]

        await deliveries[2].nack(multiple=True, requeue=False, wait=True)

        assert [dead.body for dead in await async_drain(broker, "dead")] == [b"0", b"1", b"2"]
        await deliveries[3].ack(wait=True)
    assert await ready(broker) == 0


async def test_an_expired_message_is_dead_lettered_without_any_consumer(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", message_ttl=SHORT, dead_letter_exchange=dlx)
    await broker.publish(b"1", routing_key="q")

    dead = await get(broker, "dead")

    assert (dead.body, shown(dead)) == (b"1", [("q", "expired", 1)])
    assert (await broker.status()).consumers == 1  # that of get, which came after


async def test_the_heartbeat_of_any_consumer_dead_letters_what_expires_elsewhere(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    async with broker.consume("dead", timeout=10) as consumer:
        await broker.publish(b"1", routing_key="q", expiration="50")

        assert shown(await anext(consumer)) == [("q", "expired", 1)]


async def test_what_a_limit_has_no_room_for_is_dead_lettered(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", max_length=1, dead_letter_exchange=dlx)

    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    dead = await async_drain(broker, "dead")
    assert [(each.body, shown(each)) for each in dead] == [
        (b"0", [("q", "maxlen", 1)]),
        (b"1", [("q", "maxlen", 1)]),
    ]


async def test_what_is_acked_or_given_back_is_not_dead_lettered(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(4)])
    async with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        await (await anext(consumer)).ack(wait=True)
        await (await anext(consumer)).nack(wait=True)
        await anext(consumer)

    assert (await ready(broker, "q"), await ready(broker)) == (3, 0)


async def test_what_goes_with_a_purge_or_its_queue_is_not_dead_lettered(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.publish(b"", routing_key="q")
    assert await broker.purge("q") == 1
    await broker.publish(b"", routing_key="q")
    assert await broker.delete_queue("q") == 1

    assert await ready(broker) == 0


@pytest.mark.parametrize("end", ["consumer", "session"])
async def test_what_goes_with_the_last_consumer_of_an_auto_delete_queue_is_not_dead_lettered(
    broker: AsyncBroker, connect: Connect, dlx: str, end: str
) -> None:
    """Given back first, it would be more than the queue has room for."""
    other = await connect()
    await broker.declare_queue("q", auto_delete=True, max_length=2, dead_letter_exchange=dlx)
    consumer = other.consume("q", auto_ack=False, prefetch=2, timeout=5)
    await broker.publish_many([Message(b"", routing_key="q")] * 2)
    for _ in range(2):
        await anext(consumer)
    await broker.publish_many([Message(b"", routing_key="q")] * 2)

    await (consumer.aclose() if end == "consumer" else other.aclose())

    assert [(info.name, info.ready) for info in await broker.queues()] == [("dead", 0)]


async def test_a_verdict_that_comes_too_late_dead_letters_nothing(
    broker: AsyncBroker, connect: Connect, dlx: str
) -> None:
    slow = await connect(ack_timeout=SHORT)
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.publish(b"", routing_key="q")
    late = await slow.get("q", auto_ack=False)
    assert late is not None
    await async_wait_until(lambda: ready(broker, "q"))

    with pytest.raises(StaleDelivery):
        await late.reject()

    assert (await ready(broker, "q"), await ready(broker)) == (1, 0)


async def test_a_reject_whose_reply_was_lost_dead_letters_once(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.publish(b"", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    rule = Faults(broker).cut("settle")

    await delivery.reject()

    assert rule.done == 1
    assert (await ready(broker, "q"), await ready(broker)) == (0, 1)


async def test_many_that_expire_at_once_are_dead_lettered_in_order(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", message_ttl=SHORT, dead_letter_exchange=dlx)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(350)])

    async def died() -> bool:
        await broker.reap()
        return await ready(broker) == 350

    await async_wait_until(died)

    assert [int(message.body) for message in await async_messages(broker, "dead")] == list(range(350))


async def test_a_queue_without_a_dead_letter_exchange_drops_what_dies(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1)
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)])
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    assert delivery.body == b"1"

    await delivery.reject()

    (info,) = await broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


# --- where it goes


async def test_a_dead_letter_keeps_its_key_and_shows_the_dead_letter_exchange(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    await broker.bind("q", "amq.topic", "a.#")

    await broker.publish(
        b"body", exchange="amq.topic", routing_key="a.b", headers={"h": 1}, priority=3, message_id="m", type="t"
    )

    dead = await broker.get("dead")
    assert dead is not None
    assert (dead.body, dead.exchange, dead.routing_key) == (b"body", "dlx", "a.b")
    assert (dead.headers["h"], dead.properties.priority) == (1, 3)
    assert (dead.properties.message_id, dead.properties.type) == ("m", "t")


async def test_a_dead_letter_takes_the_queues_dead_letter_key(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx, dead_letter_routing_key="other")

    await broker.publish(b"", routing_key="q")

    dead = await broker.get("dead")
    assert dead is not None
    assert dead.routing_key == "other"
    assert deaths(dead)[0]["routing-keys"] == ["q"]


async def test_a_dead_letter_reaches_every_queue_that_its_exchange_routes_it_to(broker: AsyncBroker) -> None:
    await broker.declare_exchange("dlx", "topic")
    for name, pattern in (("one", "a.*"), ("two", "#.b"), ("three", "c")):
        await broker.declare_queue(name)
        await broker.bind(name, "dlx", pattern)
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx", dead_letter_routing_key="a.b")

    await broker.publish(b"", routing_key="q")

    assert [await ready(broker, name) for name in ("one", "two", "three")] == [1, 1, 0]


async def test_the_default_exchange_may_be_a_dead_letter_exchange(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="", dead_letter_routing_key="dead")

    await broker.publish(b"", routing_key="q")

    dead = await broker.get("dead")
    assert dead is not None
    assert (dead.exchange, dead.routing_key) == ("", "dead")


async def test_an_internal_exchange_may_be_a_dead_letter_exchange(broker: AsyncBroker) -> None:
    await broker.declare_exchange("dlx", "fanout", internal=True)
    await broker.declare_queue("dead")
    await broker.bind("dead", "dlx")
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx")

    await broker.publish(b"", routing_key="q")

    assert await ready(broker) == 1


async def test_a_headers_exchange_sees_the_history_of_a_dead_letter(broker: AsyncBroker) -> None:
    for reason in ("maxlen", "rejected"):
        await broker.declare_queue(reason)
        await broker.bind(
            reason, "amq.headers", arguments={"x-match": "all-with-x", "x-first-death-reason": reason, "a": 1}
        )
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="amq.headers")

    await broker.publish(b"", routing_key="q", headers={"a": 1})

    assert [await ready(broker, reason) for reason in ("maxlen", "rejected")] == [1, 0]


async def test_the_dead_letter_exchanges_alternate_takes_what_it_does_not_route(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_exchange("first", "direct", alternate_exchange=dlx)
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="first")

    await broker.publish(b"", routing_key="q")

    assert await ready(broker) == 1


async def test_a_missing_dead_letter_exchange_drops_until_it_is_declared(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx")
    assert await broker.publish(b"lost", routing_key="q") == 1

    await broker.declare_exchange("dlx", "fanout")
    await broker.publish(b"lost too", routing_key="q")
    await broker.bind("dead", "dlx")
    await broker.publish(b"kept", routing_key="q")

    assert [message.body for message in await async_messages(broker, "dead")] == [b"kept"]


async def test_a_consumer_that_waits_gets_a_dead_letter(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    async with broker.consume("dead", timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.publish(b"1", routing_key="q")

        assert (await waiting.result()).body == b"1"


async def test_a_full_queue_that_refuses_drops_dead_letters_too(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead", max_length=1, overflow="reject-publish")
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="", dead_letter_routing_key="dead")

    assert await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)]) == [1, 1]

    assert [message.body for message in await async_messages(broker, "dead")] == [b"0"]


async def test_a_dead_letter_may_be_shown_to_the_readers_of_a_stream(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead", queue_type="stream")
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="", dead_letter_routing_key="dead")

    await broker.publish(b"1", routing_key="q")

    async with broker.consume("dead", auto_ack=False, offset="first", timeout=5) as consumer:
        assert shown(await anext(consumer)) == [("q", "maxlen", 1)]


# --- its history


async def test_the_first_death_is_told_whole(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", dead_letter_exchange=dlx)
    await broker.bind("q", "amq.topic", "a.#")
    await broker.publish(
        b"", exchange="amq.topic", routing_key="a.b", headers={"CC": ["c"], "BCC": ["secret"]}, expiration="20"
    )
    before = datetime.now(UTC)

    dead = await get(broker, "dead")

    assert deaths(dead) == [
        {
            "count": 1,
            "reason": "expired",
            "queue": "q",
            "exchange": "amq.topic",
            "routing-keys": ["a.b", "c"],
            "original-expiration": "20",
        }
    ]
    rows: Any = dead.headers["x-death"]
    assert abs(rows[0]["time"] - before) < timedelta(seconds=3)
    for which in ("first", "last"):
        told = [dead.headers[f"x-{which}-death-{what}"] for what in ("queue", "reason", "exchange")]
        assert told == ["q", "expired", "amq.topic"]


async def test_its_expiration_is_gone_so_that_it_does_not_expire_again(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    await broker.publish(b"", routing_key="q", expiration="50")
    until = time.monotonic() + 0.06

    await async_wait_until(lambda: time.monotonic() > until)
    dead = await get(broker, "dead")

    assert dead.properties.expiration is None
    assert deaths(dead)[0]["original-expiration"] == "50"


async def test_a_message_without_an_expiration_has_no_original_one(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", message_ttl=SHORT, dead_letter_exchange=dlx)
    await broker.publish(b"", routing_key="q")

    assert "original-expiration" not in deaths(await get(broker, "dead"))[0]


async def test_a_chain_of_deaths_has_a_row_for_each_queue_the_newest_first(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("second", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="dead")
    await broker.declare_queue("first", max_length=0, dead_letter_exchange="", dead_letter_routing_key="second")
    await broker.publish(b"1", routing_key="first", expiration="60000")

    dead = await get(broker, "dead")

    assert deaths(dead) == [
        {"count": 1, "reason": "expired", "queue": "second", "exchange": "", "routing-keys": ["second"]},
        {
            "count": 1,
            "reason": "maxlen",
            "queue": "first",
            "exchange": "",
            "routing-keys": ["first"],
            "original-expiration": "60000",
        },
    ]
    names = ("x-first-death-queue", "x-first-death-reason", "x-last-death-queue", "x-last-death-reason")
    assert [dead.headers[name] for name in names] == ["first", "maxlen", "second", "expired"]


async def test_of_many_deaths_each_comes_before_the_one_it_followed(broker: AsyncBroker) -> None:
    """RabbitMQ 3.10 turns the older ones round at every death; its documentation has the newest first."""
    names = [f"q{number}" for number in range(5)]
    for name, after in zip(names, [*names[1:], "dead"], strict=True):
        await broker.declare_queue(name, dead_letter_exchange="", dead_letter_routing_key=after)
    await broker.declare_queue("dead")
    await broker.publish(b"", routing_key="q0")

    for name in names:
        await (await get(broker, name)).reject()

    assert [queue for queue, _, _ in shown(await get(broker, "dead"))] == names[::-1]


async def test_the_same_death_again_counts_and_comes_to_the_front(broker: AsyncBroker) -> None:
    await broker.declare_queue("one", dead_letter_exchange="", dead_letter_routing_key="two")
    await broker.declare_queue("two", dead_letter_exchange="", dead_letter_routing_key="one")
    await broker.publish(b"", exchange="", routing_key="one")

    await (await get(broker, "one")).reject()
    once = await get(broker, "two")
    await once.reject()
    first = int(time.time())

    async def a_second_later() -> bool:
        return int(time.time()) > first  # a time in x-death has seconds

    await async_wait_until(a_second_later)
    await (await get(broker, "one")).reject()
    dead = await get(broker, "two")

    assert deaths(dead) == [
        {"count": 2, "reason": "rejected", "queue": "one", "exchange": "", "routing-keys": ["one"]},
        {"count": 1, "reason": "rejected", "queue": "two", "exchange": "", "routing-keys": ["two"]},
    ]
    names = ("x-first-death-queue", "x-last-death-queue")
    assert [dead.headers[name] for name in names] == ["one", "one"]
    assert died_at(dead, "one") == died_at(once, "one"), "the time of the first death stays"


async def test_two_reasons_in_one_queue_are_two_rows(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", message_ttl=timedelta(milliseconds=200), dead_letter_exchange=dlx)
    await broker.bind("q", dlx)
    await broker.publish(b"", routing_key="q")
    await (await get(broker, "q")).reject()

    rejected, expired = await get(broker, "dead"), await get(broker, "dead")

    assert shown(rejected) == [("q", "rejected", 1)]
    assert shown(expired) == [("q", "expired", 1), ("q", "rejected", 1)]


async def test_a_client_that_publishes_a_dead_letter_again_starts_its_history_anew(
    broker: AsyncBroker, dlx: str
) -> None:
    await broker.declare_queue("first", max_length=0, dead_letter_exchange=dlx)
    await broker.declare_queue("second", max_length=0, dead_letter_exchange=dlx)
    await broker.publish(b"", routing_key="first")
    once = await get(broker, "dead")
    await once.ack()

    await broker.publish(once.body, routing_key="second", headers=once.headers)

    twice = await get(broker, "dead")
    assert shown(twice) == [("second", "maxlen", 1)]
    assert (twice.headers["x-first-death-queue"], twice.headers["x-last-death-queue"]) == ("second", "second")


@pytest.mark.parametrize("forged", [[], [{"queue": "q", "reason": "maxlen", "count": 5}], "text", [1], None])
async def test_a_history_that_a_publisher_made_up_is_not_believed(
    broker: AsyncBroker, dlx: str, forged: object
) -> None:
    await broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    headers: Table = {"x-death": forged, "x-first-death-queue": "forged"}  # type: ignore[dict-item]

    await broker.publish(b"", routing_key="q", headers=headers)

    dead = await get(broker, "dead")
    assert shown(dead) == [("q", "maxlen", 1)]
    assert dead.headers["x-first-death-queue"] == "q"


# --- CC and BCC


async def test_a_dead_letter_goes_by_all_its_keys_and_keeps_cc(broker: AsyncBroker) -> None:
    await broker.declare_exchange("dlx", "direct")
    for key in ("q", "cc", "bcc"):
        await broker.declare_queue(f"dead-{key}")
        await broker.bind(f"dead-{key}", "dlx", key)
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx")

    await broker.publish(b"", routing_key="q", headers={"CC": ["cc"], "BCC": ["bcc"]})

    for key in ("q", "cc", "bcc"):
        dead = await broker.get(f"dead-{key}")
        assert dead is not None
        assert (dead.routing_key, dead.headers["CC"], "BCC" in dead.headers) == ("q", ["cc"], False)


async def test_a_dead_letter_key_of_the_queue_takes_the_place_of_all_keys(broker: AsyncBroker) -> None:
    await broker.declare_exchange("dlx", "direct")
    for key in ("q", "cc", "bcc", "own"):
        await broker.declare_queue(f"dead-{key}")
        await broker.bind(f"dead-{key}", "dlx", key)
    await broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx", dead_letter_routing_key="own")

    await broker.publish(b"", routing_key="q", headers={"CC": ["cc"], "BCC": ["bcc"]})

    assert [await ready(broker, f"dead-{key}") for key in ("q", "cc", "bcc")] == [0, 0, 0]
    dead = await broker.get("dead-own")
    assert dead is not None
    assert "CC" not in dead.headers
    assert deaths(dead)[0]["routing-keys"] == ["q", "cc"]


async def test_keys_that_a_dead_letter_key_took_the_place_of_do_not_come_back(broker: AsyncBroker) -> None:
    await broker.declare_exchange("dlx", "direct")
    await broker.declare_queue("first", max_length=0, dead_letter_exchange="dlx", dead_letter_routing_key="own")
    await broker.declare_queue("second", max_length=0, dead_letter_exchange="dlx")
    await broker.bind("second", "dlx", "own")
    for key in ("cc", "bcc"):
        await broker.declare_queue(f"dead-{key}")
        await broker.bind(f"dead-{key}", "dlx", key)

    await broker.publish(b"", routing_key="first", headers={"CC": ["cc"], "BCC": ["bcc"]})

    assert [await ready(broker, f"dead-{key}") for key in ("cc", "bcc")] == [0, 0]


# --- cycles


async def test_a_cycle_of_expiries_ends_where_it_began(broker: AsyncBroker) -> None:
    await broker.declare_queue("one", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="two")
    await broker.declare_queue("two", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="one")
    await broker.publish(b"", routing_key="one")
    died = 0

    async def both_died() -> bool:
        nonlocal died
        died += (await broker.reap()).died
        return died == 2

    await async_wait_until(both_died)

    assert (await ready(broker, "one"), await ready(broker, "two")) == (0, 0)


async def test_a_queue_that_is_full_does_not_dead_letter_into_itself(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=1, dead_letter_exchange="", dead_letter_routing_key="q")

    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    assert [message.body for message in await async_messages(broker, "q")] == [b"2"]


async def test_a_cycle_drops_only_the_copy_for_the_queue_that_it_has_been_in(broker: AsyncBroker, dlx: str) -> None:
    await broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    await broker.bind("q", dlx)

    await broker.publish(b"", routing_key="q")

    assert (await ready(broker, "q"), await ready(broker)) == (0, 1)


async def test_a_message_may_be_rejected_into_its_own_queue_for_ever(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="q")
    await broker.publish(b"", routing_key="q")

    for _ in range(3):
        await (await get(broker, "q")).reject()

    assert shown(await get(broker, "q")) == [("q", "rejected", 3)]


async def test_a_reject_on_the_way_keeps_a_cycle_going(broker: AsyncBroker) -> None:
    await broker.declare_queue("wait", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="work")
    await broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="wait")
    await broker.publish(b"", routing_key="work")

    for _ in range(3):
        await (await get(broker, "work")).reject()

    assert shown(await get(broker, "work")) == [("wait", "expired", 3), ("work", "rejected", 3)]


# --- bad input


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("x-dead-letter-exchange", {"x-dead-letter-exchange": 5}),
        ("x-dead-letter-exchange", {"x-dead-letter-exchange": None}),
        ("x-dead-letter-routing-key", {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": 5}),
        ("x-dead-letter-routing-key", {"x-dead-letter-routing-key": "key"}),
        ("x-dead-letter-strategy", {"x-dead-letter-exchange": "dlx", "x-dead-letter-strategy": "at-least-once"}),
    ],
)
async def test_wrong_arguments_are_a_failed_precondition(broker: AsyncBroker, argument: str, arguments: Table) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", arguments=arguments)

    assert caught.value.argument == argument
    assert await broker.queues() == []


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("x-dead-letter-exchange", {}),
        ("x-dead-letter-exchange", {"dead_letter_exchange": "other", "dead_letter_routing_key": "key"}),
        ("x-dead-letter-routing-key", {"dead_letter_exchange": "dlx"}),
    ],
)
async def test_a_second_declare_must_repeat_exchange_and_key(
    broker: AsyncBroker, argument: str, options: dict[str, Any]
) -> None:
    await broker.declare_queue("q", dead_letter_exchange="dlx", dead_letter_routing_key="key")

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", **options)

    assert caught.value.argument == argument
