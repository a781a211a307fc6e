"""taskiq with taskiq-redis: RedisStreamBroker, which acks; no results; its default receiver."""

from __future__ import annotations

import asyncio

import runner
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker


class Taskiq(runner.Contestant):
    """`kiq`, 100 awaited at a time."""

    def setup(self) -> None:
        self.handled = lambda: None
        self.loop = asyncio.new_event_loop()
        self.broker = RedisStreamBroker(self.url, queue_name=runner.NAME, consumer_id="0")

        @self.broker.task(task_name="noop")
        async def noop(_text: str) -> None:
            self.handled()

        self.task = noop
        self.loop.run_until_complete(self.broker.startup())

    def publish(self, body: bytes, count: int) -> None:
        self.loop.run_until_complete(self._publish(body.decode(), count))

    async def _publish(self, text: str, count: int) -> None:
        for size in runner.batches(count):
            await asyncio.gather(*(self.task.kiq(text) for _ in range(size)))

    def consume(self, handled) -> None:
        self.handled = handled
        self.loop.run_until_complete(run_receiver_task(self.broker))


if __name__ == "__main__":
    runner.main(Taskiq)
