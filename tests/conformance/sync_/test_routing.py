# Generated from tests/conformance/async_/test_routing.py by `python tools/unasync.py`. Do not edit.
"""From an exchange to queues: direct, fanout, exchange to exchange, alternate, default (docs/semantics.md)."""

from __future__ import annotations

import pytest

from rexchange import Broker, Message
from rexchange.errors import AccessRefused, NotFound, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import assert_routed, messages
from tests.support.servers import Bare


def queues(broker: Broker, *names: str) -> None:
    """Declare queues."""
    for name in names:
        broker.declare_queue(name)


def test_the_default_exchange_routes_by_the_queues_name(broker: Broker) -> None:
    queues(broker, "one", "two")

    assert broker.publish(b"hello", routing_key="one") == 1

    assert messages(broker, "one") == [Message(b"hello", routing_key="one")]
    assert messages(broker, "two") == []


def test_a_key_that_names_no_queue_is_dropped_by_the_default_exchange(broker: Broker) -> None:
    assert broker.publish(b"", routing_key="missing") == 0


def test_a_direct_exchange_wants_the_key_byte_for_byte(broker: Broker) -> None:
    queues(broker, "one", "two", "star")
    broker.bind("one", "amq.direct", "k")
    broker.bind("two", "amq.direct", "k")
    broker.bind("star", "amq.direct", "*")

    assert_routed(broker, "amq.direct", "k", queues=["one", "two"])
    assert_routed(broker, "amq.direct", "K", queues=[])
    assert_routed(broker, "amq.direct", "*", queues=["star"])
    assert_routed(broker, "amq.direct", "", queues=[])


def test_a_fanout_exchange_ignores_key_and_arguments(broker: Broker) -> None:
    queues(broker, "one", "two")
    broker.bind("one", "amq.fanout", "k", {"a": 1})
    broker.bind("two", "amq.fanout")

    assert_routed(broker, "amq.fanout", "anything", {"b": 2}, queues=["one", "two"])


def test_a_queue_gets_one_copy_whatever_the_paths(broker: Broker) -> None:
    queues(broker, "q")
    broker.declare_exchange("source", "topic")
    fanout = broker.declare_exchange("f", "fanout")
    headers = broker.declare_exchange("h", "headers")
    for key in ("#", "a.*", "a.b", "*.b"):
        broker.bind("q", "source", key)
    broker.bind(fanout, "source", "a.b")
    broker.bind(headers, "source", "#")
    broker.bind("q", fanout)
    broker.bind("q", headers)

    assert broker.publish(b"once", exchange="source", routing_key="a.b") == 1

    assert len(messages(broker, "q")) == 1


def test_exchange_to_exchange_keeps_the_published_exchange_and_key(broker: Broker) -> None:
    queues(broker, "q")
    middle = broker.declare_exchange("middle", "topic")
    broker.declare_exchange("source", "direct")
    broker.bind(middle, "source", "a.b")
    broker.bind("q", middle, "a.*")

    broker.publish(b"", exchange="source", routing_key="a.b")

    delivery = broker.get("q")
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == ("source", "a.b")


def test_every_exchange_on_the_path_sees_the_same_key_and_headers(broker: Broker) -> None:
    queues(broker, "q", "other")
    middle = broker.declare_exchange("middle", "headers")
    last = broker.declare_exchange("last", "topic")
    broker.bind(middle, "amq.fanout")
    broker.bind(last, middle, "", {"kind": "a"})
    broker.bind("q", last, "a.#")
    broker.bind("other", last, "b.#")

    assert_routed(broker, "amq.fanout", "a.x", {"kind": "a"}, queues=["q"])
    assert_routed(broker, "amq.fanout", "b.x", {"kind": "a"}, queues=["other"])
    assert_routed(broker, "amq.fanout", "a.x", {"kind": "b"}, queues=[])


def test_a_cycle_of_exchanges_visits_each_once(broker: Broker) -> None:
    names = ["one", "two", "three"]
    exchanges = [broker.declare_exchange(name, "fanout") for name in names]
    for source, destination in zip(names, [*exchanges[1:], exchanges[0]], strict=True):
        broker.bind(destination, source)
        broker.declare_queue(source)
        broker.bind(source, source)

    for name in names:
        assert broker.publish(b"", exchange=name) == 3


def test_an_exchange_may_be_bound_to_itself(broker: Broker) -> None:
    exchange = broker.declare_exchange("x", "topic")
    queues(broker, "q")
    broker.bind(exchange, exchange, "#")
    broker.bind("q", exchange, "a")

    assert broker.publish(b"", exchange="x", routing_key="a") == 1


def test_a_long_chain_of_exchanges_is_walked_to_its_end(broker: Broker) -> None:
    broker.declare_exchange("x0", "fanout")
    for number in range(1, 40):
        broker.bind(broker.declare_exchange(f"x{number}", "fanout"), f"x{number - 1}")
    queues(broker, "q")
    broker.bind("q", "x39")

    assert broker.publish(b"", exchange="x0") == 1


def test_an_alternate_exchange_takes_what_matches_nothing(broker: Broker) -> None:
    broker.declare_exchange("main", "topic", alternate_exchange="rest")
    broker.declare_exchange("rest", "fanout")
    queues(broker, "matched", "unmatched")
    broker.bind("matched", "main", "a.*")
    broker.bind("unmatched", "rest")

    assert_routed(broker, "main", "a.b", queues=["matched"])
    assert_routed(broker, "main", "b", queues=["unmatched"])


def test_what_the_alternate_exchange_takes_counts_as_routed(broker: Broker) -> None:
    broker.declare_exchange("main", "direct", alternate_exchange="rest")
    broker.declare_exchange("rest", "fanout")
    queues(broker, "q")
    broker.bind("q", "rest")

    assert broker.publish(b"", exchange="main", routing_key="nobody", mandatory=True) == 1

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.exchange == "main"


def test_alternate_exchanges_may_form_a_chain(broker: Broker) -> None:
    broker.declare_exchange("first", "direct", alternate_exchange="second")
    broker.declare_exchange("second", "direct", alternate_exchange="third")
    broker.declare_exchange("third", "fanout")
    queues(broker, "q")
    broker.bind("q", "third")

    assert_routed(broker, "first", "k", queues=["q"])


def test_alternate_exchanges_may_form_a_cycle(broker: Broker) -> None:
    broker.declare_exchange("first", "direct", alternate_exchange="second")
    broker.declare_exchange("second", "direct", alternate_exchange="first")

    assert broker.publish(b"", exchange="first", routing_key="k") == 0


def test_a_match_on_an_exchange_that_matches_nothing_keeps_the_alternate_out(broker: Broker) -> None:
    broker.declare_exchange("main", "direct", alternate_exchange="rest")
    broker.declare_exchange("rest", "fanout")
    queues(broker, "q")
    broker.bind("q", "rest")
    dead_end = broker.declare_exchange("dead end", "fanout")
    broker.bind(dead_end, "main", "k")

    assert broker.publish(b"", exchange="main", routing_key="k") == 0  # main's own list was not empty


def test_the_alternate_of_an_exchange_further_down_fires(broker: Broker) -> None:
    broker.declare_exchange("main", "fanout")
    down = broker.declare_exchange("down", "direct", alternate_exchange="rest")
    broker.declare_exchange("rest", "fanout")
    broker.bind(down, "main")
    queues(broker, "q", "direct")
    broker.bind("direct", "main")
    broker.bind("q", "rest")

    assert_routed(broker, "main", "k", queues=["direct", "q"])


def test_a_missing_alternate_exchange_is_ignored(broker: Broker) -> None:
    broker.declare_exchange("main", "direct", alternate_exchange="missing")

    assert broker.publish(b"", exchange="main", routing_key="k") == 0


def test_as_the_alternate_the_default_exchange_routes_nowhere(broker: Broker) -> None:
    broker.declare_exchange("main", "direct", alternate_exchange="")
    queues(broker, "q")

    assert_routed(broker, "main", "q", queues=[])  # RabbitMQ: it knows queues by name when published to


def test_an_internal_exchange_takes_no_publish_from_clients(broker: Broker) -> None:
    inner = broker.declare_exchange("inner", "fanout", internal=True)
    broker.declare_exchange("outer", "fanout", alternate_exchange="inner")
    queues(broker, "q")
    broker.bind("q", inner)

    with pytest.raises(AccessRefused) as caught:
        broker.publish(b"", exchange="inner")
    assert (caught.value.kind, caught.value.name) == ("exchange", "inner")
    assert messages(broker, "q") == []

    assert broker.publish(b"", exchange="outer") == 1  # as alternate exchange
    broker.bind(inner, "outer")
    assert broker.publish(b"", exchange="outer") == 1  # and as destination


def test_publishing_to_a_missing_exchange_is_not_found(broker: Broker) -> None:
    with pytest.raises(NotFound) as caught:
        broker.publish(b"", exchange="missing")

    assert (caught.value.kind, caught.value.name) == ("exchange", "missing")
    with pytest.raises(NotFound):
        broker.route("missing")


def test_a_mandatory_message_that_reaches_no_queue_is_unroutable(broker: Broker) -> None:
    with pytest.raises(Unroutable) as caught:
        broker.publish(b"", exchange="amq.topic", routing_key="a.b", mandatory=True)

    assert caught.value.messages == [(0, "amq.topic", "a.b")]


def test_a_dry_run_publishes_nothing(broker: Broker) -> None:
    queues(broker, "q")

    assert broker.route("", "q") == ["q"]

    assert messages(broker, "q") == []


@pytest.mark.parametrize("type", ["direct", "topic", "headers"])
def test_what_routing_searches_is_a_hash_table(broker: Broker, ask: Bare, keys: Keys, url: str, type: str) -> None:
    """A short hash would be a list that is read from its beginning, for each field that is asked for."""
    queues(broker, "q")
    broker.declare_exchange("e", type)
    broker.bind("q", "e", "k")
    assert broker.publish(b"", exchange="e", routing_key="k") == 1

    for searched in [keys.routes(b"e")] + [keys.cache] * (type == "topic"):
        assert max(map(len, ask("HKEYS", searched))) > 64
        if not url.startswith("memory:"):  # it has no OBJECT ENCODING
            assert ask("OBJECT", "ENCODING", searched) == b"hashtable"
