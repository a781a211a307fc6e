"""Budgets against others: pika and aio-pika on RabbitMQ, kombu on the same Redis; throughput by the wall clock.

Both sides run in a process of their own, times itself, and keeps messages over a restart: ours with an append-only
file written every second, RabbitMQ with durable queues and messages. What is not installed is missing, never guessed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.budgets.case import DEFAULT, Bench, Case, Missing, Row, Scale, Side
from tests.bench.venvs import NotInstalled, python_with
from tests.bench.work import Figures

_CHILDREN = Path(__file__).parent / "children"
_ROOT = Path(__file__).parents[3]
_AMQP = os.environ.get("REXCHANGE_BENCH_AMQP", "amqp://guest:guest@127.0.0.1:5672/%2F?heartbeat=0")
_LIMIT_S = 120
_UNIT = "messages a second"


def _child(command: Sequence[str], url: str, messages: int) -> dict[str, Any]:
    done = subprocess.run(
        [*command, url, str(messages)], cwd=_ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _rate(command: Sequence[str], url: str, messages: int) -> Figures:
    return {"rate": messages / _child(command, url, messages)["seconds"]}


def _needs_rabbitmq() -> None:
    address = urlsplit(_AMQP)
    where = (address.hostname or "127.0.0.1", address.port or 5672)
    try:
        socket.create_connection(where, timeout=2).close()
    except OSError as error:
        raise Missing(f"RabbitMQ at {where[0]}:{where[1]}: {error}") from error


@dataclass(frozen=True)
class _Contest:
    """What children/ours.py does, against a script of children/ in a venv of its own; messages of one round each."""

    ours: str
    script: str
    venv: str
    requirements: tuple[str, ...]
    amqp: bool
    messages: tuple[int, int]

    @contextmanager
    def sides(self, bench: Bench) -> Iterator[tuple[Side, Side]]:
        if self.amqp:
            _needs_rabbitmq()
        try:
            python = python_with(self.venv, self.requirements)
        except NotInstalled as error:
            raise Missing(str(error)) from error
        mine = (sys.executable, "-m", "tests.bench.budgets.children.ours", self.ours)
        theirs = (str(python), str(_CHILDREN / self.script))
        url = _AMQP if self.amqp else f"redis+socket://{bench.server.path}"
        share = bench.scale.messages / DEFAULT.messages
        many, fewer = (int(count * share) for count in self.messages)
        yield partial(_rate, mine, bench.server.url, many), partial(_rate, theirs, url, fewer)


_PIKA = _Contest("through", "pika_through.py", "pika", ("pika",), True, (20_000, 4000))
_KOMBU = _Contest("through", "kombu_through.py", "kombu", ("kombu[redis]", "hiredis"), False, (20_000, 1000))
_AIO_PIKA = _Contest("awaited", "aio_pika_awaited.py", "aio-pika", ("aio-pika",), True, (10_000, 2000))


def cases(_scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    through = "publish, consume, ack, end to end (AOF every second)"
    awaited = "awaited confirmed publishes, 100 at a time (AOF every second)"
    rows = (
        (Row("through-pika", f"{through}, over pika + RabbitMQ", "rate", 15, _UNIT, "higher"), _PIKA),
        (Row("through-kombu", f"{through}, over kombu on the same Redis", "rate", 50, _UNIT, "higher"), _KOMBU),
        (Row("awaited-aio-pika", f"{awaited}, over aio-pika + RabbitMQ", "rate", 10, _UNIT, "higher"), _AIO_PIKA),
    )
    return [Case((row,), contest.sides, aof=True, outside=True, most_rounds=5) for row, contest in rows]
