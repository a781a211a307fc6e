"""kombu on the Redis of the benchmark, in its own venv: publish, then consume and ack each. Prints its seconds."""

import json
import sys
import time

import kombu

BODY = b"x" * 200


def main(url: str, messages: int) -> dict[str, object]:
    """Run it once."""
    exchange = kombu.Exchange("events", "topic")
    queue = kombu.Queue("mail", exchange, routing_key="user.*.created")
    done = 0

    def handle(_body: object, message: kombu.Message) -> None:
        nonlocal done
        message.ack()
        done += 1

    with kombu.Connection(url) as connection:
        channel = connection.channel()
        queue(channel).declare()
        queue(channel).purge()
        producer = kombu.Producer(channel, exchange)
        started = time.perf_counter()
        for _ in range(messages):
            producer.publish(
                BODY, routing_key="user.1.created", content_type="application/data", content_encoding="binary"
            )
        with kombu.Consumer(channel, [queue], callbacks=[handle], prefetch_count=200):
            while done < messages:
                connection.drain_events(timeout=30)
        return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))  # noqa: T201 - the answer
