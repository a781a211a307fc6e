"""Exchanges, queues and bindings come back from what Redis keeps; what is corrupt is named with its key."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexchange.arguments import exchange_arguments
from rexchange.codec import FieldValue, canonical_table, encode_table
from rexchange.errors import InvalidArgument, PreconditionFailed, ScriptError, TopologyLost
from rexchange.records import (
    decode_binding,
    decode_exchange,
    decode_queue,
    encode_binding_id,
    encode_exchange,
    encode_queue,
    pack_destinations,
    unpack_destinations,
)
from rexchange.topology import DELAYED, TYPES, Binding, Exchange, Queue

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=60)
TABLES = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-100, 100) | NAMES, max_size=4)
MINE = Queue("orders", exclusive=True, owner="mine")


@given(
    name=NAMES,
    kind=st.sampled_from(TYPES),
    delayed=st.sampled_from([name for name in TYPES if name != DELAYED]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    arguments=TABLES,
    alternate=st.none() | NAMES | st.just(""),
)
def test_an_exchange_comes_back_from_its_record(
    name: str,
    kind: str,
    delayed: str,
    flags: tuple[bool, bool, bool],
    arguments: dict[str, FieldValue],
    alternate: str | None,
) -> None:
    arguments.pop("alternate-exchange", None)
    if kind == DELAYED:
        arguments["x-delayed-type"] = delayed
    exchange = Exchange(name, kind, *flags, exchange_arguments(arguments, alternate_exchange=alternate))
    head, tail = encode_exchange(exchange)
    assert decode_exchange(name.encode(), head + b";17;" + tail, key=b"key") == exchange
    assert exchange.alternate_exchange == alternate


def test_the_record_of_an_exchange() -> None:
    assert encode_exchange(Exchange("logs", "topic")) == (b"t100", b"-")
    exchange = Exchange("logs", "fanout", False, True, True, {"alternate-exchange": b"ae"})
    assert encode_exchange(exchange) == (b"f011", b"2:ae18:alternate-exchange3:bae")


@pytest.mark.parametrize(
    ("kind", "letter"),
    [
        ("direct", b"d"),
        ("fanout", b"f"),
        ("topic", b"t"),
        ("headers", b"h"),
        ("x-consistent-hash", b"c"),
        ("x-modulus-hash", b"m"),
        ("x-random", b"r"),
        ("x-recent-history", b"y"),
    ],
)
def test_every_type_has_a_letter_and_a_delaying_exchange_that_of_what_it_routes_by(kind: str, letter: bytes) -> None:
    assert encode_exchange(Exchange("logs", kind)) == (letter + b"100", b"-")
    for value in (kind, kind.encode()):
        exchange = Exchange("logs", DELAYED, True, False, True, {"x-delayed-type": value})
        head, tail = encode_exchange(exchange)
        assert (head, tail) == (letter + b"101D", b"-" + encode_table(exchange.arguments))
        assert decode_exchange(b"logs", head + b";1;" + tail, key=b"key") == exchange


def test_the_alternate_exchange_of_a_policy_stands_in_the_record_where_there_is_none_of_its_own() -> None:
    assert encode_exchange(Exchange("logs", "topic"), "ae") == (b"t100", b"2:ae")
    own = Exchange("logs", "topic", arguments={"alternate-exchange": "own"})
    assert encode_exchange(own, "ae") == encode_exchange(own) == (b"t100", b"3:own18:alternate-exchange4:sown")


@given(
    name=NAMES,
    flags=st.tuples(st.booleans(), st.booleans()),
    owner=st.just("") | NAMES,
    arguments=TABLES,
    timeout=st.none() | st.integers(1, 2**32 - 1),
)
def test_a_queue_comes_back_from_its_record(
    name: str,
    flags: tuple[bool, bool],
    owner: str,
    arguments: dict[str, FieldValue],
    timeout: int | None,
) -> None:
    durable, auto_delete = flags
    if timeout:
        arguments["x-consumer-timeout"] = timeout
    queue = Queue(
        name,
        durable=durable and not owner,
        exclusive=owner != "",
        auto_delete=auto_delete,
        arguments=arguments,
        owner=owner,
        incarnation="17",
        message_count=3,
        consumer_count=2,
    )
    head, tail = encode_queue(queue)
    record = head + b";17;" + tail
    assert decode_queue(name.encode(), record, key=b"key", message_count=3, consumer_count=2) == queue
    assert queue.ack_timeout == (timedelta(milliseconds=timeout) if timeout else None)


def test_the_record_of_a_queue() -> None:
    assert encode_queue(Queue("orders")) == (b"10", b"0;0:")
    queue = Queue("orders", auto_delete=True, arguments={"x-consumer-timeout": 5}, owner="not exclusive, so nobody's")
    assert encode_queue(queue) == (b"11", b"5;0:18:x-consumer-timeout2:i5")
    assert encode_queue(MINE) == (b"00", b"0;4:mine")


@pytest.mark.parametrize("name", ["a\nb", "x" * 256])
def test_an_alternate_exchange_is_a_name(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_exchange(Exchange("logs", "topic", arguments={"alternate-exchange": name}))
    assert caught.value.argument == "alternate-exchange name"


def test_the_type_of_an_exchange_is_checked() -> None:
    with pytest.raises(PreconditionFailed):
        encode_exchange(Exchange("logs", "topics"))


def test_an_exclusive_queue_has_an_owner() -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_queue(Queue("orders", exclusive=True))
    assert caught.value.argument == "owner"


@given(
    source=NAMES,
    destination=NAMES,
    kind=st.sampled_from(["queue", "exchange"]),
    key=NAMES | st.just(""),
    arguments=TABLES,
)
def test_a_binding_comes_back_from_its_id(
    source: str, destination: str, kind: Any, key: str, arguments: dict[str, FieldValue]
) -> None:
    binding = Binding(source, destination, kind, key, arguments)
    stored = encode_table(arguments)
    assert decode_binding(source.encode(), encode_binding_id(binding), stored, key=b"key") == binding


def test_a_binding_is_the_same_whatever_the_order_of_its_arguments() -> None:
    one = Binding("logs", "orders", "queue", "a.#", {"b": b"x", "a": 1})
    other = Binding("logs", "orders", "queue", "a.#", {"a": 1, "b": "x"})
    assert encode_binding_id(one) == encode_binding_id(other)
    assert encode_binding_id(one) == b"q6:orders3:a.#" + canonical_table({"a": 1, "b": "x"})
    others = [
        Binding("logs", "orders", "exchange", "a.#", one.arguments),
        Binding("logs", "orders", "queue", "a.*", one.arguments),
        Binding("logs", "orders", "queue", "a.#", {"a": 1}),
    ]
    assert encode_binding_id(one) not in [encode_binding_id(binding) for binding in others]


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"t100",
        b"t100;1",
        b"x100;1;-",
        b"t10;1;-",
        b"t102;1;-",
        b"t100;1;5:ae",
        b"t100;1;-junk",
        b"t100d;1;-",
        b"t100;one;-",
    ],
)
def test_a_corrupt_record_of_an_exchange_is_lost_topology_that_names_the_key(record: bytes) -> None:
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:exchanges is corrupt") as caught:
        decode_exchange(b"logs", record, key=b"rx:{/}:exchanges")
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("exchange", "logs", "rx:{/}:exchanges")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"10;1;0",
        b"1;1;0;0:",
        b"100;1;0;0:",
        b"1x;1;0;0:",
        b"10;1;0;9:a",
        b"10;1;0;0:junk",
        b"10;\xff;0;0:",
        b"10;1;five;0:",
    ],
)
def test_a_corrupt_record_of_a_queue_is_lost_topology_that_names_the_key(record: bytes) -> None:
    with pytest.raises(TopologyLost, match=r"queue 'orders' in rx:\{/\}:queues is corrupt"):
        decode_queue(b"orders", record, key=b"rx:{/}:queues")


@pytest.mark.parametrize(
    ("binding_id", "arguments"),
    [(b"", b""), (b"z1:a1:b", b""), (b"q1:a", b""), (b"q1:\xff0:", b""), (b"q1:a0:", b"junk")],
)
def test_a_corrupt_binding_is_lost_topology_that_names_the_key(binding_id: bytes, arguments: bytes) -> None:
    with pytest.raises(TopologyLost, match=r"binding 'logs' in rx:\{/\}:bindings:logs is corrupt"):
        decode_binding(b"logs", binding_id, arguments, key=b"rx:{/}:bindings:logs")


def test_packed_destinations() -> None:
    packed = pack_destinations([("queue", b"orders"), ("exchange", "é".encode())])
    assert packed == b"q6:ordersx2:\xc3\xa9"
    assert unpack_destinations(packed) == [("queue", "orders"), ("exchange", "é")]
    assert unpack_destinations(b"") == []
    for corrupt in (b"z1:a", b"q5:a", b"q1:aq"):
        with pytest.raises(ScriptError, match="corrupt"):
            unpack_destinations(corrupt)
