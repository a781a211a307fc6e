"""What both sides keep in mind: refusals, who holds which deliveries, and values in a form that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.differential import steps as s

UNKNOWN_TAG = 4_000_000
FULL = "PublishRefused"
"""Not a reply code: RabbitMQ's confirm is a nack."""
PROPERTIES = (
    *("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "message_id"),
    *("timestamp", "type", "user_id", "app_id", "expiration"),
)


class Refused(Exception):
    """The broker refuses, with an AMQP reply code or, in words, something that AMQP does not know."""

    def __init__(self, reply_code: int | str) -> None:
        super().__init__(reply_code)
        self.code = reply_code


class Skipped(Exception):
    """The step has nothing to work on."""


@dataclass(eq=False)
class Handed:
    """A delivery that was handed out; `delivery` is what the side needs to settle it."""

    delivery: Any
    settled: bool = False


@dataclass(eq=False)
class Holder:
    """A consumer, or all that one client gets from one queue: a scope of delivery tags."""

    number: int
    client: int
    queue: str
    handle: Any
    is_get: bool = False
    auto_ack: bool = False
    prefetch: int = 0
    priority: int = 0
    exclusive: bool = False
    reading: bool = False
    is_open: bool = True
    lost: bool = False
    """Its queue was deleted."""
    handed: list[Handed] = field(default_factory=list)

    @property
    def held(self) -> list[Handed]:
        return [each for each in self.handed if not each.settled]


def typed(table: s.Table, prefix: str = "") -> str:
    """Return a table as text in which 1, True and "1" differ; times are in UTC. Names are without `prefix`."""
    text = repr({key: _plain(value) for key, value in sorted(table.items())})
    return text.replace(prefix, "") if prefix else text


def evened_deaths(headers: s.Table) -> s.Table:
    """Return headers with what may differ in x-death taken out: the times are those of the two brokers' clocks.

    The newest death is the first on both. RabbitMQ 3.10 turns the order of those before it round at each death (seen in
    a chain of six), so they are put in one order here; that ours is the newest first is a conformance test.
    """
    if "x-death" not in headers:
        return headers
    deaths = [{**death, "time": type(death.get("time")).__name__} for death in headers["x-death"]]
    return {**headers, "x-death": deaths[:1] + sorted(deaths[1:], key=repr)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"T{int(value.replace(tzinfo=value.tzinfo or UTC).timestamp())}"
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # pika reads 64 bits as an int of its own, with another repr
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in sorted(value.items())}
    return [_plain(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
