"""What a message costs as it goes to many queues, and as its body becomes large."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from rexchange import Broker, Message
from tests.bench.growth.curve import SERVER_CPU, Curve, Point, Scale
from tests.bench.server import BenchServer
from tests.bench.work import BATCH, PREFETCH, consume

_KIB, _MIB = 1024, 1024 * 1024
_BYTES_A_BLOCK = 20 * _MIB
_BYTES_A_CALL = 10 * _MIB


def _queues(scale: Scale) -> list[int]:
    return scale.up_to(1, 3, 10, 30, 100, 300, 1000)


def _fanout(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    points: list[Point] = []
    for size in _queues(scale):
        broker = stack.enter_context(Broker(server.url, vhost=f"queues-{size}"))
        broker.declare_exchange("all", "fanout")
        for number in range(size):
            broker.declare_queue(f"q{number}")
            broker.bind(f"q{number}", "all")
        for label, length in (("200 bytes", 200), ("64 KiB", 64 * _KIB)):
            message = Message(b"x" * length, exchange="all")
            points.append(Point(label, size, partial(_copies, server, broker, message, size, scale)))
    return points


def _copies(server: BenchServer, broker: Broker, message: Message, queues: int, scale: Scale) -> float:
    """Publish some, empty the queues, and return the cost of one copy."""
    messages = max(1, min(scale.messages // queues, _BYTES_A_BLOCK // (len(message.body) * queues)))
    calls = _calls(message, messages)
    cpu = server.cpu()
    for call in calls:
        broker.publish_many(call)
    cost = (server.cpu() - cpu) / (messages * queues) * 1e6
    for number in range(queues):
        broker.purge(f"q{number}")
    return cost


def _sizes(scale: Scale) -> list[int]:
    return scale.up_to(0, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)


def _body(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    points: list[Point] = []
    broker = stack.enter_context(Broker(server.url))
    broker.declare_queue("q")
    for size in _sizes(scale):
        calls = _calls(Message(b"x" * size, routing_key="q"), max(2, min(scale.messages, _BYTES_A_BLOCK // (size + 1))))
        points.append(Point("bare XADD", size, partial(_bare, server, calls)))
        points.append(Point("publish", size, partial(_publish, server, broker, calls)))
        points.append(Point("consume + ack", size, partial(_consume, server, broker, calls)))
    return points


def _calls(message: Message, messages: int) -> list[list[Message]]:
    """So many alike, in batches that a call has room for."""
    at_once = min(BATCH, _BYTES_A_CALL // (len(message.body) + 1))
    return [[message] * min(at_once, messages - start) for start in range(0, messages, at_once)]


def _count(calls: list[list[Message]]) -> int:
    return sum(map(len, calls))


def _bare(server: BenchServer, calls: list[list[Message]]) -> float:
    pipe = server.client.pipeline(transaction=False)
    cpu = server.cpu()
    for call in calls:
        for message in call:
            pipe.xadd("bare", {"exchange": "", "key": "q", "properties": "", "body": message.body})
        pipe.execute()
    cost = (server.cpu() - cpu) / _count(calls) * 1e6
    server.client.delete("bare")
    return cost


def _publish(server: BenchServer, broker: Broker, calls: list[list[Message]]) -> float:
    cpu = server.cpu()
    for call in calls:
        broker.publish_many(call)
    cost = (server.cpu() - cpu) / _count(calls) * 1e6
    broker.purge("q")
    return cost


def _consume(server: BenchServer, broker: Broker, calls: list[list[Message]]) -> float:
    for call in calls:
        broker.publish_many(call)
    # A read is one reply: with large bodies it must fit into memory on both ends.
    prefetch = max(1, min(PREFETCH, _BYTES_A_CALL // (len(calls[0][0].body) + 1)))
    with broker.consume("q", auto_ack=False, prefetch=prefetch) as consumer:
        cpu = server.cpu()
        consume(consumer, _count(calls))
        return (server.cpu() - cpu) / _count(calls) * 1e6


_FANOUT_TITLE = "Cost of each copy against the queues that a message goes to"
_BODY_TITLE = "Cost of a message against the size of its body"
CURVES = (
    Curve("fanout", _FANOUT_TITLE, "queues of one message", "us of server CPU a copy", _queues, _fanout),
    Curve("body", _BODY_TITLE, "bytes of the body", SERVER_CPU, _sizes, _body),
)
