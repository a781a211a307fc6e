"""Tracing on a server that is killed, and on one whose memory is full."""

from __future__ import annotations

import pytest

from rexchange import Broker, Message
from rexchange.errors import PublishRefused
from tests.chaos.servers import Server
from tests.chaos.test_features_survive import broker, own_server, restart

__all__ = ["broker", "own_server"]


def kinds(broker: Broker) -> list[str]:
    return [event.kind for event in broker.traced()]


def test_a_trace_and_its_events_outlive_a_killed_server(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="dead")
    trace = broker.trace(queue="work")
    broker.publish(b"1", routing_key="work", message_id="m")
    with broker.consume("work", auto_ack=False, tag="t") as consumer:
        delivery = next(consumer)
        restart(own_server)
        delivery.reject(wait=True)
    broker.publish(b"2", routing_key="work")

    assert broker.traces() == [trace]
    told = [event.kind for event in broker.history(message_id="m")]
    assert told == ["published", "routed", "delivered", "rejected", "dead_lettered", "routed"]
    assert kinds(broker)[-2:] == ["published", "routed"]


def test_a_full_server_lets_consumers_of_a_traced_queue_work(own_server: Server, broker: Broker) -> None:
    broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.trace(queue="work")
    broker.publish_many([Message(b"%d" % number, routing_key="work") for number in range(4)])
    before = kinds(broker)
    with own_server.client() as client, broker.consume("work", auto_ack=False, prefetch=1) as consumer:
        client.config_set("maxmemory", 1)
        with pytest.raises(PublishRefused, match="memory is full"):
            broker.publish(b"no", routing_key="work")
        assert [kind for kind in kinds(broker) if kind == "published"] == ["published"] * 4
        next(consumer).ack(wait=True)
        next(consumer).nack(requeue=True, wait=True)
        next(consumer).reject(wait=True)
        broker.untrace()
        next(consumer).ack(wait=True)
        client.config_set("maxmemory", 0)
        last = next(consumer)
    assert (last.body, before.count("published")) == (b"3", 4)
    assert [info.ready for info in broker.queues()] == [1, 1]
