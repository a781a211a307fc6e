"""One contestant's part of a round: fill a queue, drain it, then both at once, then one message at a time.

A consumer's clock runs from the first message that it handles to the last, so that nobody pays for the start of a
worker. End to end runs from the first publish to the last message handled, with a consumer that waits already.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tests.bench.peers.process import Failed, Process
from tests.bench.peers.roster import REPORTED, Contestant

_MARK = struct.Struct("qddq")  # as in contestants/runner.py
_LIMIT_S = 30.0
_POLL_S = 0.25
Figures = dict[str, Any]
Cpu = Callable[[], float | None]


@dataclass(frozen=True)
class Plan:
    """How much is done: messages of 200 bytes, then how many of which other sizes, then round trips."""

    count: int
    sizes: tuple[tuple[int, int], ...] = ()
    trips: int = 0
    trips_s: float = 1.0


@dataclass(frozen=True)
class Mark:
    """What the consumer reported when it had handled so many messages."""

    count: int
    at: float
    cpu: float
    rss: int


class _Session:
    def __init__(self, publisher: Process, consumer: Process, marks: socket.socket, cpu: Cpu) -> None:
        self._publisher, self._consumer, self._marks, self._cpu = publisher, consumer, marks, cpu

    def _mark(self) -> Mark:
        deadline = time.monotonic() + _LIMIT_S
        self._marks.settimeout(_POLL_S)
        while True:
            try:
                return Mark(*_MARK.unpack(self._marks.recv(_MARK.size)))
            except TimeoutError:
                if not self._consumer.alive():
                    raise self._consumer.failed("ended") from None
                if time.monotonic() > deadline:
                    raise self._consumer.failed(f"did not get all messages within {_LIMIT_S:g} s") from None

    def _publish(self, size: int, count: int) -> Figures:
        self._publisher.tell(do="publish", size=size, count=count)
        return self._publisher.answer(_LIMIT_S)

    def publish(self, count: int) -> Figures:
        """Fill the queue: nobody consumes yet."""
        before = self._cpu()
        done = self._publish(200, count)
        return _figures(count, done["ended"] - done["started"], done["cpu"], before, self._cpu())

    def consume(self, count: int) -> tuple[Figures, Mark]:
        """Drain it."""
        before = self._cpu()
        self._consumer.tell(do="go")
        first, last = self._mark(), self._mark()
        return _figures(count - 1, last.at - first.at, last.cpu - first.cpu, before, self._cpu()), last

    def through(self, size: int, count: int, last: Mark) -> tuple[Figures, Mark]:
        """Publish while the consumer waits; until it has handled the last."""
        before = self._cpu()
        done = self._publish(size, count)
        mark = self._mark()
        cpu = done["cpu"] + mark.cpu - last.cpu
        figures = _figures(count, mark.at - done["started"], cpu, before, self._cpu())
        return {**figures, "rss": done["rss"]}, mark

    def round_trips(self, count: int, seconds: float) -> list[float]:
        """Publish one, wait until its handler ran, and again; return the milliseconds of each."""
        self._publisher.tell(do="trips", count=count, seconds=seconds)
        trips: list[float] = self._publisher.answer(_LIMIT_S)["trips"]
        return [trip * 1000 for trip in trips]


def _figures(count: int, seconds: float, client: float, before: float | None, after: float | None) -> Figures:
    if seconds <= 0:
        raise Failed(f"{count} messages took no time: too few to measure")
    figures: Figures = {"rate": count / seconds, "client_us": client / count * 1e6}
    if before is not None and after is not None:
        figures["server_us"] = (after - before) / count * 1e6
    return figures


def run(contestant: Contestant, python: Path, url: str, plan: Plan, cpu: Cpu) -> Figures:
    """Return the figures of one round; `Failed` where the contestant did not get through."""
    counts: Sequence[int] = list(accumulate([1, plan.count - 1, plan.count, *(count for _, count in plan.sizes)]))
    receive, send = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receive, send:
        order = {"url": url, "packages": REPORTED[contestant.venv], "at": counts}
        to_publisher = {**order, "role": "publisher", "marks": receive.fileno()}
        to_consumer = {**order, "role": "consumer", "marks": send.fileno()}
        with (
            Process(contestant, python, to_publisher, [receive.fileno()]) as publisher,
            Process(contestant, python, to_consumer, [send.fileno()]) as consumer,
        ):
            versions = publisher.ready()
            consumer.ready()
            session = _Session(publisher, consumer, receive, cpu)
            figures: Figures = {"versions": versions, "count": plan.count, "publish": session.publish(plan.count)}
            figures["consume"], mark = session.consume(plan.count)
            for size, count in ((200, plan.count), *plan.sizes):
                figures[f"through_{size}"], mark = session.through(size, count, mark)
            figures["memory_mib"] = (mark.rss + figures[f"through_{size}"]["rss"]) / 1024
            if plan.trips:
                figures["trips_ms"] = session.round_trips(plan.trips, plan.trips_s)
    return figures
