"""What a message costs as its queue gets deep, as much of it is unacked, and as there are many queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, islice

from rexchange import Broker, Message
from tests.bench.binding import publish_cost
from tests.bench.growth.curve import SERVER_CPU, Curve, Lines, Scale, median_of
from tests.bench.holding import SMALL, declare_many, hold, through
from tests.bench.server import BenchServer
from tests.bench.work import ACK_TIMEOUT, BATCH, PREFETCH, fill

_THROUGH = "publish + consume"


def _grown(
    server: BenchServer, scale: Scale, sizes: list[int], grow: Callable[[Broker, int, ExitStack], None]
) -> Lines:
    """Let something of the queue `q` grow from size to size, and send messages through it at each."""
    lines = Lines(sizes)
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(server.url, ack_timeout=ACK_TIMEOUT))
        broker.declare_queue("q")
        before = 0
        for size in sizes:
            grow(broker, size - before, stack)
            before = size
            with broker.consume("q", auto_ack=False, prefetch=PREFETCH) as consumer:
                cost = median_of(scale, lambda: through(server, broker, consumer, scale.messages)["server"])
            lines.add(_THROUGH, cost)
    return lines


def _depth(server: BenchServer, scale: Scale) -> Lines:
    sizes = scale.up_to(0, 1000, 10_000, 100_000, 1_000_000, 5_000_000)
    return _grown(server, scale, sizes, lambda broker, more, _: fill(broker, "q", more, SMALL))


def _unacked(server: BenchServer, scale: Scale) -> Lines:
    sizes = scale.up_to(0, 100, 1000, 10_000, 100_000)
    return _grown(server, scale, sizes, lambda broker, more, stack: hold(broker, "q", more, stack))


def _queues(server: BenchServer, scale: Scale) -> Lines:
    lines = Lines(scale.up_to(1, 10, 100, 1000, 10_000))
    with Broker(server.url) as broker:
        broker.declare_queue("q")
        broker.declare_queue("mail")  # publish_cost empties it
        before = 0
        for size in lines.x:
            declare_many(broker, before, size)
            before = size
            with broker.consume("q", auto_ack=False, prefetch=PREFETCH) as consumer:
                cost = median_of(scale, lambda: through(server, broker, consumer, scale.messages)["server"])
            lines.add("publish + consume, in one of them", cost)
            work = _spread(size)
            cost = median_of(scale, lambda: publish_cost(server, broker, work, scale.messages))  # noqa: B023 - it is called here
            lines.add("publish, each message to another", cost)
    return lines


def _spread(queues: int) -> Iterator[list[Message]]:
    """Batches to one queue after the other, each by a routing key of its own."""
    messages = (Message(SMALL, exchange="events", routing_key=f"user.{number % queues}.x") for number in count())
    while True:
        yield list(islice(messages, BATCH))


CURVES = (
    Curve("depth", "Cost of a message against the depth of its queue", "messages in the queue", SERVER_CPU, _depth),
    Curve("unacked", "Cost of a message against what is unacked", "unacked in the queue", SERVER_CPU, _unacked),
    Curve("queues", "Cost of a message against the queues", "queues", SERVER_CPU, _queues),
)
