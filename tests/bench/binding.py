"""Exchanges with any number of bindings, and messages that each match one of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import Literal

from rexchange import Broker, Message
from rexchange.codec import FieldValue
from rexchange.topology import Binding
from tests.bench.server import BenchServer
from tests.bench.work import BATCH, BODY, bind_many

Type = Literal["direct", "topic", "headers"]
_STRIDE = 7919
"""A prime: messages meet bindings in no order, and all of them where there are few."""


def binding(type_: Type, number: int) -> Binding:
    """Return the binding of this number: no two match one message."""
    arguments: dict[str, FieldValue] = (
        {"x-match": "all", "user": number, "kind": "created"} if type_ == "headers" else {}
    )
    key = {"direct": f"user.{number}", "topic": f"user.{number}.*", "headers": ""}[type_]
    return Binding("events", "mail", binding_key=key, arguments=arguments)


def bound(server: BenchServer, broker: Broker, vhost: str, type_: Type, start: int, stop: int) -> None:
    """Give the vhost's exchange `events` the bindings from `start` on; declare it and its queue first."""
    broker.declare_exchange("events", type_)
    broker.declare_queue("mail")
    bind_many(server, vhost, "events", (binding(type_, number) for number in range(start, stop)))


def traffic(type_: Type, bindings: int, numbers: Iterable[int]) -> Iterator[list[Message]]:
    """Batches of messages; those of one number are alike, those of different ones have different keys."""
    messages = (_message(type_, number * _STRIDE % bindings, number) for number in numbers)
    while batch := list(islice(messages, BATCH)):
        yield batch


def warm() -> Iterable[int]:
    """Numbers of 100 messages over and over: their routes are in the cache after the first."""
    return cycle(range(100))


def _message(type_: Type, user: int, number: int) -> Message:
    if type_ == "headers":
        return Message(BODY, exchange="events", headers={"user": user, "kind": "created"})
    key = f"user.{user}.n{number}" if type_ == "topic" else f"user.{user}"
    return Message(BODY, exchange="events", routing_key=key)


def publish_cost(
    server: BenchServer, broker: Broker, work: Iterator[list[Message]], messages: int, seconds: float = 1.0
) -> float:
    """Publish so many, or for so long where each takes very long; return microseconds of server CPU a message."""
    done, started, cpu = 0, time.monotonic(), server.cpu()
    while done < messages and time.monotonic() < started + seconds:
        batch = next(work)
        reached = broker.publish_many(batch)
        done += len(batch)
    cost = (server.cpu() - cpu) / done * 1e6
    if set(reached) != {1}:
        raise AssertionError(f"each message was to reach one queue: {reached}")
    broker.purge("mail")
    return cost
