# Generated from tests/conformance/async_/test_routing_headers.py by `python tools/unasync.py`. Do not edit.
"""Headers exchanges (docs/semantics.md, Exchanges)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rexchange import Broker, Message
from rexchange.codec import Table

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEEP: Table = {"list": [1, "two", {"three": b"3"}], "table": {"b": 2, "a": None}}


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        ({}, {}, True),
        ({}, {"anything": 1}, True),
        ({"x-match": "all"}, {}, True),
        ({"x-match": "any"}, {}, False),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"x-match": "all", "x-a": 1}, {}, True),
        ({"x-match": "any", "x-a": 1}, {"x-a": 1}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "all-with-x", "x-a": 1}, {}, False),
        ({"x-match": "any-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "any-with-x", "x-a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any-with-x"}, {"x-match": "any-with-x"}, False),
        ({"x-match": "all-with-x"}, {}, True),
        ({"a": None}, {"a": 5}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {}, False),
        ({"a": 5}, {"a": None}, False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": True}, {"a": False}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1.5}, {"a": 1.5}, True),
        ({"a": 1 << 40}, {"a": 1 << 40}, True),
        ({"a": "x"}, {"a": b"x"}, True),
        ({"a": b"x"}, {"a": "x"}, True),
        ({"a": b"\xff"}, {"a": b"\xff"}, True),
        ({"A": 1}, {"a": 1}, False),
        ({"a": DEEP["list"]}, {"a": DEEP["list"]}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": DEEP["table"]}, {"a": {"a": None, "b": 2}}, True),
        ({"a": {"b": 2}}, {"a": {"b": 3}}, False),
        ({"a": WHEN}, {"a": WHEN}, True),
        ({"a": WHEN}, {"a": int(WHEN.timestamp())}, False),
        ({"a": Decimal("1.50")}, {"a": Decimal("1.50")}, True),
        ({"x-match": "all", "a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"x-match": "all", "a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 3}, False),
        ({"x-match": "any", "a": None}, {"a": "whatever"}, True),
        ({"x-match": b"any", "a": 1}, {"a": 1}, True),
        ({"ü": "ä"}, {"ü": "ä"}, True),
    ],
)
def test_headers_match_as_in_rabbitmq(broker: Broker, arguments: Table, headers: Table, matches: bool) -> None:
    broker.declare_queue("q")
    broker.bind("q", "amq.headers", "ignored", arguments)

    assert broker.publish(b"", exchange="amq.headers", routing_key="other", headers=headers) == int(matches)
    assert broker.route("amq.headers", "", headers) == (["q"] if matches else [])


def test_bindings_of_one_queue_that_differ_in_arguments_both_count(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.bind("q", "amq.match", "", {"a": 1})
    broker.bind("q", "amq.match", "", {"b": 2})

    assert broker.publish(b"", exchange="amq.match", headers={"a": 1, "b": 2}) == 1
    assert broker.publish(b"", exchange="amq.match", headers={"b": 2}) == 1

    broker.unbind("q", "amq.match", "", {"b": 2})
    assert broker.publish(b"", exchange="amq.match", headers={"b": 2}) == 0
    assert broker.publish(b"", exchange="amq.match", headers={"a": 1}) == 1


def test_messages_of_one_group_are_matched_by_their_own_headers(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.bind("q", "amq.match", "", {"a": 1})

    counts = broker.publish_many([Message(b"", exchange="amq.match", headers={"a": n % 2}) for n in range(5)])

    assert counts == [0, 1, 0, 1, 0]


def test_bindings_that_go_with_either_end_are_found_no_more(broker: Broker) -> None:
    """They are filed by their tests, and must be taken from each place."""
    broker.declare_exchange("none", "fanout")
    broker.declare_exchange("h", "headers", alternate_exchange="none")
    arguments: list[Table] = [{"a": 1, "b": 2}, {"x-match": "any", "a": 1, "c": None}, {}, {"b": 2, "a": 1, "c": None}]
    for name in ("stays", "goes", "lost"):
        broker.declare_queue(name)
        for each in arguments[: 2 if name == "stays" else None]:
            broker.bind(name, "h", arguments=each)
    broker.bind("lost", "none")
    way = broker.declare_exchange("way", "fanout")
    broker.bind(way, "h", arguments=arguments[3])
    broker.bind("goes", "way")
    full: Table = {"a": 1, "b": 2, "c": 3}
    assert broker.route("h", headers=full) == ["goes", "lost", "stays"]

    broker.delete_queue("goes")
    for each in arguments:
        broker.unbind("lost", "h", arguments=each)
    broker.delete_exchange("way")

    assert broker.route("h", headers=full) == ["stays"]
    assert broker.route("h", headers={"b": 2}) == ["lost"], "the alternate exchange: nothing matched"
    broker.delete_queue("stays")
    assert broker.route("h", headers=full) == ["lost"]
    broker.delete_exchange("h")
    broker.declare_exchange("h", "headers")
    assert broker.route("h", headers=full) == []
