"""The Redis that the contestants share: an append-only file synced every second, over TCP, as RabbitMQ is."""

from __future__ import annotations

import socket
import time
from typing import Self

import redis

from tests.bench.peers.process import Failed
from tests.bench.server import BenchServer

_DEADLINE_S = 10


class Durable(BenchServer):
    """A server of our own; `reset()` empties it, its file too."""

    settings = "appendonly yes, appendfsync everysec, no rewrite of the file while one is measured, no RDB, TCP"

    def __enter__(self) -> Self:
        """Start it, then set what the contestants get."""
        super().__enter__()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for name, value in (
            ("appendfsync", "everysec"),
            ("auto-aof-rewrite-percentage", "0"),
            ("bind", "127.0.0.1"),
            ("port", str(port)),
            ("appendonly", "yes"),
        ):
            self._set(name, value)
        self.url = f"redis://127.0.0.1:{port}/0"
        self._until_rewritten()
        return self

    def _set(self, name: str, value: str) -> None:
        try:
            self.client.config_set(name, value)
        except redis.ResponseError as error:
            self.__exit__()
            raise RuntimeError(f"{self.name} cannot set {name!r} while it runs: Redis 7 or Valkey can") from error

    def reset(self) -> None:
        """Empty it, and its append-only file."""
        try:
            self.client.flushall()
            self.client.bgrewriteaof()
            self._until_rewritten()
        except redis.RedisError as error:
            raise Failed(f"Redis does not answer any more ({error!r})") from error

    def cpu(self) -> float:
        """CPU seconds of all its threads so far: RabbitMQ's are counted alike."""
        info = self.client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def _until_rewritten(self) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            info = self.client.info("persistence")
            if not (info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server still rewrites its file after {_DEADLINE_S} s")
            time.sleep(0.01)
