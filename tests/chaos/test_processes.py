"""Real consumer processes: exactly once in peace, nothing lost to kills and hangs, never more in hand than allowed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from rexchange import Broker, Message
from rexchange.errors import StaleDelivery
from tests.chaos.conftest import SHORT_S, Make
from tests.chaos.servers import Server, note, until
from tests.chaos.workers import Worker, crew, missing


def fill(broker: Broker, count: int) -> set[str]:
    broker.declare_queue("q")
    for first in range(0, count, 1000):
        last = min(first + 1000, count)
        broker.publish_many([Message(b"%d" % i, routing_key="q") for i in range(first, last)])
    return {str(i) for i in range(count)}


def pending(outside: redis.Redis, vhost: str) -> int:
    return int(outside.xpending(f"rx:{{{vhost}}}:stream:q", "g")["pending"])


def test_a_killed_consumers_deliveries_reach_another(
    make: Make, server: Server, outside: redis.Redis, vhost: str, tmp_path: Path
) -> None:
    wanted = fill(make(), 300)
    with crew(tmp_path, server.url, vhost, "q", **SHORT_S) as workers:
        victim = workers.start(prefetch=100, hang_after=20).ready()
        until(lambda: len(victim.got()) == 20, 5, "the victim's work")
        heir = workers.start(prefetch=50).ready()
        victim.kill()
        took = until(lambda: not missing(wanted, heir_and(victim, heir)), 5, "redelivery after the kill")
        assert took < SHORT_S["session_timeout"] + 2
        first = {got.body for got in victim.got()}
        again = [got for got in heir.got() if got.redelivered]
        # What the victim had in its buffer counts as handed out too: it was read, and nobody can tell what was seen.
        assert {got.body for got in again} >= {str(19)}
        assert workers.unexplained() == []
        assert first & {got.body for got in heir.got()} <= {got.body for got in again}
        until(lambda: pending(outside, vhost) == 0, 5, "the last ack")


def heir_and(*workers: Worker) -> Counter[str]:
    return Counter(got.body for worker in workers for got in worker.got())


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("server", ["redis"], indirect=True)
def test_a_killed_consumers_deliveries_reach_another_within_20_s_at_default_settings(
    make: Make, server: Server, vhost: str, tmp_path: Path
) -> None:
    fill(make(), 10)
    with crew(tmp_path, server.url, vhost, "q") as workers:
        victim = workers.start(prefetch=10, hang_after=1).ready()
        until(lambda: len(victim.got()) == 1, 5, "the victim's work")
        heir = workers.start().ready()
        victim.kill()
        took = until(lambda: len(heir.got()) == 10, 25, "redelivery after the kill")
        note(f"redelivered {took:.1f} s after kill -9")
        assert took < 20
        assert all(got.redelivered for got in heir.got())


def test_a_stopped_consumer_harms_nobody_when_it_wakes(
    make: Make, server: Server, outside: redis.Redis, vhost: str, tmp_path: Path
) -> None:
    wanted = fill(make(), 100)
    with crew(tmp_path, server.url, vhost, "q", **SHORT_S) as workers:
        sleeper = workers.start(prefetch=30, work=0.02).ready()
        until(lambda: len(sleeper.got()) >= 5, 5, "the first worker's work")
        sleeper.hang()
        heir = workers.start(prefetch=30).ready()
        took = until(lambda: not missing(wanted, workers.handled()), 6, "redelivery after the stop")
        assert took < SHORT_S["session_timeout"] + 2
        until(lambda: pending(outside, vhost) == 0, 5, "the last ack")
        sleeper.wake()
        until(lambda: sleeper.lines("stale"), 5, "the late ack found stale")
        broker = make()
        broker.publish(b"after", routing_key="q")
        until(lambda: workers.handled()["after"] == 1, 5, "a message after it woke")
        assert sleeper.end() == 0
        assert heir.end() == 0
        assert workers.unexplained() == []
        assert broker.declare_queue("q", passive=True).message_count == 0


def test_a_hung_handler_loses_its_delivery_to_another(make: Make, outside: redis.Redis, vhost: str) -> None:
    """Its heartbeat lives on, so only the ack timeout can tell; other settings are the defaults."""
    stale: list[int] = []
    default = {"heartbeat": None, "session_timeout": None, "block": None}
    one, two = make(**default), make(**default)
    one.declare_queue("q")
    timeout = timedelta(seconds=1)
    hung = one.consume("q", auto_ack=False, ack_timeout=timeout, on_stale=lambda tag, _: stale.append(tag))
    waiting = two.consume("q", auto_ack=False, ack_timeout=timeout)
    with hung, waiting:
        two.publish(b"x", routing_key="q")
        late = next(hung)
        start = time.monotonic()
        delivery = next(waiting)
        took = time.monotonic() - start
        assert 0.9 < took < 1 + 2
        assert delivery.redelivered
        assert delivery.delivery_count == 2
        with pytest.raises(StaleDelivery):
            late.ack(wait=True)
        assert pending(outside, vhost) == 1
        delivery.ack(wait=True)
    assert pending(outside, vhost) == 0
    assert stale == [late.delivery_tag]


def test_a_token_in_a_dead_hand_is_posted_again(make: Make, server: Server, vhost: str, tmp_path: Path) -> None:
    """The one consumer that was woken for a given-back entry is stopped, then dies: another gets the entry."""
    broker = make()
    broker.declare_queue("q")
    holder = broker.consume("q", auto_ack=False, prefetch=1)
    with (
        holder,
        crew(tmp_path, server.url, vhost, "q", **{**SHORT_S, "block": 30.0, "socket_timeout": 40.0}) as workers,
    ):
        broker.publish(b"x", routing_key="q")
        held = next(holder)
        first = workers.start().ready()
        second = workers.start().ready()
        wait_blocked(server, 2)
        first.hang()
        second.hang()
        held.nack(wait=True)
        second.wake()
        # Whoever of the two was woken: the first sleeps for good, the second lives.
        took = until(second.got, 6, "the given-back entry's second taker")
        assert took < SHORT_S["session_timeout"] + 2
        assert second.got()[0].redelivered


def wait_blocked(server: Server, count: int) -> None:
    with server.client() as client:
        until(lambda: int(client.info("clients")["blocked_clients"]) >= count, 5, f"{count} blocked reads")


@pytest.mark.parametrize("prefetch", [1, 7, 100])
@pytest.mark.parametrize("server", ["redis"], indirect=True)
@pytest.mark.timeout(60)
def test_eight_processes_handle_20000_messages_once_each(
    make: Make, server: Server, outside: redis.Redis, vhost: str, tmp_path: Path, prefetch: int
) -> None:
    count = 20_000
    broker = make()
    broker.declare_queue("q")
    with crew(tmp_path, server.url, vhost, "q") as workers:
        for _ in range(8):
            workers.start(prefetch=prefetch)
        for worker in workers.workers:
            worker.ready()
        most, samples, done = 0, 0, threading.Event()

        def sample() -> None:
            nonlocal most, samples
            with server.client() as client:
                while not done.wait(0.002):
                    held = client.xpending(f"rx:{{{vhost}}}:stream:q", "g")["consumers"]
                    most = max([most, *(row["pending"] for row in held if row["name"] != b"-")])
                    samples += 1

        sampler = threading.Thread(target=sample)
        sampler.start()
        start = time.monotonic()
        wanted = fill(broker, count)
        until(lambda: outside.xlen(f"rx:{{{vhost}}}:stream:q") == 0, 45, "all of them acked")
        took = time.monotonic() - start
        done.set()
        sampler.join()
        handled = workers.handled()
        assert set(handled) == wanted
        assert set(handled.values()) == {1}
        assert 0 < most <= prefetch
        assert samples > 5
        note(f"prefetch {prefetch}: {count} in {took:.1f} s, most unacked {most}, {samples} samples")
        assert sum(1 for worker in workers.workers if worker.got()) >= 6


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_eight_processes_with_kills_and_hangs_lose_nothing(
    make: Make, server: Server, outside: redis.Redis, vhost: str, tmp_path: Path
) -> None:
    count = 20_000
    choice = random.Random(8)
    broker = make()
    with crew(tmp_path, server.url, vhost, "q", **SHORT_S) as workers:
        wanted = fill(broker, count)
        for _ in range(8):
            workers.start(prefetch=choice.choice((1, 7, 100)), work=0.001)
        for worker in workers.workers:
            worker.ready()
        start = time.monotonic()
        hurt = choice.sample(workers.workers, 5)
        for sleeper in hurt[:2]:
            until(lambda s=sleeper: len(s.got()) > 10, 10, "some work")  # type: ignore[misc]  # of a default
            sleeper.hang()
        for victim in hurt[2:]:
            until(lambda v=victim: len(v.got()) > 300, 20, "some work")  # type: ignore[misc]  # of a default
            victim.kill()
        until(lambda: int(outside.hlen(f"rx:{{{vhost}}}:consumers")) == 3, 10, "the end of five sessions")
        for sleeper in hurt[:2]:
            sleeper.wake()
        until(lambda: outside.xlen(f"rx:{{{vhost}}}:stream:q") == 0, 60, "all of them acked")
        took = time.monotonic() - start
        for worker in workers.workers:
            assert worker in hurt[2:] or worker.end() == 0
        assert not missing(wanted, workers.handled())
        doubled = sum(times > 1 for times in workers.handled().values())
        acked = workers.acked()
        note(f"{count} messages, 3 kills, 2 stops, {took:.0f} s: lost 0, handed out more than once {doubled}")
        assert workers.unexplained() == []
        assert workers.after_ack() == []
        assert set(acked.values()) == {1}, "an ack that was confirmed took the message away for good"
        # What a victim had acknowledged when it was killed, and did not live to see confirmed.
        unconfirmed = wanted - set(acked)
        assert unconfirmed <= {body for victim in hurt[2:] for body in victim.lines("acking")}
        assert len(unconfirmed) <= 3 * 101
        assert pending(outside, vhost) == 0


def test_sessions_of_other_times_do_not_shorten_ours(make: Make, outside: redis.Redis, vhost: str) -> None:
    """A process with a short session timeout runs the reaper: sessions with longer ones keep theirs."""
    default = {"heartbeat": None, "session_timeout": None, "block": None}
    patient = make(**default)
    patient.declare_queue("q")
    patient.publish(b"x", routing_key="q")
    held = patient.get("q", auto_ack=False)
    assert held is not None
    outside.hset(f"rx:{{{vhost}}}:vhost", "tick", 1)  # as if nobody had ticked for long
    hasty = make(heartbeat=timedelta(seconds=0.1), session_timeout=timedelta(seconds=0.3))
    with hasty.consume("q", auto_ack=False, timeout=1.5) as consumer:
        assert list(consumer) == []
    held.ack(wait=True)


def test_what_was_given_back_is_drained_and_the_quick_path_comes_back(
    make: Make, outside: redis.Redis, vhost: str
) -> None:
    """A small prefetch before a long queue: given-back entries must not be exchanged for new ones for ever."""
    broker = make()
    fill(broker, 300)
    with broker.consume("q", auto_ack=False, prefetch=12) as one:
        held = [next(one) for _ in range(12)]
        with broker.consume("q", auto_ack=False, prefetch=1) as two:
            next(two).ack()
            held[-1].nack(multiple=True, wait=True)
            one.cancel()
            left = []
            for _ in range(60):
                next(two).ack(wait=True)
                left.append(int(outside.hget(f"rx:{{{vhost}}}:returned", "q") or 0))
    assert left[-1] == 0


@pytest.mark.parametrize("queues", [["q"], ["q", "r"]])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_never_more_unacked_than_the_prefetch_while_acks_leave_by_themselves(
    make: Make, outside: redis.Redis, vhost: str, queues: list[str], prefetch: int
) -> None:
    """Handlers as long as the flusher's delay: its settles and the reads race for the same places."""
    broker = make()
    for queue in queues:
        broker.declare_queue(queue)
        broker.publish_many([Message(b"x", routing_key=queue) for _ in range(150)])
    most, done = 0, threading.Event()
    choice = random.Random(5)

    def sample() -> None:
        nonlocal most
        while not done.is_set():
            pipe = outside.pipeline()
            for queue in queues:
                pipe.xpending(f"rx:{{{vhost}}}:stream:{queue}", "g")
            most = max(most, sum(row["pending"] for row in pipe.execute()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        with broker.consume(queues, auto_ack=False, prefetch=prefetch, timeout=0.3) as consumer:
            for delivery in consumer:
                delivery.ack()
                done.wait(choice.choice((0, 0.004, 0.005, 0.006)))
    finally:
        done.set()
        sampler.join()
    assert 0 < most <= prefetch
