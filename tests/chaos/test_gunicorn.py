"""The application of docs/redis.md under a real gunicorn: one Broker, used before the fork and in each worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rexchange import Broker
from rexchange.testing import drain
from tests.chaos.servers import Server, free_port, running, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "redis.md"
WORKERS = 3


@pytest.fixture
def own_server() -> Iterator[Server]:
    with running("valkey") as server:
        yield server


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as reply:
        body: bytes = reply.read()
        return body.decode()


def answers(port: int) -> bool:
    try:
        return fetch(port, "up") == "queues reached: 1\n"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it finds gunicorn's workers in /proc")
def test_a_preloaded_application_publishes_from_every_worker(own_server: Server, tmp_path: Path) -> None:
    (application,) = re.findall(
        r"^```python sketch\n(# app\.py\n.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    )
    used = "broker.declare_queue('visits')\nbroker.publish(b'preloaded', routing_key='visits')\n"
    (tmp_path / "app.py").write_text(application + used)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}"]
    environment = {**os.environ, "REXCHANGE_URL": own_server.url}
    with subprocess.Popen(
        [*command, "app:application"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    ) as master:
        try:
            until(lambda: answers(port), 20, "gunicorn answering")
            paths = [f"{number}" for number in range(200)]
            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(lambda path: fetch(port, path), paths)) == {"queues reached: 1\n"}

            victim = children(master.pid)[0]
            os.kill(victim, signal.SIGKILL)
            until(lambda: victim not in (now := children(master.pid)) and len(now) == WORKERS, 20, "a new worker")
            more = [f"again-{number}" for number in range(100)]
            for path in more:
                assert fetch(port, path) == "queues reached: 1\n"
        finally:
            master.terminate()
            master.communicate(timeout=30)
    with Broker(own_server.url) as broker:
        found = Counter(delivery.body.decode().removeprefix("/") for delivery in drain(broker, "visits"))
    ups = found.pop("up")
    assert ups >= 1
    assert found == Counter(["preloaded", *paths, *more]), "each once: no lane was shared by two workers"
