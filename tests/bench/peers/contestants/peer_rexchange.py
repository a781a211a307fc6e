"""rexchange: a topic exchange and one queue; every publish is confirmed, every message acked by the handler."""

from __future__ import annotations

import asyncio
import logging

import runner

from rexchange import AsyncBroker, Broker, Message

logging.getLogger("rexchange").setLevel(logging.ERROR)


class Sync(runner.Contestant):
    """`publish_many` by 100 (variant `batch`), or `publish` one after the other (variant `one`)."""

    def setup(self) -> None:
        self.broker = Broker(self.url).open()
        self.broker.declare_exchange(runner.NAME, "topic")
        self.broker.declare_queue(runner.NAME)
        self.broker.bind(runner.NAME, runner.NAME, runner.BINDING_KEY)

    def publish(self, body: bytes, count: int) -> None:
        if self.variant == "one":
            for _ in range(count):
                self.broker.publish(body, exchange=runner.NAME, routing_key=runner.ROUTING_KEY)
            return
        for size in runner.batches(count):
            self.broker.publish_many(
                [Message(body, exchange=runner.NAME, routing_key=runner.ROUTING_KEY) for _ in range(size)]
            )

    def consume(self, handled) -> None:
        with self.broker.consume(runner.NAME, auto_ack=False, prefetch=runner.PREFETCH) as consumer:
            for delivery in consumer:
                delivery.ack()
                handled()


class Async(runner.Contestant):
    """100 publishes awaited at a time, each its own confirm."""

    def setup(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._setup())

    async def _setup(self) -> None:
        self.broker = await AsyncBroker(self.url).open()
        await self.broker.declare_exchange(runner.NAME, "topic")
        await self.broker.declare_queue(runner.NAME)
        await self.broker.bind(runner.NAME, runner.NAME, runner.BINDING_KEY)

    def publish(self, body: bytes, count: int) -> None:
        self.loop.run_until_complete(self._publish(body, count))

    async def _publish(self, body: bytes, count: int) -> None:
        for size in runner.batches(count):
            await asyncio.gather(
                *(self.broker.publish(body, exchange=runner.NAME, routing_key=runner.ROUTING_KEY) for _ in range(size))
            )

    def consume(self, handled) -> None:
        self.loop.run_until_complete(self._consume(handled))

    async def _consume(self, handled) -> None:
        async with self.broker.consume(runner.NAME, auto_ack=False, prefetch=runner.PREFETCH) as consumer:
            async for delivery in consumer:
                await delivery.ack()
                handled()


def choose(url: str, variant: str) -> runner.Contestant:
    """Return the client that the variant names."""
    return Async(url, variant) if variant == "async" else Sync(url, variant)


if __name__ == "__main__":
    runner.main(choose)
