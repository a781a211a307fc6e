"""The first four rows of the design's budgets: ours, and the bare commands that do the least for the same end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import hiredis

from rexchange import Broker, Message
from tests.bench.server import BenchServer

BODY = b"x" * 200
BATCH = 100
PREFETCH = 200


@dataclass
class Figure:
    """Microseconds of CPU a message."""

    server: float = 0.0
    client: float = 0.0


Run = Callable[[BenchServer, int], Figure]


@dataclass(frozen=True)
class Case:
    """One row: what is measured, how, and how many times the bare commands it may cost."""

    what: str
    ours: Run
    bare: Run
    budgets: dict[str, float]
    fewer: int = 1
    """Divides the number of messages, where one costs a round trip."""


@contextmanager
def measured(server: BenchServer, messages: int) -> Iterator[Figure]:
    """Measure the CPU of both sides while the block runs."""
    figure = Figure()
    cpu, client = server.cpu(), time.process_time()
    yield figure
    figure.client = (time.process_time() - client) / messages * 1e6
    figure.server = (server.cpu() - cpu) / messages * 1e6


def _broker(server: BenchServer) -> Broker:
    broker = Broker(server.url).open()
    broker.declare_exchange("events", "topic")
    broker.declare_queue("mail")
    broker.bind("mail", "events", "user.*.created")
    return broker


def _batches(messages: int, keys: int) -> list[list[Message]]:
    return [
        [
            Message(BODY, exchange="events", routing_key=f"user.{number % keys}.created")
            for number in range(start, start + BATCH)
        ]
        for start in range(0, messages, BATCH)
    ]


def publish(keys: int) -> Run:
    """Topic publish in batches of 100 with so many routing keys."""

    def run(server: BenchServer, messages: int) -> Figure:
        with _broker(server) as broker:
            broker.publish_many(_batches(BATCH, keys)[0])
            batches = _batches(messages, keys)
            with measured(server, messages) as figure:
                for batch in batches:
                    broker.publish_many(batch)
        return figure

    return run


def bare_xadd(server: BenchServer, messages: int) -> Figure:
    """Pipelines of 100 XADD with four fields, through redis-py."""
    pipe = server.client.pipeline(transaction=False)
    fields: dict[bytes | bytearray | memoryview | str | int | float, bytes | bytearray | memoryview | str | int | float]
    fields = {"exchange": "events", "key": "user.1.created", "properties": "", "body": BODY}
    with measured(server, messages) as figure:
        for _ in range(0, messages, BATCH):
            for _ in range(BATCH):
                pipe.xadd("bare", fields)
            pipe.execute()
    return figure


def consume(server: BenchServer, messages: int) -> Figure:
    """Consume and ack with prefetch 200."""
    with _broker(server) as broker:
        for batch in _batches(messages, 1):
            broker.publish_many(batch)
        with (
            broker.consume("mail", auto_ack=False, prefetch=PREFETCH) as consumer,
            measured(server, messages) as figure,
        ):
            for number, delivery in enumerate(consumer, start=1):
                delivery.ack()
                if number == messages:
                    break
    return figure


def bare_consume(server: BenchServer, messages: int) -> Figure:
    """XACK and XDEL of 200 ids in front of XREADGROUP COUNT 200, through redis-py pipelines."""
    client = server.client
    bare_xadd(server, messages)
    client.xgroup_create("bare", "g", "0")
    with measured(server, messages) as figure:
        ids: list[bytes] = []
        done = 0
        while done < messages:
            pipe = client.pipeline(transaction=False)
            if ids:
                pipe.xack("bare", "g", *ids)
                pipe.xdel("bare", *ids)
            pipe.xreadgroup("g", "me", {"bare": ">"}, count=PREFETCH)
            ids = [entry_id for entry_id, _ in pipe.execute()[-1][0][1]]
            done += len(ids)
        client.xack("bare", "g", *ids)
        client.xdel("bare", *ids)
    return figure


def publish_alone(server: BenchServer, messages: int) -> Figure:
    """One publish after the other, each waiting for its confirm."""
    with _broker(server) as broker:
        broker.publish(BODY, exchange="events", routing_key="user.1.created")
        with measured(server, messages) as figure:
            for _ in range(messages):
                broker.publish(BODY, exchange="events", routing_key="user.1.created")
    return figure


def bare_evalsha(server: BenchServer, messages: int) -> Figure:
    """EVALSHA of one XADD on a bare socket with hiredis: what a confirm costs at the least."""
    sha = str(server.client.script_load("return redis.call('XADD', KEYS[1], '*', 'm', ARGV[1], 'b', ARGV[2])"))
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.path))
        command = cast("tuple[str]", ("EVALSHA", sha, "1", "bare", b"m", BODY))  # its stub knows tuples of one
        with measured(server, messages) as figure:
            for _ in range(messages):
                connection.sendall(hiredis.pack_command(command))
                reply: object = False
                while reply is False:
                    reader.feed(connection.recv(65536))
                    reply = reader.gets()
    return figure


CASES = (
    Case("publish, batches of 100, one key", publish(1), bare_xadd, {"server": 1.3, "client": 1.0}),
    Case("publish, batches of 100, 100 keys", publish(100), bare_xadd, {"server": 1.7, "client": 1.0}),
    Case("consume + ack, prefetch 200", consume, bare_consume, {"server": 1.15, "client": 1.5}),
    Case("one sync publish alone", publish_alone, bare_evalsha, {"client": 2.0}, fewer=5),
)
