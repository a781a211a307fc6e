"""The RabbitMQ of this machine: is it there, its CPU, and nothing of ours left in it."""

from __future__ import annotations

import os
from pathlib import Path

import pika
from pika.exceptions import AMQPError

from tests.bench.peers.process import Failed

NAME = "rx-bench"  # as in contestants/runner.py
_QUEUES = (NAME, f"{NAME}.DQ", f"{NAME}.XQ")  # the last two are Dramatiq's
_EXCHANGES = (NAME, f"{NAME}.events")  # the last one is Celery's
_TICKS = os.sysconf("SC_CLK_TCK")


class Rabbit:
    """A RabbitMQ that answers; `ConnectionError` where none does."""

    def __init__(self, url: str) -> None:
        """Connect once, to learn its version."""
        self.url = url
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.blocked_connection_timeout = 3
        try:
            connection = pika.BlockingConnection(parameters)
        except (AMQPError, OSError) as error:
            why = type(error).__name__
            raise ConnectionError(f"no RabbitMQ at {parameters.host}:{parameters.port} ({why})") from error
        properties = connection._impl.server_properties  # pika shows them nowhere else
        self.name = f"RabbitMQ {properties['version']} on {properties['platform']}"
        connection.close()
        self._stat = _beam() if parameters.host in {"127.0.0.1", "localhost", "::1"} else None

    def reset(self) -> None:
        """Delete the queues and the exchanges of the contestants."""
        try:
            connection = pika.BlockingConnection(pika.URLParameters(self.url))
            channel = connection.channel()
            for queue in _QUEUES:
                channel.queue_delete(queue)
            for exchange in _EXCHANGES:
                channel.exchange_delete(exchange)
            connection.close()
        except (AMQPError, OSError) as error:
            raise Failed(f"RabbitMQ does not answer any more ({error!r})") from error

    def cpu(self) -> float | None:
        """CPU seconds of its Erlang process so far; None where that runs elsewhere."""
        if self._stat is None:
            return None
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _beam() -> Path | None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if b"beam.smp" in words and b"rabbit" in words:
            return folder / "stat"
    return None
