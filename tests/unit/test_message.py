"""Messages are checked in full, and an envelope gives back what it was given."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexchange.codec import FieldValue, decode_table, encode_table, netstring
from rexchange.errors import ContentTooLarge, InvalidArgument, PreconditionFailed, ScriptError
from rexchange.message import (
    Message,
    Properties,
    decode_envelope,
    decode_properties,
    encode_envelope,
    encode_options,
    expiration_ms,
    validate,
)

MIB = 1024 * 1024
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
HEADERS = st.dictionaries(KEYS, st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | KEYS, max_size=4)


def untyped(**arguments: Any) -> Message:
    """A message as a program without type checks would make it."""
    return Message(**arguments)


def refusal(**arguments: Any) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        validate(untyped(**{"body": b"", **arguments}), MIB)
    return caught.value


@given(
    exchange=KEYS,
    key=KEYS,
    headers=HEADERS,
)
def test_an_envelope_comes_back(exchange: str, key: str, headers: dict[str, FieldValue]) -> None:
    message = Message(b"", exchange=exchange, routing_key=key, headers=headers, content_type="text/plain")
    found, found_key, properties, table = decode_envelope(validate(message, 0))
    assert (found, found_key) == (exchange, key)
    assert decode_properties(properties) == Properties(content_type="text/plain")
    assert decode_table(table) == headers


def test_an_envelope_is_four_netstrings() -> None:
    assert encode_envelope(Message(b"", exchange="ex", routing_key="key")) == b"2:ex3:key0:0:"
    message = Message(b"", routing_key="q", headers={"a": 1}, priority=5)
    assert encode_envelope(message) == b"0:1:q14:8:priority2:i57:1:a2:i1"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for decode in (decode_properties, decode_envelope):
        try:
            decode(raw)
        except ScriptError as error:
            assert "corrupt" in str(error)  # noqa: PT017 - either is fine, nothing else is


def test_what_a_later_release_appends_is_not_read() -> None:
    raw = encode_envelope(Message(b"", exchange="ex", routing_key="key"))
    assert decode_envelope(raw + b"7:deaths!") == ("ex", "key", b"", b"")
    table: dict[str, FieldValue] = {"content_type": "a/b", "of_tomorrow": 1}
    later = encode_table(table)
    assert decode_properties(later) == Properties(content_type="a/b")


def test_all_properties_come_back() -> None:
    message = Message(
        b"",
        content_type="text/plain",
        content_encoding="gzip",
        delivery_mode=2,
        priority=255,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        type="t",
        user_id="u",
        app_id="a",
        cluster_id="cl",
    )
    properties = decode_properties(decode_envelope(encode_envelope(message))[2])
    assert properties == Properties(**message.properties)


def test_a_property_of_none_is_not_there() -> None:
    assert encode_envelope(Message(b"", message_id=None)) == b"0:0:0:0:"
    assert decode_properties(b"") == Properties()


def test_a_stored_property_of_a_wrong_type_is_corrupt() -> None:
    with pytest.raises(ScriptError, match="property priority of a message is corrupt"):
        decode_properties(encode_table({"priority": "high"}))


@pytest.mark.parametrize("headers", [{"n": 1}, {"n": 1, "long": "x" * 200}], ids=["small", "large"])
def test_a_corrupt_envelope_is_named(headers: dict[str, FieldValue]) -> None:
    raw = encode_envelope(Message(b"", exchange="ex", headers=headers))
    for cut in (0, 3, len(raw) - 1):
        with pytest.raises(ScriptError, match="the envelope of a message is corrupt"):
            decode_envelope(raw[:cut])


@pytest.mark.parametrize("body", [b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]])
def test_bodies_are_any_bytes_and_are_copied_where_they_may_change(body: bytes | bytearray | memoryview) -> None:
    message = Message(body)
    assert message.body == b"abc"
    assert type(message.body) is bytes
    validate(message, 3)


def test_a_body_of_a_subclass_of_bytes_is_fine() -> None:
    class Special(bytes):
        __slots__ = ()

    assert type(Message(Special(b"abc")).body) is bytes


@pytest.mark.parametrize(
    ("arguments", "argument", "wanted"),
    [
        ({"body": "text"}, "body", "bytes: use .encode() or Message.json"),
        ({"body": 5}, "body", "bytes, bytearray or memoryview"),
        ({"body": None}, "body", "bytes, bytearray or memoryview"),
        ({"exchange": 5}, "exchange", "a str"),
        ({"exchange": []}, "exchange or routing_key", "a str"),
        ({"routing_key": b"bytes"}, "routing_key", "a str"),
        ({"routing_key": None, "priority": 1}, "routing_key", "a str"),
        ({"routing_key": "é" * 128}, "routing_key", "at most 255 bytes of UTF-8, and it has 256"),
        ({"routing_key": "\ud800"}, "routing_key", "UTF-8"),
        ({"headers": [("a", 1)]}, "headers", "a dict"),
        ({"headers": {5: 1}}, "a key of headers", "a str"),
        ({"headers": {"a": object()}}, "headers['a']", "None, bool, int"),
        ({"headers": {"a": {"b": [0, 2**63]}}}, "headers['a']['b'][1]", "64 bits"),
        ({"mandatory": 1}, "mandatory", "a bool"),
        ({"content_type": 5}, "content_type", "a str"),
        ({"message_id": "x" * 256}, "message_id", "at most 255 bytes"),
        ({"delivery_mode": 3}, "delivery_mode", "1 (transient) or 2 (persistent)"),
        ({"delivery_mode": True}, "delivery_mode", "1 (transient) or 2 (persistent)"),
        ({"priority": 256}, "priority", "from 0 to 255"),
        ({"priority": -1}, "priority", "from 0 to 255"),
        ({"priority": "5"}, "priority", "from 0 to 255"),
        ({"timestamp": 5}, "timestamp", "a datetime with a time zone"),
        ({"timestamp": datetime(2026, 1, 1)}, "timestamp", "a datetime with a time zone"),  # noqa: DTZ001 - naive
        ({"expiration": 60000}, "expiration", "as a str"),
        ({"colour": "red"}, "colour", "one of the AMQP properties: content_type,"),
    ],
)
def test_what_is_wrong_with_a_message_is_named(arguments: dict[str, Any], argument: str, wanted: str) -> None:
    error = refusal(**arguments)
    assert error.argument == argument
    assert wanted in error.wanted


@pytest.mark.parametrize("expiration", ["5 ", "abc", "-1", "", "1.5", "²", "4294967296"])
def test_an_expiration_that_is_no_number_fails_as_in_rabbitmq(expiration: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        validate(Message(b"", expiration=expiration), MIB)
    assert caught.value.argument == "expiration"


@pytest.mark.parametrize("expiration", ["0", "60000", "007", "4294967295"])
def test_an_expiration_is_kept_as_it_was_given(expiration: str) -> None:
    assert expiration_ms(expiration) == int(expiration)
    properties = decode_envelope(validate(Message(b"", expiration=expiration), MIB))[2]
    assert decode_properties(properties).expiration == expiration


# --- CC and BCC: more routing keys


def own_part(envelope: bytes) -> bytes:
    """What follows headers in an envelope, which consumers do not see."""
    *_, headers = decode_envelope(envelope)
    return envelope.rpartition(netstring(headers))[2]


def test_cc_is_shown_to_consumers_and_bcc_is_not() -> None:
    message = Message(b"", routing_key="a", headers={"CC": ["b"], "BCC": ["c", b"d"], "x": 1})
    envelope = encode_envelope(message)
    assert decode_table(decode_envelope(envelope)[3]) == {"CC": ["b"], "x": 1}
    assert own_part(envelope) == netstring(encode_table({"k": ["c", "d"]}))
    assert message.headers == {"CC": ["b"], "BCC": ["c", b"d"], "x": 1}


def test_without_bcc_the_broker_keeps_nothing_for_itself() -> None:
    for name in ("CC", "cc", "bcc", "Bcc"):
        envelope = encode_envelope(Message(b"", headers={name: ["a"]}))
        assert (own_part(envelope), decode_table(decode_envelope(envelope)[3])) == (b"", {name: ["a"]})


@pytest.mark.parametrize("name", ["CC", "BCC"])
@pytest.mark.parametrize("value", ["audit", b"audit", 5, None, {"a": 1}])
def test_what_is_no_list_of_keys_fails_as_in_rabbitmq(name: str, value: FieldValue) -> None:
    headers = {name: value}
    with pytest.raises(PreconditionFailed, match="a list of routing keys") as caught:
        encode_options(Message(b"", headers=headers))
    assert (caught.value.kind, caught.value.argument, caught.value.current) == ("message", f"header {name}", value)
    validate(Message(b"", headers={name.lower(): value}), MIB)


@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_the_keys_are_short_and_what_is_no_string_among_them_is_passed_over(name: str) -> None:
    mixed: list[FieldValue] = ["a", 5, None, b"b", ["c"]]
    assert encode_options(Message(b"", headers={name: mixed})) == encode_table({"k": b"1:a1:b"})
    with pytest.raises(InvalidArgument) as caught:
        encode_options(Message(b"", headers={name: ["x" * 256]}))
    assert caught.value.argument == f"a key of {name}"


# --- what routing and queues need


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ({}, {}),
        ({"headers": {"a": 1}}, {}),
        ({"message_id": "m", "priority": None, "expiration": None}, {}),
        ({"priority": 0}, {}),
        ({"priority": 5}, {"p": 5}),
        ({"expiration": "0"}, {"x": 0}),
        ({"expiration": "60000", "priority": 9}, {"x": 60_000, "p": 9}),
        ({"headers": {"CC": []}}, {"k": b""}),
        ({"headers": {"CC": ["b", "é"]}}, {"k": "1:b2:é".encode()}),
        ({"headers": {"BCC": ["c"]}}, {"k": b"1:c"}),
        ({"headers": {"BCC": ["c"], "CC": ["b"]}, "priority": 1}, {"p": 1, "k": b"1:b1:c"}),
    ],
)
def test_the_options_of_a_message(parts: dict[str, Any], options: dict[str, FieldValue]) -> None:
    assert encode_options(untyped(body=b"", **parts)) == encode_table(options)


def test_a_body_over_the_limit_is_refused() -> None:
    validate(Message(b"x" * 10), 10)
    with pytest.raises(ContentTooLarge) as caught:
        validate(Message(b"x" * 11), 10)
    assert (caught.value.size, caught.value.limit) == (11, 10)


def test_validate_returns_the_envelope() -> None:
    message = Message(b"abc", exchange="ex", routing_key="key", headers={"a": 1})
    assert validate(message, MIB) == encode_envelope(message)


def test_a_copy_has_the_same_parts_but_for_those_given() -> None:
    message = Message(b"abc", exchange="ex", routing_key="key", headers={"a": 1}, message_id="m", reply_to="r")
    assert message.copy() == message
    assert message.copy() is not message
    other = message.copy(mandatory=True, reply_to="another", correlation_id="c")
    assert other == Message(
        b"abc",
        exchange="ex",
        routing_key="key",
        headers={"a": 1},
        mandatory=True,
        message_id="m",
        reply_to="another",
        correlation_id="c",
    )
    assert (message.mandatory, message.properties) == (False, {"message_id": "m", "reply_to": "r"})


def test_json() -> None:
    message = Message.json({"é": [1, None]}, exchange="ex", routing_key="key", mandatory=True, message_id="m")
    assert message.body == '{"é":[1,null]}'.encode()
    assert message.properties == {"content_type": "application/json", "message_id": "m"}
    assert (message.exchange, message.routing_key, message.mandatory) == ("ex", "key", True)
    assert Message.json(1, content_type="application/vnd.mine+json").properties == {
        "content_type": "application/vnd.mine+json"
    }


def circle() -> Sequence[object]:
    ring: list[object] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("obj", [object(), math.nan, {"a": {1}}, "\ud800", circle()])
def test_what_json_cannot_say_is_refused(obj: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Message.json(obj)
    assert caught.value.argument == "obj"


def test_messages_are_compared_by_their_parts() -> None:
    message = Message(b"abc", exchange="ex", headers={"a": 1}, priority=1)
    assert message == Message(b"abc", exchange="ex", headers={"a": 1}, priority=1)
    assert message != Message(b"abc", exchange="ex", headers={"a": 1}, priority=2)
    assert message != b"abc"
    with pytest.raises(TypeError):
        hash(message)


def test_repr_shows_the_start_of_the_body() -> None:
    assert repr(Message(b"abc", exchange="ex")) == "Message(b'abc', exchange='ex', routing_key='')"
    assert len(repr(Message(b"x" * MIB))) < 100
