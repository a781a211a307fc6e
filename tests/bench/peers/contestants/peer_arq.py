"""arq: a coroutine on a queue of its own, no results kept; its default worker (10 jobs at once)."""

from __future__ import annotations

import asyncio

import runner
from arq import Worker, create_pool, func
from arq.connections import RedisSettings


class Arq(runner.Contestant):
    """`enqueue_job`, 100 awaited at a time."""

    def setup(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)  # its Worker asks for the current one
        self.settings = RedisSettings.from_dsn(self.url)
        self.pool = self.loop.run_until_complete(create_pool(self.settings, default_queue_name=runner.NAME))

    def publish(self, body: bytes, count: int) -> None:
        self.loop.run_until_complete(self._publish(body.decode(), count))

    async def _publish(self, text: str, count: int) -> None:
        for size in runner.batches(count):
            await asyncio.gather(*(self.pool.enqueue_job("noop", text) for _ in range(size)))

    def consume(self, handled) -> None:
        async def noop(_context, _text: str) -> None:
            handled()

        Worker(
            [func(noop, name="noop")],
            queue_name=runner.NAME,
            redis_settings=self.settings,
            keep_result=0,
            log_results=False,
        ).run()


if __name__ == "__main__":
    runner.main(Arq)
