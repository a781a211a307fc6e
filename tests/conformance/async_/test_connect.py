"""What a server says of itself when a Broker connects: refused, warned of, or taken as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from rexchange import AsyncBroker
from rexchange.errors import NotFound, ServerRefused, TopologyLost
from rexchange.keyspace import Keys
from tests.support.faults import Faults, Rule
from tests.support.servers import Bare

FINE: dict[str, str] = {
    "server": "redis",
    "version": "7.4.1",
    "mode": "standalone",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "maxmemory": "0",
    "aof_enabled": "1",
    "save": "3600 1",
}
EVICTION = {"maxmemory_policy": "allkeys-lru"}
NO_AOF = {"aof_enabled": "0"}
NOTHING_KEPT = {"aof_enabled": "0", "save": ""}
REPLICA = {"role": "replica"}
UNWISE: list[tuple[dict[str, str], str]] = [
    (EVICTION, "maxmemory-policy is allkeys-lru"),
    (NO_AOF, "the append-only file is off"),
    (NOTHING_KEPT, "nothing is written to disk"),
    (REPLICA, "is a replica"),
]


def told(**changes: str) -> list[Any]:
    """Return the replies to HELLO, INFO and CONFIG GET save of a server that is fine but for the changes."""
    facts = {**FINE, **changes}
    hello = [word.encode() for name in ("server", "version", "mode", "role") for word in (name, facts[name])]
    info = "".join(f"{name}:{facts[name]}\r\n" for name in ("maxmemory_policy", "maxmemory", "aof_enabled"))
    return [hello, info.encode(), [b"save", facts["save"].encode()]]


class Connecting:
    """A broker that has not connected yet, and what its server will say."""

    def __init__(self, broker: AsyncBroker) -> None:
        self.broker = broker
        self.faults = Faults(broker)

    def says(self, replies: list[Any]) -> Rule:
        """Answer the questions at connect, each time."""
        return self.faults.answer("HELLO", replies, times=100)


@pytest.fixture
async def strict(url: str, vhost: str) -> AsyncIterator[Connecting]:
    """Yield one with strict=True."""
    connecting = Connecting(AsyncBroker(url, vhost=vhost, strict=True))
    yield connecting
    await connecting.broker.aclose()


@pytest.fixture
async def lenient(url: str, vhost: str) -> AsyncIterator[Connecting]:
    """Yield one as it is by default."""
    connecting = Connecting(AsyncBroker(url, vhost=vhost))
    yield connecting
    await connecting.broker.aclose()


async def refused(connecting: Connecting, ask: Bare, keys: Keys) -> str:
    """Use a broker that must be refused, twice, with nothing written; return why."""
    for attempt in (connecting.broker.open, lambda: connecting.broker.declare_queue("q")):
        with pytest.raises(ServerRefused) as caught:
            await attempt()
        assert caught.value.outcome == "not_done"
        assert caught.value.address == connecting.broker.address
    assert ask.keys(keys.prefix) == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mode": "cluster"}, "this is a Redis Cluster"),
        ({"mode": "sentinel"}, "this is a Sentinel"),
        ({"version": "6.0.16"}, "Redis 6.0.16 is too old"),
    ],
)
async def test_what_cannot_work_is_refused_at_connect(
    lenient: Connecting, ask: Bare, keys: Keys, changes: dict[str, str], why: str
) -> None:
    lenient.says(told(**changes))

    assert why in await refused(lenient, ask, keys)


async def test_a_place_with_nothing_in_it_is_asked_about(broker: AsyncBroker) -> None:
    """A wrong database or server looks like a vhost that is new: nobody can tell, but one can ask."""
    question = "is it the right server, database and vhost"
    for work in (
        lambda: broker.get("mail"),
        lambda: broker.publish(b"", exchange="events"),
        lambda: broker.route("events", "", {}),
    ):
        with pytest.raises(NotFound, match=question):
            await work()

    await broker.declare_queue("other")
    with pytest.raises(NotFound) as caught:
        await broker.publish(b"", exchange="events")
    assert question not in str(caught.value)


async def test_the_route_of_a_corrupt_exchange_says_so(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_exchange("events", "topic")
    ask("HSET", keys.exchanges, "events", "no record")

    with pytest.raises(TopologyLost, match="its stored record is corrupt"):
        await broker.route("events", "a", {})
    await broker.delete_exchange("events")


@pytest.mark.parametrize(("changes", "why"), UNWISE)
async def test_strict_refuses_at_connect_what_may_lose_messages(
    strict: Connecting, ask: Bare, keys: Keys, changes: dict[str, str], why: str
) -> None:
    strict.says(told(**changes))

    message = await refused(strict, ask, keys)
    assert "strict: " in message
    assert why in message


@pytest.mark.parametrize(("changes", "why"), UNWISE)
async def test_the_same_is_warned_of_without_strict(
    lenient: Connecting, caplog: pytest.LogCaptureFixture, changes: dict[str, str], why: str
) -> None:
    rule = lenient.says(told(**changes))

    await lenient.broker.declare_queue("q")
    await lenient.broker.delete_queue("q")

    warnings = [record for record in caplog.records if record.name == "rexchange.connection"]
    assert [record.levelname for record in warnings] == ["WARNING"], "once, and not at each operation"
    assert why in warnings[0].getMessage()
    assert lenient.broker.address in warnings[0].getMessage()
    assert rule.done == 1


@pytest.mark.parametrize(
    "replies",
    [told(), told(server="valkey", version="9.1.0"), [NoPermissionError("no")] * 3, [[], b"", []]],
    ids=["redis", "valkey", "told nothing", "told little"],
)
async def test_strict_takes_what_is_fine_and_what_says_nothing(
    strict: Connecting, caplog: pytest.LogCaptureFixture, replies: list[Any]
) -> None:
    strict.says(replies)

    # On the fake server a read would wait in the server, as it says that it is a real one: nothing is consumed here.
    await strict.broker.declare_queue("q")
    await strict.broker.delete_queue("q")

    assert [record for record in caplog.records if record.name == "rexchange.connection"] == []
