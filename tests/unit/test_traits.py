"""What a queue is beyond a plain one: its arguments and its policy become one record."""

from collections.abc import Mapping
from typing import Any

import pytest

from rexchange import traits
from rexchange.codec import FieldValue, decode_table
from rexchange.topology import Queue


def queue(**arguments: FieldValue) -> Queue:
    """A queue with x-arguments, whose names are written here without the x."""
    return Queue("q", arguments={f"x-{name.replace('_', '-')}": value for name, value in arguments.items()})


def record(arguments: Mapping[str, FieldValue], policy: Mapping[str, object] | None = None) -> dict[str, FieldValue]:
    """The record as a table, whatever it says about arrival."""
    return decode_table(traits.of_queue(queue(**arguments), policy).removeprefix(b"-"))


def test_a_plain_queue_has_no_record() -> None:
    plain: list[dict[str, FieldValue]] = [
        {},
        {"queue_type": "classic"},
        {"queue_type": b"classic", "consumer_timeout": 5, "mine": 1},
        {"overflow": "drop-head"},
        {"delivery_limit": -1},
        {"max_priority": 0},
        {"single_active_consumer": False},
        {"max_age": "7D"},  # of streams alone; an argument of another queue is refused before
    ]
    for arguments in plain:
        assert traits.of_queue(queue(**arguments)) == b""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"message_ttl": 0}, {"ttl": 0}),
        ({"expires": 5}, {"expires": 5}),
        ({"max_length": 0}, {"length": 0}),
        ({"max_length_bytes": 9}, {"bytes": 9}),
        ({"max_length": 5, "overflow": "drop-head"}, {"length": 5}),
        ({"overflow": b"reject-publish"}, {"overflow": "reject-publish"}),
        ({"overflow": "reject-publish-dlx"}, {"overflow": "reject-publish-dlx"}),
        ({"dead_letter_exchange": ""}, {"dlx": ""}),
        ({"dead_letter_exchange": b"dlx", "dead_letter_routing_key": "k"}, {"dlx": "dlx", "dlk": "k"}),
        ({"dead_letter_routing_key": "k"}, {}),
        ({"delivery_limit": 0}, {"limit": 0}),
        ({"max_priority": 10}, {"priority": 10}),
        ({"single_active_consumer": True}, {"single": True}),
        ({"queue_type": "quorum"}, {"kind": "quorum", "limit": 20}),
        ({"queue_type": b"quorum", "delivery_limit": 3}, {"kind": "quorum", "limit": 3}),
        ({"queue_type": "quorum", "delivery_limit": -1}, {"kind": "quorum"}),
        ({"queue_type": "stream"}, {"kind": "stream"}),
        (
            {"queue_type": "stream", "max_age": "1h", "max_length_bytes": 9},
            {"kind": "stream", "age": 3_600_000, "bytes": 9},
        ),
        ({"queue_type": "stream", "max_age": b"15s"}, {"kind": "stream", "age": 15_000}),
    ],
)
def test_arguments_become_traits(arguments: dict[str, FieldValue], found: dict[str, FieldValue]) -> None:
    assert record(arguments) == found


@pytest.mark.parametrize(
    ("arguments", "policy", "found"),
    [
        ({}, {"message-ttl": 5}, {"ttl": 5}),
        ({"message_ttl": 5}, {"message-ttl": 9}, {"ttl": 5}),
        ({"message_ttl": 9}, {"message-ttl": 5}, {"ttl": 5}),
        ({"max_length": 0}, {"max-length": 5}, {"length": 0}),
        ({"expires": 5}, {"max-length-bytes": 5}, {"expires": 5, "bytes": 5}),
        ({}, {"consumer-timeout": 5}, {"timeout": 5}),
        ({"consumer_timeout": 3}, {"consumer-timeout": 5}, {"timeout": 5}),  # the argument is in the queue's own record
        ({"overflow": "drop-head"}, {"overflow": "reject-publish"}, {}),
        ({}, {"overflow": "reject-publish"}, {"overflow": "reject-publish"}),
        ({"dead_letter_exchange": "own"}, {"dead-letter-exchange": "policy"}, {"dlx": "own"}),
        ({"dead_letter_exchange": "own"}, {"dead-letter-routing-key": "k"}, {"dlx": "own", "dlk": "k"}),
        ({}, {"dead-letter-routing-key": "k"}, {}),
        ({"queue_type": "quorum"}, {"delivery-limit": 5}, {"kind": "quorum", "limit": 5}),
        ({"queue_type": "quorum", "delivery_limit": 9}, {"delivery-limit": 50}, {"kind": "quorum", "limit": 9}),
        ({"queue_type": "stream"}, {"max-age": "1m"}, {"kind": "stream", "age": 60_000}),
        ({"queue_type": "stream", "max_age": "2m"}, {"max-age": "1m"}, {"kind": "stream", "age": 120_000}),
        ({}, {"max-age": "1m"}, {}),
        ({}, {"alternate-exchange": "ae", "queue-mode": "lazy"}, {}),
    ],
)
def test_an_argument_beats_the_policy_and_of_two_numbers_the_smaller_holds(
    arguments: dict[str, FieldValue], policy: dict[str, object], found: dict[str, FieldValue]
) -> None:
    assert record(arguments, policy) == found


@pytest.mark.parametrize("value", [True, "5", None, 5.0])
def test_what_is_no_number_is_none(value: Any) -> None:
    assert record({"max_length": value}) == {}


@pytest.mark.parametrize(
    ("arguments", "on_arrival"),
    [
        ({"message_ttl": 5}, True),
        ({"max_length": 5, "expires": 5}, True),
        ({"max_length_bytes": 5}, True),
        ({"max_priority": 5}, True),
        ({"queue_type": "stream"}, True),
        ({"queue_type": "quorum"}, False),
        ({"expires": 5}, False),
        ({"dead_letter_exchange": "dlx", "delivery_limit": 5}, False),
        ({"single_active_consumer": True}, False),
        ({"overflow": "reject-publish"}, False),
    ],
)
def test_a_record_says_first_whether_it_matters_when_a_message_arrives(
    arguments: dict[str, FieldValue], on_arrival: bool
) -> None:
    found = traits.of_queue(queue(**arguments))
    assert found[:1] != b""
    assert (found[:1] == b"-") is not on_arrival


def test_whether_a_queue_has_a_single_active_consumer() -> None:
    assert traits.is_single(queue(single_active_consumer=True))
    assert not traits.is_single(queue(single_active_consumer=False))
    assert not traits.is_single(Queue("q"))


@pytest.mark.parametrize(
    ("argument", "policy", "limit"), [(2, -1, 2), (-1, 2, 2), (3, 2, 2), (-1, -1, None), (None, -1, None)]
)
def test_a_negative_delivery_limit_is_none_so_any_other_holds(
    argument: int | None, policy: int, limit: int | None
) -> None:
    arguments: dict[str, FieldValue] = {} if argument is None else {"x-delivery-limit": argument}
    record = traits.of_queue(Queue("q", arguments=arguments), {"delivery-limit": policy})
    assert decode_table(record.removeprefix(b"-")).get("limit") == limit
