"""Dramatiq: one actor on a queue of its own, acked after it ran, no results; a worker with one thread."""

from __future__ import annotations

import threading

import dramatiq
import runner


class Dramatiq(runner.Contestant):
    """`send` one after the other; on RabbitMQ with its default, no confirms."""

    def setup(self) -> None:
        if self.url.startswith("redis"):
            from dramatiq.brokers.redis import RedisBroker

            self.broker = RedisBroker(url=self.url)
        else:
            from dramatiq.brokers.rabbitmq import RabbitmqBroker

            self.broker = RabbitmqBroker(url=self.url)
        dramatiq.set_broker(self.broker)
        self.handled = lambda: None

        @dramatiq.actor(queue_name=runner.NAME)
        def noop(_body: str) -> None:
            self.handled()

        self.actor = noop

    def publish(self, body: bytes, count: int) -> None:
        text = body.decode()
        for _ in range(count):
            self.actor.send(text)

    def consume(self, handled) -> None:
        self.handled = handled
        dramatiq.Worker(self.broker, worker_threads=1).start()
        threading.Event().wait()


if __name__ == "__main__":
    runner.main(Dramatiq)
