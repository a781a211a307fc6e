"""How many connections a process opens: the table of docs/redis.md, from which `maxclients` is reckoned."""

from __future__ import annotations

import threading

import redis

from tests.chaos.conftest import Make
from tests.chaos.servers import until


def test_connections_are_as_many_as_the_docs_say(make: Make, outside: redis.Redis) -> None:
    def opened() -> int:
        return len(outside.client_list()) - before

    before = len(outside.client_list())
    publisher = make()
    publisher.declare_queue("q")
    publisher.declare_queue("r")
    publisher.publish(b"", routing_key="q")
    assert opened() == 2  # commands, the publishing lane

    worker = make()
    with worker.consume("q", auto_ack=False, timeout=0) as consumer:
        for delivery in consumer:
            delivery.ack(wait=True)
        assert opened() == 2 + 3  # commands, heartbeat, the consumer
        with worker.consume("r", timeout=0) as second:
            assert list(second) == []
            assert opened() == 2 + 4
        worker.publish(b"", routing_key="r")
        until(lambda: opened() == 2 + 4, 5, "the second consumer's end, and the lane")
    worker.close()
    publisher.close()
    until(lambda: opened() == 0, 5, "the end of all")


def test_a_web_process_that_calls_has_four(make: Make, outside: redis.Redis) -> None:
    before = len(outside.client_list())
    server, web = make(), make()
    server.declare_queue("squares")

    def serve() -> None:
        with server.consume("squares", auto_ack=False) as consumer:
            request = next(consumer)
            server.reply(request, b"144")
            request.ack(wait=True)

    thread = threading.Thread(target=serve)
    thread.start()
    assert web.call(b"12", routing_key="squares", timeout=5).body == b"144"
    thread.join(10)
    server.close()
    until(lambda: len(outside.client_list()) - before == 4, 5, "commands, lane, heartbeat and the replies' consumer")
