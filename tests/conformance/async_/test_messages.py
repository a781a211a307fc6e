"""What a message carries comes back as it was: properties and headers of every type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from rexchange import AsyncBroker, Message, Properties
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.testing import async_messages

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


async def test_every_property_comes_back(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    await broker.publish(b"", routing_key="q", **PROPERTIES)

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.properties == Properties(**PROPERTIES)


async def test_properties_that_were_not_given_are_none(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    await broker.publish(b"", routing_key="q")

    delivery = await broker.get("q")
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
async def test_a_header_of_every_type_comes_back(broker: AsyncBroker, value: Any) -> None:
    await broker.declare_queue("q")

    await broker.publish(b"", routing_key="q", headers={"key": value, "": "empty key"})

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.headers == {"key": value, "": "empty key"}
    assert type(delivery.headers["key"]) is type(value)


async def test_a_timestamp_is_kept_to_the_second_in_utc(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    local = datetime(2026, 1, 2, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))

    await broker.publish(b"", routing_key="q", timestamp=local)

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.properties.timestamp == WHEN


async def test_json_goes_and_comes(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    await broker.publish(Message.json({"ü": [1, None, 2.5]}, routing_key="q"))

    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.json() == {"ü": [1, None, 2.5]}
    assert delivery.properties.content_type == "application/json"


async def test_a_body_that_is_no_json_says_so(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"{", routing_key="q")

    delivery = await broker.get("q")

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
async def test_what_amqp_cannot_say_is_refused(broker: AsyncBroker, wrong: Any, error: type[Exception]) -> None:
    await broker.declare_queue("q")

    with pytest.raises(error):
        await broker.publish(b"", routing_key="q", **wrong)

    assert await async_messages(broker, "q") == []
