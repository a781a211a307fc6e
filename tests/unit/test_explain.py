"""The way that a trace tells (lua/lib/explain.lua) is the way that the router took, in topologies drawn at random."""

from __future__ import annotations

import random
import secrets

import pytest

from rexchange import Broker, Message, TraceEvent
from rexchange.testing import forget
from tests.support.reference import Arrow, Router

pytest.importorskip("fakeredis")

TYPES = ("topic", "direct", "fanout", "headers")
WORDS = ("a", "b", "")


def draw_key(rng: random.Random, words: tuple[str, ...]) -> str:
    return ".".join(rng.choice(words) for _ in range(rng.randint(0, 3)))


def draw(rng: random.Random) -> Router:
    """Draw exchanges, each perhaps with an alternate, three queues, and bindings among them."""
    names = [f"x{number}" for number in range(4)]
    exchanges = {name: (rng.choice(TYPES), rng.choice([None, *names])) for name in names}
    arrows: list[Arrow] = []
    for _ in range(rng.randint(4, 14)):
        source, to_queue = rng.choice(names), rng.random() < 0.6
        destination = rng.choice(["q0", "q1", "q2"] if to_queue else names)
        arguments = {"x-match": rng.choice(["all", "any"]), "h": rng.choice(["1", "2"])}
        is_headers = exchanges[source][0] == "headers"
        key = draw_key(rng, (*WORDS, "*", "#") if exchanges[source][0] == "topic" else WORDS)
        arrows.append(Arrow(source, to_queue, destination, key, arguments if is_headers else {}))
    return Router(exchanges, {"q0", "q1", "q2"}, arrows)


def declare(broker: Broker, drawn: Router) -> None:
    declared = {
        name: broker.declare_exchange(name, kind, alternate_exchange=alternate)
        for name, (kind, alternate) in drawn.exchanges.items()
    }
    for name in sorted(drawn.queues):
        broker.declare_queue(name)
    for arrow in drawn.arrows:
        end = arrow.destination if arrow.to_queue else declared[arrow.destination]
        broker.bind(end, arrow.source, arrow.key, arguments=arrow.arguments)


def missing(drawn: Router, message: Message, event: TraceEvent, come_to: set[str]) -> list[Arrow]:
    """Return the bindings of topic exchanges on the way that led to the queue, and of which nothing is told."""
    told = {(step.source, step.destination, step.binding_key) for step in event.bindings}
    return [
        arrow
        for arrow in drawn.arrows
        if (arrow.to_queue, arrow.destination) == (True, event.queue)
        and arrow.source in come_to
        and drawn.exchanges[arrow.source][0] == "topic"
        and arrow.takes("topic", message.routing_key, {})
        and (arrow.source, arrow.destination, arrow.key) not in told
    ]


@pytest.mark.parametrize("seed", range(12))
def test_the_way_is_that_of_the_router(seed: int) -> None:
    rng = random.Random(seed)
    drawn = draw(rng)
    name = f"explain-{secrets.token_hex(8)}"
    with Broker(f"memory://{name}") as broker:
        declare(broker, drawn)
        broker.trace(routing_key="#")
        sent = [
            Message(b"", exchange="x0", routing_key=draw_key(rng, WORDS), headers={"h": rng.choice("123")})
            for _ in range(8)
        ]
        broker.publish_many(sent)
        events = broker.traced(1000)
    forget(name)

    ids = [event.trace_id for event in events if event.kind == "published"]
    assert len(ids) == len(sent)
    for message, trace_id in zip(sent, ids, strict=True):
        routed = [event for event in events if (event.trace_id, event.kind) == (trace_id, "routed")]
        reached = drawn.route("x0", message.routing_key, message.headers)
        assert sorted(event.queue for event in routed) == sorted(reached)
        for event in routed:
            come_to = {"x0"}
            for step in event.bindings:
                assert step.source in come_to
                come_to.add(step.destination)
                if step.why == "alternate exchange":
                    assert drawn.exchanges[step.source][1] == step.destination
                else:
                    takes = [
                        arrow
                        for arrow in drawn.arrows
                        if (arrow.source, arrow.destination) == (step.source, step.destination)
                        and (drawn.exchanges[arrow.source][0] == "fanout" or arrow.key == step.binding_key)
                        and arrow.takes(drawn.exchanges[arrow.source][0], message.routing_key, message.headers)
                    ]
                    assert takes, step
            assert event.bindings[-1].destination == event.queue
            assert missing(drawn, message, event, come_to) == []
