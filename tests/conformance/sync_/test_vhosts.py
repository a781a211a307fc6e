# Generated from tests/conformance/async_/test_vhosts.py by `python tools/unasync.py`. Do not edit.
"""Vhosts: nothing of one is seen in another; they are made, listed and deleted with all they hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from rexchange import Broker
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, TopologyLost
from rexchange.keyspace import Keys
from rexchange.topology import PREDECLARED
from tests.conformance.sync_.support import Connect
from tests.support.servers import Bare


@pytest.fixture
def other(url: str, vhost: str, ask: Bare) -> Iterator[Broker]:
    """Yield a broker on another vhost whose name begins with ours."""
    name = f"{vhost}-other"
    with Broker(url, vhost=name) as broker:
        yield broker
    for key in ask.keys(Keys(name.encode()).prefix):
        ask("UNLINK", key)


def test_exchanges_and_queues_of_one_are_not_seen_in_another(broker: Broker, other: Broker) -> None:
    broker.declare_exchange("x", "fanout")
    broker.declare_queue("q")
    broker.bind("q", "x")

    assert {exchange.name for exchange in other.exchanges()} == {*PREDECLARED} - {""}
    assert other.queues() == []
    assert other.bindings() == []
    with pytest.raises(NotFound):
        other.declare_queue("q", passive=True)
    with pytest.raises(NotFound):
        other.publish(b"", exchange="x")


def test_queues_of_one_name_are_two(broker: Broker, other: Broker) -> None:
    for one in (broker, other):
        one.declare_queue("q")
        one.bind("q", "amq.topic", "#")

    assert broker.publish(b"ours", exchange="amq.topic", routing_key="k") == 1

    assert other.get("q") is None
    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.body == b"ours"


def test_consumers_are_counted_by_vhost(broker: Broker, other: Broker) -> None:
    broker.declare_queue("q")

    with broker.consume("q"):
        assert other.consumers() == []
        assert (other.status()).sessions == 0


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "{}", "x" * 256, "nul\0", "line\n", "line\r", "\ud800"])
def test_a_vhosts_name_is_not_empty_and_has_no_braces(url: str, name: str) -> None:
    with pytest.raises(InvalidArgument):
        Broker(url, vhost=name)


@pytest.mark.parametrize("name", [None, 5, b"bytes"])
def test_the_default_vhost_is_a_slash_and_a_name_is_text(url: str, name: str | None) -> None:
    if name is None:
        assert Broker(url, vhost=None).vhost == "/"
    else:
        with pytest.raises(InvalidArgument):
            Broker(url, vhost=name)


@pytest.mark.parametrize("suffix", ["/", "ü", "a b", "*?[x]", ":", "%"])
def test_a_vhost_may_have_any_other_name(url: str, vhost: str, ask: Bare, suffix: str) -> None:
    name = vhost + suffix
    with Broker(url, vhost=name) as broker:
        broker.declare_queue("q")
        assert broker.publish(b"", routing_key="q") == 1
        assert broker.get("q") is not None
        assert broker.vhost == name

    for key in ask.keys(Keys(name.encode()).prefix):
        ask("UNLINK", key)


# --- made, listed, deleted


def test_a_vhost_is_made_with_its_predeclared_exchanges(broker: Broker, vhost: str, ask: Bare) -> None:
    name = f"{vhost}-made"
    assert name not in broker.vhosts()

    broker.create_vhost(name)
    broker.create_vhost(name)

    assert {vhost, name} <= {*broker.vhosts()}
    assert {*ask("HKEYS", Keys(name.encode()).exchanges)} == {exchange.encode() for exchange in PREDECLARED if exchange}
    broker.delete_vhost(name)
    assert ask.keys(Keys(name.encode()).prefix) == []


def test_making_a_vhost_that_is_there_changes_nothing(broker: Broker, other: Broker) -> None:
    other.declare_queue("q")
    other.publish(b"", routing_key="q")

    broker.create_vhost(other.vhost)

    assert other.get("q") is not None
    assert other.publish(b"", routing_key="q") == 1


def test_a_vhost_is_there_from_its_first_use(broker: Broker, other: Broker) -> None:
    other.declare_queue("q")

    found = broker.vhosts()
    assert {broker.vhost, other.vhost} <= {*found}
    assert found == sorted(found)


def test_a_vhost_is_deleted_with_all_it_holds(broker: Broker, other: Broker, ask: Bare) -> None:
    broker.declare_queue("q")
    broker.publish(b"ours", routing_key="q")
    other.declare_exchange("x", "topic")
    other.declare_queue("q", max_priority=5, message_ttl=timedelta(hours=1))
    other.declare_queue("stream", queue_type="stream")
    other.bind("q", "x", "#")
    other.set_policy("p", ".*", {"max-length": 5})
    for queue in ("q", "stream"):
        other.publish(b"theirs", routing_key=queue)
    other.get("q", auto_ack=False)

    broker.delete_vhost(other.vhost)
    broker.delete_vhost(other.vhost)

    assert ask.keys(Keys(other.vhost.encode()).prefix) == []
    assert other.vhost not in broker.vhosts()
    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.body == b"ours"
    works: list[Any] = [lambda: other.publish(b"", routing_key="q"), lambda: other.declare_queue("n"), other.policies]
    for work in works:
        with pytest.raises(TopologyLost):
            work()
    with broker.on_vhost(other.vhost) as anew:
        assert anew.queues() == []
        assert anew.policies() == []


def test_a_deleted_vhost_is_not_mistaken_for_the_one_that_is_made_after_it(broker: Broker, other: Broker) -> None:
    other.declare_queue("q")
    broker.delete_vhost(other.vhost)
    broker.create_vhost(other.vhost)

    with pytest.raises(TopologyLost):
        other.publish(b"", routing_key="q")


def test_a_broker_does_not_delete_the_vhost_it_is_on(broker: Broker) -> None:
    with pytest.raises(AccessRefused, match="is this Broker's own: delete it with another one"):
        broker.delete_vhost(broker.vhost)

    assert broker.vhost in broker.vhosts()


@pytest.mark.parametrize("name", ["", "a{b", "x" * 256, "line\n"])
def test_what_is_no_name_of_a_vhost_is_refused(broker: Broker, name: str) -> None:
    for work in (broker.create_vhost, broker.delete_vhost):
        with pytest.raises(InvalidArgument):
            work(name)
    with pytest.raises(InvalidArgument):
        broker.on_vhost(name)


@pytest.mark.parametrize("suffix", ["*", "[ab]", "?", "\\", "^x", "-"])
def test_deleting_a_vhost_takes_none_whose_name_it_would_match_as_a_pattern(
    broker: Broker, other: Broker, vhost: str, ask: Bare, suffix: str
) -> None:
    other.declare_queue("q")
    with broker.on_vhost(vhost + suffix) as odd:
        odd.declare_queue("q")
        assert odd.vhost in broker.vhosts()

    broker.delete_vhost(vhost + suffix)

    assert ask.keys(Keys((vhost + suffix).encode()).prefix) == []
    assert other.publish(b"", routing_key="q") == 1


# --- another vhost of the same server


def test_a_broker_on_another_vhost_has_the_same_server_and_settings(connect: Connect, other: Broker) -> None:
    mine = connect(prefetch=7, ack_timeout=timedelta(seconds=77))
    with mine.on_vhost(other.vhost) as theirs:
        assert (theirs.vhost, theirs.address) == (other.vhost, mine.address)
        assert theirs.settings == mine.settings
        theirs.declare_queue("q")
    assert [info.name for info in other.queues()] == ["q"]
    assert mine.queues() == [], "closing it closes nothing of mine"


def test_it_is_found_through_a_client_too(url: str, other: Broker, vhost: str) -> None:
    if not url.startswith("redis://"):
        pytest.skip("a client of redis-py speaks to a server that has an address")
    client = redis.Redis.from_url(url)
    with Broker(client=client, vhost=vhost) as mine, mine.on_vhost(other.vhost) as theirs:
        theirs.declare_queue("q")
    assert [info.name for info in other.queues()] == ["q"]
    client.close()
