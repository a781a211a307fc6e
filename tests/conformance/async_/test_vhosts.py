"""Vhosts: nothing of one is seen in another; they are made, listed and deleted with all they hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from rexchange import AsyncBroker
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, TopologyLost
from rexchange.keyspace import Keys
from rexchange.topology import PREDECLARED
from tests.conformance.async_.support import Connect
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


# --- made, listed, deleted


async def test_a_vhost_is_made_with_its_predeclared_exchanges(broker: AsyncBroker, vhost: str, ask: Bare) -> None:
    name = f"{vhost}-made"
    assert name not in await broker.vhosts()

    await broker.create_vhost(name)
    await broker.create_vhost(name)

    assert {vhost, name} <= {*await broker.vhosts()}
    assert {*ask("HKEYS", Keys(name.encode()).exchanges)} == {exchange.encode() for exchange in PREDECLARED if exchange}
    await broker.delete_vhost(name)
    assert ask.keys(Keys(name.encode()).prefix) == []


async def test_making_a_vhost_that_is_there_changes_nothing(broker: AsyncBroker, other: AsyncBroker) -> None:
    await other.declare_queue("q")
    await other.publish(b"", routing_key="q")

    await broker.create_vhost(other.vhost)

    assert await other.get("q") is not None
    assert await other.publish(b"", routing_key="q") == 1


async def test_a_vhost_is_there_from_its_first_use(broker: AsyncBroker, other: AsyncBroker) -> None:
    await other.declare_queue("q")

    found = await broker.vhosts()
    assert {broker.vhost, other.vhost} <= {*found}
    assert found == sorted(found)


async def test_a_vhost_is_deleted_with_all_it_holds(broker: AsyncBroker, other: AsyncBroker, ask: Bare) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"ours", routing_key="q")
    await other.declare_exchange("x", "topic")
    await other.declare_queue("q", max_priority=5, message_ttl=timedelta(hours=1))
    await other.declare_queue("stream", queue_type="stream")
    await other.bind("q", "x", "#")
    await other.set_policy("p", ".*", {"max-length": 5})
    for queue in ("q", "stream"):
        await other.publish(b"theirs", routing_key=queue)
    await other.get("q", auto_ack=False)

    await broker.delete_vhost(other.vhost)
    await broker.delete_vhost(other.vhost)

    assert ask.keys(Keys(other.vhost.encode()).prefix) == []
    assert other.vhost not in await broker.vhosts()
    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.body == b"ours"
    works: list[Any] = [lambda: other.publish(b"", routing_key="q"), lambda: other.declare_queue("n"), other.policies]
    for work in works:
        with pytest.raises(TopologyLost):
            await work()
    async with broker.on_vhost(other.vhost) as anew:
        assert await anew.queues() == []
        assert await anew.policies() == []


async def test_a_deleted_vhost_is_not_mistaken_for_the_one_that_is_made_after_it(
    broker: AsyncBroker, other: AsyncBroker
) -> None:
    await other.declare_queue("q")
    await broker.delete_vhost(other.vhost)
    await broker.create_vhost(other.vhost)

    with pytest.raises(TopologyLost):
        await other.publish(b"", routing_key="q")


async def test_a_broker_does_not_delete_the_vhost_it_is_on(broker: AsyncBroker) -> None:
    with pytest.raises(AccessRefused, match="is this Broker's own: delete it with another one"):
        await broker.delete_vhost(broker.vhost)

    assert broker.vhost in await broker.vhosts()


@pytest.mark.parametrize("name", ["", "a{b", "x" * 256, "line\n"])
async def test_what_is_no_name_of_a_vhost_is_refused(broker: AsyncBroker, name: str) -> None:
    for work in (broker.create_vhost, broker.delete_vhost):
        with pytest.raises(InvalidArgument):
            await work(name)
    with pytest.raises(InvalidArgument):
        broker.on_vhost(name)


@pytest.mark.parametrize("suffix", ["*", "[ab]", "?", "\\", "^x", "-"])
async def test_deleting_a_vhost_takes_none_whose_name_it_would_match_as_a_pattern(
    broker: AsyncBroker, other: AsyncBroker, vhost: str, ask: Bare, suffix: str
) -> None:
    await other.declare_queue("q")
    async with broker.on_vhost(vhost + suffix) as odd:
        await odd.declare_queue("q")
        assert odd.vhost in await broker.vhosts()

    await broker.delete_vhost(vhost + suffix)

    assert ask.keys(Keys((vhost + suffix).encode()).prefix) == []
    assert await other.publish(b"", routing_key="q") == 1


# --- another vhost of the same server


async def test_a_broker_on_another_vhost_has_the_same_server_and_settings(connect: Connect, other: AsyncBroker) -> None:
    mine = await connect(prefetch=7, ack_timeout=timedelta(seconds=77))
    async with mine.on_vhost(other.vhost) as theirs:
        assert (theirs.vhost, theirs.address) == (other.vhost, mine.address)
        assert theirs.settings == mine.settings
        await theirs.declare_queue("q")
    assert [info.name for info in await other.queues()] == ["q"]
    assert await mine.queues() == [], "closing it closes nothing of mine"


async def test_it_is_found_through_a_client_too(url: str, other: AsyncBroker, vhost: str) -> None:
    if not url.startswith("redis://"):
        pytest.skip("a client of redis-py speaks to a server that has an address")
    client = redis.Redis.from_url(url)
    async with AsyncBroker(client=client, vhost=vhost) as mine, mine.on_vhost(other.vhost) as theirs:
        await theirs.declare_queue("q")
    assert [info.name for info in await other.queues()] == ["q"]
    client.close()
