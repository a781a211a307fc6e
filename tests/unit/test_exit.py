"""The end of a process: what was left open is closed, and an AsyncBroker tells that it could not be."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rexchange import Broker, Message
from rexchange.testing import messages, wait_until

ROOT = Path(__file__).parents[2]
_HEAD = """
import sys
from rexchange import Broker
broker = Broker(sys.argv[1], vhost=sys.argv[2])
"""


def run(program: str, *args: str, head: str = _HEAD) -> str:
    """Run a program to its end; return what it wrote to stderr."""
    command = [sys.executable, "-X", "dev", "-c", head + program, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def _five(embedded_url: str, vhost: str) -> None:
    """Make a queue of five messages."""
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("q")
        broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(5)])


def left(url: str, vhost: str) -> tuple[list[bytes], int]:
    """Return what is ready and how much is unacked."""
    with Broker(url, vhost=vhost) as looking:
        return [message.body for message in messages(looking, "q")], looking.queues()[0].unacked


@pytest.mark.usefixtures("_five")
def test_what_was_read_ahead_is_not_lost_at_the_end(embedded_url: str, vhost: str) -> None:
    assert run("for d in broker.consume('q', timeout=5): break", embedded_url, vhost) == ""

    assert left(embedded_url, vhost) == ([b"1", b"2", b"3", b"4"], 0)


@pytest.mark.usefixtures("_five")
def test_nor_is_a_broker_that_nothing_refers_to(embedded_url: str, vhost: str) -> None:
    program = "import gc; del broker; gc.collect()\n"
    program += "for d in Broker(sys.argv[1], vhost=sys.argv[2]).consume('q', timeout=5): break\ngc.collect()"
    run(program, embedded_url, vhost)

    assert left(embedded_url, vhost) == ([b"1", b"2", b"3", b"4"], 0)


@pytest.mark.usefixtures("_five")
def test_acks_that_wait_are_sent_at_the_end(embedded_url: str, vhost: str) -> None:
    run("next(broker.consume('q', auto_ack=False)).ack()", embedded_url, vhost)

    assert left(embedded_url, vhost) == ([b"1", b"2", b"3", b"4"], 0)


@pytest.mark.usefixtures("_five")
def test_what_is_held_goes_back_when_an_error_ends_the_program(embedded_url: str, vhost: str) -> None:
    program = "d = next(broker.consume('q', auto_ack=False))\nsys.excepthook = lambda *_: None\nsys.exit(d is None)"
    run(program, embedded_url, vhost)

    assert left(embedded_url, vhost) == ([b"0", b"1", b"2", b"3", b"4"], 0)


def test_the_last_user_of_an_embedded_server_closes_before_it_stops(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"embedded://{tmp_path_factory.mktemp('own')}"
    program = "broker.declare_queue('q')\nfor n in range(3): broker.publish(b'%d' % n, routing_key='q')\n"
    run(program + "next(broker.consume('q'))", url, "/")

    assert left(url, "/") == ([b"1", b"2"], 0)


@pytest.mark.usefixtures("_five")
def test_a_worker_of_multiprocessing_closes_too(embedded_url: str, vhost: str) -> None:
    program = """
import multiprocessing
def work():
    next(Broker(sys.argv[1], vhost=sys.argv[2]).consume("q"))
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
"""
    run(program, embedded_url, vhost)

    assert left(embedded_url, vhost) == ([b"1", b"2", b"3", b"4"], 0)


def test_a_server_that_is_away_does_not_keep_the_process() -> None:
    program = """
from tests.support.faults import Faults
broker.declare_queue("q")
for n in range(3):
    broker.publish(b"", routing_key="q")
consumer = broker.consume("q", auto_ack=False)
next(consumer).ack()
Faults(broker).away = True
"""
    start = time.monotonic()
    shown = run(program, "memory://away", "/")
    assert time.monotonic() - start < 10
    assert "could not give back" in shown


_ASYNC = """
import asyncio, sys
from rexchange import AsyncBroker
async def main():
    broker = AsyncBroker(sys.argv[1], vhost=sys.argv[2])
    return broker, await anext(broker.consume("q", auto_ack=False))
kept = asyncio.run(main())
"""


@pytest.mark.usefixtures("_five")
def test_an_async_broker_that_was_never_closed_is_told(embedded_url: str, vhost: str) -> None:
    shown = run("", embedded_url, vhost, head=_ASYNC)

    assert "ResourceWarning" in shown
    assert "was never closed: use it in `async with`" in shown


def test_ctrl_c_in_a_plain_worker_shows_no_error_of_ours(embedded_url: str, vhost: str) -> None:
    program = "broker.declare_queue('w')\nwith broker:\n    for d in broker.consume('w'): pass"
    command = [sys.executable, "-c", _HEAD + program, embedded_url, vhost]
    with (
        Broker(embedded_url, vhost=vhost) as broker,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process,
    ):
        wait_until(broker.consumers, timeout=20)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=10)
        broker.delete_queue("w")
    assert told.endswith("KeyboardInterrupt\n")
    assert "IndexError" not in told
    assert "During handling" not in told
