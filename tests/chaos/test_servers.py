"""What a server can do to its clients: die and come back, forget scripts, load, refuse, stall, fill up, lose all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from rexchange import AsyncBroker, Broker, Message
from rexchange.errors import BrokerConnectionError, PublishRefused, TopologyLost
from rexchange.testing import messages
from tests.chaos.conftest import SHORT, SHORT_S, Make
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KINDS, Server, binary, free_port, note, running, until
from tests.chaos.workers import Crew, crew, missing


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, with AOF."""
    with running(request.param) as made:
        yield made


def drained(server: Server, vhost: str) -> bool:
    with server.client() as client:
        try:
            return bool(client.xlen(f"rx:{{{vhost}}}:stream:q") == 0)
        except redis.RedisError:
            return False


def load(workers: Crew, server: Server, trouble: Callable[[], None], *, count: int = 3000) -> None:
    """Three consumers and two publishers at work while `trouble` runs; all confirmed messages arrive."""
    with Broker(server.url, vhost="v", **SHORT) as broker:
        broker.declare_queue("q")
    consumers = [workers.start(prefetch=50, work=0.0005) for _ in range(3)]
    for worker in consumers:
        worker.ready()
    publishers = [workers.start("publish", count=count, batch=5) for _ in range(2)]
    for worker in publishers:
        worker.ready()
    trouble()
    for worker in publishers:
        assert worker.process.wait(40) == 0
    assert len(workers.sent()) == 2 * count
    until(lambda: drained(server, "v"), 30, "all of them acked")
    assert missing(workers.sent(), workers.handled()) == set()
    # Nobody went deaf: each consumer still gets messages. A prefetch of 1 a read spreads them.
    before = [len(worker.got()) for worker in consumers]
    with Broker(server.url, vhost="v", **SHORT) as broker:

        def all_heard() -> bool:
            broker.publish(b"roll-call", routing_key="q")
            return all(len(worker.got()) > was for worker, was in zip(consumers, before, strict=True))

        until(all_heard, 10, "each consumer's next delivery")
    for worker in consumers:
        assert worker.end() == 0


def doubles(workers: Crew) -> int:
    return sum(times > 1 for body, times in workers.handled().items() if body != "roll-call")


@pytest.mark.timeout(90)
def test_kill_9_and_restart_under_load(mortal: Server, tmp_path: Path) -> None:
    with crew(tmp_path, mortal.url, "v", "q", **{**SHORT_S, "retry_timeout": 20.0}) as workers:
        recovery: list[float] = []

        def trouble() -> None:
            for _ in range(2):
                seen = sum(workers.handled().values())
                until(lambda seen=seen: sum(workers.handled().values()) > seen + 200, 15, "work")  # type: ignore[misc]  # of a default
                mortal.kill()
                mortal.start()
                start = time.monotonic()
                seen = sum(workers.handled().values())
                until(lambda seen=seen: sum(workers.handled().values()) > seen, 15, "work again")  # type: ignore[misc]  # of a default
                recovery.append(time.monotonic() - start)

        load(workers, mortal, trouble)
        # Nothing comes twice but what was read and not yet acked at a kill: at most what three consumers held, twice.
        note(f"{mortal.kind}: 2 restarts, back after {max(recovery):.2f} s at most, doubled {doubles(workers)}")
        assert doubles(workers) <= 2 * 3 * 50
        redelivered = {got.body for worker in workers.workers for got in worker.got() if got.redelivered}
        twice = {body for body, times in workers.handled().items() if times > 1 and body != "roll-call"}
        assert twice <= redelivered


@pytest.mark.timeout(60)
async def test_kill_9_and_restart_under_async_load(mortal: Server) -> None:
    """Ten consumers and ten publishers in one event loop, half of them over two queues."""
    handled: Counter[bytes] = Counter()
    again: set[bytes] = set()
    sent: set[bytes] = set()
    stop = asyncio.Event()
    async with AsyncBroker(mortal.url, vhost="v", **{**SHORT, "retry_timeout": timedelta(seconds=20)}) as broker:
        for queue in "qr":
            await broker.declare_queue(queue)

        async def publish(name: int) -> None:
            i = 0
            while not stop.is_set():
                body = b"%d-%d" % (name, i)
                i += 1
                await broker.publish(body, routing_key="qr"[i % 2])
                sent.add(body)
                await asyncio.sleep(0.002)

        async def consume(queues: list[str]) -> None:
            async with broker.consume(queues, auto_ack=False, prefetch=20) as consumer:
                async for delivery in consumer:
                    handled[delivery.body] += 1
                    if delivery.redelivered:
                        again.add(delivery.body)
                    await delivery.ack()

        async def more() -> None:
            was = sum(handled.values())
            await wait(lambda: sum(handled.values()) > was + 300)

        consumers = [asyncio.ensure_future(consume(["q", "r"] if n % 2 else ["qr"[n % 4 // 2]])) for n in range(10)]
        publishers = [asyncio.ensure_future(publish(n)) for n in range(10)]
        for _ in range(2):
            await more()
            mortal.kill()
            await asyncio.to_thread(mortal.start)
        await more()
        stop.set()
        async with asyncio.timeout(25):
            await asyncio.gather(*publishers)
        await wait(lambda: sent <= set(handled))
        assert not any(task.done() for task in consumers)
        for task in consumers:
            task.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
    twice = {body for body, times in handled.items() if times > 1}
    note(f"{mortal.kind}, asyncio: {len(sent)} sent, lost 0, doubled {len(twice)}")
    assert twice <= again


async def wait(done: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("mortal", ["redis"], indirect=True)
@pytest.mark.parametrize("what", ["script flush", "client kill", "busy", "readonly"])
def test_trouble_under_load(mortal: Server, tmp_path: Path, what: str) -> None:
    slow = "local start = redis.call('TIME')[1]; while redis.call('TIME')[1] - start < 2 do end"

    def trouble() -> None:
        with mortal.client() as client:
            if what == "busy":
                client.config_set("busy-reply-threshold", 50)
            for _ in range({"busy": 1, "readonly": 2}.get(what, 20)):
                if what == "script flush":
                    client.script_flush()
                elif what == "client kill":
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                elif what == "busy":
                    client.eval(slow, 0)
                else:
                    client.replicaof("127.0.0.1", str(free_port()))
                    with pytest.raises(redis.ResponseError):
                        client.set("x", 1)
                    threading.Event().wait(0.5)
                    client.replicaof("NO", "ONE")
                threading.Event().wait(0.02)

    with crew(tmp_path, mortal.url, "v", "q", **{**SHORT_S, "session_timeout": 6.0}) as workers:
        load(workers, mortal, trouble, count=1500)
        note(f"{what}: doubled {doubles(workers)}")
        # A cut connection loses what was read and not acked: read by nobody, or given back with the old name.
        allowed = 0 if what in ("script flush", "busy") else 300
        assert doubles(workers) <= allowed


def test_loading_is_waited_for(make: Make, proxy: Proxy) -> None:
    """A read, a settle and a publish that meet LOADING, MASTERDOWN, BUSY or READONLY come again."""
    feeder = make()
    feeder.declare_queue("q")
    feeder.publish_many([Message(b"%d" % i, routing_key="q") for i in range(60)])
    broker = make(proxy.url())
    broker.open()
    handled: Counter[bytes] = Counter()
    errors = (
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    )
    with broker.consume("q", auto_ack=False, prefetch=10, timeout=1) as consumer:
        for delivery in consumer:
            handled[delivery.body] += 1
            if len(handled) % 10 == 5 and len(handled) // 10 < len(errors):
                proxy.lie(b"COUNT", errors[len(handled) // 10])
                proxy.lie(b"EVALSHA", errors[len(handled) // 10])
            delivery.ack()
    assert len(handled) == 60
    assert set(handled.values()) == {1}


# --- memory


def test_a_full_server_refuses_also_where_the_vhost_has_a_limit_or_a_key_is_given(mortal: Server) -> None:
    options: dict[str, Any] = {**SHORT, "vhost": "v"}
    key: dict[str, Any] = {"dedup_key": "k", "dedup_window": timedelta(milliseconds=1)}
    with Broker(mortal.url, **options) as broker, mortal.client() as client:
        broker.declare_queue("q")
        broker.set_vhost_limit(1000)
        broker.publish(b"1", routing_key="nowhere", **key)
        for _ in full(client):
            for group in ([{"routing_key": "q"}], [{"routing_key": "nowhere", **key}, {"routing_key": "q"}]):
                with pytest.raises(PublishRefused, match="memory is full"):
                    broker.publish_many([Message(b"2", **each) for each in group])
            with pytest.raises(PublishRefused, match="memory is full"), broker.transaction() as tx:
                tx.publish(b"2", routing_key="q")
            assert broker.vhost_limit().messages == 1000
        assert messages(broker, "q") == []


def test_a_publisher_may_wait_until_there_is_memory(mortal: Server) -> None:
    options: dict[str, Any] = {**SHORT, "vhost": "v"}
    with Broker(mortal.url, **options) as broker, mortal.client() as client, ThreadPoolExecutor() as pool:
        broker.declare_queue("q")
        for _ in full(client):
            with pytest.raises(PublishRefused, match="memory is full"):
                broker.publish(b"1", routing_key="q", wait=0.05)
            publishing = pool.submit(broker.publish, b"2", routing_key="q", wait=20)
            until(lambda: broker.blocked is not None, 5, "waiting")
            assert broker.blocked is not None
            assert broker.blocked.kind == "memory"
        assert publishing.result(10) == 1
        assert [message.body for message in messages(broker, "q")] == [b"2"]


def full(client: redis.Redis) -> Iterator[None]:
    """Memory is full for the length of the iteration."""
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)


@pytest.mark.parametrize("managed", [False, True])
def test_a_full_server_refuses_publishes_and_lets_consumers_work(mortal: Server, managed: bool) -> None:
    options: dict[str, Any] = {**SHORT, "vhost": "v"}
    with Broker(mortal.url, **options) as broker, Broker(mortal.url, **options) as late, mortal.client() as client:
        names = [f"q{i}" for i in range(5)]
        for name in names:
            broker.declare_queue(name)
            broker.bind(name, "amq.fanout")
        broker.publish_many([Message(b"%d" % i, exchange="amq.fanout") for i in range(40)])
        queues = ["q0", "q1"] if managed else "q0"
        with broker.consume(queues, auto_ack=False, prefetch=10, ack_timeout=timedelta(seconds=30)) as consumer:
            first = next(consumer)
            for _ in full(client):
                with pytest.raises(PublishRefused, match="memory is full"):
                    broker.publish_many([Message(b"no", exchange="amq.fanout") for _ in range(20)])
                assert {client.xlen(f"rx:{{v}}:stream:{name}") for name in names} == {40}
                first.ack(wait=True)
                next(consumer).nack(wait=True)
                again = next(delivery for delivery in consumer if delivery.redelivered)
                again.extend()
                again.ack(wait=True)
                # A new consumer registers, gets, and goes; get works; a hung session is reaped.
                with late.consume("q2", auto_ack=False, timeout=0.2) as other:
                    count = 0
                    for delivery in other:
                        delivery.ack()
                        count += 1
                    assert count == 40
                with late.consume("q3") as receiver:
                    assert next(receiver).body == b"0"  # the others were acked on receipt, and come back
                assert client.xlen("rx:{v}:stream:q3") == 39
                got = late.get("q4", auto_ack=False)
                assert got is not None
                got.nack()
                # Longer than a session's life: heartbeats work, or else a later ack is stale.
                held = next(consumer)
                threading.Event().wait(SHORT_S["session_timeout"] + 0.7)
                held.ack(wait=True)
                assert late.reap().sessions == 0
            assert broker.publish(b"yes", exchange="amq.fanout") == 5
        assert broker.declare_queue("q0", passive=True).consumer_count == 0


def test_a_full_server_dead_letters(mortal: Server) -> None:
    """Each cause of death: an error of memory in the middle of a settle would lose the message or double it."""
    causes: dict[str, dict[str, Any]] = {
        "rejected": {},
        "expired": {"message_ttl": timedelta(milliseconds=300)},
        "delivery_limit": {"delivery_limit": 0},
    }
    with Broker(mortal.url, vhost="v", **SHORT) as broker, mortal.client() as client:
        broker.declare_queue("dead")
        for reason, options in causes.items():
            broker.declare_queue(reason, dead_letter_exchange="", dead_letter_routing_key="dead", **options)
            broker.publish_many([Message(b"x" * 1000, routing_key=reason) for _ in range(50)])
        for _ in full(client):
            with broker.consume("rejected", auto_ack=False, prefetch=50, timeout=0.2) as consumer:
                for delivery in consumer:
                    delivery.reject(requeue=False)
            with broker.consume("delivery_limit", auto_ack=False, prefetch=50, timeout=0.2) as consumer:
                for delivery in consumer:
                    delivery.nack(requeue=True)

            def all_died() -> bool:
                broker.reap()
                return broker.declare_queue("dead", passive=True).message_count == 150

            until(all_died, 10, "150 deaths")
            with broker.consume("dead", timeout=0.2) as consumer:
                found = Counter(str(delivery.headers["x-first-death-reason"]) for delivery in consumer)
            assert found == dict.fromkeys(causes, 50)


def test_a_full_server_moves_and_deletes_and_refuses_to_copy(mortal: Server) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "ranked": {"max_priority": 3},
        "timed": {"message_ttl": timedelta(minutes=1)},
        "bounded": {"max_length_bytes": 1_000_000},
        "log": {"queue_type": "stream"},
    }
    with Broker(mortal.url, vhost="v", **SHORT) as broker, mortal.client() as client:
        for name, options in kinds.items():
            broker.declare_queue(name, **options)
        bodies = [b"%d" % i for i in range(120)]
        broker.publish_many([Message(body, routing_key="plain") for body in bodies])
        (first,) = broker.browse("plain", limit=1)
        for _ in full(client):
            for source, destination in pairwise([*kinds][:4]):
                with pytest.raises(PublishRefused, match="memory is full"):
                    broker.copy(source, destination)
                assert broker.move(source, destination) == 120
                assert [each.body for each in broker.browse(destination, limit=500)] == bodies
            assert broker.move("bounded", "log", limit=20) == 20
            (second,) = broker.browse("bounded", limit=1)
            assert broker.delete_message("bounded", second.id)
            assert not broker.delete_message("bounded", first.id)
            assert len(broker.browse("bounded", limit=500)) == 99
        assert [each.body for each in broker.browse("log", limit=500)] == bodies[:20]


# --- everything lost


def test_flushall_is_told(make: Make, outside: redis.Redis) -> None:
    broker = make()
    broker.declare_queue("q")
    caught: list[TopologyLost] = []

    def consume() -> None:
        try:
            next(broker.consume("q", auto_ack=False))
        except TopologyLost as error:
            caught.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    until(lambda: int(outside.info("clients")["blocked_clients"]) > 0, 5, "a blocked read")
    outside.flushall()
    thread.join(5)
    assert len(caught) == 1
    assert caught[0].reply_code == 541
    with pytest.raises(TopologyLost, match="FLUSHALL"):
        broker.publish(b"x", routing_key="q")
    with pytest.raises(TopologyLost):
        broker.get("q")


@pytest.mark.parametrize("queues", [["q"], ["q", "r"]])
def test_flushall_is_survived_with_redeclare(make: Make, outside: redis.Redis, queues: list[str]) -> None:
    broker = make(redeclare=True)
    for queue in queues:
        broker.declare_queue(queue)
        broker.bind(queue, broker.declare_exchange("e", "topic"), "k.#")
    publisher = make(redeclare=True)
    publisher.declare_exchange("e", "topic")
    seen: list[bytes] = []

    def consume() -> None:
        with broker.consume(queues, auto_ack=False, prefetch=3) as consumer:
            for delivery in consumer:
                seen.append(delivery.body)
                delivery.ack()
                if delivery.body == b"end":
                    return

    thread = threading.Thread(target=consume)
    thread.start()
    for i in range(5):
        until(lambda: int(outside.info("clients")["blocked_clients"]) > 0, 5, "a blocked read")
        assert broker.publish(b"%d" % i, exchange="e", routing_key="k.x") == len(queues)
        until(lambda i=i: seen.count(b"%d" % i) == len(queues), 5, "the message")  # type: ignore[misc]  # of a default
        outside.flushall()
    until(lambda: publisher.publish(b"end", exchange="e", routing_key="k.x") > 0, 5, "the bindings again")
    thread.join(5)
    assert not thread.is_alive()


# --- Sentinel


@pytest.mark.timeout(60)
def test_a_failover_by_sentinel(tmp_path: Path) -> None:
    with running("redis") as master, running("redis", "--replicaof", "127.0.0.1", str(master.port)) as replica:
        import subprocess  # noqa: PLC0415 - only here

        port = free_port()
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mine 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds mine 500\nsentinel failover-timeout mine 3000\n"
        )
        process = subprocess.Popen(
            [binary("redis"), str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with replica.client() as client:
                until(lambda: client.info("replication").get("master_link_status") == "up", 10, "the first sync")
            with redis.Redis(port=port, protocol=2) as sentinel:
                until(lambda: _replicas(sentinel) == 1, 15, "the Sentinel's view")
                fail_over(master, replica, f"redis+sentinel://127.0.0.1:{port}/mine/0")
        finally:
            process.kill()
            process.wait(10)


def _replicas(sentinel: redis.Redis) -> int:
    try:
        return len(sentinel.sentinel_slaves("mine"))
    except redis.RedisError:
        return 0


def fail_over(master: Server, replica: Server, url: str) -> None:
    with Broker(url, vhost="v", **SHORT) as broker:
        broker.declare_queue("q")
        consumer = broker.consume("q", auto_ack=False, timeout=15)
        broker.publish_many([Message(b"%d" % i, routing_key="q") for i in range(20)])
        seen = {next(consumer).body for _ in range(10)}
        with master.client() as client:
            client.set("marker", 1)  # WAIT is about the connection's own writes; without one it would wait for nothing
            assert client.wait(1, 5000) == 1
        master.kill()
        start = time.monotonic()
        assert broker.publish(b"after", routing_key="q", timeout=20) == 1
        took = time.monotonic() - start
        for delivery in consumer:
            seen.add(delivery.body)
            delivery.ack()
            if delivery.body == b"after":
                break
        note(f"published {took:.1f} s after the master's death")
        assert seen == {b"after", *(b"%d" % i for i in range(20))}
        with replica.client() as client:
            assert client.info("replication")["role"] == "master"


def test_a_server_that_stays_away_is_reported(mortal: Server) -> None:
    with Broker(mortal.url, vhost="v", **{**SHORT, "retry_timeout": timedelta(seconds=0.5)}) as broker:
        broker.declare_queue("q")
        mortal.kill()
        with pytest.raises(BrokerConnectionError, match=str(mortal.port)):
            broker.publish(b"x", routing_key="q")
        mortal.start()
        assert broker.publish(b"x", routing_key="q") == 1
