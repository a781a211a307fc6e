# Generated from tests/conformance/async_/test_listing.py by `python tools/unasync.py`. Do not edit.
"""Looking: exchanges, queues, bindings, consumers, status, the server."""

from __future__ import annotations

from rexchange import Broker, Message
from tests.conformance.sync_.support import Connect


def test_queues_are_listed_by_name_with_their_counts(broker: Broker) -> None:
    for name in ("b", "a", "c"):
        broker.declare_queue(name)
    broker.publish_many([Message(b"", routing_key="a")] * 3)
    delivery = broker.get("a", auto_ack=False)
    assert delivery is not None

    with broker.consume("b"), broker.consume(["b", "c"]):
        listed = [(info.queue.name, info.ready, info.unacked, info.consumers) for info in broker.queues()]

    assert listed == [("a", 2, 1, 0), ("b", 0, 0, 2), ("c", 0, 0, 1)]
    delivery.nack()
    assert [(info.ready, info.unacked) for info in broker.queues()] == [(3, 0), (0, 0), (0, 0)]


def test_more_than_a_page_is_listed_whole(broker: Broker) -> None:
    names = sorted(f"q{number}" for number in range(250))
    for name in names:
        broker.declare_queue(name)
        broker.bind(name, "amq.direct", name)

    assert [info.queue.name for info in broker.queues()] == names
    assert sorted(binding.destination for binding in broker.bindings()) == names
    assert len(broker.bindings("amq.direct")) == 250


def test_bindings_of_a_missing_exchange_are_none(broker: Broker) -> None:
    assert broker.bindings("missing") == []


def test_consumers_of_all_brokers_are_listed(broker: Broker, connect: Connect) -> None:
    other = connect()
    broker.declare_queue("q")

    with broker.consume("q", tag="one"), other.consume("q", tag="two"):
        listed = broker.consumers()

        assert {each.tag for each in listed} == {"one", "two"}
        assert len({each.session for each in listed}) == 2


def test_status_counts(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")

    with broker.consume("q"):
        status = broker.status()

    assert (status.sessions, status.consumers, status.queues, status.exchanges, status.lanes) == (1, 1, 1, 6, 1)


def test_a_broker_that_only_publishes_has_no_session(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")

    assert (broker.status()).sessions == 0


def test_the_server_says_what_it_is(broker: Broker) -> None:
    facts = broker.server()

    assert facts.kind in {"redis", "valkey", "fakeredis"}
    assert facts.version
    assert facts.mode == "standalone"


def test_reap_of_an_idle_vhost_does_nothing(broker: Broker) -> None:
    done = broker.reap()

    assert (done.sessions, done.queues, done.given_back, done.lanes, done.next_ms) == (0, 0, 0, 0, None)
