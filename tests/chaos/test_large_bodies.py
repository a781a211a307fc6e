"""Large bodies that are stored once: their consumers and their server are killed, and memory is full."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from rexchange import Broker, Message
from rexchange.errors import PublishRefused
from rexchange.testing import messages
from tests.chaos.conftest import SHORT_S, Make
from tests.chaos.servers import Server, until
from tests.chaos.test_features_survive import bodies, broker, own_server, restart
from tests.chaos.workers import crew

__all__ = ["broker", "own_server"]
BODY = b"x" * 100_000


def fan(broker: Broker, *queues: str) -> None:
    broker.declare_exchange("fan", "fanout")
    for name in queues:
        broker.declare_queue(name, dead_letter_exchange="", dead_letter_routing_key="dead")
        broker.bind(name, "fan")


def shares(client: redis.Redis, vhost: str) -> list[int]:
    """Return how many entries point to each body, which are as many as bodies that stay."""
    counts = sorted(map(int, client.hvals(f"rx:{{{vhost}}}:shares")))
    stored = [key for key in client.scan_iter(f"rx:{{{vhost}}}:body:*") if client.ttl(key) < 0]
    assert len(stored) == len(counts)
    return counts


def test_what_a_killed_consumer_held_is_handed_out_whole_and_freed_once(
    make: Make, server: Server, outside: redis.Redis, vhost: str, tmp_path: Path
) -> None:
    broker = make()
    fan(broker, "q", "twin")
    wanted = [b"%d" % number + b"-" * 20_000 for number in range(8)]
    broker.publish_many([Message(body, exchange="fan") for body in wanted])
    assert shares(outside, vhost) == [2] * 8
    with crew(tmp_path, server.url, vhost, "q", **SHORT_S) as workers:
        victim = workers.start(prefetch=8, hang_after=3).ready()
        until(lambda: len(victim.got()) == 3, 5, "the victim's work")
        victim.kill()
        heir = workers.start(prefetch=5).ready()
        until(lambda: outside.xlen(f"rx:{{{vhost}}}:stream:q") == 0, 10, "the last ack")
        assert {each.body for each in [*victim.got(), *heir.got()]} == {body.decode() for body in wanted}
        assert workers.unexplained() == []
    assert shares(outside, vhost) == [1] * 8
    assert bodies(broker, "twin") == wanted
    assert shares(outside, vhost) == []


def test_a_killed_server_has_the_bodies_of_what_it_confirmed(own_server: Server, broker: Broker) -> None:
    fan(broker, "q", "twin")
    assert broker.publish(BODY, exchange="fan") == 2
    restart(own_server)
    assert bodies(broker, "q") == [BODY]
    restart(own_server)
    assert bodies(broker, "twin") == [BODY]
    with own_server.client() as client:
        assert shares(client, "survives") == []


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_a_full_server_refuses_the_whole_and_lets_consumers_work(own_server: Server, broker: Broker, size: int) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(b"x" * size, exchange="fan")] * 3)
    with own_server.client() as client, broker.consume("q", auto_ack=False, prefetch=3) as consumer:
        deliveries = [next(consumer) for _ in range(3)]
        client.config_set("maxmemory", 1)
        with pytest.raises(PublishRefused, match="memory is full"):
            broker.publish(b"y" * size, exchange="fan")
        deliveries[0].ack(wait=True)
        deliveries[1].reject(wait=True)
        deliveries[2].nack(requeue=True, wait=True)
        assert broker.move("twin", "dead", limit=1) == 1
        assert broker.delete_queue("twin") == 2
        client.config_set("maxmemory", 0)
        assert shares(client, "survives") == [1, 1, 1]
    assert [len(message.body) for message in messages(broker, "q")] == [size]
    assert [len(message.body) for message in messages(broker, "dead")] == [size, size]
