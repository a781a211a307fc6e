"""The worker processes, seen from the demo."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rexchange.errors import RexchangeError

if TYPE_CHECKING:
    from rexchange.cli.demo.worker import Orders

SESSION_TIMEOUT_S = 3.0
HEARTBEAT_S = 0.5
_READY_S = 30.0
_END_S = 5.0


@dataclass(frozen=True)
class Event:
    """A line of a worker; `ended` is added when its stdout is closed."""

    worker: int
    name: str
    detail: Any = None


class Crew:
    """Worker processes, numbered from 1."""

    def __init__(self, orders: Sequence[Orders], environment: dict[str, str]) -> None:
        """Start them."""
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        try:
            for order in orders:
                self._start(order, environment)
        except BaseException:
            self.end()
            raise

    def _start(self, orders: Orders, environment: dict[str, str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "rexchange.cli.demo.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._processes[orders.number] = process
        self._write(process, orders.line())
        threading.Thread(target=self._listen, args=(orders.number, process), daemon=True).start()

    def _listen(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        with process.stdout:
            for line in process.stdout:
                name, detail = json.loads(line)
                self.events.put(Event(number, name, detail))
        self.events.put(Event(number, "ended"))

    @staticmethod
    def _write(process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended, which its stdout tells

    def until_ready(self) -> None:
        """Wait until each has connected. Raises RexchangeError where one cannot."""
        waiting = set(self._processes)
        deadline = time.monotonic() + _READY_S
        while waiting:
            try:
                event = self.events.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise RexchangeError(f"{len(waiting)} workers did not start within {_READY_S:.0f} s") from None
            if event.name != "ready":
                raise RexchangeError(f"worker {event.worker} did not start: {event.detail or 'it ended at once'}")
            waiting.discard(event.worker)

    def go(self, *numbers: int) -> None:
        """Let these workers go on."""
        for number in numbers:
            self._write(self._processes[number], "go\n")

    def kill(self, number: int) -> None:
        """Kill one as `kill -9` does: it can neither say good-bye nor give anything back."""
        self._processes[number].kill()
        self._processes[number].wait()

    def end(self) -> None:
        """End all: they give back what they hold. Who does not end in time is killed."""
        for process in self._processes.values():
            if process.stdin is not None and not process.stdin.closed:
                try:
                    process.stdin.close()
                except BrokenPipeError:
                    continue  # it has ended
        deadline = time.monotonic() + _END_S
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def hired(orders: Sequence[Orders], url: str, vhost: str) -> Generator[Crew]:
    """Start workers and end them at the end.

    They learn the URL by the environment: arguments can be read by every user of the machine, and it may hold a
    password.
    """
    environment = {
        "REXCHANGE_URL": url,
        "REXCHANGE_VHOST": vhost,
        "REXCHANGE_SESSION_TIMEOUT": str(SESSION_TIMEOUT_S),
        "REXCHANGE_HEARTBEAT": str(HEARTBEAT_S),
    }
    crew = Crew(orders, environment)
    try:
        yield crew
    finally:
        crew.end()
