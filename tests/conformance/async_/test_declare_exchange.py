"""Declaring and deleting exchanges (docs/semantics.md, Exchanges)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Exchange
from rexchange.codec import Table
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, NotSupported, PreconditionFailed


@pytest.mark.parametrize("type_name", ["direct", "fanout", "topic", "headers"])
async def test_a_declared_exchange_is_listed_as_declared(broker: AsyncBroker, type_name: str) -> None:
    declared = await broker.declare_exchange(
        "x",
        type_name,
        durable=False,
        auto_delete=True,
        internal=True,
        arguments={"alternate-exchange": "other", "n": 1},
    )

    assert declared == Exchange("x", type_name, False, True, True, {"alternate-exchange": "other", "n": 1})
    assert declared in await broker.exchanges()
    assert declared.alternate_exchange == "other"


async def test_declaring_the_same_exchange_again_changes_nothing(broker: AsyncBroker) -> None:
    first = await broker.declare_exchange("x", "topic")

    assert await broker.declare_exchange("x", "topic") == first


async def test_bindings_stay_when_an_exchange_is_declared_again(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "fanout")
    await broker.declare_queue("q")
    await broker.bind("q", "x")

    await broker.declare_exchange("x", "fanout")

    assert await broker.route("x") == ["q"]


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
async def test_an_inequivalent_declare_names_the_argument(
    broker: AsyncBroker, argument: str, wanted: dict[str, object]
) -> None:
    existing = await broker.declare_exchange("x", "topic")

    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_exchange("x", **{"type": "topic", **wanted})  # type: ignore[arg-type]

    assert caught.value.argument == argument
    assert caught.value.name == "x"
    assert caught.value.wanted == next(iter(wanted.values()))
    assert caught.value.current != caught.value.wanted
    assert existing in await broker.exchanges()


async def test_arguments_other_than_the_alternate_exchange_are_not_compared(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", arguments={"foo": 1})

    assert (await broker.declare_exchange("x", arguments={"bar": 2})).arguments == {"foo": 1}


async def test_an_alternate_exchange_may_be_given_by_option_or_argument(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", alternate_exchange="other")

    await broker.declare_exchange("x", arguments={"alternate-exchange": "other"})


async def test_passive_finds_an_exchange_whatever_its_type(broker: AsyncBroker) -> None:
    found = await broker.declare_exchange("amq.topic", "direct", passive=True)

    assert found.type == "topic"


@pytest.mark.parametrize("name", ["", "amq.new"])
async def test_an_unknown_type_is_found_before_a_reserved_name(broker: AsyncBroker, name: str) -> None:
    with pytest.raises(PreconditionFailed):
        await broker.declare_exchange(name, "unknown")


async def test_passive_does_not_check_what_it_does_not_compare(broker: AsyncBroker) -> None:
    wrong = {"alternate-exchange": 1}

    assert (await broker.declare_exchange("amq.topic", "unknown", passive=True, arguments=wrong)).arguments == {}
    assert (await broker.declare_exchange("amq.topic", "x-random", passive=True)).type == "topic"


async def test_passive_does_not_find_the_default_exchange(broker: AsyncBroker) -> None:
    with pytest.raises(AccessRefused):
        await broker.declare_exchange("", passive=True)


async def test_passive_raises_not_found_for_a_missing_exchange(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.declare_exchange("missing", passive=True)

    assert (caught.value.kind, caught.value.name) == ("exchange", "missing")


async def test_every_vhost_has_the_predeclared_exchanges(broker: AsyncBroker) -> None:
    listed = {exchange.name: (exchange.type, exchange.internal) for exchange in await broker.exchanges()}

    assert listed == {
        "amq.direct": ("direct", False),
        "amq.fanout": ("fanout", False),
        "amq.topic": ("topic", False),
        "amq.headers": ("headers", False),
        "amq.match": ("headers", False),
        "amq.rabbitmq.trace": ("topic", True),
    }


async def test_a_predeclared_exchange_can_be_declared_as_it_is(broker: AsyncBroker) -> None:
    assert (await broker.declare_exchange("amq.topic", "topic")).name == "amq.topic"


async def test_a_predeclared_exchange_declared_otherwise_is_refused(broker: AsyncBroker) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_exchange("amq.topic", "fanout")

    assert caught.value.argument == "type"


@pytest.mark.parametrize("name", ["", "amq.mine"])
async def test_reserved_names_cannot_be_declared(broker: AsyncBroker, name: str) -> None:
    with pytest.raises(AccessRefused):
        await broker.declare_exchange(name)


@pytest.mark.parametrize("name", ["", "amq.topic", "amq.mine"])
async def test_reserved_names_cannot_be_deleted(broker: AsyncBroker, name: str) -> None:
    with pytest.raises(AccessRefused):
        await broker.delete_exchange(name)


async def test_an_unknown_type_is_a_failed_precondition(broker: AsyncBroker) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_exchange("x", "tpoic")

    assert caught.value.argument == "type"


async def test_a_type_that_only_rabbitmq_has_is_not_supported(broker: AsyncBroker) -> None:
    with pytest.raises(NotSupported):
        await broker.declare_exchange("x", "x-local-random")

    assert "x" not in {exchange.name for exchange in await broker.exchanges()}


@pytest.mark.parametrize("arguments", [{"alternate-exchange": 5}, {"alternate-exchange": None}])
async def test_an_alternate_exchange_that_is_no_string_is_a_failed_precondition(
    broker: AsyncBroker, arguments: Table
) -> None:
    with pytest.raises(PreconditionFailed):
        await broker.declare_exchange("x", arguments=arguments)


async def test_an_option_that_contradicts_its_raw_argument_is_refused(broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        await broker.declare_exchange("x", alternate_exchange="one", arguments={"alternate-exchange": "two"})


async def test_deleting_an_exchange_takes_its_bindings_in_both_directions(broker: AsyncBroker) -> None:
    middle = await broker.declare_exchange("middle", "fanout")
    await broker.declare_exchange("source", "fanout")
    await broker.declare_queue("q")
    await broker.bind(middle, "source")
    await broker.bind("q", middle)

    await broker.delete_exchange("middle")

    assert await broker.bindings() == []
    assert await broker.route("source") == []
    with pytest.raises(NotFound):
        await broker.publish(b"", exchange="middle")


async def test_an_exchange_declared_again_after_its_delete_has_no_bindings(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "topic")
    await broker.declare_queue("q")
    await broker.bind("q", "x", "#")
    assert await broker.publish(b"", exchange="x", routing_key="a") == 1

    await broker.delete_exchange("x")
    await broker.declare_exchange("x", "topic")

    assert await broker.publish(b"", exchange="x", routing_key="a") == 0


async def test_deleting_a_missing_exchange_is_no_error(broker: AsyncBroker) -> None:
    await broker.delete_exchange("missing")


async def test_if_unused_refuses_an_exchange_with_bindings_as_source(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "fanout")
    await broker.declare_queue("q")
    await broker.bind("q", "x")

    with pytest.raises(PreconditionFailed):
        await broker.delete_exchange("x", if_unused=True)

    assert await broker.route("x") == ["q"]


async def test_being_only_a_destination_does_not_make_an_exchange_used(broker: AsyncBroker) -> None:
    destination = await broker.declare_exchange("destination", "fanout")
    await broker.declare_exchange("source", "fanout")
    await broker.bind(destination, "source")

    await broker.delete_exchange("destination", if_unused=True)

    assert await broker.bindings() == []


async def test_an_exchange_of_thousands_of_bindings_is_deleted_whole(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "direct")
    await broker.declare_queue("q")
    for number in range(1_100):  # more than two calls take away
        await broker.bind("q", "x", str(number))

    await broker.delete_exchange("x")

    assert await broker.bindings() == []
