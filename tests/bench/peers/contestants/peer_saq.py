"""SAQ: a coroutine on a queue of its own, no results kept; its default worker (10 jobs at once)."""

from __future__ import annotations

import asyncio

import runner
from saq import Queue, Worker


class Saq(runner.Contestant):
    """`enqueue`, 100 awaited at a time."""

    def setup(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.queue = Queue.from_url(self.url, name=runner.NAME)
        self.loop.run_until_complete(self.queue.connect())

    def publish(self, body: bytes, count: int) -> None:
        self.loop.run_until_complete(self._publish(body.decode(), count))

    async def _publish(self, text: str, count: int) -> None:
        for size in runner.batches(count):
            await asyncio.gather(*(self.queue.enqueue("noop", text=text, ttl=1) for _ in range(size)))

    def consume(self, handled) -> None:
        async def noop(_context, *, text: str) -> None:
            del text
            handled()

        self.loop.run_until_complete(Worker(self.queue, functions=[("noop", noop)]).start())


if __name__ == "__main__":
    runner.main(Saq)
