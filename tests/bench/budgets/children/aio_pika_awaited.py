"""aio-pika on RabbitMQ, in its own venv: awaited confirmed publishes, 100 at a time. Prints its seconds."""

import asyncio
import json
import secrets
import sys
import time

import aio_pika

BODY = b"x" * 200
TOGETHER = 100


async def main(url: str, messages: int) -> dict[str, object]:
    """Run it once, with an exchange and a queue of its own."""
    name = f"rx-budget-{secrets.token_hex(4)}"
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(name, durable=True)
        try:
            await queue.bind(exchange, "user.*.created")
            started = time.perf_counter()
            for _ in range(0, messages, TOGETHER):
                await asyncio.gather(*(publish(exchange) for _ in range(TOGETHER)))
            return {"seconds": time.perf_counter() - started}
        finally:
            await queue.delete(if_unused=False, if_empty=False)
            await exchange.delete()


async def publish(exchange: aio_pika.abc.AbstractExchange) -> None:
    """Publish one and wait for its confirm."""
    message = aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(message, "user.1.created")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))  # noqa: T201 - the answer
