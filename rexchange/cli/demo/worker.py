"""A worker, a process of its own: it hashes files and counts their lines, and acknowledges when that is done.

It talks with the demo by lines: `ready`, `holding` and `failed` go out by stdout; its orders (JSON), then `go`, come in
by stdin. When stdin ends, be it that the demo was killed, so does the worker: no process is left behind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rexchange import Broker, Message
from rexchange.errors import RexchangeError

if TYPE_CHECKING:
    from rexchange import Consumer, Delivery
    from rexchange.codec import FieldValue

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Orders:
    """What a worker is told.

    Attributes:
        number: its number, from 1.
        root: the folder.
        queues: to consume.
        results: the queue to report to.
        prefetch: deliveries at a time.
        share: after so many messages it stops; it goes on when told so, unless it is the victim.
        victim: whether it is the one to be killed.
    """

    number: int
    root: str
    queues: list[str]
    results: str
    prefetch: int
    share: int
    victim: bool

    def line(self) -> str:
        """Return it for a worker's stdin."""
        return json.dumps(asdict(self)) + "\n"


class Worker:
    """What runs in the process."""

    def __init__(self, orders: Orders, broker: Broker) -> None:
        """Take its orders."""
        self._orders = orders
        self._broker = broker
        self._gate = threading.Semaphore(0)
        self._over = threading.Event()
        self._consumer: Consumer | None = None

    def listen(self) -> None:
        """Obey stdin, in a thread of its own."""
        for _ in sys.stdin:
            self._gate.release()
        self._over.set()
        self._gate.release(2)
        if self._consumer is not None:
            self._consumer.cancel()

    def work(self) -> None:
        """Handle deliveries until stdin ends."""
        orders, handled, paused = self._orders, 0, False
        self._gate.acquire()
        with self._broker.consume(orders.queues, auto_ack=False, prefetch=orders.prefetch) as consumer:
            self._consumer = consumer
            if self._over.is_set():  # before there was a consumer to cancel
                return
            for batch in consumer.batches(orders.prefetch):
                done = [self._handle(delivery) for delivery in batch]
                if orders.victim and handled >= orders.share:
                    # In the middle of its work: half of it is done and reported, and nothing acknowledged yet.
                    self._broker.publish_many(done[: len(done) // 2])
                    say("holding", [len(done), len(done) // 2])
                    self._over.wait()
                    return
                self._broker.publish_many(done)
                for delivery in batch:
                    delivery.ack()
                handled += len(batch)
                if not orders.victim and not paused and handled >= orders.share:
                    paused = True
                    self._gate.acquire()

    def _handle(self, delivery: Delivery) -> Message:
        """Do the work, and return the report of it."""
        digest, lines, size = hashlib.sha256(), 0, 0
        try:
            with open(os.path.join(os.fsencode(self._orders.root), delivery.body), "rb") as file:  # noqa: PTH118, PTH123 - bytes
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    lines += chunk.count(b"\n")
                    size += len(chunk)
        except OSError:
            # Gone or changed since it was found: handled all the same, and the report says so.
            size = -1
        headers: dict[str, FieldValue] = {
            "worker": self._orders.number,
            "queue": delivery.queue,
            "redelivered": delivery.redelivered,
            "sha256": digest.hexdigest(),
            "lines": lines,
            "size": size,
        }
        return Message(delivery.body, routing_key=self._orders.results, headers=headers)


def say(event: str, detail: object = None) -> None:
    """Tell the demo something."""
    sys.stdout.write(json.dumps([event, detail]) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Work as told by stdin."""
    # Ctrl-C reaches every process of the terminal; the demo ends its workers itself, in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What to think of the server's persistence is said by `rexchange ping`, and once, not by every worker.
    logging.getLogger("rexchange.connection").setLevel(logging.ERROR)
    told = sys.stdin.readline()
    if not told:
        return  # the demo was ended before it could say what to do
    orders = Orders(**json.loads(told))
    try:
        with Broker() as broker:
            worker = Worker(orders, broker)
            threading.Thread(target=worker.listen, daemon=True).start()
            say("ready")
            worker.work()
    except RexchangeError as error:
        say("failed", str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
