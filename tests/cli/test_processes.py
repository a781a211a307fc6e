"""The program as processes of its own, on an embedded server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from rexchange import Broker
from rexchange.testing import wait_until

PROGRAM = [sys.executable, "-m", "rexchange.cli"]


def _run(url: str, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REXCHANGE_URL": url}
    return subprocess.run([*PROGRAM, *args], env=environment, capture_output=True, text=True, timeout=25, check=False)


def test_messages_survive_from_command_to_command(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/data"
    assert _run(url, "declare", "queue", "mail").returncode == 0
    assert _run(url, "publish", "", "mail", "hello").returncode == 0
    done = _run(url, "get", "mail", "--json")
    assert json.loads(done.stdout)["body"] == "hello", done
    assert _run(url, "get", "mail").returncode == 3


def test_a_consumer_that_is_told_to_end_gives_back_what_it_holds(embedded_url: str, vhost: str) -> None:
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("mail")
        args = [*PROGRAM, "--url", embedded_url, "--vhost", vhost, "consume", "mail", "--requeue", "-n", "9"]
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as process:
            wait_until(lambda: len(broker.consumers()) == 1, timeout=20)
            broker.publish(b"hello", routing_key="mail")
            assert process.stdout is not None
            assert process.stdout.readline().startswith("mail <")
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 143
        (info,) = broker.queues()
        assert (info.ready, info.unacked, info.consumers) == (1, 0, 0)
        assert broker.consumers() == []


def test_ctrl_c(embedded_url: str, vhost: str) -> None:
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("mail")
        args = [*PROGRAM, "--url", embedded_url, "--vhost", vhost, "consume", "mail"]
        with subprocess.Popen(args, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: len(broker.consumers()) == 1, timeout=20)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=10)
        assert (process.returncode, told) == (130, "")
        assert broker.consumers() == []


def test_what_nobody_read_is_not_acknowledged(embedded_url: str, vhost: str) -> None:
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("mail")
        for _ in range(50):
            broker.publish(b"x" * 10_000, routing_key="mail")
        args = [*PROGRAM, "--url", embedded_url, "--vhost", vhost, "consume", "mail", "--body"]
        with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"x"
            process.stdout.close()  # as `head` does
            assert process.wait(20) == 1
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        (info,) = broker.queues()
        assert info.unacked == 0
        assert info.ready > 30, "what was in the pipe when it closed may be gone, what came after is not"
