"""Vhosts: nothing of one is seen in another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rexchange import AsyncBroker
from rexchange.errors import InvalidArgument, NotFound
from rexchange.keyspace import Keys
from rexchange.topology import PREDECLARED
from tests.support.servers import Bare


@pytest.fixture
async def other(url: str, vhost: str, ask: Bare) -> AsyncIterator[AsyncBroker]:
    """Yield a broker on another vhost whose name begins with ours."""
    name = f"{vhost}-other"
    async with AsyncBroker(url, vhost=name) as broker:
        yield broker
    for key in ask.keys(Keys(name.encode()).prefix):
        ask("UNLINK", key)


async def test_exchanges_and_queues_of_one_are_not_seen_in_another(broker: AsyncBroker, other: AsyncBroker) -> None:
    await broker.declare_exchange("x", "fanout")
    await broker.declare_queue("q")
    await broker.bind("q", "x")

    assert {exchange.name for exchange in await other.exchanges()} == {*PREDECLARED} - {""}
    assert await other.queues() == []
    assert await other.bindings() == []
    with pytest.raises(NotFound):
        await other.declare_queue("q", passive=True)
    with pytest.raises(NotFound):
        await other.publish(b"", exchange="x")


async def test_queues_of_one_name_are_two(broker: AsyncBroker, other: AsyncBroker) -> None:
    for one in (broker, other):
        await one.declare_queue("q")
        await one.bind("q", "amq.topic", "#")

    assert await broker.publish(b"ours", exchange="amq.topic", routing_key="k") == 1

    assert await other.get("q") is None
    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.body == b"ours"


async def test_consumers_are_counted_by_vhost(broker: AsyncBroker, other: AsyncBroker) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q"):
        assert await other.consumers() == []
        assert (await other.status()).sessions == 0


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "{}", "x" * 256, "nul\0", "line\n", "line\r", "\ud800"])
def test_a_vhosts_name_is_not_empty_and_has_no_braces(url: str, name: str) -> None:
    with pytest.raises(InvalidArgument):
        AsyncBroker(url, vhost=name)


@pytest.mark.parametrize("name", [None, 5, b"bytes"])
def test_the_default_vhost_is_a_slash_and_a_name_is_text(url: str, name: str | None) -> None:
    if name is None:
        assert AsyncBroker(url, vhost=None).vhost == "/"
    else:
        with pytest.raises(InvalidArgument):
            AsyncBroker(url, vhost=name)


@pytest.mark.parametrize("suffix", ["/", "ü", "a b", "*?[x]", ":", "%"])
async def test_a_vhost_may_have_any_other_name(url: str, vhost: str, ask: Bare, suffix: str) -> None:
    name = vhost + suffix
    async with AsyncBroker(url, vhost=name) as broker:
        await broker.declare_queue("q")
        assert await broker.publish(b"", routing_key="q") == 1
        assert await broker.get("q") is not None
        assert broker.vhost == name

    for key in ask.keys(Keys(name.encode()).prefix):
        ask("UNLINK", key)
