# Generated from tests/conformance/async_/test_vhosts.py by `python tools/unasync.py`. Do not edit.
"""Vhosts: nothing of one is seen in another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rexchange import Broker
from rexchange.errors import InvalidArgument, NotFound
from rexchange.keyspace import Keys
from rexchange.topology import PREDECLARED
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
