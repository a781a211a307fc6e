"""pika on RabbitMQ, in its own venv: publish durable messages, then consume and ack each. Prints its seconds.

Without confirms, which make pika wait for each message: the faster of its two ways.
"""

import json
import secrets
import sys
import time

import pika

BODY = b"x" * 200


def main(url: str, messages: int) -> dict[str, object]:
    """Run it once, with an exchange and a queue of its own."""
    name = f"rx-budget-{secrets.token_hex(4)}"
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare(name, "topic", durable=True)
    channel.queue_declare(name, durable=True)
    try:
        channel.queue_bind(name, name, "user.*.created")
        channel.basic_qos(prefetch_count=200)
        durable = pika.BasicProperties(delivery_mode=2)
        started = time.perf_counter()
        for _ in range(messages):
            channel.basic_publish(name, "user.1.created", BODY, durable)
        for number, (method, _properties, _body) in enumerate(channel.consume(name), start=1):
            channel.basic_ack(method.delivery_tag)
            if number == messages:
                break
        channel.cancel()
        seconds = time.perf_counter() - started
    finally:
        channel.queue_delete(name)
        channel.exchange_delete(name)
    connection.close()
    return {"seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))  # noqa: T201 - the answer
