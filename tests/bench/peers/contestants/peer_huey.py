"""Huey: a task on a queue of its own, no results; a consumer with one thread. It does not ack: BRPOP takes."""

from __future__ import annotations

import logging

import runner
from huey import RedisHuey

logging.disable(logging.INFO)  # it formats a line for each task otherwise


class Huey(runner.Contestant):
    """The task is called, one call after the other."""

    def setup(self) -> None:
        self.handled = lambda: None
        self.huey = RedisHuey(runner.NAME, url=self.url, results=False)

        @self.huey.task(name="noop")
        def noop(_text: str) -> None:
            self.handled()

        self.task = noop

    def publish(self, body: bytes, count: int) -> None:
        text = body.decode()
        for _ in range(count):
            self.task(text)

    def consume(self, handled) -> None:
        self.handled = handled
        self.huey.create_consumer(workers=1).run()


if __name__ == "__main__":
    runner.main(Huey)
