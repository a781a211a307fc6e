"""How messages are shared among consumers: in turn while they wait, a window at once where there is a backlog."""

from __future__ import annotations

import queue
import threading

import redis

from rexchange import Broker, Consumer, Message
from rexchange.testing import wait_until
from tests.chaos.conftest import Make

Hands = queue.Queue[tuple[int, bytes]]


def reading(number: int, consumer: Consumer, hands: Hands) -> threading.Thread:
    """A thread that acks and notes what its consumer is given."""

    def work() -> None:
        for delivery in consumer:
            delivery.ack()
            hands.put((number, delivery.body))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def taken_by(make: Make, outside: redis.Redis, queues: list[str]) -> list[int]:
    """Which of three waiting consumers got each of twelve messages that were published one at a time."""
    brokers: list[Broker] = [make() for _ in range(3)]
    for name in queues:
        brokers[0].declare_queue(name)
    hands: Hands = queue.Queue()
    consumers = [broker.consume(queues, auto_ack=False, prefetch=10) for broker in brokers]
    threads: list[threading.Thread] = []
    order: list[int] = []

    def waiting() -> bool:
        # Beside each consumer its session's heartbeat waits for the alarm.
        return int(outside.info("clients")["blocked_clients"]) == 2 * len(threads)

    for number, consumer in enumerate(consumers):
        consumer.open()
        threads.append(reading(number, consumer, hands))
        wait_until(waiting)
    for i in range(12):
        brokers[0].publish(b"%d" % i, routing_key=queues[i % len(queues)])
        number, body = hands.get(timeout=5)
        assert body == b"%d" % i
        order.append(number)
        wait_until(waiting)
    for consumer, thread in zip(consumers, threads, strict=True):
        consumer.cancel()
        thread.join(5)
        consumer.close()
    return order


def test_waiting_consumers_are_served_in_turn(make: Make, outside: redis.Redis) -> None:
    order = taken_by(make, outside, ["q"])
    assert all(sorted(order[i : i + 3]) == [0, 1, 2] for i in range(10))


def test_waiting_consumers_of_two_queues_are_served_in_turn(make: Make, outside: redis.Redis) -> None:
    order = taken_by(make, outside, ["q", "r"])
    assert all(sorted(order[i : i + 3]) == [0, 1, 2] for i in range(0, 12, 3))


def test_a_consumer_takes_its_whole_window_of_a_backlog(make: Make, outside: redis.Redis, vhost: str) -> None:
    greedy, other = make(), make()
    greedy.declare_queue("q")
    greedy.publish_many([Message(b"%d" % i, routing_key="q") for i in range(100)])
    with (
        greedy.consume("q", auto_ack=False, prefetch=60) as first,
        other.consume("q", auto_ack=False, prefetch=60) as second,
    ):
        next(first)
        next(second)
        held = outside.xpending(f"rx:{{{vhost}}}:stream:q", "g")["consumers"]
        assert sorted(int(row["pending"]) for row in held) == [40, 60]
