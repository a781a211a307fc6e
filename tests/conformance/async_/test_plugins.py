"""The exchange types that RabbitMQ has as plugins (docs/semantics.md, Exchanges)."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.codec import Table
from rexchange.errors import NotSupported, PreconditionFailed, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import async_drain, async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare

HASHES = ("x-consistent-hash", "x-modulus-hash")


async def declare(broker: AsyncBroker, type: str, *queues: str, key: str = "1", **arguments: Any) -> None:
    """Declare the exchange x with queues bound to it."""
    await broker.declare_exchange("x", type, arguments={name.replace("_", "-"): arguments[name] for name in arguments})
    for queue in queues:
        await broker.declare_queue(queue)
        await broker.bind(queue, "x", key)


async def counts(broker: AsyncBroker) -> dict[str, int]:
    """Return how many are ready in each queue."""
    return {info.name: info.ready for info in await broker.queues()}


async def bodies(broker: AsyncBroker, queue: str = "q") -> list[bytes]:
    """Return the bodies of what is ready."""
    return [message.body for message in await async_messages(broker, queue)]


def keyed(count: int, **options: Any) -> list[Message]:
    """Return messages to x, each with a key of its own."""
    return [Message(b"", exchange="x", routing_key=f"key-{number}", **options) for number in range(count)]


async def places(broker: AsyncBroker, count: int = 200) -> list[str]:
    """Return where each of so many keys goes."""
    found = [await broker.route("x", f"key-{number}") for number in range(count)]
    assert {len(queues) for queues in found} == {1}
    return [queues[0] for queues in found]


# --- consistent hash and modulus hash


@pytest.mark.parametrize("type_", HASHES)
async def test_a_hash_exchange_gives_each_message_to_one_queue_and_each_queue_its_share(
    broker: AsyncBroker, type_: str
) -> None:
    await declare(broker, type_, "one", "two", "three")

    assert await broker.publish_many(keyed(300)) == [1] * 300

    shares = await counts(broker)
    assert sum(shares.values()) == 300
    assert all(60 < share < 140 for share in shares.values()), shares


@pytest.mark.parametrize("type_", HASHES)
async def test_a_key_always_goes_to_the_same_queue(broker: AsyncBroker, connect: Connect, type_: str) -> None:
    await declare(broker, type_, "one", "two", "three")
    other = await connect()

    for publisher in (broker, other, broker):
        await publisher.publish_many([Message(b"", exchange="x", routing_key="same")] * 5)

    assert sorted((await counts(broker)).values()) == [0, 0, 15]
    assert await places(broker, 50) == await places(other, 50)


@pytest.mark.parametrize("type_", [*HASHES, "x-random"])
async def test_an_exchange_that_chooses_one_queue_routes_nowhere_where_none_is_bound(
    broker: AsyncBroker, type_: str
) -> None:
    await declare(broker, type_)

    assert await broker.publish(b"", exchange="x", routing_key="k") == 0
    with pytest.raises(Unroutable):
        await broker.publish(b"", exchange="x", routing_key="k", mandatory=True)


@pytest.mark.parametrize("type_", [*HASHES, "x-random", "x-recent-history"])
async def test_an_alternate_exchange_takes_what_they_do_not_route(broker: AsyncBroker, type_: str) -> None:
    await broker.declare_queue("q")
    await broker.bind("q", "amq.fanout")
    await broker.declare_exchange("x", type_, alternate_exchange="amq.fanout")

    assert await broker.publish(b"", exchange="x") == 1


@pytest.mark.parametrize("type_", [*HASHES, "x-random"])
async def test_an_exchange_may_be_the_one_that_is_chosen(broker: AsyncBroker, type_: str) -> None:
    await declare(broker, type_)
    fanout = await broker.declare_exchange("behind", "fanout")
    await broker.bind(fanout, "x", "1")
    for name in ("one", "two"):
        await broker.declare_queue(name)
        await broker.bind(name, fanout)

    assert await broker.publish(b"", exchange="x", routing_key="k") == 2


async def test_a_queue_of_a_consistent_hash_has_a_share_by_its_weight(broker: AsyncBroker) -> None:
    await declare(broker, "x-consistent-hash", "one")
    await broker.declare_queue("three")
    await broker.bind("three", "x", "3")

    await broker.publish_many(keyed(400))

    share = (await counts(broker))["three"]
    assert 250 < share < 350


async def test_a_queue_that_comes_or_goes_moves_no_other_key(broker: AsyncBroker) -> None:
    await declare(broker, "x-consistent-hash", "one", "two")
    before = await places(broker)
    await broker.declare_queue("three")
    await broker.bind("three", "x", "1")
    between = await places(broker)

    assert Counter(between)["three"] > 30
    assert all(now in (was, "three") for was, now in zip(before, between, strict=True))

    await broker.unbind("three", "x", "1")
    assert await places(broker) == before


async def test_a_second_binding_of_a_queue_to_a_consistent_hash_is_passed_over(broker: AsyncBroker) -> None:
    await declare(broker, "x-consistent-hash", "one", "two")
    before = await places(broker)

    await broker.bind("two", "x", "9")

    assert await places(broker) == before


@pytest.mark.parametrize("weight", ["0", "-1", "1.5", "abc", "", " 1"])
async def test_the_binding_key_of_a_consistent_hash_is_a_weight(
    broker: AsyncBroker, ask: Bare, keys: Keys, weight: str
) -> None:
    await declare(broker, "x-consistent-hash")
    await broker.declare_queue("q")
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        await broker.bind("q", "x", weight)

    assert "weight" in str(caught.value)
    assert ask.dump(keys.prefix) == before


async def test_a_consistent_hash_may_be_taken_of_a_header(broker: AsyncBroker) -> None:
    await declare(broker, "x-consistent-hash", "one", "two", hash_header="user")

    await broker.publish_many(keyed(50, headers={"user": "same"}))
    assert sorted((await counts(broker)).values()) == [0, 50]
    await broker.publish_many(
        [Message(b"", exchange="x", routing_key="same", headers={"user": number}) for number in range(100)]
    )

    assert all(share > 20 for share in (await counts(broker)).values())


async def test_messages_without_the_header_go_one_way(broker: AsyncBroker) -> None:
    await declare(broker, "x-consistent-hash", "one", "two", hash_header="user")

    await broker.publish_many(keyed(50))

    assert sorted((await counts(broker)).values()) == [0, 50]


@pytest.mark.parametrize("name", ["message_id", "correlation_id", "timestamp"])
async def test_a_consistent_hash_may_be_taken_of_a_property(broker: AsyncBroker, name: str) -> None:
    await declare(broker, "x-consistent-hash", "one", "two", hash_property=name)
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def value(number: int) -> Any:
        return start + timedelta(seconds=number) if name == "timestamp" else str(number)

    await broker.publish_many(keyed(50, **{name: value(0)}))
    assert sorted((await counts(broker)).values()) == [0, 50]
    same_key: Any = {"exchange": "x", "routing_key": "same"}
    properties = [{name: value(number)} for number in range(100)]
    await broker.publish_many([Message(b"", **same_key, **each) for each in properties])

    assert all(share > 20 for share in (await counts(broker)).values())


@pytest.mark.parametrize(
    "arguments",
    [{"hash-header": "h", "hash-property": "message_id"}, {"hash-property": "app_id"}, {"hash-property": 5}],
)
async def test_what_a_consistent_hash_cannot_be_taken_of_is_a_failed_precondition(
    broker: AsyncBroker, ask: Bare, keys: Keys, arguments: Any
) -> None:
    await broker.open()
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_exchange("x", "x-consistent-hash", arguments=arguments)

    assert caught.value.argument == "hash-property"
    assert ask.dump(keys.prefix) == before


async def test_a_modulus_hash_looks_at_no_binding_key_and_counts_each_binding(broker: AsyncBroker) -> None:
    await declare(broker, "x-modulus-hash", "one", key="#")
    await broker.declare_queue("three")
    for key in ("a", "b", ""):
        await broker.bind("three", "x", key)

    assert await broker.publish_many(keyed(400)) == [1] * 400

    share = (await counts(broker))["three"]
    assert 250 < share < 350


# --- random


async def test_a_random_exchange_gives_each_message_to_one_queue_whatever_its_key(broker: AsyncBroker) -> None:
    await declare(broker, "x-random", "one", "two", "three", key="never")

    assert await broker.publish_many([Message(b"", exchange="x", routing_key="same")] * 300) == [1] * 300

    shares = await counts(broker)
    assert all(60 < share < 140 for share in shares.values()), shares


async def test_a_local_random_exchange_is_not_supported(broker: AsyncBroker) -> None:
    with pytest.raises(NotSupported):
        await broker.declare_exchange("x", "x-local-random")


# --- recent history


async def test_a_recent_history_exchange_is_a_fanout(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history", "one", "two", key="ignored")

    assert await broker.publish(b"1", exchange="x", routing_key="any") == 2


async def test_a_queue_that_is_bound_later_gets_what_was_published_last_the_oldest_first(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history", x_recent_history_length=3)
    for number in range(5):
        await broker.publish(b"%d" % number, exchange="x", routing_key=f"k{number}", headers={"h": number})
    await broker.declare_queue("q")

    await broker.bind("q", "x")
    await broker.publish(b"5", exchange="x")

    found = await async_drain(broker, "q")
    assert [delivery.body for delivery in found] == [b"2", b"3", b"4", b"5"]
    assert (found[0].exchange, found[0].routing_key, found[0].headers) == ("x", "k2", {"h": 2})
    assert {delivery.redelivered for delivery in found} == {False}


async def test_it_remembers_20_where_nothing_is_said(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history")
    await broker.publish_many([Message(b"%d" % number, exchange="x") for number in range(30)])
    await broker.declare_queue("q")

    await broker.bind("q", "x")

    assert await bodies(broker) == [b"%d" % number for number in range(10, 30)]


async def test_it_does_not_remember_what_says_so(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history", "other")
    for header in (True, False, "true"):
        body = str(header).encode()
        assert await broker.publish(body, exchange="x", headers={"x-recent-history-no-store": header}) == 1
    await broker.declare_queue("q")

    await broker.bind("q", "x")

    assert await bodies(broker) == [b"False", b"true"]
    assert await bodies(broker, "other") == [b"True", b"False", b"true"]


async def test_only_a_new_binding_brings_the_history(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history")
    await broker.publish(b"1", exchange="x")
    await broker.declare_queue("q")

    await broker.bind("q", "x")
    await broker.bind("q", "x")
    assert await bodies(broker) == [b"1"]
    await broker.bind("q", "x", "another")

    assert await bodies(broker) == [b"1", b"1"]


async def test_a_binding_whose_reply_was_lost_brings_the_history_once(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history")
    await broker.publish(b"1", exchange="x")
    await broker.declare_queue("q")
    rule = Faults(broker).cut("bind")

    await broker.bind("q", "x")

    assert rule.done == 1
    assert await bodies(broker) == [b"1"]


async def test_an_exchange_that_is_bound_later_routes_the_history_on(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history")
    topic = await broker.declare_exchange("behind", "topic")
    for name in ("a", "b"):
        await broker.declare_queue(name)
        await broker.bind(name, topic, f"{name}.#")
    for key in ("a.1", "b.1", "a.2", "c"):
        await broker.publish(key.encode(), exchange="x", routing_key=key)

    await broker.bind(topic, "x")

    assert (await bodies(broker, "a"), await bodies(broker, "b")) == ([b"a.1", b"a.2"], [b"b.1"])


async def test_a_consumer_that_waits_gets_the_history(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history")
    await broker.publish(b"1", exchange="x")
    await broker.declare_queue("q", max_priority=3)
    async with broker.consume("q", timeout=10) as consumer:

        async def first() -> AsyncDelivery:
            return await anext(consumer)

        waiting = Background(first)
        await async_wait_until(lambda: is_waiting(consumer))

        await broker.bind("q", "x")

        assert (await waiting.result()).body == b"1"


async def test_the_history_goes_with_its_exchange(broker: AsyncBroker) -> None:
    await declare(broker, "x-recent-history")
    await broker.publish(b"1", exchange="x")
    await broker.delete_exchange("x")

    await declare(broker, "x-recent-history", "q")

    assert await bodies(broker) == []


@pytest.mark.parametrize("length", [0, -1, "5", 1.5, True])
async def test_the_length_of_a_history_is_a_number_above_0(broker: AsyncBroker, length: Any) -> None:
    before = len(await broker.exchanges())

    with pytest.raises(PreconditionFailed) as caught:
        await declare(broker, "x-recent-history", x_recent_history_length=length)

    assert caught.value.argument == "x-recent-history-length"
    assert len(await broker.exchanges()) == before


# --- delayed messages


async def delayed(broker: AsyncBroker, type_: str = "direct", *queues: str, key: str = "k") -> None:
    """Declare the delayed exchange x that routes by a type."""
    await declare(broker, "x-delayed-message", *queues, key=key, x_delayed_type=type_)


async def arrive(broker: AsyncBroker, count: int, queue: str = "q") -> list[bytes]:
    """Return the bodies of what is ready, once it is so many."""

    async def there() -> bool:
        await broker.reap()
        return (await counts(broker))[queue] >= count

    await async_wait_until(there)
    return await bodies(broker, queue)


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        ("direct", "k"),
        ("fanout", "ignored"),
        ("topic", "#"),
        ("headers", ""),
        ("x-consistent-hash", "1"),
        ("x-random", ""),
    ],
)
async def test_a_delayed_message_is_routed_when_its_time_has_come(broker: AsyncBroker, type_: str, key: str) -> None:
    await delayed(broker, type_, "q", key=key)
    started = time.monotonic()

    assert await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 100, "h": 1}) == 0
    assert await bodies(broker) == []

    assert await arrive(broker, 1) == [b"1"]
    assert time.monotonic() - started > 0.09
    delivery = await broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == ("x", "k")
    assert delivery.headers == {"x-delay": -100, "h": 1}  # the plugin turns the sign: it is done with


async def test_the_heartbeat_of_any_consumer_brings_it(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")
    async with broker.consume("q", timeout=10) as consumer:
        await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 50})

        assert (await anext(consumer)).body == b"1"


async def test_the_time_alone_says_what_comes_first(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")

    delays: list[tuple[bytes, Table]] = [(b"%d" % delay, {"x-delay": delay}) for delay in (150, 50, 100)]
    await broker.publish_many(
        [Message(body, exchange="x", routing_key="k", headers=headers) for body, headers in [*delays, (b"now", {})]]
    )

    assert await arrive(broker, 4) == [b"now", b"50", b"100", b"150"]


@pytest.mark.parametrize("delay", [None, 0, -1, 1 << 32, "soon", True])
async def test_what_is_no_delay_is_none(broker: AsyncBroker, delay: Any) -> None:
    await delayed(broker, "direct", "q")

    headers = {} if delay is None else {"x-delay": delay}
    assert await broker.publish(b"1", exchange="x", routing_key="k", headers=headers) == 1

    assert await bodies(broker) == [b"1"]


async def test_the_longest_delay_is_49_days(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await delayed(broker, "direct", "q")

    assert await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": (1 << 32) - 1}) == 0

    assert await bodies(broker) == []
    ask("UNLINK", keys.later, keys.parcels)  # nobody waits for it


async def test_other_exchanges_do_not_look_at_the_delay(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    assert await broker.publish(b"1", routing_key="q", headers={"x-delay": 60_000}) == 1


async def test_a_group_may_hold_both(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")

    group = [
        Message(b"%d" % delay, exchange="x", routing_key="k", headers={"x-delay": delay}) for delay in (0, 60, 0, 30)
    ]
    assert await broker.publish_many(group) == [1, 0, 1, 0]

    assert await arrive(broker, 4) == [b"0", b"0", b"30", b"60"]


async def test_a_mandatory_message_that_waits_is_not_unroutable(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")

    await broker.publish(b"1", exchange="x", routing_key="nobody", mandatory=True, headers={"x-delay": 10})
    with pytest.raises(Unroutable):
        await broker.publish(b"1", exchange="x", routing_key="nobody", mandatory=True)

    assert await routed(broker) == 1
    assert await bodies(broker) == []


async def routed(broker: AsyncBroker, count: int = 1) -> int:
    """Wait until so many delayed messages were routed."""
    done = 0

    async def all_done() -> bool:
        nonlocal done
        done += (await broker.reap()).routed
        return done >= count

    await async_wait_until(all_done)
    return done


async def test_it_is_routed_by_the_bindings_of_its_time(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "early")
    await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 100})
    await broker.unbind("early", "x", "k")
    await broker.declare_queue("late")
    await broker.bind("late", "x", "k")

    assert await arrive(broker, 1, "late") == [b"1"]
    assert await bodies(broker, "early") == []


async def test_an_exchange_that_leads_into_a_delayed_one_delays_for_it(broker: AsyncBroker) -> None:
    await delayed(broker, "topic", "q", key="#")
    target = await broker.declare_exchange("x", passive=True)
    await broker.declare_queue("direct")
    for destination in (target, "direct"):
        await broker.bind(destination, "amq.topic", "#")

    assert await broker.publish(b"1", exchange="amq.topic", routing_key="k", headers={"x-delay": 50}) == 1

    assert (await bodies(broker), await bodies(broker, "direct")) == ([], [b"1"])
    assert await arrive(broker, 1) == [b"1"]
    assert await bodies(broker, "direct") == [b"1"]
    delivery = await broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == ("amq.topic", "k")


async def test_each_message_of_a_group_is_delayed_for_itself_behind_another_exchange(broker: AsyncBroker) -> None:
    await delayed(broker, "topic", "q", key="#")
    await broker.bind(await broker.declare_exchange("x", passive=True), "amq.topic", "#")

    group = [
        Message(b"%d" % delay, exchange="amq.topic", routing_key="k", headers={"x-delay": delay} if delay else {})
        for delay in (0, 40, 0, 20)
    ]
    assert await broker.publish_many(group) == [1, 0, 1, 0]

    assert await arrive(broker, 4) == [b"0", b"0", b"20", b"40"]


async def test_a_delayed_exchange_may_lead_into_another_exchange(broker: AsyncBroker) -> None:
    await delayed(broker, "fanout")
    topic = await broker.declare_exchange("behind", "topic")
    await broker.bind(topic, "x")
    await broker.declare_queue("q")
    await broker.bind("q", topic, "a.*")

    await broker.publish(b"1", exchange="x", routing_key="a.b", headers={"x-delay": 20})

    assert await arrive(broker, 1) == [b"1"]


async def test_a_dead_letter_may_be_delayed(broker: AsyncBroker) -> None:
    await delayed(broker, "fanout", "q")
    await broker.declare_queue("first", max_length=0, dead_letter_exchange="x")

    await broker.publish(b"1", routing_key="first", headers={"x-delay": 30})

    assert await bodies(broker) == []
    assert await arrive(broker, 1) == [b"1"]


async def test_a_message_is_delayed_once(broker: AsyncBroker) -> None:
    await delayed(broker, "fanout", "q")
    await broker.delete_queue("q")
    await broker.declare_queue("q", dead_letter_exchange="x")
    await broker.bind("q", "x")
    await broker.publish(b"1", exchange="x", headers={"x-delay": 30})
    assert await arrive(broker, 1) == [b"1"]
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None

    await delivery.reject()

    assert await bodies(broker) == [b"1"]


async def test_two_delayed_exchanges_that_lead_into_each_other_route_a_message_once(broker: AsyncBroker) -> None:
    await delayed(broker, "fanout", "q")
    one = await broker.declare_exchange("x", passive=True)
    two = await broker.declare_exchange("y", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    await broker.bind(two, one)
    await broker.bind(one, two)
    await broker.declare_queue("other")
    await broker.bind("other", two)

    await broker.publish(b"1", exchange=one, headers={"x-delay": 20})

    assert await routed(broker) == 1
    assert await counts(broker) == {"other": 1, "q": 1}
    assert (await broker.reap()).next_ms is None  # there are no others to come


async def test_its_copies_by_cc_wait_too(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")
    await broker.declare_queue("copy")
    await broker.bind("copy", "x", "cc")

    headers: Any = {"x-delay": 30, "CC": ["cc"]}
    assert await broker.publish(b"1", exchange="x", routing_key="k", headers=headers) == 0

    assert await arrive(broker, 1) == [b"1"]
    assert await bodies(broker, "copy") == [b"1"]


async def test_its_priority_and_its_expiration_hold_when_it_arrives(broker: AsyncBroker) -> None:
    await delayed(broker, "direct")
    await broker.declare_queue("q", max_priority=5)
    await broker.bind("q", "x", "k")
    options: Any = {"exchange": "x", "routing_key": "k", "headers": {"x-delay": 50}}
    await broker.publish(b"low", **options, priority=1)
    await broker.publish(b"high", **options, priority=4, expiration="60000")
    await broker.publish(b"expires", **options, priority=5, expiration="10")
    await routed(broker, 3)
    until = time.monotonic() + 0.02
    await async_wait_until(lambda: time.monotonic() > until)

    found = await async_drain(broker, "q")
    assert [(delivery.body, delivery.properties.expiration) for delivery in found] == [
        (b"high", "60000"),
        (b"low", None),
    ]


async def test_it_outlives_its_publisher(broker: AsyncBroker, connect: Connect) -> None:
    await delayed(broker, "direct", "q")
    other = await connect()
    await other.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 30})

    await other.aclose()

    assert await arrive(broker, 1) == [b"1"]


async def test_one_whose_publish_was_answered_late_arrives_once(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")
    rule = Faults(broker).cut("publish")

    await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 30})

    assert rule.done == 1
    assert await routed(broker) == 1
    assert (await broker.reap()).next_ms is None
    assert await bodies(broker) == [b"1"]


async def test_one_whose_exchange_is_gone_is_dropped(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")
    await broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 30})

    await broker.delete_exchange("x")

    await routed(broker)
    assert await bodies(broker) == []


async def test_many_are_routed_each_once(broker: AsyncBroker) -> None:
    await delayed(broker, "direct", "q")
    group = [Message(b"%d" % number, exchange="x", routing_key="k", headers={"x-delay": 20}) for number in range(300)]
    await broker.publish_many(group)

    assert sorted(map(int, await arrive(broker, 300))) == list(range(300))


async def test_a_delayed_exchange_shows_as_it_was_declared(broker: AsyncBroker) -> None:
    declared = await broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "topic"})

    again = await broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "topic"})

    assert again == declared
    assert (again.type, again.arguments) == ("x-delayed-message", {"x-delayed-type": "topic"})
    with pytest.raises(PreconditionFailed):
        await broker.declare_exchange("x", "topic")


@pytest.mark.parametrize("type_", [None, "", "x-delayed-message", "nonsense", 5])
async def test_a_delayed_exchange_needs_a_type_to_route_by(broker: AsyncBroker, type_: Any) -> None:
    before = len(await broker.exchanges())

    arguments = {} if type_ is None else {"x-delayed-type": type_}

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_exchange("x", "x-delayed-message", arguments=arguments)

    assert caught.value.argument == "x-delayed-type"
    assert len(await broker.exchanges()) == before
