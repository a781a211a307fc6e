# Generated from tests/conformance/async_/test_cc.py by `python tools/unasync.py`. Do not edit.
"""CC and BCC: more routing keys in headers (docs/semantics.md, Bindings and routing)."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange import Broker, Message
from rexchange.errors import InvalidArgument, PreconditionFailed, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import messages
from tests.support.servers import Bare


def declare(broker: Broker, *queues: str) -> None:
    """Declare queues."""
    for queue in queues:
        broker.declare_queue(queue)


def reached(broker: Broker) -> list[str]:
    """Return which queues hold one message; none holds more."""
    infos = broker.queues()
    assert {info.ready for info in infos} <= {0, 1}
    return [info.name for info in infos if info.ready]


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_the_default_exchange_routes_by_all_keys(broker: Broker, header: str) -> None:
    declare(broker, "a", "b", "c", "d")

    assert broker.publish(b"", routing_key="a", headers={header: ["b", "c", "nobody"]}) == 3

    assert reached(broker) == ["a", "b", "c"]


@pytest.mark.parametrize("type_", ["direct", "topic"])
def test_an_exchange_routes_by_all_keys(broker: Broker, type_: str) -> None:
    broker.declare_exchange("x", type_)
    declare(broker, "a", "b", "c", "d")
    for name in ("a", "b", "c", "d"):
        broker.bind(name, "x", f"key.{name}")

    headers = {"CC": ["key.b"], "BCC": ("key.c",)}
    assert broker.publish(b"", exchange="x", routing_key="key.a", headers=headers) == 3

    assert reached(broker) == ["a", "b", "c"]


def test_every_exchange_on_the_path_sees_all_keys(broker: Broker) -> None:
    first = broker.declare_exchange("first", "topic")
    second = broker.declare_exchange("second", "direct")
    third = broker.declare_exchange("third", "direct")
    declare(broker, "a", "b", "c")
    broker.bind(second, first, "to-second")
    broker.bind(third, second, "to-third")
    broker.bind("a", second, "a")
    broker.bind("b", third, "b")
    broker.bind("c", third, "c")

    headers = {"CC": ["to-third", "a"], "BCC": ["b"]}
    assert broker.publish(b"", exchange=first, routing_key="to-second", headers=headers) == 2

    assert reached(broker) == ["a", "b"]


def test_a_queue_gets_one_copy_whatever_the_keys(broker: Broker) -> None:
    declare(broker, "q")
    broker.bind("q", "amq.topic", "a.#")
    broker.bind("q", "amq.topic", "#.b")

    headers = {"CC": ["a.b", "a.c", "a.b"], "BCC": ["x.b"]}
    assert broker.publish(b"", exchange="amq.topic", routing_key="a.b", headers=headers) == 1

    assert reached(broker) == ["q"]


def test_a_fanout_exchange_needs_no_key(broker: Broker) -> None:
    declare(broker, "q")
    broker.bind("q", "amq.fanout")

    assert broker.publish(b"", exchange="amq.fanout", headers={"CC": ["a", "b"]}) == 1


def test_cc_is_delivered_and_bcc_is_not(broker: Broker) -> None:
    declare(broker, "a", "b", "c")
    broker.publish(b"1", routing_key="a", headers={"h": 1, "CC": ["b"], "BCC": ["c"]}, message_id="m")

    for name in ("a", "b", "c"):
        delivery = broker.get(name)
        assert delivery is not None
        assert (delivery.body, delivery.properties.message_id) == (b"1", "m")
        assert (delivery.exchange, delivery.routing_key) == ("", "a")  # the key that it was published with
        assert delivery.headers == {"h": 1, "CC": ["b"]}


def test_one_of_the_keys_is_enough_for_a_mandatory_message(broker: Broker) -> None:
    declare(broker, "q")

    assert broker.publish(b"", routing_key="nobody", headers={"BCC": ["q"]}, mandatory=True) == 1
    with pytest.raises(Unroutable):
        broker.publish(b"", routing_key="nobody", headers={"CC": ["no one"]}, mandatory=True)


def test_one_of_the_keys_is_enough_to_keep_the_alternate_exchange_out(broker: Broker) -> None:
    broker.declare_exchange("x", "direct", alternate_exchange="amq.fanout")
    declare(broker, "q", "other")
    broker.bind("q", "x", "k")
    broker.bind("other", "amq.fanout")

    broker.publish(b"", exchange="x", routing_key="nobody", headers={"CC": ["k"]})

    assert reached(broker) == ["q"]


def test_neighbours_of_one_group_keep_their_own_keys(broker: Broker) -> None:
    declare(broker, "a", "b", "c")
    more: list[Any] = [{"CC": ["b"]}, {}, {"CC": ["c"]}, {"BCC": ["c"]}, {"BCC": ["b"]}]

    counts = broker.publish_many(
        [Message(b"%d" % number, routing_key="a", headers=each) for number, each in enumerate(more)]
    )

    assert counts == [2, 1, 2, 2, 2]
    found = {name: [message.body for message in messages(broker, name)] for name in ("a", "b", "c")}
    assert found == {"a": [b"0", b"1", b"2", b"3", b"4"], "b": [b"0", b"4"], "c": [b"2", b"3"]}


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_adds_nothing(broker: Broker, empty: Any) -> None:
    declare(broker, "q")

    assert broker.publish(b"", routing_key="q", headers={"CC": empty, "BCC": empty}) == 1


def test_what_is_no_string_in_the_list_is_passed_over(broker: Broker) -> None:
    declare(broker, "a", "b", "5")

    assert broker.publish(b"", routing_key="a", headers={"CC": [5, None, True, ["b"], b"b"]}) == 2

    assert reached(broker) == ["a", "b"]
    delivery = broker.get("a")
    assert delivery is not None
    assert delivery.headers == {"CC": [5, None, True, ["b"], b"b"]}


def test_other_spellings_are_headers_like_any(broker: Broker) -> None:
    declare(broker, "a", "b")

    assert broker.publish(b"", routing_key="a", headers={"cc": ["b"], "Bcc": ["b"]}) == 1

    delivery = broker.get("a")
    assert delivery is not None
    assert delivery.headers == {"cc": ["b"], "Bcc": ["b"]}


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize("value", ["b", b"b", 5, None, {"b": 1}, True])
def test_what_is_no_list_is_a_failed_precondition(
    broker: Broker, ask: Bare, keys: Keys, header: str, value: Any
) -> None:
    declare(broker, "a", "b")
    before = ask.dump(keys.prefix)
    group = [Message(b"good", routing_key="a"), Message(b"bad", routing_key="a", headers={header: value})]

    with pytest.raises(PreconditionFailed) as caught:
        broker.publish_many(group)

    assert (caught.value.argument, caught.value.current) == (f"header {header}", value)
    assert ask.dump(keys.prefix) == before


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_key_in_the_list_is_at_most_255_bytes_long(broker: Broker, ask: Bare, keys: Keys, header: str) -> None:
    declare(broker, "a")
    before = ask.dump(keys.prefix)

    with pytest.raises(InvalidArgument):
        broker.publish(b"", routing_key="a", headers={header: ["x" * 256]})

    assert ask.dump(keys.prefix) == before


def test_a_route_is_asked_for_by_all_keys_too(broker: Broker) -> None:
    declare(broker, "a", "b", "c")
    for name in ("a", "b", "c"):
        broker.bind(name, "amq.direct", f"key-{name}")

    headers = {"CC": ["key-b"], "BCC": ["key-c"]}

    assert broker.route("amq.direct", "key-a", headers) == ["a", "b", "c"]
    assert broker.route("", "a", {"CC": ["b"]}) == ["a", "b"]
