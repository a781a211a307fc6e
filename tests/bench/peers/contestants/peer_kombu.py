"""kombu: a topic exchange and one queue, raw bytes, prefetch 200, an ack each; on Redis and on RabbitMQ."""

from __future__ import annotations

import runner
from kombu import Connection, Consumer, Exchange, Producer, Queue


class Kombu(runner.Contestant):
    """Variant `confirm` (RabbitMQ): each publish waits for its confirm. kombu on Redis has none."""

    def setup(self) -> None:
        options = {"confirm_publish": True} if self.variant == "confirm" else {}
        self.connection = Connection(self.url, transport_options=options)
        self.channel = self.connection.channel()
        exchange = Exchange(runner.NAME, "topic", durable=True)
        self.queue = Queue(runner.NAME, exchange, routing_key=runner.BINDING_KEY, durable=True)
        self.queue(self.channel).declare()
        self.producer = Producer(self.channel, exchange)

    def publish(self, body: bytes, count: int) -> None:
        for _ in range(count):
            self.producer.publish(
                body,
                routing_key=runner.ROUTING_KEY,
                content_type="application/octet-stream",
                content_encoding="binary",
                delivery_mode=2,
            )

    def consume(self, handled) -> None:
        def received(_body, message) -> None:
            message.ack()
            handled()

        with Consumer(self.channel, [self.queue], callbacks=[received], prefetch_count=runner.PREFETCH):
            while True:
                self.connection.drain_events()


if __name__ == "__main__":
    runner.main(Kombu)
