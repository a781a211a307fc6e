# Generated from tests/conformance/async_/test_redeclare.py by `python tools/unasync.py`. Do not edit.
"""redeclare=True: what a Broker cannot declare again does not keep it from going on."""

from __future__ import annotations

import pytest

from rexchange import Broker
from rexchange.errors import NotFound, TopologyLost
from rexchange.keyspace import Keys
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare


def flush(ask: Bare, keys: Keys) -> None:
    """Lose all of the vhost, as FLUSHALL does."""
    for key in ask.keys(keys.prefix):
        ask("UNLINK", key)


def test_what_cannot_be_declared_again_is_left_out_with_a_warning(
    connect: Connect, ask: Bare, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    broker, other = connect(redeclare=True), connect()
    other.declare_queue("theirs")
    broker.declare_queue("ours")
    broker.declare_exchange("events", "topic")
    for queue in ("theirs", "ours"):
        broker.bind(queue, "events", "#")
    flush(ask, keys)

    assert broker.publish(b"", exchange="events") == 1
    assert "theirs" in caplog.text
    assert [binding.destination for binding in broker.bindings()] == ["ours"]
    with pytest.raises(NotFound):
        broker.declare_queue("theirs", passive=True)

    flush(ask, keys)
    caplog.clear()
    assert broker.publish(b"", exchange="events") == 1
    assert "theirs" not in caplog.text, "it was forgotten"


def test_what_another_broker_declared_otherwise_meanwhile_stays_as_it_is(
    connect: Connect, ask: Bare, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    broker = connect(redeclare=True)
    broker.declare_queue("q", durable=False)
    broker.declare_queue("ours")
    flush(ask, keys)
    other = connect()
    other.declare_queue("q")

    assert broker.publish(b"", routing_key="ours") == 1
    assert "durable" in caplog.text
    assert broker.publish(b"", routing_key="q") == 1


def test_policies_that_change_while_it_declares_again(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = connect(redeclare=True)
    broker.declare_queue("q")
    broker.set_policy("short", "q", {"max-length": 1})
    flush(ask, keys)
    faults = Faults(broker)
    rule = faults.answer("declare_queue", "POLICIES_CHANGED they are others by now")

    assert broker.publish(b"1", routing_key="q") == 1
    assert broker.publish(b"2", routing_key="q") == 1
    assert rule.done == 1
    assert (broker.declare_queue("q")).message_count == 1


def test_a_policy_holds_for_what_another_broker_has_declared_again_before(
    connect: Connect, ask: Bare, keys: Keys
) -> None:
    broker, other = connect(redeclare=True), connect(redeclare=True)
    broker.declare_queue("ours")
    other.declare_queue("theirs")
    broker.set_policy("short", ".*", {"max-length": 1})
    flush(ask, keys)

    assert other.publish(b"1", routing_key="theirs") == 1
    assert broker.publish(b"1", routing_key="ours") == 1
    assert other.publish(b"2", routing_key="theirs") == 1

    assert (other.declare_queue("theirs", passive=True)).message_count == 1


def test_what_is_lost_again_meanwhile_is_not_left_out(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker: Broker = connect(redeclare=True)
    for queue in ("one", "two"):
        broker.declare_queue(queue)
    flush(ask, keys)
    Faults(broker).during("declare_queue", lambda: flush(ask, keys))

    with pytest.raises(TopologyLost):
        broker.publish(b"", routing_key="one")
    for queue in ("one", "two"):
        assert broker.publish(b"", routing_key=queue) == 1
