"""Budgets of publishing: in batches, over pipelined XADD; alone, over EVALSHA on a bare socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import hiredis

from tests.bench.budgets.case import Bench, Case, Row, Scale, Side, Sides
from tests.bench.server import BenchServer
from tests.bench.work import BATCH, BODY, Figures, batches, broker_on, created, measured, publish

KEY = "user.1.created"
_FIELDS: dict[bytes | bytearray | memoryview | str | int | float, bytes | bytearray | memoryview | str | int | float]
_FIELDS = {"exchange": "events", "key": KEY, "properties": "", "body": BODY}


def bare_xadd(server: BenchServer, messages: int) -> None:
    """Pipelines of 100 XADD with four fields, through redis-py."""
    pipe = server.client.pipeline(transaction=False)
    for _ in range(0, messages, BATCH):
        for _ in range(BATCH):
            pipe.xadd("bare", _FIELDS)
        pipe.execute()


def _in_batches(keys: int) -> Callable[[Bench], Sides]:
    """Topic publish in batches of 100 with so many routing keys."""

    @contextmanager
    def make(bench: Bench) -> Iterator[tuple[Side, Side]]:
        server, messages = bench.server, bench.scale.messages
        with broker_on(server) as broker:

            def ours() -> Figures:
                work = batches(messages, created(keys))
                with measured(server, messages) as figures:
                    publish(broker, work)
                broker.purge("mail")
                return figures

            def bare() -> Figures:
                with measured(server, messages) as figures:
                    bare_xadd(server, messages)
                server.client.delete("bare")
                return figures

            yield ours, bare

    return make


@contextmanager
def _alone(bench: Bench) -> Iterator[tuple[Side, Side]]:
    """One publish after the other, each waiting for its confirm; against the least that a confirm costs."""
    server, messages = bench.server, bench.scale.fewer(5)
    sha = str(server.client.script_load("return redis.call('XADD', KEYS[1], '*', 'm', ARGV[1], 'b', ARGV[2])"))
    command = cast("tuple[str]", ("EVALSHA", sha, "1", "bare", b"m", BODY))  # its stub knows tuples of one
    reader = hiredis.Reader()
    with broker_on(server) as broker, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.path))

        def ours() -> Figures:
            with measured(server, messages) as figures:
                for _ in range(messages):
                    broker.publish(BODY, exchange="events", routing_key=KEY)
            broker.purge("mail")
            return figures

        def bare() -> Figures:
            with measured(server, messages) as figures:
                for _ in range(messages):
                    connection.sendall(hiredis.pack_command(command))
                    reply: object = False
                    while reply is False:
                        reader.feed(connection.recv(65536))
                        reply = reader.gets()
            server.client.delete("bare")
            return figures

        yield ours, bare


def cases(_scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    one, many = "publish in batches, one key", "publish in batches, 100 cached keys"
    return [
        Case(
            (
                Row("publish-one-key", f"{one}: server CPU over pipelined XADD", "server", 1.3),
                Row("publish-one-key-client", f"{one}: client CPU over redis-py's pipeline", "client", 1.0),
            ),
            _in_batches(1),
        ),
        Case(
            (
                Row("publish-100-keys", f"{many}: server CPU over pipelined XADD", "server", 1.7),
                Row("publish-100-keys-client", f"{many}: client CPU over redis-py's pipeline", "client", 1.0),
            ),
            _in_batches(100),
        ),
        Case(
            (Row("publish-alone-client", "one sync publish alone: client CPU over EVALSHA by hiredis", "client", 2.0),),
            _alone,
        ),
    ]
