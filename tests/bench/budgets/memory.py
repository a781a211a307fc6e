"""Budgets of memory: a queued message, over the bare XADD of the same bytes; a large body in many queues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rexchange import Broker, Message
from tests.bench.budgets.case import Bench, Case, Row, Scale, Side
from tests.bench.budgets.publishing import bare_xadd
from tests.bench.work import Figures, batches, broker_on, created, measured, publish

_FANOUTS = 10
"""So many at once: a stream's block of memory holds several small entries, so that one alone says little."""
_ALLOWED_BODIES, _ALLOWED_A_QUEUE = 2, 150
_KIB = 1024


@contextmanager
def _queued(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server, messages = bench.server, bench.scale.size(50_000, 10_000)
    with broker_on(server) as broker:

        def ours() -> Figures:
            before = server.memory()
            publish(broker, batches(messages, created(100)))
            bytes_each = (server.memory() - before) / messages
            broker.purge("mail")
            return {"bytes": bytes_each}

        def bare() -> Figures:
            before = server.memory()
            bare_xadd(server, messages)
            bytes_each = (server.memory() - before) / messages
            server.client.delete("bare")
            return {"bytes": bytes_each}

        yield ours, bare


def _fanout(broker: Broker, queues: int) -> None:
    """A fanout exchange to so many queues, none of them untouched: the first entry of a stream takes a whole block."""
    broker.declare_exchange("all", "fanout")
    for number in range(queues):
        broker.declare_queue(f"q{number}")
        broker.bind(f"q{number}", "all")
    broker.publish(b"", exchange="all")


@contextmanager
def _fanout_memory(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server, queues, body = bench.server, bench.scale.size(1000), b"x" * (64 * _KIB)
    with Broker(server.url) as broker:
        _fanout(broker, queues)

        def ours() -> Figures:
            before = server.memory()
            for _ in range(_FANOUTS):
                broker.publish(body, exchange="all")
            bytes_each = (server.memory() - before) / _FANOUTS
            for number in range(queues):
                broker.purge(f"q{number}")
            broker.publish(b"", exchange="all")
            return {"bytes": bytes_each}

        yield ours, lambda: {"bytes": _ALLOWED_BODIES * len(body) + _ALLOWED_A_QUEUE * queues}


@contextmanager
def _fanout_time(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server, queues, body, times = bench.server, 10, b"x" * (_KIB * _KIB), max(bench.scale.messages // 500, 1)
    with Broker(server.url) as broker:
        _fanout(broker, queues)
        message = [Message(body, exchange="all")]

        def ours() -> Figures:
            with measured(server, times) as figures:
                for _ in range(times):
                    broker.publish_many(message)
            for number in range(queues):
                broker.purge(f"q{number}")
            return figures

        def bare() -> Figures:
            with measured(server, times) as figures:
                for _ in range(times):
                    server.client.xadd("bare", {"body": body})
            server.client.delete("bare")
            return figures

        yield ours, bare


def cases(scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    queues = scale.size(1000)
    return [
        Case(
            (Row("memory", "a queued message of 200 bytes over bare XADD", "bytes", 1.2, "bytes a message"),),
            _queued,
            most_rounds=2,
        ),
        Case(
            (
                Row(
                    "fanout-memory",
                    f"64 KiB to {queues:,} queues: memory over 2 bodies + 150 bytes a queue",
                    "bytes",
                    1.0,
                    "bytes a fan-out",
                ),
            ),
            _fanout_memory,
            most_rounds=2,
        ),
        Case(
            (Row("fanout-cpu", "1 MiB to 10 queues: server CPU over one XADD of 1 MiB", "server", 2.0),),
            _fanout_time,
        ),
    ]
