"""Ours, in a process of its own as the others are: `python -m tests.bench.budgets.children.ours WHAT URL MESSAGES`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

from rexchange import AsyncBroker, Broker, Message

BODY = b"x" * 200
KEY = "user.1.created"
TOGETHER = 100


def through(url: str, messages: int) -> dict[str, object]:
    """Publish in batches of 100, then consume and ack each."""
    with Broker(url) as broker:
        broker.declare_exchange("events", "topic")
        broker.declare_queue("mail")
        broker.bind("mail", "events", "user.*.created")
        started = time.perf_counter()
        for _ in range(0, messages, TOGETHER):
            broker.publish_many([Message(BODY, exchange="events", routing_key=KEY) for _ in range(TOGETHER)])
        with broker.consume("mail", auto_ack=False, prefetch=200) as consumer:
            for number, delivery in enumerate(consumer, start=1):
                delivery.ack()
                if number == messages:
                    break
            consumer.close()  # the acks are out
        seconds = time.perf_counter() - started
        broker.purge("mail")
    return {"seconds": seconds}


async def awaited(url: str, messages: int) -> dict[str, object]:
    """Publish with a confirm each, 100 awaited at a time."""
    async with AsyncBroker(url) as broker:
        await broker.declare_exchange("events", "topic")
        await broker.declare_queue("mail")
        await broker.bind("mail", "events", "user.*.created")
        started = time.perf_counter()
        for _ in range(0, messages, TOGETHER):
            await asyncio.gather(*(broker.publish(BODY, exchange="events", routing_key=KEY) for _ in range(TOGETHER)))
        seconds = time.perf_counter() - started
        await broker.purge("mail")
    return {"seconds": seconds}


if __name__ == "__main__":
    logging.getLogger("rexchange").setLevel(logging.ERROR)
    what, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(json.dumps(through(url, count) if what == "through" else asyncio.run(awaited(url, count))))  # noqa: T201 - the answer
