# Generated from tests/conformance/async_/test_bindings.py by `python tools/unasync.py`. Do not edit.
"""Binding and unbinding: identity, what is missing, what is refused (docs/semantics.md, Bindings and routing)."""

from __future__ import annotations

import pytest

from rexchange import Binding, Broker
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, PreconditionFailed, ResourceLocked
from tests.conformance.sync_.support import Connect


@pytest.fixture
def queue(broker: Broker) -> str:
    """Return the name of a queue."""
    return (broker.declare_queue("q")).name


def test_a_binding_is_listed_as_made(broker: Broker, queue: str) -> None:
    broker.bind(queue, "amq.topic", "a.#", {"note": "kept", "n": 1})

    assert broker.bindings() == [Binding("amq.topic", "q", "queue", "a.#", {"note": "kept", "n": 1})]
    assert broker.bindings("amq.topic") == broker.bindings()
    assert broker.bindings("amq.direct") == []


def test_queues_and_exchanges_may_be_given_as_declared(broker: Broker) -> None:
    exchange = broker.declare_exchange("x", "fanout")
    declared = broker.declare_queue("other")

    broker.bind(declared, exchange)
    broker.bind(exchange, exchange)

    kinds = {(binding.destination_kind, binding.destination) for binding in broker.bindings("x")}
    assert kinds == {("queue", "other"), ("exchange", "x")}


@pytest.mark.parametrize("exchange", ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"])
def test_the_same_binding_twice_is_one(broker: Broker, queue: str, exchange: str) -> None:
    broker.bind(queue, exchange, "k", {"a": 1, "b": 2})
    broker.bind(queue, exchange, "k", {"b": 2, "a": 1})  # arguments are sorted for their identity
    assert len(broker.bindings()) == 1

    broker.unbind(queue, exchange, "k", {"a": 1, "b": 2})

    assert broker.bindings() == []


@pytest.mark.parametrize("exchange", ["amq.direct", "amq.fanout", "amq.topic"])
def test_bindings_that_differ_in_arguments_are_two(broker: Broker, queue: str, exchange: str) -> None:
    broker.bind(queue, exchange, "k")
    broker.bind(queue, exchange, "k", {"a": 1})
    assert len(broker.bindings()) == 2
    assert broker.publish(b"", exchange=exchange, routing_key="k") == 1

    broker.unbind(queue, exchange, "k")
    assert broker.publish(b"", exchange=exchange, routing_key="k") == 1

    broker.unbind(queue, exchange, "k", {"a": 1})
    assert broker.publish(b"", exchange=exchange, routing_key="k") == 0


def test_unbinding_ends_the_route(broker: Broker, queue: str) -> None:
    for exchange in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers"):
        broker.bind(queue, exchange, "k")
        assert broker.publish(b"", exchange=exchange, routing_key="k") == 1

        broker.unbind(queue, exchange, "k")

        assert broker.publish(b"", exchange=exchange, routing_key="k") == 0


def test_unbinding_one_of_two_queues_leaves_the_other(broker: Broker, queue: str) -> None:
    broker.declare_queue("other")
    for exchange in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers"):
        broker.bind(queue, exchange, "k")
        broker.bind("other", exchange, "k")

        broker.unbind(queue, exchange, "k")

        assert broker.route(exchange, "k") == ["other"]


def test_unbinding_what_is_missing_is_no_error(broker: Broker, queue: str) -> None:
    broker.unbind(queue, "amq.topic", "never.bound")
    broker.unbind("missing", "amq.topic", "a")
    broker.unbind(queue, "missing", "a")
    broker.unbind("missing", "missing", "a")


def test_binding_to_a_missing_exchange_is_not_found(broker: Broker, queue: str) -> None:
    with pytest.raises(NotFound) as caught:
        broker.bind(queue, "missing")

    assert (caught.value.kind, caught.value.name) == ("exchange", "missing")


def test_binding_a_missing_queue_is_not_found(broker: Broker) -> None:
    with pytest.raises(NotFound) as caught:
        broker.bind("missing", "amq.direct")

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")
    assert broker.bindings() == []


def test_binding_a_missing_exchange_to_another_is_not_found(broker: Broker) -> None:
    gone = broker.declare_exchange("gone")
    broker.delete_exchange("gone")

    with pytest.raises(NotFound):
        broker.bind(gone, "amq.fanout")

    assert broker.bindings() == []


def test_the_default_exchange_cannot_be_bound_or_unbound(broker: Broker, queue: str) -> None:
    for attempt in (broker.bind, broker.unbind):
        with pytest.raises(AccessRefused):
            attempt(queue, "", "k")


@pytest.mark.parametrize("mode", ["al", 1, True, None])
def test_a_wrong_x_match_is_refused_by_a_headers_exchange_only(
    broker: Broker, queue: str, mode: str | int | None
) -> None:
    with pytest.raises(PreconditionFailed):
        broker.bind(queue, "amq.headers", "", {"x-match": mode})
    assert broker.bindings() == []

    broker.bind(queue, "amq.fanout", "", {"x-match": mode})

    assert len(broker.bindings()) == 1


def test_a_binding_key_over_255_bytes_is_refused(broker: Broker, queue: str) -> None:
    broker.bind(queue, "amq.direct", "k" * 255)

    with pytest.raises(InvalidArgument):
        broker.bind(queue, "amq.direct", "k" * 256)


def test_binding_keys_may_hold_any_characters(broker: Broker, queue: str) -> None:
    for key in ("a b/c", "ü", "line\nend", "nul\0", "|%;:", "{x}"):
        broker.bind(queue, "amq.direct", key)
        assert broker.route("amq.direct", key) == [queue]

    assert len(broker.bindings()) == 6


def test_names_may_hold_any_characters_but_nul_and_line_ends(broker: Broker) -> None:
    for name in ("a b/c", "ü", "|%;:", "{x}", "-", "x:y"):
        broker.declare_exchange(name, "topic")
        broker.declare_queue(name)
        broker.bind(name, name, "#")
        assert broker.publish(b"", exchange=name, routing_key="k") == 1
        delivery = broker.get(name)
        assert delivery is not None
        assert (delivery.queue, delivery.exchange) == (name, name)


def test_five_hundred_queues_may_share_a_key(broker: Broker) -> None:
    for number in range(500):
        broker.declare_queue(f"q{number}")
        broker.bind(f"q{number}", "amq.topic", "shared.key")

    assert broker.publish(b"", exchange="amq.topic", routing_key="shared.key") == 500


def test_a_wrong_x_match_is_found_before_another_ones_exclusive_queue(broker: Broker, connect: Connect) -> None:
    other = connect()
    other.declare_queue("theirs", exclusive=True)
    with pytest.raises(PreconditionFailed):
        broker.bind("theirs", "amq.headers", arguments={"x-match": "some"})
    with pytest.raises(ResourceLocked):
        broker.bind("theirs", "amq.headers", arguments={"x-match": "all"})
