"""Queues that are deep, held or many, and what a message costs that goes through one of them."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice

from rexchange import Broker, Consumer
from tests.bench.server import BenchServer
from tests.bench.work import Figures, batches, consume, fill, measured, publish

SMALL = b"x" * 20
_HELD_BY_ONE = 2000
"""A consumer with prefetch=0 holds no more."""


def through(server: BenchServer, broker: Broker, consumer: Consumer, messages: int) -> Figures:
    """Publish to the queue `q` and consume as many, which on a deep queue are older ones."""
    work = batches(messages, lambda _: "q", exchange="", body=SMALL)
    with measured(server, messages) as figures:
        publish(broker, work)
        consume(consumer, messages)
    return figures


def hold(broker: Broker, queue: str, count: int, stack: ExitStack) -> None:
    """Put so many messages into a queue and have them taken and not settled, until the stack ends."""
    fill(broker, queue, count, SMALL)
    while count > 0:
        consumer = stack.enter_context(broker.consume(queue, auto_ack=False, prefetch=0))
        taken = sum(1 for _ in islice(consumer, min(count, _HELD_BY_ONE)))
        count -= taken


def declare_many(broker: Broker, start: int, stop: int) -> None:
    """Declare queues, each bound to the topic exchange `events` by a key of its own."""
    broker.declare_exchange("events", "topic")
    for number in range(start, stop):
        broker.declare_queue(f"q{number}")
        broker.bind(f"q{number}", "events", f"user.{number}.*")
