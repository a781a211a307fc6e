"""Large bodies are stored once, and nobody can tell: whatever is done, two vhosts hold the same.

In one of them a message goes to its queues through a fanout exchange, so they share its body. In the other it is
published to each queue by itself, so each has its own. Both are read again and again, and the keys of both are looked
at (`Check` counts what points to each body).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rexchange import Broker, Delivery, Message
from rexchange.errors import PublishRefused
from rexchange.keyspace import Keys
from rexchange.testing import forget
from tests.support.clock import Clock, controlled
from tests.support.keys import Check
from tests.support.servers import Bare

DEAD: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
QUEUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "other": {},
    "dead": {},
    "short": {"max_length": 2, **DEAD},
    "full": {"max_length": 2, "overflow": "reject-publish-dlx", **DEAD},
    "brief": {"message_ttl": timedelta(seconds=10), "dead_letter_exchange": "letters"},
    "ranked": {"max_priority": 3, "max_length_bytes": 60_000},
    "quorum": {"queue_type": "quorum", "delivery_limit": 2, **DEAD},
    "again": {"retry_delays": [timedelta(seconds=5)], "retry_tries": 2, **DEAD},
    "log": {"queue_type": "stream", "max_length_bytes": 90_000},
}
EXCHANGES: dict[str, list[str]] = {
    "all": [name for name in QUEUES if name != "dead"],
    "some": ["other", "short", "again"],
    "rest": ["brief", "ranked", "quorum", "full"],
}
EMPTIED = [name for name in QUEUES if name != "log"]
#: Dead letters of one step may come into the others in another order, as their queues are another's to go through.
TAKEN = [name for name in EMPTIED if name not in ("dead", "other")]
MIXED, LARGE = 20_000, 30_000
EVERY = 5


class World:
    """One of the two vhosts; `shared` tells which."""

    def __init__(self, url: str, *, shared: bool) -> None:
        self.shared = shared
        self.url, self.vhost = url, f"model-{secrets.token_hex(8)}"
        self.clock = Clock(url, self.vhost)
        self.broker = Broker(url, vhost=self.vhost, session_timeout=timedelta(days=30))
        self.held: list[Delivery] = []
        for name in QUEUES:
            self.declare(name)
        self.broker.declare_exchange("letters", "fanout")
        for name in ("other", "dead"):
            self.broker.bind(name, "letters")
        self.broker.get("plain")
        heart = self.broker._session._heart
        assert heart is not None
        heart.stop()  # when the reaper comes is the machine's to say

    def declare(self, name: str) -> None:
        self.broker.declare_queue(name, **QUEUES[name])
        for exchange, names in EXCHANGES.items():
            self.broker.declare_exchange(exchange, "fanout")
            if name in names:
                self.broker.bind(name, exchange)
        if name in ("other", "dead"):
            self.broker.declare_exchange("letters", "fanout")
            self.broker.bind(name, "letters")

    def messages(self, exchange: str, body: bytes, **options: Any) -> list[Message]:
        if self.shared:
            return [Message(body, exchange=exchange, **options)]
        return [Message(body, routing_key=name, **options) for name in sorted(EXCHANGES[exchange])]

    def get(self, queue: str) -> None:
        delivery = self.broker.get(queue, auto_ack=False)
        if delivery is not None:
            self.held.append(delivery)

    def work(self, queue: str, prefetch: int, settled: int) -> None:
        """A consumer takes some, acks the first, rejects the next, and ends."""
        with self.broker.consume(queue, auto_ack=False, prefetch=prefetch, timeout=0) as consumer:
            for number, delivery in enumerate(consumer):
                if number < settled:
                    delivery.ack() if number % 2 == 0 else delivery.reject()

    def settle(self, place: int, verdict: str) -> None:
        delivery = self.held.pop(place)
        if verdict == "transaction":
            with self.broker.transaction() as tx:
                for message in self.messages("some", delivery.body):
                    tx.publish(message)
                tx.ack(delivery)
        elif verdict == "retry":
            delivery.nack(retry=True, wait=True)
        elif verdict == "requeue":
            delivery.nack(wait=True)
        else:
            getattr(delivery, verdict)(wait=True)

    def seen(self) -> dict[str, list[tuple[object, ...]]]:
        """What there is in each queue; what came there on several ways in one step may be in another order."""
        found: dict[str, list[tuple[object, ...]]] = {
            name: sorted(
                (message.body[:8], len(message.body), len(set(message.body[8:])), message.state, message.delivery_count)
                for message in self.broker.browse(name, limit=1000)
            )
            for name in QUEUES
        }
        return found | {"": sorted((each.body[:8], each.queue) for each in self.held)}

    def problems(self) -> list[str]:
        ask = Bare(self.url)
        try:
            return Check(ask, Keys(self.vhost.encode())).run()
        finally:
            ask.close()

    def close(self) -> list[bytes]:
        """End it, and return the keys of bodies that are left when all its queues are deleted."""
        for name in QUEUES:
            self.broker.delete_queue(name)
        self.broker.reap()
        ask, keys = Bare(self.url), Keys(self.vhost.encode())
        left = [
            key
            for key in ask.keys(keys.prefix)
            if key.startswith((keys.body(b""), keys.shares, keys.sharing, keys.graves))
        ]
        self.broker.close()
        self.clock.__exit__(None, None, None)
        for key in ask.keys(keys.prefix):
            ask("UNLINK", key)
        ask.close()
        return left


class Machine(RuleBasedStateMachine):
    """Does the same to both."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.worlds = [World(self.url, shared=True), World(self.url, shared=False)]
        self.serial = self.steps = 0

    def both(self, do: Callable[[World], object]) -> None:
        found = [do(world) for world in self.worlds]
        assert found[0] == found[1]

    def body(self, size: int) -> bytes:
        self.serial += 1
        return (b"%08d" % self.serial).ljust(size, b"x")

    @rule(
        exchange=st.sampled_from(sorted(EXCHANGES)),
        size=st.sampled_from([10, MIXED, LARGE, LARGE]),
        priority=st.integers(0, 3),
    )
    def publish(self, exchange: str, size: int, priority: int) -> None:
        body = self.body(size)

        def do(world: World) -> None:
            for message in world.messages(exchange, body, priority=priority):
                with suppress(PublishRefused):
                    world.broker.publish(message)

        self.both(do)

    @rule(exchange=st.sampled_from(sorted(EXCHANGES)), expiration=st.sampled_from(["1000", "0"]))
    def publish_what_expires(self, exchange: str, expiration: str) -> None:
        body = self.body(LARGE)

        def do(world: World) -> None:
            for message in world.messages(exchange, body, expiration=expiration):
                with suppress(PublishRefused):
                    world.broker.publish(message)

        self.both(do)

    @rule()
    def publish_later(self) -> None:
        body = self.body(LARGE)

        def do(world: World) -> None:
            for message in world.messages("some", body):
                world.broker.publish(
                    message.body, exchange=message.exchange, routing_key=message.routing_key, delay=timedelta(seconds=5)
                )

        self.both(do)

    @rule(queue=st.sampled_from(TAKEN))
    def get(self, queue: str) -> None:
        self.both(lambda world: world.get(queue))

    @rule(queue=st.sampled_from(TAKEN), prefetch=st.integers(1, 4), settled=st.integers(0, 4))
    def work(self, queue: str, prefetch: int, settled: int) -> None:
        self.both(lambda world: world.work(queue, prefetch, settled))

    @precondition(lambda self: self.worlds[0].held)
    @rule(data=st.data(), verdict=st.sampled_from(["ack", "reject", "requeue", "retry", "transaction"]))
    def settle(self, data: st.DataObject, verdict: str) -> None:
        place = data.draw(st.integers(0, len(self.worlds[0].held) - 1))
        if verdict == "retry" and self.worlds[0].held[place].queue != "again":
            verdict = "ack"
        self.both(lambda world: world.settle(place, verdict))

    @rule(seconds=st.sampled_from([1, 5, 10]))
    def advance(self, seconds: int) -> None:
        def do(world: World) -> None:
            world.clock.advance(seconds)
            world.broker.reap()

        self.both(do)

    @rule(
        source=st.sampled_from([*TAKEN, "log"]),
        to=st.sampled_from(list(QUEUES)),
        limit=st.integers(1, 3),
        move=st.booleans(),
    )
    def transfer(self, source: str, to: str, limit: int, move: bool) -> None:
        if source != to:
            verb = "move" if move and source != "log" else "copy"

            def do(world: World) -> object:
                try:
                    return getattr(world.broker, verb)(source, to, limit=limit)
                except PublishRefused:
                    return "full"

            self.both(do)

    @rule(queue=st.sampled_from(TAKEN))
    def delete_the_oldest(self, queue: str) -> None:
        def do(world: World) -> int:
            found = [message.id for message in world.broker.browse(queue, limit=1) if message.state != "unacked"]
            return sum(world.broker.delete_message(queue, each) for each in found)

        self.both(do)

    @rule(queue=st.sampled_from(EMPTIED), delete=st.booleans())
    def empty(self, queue: str, delete: bool) -> None:
        def do(world: World) -> int:
            if delete:
                world.held = [each for each in world.held if each.queue != queue]
            count = world.broker.delete_queue(queue) if delete else world.broker.purge(queue)
            world.declare(queue)
            return count if queue in TAKEN else 0  # what has expired behind the head is counted, and hidden

        self.both(do)

    @invariant()
    def both_hold_the_same(self) -> None:
        """Looking takes longer than what was done, so it is not done after every step."""
        self.steps += 1
        if self.steps % EVERY == 0:
            self.look()

    def look(self) -> None:
        self.both(World.seen)
        for world in self.worlds:
            assert world.problems() == []

    def teardown(self) -> None:
        """Delete all queues: no body is left."""
        self.look()
        assert [world.close() for world in self.worlds] == [[], []]


@pytest.fixture
def machine(tmp_path: Path, url: str) -> Iterator[type[Machine]]:
    """Yield the machine on a server."""
    with controlled(tmp_path):
        yield type("MachineOnAServer", (Machine,), {"url": url})
    forget(url.removeprefix("memory://"))


@pytest.mark.slow
def test_nobody_can_tell_that_a_body_is_shared(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=2,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],  # shrinking takes minutes: run a failure again with more phases
            suppress_health_check=list(HealthCheck),
        ),
    )
