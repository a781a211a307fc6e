"""CC and BCC: more routing keys in headers (docs/semantics.md, Bindings and routing)."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange import AsyncBroker, Message
from rexchange.errors import InvalidArgument, PreconditionFailed, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import async_messages
from tests.support.servers import Bare


async def declare(broker: AsyncBroker, *queues: str) -> None:
    """Declare queues."""
    for queue in queues:
        await broker.declare_queue(queue)


async def reached(broker: AsyncBroker) -> list[str]:
    """Return which queues hold one message; none holds more."""
    infos = await broker.queues()
    assert {info.ready for info in infos} <= {0, 1}
    return [info.name for info in infos if info.ready]


@pytest.mark.parametrize("header", ["CC", "BCC"])
async def test_the_default_exchange_routes_by_all_keys(broker: AsyncBroker, header: str) -> None:
    await declare(broker, "a", "b", "c", "d")

    assert await broker.publish(b"", routing_key="a", headers={header: ["b", "c", "nobody"]}) == 3

    assert await reached(broker) == ["a", "b", "c"]


@pytest.mark.parametrize("type_", ["direct", "topic"])
async def test_an_exchange_routes_by_all_keys(broker: AsyncBroker, type_: str) -> None:
    await broker.declare_exchange("x", type_)
    await declare(broker, "a", "b", "c", "d")
    for name in ("a", "b", "c", "d"):
        await broker.bind(name, "x", f"key.{name}")

    headers = {"CC": ["key.b"], "BCC": ("key.c",)}
    assert await broker.publish(b"", exchange="x", routing_key="key.a", headers=headers) == 3

    assert await reached(broker) == ["a", "b", "c"]


async def test_every_exchange_on_the_path_sees_all_keys(broker: AsyncBroker) -> None:
    first = await broker.declare_exchange("first", "topic")
    second = await broker.declare_exchange("second", "direct")
    third = await broker.declare_exchange("third", "direct")
    await declare(broker, "a", "b", "c")
    await broker.bind(second, first, "to-second")
    await broker.bind(third, second, "to-third")
    await broker.bind("a", second, "a")
    await broker.bind("b", third, "b")
    await broker.bind("c", third, "c")

    headers = {"CC": ["to-third", "a"], "BCC": ["b"]}
    assert await broker.publish(b"", exchange=first, routing_key="to-second", headers=headers) == 2

    assert await reached(broker) == ["a", "b"]


async def test_a_queue_gets_one_copy_whatever_the_keys(broker: AsyncBroker) -> None:
    await declare(broker, "q")
    await broker.bind("q", "amq.topic", "a.#")
    await broker.bind("q", "amq.topic", "#.b")

    headers = {"CC": ["a.b", "a.c", "a.b"], "BCC": ["x.b"]}
    assert await broker.publish(b"", exchange="amq.topic", routing_key="a.b", headers=headers) == 1

    assert await reached(broker) == ["q"]


async def test_a_fanout_exchange_needs_no_key(broker: AsyncBroker) -> None:
    await declare(broker, "q")
    await broker.bind("q", "amq.fanout")

    assert await broker.publish(b"", exchange="amq.fanout", headers={"CC": ["a", "b"]}) == 1


async def test_cc_is_delivered_and_bcc_is_not(broker: AsyncBroker) -> None:
    await declare(broker, "a", "b", "c")
    await broker.publish(b"1", routing_key="a", headers={"h": 1, "CC": ["b"], "BCC": ["c"]}, message_id="m")

    for name in ("a", "b", "c"):
        delivery = await broker.get(name)
        assert delivery is not None
        assert (delivery.body, delivery.properties.message_id) == (b"1", "m")
        assert (delivery.exchange, delivery.routing_key) == ("", "a")  # the key that it was published with
        assert delivery.headers == {"h": 1, "CC": ["b"]}


async def test_one_of_the_keys_is_enough_for_a_mandatory_message(broker: AsyncBroker) -> None:
    await declare(broker, "q")

    assert await broker.publish(b"", routing_key="nobody", headers={"BCC": ["q"]}, mandatory=True) == 1
    with pytest.raises(Unroutable):
        await broker.publish(b"", routing_key="nobody", headers={"CC": ["no one"]}, mandatory=True)


async def test_one_of_the_keys_is_enough_to_keep_the_alternate_exchange_out(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "direct", alternate_exchange="amq.fanout")
    await declare(broker, "q", "other")
    await broker.bind("q", "x", "k")
    await broker.bind("other", "amq.fanout")

    await broker.publish(b"", exchange="x", routing_key="nobody", headers={"CC": ["k"]})

    assert await reached(broker) == ["q"]


async def test_neighbours_of_one_group_keep_their_own_keys(broker: AsyncBroker) -> None:
    await declare(broker, "a", "b", "c")
    more: list[Any] = [{"CC": ["b"]}, {}, {"CC": ["c"]}, {"BCC": ["c"]}, {"BCC": ["b"]}]

    counts = await broker.publish_many(
        [Message(b"%d" % number, routing_key="a", headers=each) for number, each in enumerate(more)]
    )

    assert counts == [2, 1, 2, 2, 2]
    found = {name: [message.body for message in await async_messages(broker, name)] for name in ("a", "b", "c")}
    assert found == {"a": [b"0", b"1", b"2", b"3", b"4"], "b": [b"0", b"4"], "c": [b"2", b"3"]}


@pytest.mark.parametrize("empty", [[], ()])
async def test_an_empty_list_adds_nothing(broker: AsyncBroker, empty: Any) -> None:
    await declare(broker, "q")

    assert await broker.publish(b"", routing_key="q", headers={"CC": empty, "BCC": empty}) == 1


async def test_what_is_no_string_in_the_list_is_passed_over(broker: AsyncBroker) -> None:
    await declare(broker, "a", "b", "5")

    assert await broker.publish(b"", routing_key="a", headers={"CC": [5, None, True, ["b"], b"b"]}) == 2

    assert await reached(broker) == ["a", "b"]
    delivery = await broker.get("a")
    assert delivery is not None
    assert delivery.headers == {"CC": [5, None, True, ["b"], b"b"]}


async def test_other_spellings_are_headers_like_any(broker: AsyncBroker) -> None:
    await declare(broker, "a", "b")

    assert await broker.publish(b"", routing_key="a", headers={"cc": ["b"], "Bcc": ["b"]}) == 1

    delivery = await broker.get("a")
    assert delivery is not None
    assert delivery.headers == {"cc": ["b"], "Bcc": ["b"]}


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize("value", ["b", b"b", 5, None, {"b": 1}, True])
async def test_what_is_no_list_is_a_failed_precondition(
    broker: AsyncBroker, ask: Bare, keys: Keys, header: str, value: Any
) -> None:
    await declare(broker, "a", "b")
    before = ask.dump(keys.prefix)
    group = [Message(b"good", routing_key="a"), Message(b"bad", routing_key="a", headers={header: value})]

    with pytest.raises(PreconditionFailed) as caught:
        await broker.publish_many(group)

    assert (caught.value.argument, caught.value.current) == (f"header {header}", value)
    assert ask.dump(keys.prefix) == before


@pytest.mark.parametrize("header", ["CC", "BCC"])
async def test_a_key_in_the_list_is_at_most_255_bytes_long(
    broker: AsyncBroker, ask: Bare, keys: Keys, header: str
) -> None:
    await declare(broker, "a")
    before = ask.dump(keys.prefix)

    with pytest.raises(InvalidArgument):
        await broker.publish(b"", routing_key="a", headers={header: ["x" * 256]})

    assert ask.dump(keys.prefix) == before


async def test_a_route_is_asked_for_by_all_keys_too(broker: AsyncBroker) -> None:
    await declare(broker, "a", "b", "c")
    for name in ("a", "b", "c"):
        await broker.bind(name, "amq.direct", f"key-{name}")

    headers = {"CC": ["key-b"], "BCC": ["key-c"]}

    assert await broker.route("amq.direct", "key-a", headers) == ["a", "b", "c"]
    assert await broker.route("", "a", {"CC": ["b"]}) == ["a", "b"]
