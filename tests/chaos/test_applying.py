"""An apply is killed with its process or its server: nothing is lost or doubled, and applying again completes it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from rexchange import Broker, Message
from rexchange.errors import PublishRefused
from tests.chaos.applied import Applier, comparable, fill, holds, messages, topology
from tests.chaos.servers import KINDS, Server, note, running
from tests.chaos.test_servers import full
from tests.support.faults import Faults, Rule

pytestmark = pytest.mark.slow
SMALL, LARGE = 6, 200
#: Every request on one kind of server, some on the other: the states are the same.
STRIDE = {"redis": 3, "valkey": 9}


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server to be killed, which keeps all that it confirmed."""
    with running(request.param) as made:
        yield made


def test_a_process_killed_before_any_request_leaves_what_the_next_one_completes(server: Server, vhost: str) -> None:
    """Each object in a request of its own: the vhost is left in every state that an apply goes through."""
    wanted = comparable(topology("b", SMALL))
    with Applier(server.url, SMALL) as applier:
        for step in count(1, STRIDE[server.kind]):
            name = f"{vhost}-{step}"
            with Broker(server.url, vhost=name) as broker:
                kept = fill(broker, SMALL)
                ended = applier.go(name, "b", die_at=step, alone=True).told()
                broker.apply(topology("b", SMALL), prune=True)
                assert holds(broker) == wanted, step
                assert messages(broker) == kept, step
                assert not broker.apply(topology("b", SMALL), prune=True, dry_run=True).changed
            if ended == "done":
                break
            assert ended == "killed", (step, ended)
    note(f"{server.kind}: killed before requests 1 to {step - 1}")
    assert step > 30


def test_a_process_killed_at_random_moments(server: Server, vhost: str) -> None:
    drawn = random.Random(4)
    with Applier(server.url, LARGE) as applier, Broker(server.url, vhost=vhost) as broker:
        kept = fill(broker, LARGE)
        start = time.monotonic()
        assert applier.go(f"{vhost}-timed", "a").told() == "done"
        whole = time.monotonic() - start
        moments = [drawn.uniform(0.02, whole) for _ in range(9)]
        ends = [applier.go(vhost, "ba"[n % 2], die_in=moment).told() for n, moment in enumerate(moments)]
        broker.apply(topology("b", LARGE), prune=True)
        assert holds(broker) == comparable(topology("b", LARGE))
        assert messages(broker) == kept
    note(f"{server.kind}: {ends.count('killed')} of {len(ends)} killed within {whole:.2f} s")
    assert set(ends) <= {"killed", "done"}
    assert ends.count("killed") > len(ends) / 2


@pytest.mark.timeout(90)
def test_a_server_killed_after_any_request_and_before_its_reply(mortal: Server) -> None:
    """It did what was asked and dies before the reply: the apply goes on with the next server."""
    seen = Rule(b"", 10_000)
    for step in count(1, STRIDE[mortal.kind]):
        with Broker(mortal.url, vhost=f"v{step}", retry_timeout=timedelta(seconds=20)) as broker:
            kept = fill(broker, SMALL)
            faults, seen = Faults(broker), Rule(b"", 10_000)

            def restart(rule: Rule = seen, at: int = step) -> None:
                if rule.done == at:
                    mortal.kill()
                    mortal.start()
                    raise RedisConnectionError("killed")

            seen.hook = restart
            faults._add(seen)
            broker.apply(topology("b", SMALL), prune=True)
            seen.left = 0
            assert holds(broker) == comparable(topology("b", SMALL)), step
            assert messages(broker) == kept, step
        if seen.done < step:
            break
    note(f"{mortal.kind}: killed after requests 1 to {step - 1}")
    assert step > 20


def test_two_that_apply_at_once_end_equal(server: Server, vhost: str) -> None:
    with (
        Applier(server.url, LARGE) as one,
        Applier(server.url, LARGE) as other,
        Broker(server.url, vhost=vhost) as broker,
    ):
        broker.apply(topology("a", LARGE))
        for letter in "bab":
            one.go(vhost, letter)
            other.go(vhost, letter)
            assert [one.told(), other.told()] == ["done", "done"]
            assert holds(broker) == comparable(topology(letter, LARGE))


def test_a_limit_is_lowered_because_memory_is_full(mortal: Server) -> None:
    with Broker(mortal.url, vhost="v") as broker, mortal.client() as client:
        broker.declare_queue("q")
        broker.declare_exchange("x")
        broker.publish_many([Message(b"%d" % n, routing_key="q") for n in range(200)])
        for _ in full(client):
            with pytest.raises(PublishRefused):
                broker.publish(b"no", routing_key="q")
            assert broker.update_queue("q", max_length=3, max_length_bytes=9) != []
            assert broker.update_exchange("x", alternate_exchange="y") != []
        assert messages(broker) == {"q": [b"197", b"198", b"199"]}
