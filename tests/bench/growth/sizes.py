"""What a message costs as its queue gets deep, as much of it is unacked, and as there are many queues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice

from rexchange import Broker, Message
from tests.bench.binding import publish_cost
from tests.bench.growth.curve import SERVER_CPU, Curve, Point, Scale
from tests.bench.holding import SMALL, declare_many, hold, through
from tests.bench.server import BenchServer
from tests.bench.work import ACK_TIMEOUT, BATCH, PREFETCH, fill


def _broker(server: BenchServer, size: int, stack: ExitStack) -> Broker:
    """A broker of the vhost for this size, with the queue `q`."""
    broker = stack.enter_context(Broker(server.url, vhost=f"size-{size}", ack_timeout=ACK_TIMEOUT))
    broker.declare_queue("q")
    return broker


def _through(server: BenchServer, broker: Broker, label: str, size: int, scale: Scale, stack: ExitStack) -> Point:
    """Messages go through the queue `q`."""
    consumer = stack.enter_context(broker.consume("q", auto_ack=False, prefetch=PREFETCH))
    return Point(label, size, lambda: through(server, broker, consumer, scale.messages)["server"])


def _depths(scale: Scale) -> list[int]:
    return scale.up_to(0, 1000, 10_000, 100_000, 1_000_000, 5_000_000)


def _depth(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    points: list[Point] = []
    for size in _depths(scale):
        broker = _broker(server, size, stack)
        fill(broker, "q", size, SMALL)
        points.append(_through(server, broker, "publish + consume", size, scale, stack))
    return points


def _held(scale: Scale) -> list[int]:
    return scale.up_to(0, 100, 1000, 10_000, 100_000)


def _unacked(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    points: list[Point] = []
    for size in _held(scale):
        broker = _broker(server, size, stack)
        hold(broker, "q", size, stack)
        points.append(_through(server, broker, "publish + consume", size, scale, stack))
    return points


def _numbers(scale: Scale) -> list[int]:
    return scale.up_to(1, 10, 100, 1000, 10_000)


def _queues(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    points: list[Point] = []
    for size in _numbers(scale):
        broker = _broker(server, size, stack)
        declare_many(broker, 0, size)
        points.append(_through(server, broker, "publish + consume, in one of them", size, scale, stack))
        points.append(_spread(server, broker, size, scale))
    return points


def _spread(server: BenchServer, broker: Broker, size: int, scale: Scale) -> Point:
    """Each message goes to another queue, by a routing key of its own."""
    broker.declare_queue("mail")  # publish_cost empties it; here what is published may stay
    messages = (Message(SMALL, exchange="events", routing_key=f"user.{number % size}.x") for number in count())
    work: Iterator[list[Message]] = iter(lambda: list(islice(messages, BATCH)), [])
    return Point("publish, each message to another", size, lambda: publish_cost(server, broker, work, scale.messages))


_COST = "Cost of a message against"
CURVES = (
    Curve("depth", f"{_COST} the depth of its queue", "messages in the queue", SERVER_CPU, _depths, _depth),
    Curve("unacked", f"{_COST} what is unacked in its queue", "unacked messages", SERVER_CPU, _held, _unacked),
    Curve("queues", f"{_COST} the number of queues", "queues", SERVER_CPU, _numbers, _queues),
)
