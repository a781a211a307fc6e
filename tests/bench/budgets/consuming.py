"""Budgets of consuming: take and ack with prefetch 200, over XREADGROUP, XACK and XDEL in one write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.budgets.case import Bench, Case, Row, Scale, Side
from tests.bench.budgets.publishing import bare_xadd
from tests.bench.server import BenchServer
from tests.bench.work import PREFETCH, Figures, batches, broker_on, consume, created, measured, publish


def _bare_consume(server: BenchServer, messages: int) -> None:
    """XACK and XDEL of 200 ids in front of XREADGROUP COUNT 200, through redis-py pipelines."""
    client = server.client
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


@contextmanager
def _consume(bench: Bench) -> Iterator[tuple[Side, Side]]:
    server, messages = bench.server, bench.scale.messages
    server.client.xgroup_create("bare", "g", "0", mkstream=True)
    work = batches(messages, created(1))
    with broker_on(server) as broker:

        def ours() -> Figures:
            publish(broker, work)
            with (
                broker.consume("mail", auto_ack=False, prefetch=PREFETCH) as consumer,
                measured(server, messages) as figures,
            ):
                consume(consumer, messages)
            return figures

        def bare() -> Figures:
            bare_xadd(server, messages)
            with measured(server, messages) as figures:
                _bare_consume(server, messages)
            return figures

        yield ours, bare


def cases(_scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    what = "consume + ack, prefetch 200"
    return [
        Case(
            (
                Row("consume", f"{what}: server CPU over XREADGROUP + XACK + XDEL", "server", 1.15),
                Row("consume-client", f"{what}: client CPU over redis-py's pipeline", "client", 1.5),
            ),
            _consume,
        )
    ]
