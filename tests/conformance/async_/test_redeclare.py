"""redeclare=True: what a Broker cannot declare again does not keep it from going on."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker
from rexchange.errors import NotFound, TopologyLost
from rexchange.keyspace import Keys
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare


def flush(ask: Bare, keys: Keys) -> None:
    """Lose all of the vhost, as FLUSHALL does."""
    for key in ask.keys(keys.prefix):
        ask("UNLINK", key)


async def test_what_cannot_be_declared_again_is_left_out_with_a_warning(
    connect: Connect, ask: Bare, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    broker, other = await connect(redeclare=True), await connect()
    await other.declare_queue("theirs")
    await broker.declare_queue("ours")
    await broker.declare_exchange("events", "topic")
    for queue in ("theirs", "ours"):
        await broker.bind(queue, "events", "#")
    flush(ask, keys)

    assert await broker.publish(b"", exchange="events") == 1
    assert "theirs" in caplog.text
    assert [binding.destination for binding in await broker.bindings()] == ["ours"]
    with pytest.raises(NotFound):
        await broker.declare_queue("theirs", passive=True)

    flush(ask, keys)
    caplog.clear()
    assert await broker.publish(b"", exchange="events") == 1
    assert "theirs" not in caplog.text, "it was forgotten"


async def test_what_another_broker_declared_otherwise_meanwhile_stays_as_it_is(
    connect: Connect, ask: Bare, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q", durable=False)
    await broker.declare_queue("ours")
    flush(ask, keys)
    other = await connect()
    await other.declare_queue("q")

    assert await broker.publish(b"", routing_key="ours") == 1
    assert "durable" in caplog.text
    assert await broker.publish(b"", routing_key="q") == 1


async def test_policies_that_change_while_it_declares_again(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q")
    await broker.set_policy("short", "q", {"max-length": 1})
    flush(ask, keys)
    faults = Faults(broker)
    rule = faults.answer("declare_queue", "POLICIES_CHANGED they are others by now")

    assert await broker.publish(b"1", routing_key="q") == 1
    assert await broker.publish(b"2", routing_key="q") == 1
    assert rule.done == 1
    assert (await broker.declare_queue("q")).message_count == 1


async def test_a_policy_holds_for_what_another_broker_has_declared_again_before(
    connect: Connect, ask: Bare, keys: Keys
) -> None:
    broker, other = await connect(redeclare=True), await connect(redeclare=True)
    await broker.declare_queue("ours")
    await other.declare_queue("theirs")
    await broker.set_policy("short", ".*", {"max-length": 1})
    flush(ask, keys)

    assert await other.publish(b"1", routing_key="theirs") == 1
    assert await broker.publish(b"1", routing_key="ours") == 1
    assert await other.publish(b"2", routing_key="theirs") == 1

    assert (await other.declare_queue("theirs", passive=True)).message_count == 1


async def test_what_is_lost_again_meanwhile_is_not_left_out(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker: AsyncBroker = await connect(redeclare=True)
    for queue in ("one", "two"):
        await broker.declare_queue(queue)
    flush(ask, keys)
    Faults(broker).during("declare_queue", lambda: flush(ask, keys))

    with pytest.raises(TopologyLost):
        await broker.publish(b"", routing_key="one")
    for queue in ("one", "two"):
        assert await broker.publish(b"", routing_key=queue) == 1
