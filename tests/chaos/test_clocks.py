"""Clocks that jump: a client's is patched in its process; the server's is simulated by shifting what it has stored."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import redis

from rexchange import Message
from rexchange.errors import StaleDelivery
from rexchange.testing import drain, wait_until
from tests.chaos.conftest import SHORT_S, Make
from tests.chaos.doomed import Doomed
from tests.chaos.servers import Server
from tests.chaos.shifted import HOUR_MS, Keyspace

LIFE_MS = SHORT_S["session_timeout"] * 1000


@pytest.fixture
def space(outside: redis.Redis, vhost: str) -> Keyspace:
    return Keyspace(outside, vhost)


def test_a_clients_clock_has_no_effect(make: Make, server: Server, space: Keyspace) -> None:
    """A process whose time.time() is a day off, now ahead, now behind, holds deliveries beside an honest one."""
    broker = make()
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % i, routing_key="q") for i in range(4)])
    settings = {**SHORT_S, "ack_timeout": 4 * SHORT_S["session_timeout"]}
    skewed = Doomed("hold", server.url, space.vhost, queue="q", prefetch=3, count=3, clock="jumping", settings=settings)
    try:
        skewed.told("ready")
        (first,) = space.sessions().values()
        with broker.consume("q", auto_ack=False) as honest:
            fourth = next(honest)
            # Longer than a session's life, with two reapers at work.
            wait_until(lambda: min(space.sessions().values()) > first + LIFE_MS)
            assert max(space.sessions().values()) <= space.now_ms() + LIFE_MS
            skewed.go().told("done")  # acks with wait=True: a stale one would raise
            fourth.ack(wait=True)
        assert (fourth.body, fourth.redelivered) == (b"3", False)
        assert space.length("q") == 0
    finally:
        skewed.end()


def test_a_long_jump_ahead_ends_no_session_and_gives_deliveries_back_early(make: Make, space: Keyspace) -> None:
    holder, heir = make(), make()
    holder.declare_queue("q")
    holder.publish_many([Message(b"%d" % i, routing_key="q") for i in range(3)])
    with holder.consume("q", auto_ack=False, prefetch=3) as consumer:
        late = [next(consumer) for _ in range(3)]
        with heir.consume("q", auto_ack=False, prefetch=3, timeout=5) as other:
            before = set(space.sessions())
            space.clock_jumps(HOUR_MS)
            consumer.cancel()  # or it might take them again itself
            again = [next(other) for _ in range(3)]
            assert [(each.body, each.redelivered) for each in again] == [(b"%d" % i, True) for i in range(3)]
            for delivery in late:
                with pytest.raises(StaleDelivery):
                    delivery.ack(wait=True)
            assert space.unacked("q") == 3
            for delivery in again:
                delivery.ack(wait=True)
            wait_until(lambda: space.shortest_life_ms() > 0)
            assert set(space.sessions()) == before
    assert space.length("q") == 0


def test_a_short_jump_ahead_ends_nothing(make: Make, space: Keyspace) -> None:
    """Less than half of a session's life: each has more than that left at any time."""
    holder, other = make(), make()
    holder.declare_queue("q")
    holder.publish(b"x", routing_key="q")
    with holder.consume("q", auto_ack=False) as consumer, other.consume("q", auto_ack=False):
        held = next(consumer)
        before = set(space.sessions())
        for _ in range(3):
            deadlines = space.sessions()
            space.clock_jumps(int(LIFE_MS / 2) - 50)
            # Each has renewed itself.
            wait_until(lambda was=deadlines: all(now > was.get(name, 0) for name, now in space.sessions().items()))  # type: ignore[misc]  # of a default
        assert set(space.sessions()) == before
        held.ack(wait=True)


def test_a_jump_back_delays_what_the_reaper_finds(make: Make, server: Server, space: Keyspace) -> None:
    broker = make()
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % i, routing_key="q") for i in range(3)])
    dead = Doomed("hold", server.url, space.vhost, queue="q", prefetch=2, count=2, settings=SHORT_S)
    try:
        dead.told("ready")
        dead.kill()
        space.clock_jumps(-HOUR_MS)
        end = time.monotonic() + 1.2 * SHORT_S["session_timeout"]
        with broker.consume("q", auto_ack=False, prefetch=1) as consumer:  # it runs the reaper
            third = next(consumer)
            wait_until(lambda: time.monotonic() > end)
            assert (space.unacked("q"), len(space.sessions())) == (3, 2)
            third.ack(wait=True)
        # The hour passes, but for the last half of a session's life: else all sessions would be renewed.
        space.expire_sessions()
        broker.reap()
        assert [(each.body, each.redelivered) for each in drain(broker, "q")] == [(b"0", True), (b"1", True)]
    finally:
        dead.end()


def test_a_jump_back_delays_an_ack_timeout(make: Make, space: Keyspace) -> None:
    broker = make()
    broker.declare_queue("q")
    broker.publish(b"x", routing_key="q")
    with broker.consume("q", auto_ack=False, ack_timeout=timedelta(seconds=1)) as consumer:
        held = next(consumer)
        space.clock_jumps(-HOUR_MS)
        end = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > end)
        held.ack(wait=True)  # its ack timeout is over: nobody has looked
    assert space.length("q") == 0


def test_entry_ids_rise_after_a_jump_back(make: Make, space: Keyspace) -> None:
    broker = make()
    broker.declare_queue("q")
    broker.publish(b"0", routing_key="q")
    space.clock_jumps(-HOUR_MS)
    for i in range(1, 5):
        broker.publish(b"%d" % i, routing_key="q")
    ids = space.ids("q")
    assert ids == sorted(set(ids))
    assert ids[1][0] > space.now_ms() + HOUR_MS / 2
    held = broker.get("q", auto_ack=False)
    assert held is not None
    held.nack()
    assert [each.body for each in drain(broker, "q")] == [b"%d" % i for i in range(5)]
