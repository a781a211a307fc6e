"""A consumer or a publisher as a process of its own, to be killed, stopped and counted.

`python worker.py '<json>'` with role, url, vhost, queue, log, settings and more below. What it does it writes to the
log at once, one line an event, so that a kill -9 loses no line: `got <body> <redelivered> <tag> <time>`, `acking
<body>` before it acks, `acked <body> <time>` when the server has confirmed it, `stale <tag>`, `sent <body>`. Times are
of the clock that all processes share.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from rexchange import Broker, Delivery, Hooks, Message
from rexchange.errors import AlreadySettled, StaleDelivery

TIMES = ("ack_timeout", "session_timeout", "heartbeat", "block", "socket_timeout", "retry_timeout")


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """JSON has no timedelta: seconds become one."""
    return {name: timedelta(seconds=value) if name in TIMES else value for name, value in given.items()}


class Confirmed(Hooks):
    """Logs the acks that the server has confirmed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._bodies: dict[tuple[str, int], str] = {}

    def before_deliver(self, delivery: Any) -> None:
        self._bodies[delivery.consumer_tag, delivery.delivery_tag] = delivery.body.decode()

    def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: str, stale: Sequence[int]) -> None:
        now = time.monotonic_ns()
        done = [self._bodies.pop((consumer_tag, tag)) for tag in tags if kind == "ack" and tag not in stale]
        if done:
            self._say("\n".join(f"acked {body} {now}" for body in done))


def consume(job: dict[str, Any], say: Callable[[str], None]) -> None:
    """Hand out, log, hang after `hang_after` messages if asked, work `work` seconds, ack."""
    never = threading.Event()
    hang_after, seen = job.get("hang_after"), 0
    with Broker(job["url"], vhost=job["vhost"], hooks=Confirmed(say), **settings(job["settings"])) as broker:
        consumer = broker.consume(
            job["queue"],
            auto_ack=False,
            prefetch=job.get("prefetch", 10),
            on_stale=lambda tag, _queue: say(f"stale {tag}"),
        )
        # A signal handler must not take the locks that the interrupted code holds, so a thread does it.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=consumer.cancel).start())
        with consumer:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            for delivery in consumer:
                what = f"{delivery.body.decode()} {int(delivery.redelivered)} {delivery.delivery_tag}"
                say(f"got {what} {time.monotonic_ns()}")
                seen += 1
                if seen == hang_after:
                    never.wait()
                if job.get("work"):
                    never.wait(job["work"])
                say(f"acking {delivery.body.decode()}")
                delivery.ack()


def retry(job: dict[str, Any], say: Callable[[str], None]) -> None:
    """Retry all but those that begin with `ok`, which are acked at the second try; log each handing-out."""
    with Broker(job["url"], vhost=job["vhost"], hooks=Confirmed(say), **settings(job["settings"])) as broker:
        consumer = broker.consume(job["queue"], auto_ack=False, prefetch=job.get("prefetch", 10))
        with consumer:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            for delivery in consumer:
                body = delivery.body.decode()
                say(f"tried {body} {delivery.delivery_count}")
                if body.startswith("ok") and delivery.redelivered:
                    say(f"acking {body}")
                    delivery.ack()
                else:
                    delivery.nack(retry=True)


def publish(job: dict[str, Any], say: Callable[[str], None]) -> None:
    """Publish `count` messages in batches of `batch`; log what was confirmed."""
    batch = job.get("batch", 1)
    with Broker(job["url"], vhost=job["vhost"], **settings(job["settings"])) as broker:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for first in range(0, job["count"], batch):
            bodies = [f"{job['name']}-{i}" for i in range(first, min(first + batch, job["count"]))]
            broker.publish_many([Message(body.encode(), routing_key=job["queue"]) for body in bodies])
            say("\n".join(f"sent {body}" for body in bodies))


def transact(job: dict[str, Any], say: Callable[[str], None]) -> None:
    """Write a value and its event as one step until asked to end; with `take` for each job of a queue, and ack it."""
    with Broker(job["url"], vhost=job["vhost"], **settings(job["settings"])) as broker:

        def step(body: str, delivery: Delivery | None = None) -> None:
            with broker.transaction() as tx:
                tx.redis.set(f"value:{body}", body)
                tx.redis.incr("total")
                tx.publish(body.encode(), routing_key=job["queue"])
                if delivery is not None:
                    tx.ack(delivery)
            say(f"sent {body}")

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if "take" not in job:
            asked = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: asked.set())
            for i in itertools.count():
                step(f"{job['name']}-{i}")
                if asked.is_set():
                    return
        with broker.consume(job["take"], auto_ack=False, prefetch=5) as consumer:
            for delivery in consumer:
                try:
                    step(delivery.body.decode(), delivery)
                except (StaleDelivery, AlreadySettled):
                    say(f"stale {delivery.delivery_tag}")


if __name__ == "__main__":
    work = json.loads(sys.argv[1])
    log = os.open(work["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    run = {"consume": consume, "publish": publish, "retry": retry, "transact": transact}[work["role"]]

    def write(line: str) -> None:
        os.write(log, line.encode() + b"\n")

    run(work, write)
