"""A process that is to be killed in the middle of one operation, and the test's handle on it.

`python doomed.py '<json>'` prepares its role (connections open, scripts known), writes `ready`, waits for a line on its
input, acts, writes `done`, and waits for the next line. So a test can hold replies back between `ready` and the act.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from rexchange import Broker, Message
from rexchange.testing import wait_until

Act = Callable[[], object]
GROUP = 50
"""Messages that `publish` sends in one call."""


class Doomed:
    """The test's handle on such a process."""

    def __init__(self, role: str, url: str, vhost: str, **job: Any) -> None:
        whole = json.dumps({"role": role, "url": url, "vhost": vhost, **job})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.doomed", whole], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def told(self, word: str) -> Self:
        """Wait until it has written `word`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == word.encode() + b"\n", f"wanted {word}, got {line!r}, exit code {self.process.poll()}"
        return self

    def go(self) -> Self:
        """Let it act."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        return self

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """Leave nothing behind."""
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def publish(broker: Broker, _job: dict[str, Any]) -> Act:
    broker.publish(b"warm", routing_key="nobody")
    return lambda: broker.publish_many([Message(b"%d" % i, exchange="amq.fanout") for i in range(GROUP)])


def transact(broker: Broker, job: dict[str, Any]) -> Act:
    """Take a job; to act is to write its result, tell of it and ack it in one step."""
    with broker.transaction() as tx:
        tx.redis.ping()
    delivery = broker.get(job["queue"], auto_ack=False)
    assert delivery is not None

    def act() -> None:
        with broker.transaction() as tx:
            tx.redis.incr(job["key"])
            for _ in range(GROUP):
                tx.publish(delivery.body, exchange="amq.fanout")
            tx.ack(delivery)

    return act


def hold(broker: Broker, job: dict[str, Any]) -> Act:
    """Take `count` deliveries and hold them; to act is to ack them all."""
    timeout = timedelta(seconds=job["ack_timeout"]) if "ack_timeout" in job else None
    auto_ack = job.get("auto_ack", False)
    consumer = broker.consume(job["queue"], auto_ack=auto_ack, prefetch=job["prefetch"], ack_timeout=timeout)
    held = [next(consumer) for _ in range(job["count"])]
    return lambda: held[-1].ack(multiple=True, wait=True)


def retry(broker: Broker, job: dict[str, Any]) -> Act:
    """Hold a delivery; to act is to retry it. A verdict on one that was retried before makes the script known."""
    consumer = broker.consume(job["queue"], auto_ack=False, prefetch=1)
    held = next(consumer)
    return lambda: held.nack(retry=True, wait=True)


def exclusive(broker: Broker, _job: dict[str, Any]) -> Act:
    queue = broker.declare_queue("mine", exclusive=True)
    broker.bind(queue, "amq.fanout")
    return lambda: broker.delete_queue(queue)


def delete_queue(broker: Broker, job: dict[str, Any]) -> Act:
    broker.delete_queue("nobody")
    return lambda: broker.delete_queue(job["name"])


def delete_exchange(broker: Broker, job: dict[str, Any]) -> Act:
    broker.delete_exchange("nobody")
    return lambda: broker.delete_exchange(job["name"])


def purge(broker: Broker, job: dict[str, Any]) -> Act:
    broker.purge(broker.declare_queue("empty"))
    return lambda: broker.purge(job["name"])


def move(broker: Broker, job: dict[str, Any]) -> Act:
    """Move all from one queue to the other, and with `back` to and fro without end."""
    broker.move("a", "b", ids=["1-1"])

    def act() -> None:
        broker.move("a", "b")
        while job.get("back"):
            broker.move("b", "a")
            broker.move("a", "b")

    return act


def copy(broker: Broker, _job: dict[str, Any]) -> Act:
    broker.copy("a", "b", ids=["1-1"])
    return lambda: broker.copy("a", "b")


def reap(broker: Broker, _job: dict[str, Any]) -> Act:
    broker.reap()
    return broker.reap


ROLES: dict[str, Callable[[Broker, dict[str, Any]], Act]] = {
    each.__name__: each
    for each in (publish, transact, hold, retry, exclusive, delete_queue, delete_exchange, purge, move, copy, reap)
}


def jump_about() -> None:
    """Make this process' clock of the day useless: each look at it is a day off, now ahead, now behind."""
    real, real_ns, days = time.time, time.time_ns, itertools.cycle((1, -1))
    time.time = lambda: real() + 86_400 * next(days)
    time.time_ns = lambda: real_ns() + 86_400 * 10**9 * next(days)


def main(job: dict[str, Any]) -> None:
    if job.get("clock") == "jumping":
        jump_about()
        wait_until(lambda: abs(time.time() - time.time()) > 1)
    settings: dict[str, Any] = {name: timedelta(seconds=value) for name, value in job.get("settings", {}).items()}
    with Broker(job["url"], vhost=job["vhost"], **settings) as broker:
        act = ROLES[job["role"]](broker, job)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            act()
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
