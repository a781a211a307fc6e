"""The arguments of exchanges, queues, bindings and consumers (docs/semantics.md)."""

from datetime import timedelta
from typing import Any

import pytest

from rexchange.arguments import consumer_timeout_ms, exchange_arguments, headers_match, queue_arguments
from rexchange.codec import FieldValue
from rexchange.errors import InvalidArgument, NotSupported, PreconditionFailed

MINUTE = timedelta(minutes=1)


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


@pytest.mark.parametrize("value", [5, b"ae", "x" * 256, "\ud800"])
def test_a_typed_alternate_exchange_is_a_short_str(value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        exchange_arguments(None, alternate_exchange=value)
    assert caught.value.argument == "alternate_exchange"


def test_a_consumers_own_timeout_is_the_option_or_its_raw_form_and_0_is_none() -> None:
    assert consumer_timeout_ms(None) == consumer_timeout_ms({"x-foo": 5}) == 0
    assert consumer_timeout_ms({"x-consumer-timeout": 60_000}) == 60_000
    assert consumer_timeout_ms({"x-consumer-timeout": 60_000}, ack_timeout=MINUTE) == 60_000
    with pytest.raises(InvalidArgument):
        consumer_timeout_ms({"x-consumer-timeout": 5}, ack_timeout=MINUTE)
    with pytest.raises(PreconditionFailed):
        consumer_timeout_ms({"x-consumer-timeout": 0})


def test_a_consumer_priority_is_refused_and_not_ignored() -> None:
    with pytest.raises(NotSupported, match="does not have consumer priorities") as caught:
        consumer_timeout_ms({"x-priority": 5})
    assert (caught.value.kind, caught.value.argument) == ("consumer", "x-priority")


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
