"""RQ: a function on a queue of its own, no results."""

from __future__ import annotations

import runner
from redis import Redis
from rq import Queue, SimpleWorker, Worker


def noop(_body: str) -> None:
    """Be found by its path, as RQ does it: that imports this file again, so the callback hangs on `runner`."""
    runner.on_rq_job()


class Rq(runner.Contestant):
    """`enqueue_many` by 100. SimpleWorker, or (variant `fork`) the default one, which forks for each job."""

    def setup(self) -> None:
        self.client = Redis.from_url(self.url)
        self.queue = Queue(runner.NAME, connection=self.client)

    def publish(self, body: bytes, count: int) -> None:
        text = body.decode()
        for size in runner.batches(count):
            self.queue.enqueue_many([Queue.prepare_data("peer_rq.noop", (text,), result_ttl=0) for _ in range(size)])

    def consume(self, handled) -> None:
        runner.on_rq_job = handled
        kind = Worker if self.variant == "fork" else SimpleWorker
        kind([self.queue], connection=self.client).work(logging_level="ERROR")


if __name__ == "__main__":
    runner.main(Rq)
