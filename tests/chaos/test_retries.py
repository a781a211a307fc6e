"""`kill -9` of workers and of the server at each step of a retry: nothing is lost, and nothing is doubled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rexchange import Broker, Message, scripts
from rexchange.errors import PublishRefused
from tests.chaos.conftest import SHORT, SHORT_S, Make
from tests.chaos.doomed import Doomed
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KINDS, Server, running, until
from tests.chaos.workers import crew

TRIES = 4
MESSAGES = 40


def declare(broker: Broker, *delays_ms: int) -> None:
    broker.declare_queue("dead")
    broker.declare_queue(
        "q",
        retry_delays=[timedelta(milliseconds=delay) for delay in delays_ms],
        dead_letter_exchange="",
        dead_letter_routing_key="dead",
    )


def counts(broker: Broker) -> tuple[int, int, int, int]:
    """Ready, unacked and waiting in q, ready in dead."""
    dead, queue = broker.queues()
    return queue.ready, queue.unacked, queue.waiting, dead.ready


def deaths(broker: Broker) -> Counter[str]:
    """Take all dead letters: how often each is there; each died once, for its tries."""
    found: Counter[str] = Counter()
    while (delivery := broker.get("dead")) is not None:
        rows: Any = delivery.headers["x-death"]
        assert [(row["reason"], row["count"]) for row in rows] == [("delivery_limit", 1)]
        found[delivery.body.decode()] += 1
    return found


# --- a worker, step by step


@pytest.fixture
def doom(server: Server, vhost: str) -> Iterator[Callable[..., Doomed]]:
    made: list[Doomed] = []

    def start(url: str | None = None) -> Doomed:
        made.append(Doomed("retry", url or server.url, vhost, queue="q", settings=SHORT_S))
        return made[-1].told("ready")

    yield start
    for each in made:
        each.end()


def settle_sha() -> bytes:
    return scripts.load("settle").sha.encode()


def test_a_worker_killed_before_its_retry_arrived_gives_back(
    make: Make, proxy: Proxy, doom: Callable[..., Doomed]
) -> None:
    broker = make()
    declare(broker, 60_000)
    broker.publish(b"1", routing_key="q")
    victim = doom(proxy.url())
    lost = proxy.lie(settle_sha(), b"", 100)  # the server never sees it, and no answer comes
    victim.go()
    until(lambda: lost.done, 5, "the retry on its way")
    victim.kill()

    assert counts(broker) == (0, 1, 0, 0)
    assert broker.get("q") is None  # opens a session, so that a reaper runs
    until(lambda: counts(broker) == (1, 0, 0, 0), 10, "the return of what the dead one held")
    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.delivery_count == 2


def test_a_worker_killed_after_its_retry_was_sent_leaves_its_message_waiting(
    make: Make, proxy: Proxy, doom: Callable[..., Doomed]
) -> None:
    broker = make()
    declare(broker, 60_000, 60_000)
    broker.publish(b"1", routing_key="q")
    victim = doom(proxy.url())
    proxy.hold()
    victim.go()
    until(lambda: counts(broker) == (0, 0, 1, 0), 5, "the retry")
    victim.kill()

    assert broker.get("q") is None  # opens a session, so that a reaper runs
    until(lambda: broker.status().consumers == 1, 10, "the end of the dead one's session")
    assert counts(broker) == (0, 0, 1, 0)
    assert broker.retry_now("q") == 1
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    assert delivery.delivery_count == 2
    delivery.nack(retry=True)
    assert counts(broker) == (0, 0, 1, 0)


def test_a_worker_killed_in_its_last_retry_leaves_one_dead_letter(
    make: Make, proxy: Proxy, doom: Callable[..., Doomed]
) -> None:
    broker = make()
    declare(broker, 1)
    broker.publish(b"1", routing_key="q")
    first = broker.get("q", auto_ack=False)
    assert first is not None
    first.nack(retry=True)
    victim = doom(proxy.url())  # it waits for the second try
    proxy.hold()
    victim.go()
    until(lambda: counts(broker)[3] == 1, 5, "the death")
    victim.kill()

    until(lambda: broker.status().consumers == 1, 10, "the end of the dead one's session")
    assert counts(broker) == (0, 0, 0, 1)
    assert deaths(broker) == {"1": 1}


# --- the server, step by step


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, with AOF."""
    with running(request.param) as made:
        yield made


def test_a_server_killed_at_each_step_keeps_place_count_and_time(mortal: Server) -> None:
    def restart() -> None:
        mortal.kill()
        mortal.start()

    with Broker(mortal.url, vhost="v", **SHORT) as broker:
        declare(broker, 1000, 1)
        broker.publish(b"1", routing_key="q")
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        restart()  # in the worker's hands
        delivery.nack(retry=True)
        broker.publish(b"2", routing_key="q")
        (before,) = broker.waiting("q")
        restart()  # waiting
        assert broker.waiting("q") == [before]
        assert counts(broker) == (1, 0, 1, 0)
        until(lambda: counts(broker) == (2, 0, 0, 0), 5, "the end of its wait")
        restart()  # given back
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        assert (delivery.body, delivery.delivery_count) == (b"1", 2)
        delivery.nack(retry=True)
        until(lambda: counts(broker)[0] == 2, 5, "the end of its wait")
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        assert (delivery.body, delivery.delivery_count) == (b"1", 3)
        delivery.nack(retry=True)
        restart()  # dead
        assert counts(broker) == (1, 0, 0, 1)
        assert deaths(broker) == {"1": 1}


def test_a_full_server_lets_messages_wait_come_back_and_die(mortal: Server) -> None:
    with Broker(mortal.url, vhost="v", **SHORT) as broker, mortal.client() as client:
        declare(broker, 300)
        broker.publish(b"1", routing_key="q")
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        client.config_set("maxmemory", 1)
        with pytest.raises(PublishRefused):
            broker.publish(b"2", routing_key="q")
        delivery.nack(retry=True)
        assert counts(broker) == (0, 0, 1, 0)
        until(lambda: counts(broker) == (1, 0, 0, 0), 5, "the end of its wait")
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        delivery.nack(retry=True)
        assert deaths(broker) == {"1": 1}


# --- all at once


@pytest.mark.timeout(90)
def test_workers_and_the_server_are_killed_at_random(mortal: Server, tmp_path: Path) -> None:
    """Half of the messages succeed at a later try, half never do: these are dead-lettered, each once."""
    fine = {f"ok-{number}" for number in range(MESSAGES)}
    broken = {f"bad-{number}" for number in range(MESSAGES)}
    drawn = random.Random(4)
    with (
        Broker(mortal.url, vhost="v", **{**SHORT, "retry_timeout": timedelta(seconds=20)}) as broker,
        crew(tmp_path, mortal.url, "v", "q", **{**SHORT_S, "retry_timeout": 20.0}) as workers,
    ):
        declare(broker, *[100, 300, 200][: TRIES - 1])
        broker.publish_many([Message(body.encode(), routing_key="q") for body in sorted(fine | broken)])
        assert broker.get("dead") is None  # opens a session, so that a reaper runs

        def tried() -> list[tuple[str, int]]:
            lines = [line.split() for worker in workers.workers for line in worker.lines("tried")]
            return [(body, int(count)) for body, count in lines]

        def settled() -> bool:
            return counts(broker)[:3] == (0, 0, 0)

        alive = [workers.start("retry", prefetch=5).ready() for _ in range(3)]
        for round_ in range(6):
            so_far = len(tried())
            until(lambda so_far=so_far: len(tried()) > so_far + 15 or settled(), 20, "some tries")  # type: ignore[misc]  # of a default
            if round_ % 3 == 1:
                mortal.kill()
                mortal.start()
            else:
                victim = alive.pop(drawn.randrange(len(alive)))
                victim.kill()
                alive.append(workers.start("retry", prefetch=5).ready())

        until(settled, 40, "all of them settled")
        acking = {body for worker in workers.workers for body in worker.lines("acking")}
        assert acking == fine, "lost or never acked"
        assert max(workers.acked().values()) == 1, "an ack that was confirmed twice"
        assert deaths(broker) == Counter(dict.fromkeys(broken, 1))
        # Each handing-out has a count of its own, so one that is there twice was doubled.
        assert max(Counter(tried()).values()) == 1
        last = {body: max(count for each, count in tried() if each == body) for body in broken}
        assert min(last.values()) >= TRIES, "dead before its tries"
        assert all(worker.end() in (0, -15) for worker in alive)
