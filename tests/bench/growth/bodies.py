"""What a message costs as it goes to many queues, and as its body becomes large."""

from __future__ import annotations

from functools import partial

from rexchange import Broker, Message
from tests.bench.growth.curve import SERVER_CPU, Curve, Lines, Scale, median_of
from tests.bench.server import BenchServer
from tests.bench.work import BATCH, PREFETCH, consume

_KIB, _MIB = 1024, 1024 * 1024
_BYTES_A_BLOCK = 100 * _MIB
_BYTES_A_CALL = 10 * _MIB


def _calls(message: Message, messages: int) -> list[list[Message]]:
    """So many alike, in batches that a call has room for."""
    at_once = max(1, min(BATCH, _BYTES_A_CALL // max(len(message.body), 1)))
    return [[message] * min(at_once, messages - start) for start in range(0, messages, at_once)]


def _fanout(server: BenchServer, scale: Scale) -> Lines:
    lines = Lines(scale.up_to(1, 3, 10, 30, 100, 300, 1000))
    bodies = {"200 bytes": 200, "64 KiB": 64 * _KIB}
    with Broker(server.url) as broker:
        broker.declare_exchange("all", "fanout")
        before = 0
        for size in lines.x:
            for number in range(before, size):
                broker.declare_queue(f"q{number}")
                broker.bind(f"q{number}", "all")
            before = size
            for label, length in bodies.items():
                message = Message(b"x" * length, exchange="all")
                lines.add(label, median_of(scale, partial(_copies, server, broker, message, size, scale)))
    return lines


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


def _body(server: BenchServer, scale: Scale) -> Lines:
    lines = Lines(scale.up_to(0, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000))
    with Broker(server.url) as broker:
        broker.declare_queue("q")
        for size in lines.x:
            message = Message(b"x" * size, routing_key="q")
            messages = max(5, min(scale.messages, _BYTES_A_BLOCK // max(size, 1)))
            lines.add("bare XADD", median_of(scale, partial(_bare, server, message.body, messages)))
            lines.add("publish", median_of(scale, partial(_publish, server, broker, message, messages)))
            lines.add("consume + ack", median_of(scale, partial(_consume, server, broker, message, messages)))
    return lines


def _bare(server: BenchServer, body: bytes, messages: int) -> float:
    calls = _calls(Message(body), messages)
    pipe = server.client.pipeline(transaction=False)
    cpu = server.cpu()
    for call in calls:
        for _ in call:
            pipe.xadd("bare", {"exchange": "", "key": "q", "properties": "", "body": body})
        pipe.execute()
    cost = (server.cpu() - cpu) / messages * 1e6
    server.client.delete("bare")
    return cost


def _publish(server: BenchServer, broker: Broker, message: Message, messages: int) -> float:
    calls = _calls(message, messages)
    cpu = server.cpu()
    for call in calls:
        broker.publish_many(call)
    cost = (server.cpu() - cpu) / messages * 1e6
    broker.purge("q")
    return cost


def _consume(server: BenchServer, broker: Broker, message: Message, messages: int) -> float:
    for call in _calls(message, messages):
        broker.publish_many(call)
    # A read is one reply: with large bodies it must fit into memory on both ends.
    prefetch = max(1, min(PREFETCH, _BYTES_A_CALL // max(len(message.body), 1)))
    with broker.consume("q", auto_ack=False, prefetch=prefetch) as consumer:
        cpu = server.cpu()
        consume(consumer, messages)
        return (server.cpu() - cpu) / messages * 1e6


_FANOUT_TITLE = "Cost of each copy against the queues that a message goes to"
CURVES = (
    Curve("fanout", _FANOUT_TITLE, "queues of one message", "us of server CPU a copy", _fanout),
    Curve("body", "Cost of a message against the size of its body", "bytes of the body", SERVER_CPU, _body),
)
