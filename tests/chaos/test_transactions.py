"""Transactions whose client or server is killed at each step, or whose server is full: all of it, or nothing."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from rexchange import Broker, Delivery, Message, Transaction, scripts
from rexchange.errors import CommandFailed, PublishRefused
from rexchange.testing import wait_until
from tests.chaos.conftest import SHORT, SHORT_S, Make
from tests.chaos.doomed import GROUP, Doomed
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KINDS, Server, free_port, note, running, until
from tests.chaos.workers import crew

TRANSACTION = scripts.load("transaction").sha.encode()


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, with AOF."""
    with running(request.param) as made:
        yield made


def events(server: Server, queue: str = "events") -> Counter[str]:
    """What was published, and how often."""
    with server.client() as client:
        return Counter(fields[b"b"].decode() for _, fields in client.xrange(f"rx:{{v}}:stream:{queue}"))


def values(server: Server) -> set[str]:
    """What lies in the cache."""
    with server.client() as client:
        return {key.decode().removeprefix("value:") for key in client.scan_iter("value:*", count=1000)}


def total(server: Server) -> int:
    """How many transactions were done; -1 while the server cannot be asked."""
    try:
        with server.client() as client:
            return int(client.get("total") or 0)
    except redis.RedisError:
        return -1


def never_one_without_the_other(server: Server) -> Counter[str]:
    """Each value has its event, each event its value, and each transaction was done once."""
    told, kept = events(server), values(server)
    assert set(told) == kept
    assert set(told.values()) <= {1}
    assert total(server) == len(kept)
    return told


# --- a client that is killed


@pytest.fixture
def doom(server: Server, vhost: str) -> Iterator[Callable[..., Doomed]]:
    """Start a process to be killed, which has a job in hand."""
    made: list[Doomed] = []

    def start(url: str, **job: Any) -> Doomed:
        made.append(Doomed("transact", url or server.url, vhost, **job))
        return made[-1].told("ready")

    yield start
    for each in made:
        each.end()


def lengths(outside: redis.Redis, vhost: str) -> list[int]:
    return [int(outside.xlen(f"rx:{{{vhost}}}:stream:{name}")) for name in ("work", "a", "b")]


def prepared(broker: Broker) -> None:
    """A job in `work`, and two queues that the events go to."""
    for name in ("a", "b"):
        broker.bind(broker.declare_queue(name), "amq.fanout")
    broker.declare_queue("work")
    broker.publish(b"job", routing_key="work")


def test_a_client_killed_before_its_transaction_arrived_did_nothing(
    make: Make, proxy: Proxy, doom: Callable[..., Doomed], outside: redis.Redis, vhost: str
) -> None:
    broker = make()
    prepared(broker)
    victim = doom(proxy.url(), queue="work", key=vhost)
    lost = proxy.lie(TRANSACTION, b"", 100)  # the server never sees it, and no answer comes
    victim.go()
    wait_until(lambda: lost.done)
    victim.kill()
    assert outside.get(vhost) is None
    assert lengths(outside, vhost) == [1, 0, 0]


def test_a_client_killed_after_its_transaction_was_sent_did_all(
    make: Make, proxy: Proxy, doom: Callable[..., Doomed], outside: redis.Redis, vhost: str
) -> None:
    broker = make()
    prepared(broker)
    victim = doom(proxy.url(), queue="work", key=vhost)
    proxy.hold()
    victim.go()
    wait_until(lambda: outside.get(vhost))
    victim.kill()
    assert outside.get(vhost) == b"1"
    assert lengths(outside, vhost) == [0, GROUP, GROUP]


# --- a server that is killed


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_killed_around_a_transaction_does_it_once(mortal: Server, when: str) -> None:
    """`before`: it never saw it; `after`: it has done it, and nobody has read its answer."""
    with Proxy(mortal.port) as proxy, Broker(proxy.url(), vhost="v", **SHORT) as broker, mortal.client() as client:
        prepared(broker)
        job = broker.get("work", auto_ack=False)
        assert job is not None
        if when == "before":
            lost = proxy.lie(TRANSACTION, b"")
        else:
            with broker.transaction() as tx:
                tx.redis.ping()
            proxy.hold()
        done: list[Transaction] = []

        def work() -> None:
            with broker.transaction() as tx:
                number = tx.redis.incr("n")
                tx.publish(b"event", exchange="amq.fanout")
                tx.ack(job)
            assert number.value == 1
            done.append(tx)

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: lost.done if when == "before" else client.get("n"), 10, "the transaction")
        mortal.kill()
        mortal.start()
        proxy.release()
        thread.join(15)
        assert len(done) == 1
        assert (done[0].results, done[0].published) == ([1], [2])
        assert client.get("n") == b"1"
        assert lengths(client, "v") == [0, 1, 1]


def restarted(server: Server) -> None:
    """Kill it with -9 and start it again, and mend its AOF as docs/redis.md says.

    A kill can cut a write to the AOF short. Where that is inside of a step, Redis 7.0 leaves its beginning in the file,
    and the restart after the next would do that half.
    """
    server.kill()
    server.start()
    if "short read" in (server.folder / "server.log").read_text():
        mended(server)


def mended(server: Server) -> None:
    """Rewrite the AOF."""
    with server.client() as client:
        client.bgrewriteaof()
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 10, "the rewrite")


def test_a_step_of_which_the_file_has_half_is_done_once(mortal: Server) -> None:
    """The server is killed while it writes the step; the client does it again; and the next restart finds it once."""
    with Broker(mortal.url, vhost="v", **SHORT) as broker:
        broker.declare_queue("events")
        write(broker, "first")
        write(broker, "second")
        mortal.kill()
        (file,) = (mortal.folder / "appendonlydir").glob("*.incr.aof")
        whole = file.read_bytes()
        file.write_bytes(whole[: whole.rindex(b"XADD") + 200])
        mortal.start()
        assert set(never_one_without_the_other(mortal)) == {"first"}
        mended(mortal)
        write(broker, "second")
        mortal.kill()
        mortal.start()
        assert set(never_one_without_the_other(mortal)) == {"first", "second"}


def write(broker: Broker, body: str) -> None:
    """What worker.py does."""
    with broker.transaction() as tx:
        tx.redis.set(f"value:{body}", body)
        tx.redis.incr("total")
        tx.publish(body.encode(), routing_key="events")


def test_a_server_that_is_a_replica_for_a_while_does_it_once_it_is_a_master(mortal: Server) -> None:
    """The first command that writes meets READONLY inside the script: nothing was done, so it is sent again."""
    with Broker(mortal.url, vhost="v", **SHORT) as broker, mortal.client() as client:
        broker.declare_queue("events")
        client.replicaof("127.0.0.1", str(free_port()))
        thread = threading.Thread(target=write, args=(broker, "late"))
        thread.start()
        until(lambda: broker.counters.retries > 1, 10, "a second try")
        assert total(mortal) == 0
        client.replicaof("NO", "ONE")
        thread.join(15)
        assert set(never_one_without_the_other(mortal)) == {"late"}


@pytest.mark.timeout(90)
def test_8_writers_and_a_server_killed_at_random_leave_no_value_without_its_event(
    mortal: Server, tmp_path: Path
) -> None:
    chance = random.Random()
    with Broker(mortal.url, vhost="v", **SHORT) as broker:
        broker.declare_queue("events")
    with crew(tmp_path, mortal.url, "v", "events", **{**SHORT_S, "retry_timeout": 30.0}) as workers:
        writers = [workers.start("transact") for _ in range(8)]
        for writer in writers:
            writer.ready()
        for _ in range(5):
            wanted = total(mortal) + chance.randrange(20, 180)
            until(lambda wanted=wanted: total(mortal) >= wanted, 20, "work")  # type: ignore[misc]  # of a default
            restarted(mortal)
        assert [writer.end(30) for writer in writers] == [0] * 8
        told = never_one_without_the_other(mortal)
        note(f"{mortal.kind}: 8 writers, {len(told)} values with their events, 5 kills: none without the other")
        assert set(told) == workers.sent()
        assert len(told) >= 5 * 20


@pytest.mark.timeout(90)
@pytest.mark.parametrize("mortal", ["redis"], indirect=True)
def test_jobs_are_done_once_whoever_is_killed(mortal: Server, tmp_path: Path) -> None:
    """Result, event and ack of a job are one step: workers and server are killed at random, and each counts once."""
    chance = random.Random()
    jobs: set[str] = set()
    with Broker(mortal.url, vhost="v", **SHORT) as broker:
        for name in ("events", "work"):
            broker.declare_queue(name)
        with crew(tmp_path, mortal.url, "v", "events", **{**SHORT_S, "retry_timeout": 30.0}) as workers:
            for _ in range(4):
                workers.start("transact", take="work")
            for turn in range(6):
                more = {f"job-{turn}-{i}" for i in range(150)}
                jobs |= more
                wanted = total(mortal) + chance.randrange(20, 100)
                broker.publish_many([Message(body.encode(), routing_key="work") for body in more])
                until(lambda wanted=wanted: total(mortal) >= wanted, 20, "work")  # type: ignore[misc]  # of a default
                if turn % 3 == 2:
                    restarted(mortal)
                else:
                    workers.workers[turn].kill()
                    workers.start("transact", take="work")
            until(lambda: total(mortal) >= len(jobs), 40, "all jobs")
            until(lambda: not events(mortal, "work"), 10, "all acks")
            told = never_one_without_the_other(mortal)
            note(f"{mortal.kind}: {len(told)} jobs once each; 4 workers and 2 servers killed")
            assert set(told) == jobs
            assert workers.sent() <= jobs


# --- memory that is full


Step = Callable[[Transaction, Delivery], object]
STEPS: dict[str, Step] = {
    "read": lambda tx, _: tx.redis.get("there"),
    "write": lambda tx, _: tx.redis.set("new", 1),
    "delete": lambda tx, _: tx.redis.delete("there"),
    "delete nothing": lambda tx, _: tx.redis.delete("none"),
    "message": lambda tx, _: tx.publish(b"m", routing_key="a"),
    "ack": Transaction.ack,
    "nack": Transaction.nack,
}
FULL: list[tuple[list[str], type[Exception] | None]] = [
    (["read"], None),
    (["write"], CommandFailed),
    (["read", "write"], CommandFailed),
    (["read", "message"], PublishRefused),
    (["ack"], None),
    (["read", "nack"], None),
    (["message", "ack"], PublishRefused),
    (["delete", "write", "message"], None),
    (["delete nothing", "write", "message", "ack"], None),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_server_does_all_or_nothing(kind: str) -> None:
    """Redis looks at its memory at the first command that may need some, so what begins with a DEL goes through."""
    with running(kind, aof=False) as server, server.client() as client:
        for number, (what, error) in enumerate(FULL):
            with Broker(server.url, vhost=f"v{number}", **SHORT) as broker:
                prepared(broker)
                job = broker.get("work", auto_ack=False)
                assert job is not None
                client.set("there", "x")
                client.delete("new")
                client.config_set("maxmemory", 1)
                try:
                    with broker.transaction(timeout=timedelta(seconds=2)) as tx:
                        for step in what:
                            STEPS[step](tx, job)
                except (CommandFailed, PublishRefused) as raised:
                    found: Exception | None = raised
                else:
                    found = None
                client.config_set("maxmemory", 0)
                assert type(found) is (error or type(None)), what
                assert error is None or "OOM" in str(found), what
                lanes = client.hlen(f"rx:{{v{number}}}:lanes")
                assert lanes == 1, what
                if error is not None:
                    assert lengths(client, f"v{number}") == [1, 0, 0], what
                    assert client.get("there") == b"x", what
                    assert client.get("new") is None, what
                    job.ack()
                elif "message" in what:
                    assert lengths(client, f"v{number}") == [int("ack" not in what), 1, 0], what
                    assert client.get("new") == b"1", what
