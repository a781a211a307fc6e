"""A server that is killed and started again in the middle: RabbitMQ's features keep what they have, like the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Message
from rexchange.errors import PublishRefused
from tests.chaos.conftest import SHORT
from tests.chaos.servers import KINDS, Server, running, until


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture
def broker(own_server: Server) -> Iterator[Broker]:
    options: dict[str, Any] = SHORT
    with Broker(own_server.url, vhost="survives", **options) as made:
        made.declare_queue("dead")
        yield made


def restart(server: Server) -> None:
    server.kill()
    server.start()


def bodies(broker: Broker, queue: str) -> list[bytes]:
    with broker.consume(queue, timeout=0.1) as consumer:
        return [delivery.body for delivery in consumer]


def test_a_delayed_message_comes_after_the_restart(own_server: Server, broker: Broker) -> None:
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    broker.bind("dead", "later", "k")
    published = time.monotonic()
    broker.publish(b"1", exchange="later", routing_key="k", headers={"x-delay": 1500})

    restart(own_server)

    until(lambda: broker.get("dead") is not None, 10, "the delayed message")
    assert time.monotonic() - published > 1.5


def test_what_was_published_for_later_and_its_key_survive(own_server: Server, broker: Broker) -> None:
    published = time.monotonic()
    hour = timedelta(hours=1)
    soon = broker.publish(b"1", routing_key="dead", delay=timedelta(seconds=1.5), dedup_key="k", dedup_window=hour)
    late = broker.publish(b"2", routing_key="dead", delay=hour)

    restart(own_server)

    again = broker.publish(b"3", routing_key="dead", dedup_key="k", dedup_window=hour)
    assert (again.duplicate, again.schedule_id) == (True, soon.schedule_id)
    assert [waiting.id for waiting in broker.scheduled()] == [soon.schedule_id, late.schedule_id]
    assert broker.cancel_scheduled(late.schedule_id).body == b"2"
    until(lambda: broker.get("dead") is not None, 10, "the delayed message")
    assert time.monotonic() - published > 1.5
    assert broker.get("dead") is None


def test_the_limit_of_a_vhost_survives(own_server: Server, broker: Broker) -> None:
    broker.set_vhost_limit(1)
    broker.publish(b"1", routing_key="dead")

    restart(own_server)

    with pytest.raises(PublishRefused):
        broker.publish(b"2", routing_key="dead")


def test_a_message_keeps_the_time_of_its_expiry(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("short", message_ttl=timedelta(seconds=1), dead_letter_exchange="")
    broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.publish(b"1", routing_key="work", expiration="1500")
    broker.publish(b"2", routing_key="work", expiration="60000")
    assert broker.get("short") is None  # opens a session, so that a reaper runs

    restart(own_server)

    until(lambda: broker.declare_queue("dead").message_count == 1, 5, "the expiry")
    delivery = broker.get("dead")
    assert delivery is not None
    deaths: Any = delivery.headers["x-death"]
    assert [(death["reason"], death["original-expiration"]) for death in deaths] == [("expired", "1500")]
    assert delivery.body == b"1"
    assert bodies(broker, "work") == [b"2"]


def test_the_history_of_deaths_goes_on(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="retry")
    broker.declare_queue(
        "retry", message_ttl=timedelta(milliseconds=100), dead_letter_exchange="", dead_letter_routing_key="work"
    )
    broker.publish(b"1", routing_key="work")

    counts: list[list[tuple[object, object]]] = []
    for _ in range(3):
        until(lambda: broker.declare_queue("work", passive=True).message_count == 1, 5, "the message coming round")
        delivery = broker.get("work", auto_ack=False)
        assert delivery is not None
        deaths: Any = delivery.headers.get("x-death", [])
        counts.append([(death["queue"], death["count"]) for death in deaths])
        delivery.reject()
        restart(own_server)

    assert counts == [[], [("retry", 1), ("work", 1)], [("retry", 2), ("work", 2)]]


def test_priorities_hold_for_what_was_and_for_what_comes(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("ranked", max_priority=9)
    broker.publish_many([Message(b"%d" % rank, routing_key="ranked", priority=rank) for rank in (1, 9, 5)])
    first = broker.get("ranked", auto_ack=False)
    assert first is not None
    assert first.body == b"9"

    restart(own_server)
    first.nack()
    broker.publish(b"7", routing_key="ranked", priority=7)

    assert bodies(broker, "ranked") == [b"9", b"7", b"5", b"1"]


def test_a_policy_and_its_limit_hold(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("limited")
    broker.set_policy("few", "^limited$", {"max-length": 2, "max-length-bytes": 3})

    restart(own_server)
    broker.publish_many([Message(b"%d" % number, routing_key="limited") for number in range(4)])
    broker.publish(b"long", routing_key="limited")

    assert [policy.name for policy in broker.policies()] == ["few"]
    assert bodies(broker, "limited") == []


def test_a_reader_of_a_stream_keeps_its_place(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("log", queue_type="stream")
    broker.publish_many([Message(b"%d" % number, routing_key="log") for number in range(6)])
    with broker.consume("log", auto_ack=False, offset="first", reader="r", prefetch=2, timeout=1) as consumer:
        for _ in range(3):
            next(consumer).ack(wait=True)

    restart(own_server)

    with broker.consume("log", auto_ack=False, reader="r", timeout=0.2) as consumer:
        assert [(delivery.body, delivery.headers["x-stream-offset"]) for delivery in consumer] == [
            (b"3", 3),
            (b"4", 4),
            (b"5", 5),
        ]
