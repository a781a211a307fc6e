"""Binding and unbinding: identity, what is missing, what is refused (docs/semantics.md, Bindings and routing)."""

from __future__ import annotations

import pytest

from rexchange import AsyncBroker, Binding
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, PreconditionFailed, ResourceLocked
from tests.conformance.async_.support import Connect


@pytest.fixture
async def queue(broker: AsyncBroker) -> str:
    """Return the name of a queue."""
    return (await broker.declare_queue("q")).name


async def test_a_binding_is_listed_as_made(broker: AsyncBroker, queue: str) -> None:
    await broker.bind(queue, "amq.topic", "a.#", {"note": "kept", "n": 1})

    assert await broker.bindings() == [Binding("amq.topic", "q", "queue", "a.#", {"note": "kept", "n": 1})]
    assert await broker.bindings("amq.topic") == await broker.bindings()
    assert await broker.bindings("amq.direct") == []


async def test_queues_and_exchanges_may_be_given_as_declared(broker: AsyncBroker) -> None:
    exchange = await broker.declare_exchange("x", "fanout")
    declared = await broker.declare_queue("other")

    await broker.bind(declared, exchange)
    await broker.bind(exchange, exchange)

    kinds = {(binding.destination_kind, binding.destination) for binding in await broker.bindings("x")}
    assert kinds == {("queue", "other"), ("exchange", "x")}


@pytest.mark.parametrize("exchange", ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"])
async def test_the_same_binding_twice_is_one(broker: AsyncBroker, queue: str, exchange: str) -> None:
    await broker.bind(queue, exchange, "k", {"a": 1, "b": 2})
    await broker.bind(queue, exchange, "k", {"b": 2, "a": 1})  # arguments are sorted for their identity
    assert len(await broker.bindings()) == 1

    await broker.unbind(queue, exchange, "k", {"a": 1, "b": 2})

    assert await broker.bindings() == []


@pytest.mark.parametrize("exchange", ["amq.direct", "amq.fanout", "amq.topic"])
async def test_bindings_that_differ_in_arguments_are_two(broker: AsyncBroker, queue: str, exchange: str) -> None:
    await broker.bind(queue, exchange, "k")
    await broker.bind(queue, exchange, "k", {"a": 1})
    assert len(await broker.bindings()) == 2
    assert await broker.publish(b"", exchange=exchange, routing_key="k") == 1

    await broker.unbind(queue, exchange, "k")
    assert await broker.publish(b"", exchange=exchange, routing_key="k") == 1

    await broker.unbind(queue, exchange, "k", {"a": 1})
    assert await broker.publish(b"", exchange=exchange, routing_key="k") == 0


async def test_unbinding_ends_the_route(broker: AsyncBroker, queue: str) -> None:
    for exchange in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers"):
        await broker.bind(queue, exchange, "k")
        assert await broker.publish(b"", exchange=exchange, routing_key="k") == 1

        await broker.unbind(queue, exchange, "k")

        assert await broker.publish(b"", exchange=exchange, routing_key="k") == 0


async def test_unbinding_one_of_two_queues_leaves_the_other(broker: AsyncBroker, queue: str) -> None:
    await broker.declare_queue("other")
    for exchange in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers"):
        await broker.bind(queue, exchange, "k")
        await broker.bind("other", exchange, "k")

        await broker.unbind(queue, exchange, "k")

        assert await broker.route(exchange, "k") == ["other"]


async def test_unbinding_what_is_missing_is_no_error(broker: AsyncBroker, queue: str) -> None:
    await broker.unbind(queue, "amq.topic", "never.bound")
    await broker.unbind("missing", "amq.topic", "a")
    await broker.unbind(queue, "missing", "a")
    await broker.unbind("missing", "missing", "a")


async def test_binding_to_a_missing_exchange_is_not_found(broker: AsyncBroker, queue: str) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.bind(queue, "missing")

    assert (caught.value.kind, caught.value.name) == ("exchange", "missing")


async def test_binding_a_missing_queue_is_not_found(broker: AsyncBroker) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.bind("missing", "amq.direct")

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")
    assert await broker.bindings() == []


async def test_binding_a_missing_exchange_to_another_is_not_found(broker: AsyncBroker) -> None:
    gone = await broker.declare_exchange("gone")
    await broker.delete_exchange("gone")

    with pytest.raises(NotFound):
        await broker.bind(gone, "amq.fanout")

    assert await broker.bindings() == []


async def test_the_default_exchange_cannot_be_bound_or_unbound(broker: AsyncBroker, queue: str) -> None:
    for attempt in (broker.bind, broker.unbind):
        with pytest.raises(AccessRefused):
            await attempt(queue, "", "k")


@pytest.mark.parametrize("mode", ["al", 1, True, None])
async def test_a_wrong_x_match_is_refused_by_a_headers_exchange_only(
    broker: AsyncBroker, queue: str, mode: str | int | None
) -> None:
    with pytest.raises(PreconditionFailed):
        await broker.bind(queue, "amq.headers", "", {"x-match": mode})
    assert await broker.bindings() == []

    await broker.bind(queue, "amq.fanout", "", {"x-match": mode})

    assert len(await broker.bindings()) == 1


async def test_a_binding_key_over_255_bytes_is_refused(broker: AsyncBroker, queue: str) -> None:
    await broker.bind(queue, "amq.direct", "k" * 255)

    with pytest.raises(InvalidArgument):
        await broker.bind(queue, "amq.direct", "k" * 256)


async def test_binding_keys_may_hold_any_characters(broker: AsyncBroker, queue: str) -> None:
    for key in ("a b/c", "ü", "line\nend", "nul\0", "|%;:", "{x}"):
        await broker.bind(queue, "amq.direct", key)
        assert await broker.route("amq.direct", key) == [queue]

    assert len(await broker.bindings()) == 6


async def test_names_may_hold_any_characters_but_nul_and_line_ends(broker: AsyncBroker) -> None:
    for name in ("a b/c", "ü", "|%;:", "{x}", "-", "x:y"):
        await broker.declare_exchange(name, "topic")
        await broker.declare_queue(name)
        await broker.bind(name, name, "#")
        assert await broker.publish(b"", exchange=name, routing_key="k") == 1
        delivery = await broker.get(name)
        assert delivery is not None
        assert (delivery.queue, delivery.exchange) == (name, name)


async def test_five_hundred_queues_may_share_a_key(broker: AsyncBroker) -> None:
    for number in range(500):
        await broker.declare_queue(f"q{number}")
        await broker.bind(f"q{number}", "amq.topic", "shared.key")

    assert await broker.publish(b"", exchange="amq.topic", routing_key="shared.key") == 500


async def test_a_wrong_x_match_is_found_before_another_ones_exclusive_queue(
    broker: AsyncBroker, connect: Connect
) -> None:
    other = await connect()
    await other.declare_queue("theirs", exclusive=True)
    with pytest.raises(PreconditionFailed):
        await broker.bind("theirs", "amq.headers", arguments={"x-match": "some"})
    with pytest.raises(ResourceLocked):
        await broker.bind("theirs", "amq.headers", arguments={"x-match": "all"})
