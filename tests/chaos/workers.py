"""Starting worker processes and counting what they did."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Got(NamedTuple):
    """One handing-over that a worker logged."""

    body: str
    redelivered: bool
    tag: int
    at: int


class Worker:
    """One process of worker.py."""

    def __init__(self, role: str, log: Path, url: str, vhost: str, queue: str, **job: Any) -> None:
        self.log = log
        self.harmed = False
        whole = {"role": role, "log": str(log), "url": url, "vhost": vhost, "queue": queue, "settings": {}, **job}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), json.dumps(whole)],
            cwd=ROOT,
            env=None,
            stdout=subprocess.PIPE,
        )

    def ready(self) -> Worker:
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            pytest.fail(f"a worker did not start: exit code {self.process.wait(10)}")
        return self

    def kill(self) -> None:
        """Kill it with -9."""
        self.harmed = True
        self.process.kill()
        self.process.wait(10)

    def hang(self) -> None:
        """SIGSTOP: it holds its connections and does nothing."""
        self.harmed = True
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def end(self, seconds: float = 15) -> int:
        """Ask it to end, and return its exit code."""
        self.wake()
        self.process.terminate()
        return self.process.wait(seconds)

    def lines(self, word: str) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        # A kill may cut the last line short.
        whole = text[: text.rfind("\n") + 1]
        return [line.partition(" ")[2] for line in whole.splitlines() if line.startswith(word + " ")]

    def got(self) -> list[Got]:
        parts = [line.split() for line in self.lines("got")]
        return [Got(body, redelivered == "1", int(tag), int(at)) for body, redelivered, tag, at in parts]

    def acked(self) -> list[tuple[str, int]]:
        """What the server confirmed as acknowledged, and when."""
        return [(body, int(at)) for body, at in (line.split() for line in self.lines("acked"))]


class Crew:
    """The workers of one test."""

    def __init__(self, folder: Path, url: str, vhost: str, queue: str, **settings: Any) -> None:
        self.workers: list[Worker] = []
        self._folder = folder
        self._where = (url, vhost, queue)
        self._settings = settings

    def start(self, role: str = "consume", *, url: str | None = None, **job: Any) -> Worker:
        log = self._folder / f"{role}-{len(self.workers)}.log"
        where = (url or self._where[0], *self._where[1:])
        worker = Worker(role, log, *where, settings=self._settings, name=f"w{len(self.workers)}", **job)
        self.workers.append(worker)
        return worker

    def handled(self) -> Counter[str]:
        """How often each message was handed out."""
        return Counter(got.body for worker in self.workers for got in worker.got())

    def sent(self) -> set[str]:
        """What was confirmed to publishers."""
        return {body for worker in self.workers for body in worker.lines("sent")}

    def unexplained(self) -> list[str]:
        """Messages handed out more than once without a kill or a hang of any holder but the last."""
        healthy = Counter(got.body for worker in self.workers if not worker.harmed for got in worker.got())
        return [body for body, times in healthy.items() if times > 1]

    def acked(self) -> Counter[str]:
        """How often the server confirmed an ack of each message."""
        return Counter(body for worker in self.workers for body, _ in worker.acked())

    def after_ack(self) -> list[str]:
        """Messages handed out after an ack of them was confirmed.

        A worker that was stopped hands out what it had read before, and learns by its stale ack that it was too late.
        """
        confirmed = {body: at for worker in self.workers for body, at in worker.acked()}
        found: list[str] = []
        for worker in self.workers:
            late = {int(tag) for tag in worker.lines("stale")}
            found += [
                got.body
                for got in worker.got()
                if got.at > confirmed.get(got.body, got.at) and not (worker.harmed and got.tag in late)
            ]
        return found


@contextlib.contextmanager
def crew(folder: Path, url: str, vhost: str, queue: str, **settings: Any) -> Iterator[Crew]:
    """Workers for the length of a block; none outlives it."""
    made = Crew(folder, url, vhost, queue, **settings)
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.process.kill()
            worker.process.wait(10)
            if worker.process.stdout is not None:
                worker.process.stdout.close()


def missing(wanted: Iterable[str], handled: Counter[str]) -> set[str]:
    return set(wanted) - set(handled)
