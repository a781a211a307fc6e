# Generated from tests/conformance/async_/test_messages.py by `python tools/unasync.py`. Do not edit.
"""What a message carries comes back as it was: properties and headers of every type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from rexchange import Broker, Message, Properties
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.testing import messages

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROPERTIES: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "gzip",
    "delivery_mode": 2,
    "priority": 255,
    "correlation_id": "c-1",
    "reply_to": "answers",
    "message_id": "m-1",
    "timestamp": WHEN,
    "type": "kind",
    "user_id": "guest",
    "app_id": "app",
    "cluster_id": "cluster",
}


def test_every_property_comes_back(broker: Broker) -> None:
    broker.declare_queue("q")

    broker.publish(b"", routing_key="q", **PROPERTIES)

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.properties == Properties(**PROPERTIES)


def test_properties_that_were_not_given_are_none(broker: Broker) -> None:
    broker.declare_queue("q")

    broker.publish(b"", routing_key="q")

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.properties == Properties()
    assert delivery.headers == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        (1 << 63) - 1,
        -(1 << 63),
        0.1,
        float("inf"),
        "",
        "ü\n\0|;:",
        b"\x00\xff\r\n",
        WHEN,
        Decimal("-1.50"),
        [],
        [1, "a", None, [b"b"]],
        {},
        {"nested": {"deep": [{"x": 1}]}, "ü": None},
    ],
)
def test_a_header_of_every_type_comes_back(broker: Broker, value: Any) -> None:
    broker.declare_queue("q")

    broker.publish(b"", routing_key="q", headers={"key": value, "": "empty key"})

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.headers == {"key": value, "": "empty key"}
    assert type(delivery.headers["key"]) is type(value)


def test_a_timestamp_is_kept_to_the_second_in_utc(broker: Broker) -> None:
    broker.declare_queue("q")
    local = datetime(2026, 1, 2, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))

    broker.publish(b"", routing_key="q", timestamp=local)

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.properties.timestamp == WHEN


def test_json_goes_and_comes(broker: Broker) -> None:
    broker.declare_queue("q")

    broker.publish(Message.json({"ü": [1, None, 2.5]}, routing_key="q"))

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.json() == {"ü": [1, None, 2.5]}
    assert delivery.properties.content_type == "application/json"


def test_a_body_that_is_no_json_says_so(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"{", routing_key="q")

    delivery = broker.get("q")

    assert delivery is not None
    with pytest.raises(InvalidArgument):
        delivery.json()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"headers": {"a": object()}}, InvalidArgument),
        ({"headers": {"a": 1 << 63}}, InvalidArgument),
        ({"headers": {"a": WHEN.replace(tzinfo=None)}}, InvalidArgument),
        ({"headers": {"a": Decimal("nan")}}, InvalidArgument),
        ({"headers": {1: "a"}}, InvalidArgument),
        ({"headers": {"k" * 256: 1}}, InvalidArgument),
        ({"headers": [("a", 1)]}, InvalidArgument),
        ({"priority": 256}, InvalidArgument),
        ({"priority": True}, InvalidArgument),
        ({"delivery_mode": 3}, InvalidArgument),
        ({"content_type": b"text/plain"}, InvalidArgument),
        ({"message_id": "m" * 256}, InvalidArgument),
        ({"timestamp": 5}, InvalidArgument),
        ({"mandatory": 1}, InvalidArgument),
        ({"no_such_property": "x"}, InvalidArgument),
        ({"expiration": 60_000}, InvalidArgument),
        ({"expiration": "5 "}, PreconditionFailed),
        ({"expiration": "-1"}, PreconditionFailed),
        ({"headers": {"CC": "other"}}, PreconditionFailed),
        ({"headers": {"BCC": 5}}, PreconditionFailed),
        ({"headers": {"CC": ["k" * 256]}}, InvalidArgument),
    ],
)
def test_what_amqp_cannot_say_is_refused(broker: Broker, wrong: Any, error: type[Exception]) -> None:
    broker.declare_queue("q")

    with pytest.raises(error):
        broker.publish(b"", routing_key="q", **wrong)

    assert messages(broker, "q") == []
