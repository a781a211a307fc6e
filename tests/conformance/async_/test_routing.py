"""From an exchange to queues: direct, fanout, exchange to exchange, alternate, default (docs/semantics.md)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Message
from rexchange.errors import AccessRefused, NotFound, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import async_assert_routed, async_messages
from tests.support.servers import Bare


async def queues(broker: AsyncBroker, *names: str) -> None:
    """Declare queues."""
    for name in names:
        await broker.declare_queue(name)


async def test_the_default_exchange_routes_by_the_queues_name(broker: AsyncBroker) -> None:
    await queues(broker, "one", "two")

    assert await broker.publish(b"hello", routing_key="one") == 1

    assert await async_messages(broker, "one") == [Message(b"hello", routing_key="one")]
    assert await async_messages(broker, "two") == []


async def test_a_key_that_names_no_queue_is_dropped_by_the_default_exchange(broker: AsyncBroker) -> None:
    assert await broker.publish(b"", routing_key="missing") == 0


async def test_a_direct_exchange_wants_the_key_byte_for_byte(broker: AsyncBroker) -> None:
    await queues(broker, "one", "two", "star")
    await broker.bind("one", "amq.direct", "k")
    await broker.bind("two", "amq.direct", "k")
    await broker.bind("star", "amq.direct", "*")

    await async_assert_routed(broker, "amq.direct", "k", queues=["one", "two"])
    await async_assert_routed(broker, "amq.direct", "K", queues=[])
    await async_assert_routed(broker, "amq.direct", "*", queues=["star"])
    await async_assert_routed(broker, "amq.direct", "", queues=[])


async def test_a_fanout_exchange_ignores_key_and_arguments(broker: AsyncBroker) -> None:
    await queues(broker, "one", "two")
    await broker.bind("one", "amq.fanout", "k", {"a": 1})
    await broker.bind("two", "amq.fanout")

    await async_assert_routed(broker, "amq.fanout", "anything", {"b": 2}, queues=["one", "two"])


async def test_a_queue_gets_one_copy_whatever_the_paths(broker: AsyncBroker) -> None:
    await queues(broker, "q")
    await broker.declare_exchange("source", "topic")
    fanout = await broker.declare_exchange("f", "fanout")
    headers = await broker.declare_exchange("h", "headers")
    for key in ("#", "a.*", "a.b", "*.b"):
        await broker.bind("q", "source", key)
    await broker.bind(fanout, "source", "a.b")
    await broker.bind(headers, "source", "#")
    await broker.bind("q", fanout)
    await broker.bind("q", headers)

    assert await broker.publish(b"once", exchange="source", routing_key="a.b") == 1

    assert len(await async_messages(broker, "q")) == 1


async def test_exchange_to_exchange_keeps_the_published_exchange_and_key(broker: AsyncBroker) -> None:
    await queues(broker, "q")
    middle = await broker.declare_exchange("middle", "topic")
    await broker.declare_exchange("source", "direct")
    await broker.bind(middle, "source", "a.b")
    await broker.bind("q", middle, "a.*")

    await broker.publish(b"", exchange="source", routing_key="a.b")

    delivery = await broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == ("source", "a.b")


async def test_every_exchange_on_the_path_sees_the_same_key_and_headers(broker: AsyncBroker) -> None:
    await queues(broker, "q", "other")
    middle = await broker.declare_exchange("middle", "headers")
    last = await broker.declare_exchange("last", "topic")
    await broker.bind(middle, "amq.fanout")
    await broker.bind(last, middle, "", {"kind": "a"})
    await broker.bind("q", last, "a.#")
    await broker.bind("other", last, "b.#")

    await async_assert_routed(broker, "amq.fanout", "a.x", {"kind": "a"}, queues=["q"])
    await async_assert_routed(broker, "amq.fanout", "b.x", {"kind": "a"}, queues=["other"])
    await async_assert_routed(broker, "amq.fanout", "a.x", {"kind": "b"}, queues=[])


async def test_a_cycle_of_exchanges_visits_each_once(broker: AsyncBroker) -> None:
    names = ["one", "two", "three"]
    exchanges = [await broker.declare_exchange(name, "fanout") for name in names]
    for source, destination in zip(names, [*exchanges[1:], exchanges[0]], strict=True):
        await broker.bind(destination, source)
        await broker.declare_queue(source)
        await broker.bind(source, source)

    for name in names:
        assert await broker.publish(b"", exchange=name) == 3


async def test_an_exchange_may_be_bound_to_itself(broker: AsyncBroker) -> None:
    exchange = await broker.declare_exchange("x", "topic")
    await queues(broker, "q")
    await broker.bind(exchange, exchange, "#")
    await broker.bind("q", exchange, "a")

    assert await broker.publish(b"", exchange="x", routing_key="a") == 1


async def test_a_long_chain_of_exchanges_is_walked_to_its_end(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x0", "fanout")
    for number in range(1, 40):
        await broker.bind(await broker.declare_exchange(f"x{number}", "fanout"), f"x{number - 1}")
    await queues(broker, "q")
    await broker.bind("q", "x39")

    assert await broker.publish(b"", exchange="x0") == 1


async def test_an_alternate_exchange_takes_what_matches_nothing(broker: AsyncBroker) -> None:
    await broker.declare_exchange("main", "topic", alternate_exchange="rest")
    await broker.declare_exchange("rest", "fanout")
    await queues(broker, "matched", "unmatched")
    await broker.bind("matched", "main", "a.*")
    await broker.bind("unmatched", "rest")

    await async_assert_routed(broker, "main", "a.b", queues=["matched"])
    await async_assert_routed(broker, "main", "b", queues=["unmatched"])


async def test_what_the_alternate_exchange_takes_counts_as_routed(broker: AsyncBroker) -> None:
    await broker.declare_exchange("main", "direct", alternate_exchange="rest")
    await broker.declare_exchange("rest", "fanout")
    await queues(broker, "q")
    await broker.bind("q", "rest")

    assert await broker.publish(b"", exchange="main", routing_key="nobody", mandatory=True) == 1

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.exchange == "main"


async def test_alternate_exchanges_may_form_a_chain(broker: AsyncBroker) -> None:
    await broker.declare_exchange("first", "direct", alternate_exchange="second")
    await broker.declare_exchange("second", "direct", alternate_exchange="third")
    await broker.declare_exchange("third", "fanout")
    await queues(broker, "q")
    await broker.bind("q", "third")

    await async_assert_routed(broker, "first", "k", queues=["q"])


async def test_alternate_exchanges_may_form_a_cycle(broker: AsyncBroker) -> None:
    await broker.declare_exchange("first", "direct", alternate_exchange="second")
    await broker.declare_exchange("second", "direct", alternate_exchange="first")

    assert await broker.publish(b"", exchange="first", routing_key="k") == 0


async def test_a_match_on_an_exchange_that_matches_nothing_keeps_the_alternate_out(broker: AsyncBroker) -> None:
    await broker.declare_exchange("main", "direct", alternate_exchange="rest")
    await broker.declare_exchange("rest", "fanout")
    await queues(broker, "q")
    await broker.bind("q", "rest")
    dead_end = await broker.declare_exchange("dead end", "fanout")
    await broker.bind(dead_end, "main", "k")

    assert await broker.publish(b"", exchange="main", routing_key="k") == 0  # main's own list was not empty


async def test_the_alternate_of_an_exchange_further_down_fires(broker: AsyncBroker) -> None:
    await broker.declare_exchange("main", "fanout")
    down = await broker.declare_exchange("down", "direct", alternate_exchange="rest")
    await broker.declare_exchange("rest", "fanout")
    await broker.bind(down, "main")
    await queues(broker, "q", "direct")
    await broker.bind("direct", "main")
    await broker.bind("q", "rest")

    await async_assert_routed(broker, "main", "k", queues=["direct", "q"])


async def test_a_missing_alternate_exchange_is_ignored(broker: AsyncBroker) -> None:
    await broker.declare_exchange("main", "direct", alternate_exchange="missing")

    assert await broker.publish(b"", exchange="main", routing_key="k") == 0


async def test_as_the_alternate_the_default_exchange_routes_nowhere(broker: AsyncBroker) -> None:
    await broker.declare_exchange("main", "direct", alternate_exchange="")
    await queues(broker, "q")

    await async_assert_routed(broker, "main", "q", queues=[])  # RabbitMQ: it knows queues by name when published to


async def test_an_internal_exchange_takes_no_publish_from_clients(broker: AsyncBroker) -> None:
    inner = await broker.declare_exchange("inner", "fanout", internal=True)
    await broker.declare_exchange("outer", "fanout", alternate_exchange="inner")
    await queues(broker, "q")
    await broker.bind("q", inner)

    with pytest.raises(AccessRefused) as caught:
        await broker.publish(b"", exchange="inner")
    assert (caught.value.kind, caught.value.name) == ("exchange", "inner")
    assert await async_messages(broker, "q") == []

    assert await broker.publish(b"", exchange="outer") == 1  # as alternate exchange
    await broker.bind(inner, "outer")
    assert await broker.publish(b"", exchange="outer") == 1  # and as destination


async def test_publishing_to_a_missing_exchange_is_not_found(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.publish(b"", exchange="missing")

    assert (caught.value.kind, caught.value.name) == ("exchange", "missing")
    with pytest.raises(NotFound):
        await broker.route("missing")


async def test_a_mandatory_message_that_reaches_no_queue_is_unroutable(broker: AsyncBroker) -> None:
    with pytest.raises(Unroutable) as caught:
        await broker.publish(b"", exchange="amq.topic", routing_key="a.b", mandatory=True)

    assert caught.value.messages == [(0, "amq.topic", "a.b")]


async def test_a_dry_run_publishes_nothing(broker: AsyncBroker) -> None:
    await queues(broker, "q")

    assert await broker.route("", "q") == ["q"]

    assert await async_messages(broker, "q") == []


@pytest.mark.parametrize("type", ["direct", "topic", "headers"])
async def test_what_routing_searches_is_a_hash_table(
    broker: AsyncBroker, ask: Bare, keys: Keys, url: str, type: str
) -> None:
    """A short hash would be a list that is read from its beginning, for each field that is asked for."""
    await queues(broker, "q")
    await broker.declare_exchange("e", type)
    await broker.bind("q", "e", "k")
    assert await broker.publish(b"", exchange="e", routing_key="k") == 1

    for searched in [keys.routes(b"e")] + [keys.cache] * (type == "topic"):
        assert max(map(len, ask("HKEYS", searched))) > 64
        if not url.startswith("memory:"):  # it has no OBJECT ENCODING
            assert ask("OBJECT", "ENCODING", searched) == b"hashtable"
