"""Names, arguments, equivalence and records of exchanges, queues and bindings (RABBITMQ.md 1.1 to 1.3)."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexchange.errors import (
    AccessRefused,
    InvalidArgument,
    NotSupported,
    PreconditionFailed,
    ResourceLocked,
    ScriptError,
    TopologyLost,
)
from rexchange.message import FieldValue, canonical_table, encode_table
from rexchange.topology import (
    PREDECLARED,
    Binding,
    Exchange,
    Queue,
    check_name,
    check_new_name,
    check_vhost,
    compare_exchange,
    compare_queue,
    consumer_timeout_ms,
    decode_binding,
    decode_exchange,
    decode_queue,
    encode_binding_id,
    encode_exchange,
    encode_queue,
    exchange_arguments,
    exchange_type,
    headers_match,
    owned_by,
    pack_destinations,
    queue_arguments,
    unpack_destinations,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=60)
TABLES = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-100, 100) | NAMES, max_size=4)
MINUTE = timedelta(minutes=1)


# --- names


@pytest.mark.parametrize("name", ["", "orders", "a.b/c {d}", "é" * 127, "x" * 255])
def test_names_are_free_text_of_255_bytes(name: str) -> None:
    assert check_name("queue", name) == name.encode()


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a\0b", "a\rb", "a\nb", "\ud800", b"bytes", None, 5])
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_name("queue", name)
    assert caught.value.argument == "queue name"


def test_a_line_end_is_refused_since_rabbitmq_strips_it_silently() -> None:
    with pytest.raises(InvalidArgument, match="RabbitMQ strips the last two silently"):
        check_name("exchange", "a\n")


def test_a_vhost_becomes_a_hash_tag() -> None:
    assert check_vhost("/") == b"/"
    for name in ("", "a{b", "a}b"):
        with pytest.raises(InvalidArgument, match="not empty and has no braces"):
            check_vhost(name)


@pytest.mark.parametrize(("kind", "name"), [("exchange", "amq.mine"), ("queue", "amq.gen-1"), ("exchange", "")])
def test_reserved_names_are_not_for_making(kind: str, name: str) -> None:
    with pytest.raises(AccessRefused) as caught:
        check_new_name(kind, name)
    assert caught.value.kind == kind


def test_new_names() -> None:
    assert check_new_name("queue", "amqp") == b"amqp"
    with pytest.raises(InvalidArgument, match="not empty"):
        check_new_name("queue", "")


def test_what_every_vhost_has() -> None:
    assert {name: exchange.type for name, exchange in PREDECLARED.items()} == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.rabbitmq.trace": "topic",
    }
    assert [name for name, exchange in PREDECLARED.items() if exchange.internal] == ["amq.rabbitmq.trace"]
    assert all(exchange.durable and not exchange.auto_delete for exchange in PREDECLARED.values())


def test_exchange_types() -> None:
    letters = [exchange_type(name) for name in ("direct", "fanout", "topic", "headers")]
    assert letters == [b"d", b"f", b"t", b"h"]


def test_an_unknown_type_is_406() -> None:
    with pytest.raises(PreconditionFailed) as caught:
        exchange_type("topics", "logs")
    assert (caught.value.name, caught.value.argument, caught.value.current) == ("logs", "type", "topics")


@pytest.mark.parametrize(
    "name",
    ["x-delayed-message", "x-consistent-hash", "x-modulus-hash", "x-random", "x-local-random", "x-recent-history"],
)
def test_a_type_of_a_plugin_is_not_supported(name: str) -> None:
    with pytest.raises(NotSupported, match=name):
        exchange_type(name)


def test_a_type_that_is_no_text_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument):
        exchange_type(None)


# --- arguments


def test_the_typed_option_and_its_raw_form_are_one() -> None:
    both = {"x-consumer-timeout": 60_000}
    assert queue_arguments(None, ack_timeout=MINUTE) == both
    assert queue_arguments(both) == both
    assert queue_arguments(both, ack_timeout=MINUTE) == both
    assert queue_arguments(None) == queue_arguments({}) == {}


def test_the_callers_dict_is_left_alone() -> None:
    raw: dict[str, FieldValue] = {"x-mine": 1}
    assert queue_arguments(raw, ack_timeout=MINUTE) == {"x-mine": 1, "x-consumer-timeout": 60_000}
    assert raw == {"x-mine": 1}


def test_an_option_that_contradicts_its_raw_form_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments({"x-consumer-timeout": 60_001}, ack_timeout=MINUTE)
    assert caught.value.argument == "ack_timeout"
    with pytest.raises(InvalidArgument):
        exchange_arguments({"alternate-exchange": "a"}, alternate_exchange="b")


@pytest.mark.parametrize("ack_timeout", [timedelta(0), timedelta(microseconds=999), timedelta(days=50), 60, "60"])
def test_an_ack_timeout_has_a_range(ack_timeout: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments(None, ack_timeout=ack_timeout)
    assert caught.value.argument == "ack_timeout"


@pytest.mark.parametrize("raw", [[("a", 1)], "x-mine", {"a": object()}, {1: 2}])
def test_arguments_are_a_table(raw: Any) -> None:
    with pytest.raises(InvalidArgument):
        queue_arguments(raw)


ILLEGAL: list[tuple[str, Any]] = [
    ("x-consumer-timeout", 0),
    ("x-consumer-timeout", "60000"),
    ("x-consumer-timeout", True),
    ("x-consumer-timeout", 2**32),
    ("x-queue-type", "fast"),
    ("x-queue-type", 1),
    ("x-message-ttl", -1),
    ("x-message-ttl", "0"),
    ("x-expires", 0),
    ("x-max-length", -1),
    ("x-max-length-bytes", 1.0),
    ("x-max-priority", 256),
    ("x-max-priority", -1),
    ("x-overflow", "drop-tail"),
    ("x-dead-letter-exchange", 5),
    ("x-dead-letter-routing-key", 5),
    ("x-dead-letter-routing-key", "without an exchange"),
    ("x-single-active-consumer", 1),
    ("x-delivery-limit", "20"),
    ("x-dead-letter-strategy", "twice"),
    ("x-max-age", 5),
]
LATER: list[tuple[str, Any]] = [
    ("x-queue-type", "quorum"),
    ("x-queue-type", "stream"),
    ("x-message-ttl", 0),
    ("x-expires", 1),
    ("x-max-length", 0),
    ("x-max-length-bytes", 1),
    ("x-max-priority", 10),
    ("x-overflow", "reject-publish"),
    ("x-overflow", b"drop-head"),
    ("x-dead-letter-exchange", ""),
    ("x-single-active-consumer", False),
    ("x-delivery-limit", -1),
    ("x-dead-letter-strategy", "at-least-once"),
    ("x-max-age", "7D"),
    ("x-stream-max-segment-size-bytes", 1),
    ("x-stream-of-tomorrow", None),
]


@pytest.mark.parametrize(("argument", "value"), ILLEGAL)
def test_a_value_that_rabbitmq_refuses_is_406(argument: str, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        queue_arguments({argument: value}, name="orders")
    assert (caught.value.name, caught.value.argument, caught.value.current) == ("orders", argument, value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("argument", "value"), LATER)
def test_what_rexchange_does_not_have_yet_is_refused_and_not_ignored(argument: str, value: Any) -> None:
    with pytest.raises(NotSupported, match="ignoring it would change what the queue does") as caught:
        queue_arguments({argument: value}, name="orders")
    assert (caught.value.argument, caught.value.wanted) == (argument, value)
    assert argument in str(caught.value)


def test_an_illegal_value_comes_before_what_is_not_there_yet() -> None:
    with pytest.raises(PreconditionFailed):
        queue_arguments({"x-max-length": 5, "x-expires": 0})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("x-queue-mode", "lazy"),
        ("queue-mode", "lazy"),
        ("x-queue-master-locator", "min-masters"),
        ("x-queue-version", 2),
        ("x-mine", [1]),
        ("foo", None),
        ("x-queue-type", "classic"),
        ("x-queue-type", b"classic"),
        ("x-consumer-timeout", 1),
    ],
)
def test_these_are_kept(argument: str, value: Any) -> None:
    assert queue_arguments({argument: value}) == {argument: value}


def test_exchange_arguments() -> None:
    assert exchange_arguments(None) == {}
    assert exchange_arguments({"x-mine": 1}, alternate_exchange="ae") == {"x-mine": 1, "alternate-exchange": "ae"}
    assert exchange_arguments({"alternate-exchange": b"ae"}, alternate_exchange="ae") == {"alternate-exchange": "ae"}


@pytest.mark.parametrize("value", [5, None, True, ["ae"]])
def test_an_alternate_exchange_that_is_no_string_is_406(value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        exchange_arguments({"alternate-exchange": value}, name="logs")
    assert (caught.value.name, caught.value.argument) == ("logs", "alternate-exchange")


def test_an_alternate_exchange_is_a_name() -> None:
    for given_as in ({"raw": {"alternate-exchange": "a\nb"}}, {"raw": None, "alternate_exchange": "a\nb"}):
        with pytest.raises(InvalidArgument):
            exchange_arguments(**given_as)


def test_a_consumers_own_timeout_is_the_option_or_its_raw_form_and_0_is_none() -> None:
    assert consumer_timeout_ms(None) == consumer_timeout_ms({"x-priority": 5}) == 0
    assert consumer_timeout_ms({"x-consumer-timeout": 60_000}) == 60_000
    assert consumer_timeout_ms({"x-consumer-timeout": 60_000}, ack_timeout=MINUTE) == 60_000
    with pytest.raises(InvalidArgument):
        consumer_timeout_ms({"x-consumer-timeout": 5}, ack_timeout=MINUTE)
    with pytest.raises(PreconditionFailed):
        consumer_timeout_ms({"x-consumer-timeout": 0})


# --- headers match forms


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        ({}, b"a"),
        ({"x-match": "any"}, b"o"),
        ({"x-match": b"any"}, b"o"),
        ({"x-match": "all", "x-a": 1}, b"a"),
        ({"x-match": "all-with-x", "x-a": 1}, b"a3:x-a2:i1"),
        ({"x-match": "any-with-x", "x-a": 1}, b"o3:x-a2:i1"),
        ({"b": "x", "a": None}, b"a1:a0:1:b2:sx"),
        ({"b": b"x"}, b"a1:b2:sx"),
        ({"b": {"d": 1, "c": b"x"}}, b"a1:b15:m1:c2:sx1:d2:i1"),
    ],
)
def test_headers_match_forms(arguments: dict[str, FieldValue], form: bytes) -> None:
    assert headers_match(arguments) == form


@pytest.mark.parametrize("mode", ["some", "ALL", "", 1, None, True])
def test_a_wrong_x_match_is_406(mode: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        headers_match({"x-match": mode}, "logs")
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("binding", "logs", "x-match")


# --- equivalence


def test_the_same_exchange_again_is_fine_whatever_its_other_arguments() -> None:
    one = Exchange("logs", "topic", arguments={"alternate-exchange": "ae", "x-mine": 1})
    compare_exchange(one, Exchange("logs", "topic", arguments={"alternate-exchange": b"ae"}))


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("type", Exchange("logs", "fanout")),
        ("durable", Exchange("logs", "topic", durable=False)),
        ("auto_delete", Exchange("logs", "topic", auto_delete=True)),
        ("internal", Exchange("logs", "topic", internal=True)),
        ("alternate-exchange", Exchange("logs", "topic", arguments={"alternate-exchange": "ae"})),
    ],
)
def test_an_exchange_that_differs_is_406(argument: str, wanted: Exchange) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        compare_exchange(Exchange("logs", "topic"), wanted)
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("exchange", "logs", argument)
    assert caught.value.current != caught.value.wanted


@pytest.mark.parametrize(
    "wanted",
    [
        Queue("orders"),
        Queue("orders", arguments={"x-queue-type": "classic"}),
        Queue("orders", arguments={"x-queue-type": b"classic"}),
        Queue("orders", arguments={"x-mine": 1, "foo": 2}),
        Queue("orders", owner="a session that does not own it"),
    ],
)
def test_the_same_queue_again_is_fine(wanted: Queue) -> None:
    compare_queue(Queue("orders", incarnation="1", message_count=5), wanted)
    compare_queue(wanted, Queue("orders"))


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("durable", Queue("orders", durable=False)),
        ("auto_delete", Queue("orders", auto_delete=True)),
        ("x-consumer-timeout", Queue("orders", arguments={"x-consumer-timeout": 5})),
        ("x-queue-type", Queue("orders", arguments={"x-queue-type": "quorum"})),
        ("x-max-length", Queue("orders", arguments={"x-max-length": 0})),
    ],
)
def test_a_queue_that_differs_is_406_both_ways(argument: str, wanted: Queue) -> None:
    for one, other in ((Queue("orders"), wanted), (wanted, Queue("orders"))):
        with pytest.raises(PreconditionFailed) as caught:
            compare_queue(one, other)
        assert (caught.value.kind, caught.value.name, caught.value.argument) == ("queue", "orders", argument)
        assert caught.value.current != caught.value.wanted


def test_types_of_values_count() -> None:
    with pytest.raises(PreconditionFailed):
        compare_queue(
            Queue("orders", arguments={"x-consumer-timeout": 1}), Queue("orders", arguments={"x-consumer-timeout": "1"})
        )


def test_a_queue_is_given_its_owner() -> None:
    assert owned_by(Queue("orders", exclusive=True), "mine") == Queue("orders", exclusive=True, owner="mine")


MINE = Queue("orders", exclusive=True, owner="mine")


def test_an_exclusive_queue_again_by_its_session_is_fine_durable_or_not() -> None:
    compare_queue(MINE, MINE)
    compare_queue(MINE, Queue("orders", durable=False, exclusive=True, owner="mine"))


@pytest.mark.parametrize(
    ("existing", "wanted", "words"),
    [
        (MINE, Queue("orders", exclusive=True, owner="yours"), "is exclusive to another session"),
        (MINE, Queue("orders"), "is exclusive, and this declare wants it not exclusive"),
        (Queue("orders"), MINE, "is not exclusive, and this declare wants it exclusive"),
    ],
)
def test_exclusivity_that_differs_is_405(existing: Queue, wanted: Queue, words: str) -> None:
    with pytest.raises(ResourceLocked, match=words) as caught:
        compare_queue(existing, wanted)
    assert caught.value.argument == "exclusive"


# --- records


@given(
    name=NAMES,
    kind=st.sampled_from(["direct", "fanout", "topic", "headers"]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    arguments=TABLES,
    alternate=st.none() | NAMES | st.just(""),
)
def test_an_exchange_comes_back_from_its_record(
    name: str,
    kind: str,
    flags: tuple[bool, bool, bool],
    arguments: dict[str, FieldValue],
    alternate: str | None,
) -> None:
    arguments.pop("alternate-exchange", None)
    exchange = Exchange(name, kind, *flags, exchange_arguments(arguments, alternate_exchange=alternate))
    head, tail = encode_exchange(exchange)
    assert decode_exchange(name.encode(), head + b";17;" + tail, key=b"key") == exchange
    assert exchange.alternate_exchange == alternate


def test_the_record_of_an_exchange() -> None:
    assert encode_exchange(Exchange("logs", "topic")) == (b"t100", b"-")
    exchange = Exchange("logs", "fanout", False, True, True, {"alternate-exchange": b"ae"})
    assert encode_exchange(exchange) == (b"f011", b"2:ae18:alternate-exchange3:bae")


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
    "record", [b"", b"t100", b"t100;1", b"x100;1;-", b"t10;1;-", b"t102;1;-", b"t100;1;5:ae", b"t100;1;-junk"]
)
def test_a_corrupt_record_of_an_exchange_is_lost_topology_that_names_the_key(record: bytes) -> None:
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:exchanges is corrupt") as caught:
        decode_exchange(b"logs", record, key=b"rx:{/}:exchanges")
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("exchange", "logs", "rx:{/}:exchanges")


@pytest.mark.parametrize(
    "record",
    [b"", b"10;1;0", b"1;1;0;0:", b"100;1;0;0:", b"1x;1;0;0:", b"10;1;0;9:a", b"10;1;0;0:junk", b"10;\xff;0;0:"],
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
