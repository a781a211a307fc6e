"""pika's BlockingConnection: durable topic exchange and queue, persistent messages, prefetch 200, an ack each."""

from __future__ import annotations

import pika
import runner

PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Pika(runner.Contestant):
    """Variant `confirm`: each publish waits for its confirm, which is all that this client offers."""

    def setup(self) -> None:
        self.channel = pika.BlockingConnection(pika.URLParameters(self.url)).channel()
        self.channel.exchange_declare(runner.NAME, "topic", durable=True)
        self.channel.queue_declare(runner.NAME, durable=True)
        self.channel.queue_bind(runner.NAME, runner.NAME, runner.BINDING_KEY)
        if self.variant == "confirm":
            self.channel.confirm_delivery()

    def publish(self, body: bytes, count: int) -> None:
        for _ in range(count):
            self.channel.basic_publish(runner.NAME, runner.ROUTING_KEY, body, PERSISTENT)
        if self.variant != "confirm" and count > 1:
            # Without confirms nothing says that the broker has them: one round trip at the end does.
            self.channel.queue_declare(runner.NAME, passive=True)

    def consume(self, handled) -> None:
        def received(channel, method, _properties, _body) -> None:
            channel.basic_ack(method.delivery_tag)
            handled()

        self.channel.basic_qos(prefetch_count=runner.PREFETCH)
        self.channel.basic_consume(runner.NAME, received)
        self.channel.start_consuming()


if __name__ == "__main__":
    runner.main(Pika)
