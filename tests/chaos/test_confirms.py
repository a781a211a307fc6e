"""Levels of confirmation on real servers: what was confirmed outlives the server; what was not is said not to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from rexchange import AsyncBroker, Broker, Message, scripts
from rexchange.errors import ServerRefused, Unconfirmed
from rexchange.testing import messages, wait_until
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Server, running

PUBLISH = scripts.load("publish").sha.encode()


class Pair(NamedTuple):
    """A master, the line to its replica, and the replica."""

    master: Server
    line: Proxy
    replica: Server


@pytest.fixture(params=["redis", "valkey"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as stack:
        master = stack.enter_context(running(request.param))
        line = stack.enter_context(Proxy(master.port))
        replica = stack.enter_context(running(request.param, "--replicaof", "127.0.0.1", str(line.port)))
        with replica.client() as client:
            wait_until(lambda: client.info("replication").get("master_link_status") == "up", timeout=15)
        yield Pair(master, line, replica)


def url(server: Server | Proxy) -> str:
    return f"redis://127.0.0.1:{server.port}"


def made(server: Server | Proxy, **options: Any) -> Broker:
    return Broker(url(server), vhost="v", confirm_timeout=0.3, **options)


def test_a_replica_has_what_was_confirmed_as_replicated(pair: Pair) -> None:
    with made(pair.master) as broker:
        broker.declare_queue("q")
        assert broker.publish(b"1", routing_key="q", confirm="replicated") == 1
        batch = [Message(b"%d" % number, routing_key="q") for number in range(2, 102)]
        assert broker.publish_many(batch, confirm="replicated:1") == [1] * 100
        with broker.transaction(confirm="replicated") as tx:
            tx.publish(b"last", routing_key="q")
    pair.master.kill()
    with pair.replica.client() as client:
        client.replicaof("NO", "ONE")
    with made(pair.replica) as broker:
        assert len(messages(broker, "q")) == 102


def test_what_no_replica_has_is_published_and_not_confirmed(pair: Pair) -> None:
    with made(pair.master, confirm="replicated") as broker:
        broker.declare_queue("q")
        pair.line.hold()
        with pytest.raises(Unconfirmed, match="0 of the 1 replicas") as caught:
            broker.publish(b"1", routing_key="q")
        assert caught.value.counts == [1]
        transaction = broker.transaction()
        with pytest.raises(Unconfirmed), transaction as tx:
            tx.publish(b"2", routing_key="q")
        # Who waits for less is not held up, and more replicas than there are never confirm.
        assert broker.publish(b"3", routing_key="q", confirm="memory") == 1
        pair.line.release()
        assert broker.publish(b"4", routing_key="q") == 1
        with pytest.raises(Unconfirmed, match="1 of the 2 replicas"):
            broker.publish(b"5", routing_key="q", confirm="replicated:2")
        assert [message.body for message in messages(broker, "q")] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_retry_is_not_confirmed_by_a_connection_that_wrote_nothing(pair: Pair) -> None:
    """WAIT speaks of what its own connection did: after a lost reply, the first WAIT of the next would say yes."""
    with Proxy(pair.master.port) as front, made(front) as broker:
        broker.declare_queue("q")
        assert broker.publish(b"1", routing_key="q", confirm="replicated") == 1
        pair.line.hold()
        rule = front.cut(PUBLISH)
        with pytest.raises(Unconfirmed):
            broker.publish(b"2", routing_key="q", confirm="replicated")
        assert rule.done == 1
        pair.line.release()
        assert [message.body for message in messages(broker, "q")] == [b"1", b"2"]


def test_a_publish_with_little_time_says_in_that_time_that_it_was_published(pair: Pair) -> None:
    with Broker(url(pair.master), vhost="v") as broker:
        broker.declare_queue("q")
        broker.publish(b"0", routing_key="q", confirm="replicated")
        pair.line.hold()
        with pytest.raises(Unconfirmed, match=r"within [1-9]\d\d ms"):
            broker.publish(b"1", routing_key="q", confirm="replicated", timeout=1)
        pair.line.release()


def test_a_script_that_the_server_has_yet_to_learn_is_not_waited_for(pair: Pair) -> None:
    """The wait for it would take the time of the wait for the publish, whose outcome would be unknown then."""
    pair.line.hold()
    with Broker(url(pair.master), vhost="v") as broker:
        broker.declare_queue("q")
        with pytest.raises(Unconfirmed):
            broker.publish(b"1", routing_key="q", confirm="replicated", timeout=1)
    pair.line.release()


async def test_callers_who_share_a_call_are_confirmed_together(pair: Pair) -> None:
    async with AsyncBroker(url(pair.master), vhost="v", confirm="replicated") as broker:
        await broker.declare_queue("q")
        await broker.publish(b"first", routing_key="q")
        before = _calls(pair.master, "wait")
        answers = await asyncio.gather(*[broker.publish(b"%d" % i, routing_key="q") for i in range(200)])
        assert answers == [1] * 200
        assert _calls(pair.master, "wait") - before < 20


def _calls(server: Server, command: str) -> int:
    with server.client() as client:
        stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


def test_what_was_confirmed_as_synced_is_on_the_disk() -> None:
    with running("valkey", "--appendonly", "yes", "--appendfsync", "everysec") as server:
        with Broker(url(server), vhost="v") as broker:
            broker.declare_queue("q")
            assert broker.publish(b"1", routing_key="q", confirm="synced") == 1
            assert _calls(server, "waitaof") >= 1
        server.kill()
        server.start()
        with Broker(url(server), vhost="v") as broker:
            assert [message.body for message in messages(broker, "q")] == [b"1"]


def test_a_disk_that_is_not_there_is_told_before_anything_is_done() -> None:
    with running("valkey", "--appendonly", "no") as server, Broker(url(server), vhost="v") as broker:
        broker.declare_queue("q")
        with pytest.raises(ServerRefused, match="appendonly"):
            broker.publish(b"1", routing_key="q", confirm="synced")
        assert messages(broker, "q") == []


def test_a_server_without_waitaof_says_so_before_anything_is_done() -> None:
    with running("redis", "--appendonly", "yes") as server, Broker(url(server), vhost="v") as broker:
        with server.client() as client:
            if tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) >= (7, 2):
                pytest.skip("this Redis has WAITAOF")
        broker.declare_queue("q")
        with pytest.raises(ServerRefused, match="WAITAOF"):
            broker.publish(b"1", routing_key="q", confirm="synced")
        assert messages(broker, "q") == []


def test_a_user_who_may_not_wait_is_told_why() -> None:
    with running("redis") as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-wait")
        with Broker(url(server), vhost="v") as broker:
            broker.declare_queue("q")
            with pytest.raises(Unconfirmed, match="would not wait") as caught:
                broker.publish(b"1", routing_key="q", confirm="replicated")
            assert caught.value.counts == [1]
