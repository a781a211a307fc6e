# Generated from tests/conformance/async_/test_declare_exchange.py by `python tools/unasync.py`. Do not edit.
"""Declaring and deleting exchanges (docs/semantics.md, Exchanges)."""

from __future__ import annotations

import pytest

from rexchange import Broker, Exchange
from rexchange.codec import Table
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, NotSupported, PreconditionFailed


@pytest.mark.parametrize("type_name", ["direct", "fanout", "topic", "headers"])
def test_a_declared_exchange_is_listed_as_declared(broker: Broker, type_name: str) -> None:
    declared = broker.declare_exchange(
        "x",
        type_name,
        durable=False,
        auto_delete=True,
        internal=True,
        arguments={"alternate-exchange": "other", "n": 1},
    )

    assert declared == Exchange("x", type_name, False, True, True, {"alternate-exchange": "other", "n": 1})
    assert declared in broker.exchanges()
    assert declared.alternate_exchange == "other"


def test_declaring_the_same_exchange_again_changes_nothing(broker: Broker) -> None:
    first = broker.declare_exchange("x", "topic")

    assert broker.declare_exchange("x", "topic") == first


def test_bindings_stay_when_an_exchange_is_declared_again(broker: Broker) -> None:
    broker.declare_exchange("x", "fanout")
    broker.declare_queue("q")
    broker.bind("q", "x")

    broker.declare_exchange("x", "fanout")

    assert broker.route("x") == ["q"]


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("type", {"type": "fanout"}),
        ("durable", {"durable": False}),
        ("auto_delete", {"auto_delete": True}),
        ("internal", {"internal": True}),
        ("alternate-exchange", {"alternate_exchange": "other"}),
    ],
)
def test_an_inequivalent_declare_names_the_argument(broker: Broker, argument: str, wanted: dict[str, object]) -> None:
    existing = broker.declare_exchange("x", "topic")

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_exchange("x", **{"type": "topic", **wanted})  # type: ignore[arg-type]

    assert caught.value.argument == argument
    assert caught.value.name == "x"
    assert caught.value.wanted == next(iter(wanted.values()))
    assert caught.value.current != caught.value.wanted
    assert existing in broker.exchanges()


def test_arguments_other_than_the_alternate_exchange_are_not_compared(broker: Broker) -> None:
    broker.declare_exchange("x", arguments={"foo": 1})

    assert (broker.declare_exchange("x", arguments={"bar": 2})).arguments == {"foo": 1}


def test_an_alternate_exchange_may_be_given_by_option_or_argument(broker: Broker) -> None:
    broker.declare_exchange("x", alternate_exchange="other")

    broker.declare_exchange("x", arguments={"alternate-exchange": "other"})


def test_passive_finds_an_exchange_whatever_its_type(broker: Broker) -> None:
    found = broker.declare_exchange("amq.topic", "direct", passive=True)

    assert found.type == "topic"


@pytest.mark.parametrize("name", ["", "amq.new"])
def test_an_unknown_type_is_found_before_a_reserved_name(broker: Broker, name: str) -> None:
    with pytest.raises(PreconditionFailed):
        broker.declare_exchange(name, "unknown")


def test_passive_does_not_check_what_it_does_not_compare(broker: Broker) -> None:
    wrong = {"alternate-exchange": 1}

    assert (broker.declare_exchange("amq.topic", "unknown", passive=True, arguments=wrong)).arguments == {}
    assert (broker.declare_exchange("amq.topic", "x-random", passive=True)).type == "topic"


def test_passive_does_not_find_the_default_exchange(broker: Broker) -> None:
    with pytest.raises(AccessRefused):
        broker.declare_exchange("", passive=True)


def test_passive_raises_not_found_for_a_missing_exchange(broker: Broker) -> None:
    with pytest.raises(NotFound) as caught:
        broker.declare_exchange("missing", passive=True)

    assert (caught.value.kind, caught.value.name) == ("exchange", "missing")


def test_every_vhost_has_the_predeclared_exchanges(broker: Broker) -> None:
    listed = {exchange.name: (exchange.type, exchange.internal) for exchange in broker.exchanges()}

    assert listed == {
        "amq.direct": ("direct", False),
        "amq.fanout": ("fanout", False),
        "amq.topic": ("topic", False),
        "amq.headers": ("headers", False),
        "amq.match": ("headers", False),
        "amq.rabbitmq.trace": ("topic", True),
    }


def test_a_predeclared_exchange_can_be_declared_as_it_is(broker: Broker) -> None:
    assert (broker.declare_exchange("amq.topic", "topic")).name == "amq.topic"


def test_a_predeclared_exchange_declared_otherwise_is_refused(broker: Broker) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_exchange("amq.topic", "fanout")

    assert caught.value.argument == "type"


@pytest.mark.parametrize("name", ["", "amq.mine"])
def test_reserved_names_cannot_be_declared(broker: Broker, name: str) -> None:
    with pytest.raises(AccessRefused):
        broker.declare_exchange(name)


@pytest.mark.parametrize("name", ["", "amq.topic", "amq.mine"])
def test_reserved_names_cannot_be_deleted(broker: Broker, name: str) -> None:
    with pytest.raises(AccessRefused):
        broker.delete_exchange(name)


def test_an_unknown_type_is_a_failed_precondition(broker: Broker) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_exchange("x", "tpoic")

    assert caught.value.argument == "type"


def test_a_type_that_only_rabbitmq_has_is_not_supported(broker: Broker) -> None:
    with pytest.raises(NotSupported):
        broker.declare_exchange("x", "x-local-random")

    assert "x" not in {exchange.name for exchange in broker.exchanges()}


@pytest.mark.parametrize("arguments", [{"alternate-exchange": 5}, {"alternate-exchange": None}])
def test_an_alternate_exchange_that_is_no_string_is_a_failed_precondition(broker: Broker, arguments: Table) -> None:
    with pytest.raises(PreconditionFailed):
        broker.declare_exchange("x", arguments=arguments)


def test_an_option_that_contradicts_its_raw_argument_is_refused(broker: Broker) -> None:
    with pytest.raises(InvalidArgument):
        broker.declare_exchange("x", alternate_exchange="one", arguments={"alternate-exchange": "two"})


def test_deleting_an_exchange_takes_its_bindings_in_both_directions(broker: Broker) -> None:
    middle = broker.declare_exchange("middle", "fanout")
    broker.declare_exchange("source", "fanout")
    broker.declare_queue("q")
    broker.bind(middle, "source")
    broker.bind("q", middle)

    broker.delete_exchange("middle")

    assert broker.bindings() == []
    assert broker.route("source") == []
    with pytest.raises(NotFound):
        broker.publish(b"", exchange="middle")


def test_an_exchange_declared_again_after_its_delete_has_no_bindings(broker: Broker) -> None:
    broker.declare_exchange("x", "topic")
    broker.declare_queue("q")
    broker.bind("q", "x", "#")
    assert broker.publish(b"", exchange="x", routing_key="a") == 1

    broker.delete_exchange("x")
    broker.declare_exchange("x", "topic")

    assert broker.publish(b"", exchange="x", routing_key="a") == 0


def test_deleting_a_missing_exchange_is_no_error(broker: Broker) -> None:
    broker.delete_exchange("missing")


def test_if_unused_refuses_an_exchange_with_bindings_as_source(broker: Broker) -> None:
    broker.declare_exchange("x", "fanout")
    broker.declare_queue("q")
    broker.bind("q", "x")

    with pytest.raises(PreconditionFailed):
        broker.delete_exchange("x", if_unused=True)

    assert broker.route("x") == ["q"]


def test_being_only_a_destination_does_not_make_an_exchange_used(broker: Broker) -> None:
    destination = broker.declare_exchange("destination", "fanout")
    broker.declare_exchange("source", "fanout")
    broker.bind(destination, "source")

    broker.delete_exchange("destination", if_unused=True)

    assert broker.bindings() == []


def test_an_exchange_of_thousands_of_bindings_is_deleted_whole(broker: Broker) -> None:
    broker.declare_exchange("x", "direct")
    broker.declare_queue("q")
    for number in range(1_100):  # more than two calls take away
        broker.bind("q", "x", str(number))

    broker.delete_exchange("x")

    assert broker.bindings() == []
