"""aio-pika: durable topic exchange and queue, persistent messages, prefetch 200, an ack each."""

from __future__ import annotations

import asyncio

import aio_pika
import runner


class AioPika(runner.Contestant):
    """100 publishes awaited at a time; with confirms (variant `confirm`) each waits for its own."""

    def setup(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._setup())

    async def _setup(self) -> None:
        connection = await aio_pika.connect_robust(self.url)
        self.channel = await connection.channel(publisher_confirms=self.variant == "confirm")
        await self.channel.set_qos(prefetch_count=runner.PREFETCH)
        self.exchange = await self.channel.declare_exchange(runner.NAME, aio_pika.ExchangeType.TOPIC, durable=True)
        self.queue = await self.channel.declare_queue(runner.NAME, durable=True)
        await self.queue.bind(self.exchange, runner.BINDING_KEY)

    def publish(self, body: bytes, count: int) -> None:
        self.loop.run_until_complete(self._publish(body, count))

    async def _publish(self, body: bytes, count: int) -> None:
        persistent = aio_pika.DeliveryMode.PERSISTENT
        for size in runner.batches(count):
            await asyncio.gather(
                *(
                    self.exchange.publish(aio_pika.Message(body, delivery_mode=persistent), runner.ROUTING_KEY)
                    for _ in range(size)
                )
            )
        if self.variant != "confirm" and count > 1:
            # Without confirms nothing says that the broker has them: one round trip at the end does.
            await self.channel.declare_queue(runner.NAME, passive=True)

    def consume(self, handled) -> None:
        async def received(message) -> None:
            await message.ack()
            handled()

        async def forever() -> None:
            await self.queue.consume(received)
            await asyncio.Event().wait()

        self.loop.run_until_complete(forever())


if __name__ == "__main__":
    runner.main(AioPika)
