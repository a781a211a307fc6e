"""FastStream: on Redis a stream with a consumer group, on RabbitMQ a durable topic exchange and queue."""

from __future__ import annotations

import asyncio
import os

import runner


class FastStreamPeer(runner.Contestant):
    """`publish`, 100 awaited at a time (on RabbitMQ each with its confirm); acked after the handler."""

    def setup(self) -> None:
        self.handled = lambda: None
        self.loop = asyncio.new_event_loop()
        if self.url.startswith("redis"):
            self._redis()
        else:
            self._rabbit()
        self.loop.run_until_complete(self._declare())

    def _redis(self) -> None:
        from faststream.redis import RedisBroker, StreamSub

        self.broker = RedisBroker(self.url, logger=None)
        stream = StreamSub(runner.NAME, group="g", consumer=str(os.getpid()), last_id="0", max_records=runner.PREFETCH)
        self.broker.subscriber(stream=stream)(self._received)
        self.to = {"stream": runner.NAME}

    def _rabbit(self) -> None:
        from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue

        self.broker = RabbitBroker(self.url, default_channel=Channel(prefetch_count=runner.PREFETCH), logger=None)
        self.exchange = RabbitExchange(runner.NAME, type=ExchangeType.TOPIC, durable=True)
        self.queue = RabbitQueue(runner.NAME, durable=True, routing_key=runner.BINDING_KEY)
        self.broker.subscriber(self.queue, self.exchange)(self._received)
        self.to = {"exchange": self.exchange, "routing_key": runner.ROUTING_KEY, "persist": True}

    async def _declare(self) -> None:
        await self.broker.connect()
        if self.url.startswith("redis"):
            return
        exchange = await self.broker.declare_exchange(self.exchange)
        queue = await self.broker.declare_queue(self.queue)
        await queue.bind(exchange, runner.BINDING_KEY)

    async def _received(self, _body: bytes) -> None:
        self.handled()

    def publish(self, body: bytes, count: int) -> None:
        self.loop.run_until_complete(self._publish(body, count))

    async def _publish(self, body: bytes, count: int) -> None:
        for size in runner.batches(count):
            await asyncio.gather(*(self.broker.publish(body, **self.to) for _ in range(size)))

    def consume(self, handled) -> None:
        async def forever() -> None:
            await self.broker.start()
            await asyncio.Event().wait()

        self.handled = handled
        self.loop.run_until_complete(forever())


if __name__ == "__main__":
    runner.main(FastStreamPeer)
