"""Celery: one task on a queue of its own, acked after it ran, no results; a worker with the solo pool."""

from __future__ import annotations

import runner
from celery import Celery


class CeleryTask(runner.Contestant):
    """`delay` one after the other; the worker prefetches 200."""

    def setup(self) -> None:
        self.handled = lambda: None
        self.app = Celery("bench", broker=self.url)
        self.app.conf.update(
            task_default_queue=runner.NAME,
            task_ignore_result=True,
            task_acks_late=True,
            worker_prefetch_multiplier=runner.PREFETCH,
            worker_concurrency=1,
            broker_connection_retry_on_startup=True,
            worker_redirect_stdouts=False,
            event_exchange=f"{runner.NAME}.events",  # the harness deletes it; its own, "celeryev", may be somebody's
            worker_enable_remote_control=False,  # its queues and exchanges would stay in RabbitMQ
        )

        @self.app.task(name="noop")
        def noop(_body: str) -> None:
            self.handled()

        self.task = noop

    def publish(self, body: bytes, count: int) -> None:
        text = body.decode()
        for _ in range(count):
            self.task.delay(text)

    def consume(self, handled) -> None:
        self.handled = handled
        worker = self.app.Worker(pool="solo", loglevel="ERROR", quiet=True, without_mingle=True, without_gossip=True)
        worker.start()


if __name__ == "__main__":
    runner.main(CeleryTask)
