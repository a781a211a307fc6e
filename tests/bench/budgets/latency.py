"""The budget of latency: publish until the handler begins, over bare XADD until a blocked XREADGROUP returns."""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

import redis

from rexchange import Broker
from tests.bench.budgets.case import Bench, Case, Row, Scale, Side
from tests.bench.work import BODY, PREFETCH, Figures, broker_on

_PAUSE_S = 0.001
_STOP = b"stop"
_PATIENCE_S = 30


def _handle(url: str, answers: Connection) -> None:
    """Ours, in a process of its own: consume, and say when each delivery came."""
    logging.getLogger("rexchange").setLevel(logging.ERROR)  # as in the process that started this one
    with Broker(url) as broker, broker.consume("mail", auto_ack=False, prefetch=PREFETCH) as consumer:
        answers.send(0)
        for delivery in consumer:
            now = time.perf_counter_ns()
            delivery.ack()
            if delivery.body == _STOP:
                break
            answers.send(now)


def _read(path: str, answers: Connection) -> None:
    """The bare commands, in a process of its own; as in ours, what was read is settled in front of the next read."""
    client = redis.Redis(unix_socket_path=path, socket_timeout=None)
    client.xgroup_create("bare", "g", "0", mkstream=True)
    answers.send(0)
    ids: list[bytes] = []
    while True:
        pipe = client.pipeline(transaction=False)
        if ids:
            pipe.xack("bare", "g", *ids)
            pipe.xdel("bare", *ids)
        pipe.xreadgroup("g", "me", {"bare": ">"}, count=PREFETCH, block=0)
        entries = pipe.execute()[-1][0][1]
        now = time.perf_counter_ns()
        if entries[0][1][b"body"] == _STOP:
            break
        ids = [entry_id for entry_id, _ in entries]
        answers.send(now)
    client.close()


@contextmanager
def _process(target: Callable[[str, Connection], None], address: str) -> Iterator[Connection]:
    """Run it in another process and yield where its answers come, once it reads."""
    context = multiprocessing.get_context("spawn")  # a fork would share our connections
    here, there = context.Pipe()
    process = context.Process(target=target, args=(address, there))
    process.start()
    try:
        _answer(here)
        yield here
        process.join(_PATIENCE_S)
    finally:
        process.kill()
        process.join()


def _answer(answers: Connection) -> int:
    if not answers.poll(_PATIENCE_S):
        raise TimeoutError("the consuming process does not answer")
    return int(answers.recv())


def _block(send: Callable[[bytes], object], answers: Connection, messages: int) -> Figures:
    """Send one message after the other, each when the one before was handled."""
    took = []
    for _ in range(messages):
        time.sleep(_PAUSE_S)  # time for the consumer to block again; else it is measured how fast it comes back
        started = time.perf_counter_ns()
        send(BODY)
        took.append((_answer(answers) - started) / 1000)
    return {"p50": statistics.median(took), "p99": sorted(took)[int(len(took) * 0.99)]}


@contextmanager
def _latency(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server, messages = bench.server, bench.scale.fewer(10)
    with (
        broker_on(server) as broker,
        _process(_handle, server.url) as handled,
        _process(_read, str(server.path)) as read,
    ):

        def ours(body: bytes) -> None:
            broker.publish(body, exchange="events", routing_key="user.1.created")

        def bare(body: bytes) -> None:
            server.client.xadd("bare", {"exchange": "events", "key": "user.1.created", "properties": "", "body": body})

        yield partial(_block, ours, handled, messages), partial(_block, bare, read, messages)
        ours(_STOP)
        bare(_STOP)


def cases(_scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    what, unit = "publish -> handler over XADD -> blocked XREADGROUP", "us"
    return [
        Case(
            (
                Row("latency-p50", f"{what}, p50", "p50", 1.3, unit),
                Row("latency-p99", f"{what}, p99", "p99", 2.0, unit),
            ),
            _latency,
            most_rounds=9,
        )
    ]
