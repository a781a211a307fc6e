# Generated from tests/conformance/async_/test_plugins.py by `python tools/unasync.py`. Do not edit.
"""The exchange types that RabbitMQ has as plugins (docs/semantics.md, Exchanges)."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.codec import Table
from rexchange.errors import NotSupported, PreconditionFailed, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare

HASHES = ("x-consistent-hash", "x-modulus-hash")


def declare(broker: Broker, type: str, *queues: str, key: str = "1", **arguments: Any) -> None:
    """Declare the exchange x with queues bound to it."""
    broker.declare_exchange("x", type, arguments={name.replace("_", "-"): arguments[name] for name in arguments})
    for queue in queues:
        broker.declare_queue(queue)
        broker.bind(queue, "x", key)


def counts(broker: Broker) -> dict[str, int]:
    """Return how many are ready in each queue."""
    return {info.name: info.ready for info in broker.queues()}


def bodies(broker: Broker, queue: str = "q") -> list[bytes]:
    """Return the bodies of what is ready."""
    return [message.body for message in messages(broker, queue)]


def keyed(count: int, **options: Any) -> list[Message]:
    """Return messages to x, each with a key of its own."""
    return [Message(b"", exchange="x", routing_key=f"key-{number}", **options) for number in range(count)]


def places(broker: Broker, count: int = 200) -> list[str]:
    """Return where each of so many keys goes."""
    found = [broker.route("x", f"key-{number}") for number in range(count)]
    assert {len(queues) for queues in found} == {1}
    return [queues[0] for queues in found]


# --- consistent hash and modulus hash


@pytest.mark.parametrize("type_", HASHES)
def test_a_hash_exchange_gives_each_message_to_one_queue_and_each_queue_its_share(broker: Broker, type_: str) -> None:
    declare(broker, type_, "one", "two", "three")

    assert broker.publish_many(keyed(300)) == [1] * 300

    shares = counts(broker)
    assert sum(shares.values()) == 300
    assert all(60 < share < 140 for share in shares.values()), shares


@pytest.mark.parametrize("type_", HASHES)
def test_a_key_always_goes_to_the_same_queue(broker: Broker, connect: Connect, type_: str) -> None:
    declare(broker, type_, "one", "two", "three")
    other = connect()

    for publisher in (broker, other, broker):
        publisher.publish_many([Message(b"", exchange="x", routing_key="same")] * 5)

    assert sorted((counts(broker)).values()) == [0, 0, 15]
    assert places(broker, 50) == places(other, 50)


@pytest.mark.parametrize("type_", [*HASHES, "x-random"])
def test_an_exchange_that_chooses_one_queue_routes_nowhere_where_none_is_bound(broker: Broker, type_: str) -> None:
    declare(broker, type_)

    assert broker.publish(b"", exchange="x", routing_key="k") == 0
    with pytest.raises(Unroutable):
        broker.publish(b"", exchange="x", routing_key="k", mandatory=True)


@pytest.mark.parametrize("type_", [*HASHES, "x-random", "x-recent-history"])
def test_an_alternate_exchange_takes_what_they_do_not_route(broker: Broker, type_: str) -> None:
    broker.declare_queue("q")
    broker.bind("q", "amq.fanout")
    broker.declare_exchange("x", type_, alternate_exchange="amq.fanout")

    assert broker.publish(b"", exchange="x") == 1


@pytest.mark.parametrize("type_", [*HASHES, "x-random"])
def test_an_exchange_may_be_the_one_that_is_chosen(broker: Broker, type_: str) -> None:
    declare(broker, type_)
    fanout = broker.declare_exchange("behind", "fanout")
    broker.bind(fanout, "x", "1")
    for name in ("one", "two"):
        broker.declare_queue(name)
        broker.bind(name, fanout)

    assert broker.publish(b"", exchange="x", routing_key="k") == 2


def test_a_queue_of_a_consistent_hash_has_a_share_by_its_weight(broker: Broker) -> None:
    declare(broker, "x-consistent-hash", "one")
    broker.declare_queue("three")
    broker.bind("three", "x", "3")

    broker.publish_many(keyed(400))

    share = (counts(broker))["three"]
    assert 250 < share < 350


def test_a_queue_that_comes_or_goes_moves_no_other_key(broker: Broker) -> None:
    declare(broker, "x-consistent-hash", "one", "two")
    before = places(broker)
    broker.declare_queue("three")
    broker.bind("three", "x", "1")
    between = places(broker)

    assert Counter(between)["three"] > 30
    assert all(now in (was, "three") for was, now in zip(before, between, strict=True))

    broker.unbind("three", "x", "1")
    assert places(broker) == before


def test_a_second_binding_of_a_queue_to_a_consistent_hash_is_passed_over(broker: Broker) -> None:
    declare(broker, "x-consistent-hash", "one", "two")
    before = places(broker)

    broker.bind("two", "x", "9")

    assert places(broker) == before


@pytest.mark.parametrize("weight", ["0", "-1", "1.5", "abc", "", " 1"])
def test_the_binding_key_of_a_consistent_hash_is_a_weight(broker: Broker, ask: Bare, keys: Keys, weight: str) -> None:
    declare(broker, "x-consistent-hash")
    broker.declare_queue("q")
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        broker.bind("q", "x", weight)

    assert "weight" in str(caught.value)
    assert ask.dump(keys.prefix) == before


def test_a_consistent_hash_may_be_taken_of_a_header(broker: Broker) -> None:
    declare(broker, "x-consistent-hash", "one", "two", hash_header="user")

    broker.publish_many(keyed(50, headers={"user": "same"}))
    assert sorted((counts(broker)).values()) == [0, 50]
    broker.publish_many(
        [Message(b"", exchange="x", routing_key="same", headers={"user": number}) for number in range(100)]
    )

    assert all(share > 20 for share in (counts(broker)).values())


def test_messages_without_the_header_go_one_way(broker: Broker) -> None:
    declare(broker, "x-consistent-hash", "one", "two", hash_header="user")

    broker.publish_many(keyed(50))

    assert sorted((counts(broker)).values()) == [0, 50]


@pytest.mark.parametrize("name", ["message_id", "correlation_id", "timestamp"])
def test_a_consistent_hash_may_be_taken_of_a_property(broker: Broker, name: str) -> None:
    declare(broker, "x-consistent-hash", "one", "two", hash_property=name)
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def value(number: int) -> Any:
        return start + timedelta(seconds=number) if name == "timestamp" else str(number)

    broker.publish_many(keyed(50, **{name: value(0)}))
    assert sorted((counts(broker)).values()) == [0, 50]
    same_key: Any = {"exchange": "x", "routing_key": "same"}
    properties = [{name: value(number)} for number in range(100)]
    broker.publish_many([Message(b"", **same_key, **each) for each in properties])

    assert all(share > 20 for share in (counts(broker)).values())


@pytest.mark.parametrize(
    "arguments",
    [{"hash-header": "h", "hash-property": "message_id"}, {"hash-property": "app_id"}, {"hash-property": 5}],
)
def test_what_a_consistent_hash_cannot_be_taken_of_is_a_failed_precondition(
    broker: Broker, ask: Bare, keys: Keys, arguments: Any
) -> None:
    broker.open()
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_exchange("x", "x-consistent-hash", arguments=arguments)

    assert caught.value.argument == "hash-property"
    assert ask.dump(keys.prefix) == before


def test_a_modulus_hash_looks_at_no_binding_key_and_counts_each_binding(broker: Broker) -> None:
    declare(broker, "x-modulus-hash", "one", key="#")
    broker.declare_queue("three")
    for key in ("a", "b", ""):
        broker.bind("three", "x", key)

    assert broker.publish_many(keyed(400)) == [1] * 400

    share = (counts(broker))["three"]
    assert 250 < share < 350


# --- random


def test_a_random_exchange_gives_each_message_to_one_queue_whatever_its_key(broker: Broker) -> None:
    declare(broker, "x-random", "one", "two", "three", key="never")

    assert broker.publish_many([Message(b"", exchange="x", routing_key="same")] * 300) == [1] * 300

    shares = counts(broker)
    assert all(60 < share < 140 for share in shares.values()), shares


def test_a_local_random_exchange_is_not_supported(broker: Broker) -> None:
    with pytest.raises(NotSupported):
        broker.declare_exchange("x", "x-local-random")


# --- recent history


def test_a_recent_history_exchange_is_a_fanout(broker: Broker) -> None:
    declare(broker, "x-recent-history", "one", "two", key="ignored")

    assert broker.publish(b"1", exchange="x", routing_key="any") == 2


def test_a_queue_that_is_bound_later_gets_what_was_published_last_the_oldest_first(broker: Broker) -> None:
    declare(broker, "x-recent-history", x_recent_history_length=3)
    for number in range(5):
        broker.publish(b"%d" % number, exchange="x", routing_key=f"k{number}", headers={"h": number})
    broker.declare_queue("q")

    broker.bind("q", "x")
    broker.publish(b"5", exchange="x")

    found = drain(broker, "q")
    assert [delivery.body for delivery in found] == [b"2", b"3", b"4", b"5"]
    assert (found[0].exchange, found[0].routing_key, found[0].headers) == ("x", "k2", {"h": 2})
    assert {delivery.redelivered for delivery in found} == {False}


def test_it_remembers_20_where_nothing_is_said(broker: Broker) -> None:
    declare(broker, "x-recent-history")
    broker.publish_many([Message(b"%d" % number, exchange="x") for number in range(30)])
    broker.declare_queue("q")

    broker.bind("q", "x")

    assert bodies(broker) == [b"%d" % number for number in range(10, 30)]


def test_it_does_not_remember_what_says_so(broker: Broker) -> None:
    declare(broker, "x-recent-history", "other")
    for header in (True, False, "true"):
        body = str(header).encode()
        assert broker.publish(body, exchange="x", headers={"x-recent-history-no-store": header}) == 1
    broker.declare_queue("q")

    broker.bind("q", "x")

    assert bodies(broker) == [b"False", b"true"]
    assert bodies(broker, "other") == [b"True", b"False", b"true"]


def test_only_a_new_binding_brings_the_history(broker: Broker) -> None:
    declare(broker, "x-recent-history")
    broker.publish(b"1", exchange="x")
    broker.declare_queue("q")

    broker.bind("q", "x")
    broker.bind("q", "x")
    assert bodies(broker) == [b"1"]
    broker.bind("q", "x", "another")

    assert bodies(broker) == [b"1", b"1"]


def test_a_binding_whose_reply_was_lost_brings_the_history_once(broker: Broker) -> None:
    declare(broker, "x-recent-history")
    broker.publish(b"1", exchange="x")
    broker.declare_queue("q")
    rule = Faults(broker).cut("bind")

    broker.bind("q", "x")

    assert rule.done == 1
    assert bodies(broker) == [b"1"]


def test_an_exchange_that_is_bound_later_routes_the_history_on(broker: Broker) -> None:
    declare(broker, "x-recent-history")
    topic = broker.declare_exchange("behind", "topic")
    for name in ("a", "b"):
        broker.declare_queue(name)
        broker.bind(name, topic, f"{name}.#")
    for key in ("a.1", "b.1", "a.2", "c"):
        broker.publish(key.encode(), exchange="x", routing_key=key)

    broker.bind(topic, "x")

    assert (bodies(broker, "a"), bodies(broker, "b")) == ([b"a.1", b"a.2"], [b"b.1"])


def test_a_consumer_that_waits_gets_the_history(broker: Broker) -> None:
    declare(broker, "x-recent-history")
    broker.publish(b"1", exchange="x")
    broker.declare_queue("q", max_priority=3)
    with broker.consume("q", timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        wait_until(lambda: is_waiting(consumer))

        broker.bind("q", "x")

        assert (waiting.result()).body == b"1"


def test_the_history_goes_with_its_exchange(broker: Broker) -> None:
    declare(broker, "x-recent-history")
    broker.publish(b"1", exchange="x")
    broker.delete_exchange("x")

    declare(broker, "x-recent-history", "q")

    assert bodies(broker) == []


@pytest.mark.parametrize("length", [0, -1, "5", 1.5, True])
def test_the_length_of_a_history_is_a_number_above_0(broker: Broker, length: Any) -> None:
    before = len(broker.exchanges())

    with pytest.raises(PreconditionFailed) as caught:
        declare(broker, "x-recent-history", x_recent_history_length=length)

    assert caught.value.argument == "x-recent-history-length"
    assert len(broker.exchanges()) == before


# --- delayed messages


def delayed(broker: Broker, type_: str = "direct", *queues: str, key: str = "k") -> None:
    """Declare the delayed exchange x that routes by a type."""
    declare(broker, "x-delayed-message", *queues, key=key, x_delayed_type=type_)


def arrive(broker: Broker, count: int, queue: str = "q") -> list[bytes]:
    """Return the bodies of what is ready, once it is so many."""

    def there() -> bool:
        broker.reap()
        return (counts(broker))[queue] >= count

    wait_until(there)
    return bodies(broker, queue)


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
def test_a_delayed_message_is_routed_when_its_time_has_come(broker: Broker, type_: str, key: str) -> None:
    delayed(broker, type_, "q", key=key)
    started = time.monotonic()

    assert broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 100, "h": 1}) == 0
    assert bodies(broker) == []

    assert arrive(broker, 1) == [b"1"]
    assert time.monotonic() - started > 0.09
    delivery = broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == ("x", "k")
    assert delivery.headers == {"x-delay": -100, "h": 1}  # the plugin turns the sign: it is done with


def test_the_heartbeat_of_any_consumer_brings_it(broker: Broker) -> None:
    delayed(broker, "direct", "q")
    with broker.consume("q", timeout=10) as consumer:
        broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 50})

        assert (next(consumer)).body == b"1"


def test_the_time_alone_says_what_comes_first(broker: Broker) -> None:
    delayed(broker, "direct", "q")

    delays: list[tuple[bytes, Table]] = [(b"%d" % delay, {"x-delay": delay}) for delay in (150, 50, 100)]
    broker.publish_many(
        [Message(body, exchange="x", routing_key="k", headers=headers) for body, headers in [*delays, (b"now", {})]]
    )

    assert arrive(broker, 4) == [b"now", b"50", b"100", b"150"]


@pytest.mark.parametrize("delay", [None, 0, -1, 1 << 32, "soon", True])
def test_what_is_no_delay_is_none(broker: Broker, delay: Any) -> None:
    delayed(broker, "direct", "q")

    headers = {} if delay is None else {"x-delay": delay}
    assert broker.publish(b"1", exchange="x", routing_key="k", headers=headers) == 1

    assert bodies(broker) == [b"1"]


def test_the_longest_delay_is_49_days(broker: Broker, ask: Bare, keys: Keys) -> None:
    delayed(broker, "direct", "q")

    assert broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": (1 << 32) - 1}) == 0

    assert bodies(broker) == []
    ask("UNLINK", keys.later, keys.parcels)  # nobody waits for it


def test_other_exchanges_do_not_look_at_the_delay(broker: Broker) -> None:
    broker.declare_queue("q")

    assert broker.publish(b"1", routing_key="q", headers={"x-delay": 60_000}) == 1


def test_a_group_may_hold_both(broker: Broker) -> None:
    delayed(broker, "direct", "q")

    group = [
        Message(b"%d" % delay, exchange="x", routing_key="k", headers={"x-delay": delay}) for delay in (0, 60, 0, 30)
    ]
    assert broker.publish_many(group) == [1, 0, 1, 0]

    assert arrive(broker, 4) == [b"0", b"0", b"30", b"60"]


def test_a_mandatory_message_that_waits_is_not_unroutable(broker: Broker) -> None:
    delayed(broker, "direct", "q")

    broker.publish(b"1", exchange="x", routing_key="nobody", mandatory=True, headers={"x-delay": 10})
    with pytest.raises(Unroutable):
        broker.publish(b"1", exchange="x", routing_key="nobody", mandatory=True)

    assert routed(broker) == 1
    assert bodies(broker) == []


def routed(broker: Broker, count: int = 1) -> int:
    """Wait until so many delayed messages were routed."""
    done = 0

    def all_done() -> bool:
        nonlocal done
        done += (broker.reap()).routed
        return done >= count

    wait_until(all_done)
    return done


def test_it_is_routed_by_the_bindings_of_its_time(broker: Broker) -> None:
    delayed(broker, "direct", "early")
    broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 100})
    broker.unbind("early", "x", "k")
    broker.declare_queue("late")
    broker.bind("late", "x", "k")

    assert arrive(broker, 1, "late") == [b"1"]
    assert bodies(broker, "early") == []


def test_an_exchange_that_leads_into_a_delayed_one_delays_for_it(broker: Broker) -> None:
    delayed(broker, "topic", "q", key="#")
    target = broker.declare_exchange("x", passive=True)
    broker.declare_queue("direct")
    for destination in (target, "direct"):
        broker.bind(destination, "amq.topic", "#")

    assert broker.publish(b"1", exchange="amq.topic", routing_key="k", headers={"x-delay": 50}) == 1

    assert (bodies(broker), bodies(broker, "direct")) == ([], [b"1"])
    assert arrive(broker, 1) == [b"1"]
    assert bodies(broker, "direct") == [b"1"]
    delivery = broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == ("amq.topic", "k")


def test_each_message_of_a_group_is_delayed_for_itself_behind_another_exchange(broker: Broker) -> None:
    delayed(broker, "topic", "q", key="#")
    broker.bind(broker.declare_exchange("x", passive=True), "amq.topic", "#")

    group = [
        Message(b"%d" % delay, exchange="amq.topic", routing_key="k", headers={"x-delay": delay} if delay else {})
        for delay in (0, 40, 0, 20)
    ]
    assert broker.publish_many(group) == [1, 0, 1, 0]

    assert arrive(broker, 4) == [b"0", b"0", b"20", b"40"]


def test_a_delayed_exchange_may_lead_into_another_exchange(broker: Broker) -> None:
    delayed(broker, "fanout")
    topic = broker.declare_exchange("behind", "topic")
    broker.bind(topic, "x")
    broker.declare_queue("q")
    broker.bind("q", topic, "a.*")

    broker.publish(b"1", exchange="x", routing_key="a.b", headers={"x-delay": 20})

    assert arrive(broker, 1) == [b"1"]


def test_a_dead_letter_may_be_delayed(broker: Broker) -> None:
    delayed(broker, "fanout", "q")
    broker.declare_queue("first", max_length=0, dead_letter_exchange="x")

    broker.publish(b"1", routing_key="first", headers={"x-delay": 30})

    assert bodies(broker) == []
    assert arrive(broker, 1) == [b"1"]


def test_a_message_is_delayed_once(broker: Broker) -> None:
    delayed(broker, "fanout", "q")
    broker.delete_queue("q")
    broker.declare_queue("q", dead_letter_exchange="x")
    broker.bind("q", "x")
    broker.publish(b"1", exchange="x", headers={"x-delay": 30})
    assert arrive(broker, 1) == [b"1"]
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    delivery.reject()

    assert bodies(broker) == [b"1"]


def test_two_delayed_exchanges_that_lead_into_each_other_route_a_message_once(broker: Broker) -> None:
    delayed(broker, "fanout", "q")
    one = broker.declare_exchange("x", passive=True)
    two = broker.declare_exchange("y", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    broker.bind(two, one)
    broker.bind(one, two)
    broker.declare_queue("other")
    broker.bind("other", two)

    broker.publish(b"1", exchange=one, headers={"x-delay": 20})

    assert routed(broker) == 1
    assert counts(broker) == {"other": 1, "q": 1}
    assert (broker.reap()).next_ms is None  # there are no others to come


def test_its_copies_by_cc_wait_too(broker: Broker) -> None:
    delayed(broker, "direct", "q")
    broker.declare_queue("copy")
    broker.bind("copy", "x", "cc")

    headers: Any = {"x-delay": 30, "CC": ["cc"]}
    assert broker.publish(b"1", exchange="x", routing_key="k", headers=headers) == 0

    assert arrive(broker, 1) == [b"1"]
    assert bodies(broker, "copy") == [b"1"]


def test_its_priority_and_its_expiration_hold_when_it_arrives(broker: Broker) -> None:
    delayed(broker, "direct")
    broker.declare_queue("q", max_priority=5)
    broker.bind("q", "x", "k")
    options: Any = {"exchange": "x", "routing_key": "k", "headers": {"x-delay": 50}}
    broker.publish(b"low", **options, priority=1)
    broker.publish(b"high", **options, priority=4, expiration="60000")
    broker.publish(b"expires", **options, priority=5, expiration="10")
    routed(broker, 3)
    until = time.monotonic() + 0.02
    wait_until(lambda: time.monotonic() > until)

    found = drain(broker, "q")
    assert [(delivery.body, delivery.properties.expiration) for delivery in found] == [
        (b"high", "60000"),
        (b"low", None),
    ]


def test_it_outlives_its_publisher(broker: Broker, connect: Connect) -> None:
    delayed(broker, "direct", "q")
    other = connect()
    other.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 30})

    other.close()

    assert arrive(broker, 1) == [b"1"]


def test_one_whose_publish_was_answered_late_arrives_once(broker: Broker) -> None:
    delayed(broker, "direct", "q")
    rule = Faults(broker).cut("publish")

    broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 30})

    assert rule.done == 1
    assert routed(broker) == 1
    assert (broker.reap()).next_ms is None
    assert bodies(broker) == [b"1"]


def test_one_whose_exchange_is_gone_is_dropped(broker: Broker) -> None:
    delayed(broker, "direct", "q")
    broker.publish(b"1", exchange="x", routing_key="k", headers={"x-delay": 30})

    broker.delete_exchange("x")

    routed(broker)
    assert bodies(broker) == []


def test_many_are_routed_each_once(broker: Broker) -> None:
    delayed(broker, "direct", "q")
    group = [Message(b"%d" % number, exchange="x", routing_key="k", headers={"x-delay": 20}) for number in range(300)]
    broker.publish_many(group)

    assert sorted(map(int, arrive(broker, 300))) == list(range(300))


def test_a_delayed_exchange_shows_as_it_was_declared(broker: Broker) -> None:
    declared = broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "topic"})

    again = broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "topic"})

    assert again == declared
    assert (again.type, again.arguments) == ("x-delayed-message", {"x-delayed-type": "topic"})
    with pytest.raises(PreconditionFailed):
        broker.declare_exchange("x", "topic")


@pytest.mark.parametrize("type_", [None, "", "x-delayed-message", "nonsense", 5])
def test_a_delayed_exchange_needs_a_type_to_route_by(broker: Broker, type_: Any) -> None:
    before = len(broker.exchanges())

    arguments = {} if type_ is None else {"x-delayed-type": type_}

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_exchange("x", "x-delayed-message", arguments=arguments)

    assert caught.value.argument == "x-delayed-type"
    assert len(broker.exchanges()) == before
