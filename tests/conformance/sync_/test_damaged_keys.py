# Generated from tests/conformance/async_/test_damaged_keys.py by `python tools/unasync.py`. Do not edit.
"""Keys that are gone, of a wrong type, corrupt, or newer than we know: coded errors, never a silent drop."""

from __future__ import annotations

import pytest

from rexchange import Broker, Message
from rexchange.errors import NotFound, RexchangeError, ServerRefused, TopologyLost
from rexchange.keyspace import Keys
from rexchange.protocol import publish
from rexchange.testing import messages
from tests.conformance.sync_.support import Connect
from tests.support.servers import Bare

pytestmark = pytest.mark.damages_keys


def wipe(ask: Bare, keys: Keys) -> None:
    """Remove all keys of the vhost, as FLUSHALL does."""
    for key in ask.keys(keys.prefix):
        ask("DEL", key)


def test_every_operation_says_that_the_topology_is_lost(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")

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
            attempt()
        assert caught.value.kind == "vhost"
    assert ask.keys(keys.prefix) == []


def test_a_consumer_is_told_that_the_topology_is_lost(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")

    with broker.consume("q", auto_ack=False, timeout=5) as consumer:
        wipe(ask, keys)

        with pytest.raises(TopologyLost):
            next(consumer)


def test_a_vhost_that_was_made_anew_by_another_broker_is_told(
    broker: Broker, connect: Connect, ask: Bare, keys: Keys
) -> None:
    broker.declare_queue("q")
    wipe(ask, keys)
    other = connect()
    other.declare_queue("q")

    with pytest.raises(TopologyLost):
        broker.publish(b"", routing_key="q")

    assert messages(other, "q") == []


def test_redeclare_restores_what_this_broker_declared(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = connect(redeclare=True)
    exchange = broker.declare_exchange("x", "topic", alternate_exchange="rest")
    broker.declare_exchange("rest", "fanout")
    broker.declare_queue("q", arguments={"foo": 1})
    broker.declare_queue("mine", exclusive=True)
    broker.declare_queue("deleted")
    broker.delete_queue("deleted")
    broker.bind("q", exchange, "a.#", {"b": 2})
    broker.bind("mine", "rest")
    broker.bind("q", exchange, "gone")
    broker.unbind("q", exchange, "gone")
    before = broker.exchanges(), broker.bindings()

    wipe(ask, keys)

    assert broker.publish(b"", exchange="x", routing_key="a.b") == 1
    assert broker.publish(b"", exchange="x", routing_key="b") == 1
    assert (broker.exchanges(), broker.bindings()) == before
    assert [(info.queue.name, info.queue.exclusive) for info in broker.queues()] == [("mine", True), ("q", False)]


def test_redeclare_lets_a_consumer_go_on(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = connect(redeclare=True)
    broker.declare_queue("q")

    with broker.consume("q", timeout=10) as consumer:
        broker.publish(b"before", routing_key="q")
        assert (next(consumer)).body == b"before"

        wipe(ask, keys)
        broker.publish(b"after", routing_key="q")

        assert (next(consumer)).body == b"after"


def test_a_newer_schema_is_refused_by_name(broker: Broker, connect: Connect, ask: Bare, keys: Keys) -> None:
    ask("HSET", keys.vhost, "id", "2.epoch")

    with pytest.raises(ServerRefused, match="schema"):
        broker.declare_queue("q")
    with pytest.raises(ServerRefused, match="schema"):
        connect()


def test_a_corrupt_vhost_id_is_told(connect: Connect, broker: Broker, ask: Bare, keys: Keys) -> None:
    ask("HSET", keys.vhost, "id", "nonsense")

    with pytest.raises(TopologyLost, match="corrupt"):
        broker.declare_queue("q")
    with pytest.raises(TopologyLost, match="corrupt"):
        connect()


@pytest.mark.parametrize("record", ["", "nonsense", "t1", "z100;1;-", "t100;x;-"])
def test_a_corrupt_exchange_is_told_and_can_be_deleted(broker: Broker, ask: Bare, keys: Keys, record: str) -> None:
    broker.declare_exchange("x", "topic")
    broker.declare_queue("q")
    ask("HSET", keys.exchanges, "x", record)

    for attempt in (
        lambda: broker.publish(b"", exchange="x"),
        lambda: broker.declare_exchange("x", "topic"),
        broker.exchanges,
        lambda: broker.bind("q", "x"),
    ):
        with pytest.raises(TopologyLost):
            attempt()

    broker.delete_exchange("x")
    assert (broker.declare_exchange("x", "topic")).type == "topic"


@pytest.mark.parametrize("record", ["", "nonsense", "10", "xx;1;0;0:"])
def test_a_corrupt_queue_is_told_and_can_be_deleted(broker: Broker, ask: Bare, keys: Keys, record: str) -> None:
    broker.declare_queue("q")
    ask("HSET", keys.queues, "q", record)

    for attempt in (
        lambda: broker.declare_queue("q"),
        broker.queues,
        lambda: broker.consume("q").open(),
        lambda: broker.get("q"),
    ):
        with pytest.raises(TopologyLost):
            attempt()

    broker.delete_queue("q")
    broker.declare_queue("q")


@pytest.mark.parametrize("kind", ["gone", "string", "list"])
def test_a_stream_that_is_gone_or_of_a_wrong_type_keeps_its_group_out(
    broker: Broker, ask: Bare, keys: Keys, kind: str
) -> None:
    broker.declare_queue("good")
    broker.declare_queue("q")
    for name in ("good", "q"):
        broker.bind(name, "amq.fanout")
    ask("DEL", keys.stream(b"q"))
    if kind == "string":
        ask("SET", keys.stream(b"q"), "text")
    elif kind == "list":
        ask("RPUSH", keys.stream(b"q"), "item")

    with pytest.raises(TopologyLost) as caught:
        broker.publish_many([Message(b"", routing_key="good"), Message(b"", exchange="amq.fanout")])

    assert (caught.value.kind, caught.value.name) == ("queue", "q")
    assert messages(broker, "good") == []
    for attempt in (lambda: broker.get("q"), lambda: broker.purge("q"), lambda: broker.consume("q").open()):
        with pytest.raises(TopologyLost):
            attempt()
    assert {info.queue.name: info.ready for info in broker.queues()} == {"good": 0, "q": -1}

    broker.delete_queue("q")  # that is how one repairs it
    broker.declare_queue("q")
    assert broker.publish(b"", routing_key="q") == 1


@pytest.mark.parametrize("name", ["vhost", "exchanges", "queues", "cache", "lanes", "consumers", "due"])
def test_a_key_of_a_wrong_type_is_a_typed_error(broker: Broker, ask: Bare, keys: Keys, name: str) -> None:
    broker.declare_queue("q")
    broker.bind("q", "amq.topic", "#")
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
            attempt()
        except RexchangeError as error:
            failed.append(error)

    assert failed
    assert not any(isinstance(error, NotFound) for error in failed)


def test_a_corrupt_envelope_is_told_when_it_is_looked_at(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    ask("XADD", keys.stream(b"q"), "*", "m", "nonsense", "b", "body")

    delivery = broker.get("q")

    assert delivery is not None
    assert delivery.body == b"body"
    with pytest.raises(RexchangeError, match="corrupt"):
        _ = delivery.headers


def test_a_lost_stream_keeps_every_group_of_a_call_out(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    broker.declare_queue("lost")
    for name in ("q", "lost"):
        broker.bind(name, "amq.fanout")
    ask("DEL", keys.stream(b"lost"))
    groups = [
        publish.Group([Message(b"", exchange="amq.fanout")], max_body=1000, max_call=1000),
        publish.Group([Message(b"", exchange="amq.fanout")], max_body=1000, max_call=1000),
    ]

    answers = broker._link.run(publish.publish("lane", 1, "token", groups))

    assert [type(answer) for answer in answers] == [TopologyLost, TopologyLost]
    assert ask("XLEN", keys.stream(b"q")) == 0


def test_a_queue_can_be_deleted_when_its_bindings_are_lost(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_exchange("x")
    broker.declare_queue("q")
    broker.bind("q", "x", "key")
    ask("DEL", keys.bindings(b"x"))

    broker.delete_queue("q")

    assert broker.queues() == []
