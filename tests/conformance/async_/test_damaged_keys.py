"""Keys that are gone, of a wrong type, corrupt, or newer than we know: coded errors, never a silent drop."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Message
from rexchange.errors import NotFound, RexchangeError, ServerRefused, TopologyLost
from rexchange.keyspace import Keys
from rexchange.protocol import publish
from rexchange.testing import async_messages
from tests.conformance.async_.support import Connect
from tests.support.servers import Bare

pytestmark = pytest.mark.damages_keys


def wipe(ask: Bare, keys: Keys) -> None:
    """Remove all keys of the vhost, as FLUSHALL does."""
    for key in ask.keys(keys.prefix):
        ask("DEL", key)


async def test_every_operation_says_that_the_topology_is_lost(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")

    wipe(ask, keys)

    for attempt in (
        lambda: broker.publish(b"", routing_key="q"),
        lambda: broker.publish(b"", exchange="amq.topic"),
        lambda: broker.get("q"),
        lambda: broker.declare_queue("other"),
        lambda: broker.declare_exchange("x"),
        lambda: broker.bind("q", "amq.topic"),
        broker.queues,
        lambda: broker.purge("q"),
        lambda: broker.route("", "q"),
        broker.reap,
        broker.status,
        lambda: broker.consume("q").open(),
    ):
        with pytest.raises(TopologyLost) as caught:
            await attempt()
        assert caught.value.kind == "vhost"
    assert ask.keys(keys.prefix) == []


async def test_a_consumer_is_told_that_the_topology_is_lost(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")

    async with broker.consume("q", auto_ack=False, timeout=5) as consumer:
        wipe(ask, keys)

        with pytest.raises(TopologyLost):
            await anext(consumer)


async def test_a_vhost_that_was_made_anew_by_another_broker_is_told(
    broker: AsyncBroker, connect: Connect, ask: Bare, keys: Keys
) -> None:
    await broker.declare_queue("q")
    wipe(ask, keys)
    other = await connect()
    await other.declare_queue("q")

    with pytest.raises(TopologyLost):
        await broker.publish(b"", routing_key="q")

    assert await async_messages(other, "q") == []


async def test_redeclare_restores_what_this_broker_declared(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = await connect(redeclare=True)
    exchange = await broker.declare_exchange("x", "topic", alternate_exchange="rest")
    await broker.declare_exchange("rest", "fanout")
    await broker.declare_queue("q", arguments={"foo": 1})
    await broker.declare_queue("mine", exclusive=True)
    await broker.declare_queue("deleted")
    await broker.delete_queue("deleted")
    await broker.bind("q", exchange, "a.#", {"b": 2})
    await broker.bind("mine", "rest")
    await broker.bind("q", exchange, "gone")
    await broker.unbind("q", exchange, "gone")
    before = await broker.exchanges(), await broker.bindings()

    wipe(ask, keys)

    assert await broker.publish(b"", exchange="x", routing_key="a.b") == 1
    assert await broker.publish(b"", exchange="x", routing_key="b") == 1
    assert (await broker.exchanges(), await broker.bindings()) == before
    assert [(info.queue.name, info.queue.exclusive) for info in await broker.queues()] == [("mine", True), ("q", False)]


async def test_redeclare_lets_a_consumer_go_on(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q")

    async with broker.consume("q", timeout=10) as consumer:
        await broker.publish(b"before", routing_key="q")
        assert (await anext(consumer)).body == b"before"

        wipe(ask, keys)
        await broker.publish(b"after", routing_key="q")

        assert (await anext(consumer)).body == b"after"


async def test_a_newer_schema_is_refused_by_name(broker: AsyncBroker, connect: Connect, ask: Bare, keys: Keys) -> None:
    ask("HSET", keys.vhost, "id", "2.epoch")

    with pytest.raises(ServerRefused, match="schema"):
        await broker.declare_queue("q")
    with pytest.raises(ServerRefused, match="schema"):
        await connect()


async def test_a_corrupt_vhost_id_is_told(connect: Connect, broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    ask("HSET", keys.vhost, "id", "nonsense")

    with pytest.raises(TopologyLost, match="corrupt"):
        await broker.declare_queue("q")
    with pytest.raises(TopologyLost, match="corrupt"):
        await connect()


@pytest.mark.parametrize("record", ["", "nonsense", "t1", "z100;1;-", "t100;x;-"])
async def test_a_corrupt_exchange_is_told_and_can_be_deleted(
    broker: AsyncBroker, ask: Bare, keys: Keys, record: str
) -> None:
    await broker.declare_exchange("x", "topic")
    await broker.declare_queue("q")
    ask("HSET", keys.exchanges, "x", record)

    for attempt in (
        lambda: broker.publish(b"", exchange="x"),
        lambda: broker.declare_exchange("x", "topic"),
        broker.exchanges,
        lambda: broker.bind("q", "x"),
    ):
        with pytest.raises(TopologyLost):
            await attempt()

    await broker.delete_exchange("x")
    assert (await broker.declare_exchange("x", "topic")).type == "topic"


@pytest.mark.parametrize("record", ["", "nonsense", "10", "xx;1;0;0:"])
async def test_a_corrupt_queue_is_told_and_can_be_deleted(
    broker: AsyncBroker, ask: Bare, keys: Keys, record: str
) -> None:
    await broker.declare_queue("q")
    ask("HSET", keys.queues, "q", record)

    for attempt in (
        lambda: broker.declare_queue("q"),
        broker.queues,
        lambda: broker.consume("q").open(),
        lambda: broker.get("q"),
    ):
        with pytest.raises(TopologyLost):
            await attempt()

    await broker.delete_queue("q")
    await broker.declare_queue("q")


@pytest.mark.parametrize("kind", ["gone", "string", "list"])
async def test_a_stream_that_is_gone_or_of_a_wrong_type_keeps_its_group_out(
    broker: AsyncBroker, ask: Bare, keys: Keys, kind: str
) -> None:
    await broker.declare_queue("good")
    await broker.declare_queue("q")
    for name in ("good", "q"):
        await broker.bind(name, "amq.fanout")
    ask("DEL", keys.stream(b"q"))
    if kind == "string":
        ask("SET", keys.stream(b"q"), "text")
    elif kind == "list":
        ask("RPUSH", keys.stream(b"q"), "item")

    with pytest.raises(TopologyLost) as caught:
        await broker.publish_many([Message(b"", routing_key="good"), Message(b"", exchange="amq.fanout")])

    assert (caught.value.kind, caught.value.name) == ("queue", "q")
    assert await async_messages(broker, "good") == []
    for attempt in (lambda: broker.get("q"), lambda: broker.purge("q"), lambda: broker.consume("q").open()):
        with pytest.raises(TopologyLost):
            await attempt()
    assert {info.queue.name: info.ready for info in await broker.queues()} == {"good": 0, "q": -1}

    await broker.delete_queue("q")  # that is how one repairs it
    await broker.declare_queue("q")
    assert await broker.publish(b"", routing_key="q") == 1


@pytest.mark.parametrize("name", ["vhost", "exchanges", "queues", "cache", "lanes", "consumers", "due"])
async def test_a_key_of_a_wrong_type_is_a_typed_error(broker: AsyncBroker, ask: Bare, keys: Keys, name: str) -> None:
    await broker.declare_queue("q")
    await broker.bind("q", "amq.topic", "#")
    key = getattr(keys, name)
    ask("DEL", key)
    ask("SET", key, "text")
    failed = []

    for attempt in (
        lambda: broker.publish(b"", exchange="amq.topic", routing_key="k"),
        lambda: broker.get("q"),
        lambda: broker.declare_queue("other"),
    ):
        try:
            await attempt()
        except RexchangeError as error:
            failed.append(error)

    assert failed
    assert not any(isinstance(error, NotFound) for error in failed)


async def test_a_corrupt_envelope_is_told_when_it_is_looked_at(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")
    ask("XADD", keys.stream(b"q"), "*", "m", "nonsense", "b", "body")

    delivery = await broker.get("q")

    assert delivery is not None
    assert delivery.body == b"body"
    with pytest.raises(RexchangeError, match="corrupt"):
        _ = delivery.headers


async def test_a_lost_stream_keeps_every_group_of_a_call_out(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")
    await broker.declare_queue("lost")
    for name in ("q", "lost"):
        await broker.bind(name, "amq.fanout")
    ask("DEL", keys.stream(b"lost"))
    groups = [
        publish.Group([Message(b"", exchange="amq.fanout")], max_body=1000, max_call=1000),
        publish.Group([Message(b"", exchange="amq.fanout")], max_body=1000, max_call=1000),
    ]

    answers = await broker._link.run(publish.publish("lane", 1, "token", groups))

    assert [type(answer) for answer in answers] == [TopologyLost, TopologyLost]
    assert ask("XLEN", keys.stream(b"q")) == 0


async def test_a_queue_can_be_deleted_when_its_bindings_are_lost(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_exchange("x")
    await broker.declare_queue("q")
    await broker.bind("q", "x", "key")
    ask("DEL", keys.bindings(b"x"))

    await broker.delete_queue("q")

    assert await broker.queues() == []
