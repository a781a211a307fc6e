"""The arguments of exchanges, queues, bindings and consumers (docs/semantics.md)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from rexchange.arguments import (
    EQUIVALENCE,
    QueueOptions,
    age_ms,
    argument_rule,
    consumer_priority,
    consumer_timeout_ms,
    exchange_arguments,
    headers_match,
    queue_arguments,
    stream_offset,
)
from rexchange.codec import FieldValue
from rexchange.errors import InvalidArgument, NotSupported, PreconditionFailed
from rexchange.retries import KEYS

MINUTE = timedelta(minutes=1)


def test_the_typed_option_and_its_raw_form_are_one() -> None:
    both = {"x-consumer-timeout": 60_000}
    assert queue_arguments(None, {"ack_timeout": MINUTE}) == both
    assert queue_arguments(both) == both
    assert queue_arguments(both, {"ack_timeout": MINUTE}) == both
    assert queue_arguments(None) == queue_arguments({}) == queue_arguments(None, {}) == {}


OPTIONS: list[tuple[str, Any, str, FieldValue]] = [
    ("ack_timeout", MINUTE, "x-consumer-timeout", 60_000),
    ("message_ttl", timedelta(0), "x-message-ttl", 0),
    ("expires", timedelta(hours=1), "x-expires", 3_600_000),
    ("max_length", 0, "x-max-length", 0),
    ("max_length_bytes", 1000, "x-max-length-bytes", 1000),
    ("overflow", "reject-publish", "x-overflow", "reject-publish"),
    ("dead_letter_exchange", "", "x-dead-letter-exchange", ""),
    ("max_priority", 10, "x-max-priority", 10),
    ("single_active_consumer", True, "x-single-active-consumer", True),
    ("delivery_limit", -1, "x-delivery-limit", -1),
    ("queue_type", "quorum", "x-queue-type", "quorum"),
]


@pytest.mark.parametrize(("option", "value", "argument", "raw"), OPTIONS)
def test_a_typed_option_becomes_its_argument(option: str, value: Any, argument: str, raw: FieldValue) -> None:
    options: Any = {option: value}
    assert queue_arguments(None, options) == {argument: raw}
    assert queue_arguments({argument: raw}, options) == {argument: raw}
    unset = dict.fromkeys(QueueOptions.__annotations__.keys() - {option})
    both: Any = {**options, **unset}  # None is the same as not given
    assert queue_arguments({"x-mine": 1}, both) == {"x-mine": 1, argument: raw}


def test_these_typed_options_need_another() -> None:
    assert queue_arguments(None, {"dead_letter_exchange": "dlx", "dead_letter_routing_key": "dead"}) == {
        "x-dead-letter-exchange": "dlx",
        "x-dead-letter-routing-key": "dead",
    }
    assert queue_arguments(None, {"queue_type": "stream", "max_age": timedelta(days=7, milliseconds=999)}) == {
        "x-queue-type": "stream",
        "x-max-age": "604800s",
    }


def test_every_typed_option_is_tried_here() -> None:
    tried = {row[0] for row in OPTIONS} | {"dead_letter_routing_key", "max_age"}
    retries = {option for option in QueueOptions.__annotations__ if option.startswith("retry_")}  # in test_retries.py
    assert tried | retries == QueueOptions.__annotations__.keys()


def test_an_option_nobody_knows_is_refused() -> None:
    options: Any = {"max_lenght": 5}
    with pytest.raises(InvalidArgument, match=r"one of ack_timeout, .*max_length,") as caught:
        queue_arguments(None, options)
    assert caught.value.value == "'max_lenght'"


def test_the_callers_dict_is_left_alone() -> None:
    raw: dict[str, FieldValue] = {"x-mine": 1}
    assert queue_arguments(raw, {"ack_timeout": MINUTE}) == {"x-mine": 1, "x-consumer-timeout": 60_000}
    assert raw == {"x-mine": 1}


def test_an_option_that_contradicts_its_raw_form_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments({"x-consumer-timeout": 60_001}, {"ack_timeout": MINUTE})
    assert caught.value.argument == "ack_timeout"
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments({"x-max-length": 5}, {"max_length": 6})
    assert caught.value.argument == "max_length"
    with pytest.raises(InvalidArgument):
        exchange_arguments({"alternate-exchange": "a"}, alternate_exchange="b")


@pytest.mark.parametrize("option", ["ack_timeout", "expires"])
@pytest.mark.parametrize("value", [timedelta(0), timedelta(microseconds=999), timedelta(days=50), 60, "60"])
def test_a_typed_time_has_a_range(option: str, value: Any) -> None:
    options: Any = {option: value}
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments(None, options)
    assert caught.value.argument == option


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("message_ttl", timedelta(microseconds=-1)),
        ("message_ttl", timedelta(days=50)),
        ("message_ttl", 0),
        ("max_age", timedelta(milliseconds=999)),
        ("max_age", "7D"),
    ],
)
def test_these_times_have_a_range_of_their_own(option: str, value: Any) -> None:
    options: Any = {option: value}
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments(None, options)
    assert caught.value.argument == option


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
    ("x-max-age", "7"),
    ("x-max-age", "7W"),
    ("x-max-length", True),
    ("x-delayed-retry-type", "some"),
    ("x-stream-max-segment-size-bytes", -1),
    ("x-quorum-initial-group-size", 0),
]


@pytest.mark.parametrize(("argument", "value"), ILLEGAL)
def test_a_value_that_rabbitmq_refuses_is_406(argument: str, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        queue_arguments({argument: value}, name="orders")
    assert (caught.value.name, caught.value.argument, caught.value.current) == ("orders", argument, value)
    assert repr(value) in str(caught.value)


LATER: list[tuple[str, Any]] = [
    ("x-delayed-retry-type", "all"),
    ("x-delayed-retry-min", 0),
    ("x-delayed-retry-max", 5),
]


@pytest.mark.parametrize(("argument", "value"), LATER)
def test_what_rexchange_does_not_have_is_refused_and_not_ignored(argument: str, value: Any) -> None:
    with pytest.raises(NotSupported, match="ignoring it would change what the queue does") as caught:
        queue_arguments({argument: value}, name="orders")
    assert (caught.value.name, caught.value.argument, caught.value.wanted) == ("orders", argument, value)
    assert argument in str(caught.value)
    assert "x-retry-delays" in str(caught.value)  # what there is instead


def test_an_illegal_value_comes_before_what_is_not_there() -> None:
    with pytest.raises(PreconditionFailed):
        queue_arguments({"x-delayed-retry-min": 5, "x-expires": 0})


ANY: dict[str, FieldValue] = {
    "x-consumer-timeout": 1,
    "x-message-ttl": 0,
    "x-expires": 1,
    "x-max-length": 0,
    "x-max-length-bytes": 1,
    "x-max-priority": 10,
    "x-overflow": "drop-head",
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
    "x-dead-letter-strategy": "at-most-once",
    "x-single-active-consumer": False,
    "x-delivery-limit": -1,
    "x-quorum-initial-group-size": 3,
    "x-quorum-target-group-size": 3,
    "x-initial-cluster-size": 3,
    "x-max-age": "7D",
    "x-stream-max-segment-size-bytes": 1,
    "x-max-in-memory-length": 1,
    "x-max-in-memory-bytes": 1,
}
"""A legal value of each argument."""
COMMON = {"x-consumer-timeout", "x-max-length-bytes"}
LIMITS = {"x-message-ttl", "x-expires", "x-max-length", "x-overflow"}
MORE = {"x-dead-letter-exchange", "x-dead-letter-routing-key", "x-single-active-consumer", "x-delivery-limit"}
MEMORY = {"x-max-in-memory-length", "x-max-in-memory-bytes"}
GROUP = {"x-quorum-initial-group-size", "x-quorum-target-group-size"}
LEGAL = {
    "classic": {*COMMON, *LIMITS, *MORE, *MEMORY, "x-max-priority"},
    "quorum": {*COMMON, *LIMITS, *MORE, *MEMORY, *GROUP, "x-initial-cluster-size", "x-dead-letter-strategy"},
    "stream": {*COMMON, *GROUP, "x-initial-cluster-size", "x-max-age", "x-stream-max-segment-size-bytes"},
}
"""What RabbitMQ 4 allows each type of queue."""


@pytest.mark.parametrize("kind", [*LEGAL, b"classic", None])
@pytest.mark.parametrize("argument", ANY)
def test_each_argument_goes_with_some_types_of_queues(argument: str, kind: str | bytes | None) -> None:
    arguments: dict[str, FieldValue] = {argument: ANY[argument]} | ({} if kind is None else {"x-queue-type": kind})
    if argument == "x-dead-letter-routing-key":
        arguments["x-dead-letter-exchange"] = ""
    word = kind if isinstance(kind, str) else "classic"
    if argument in LEGAL[word]:
        assert queue_arguments(arguments) == arguments
        return
    with pytest.raises(PreconditionFailed, match=f"none on a {word} queue") as caught:
        queue_arguments(arguments, name="orders")
    assert caught.value.name == "orders"


def test_every_argument_is_tried_here() -> None:
    own = {f"x-{key}" for key in KEYS}  # in test_retries.py
    assert {*ANY, *own, "x-queue-type", *(argument for argument, _ in LATER)} == {*EQUIVALENCE}


@pytest.mark.parametrize("value", ["reject-publish-dlx", b"reject-publish-dlx"])
def test_one_overflow_is_for_classic_queues_alone(value: FieldValue) -> None:
    assert queue_arguments({"x-overflow": value}) == {"x-overflow": value}
    with pytest.raises(PreconditionFailed, match="drop-head or reject-publish on a quorum queue") as caught:
        queue_arguments({"x-overflow": value, "x-queue-type": "quorum"}, name="orders")
    assert (caught.value.name, caught.value.argument) == ("orders", "x-overflow")


def test_the_rule_of_an_argument_is_told() -> None:
    words, test = argument_rule("x-max-priority")
    assert words == "an int from 0 to 255"
    assert [test(value) for value in (0, 255, 256, -1, True, "5")] == [True, True, False, False, False, False]
    words, test = argument_rule("alternate-exchange")
    assert (words, test("ae"), test(5)) == ("a string", True, False)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("x-queue-mode", "lazy"),
        ("queue-mode", "lazy"),
        ("x-queue-master-locator", "min-masters"),
        ("x-queue-version", 2),
        ("x-mine", [1]),
        ("x-stream-of-tomorrow", None),
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


def test_a_consumers_priority_is_the_option_or_its_raw_form_and_0_is_usual() -> None:
    assert consumer_priority(None) == consumer_priority({"x-foo": 5}) == 0
    assert consumer_priority({"x-priority": -5}) == consumer_priority(None, priority=-5) == -5
    assert consumer_priority({"x-priority": 5}, priority=5) == 5
    assert consumer_priority({"x-priority": 2**31 - 1}) == 2**31 - 1
    with pytest.raises(InvalidArgument) as caught:
        consumer_priority({"x-priority": 5}, priority=6)
    assert caught.value.argument == "priority"


@pytest.mark.parametrize("value", ["5", 5.0, True, None, 2**31, -(2**31)])
def test_a_consumer_priority_that_is_no_small_int_is_406(value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        consumer_priority({"x-priority": value})
    assert (caught.value.kind, caught.value.argument, caught.value.current) == ("consumer", "x-priority", value)


# --- streams


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1Y", 31_536_000), ("2M", 5_184_000), ("7D", 604_800), ("1h", 3600), ("90m", 5400), ("15s", 15), ("0s", 0)],
)
def test_ages(text: str, seconds: int) -> None:
    assert age_ms(text) == seconds * 1000


@pytest.mark.parametrize("text", ["", "7", "D", "7d", "7H", "-1D", "1.5h", " 7D", "7D ", "7D1h", "\u0667D"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match=text or "^$"):
        age_ms(text)
    with pytest.raises(PreconditionFailed):
        queue_arguments({"x-queue-type": "stream", "x-max-age": text})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("first", ("first", 0)),
        (b"last", ("last", 0)),
        ("next", ("next", 0)),
        ("1h", ("age", 3_600_000)),
        (0, ("offset", 0)),
        (5, ("offset", 5)),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), ("time", 1000)),
        (datetime(1970, 1, 1, 1, 0, 1, tzinfo=timezone(timedelta(hours=1))), ("time", 1000)),
        (datetime(1969, 1, 1, tzinfo=UTC), ("time", 0)),
    ],
)
def test_where_a_consumer_of_a_stream_begins(value: Any, place: tuple[str, int]) -> None:
    assert stream_offset(None, offset=value) == place
    assert stream_offset({"x-stream-offset": value}) == place
    assert stream_offset({"x-stream-offset": value}, offset=value) == place


def test_a_consumer_of_a_stream_begins_with_what_comes_next() -> None:
    assert stream_offset(None) == stream_offset({"x-mine": 1}) == ("next", 0)
    with pytest.raises(InvalidArgument) as caught:
        stream_offset({"x-stream-offset": "first"}, offset="last")
    assert caught.value.argument == "offset"


@pytest.mark.parametrize("value", ["", "begin", "5", -1, 1.5, True, None, [1], datetime(2026, 1, 1)])  # noqa: DTZ001 - naive
def test_what_is_no_offset_is_406(value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        stream_offset({"x-stream-offset": value})
    assert (caught.value.kind, caught.value.argument, caught.value.current) == ("consumer", "x-stream-offset", value)


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
