"""The crash table of docs/architecture.md: the rows that no other test shows, a process or its connection first."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from rexchange import Broker, Message, scripts
from rexchange.errors import ResourceLocked
from rexchange.testing import drain, wait_until
from tests.chaos.conftest import SHORT, SHORT_S, Make
from tests.chaos.doomed import GROUP, Doomed
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KINDS, Server, running
from tests.chaos.shifted import HOUR_MS, Keyspace
from tests.chaos.workers import crew

Doom = Callable[..., Doomed]


def sha(script: str) -> bytes:
    return scripts.load(script).sha.encode()


@pytest.fixture
def doom(server: Server, vhost: str) -> Iterator[Doom]:
    """Start processes to be killed; none outlives the test."""
    made: list[Doomed] = []

    def start(role: str, url: str | None = None, **job: Any) -> Doomed:
        made.append(Doomed(role, url or server.url, vhost, **job))
        return made[-1].told("ready")

    yield start
    for each in made:
        each.end()


@pytest.fixture
def space(outside: redis.Redis, vhost: str) -> Keyspace:
    return Keyspace(outside, vhost)


def fill(broker: Broker, queue: str, count: int) -> list[bytes]:
    broker.declare_queue(queue)
    bodies = [b"%d" % i for i in range(count)]
    for first in range(0, count, 1000):
        broker.publish_many([Message(body, routing_key=queue) for body in bodies[first : first + 1000]])
    return bodies


# --- publishers


def test_a_publisher_killed_before_its_call_arrived_wrote_nothing(
    make: Make, proxy: Proxy, doom: Doom, space: Keyspace
) -> None:
    broker = make()
    broker.bind(broker.declare_queue("q"), "amq.fanout")
    victim = doom("publish", proxy.url())
    lanes = space.lanes()
    lost = proxy.lie(sha("publish"), b"", 100)  # the server never sees it, and no answer comes
    victim.go()
    wait_until(lambda: lost.done)
    victim.kill()
    assert space.length("q") == 0
    assert space.lanes() == lanes
    assert broker.publish(b"x", exchange="amq.fanout") == 1


def test_a_publisher_killed_after_its_call_was_sent_leaves_the_whole_group(
    make: Make, proxy: Proxy, doom: Doom, space: Keyspace
) -> None:
    broker = make()
    for name in ("q", "r"):
        broker.bind(broker.declare_queue(name), "amq.fanout")
    victim = doom("publish", proxy.url())
    proxy.hold()
    victim.go()
    wait_until(lambda: space.length("r"))
    victim.kill()
    assert [space.length(name) for name in ("q", "r")] == [GROUP, GROUP]
    assert len(space.lanes()) == 1
    assert broker.reap().lanes == 0
    space.age_lanes(HOUR_MS + 1)
    assert broker.reap().lanes == 1
    assert space.lanes() == {}


def test_a_publisher_killed_at_any_moment_leaves_whole_groups(
    make: Make, server: Server, space: Keyspace, tmp_path: Path
) -> None:
    make().declare_queue("q")
    with crew(tmp_path, server.url, space.vhost, "q", **SHORT_S) as workers:
        victim = workers.start("publish", count=1_000_000, batch=20).ready()
        wait_until(lambda: len(victim.lines("sent")) > 100)
        victim.kill()
        sent, stored = len(workers.sent()), space.length("q")
    assert stored % 20 == 0
    # The last group may be there without its confirm, and confirmed without a line in the log.
    assert sent <= stored <= sent + 40


# --- consumers


def test_what_a_killed_auto_ack_consumer_had_read_is_gone(make: Make, doom: Doom, space: Keyspace) -> None:
    broker = make()
    bodies = fill(broker, "q", 10)
    doom("hold", queue="q", prefetch=4, count=1, auto_ack=True).kill()
    space.expire_sessions()
    reaped = broker.reap()
    assert (reaped.sessions, reaped.given_back) == (1, 0)
    left = drain(broker, "q")
    assert [each.body for each in left] == bodies[4:]
    assert not any(each.redelivered for each in left)


def test_after_all_consumers_died_the_next_process_repairs(make: Make, doom: Doom, space: Keyspace) -> None:
    """An hour goes by, by shifting what is stored: one holder's ack timeout ends meanwhile, the other's does not."""
    broker = make(session_timeout=timedelta(seconds=0.6), heartbeat=timedelta(seconds=0.2))
    fill(broker, "q", 3)
    fill(broker, "r", 3)
    doom("hold", queue="q", prefetch=3, count=3).kill()
    doom("hold", queue="r", prefetch=3, count=3, ack_timeout=7 * 86_400).kill()
    assert space.unacked("q") == space.unacked("r") == 3
    space.clock_jumps(HOUR_MS)
    first = broker.reap()
    assert (first.sessions, first.given_back) == (0, 3)
    assert (space.unacked("q"), space.unacked("r")) == (0, 3)
    assert space.shortest_life_ms() > 0
    later = broker.reap(wait=1)
    assert (later.sessions, later.given_back) == (2, 3)
    for name in ("q", "r"):
        assert [(each.body, each.redelivered) for each in drain(broker, name)] == [(b"%d" % i, True) for i in range(3)]


def test_the_exclusive_queue_of_a_killed_owner_is_deleted(make: Make, doom: Doom) -> None:
    broker = make()
    broker.declare_queue("other")
    owner = doom("exclusive", settings=SHORT_S)
    with broker.consume("other"):  # it has a session, so it runs the reaper
        owner.kill()
        start = time.monotonic()
        with pytest.raises(ResourceLocked):
            broker.get("mine")
        assert broker.publish(b"x", exchange="amq.fanout") == 1
        wait_until(lambda: [info.queue.name for info in broker.queues()] == ["other"])
        assert time.monotonic() - start < SHORT_S["session_timeout"] + 2
        assert broker.publish(b"x", exchange="amq.fanout") == 0
    assert bound_to(broker, "amq.fanout") == set()


def test_what_a_killed_reaper_left_the_next_one_finishes(make: Make, proxy: Proxy, doom: Doom, space: Keyspace) -> None:
    broker = make()
    bodies = fill(broker, "q", 450)
    doom("hold", queue="q", prefetch=450, count=450).kill()
    reaper = doom("reap", proxy.url())
    space.expire_sessions()
    proxy.hold()
    reaper.go()
    wait_until(lambda: space.unacked("q") < 450)
    reaper.kill()
    assert space.unacked("q") == 350
    assert len(space.sessions()) == 1
    rest = broker.reap()
    assert (rest.sessions, rest.given_back) == (1, 350)
    assert space.sessions() == {}
    assert [(each.body, each.redelivered) for each in drain(broker, "q")] == [(body, True) for body in bodies]


# --- long operations in pages


def test_a_queues_deletion_cut_short_is_finished_by_the_next(make: Make, proxy: Proxy, doom: Doom) -> None:
    broker = make()
    fill(broker, "q", 3)
    broker.declare_exchange("e", "direct")
    for i in range(450):
        broker.bind("q", "e", f"{i}")
    victim = doom("delete_queue", proxy.url(), name="q")
    proxy.hold()
    victim.go()
    wait_until(lambda: len(bound_to(broker, "e")) < 450)
    victim.kill()
    left = bound_to(broker, "e")
    assert len(left) == 250
    for i in range(450):
        assert broker.route("e", f"{i}") == (["q"] if f"{i}" in left else [])
    assert broker.declare_queue("q", passive=True).message_count == 3
    assert broker.delete_queue("q") == 3
    assert bound_to(broker, "e") == set()


def test_an_exchanges_deletion_cut_short_is_finished_by_the_next(make: Make, proxy: Proxy, doom: Doom) -> None:
    broker = make()
    broker.declare_queue("q")
    broker.declare_exchange("e", "topic")
    for i in range(450):
        broker.bind("q", "e", f"{i}.#")
    victim = doom("delete_exchange", proxy.url(), name="e")
    proxy.hold()
    victim.go()
    wait_until(lambda: len(bound_to(broker, "e")) < 450)
    victim.kill()
    left = bound_to(broker, "e")
    assert len(left) == 250
    for i in range(450):
        assert broker.publish(b"x", exchange="e", routing_key=f"{i}.x") == int(f"{i}.#" in left)
    broker.delete_exchange("e")
    assert [each.name for each in broker.exchanges() if each.name == "e"] == []
    assert bound_to(broker, "e") == set()


def bound_to(broker: Broker, source: str) -> set[str]:
    return {each.binding_key for each in broker.bindings() if each.source == source}


def test_a_purge_cut_short_is_finished_by_the_next(make: Make, proxy: Proxy, doom: Doom, space: Keyspace) -> None:
    broker = make()
    bodies = fill(broker, "q", 2500)
    held = broker.get("q", auto_ack=False)
    assert held is not None
    victim = doom("purge", proxy.url(), name="q")
    proxy.hold()
    victim.go()
    wait_until(lambda: space.length("q") < 2500)
    victim.kill()
    assert space.length("q") == 1500
    assert broker.declare_queue("q", passive=True).message_count == 1499
    assert broker.purge("q") == 1499
    held.nack()
    assert [each.body for each in drain(broker, "q")] == bodies[:1]


# --- replies of auto_ack


def test_an_auto_ack_consumer_whose_settles_get_lost_shows_each_message_once(
    make: Make, proxy: Proxy, space: Keyspace
) -> None:
    bodies = fill(make(), "q", 100)
    lost = proxy.cut(sha("settle"), 4, every=2)
    seen: Counter[bytes] = Counter()
    with make(proxy.url()).consume("q", prefetch=10, timeout=0.5) as consumer:
        for delivery in consumer:
            assert not delivery.redelivered
            seen[delivery.body] += 1
    assert lost.done == 4
    assert seen == Counter(bodies)
    assert space.length("q") == 0


@pytest.mark.parametrize("written", [True, False])
def test_auto_ack_does_not_double_what_it_writes_back(
    make: Make,
    proxy: Proxy,
    outside: redis.Redis,
    space: Keyspace,
    caplog: pytest.LogCaptureFixture,
    written: bool,
) -> None:
    outside.script_load(scripts.load("restore").text)  # or the lost reply would be that it is not known
    bodies = fill(make(), "q", 10)
    broker = make(proxy.url(), socket_timeout=timedelta(seconds=0.3))
    with caplog.at_level(logging.WARNING, "rexchange.consume"):
        with broker.consume("q", prefetch=10) as consumer:
            assert next(consumer).body == bodies[0]
            assert space.length("q") == 0
            lost = proxy.cut(sha("restore")) if written else proxy.lie(sha("restore"), b"", 1)
        assert lost.done == 1
    assert "could not give back" in caplog.text
    assert [each.body for each in drain(make(), "q")] == (bodies[1:] if written else [])


# --- Redis


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, with AOF."""
    with running(request.param) as made:
        yield made


def test_sessions_outlive_an_outage_longer_than_their_life(mortal: Server) -> None:
    life = 0.6
    options: dict[str, Any] = {**SHORT, "session_timeout": timedelta(seconds=life), "heartbeat": timedelta(seconds=0.2)}
    with (
        Broker(mortal.url, vhost="v", **options) as broker,
        Broker(mortal.url, vhost="v", **options) as other,
        mortal.client() as client,
    ):
        fill(broker, "q", 2)
        fill(broker, "r", 1)
        got = other.get("r", auto_ack=False)
        assert got is not None
        with broker.consume("q", auto_ack=False, prefetch=1) as consumer:
            held = next(consumer)
            before = set(Keyspace(client, "v").sessions())
            assert len(before) == 2
            mortal.kill()
            back = time.monotonic() + 2 * life
            wait_until(lambda: time.monotonic() > back)  # this long it is away
            mortal.start()
            with mortal.client() as again:
                space = Keyspace(again, "v")
                wait_until(lambda: space.shortest_life_ms() > 0)
                assert set(space.sessions()) == before
            held.ack(wait=True)
            got.ack()
            second = next(consumer)
            assert (second.body, second.redelivered) == (b"1", False)
            second.ack(wait=True)
        assert drain(broker, "q") == []


class Front(Proxy):
    """A name that clients use, which leads to the master of the day."""

    def lead_to(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self.cut_all()


@pytest.mark.timeout(60)
def test_a_replica_without_the_last_writes_has_lost_them() -> None:
    """The replica's line lags; then the master dies and the replica is promoted: confirmed messages are gone."""
    with (
        running("redis") as master,
        Proxy(master.port) as line,
        Front(master.port) as front,
        running("redis", "--replicaof", "127.0.0.1", str(line.port)) as replica,
        replica.client() as client,
        Broker(front.url(), vhost="v", **SHORT) as broker,
    ):
        wait_until(lambda: client.info("replication").get("master_link_status") == "up", timeout=15)
        fill(broker, "q", 2)
        # Not WAIT: on a connection that has written nothing it waits for nothing.
        wait_until(lambda: Keyspace(client, "v").length("q") == 2)
        line.hold()
        assert broker.publish(b"lost", routing_key="q") == 1
        master.kill()
        line.refuse()
        client.replicaof("NO", "ONE")
        front.lead_to(replica.port)
        assert broker.publish(b"after", routing_key="q") == 1
        assert [each.body for each in drain(broker, "q")] == [b"0", b"1", b"after"]
