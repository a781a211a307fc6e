"""What the budgets and the growth curves do over and over: publish, consume, bind and fill in bulk, measure."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import islice
from pathlib import Path

from rexchange import Broker, Consumer, Message, scripts
from rexchange.keyspace import Keys
from rexchange.protocol import declare
from rexchange.topology import Binding
from tests.bench.server import BenchServer

BODY = b"x" * 200
BATCH = 100
PREFETCH = 200
ACK_TIMEOUT = timedelta(hours=1)
"""Longer than any case: what is unacked on purpose must not be given back in the middle."""
_BOUND_AT_ONCE = 500

Figures = dict[str, float]
"""What one block cost, by measure: `server` and `client` are microseconds of CPU a message."""


@contextmanager
def measured(server: BenchServer, messages: int) -> Iterator[Figures]:
    """Measure the CPU of both sides while the block runs."""
    figures: Figures = {}
    cpu, client = server.cpu(), time.process_time()
    yield figures
    figures["client"] = (time.process_time() - client) / messages * 1e6
    figures["server"] = (server.cpu() - cpu) / messages * 1e6


@contextmanager
def broker_on(server: BenchServer, vhost: str = "/") -> Iterator[Broker]:
    """A broker with a topic exchange `events` and a queue `mail`, which gets `user.*.created`."""
    with Broker(server.url, vhost=vhost, ack_timeout=ACK_TIMEOUT) as broker:
        broker.declare_exchange("events", "topic")
        broker.declare_queue("mail")
        broker.bind("mail", "events", "user.*.created")
        yield broker


def created(keys: int) -> Callable[[int], str]:
    """Routing keys of `user.*.created` that repeat after so many."""
    return lambda number: f"user.{number % keys}.created"


def batches(
    messages: int, key: Callable[[int], str], *, exchange: str = "events", body: bytes = BODY
) -> list[list[Message]]:
    """So many messages in batches, the routing key by number."""
    return [
        [Message(body, exchange=exchange, routing_key=key(number)) for number in range(start, start + BATCH)]
        for start in range(0, messages, BATCH)
    ]


def publish(broker: Broker, work: Iterable[Sequence[Message]]) -> None:
    """Publish batch after batch."""
    for batch in work:
        broker.publish_many(batch)


def consume(consumer: Consumer, messages: int) -> None:
    """Take so many and acknowledge each."""
    for number, delivery in enumerate(consumer, start=1):
        delivery.ack()
        if number == messages:
            break


def fill(broker: Broker, queue: str, count: int, body: bytes = BODY) -> None:
    """Put so many messages into a queue, in the largest batches there are."""
    batch = [Message(body, routing_key=queue)] * 1000
    for start in range(0, count, 1000):
        broker.publish_many(batch[: count - start])


def bind_many(server: BenchServer, vhost: str, exchange: str, bindings: Iterable[Binding]) -> None:
    """Bind in bulk: by the library's own Lua, 500 a call. A million single calls would take minutes.

    The bindings end at queues that exist, and are new ones of a plain exchange: what `bind` checks first is left out.
    """
    script = _bulk()
    server.client.script_load(script.text)
    keys = Keys(vhost.encode())
    vhost_id = server.client.hget(keys.vhost, "id") or b""
    left = iter(bindings)
    with ThreadPoolExecutor(1) as sender:
        sent: Future[object] | None = None
        while some := list(islice(left, _BOUND_AT_ONCE)):
            args = [word for binding in some for word in declare.bind(binding, "").args[4:]]  # id, arguments, form
            if sent is not None:
                sent.result()  # the server worked on these while the next were encoded
            sent = sender.submit(server.client.evalsha, script.sha, 1, keys.vhost, vhost_id, exchange, *args)
        if sent is not None:
            sent.result()


@cache
def _bulk() -> scripts.Script:
    """Link bind_many.lua, which lies here, with the modules of the library."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lib").symlink_to(scripts.root() / "lib")
        (Path(folder) / "bind_many.lua").symlink_to(Path(__file__).with_name("bind_many.lua"))
        return scripts.link(Path(folder), "bind_many")
