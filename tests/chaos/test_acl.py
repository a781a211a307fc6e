"""The users of docs/rexchange.acl can do their work and no more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from rexchange import Broker, Message
from rexchange.errors import CommandFailed, PublishRefused, ServerRefused
from tests.chaos.conftest import SHORT
from tests.chaos.servers import KINDS, Server, running, until

TOO_MUCH = (
    "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET maxmemory 1", "SHUTDOWN", "ACL LIST", "SCRIPT FLUSH",
    "DEL rx:{/}:queues", "REPLICAOF NO ONE", "HSET session:1 user 1", "HGET rx:{other}:queues q",
)  # fmt: skip
TOO_MUCH_FOR_A_PUBLISHER = (
    "XREADGROUP GROUP g c STREAMS rx:{/}:stream:q >", "XREAD STREAMS rx:{/}:stream:q 0",
    "XGROUP CREATE rx:{/}:stream:q h 0", "SMEMBERS rx:{/}:inbound:q:q", "CLIENT ID",
)  # fmt: skip
FILE = Path(__file__).parents[2] / "docs" / "rexchange.acl"


@pytest.fixture(params=KINDS)
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server with that file, and an administrator of ours who prepares the vhost."""
    copy = tmp_path / "users.acl"
    shutil.copy(FILE, copy)
    # `until` in servers.py asks as the default user, whom the file turns off: here it may ping.
    copy.write_text(copy.read_text().replace("user default off", "user default on nopass -@all +ping"))
    with running(request.param, "--aclfile", str(copy), aof=False) as made:
        yield made


def connect(server: Server, user: str, **options: Any) -> Broker:
    url = f"redis://{user}:change-me-{user}@127.0.0.1:{server.port}/0"
    return Broker(url, vhost="/", **{**SHORT, "retry_timeout": timedelta(seconds=2), **options})


def operate(broker: Broker) -> None:
    for kind in ("direct", "fanout", "topic", "headers"):
        broker.declare_exchange(kind, kind)
    broker.declare_exchange("more", "fanout", alternate_exchange="fanout", auto_delete=True)
    for name in ("q", "r"):
        broker.declare_queue(name)
        broker.bind(name, "direct", "k")
        broker.bind(name, "fanout")
        broker.bind(name, "topic", "a.*.#")
        broker.bind(name, "headers", arguments={"x-match": "any", "h": 1})
        broker.bind(broker.declare_exchange("more", passive=True), "fanout")
    assert broker.route("topic", "a.b") == ["q", "r"]
    assert len(broker.queues()) == 2
    assert len(broker.exchanges()) > 5
    assert len(broker.bindings()) > 8
    assert broker.consumers() == []
    broker.status()
    broker.reap()


def operate_features(broker: Broker) -> None:
    """Declare what RabbitMQ's features need, and set and delete policies."""
    short = timedelta(milliseconds=50)
    for kind in ("x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history"):
        broker.declare_exchange(kind, kind)
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    broker.declare_exchange("dlx", "fanout")
    broker.declare_queue("dead")
    broker.bind("dead", "dlx")
    broker.declare_queue("short", max_length=3, dead_letter_exchange="dlx")
    broker.declare_queue("full", max_length_bytes=3, overflow="reject-publish", dead_letter_exchange="dlx")
    broker.declare_queue("brief", message_ttl=short, expires=timedelta(minutes=1), dead_letter_exchange="dlx")
    broker.declare_queue("urgent", max_priority=9, max_length=5, dead_letter_exchange="dlx")
    broker.declare_queue("quorum", queue_type="quorum", delivery_limit=1, dead_letter_exchange="dlx")
    broker.declare_queue("log", queue_type="stream", max_length_bytes=10_000)
    broker.declare_queue("single", single_active_consumer=True)
    for queue in FEATURES:
        broker.bind(queue, "later", "k")
        broker.bind(queue, "x-recent-history")
        for kind in ("x-consistent-hash", "x-modulus-hash", "x-random"):
            broker.bind(queue, kind, "1")
    broker.set_policy("limits", "^q$", {"max-length": 1000, "dead-letter-exchange": "dlx"})
    assert len(broker.policies()) == 1
    broker.delete_policy("limits")


def publish_features(broker: Broker) -> None:
    """Publish to all of them, more than they hold."""
    for queue in FEATURES:
        for number in range(8):
            try:
                broker.publish(b"x", routing_key=queue, priority=number, headers={"CC": ["dead"]}, expiration="60000")
            except PublishRefused:
                assert queue == "full"
    for kind in ("x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history"):
        with suppress(PublishRefused):
            broker.publish(b"x", exchange=kind, routing_key="k")
    for delay in (0, 50):
        with suppress(PublishRefused):
            broker.publish(b"x", exchange="later", routing_key="k", headers={"x-delay": delay})


def consume_features(broker: Broker) -> None:
    """Consume from all of them, settle in all ways, and let the reaper move what is due."""
    until(lambda: broker.get("brief") is None, 5, "the expiry")
    for queue in FEATURES:
        offset = "first" if queue == "log" else None
        options: Any = {"auto_ack": False, "prefetch": 3, "timeout": 0.3, "priority": 1, "offset": offset}
        with broker.consume(queue, **options) as consumer:
            for number, delivery in enumerate(consumer):
                (delivery.ack, delivery.nack, delivery.reject)[number % 3]()
                if number > 20:
                    break
    with broker.consume(["urgent", "short"], auto_ack=False, timeout=0, exclusive=True) as consumer:
        next(consumer, None)
    broker.reap()


FEATURES = ("short", "full", "brief", "urgent", "quorum", "log", "single")


def publish(broker: Broker) -> None:
    headers = {"h": 1}
    keys = (("", "q"), ("direct", "k"), ("fanout", ""), ("topic", "a.b.c"), ("headers", ""))
    for exchange, key in keys:
        assert broker.publish(b"x", exchange=exchange, routing_key=key, headers=headers) == (2 if exchange else 1)
        broker.publish_many([Message(b"x", exchange=exchange, routing_key=key, headers=headers) for _ in range(20)])
    assert broker.publish(b"x", routing_key="nowhere") == 0


def consume(broker: Broker) -> None:
    got = broker.get("q", auto_ack=False)
    assert got is not None
    got.nack()
    with broker.consume("q", prefetch=5) as consumer:
        next(consumer)
    for queues in ("q", ["q", "r"]):
        with broker.consume(queues, auto_ack=False, prefetch=5, timeout=0.3, renew=True) as consumer:
            for number, delivery in enumerate(consumer):
                if number == 3:
                    delivery.extend()
                if number % 7 == 0 and not delivery.redelivered:
                    delivery.nack()
                elif number % 7 == 1:
                    delivery.reject()
                else:
                    delivery.ack()
                if number > 40:
                    break
    broker.reap()


def test_each_user_can_do_its_work(guarded: Server) -> None:
    with connect(guarded, "operator") as operator, connect(guarded, "publisher") as publisher:
        operate(operator)
        operate_features(operator)
        publish(publisher)
        publish_features(publisher)
        with connect(guarded, "consumer") as consumer:
            consume(consumer)
            consume_features(consumer)
            # The reaper of a consumer ends other sessions, with all that they own.
            dead = connect(guarded, "operator", session_timeout=timedelta(seconds=0.6))
            dead.declare_queue("own", exclusive=True)
            dead.bind("own", "topic", "own.#")
            dead.bind("own", "headers", arguments={"h": 2})
            held = dead.get("q", auto_ack=False)
            assert held is not None
            dead._session._stop_heart()  # as if its process were gone
            names = {"q", "r", "dead", *FEATURES}
            until(lambda: consumer.reap().sessions or len(operator.queues()) == len(names), 5, "the reaping")
            ready = {info.name: info.ready for info in operator.queues()}
            assert ready.keys() == names
            assert ready["dead"] > 10
            # A consumer of a managed queue is woken by a publisher.
            with consumer.consume(["q", "r"], auto_ack=False) as reader:
                next(reader).ack()
                publish(publisher)
        publish(publisher)
        browse(operator)
        operator.purge("q")
        operator.unbind("q", "direct", "k")
        operator.delete_queue("q")
        operator.delete_queue("r")
        operator.delete_exchange("topic")
        operator.delete_exchange("more")


def browse(operator: Broker) -> None:
    """Look into queues, and put their messages in order: to a queue of each kind, and from it."""
    for other in [each.name for each in operator.queues() if each.name != "q"]:
        operator.copy("q", other, limit=1)
        operator.copy(other, "q", limit=1)
    (message,) = operator.browse("q", limit=1)
    assert operator.peek("q", message.id) == message
    assert operator.unacked("q") == []
    assert operator.move("q", "r", ids=[message.id]) == 1
    (message,) = operator.browse("r", limit=1, headers={})
    assert operator.delete_message("r", message.id)


def test_no_user_can_do_more(guarded: Server) -> None:
    with connect(guarded, "operator") as operator:
        operate(operator)
    for user in ("publisher", "consumer", "operator"):
        with redis.Redis(port=guarded.port, username=user, password=f"change-me-{user}", protocol=2) as client:
            for command in TOO_MUCH:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command.split())
    with redis.Redis(port=guarded.port, username="publisher", password="change-me-publisher", protocol=2) as client:
        for command in TOO_MUCH_FOR_A_PUBLISHER:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())
    with connect(guarded, "publisher") as publisher, pytest.raises(ServerRefused, match="permission"):
        publisher.get("q")
    with connect(guarded, "consumer") as consumer, pytest.raises(ServerRefused, match="permission"):
        consumer.vhosts()


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_needs_its_own_commands_and_keys_besides(kind: str, tmp_path: Path) -> None:
    """What a publisher and a consumer may, and what docs/redis.md adds."""
    lines = {line.split()[1]: line for line in FILE.read_text().splitlines()}
    publishes = [word for word in lines["publisher"].split() if word.startswith("+")]
    user = lines["consumer"].replace("user consumer", "user app").replace("change-me-consumer", "change-me-app")
    user = " ".join([user, *publishes, "+set", "+incrby", "+command|info", "~price:*"])
    users = tmp_path / "users.acl"
    users.write_text("\n".join(["user default on nopass -@all +ping", lines["operator"], user]) + "\n")
    with running(kind, "--aclfile", str(users), aof=False) as server:
        with connect(server, "operator") as operator:
            operator.declare_queue("q")
        with connect(server, "app") as broker:
            broker.publish(b"1", routing_key="q")
            job = broker.get("q", auto_ack=False)
            assert job is not None
            with broker.transaction() as tx:
                tx.redis.set("price:1", 1)
                tx.publish(b"2", routing_key="q")
                tx.ack(job)
            for command in (("SET", "other:1", "1"), ("DEL", "price:1")):
                with pytest.raises(CommandFailed, match=r"permission|can't|ACL") as caught:
                    count_and(broker, *command)
                assert caught.value.written == ["INCRBY 'price:1' '1'"]
            assert [found.body for found in iter(lambda: broker.get("q"), None)] == [b"2"]


def count_and(broker: Broker, *command: str) -> None:
    """Count, run a command, and publish."""
    with broker.transaction() as tx:
        tx.redis.incr("price:1")
        tx.redis.execute_command(*command)
        tx.publish(b"3", routing_key="q")
