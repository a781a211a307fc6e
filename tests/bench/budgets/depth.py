"""Budgets of size: a deep queue, much that is unacked, many queues; none of it makes a message dearer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from rexchange import Broker
from tests.bench.budgets.case import Bench, Case, Row, Scale, Side, Sides
from tests.bench.holding import SMALL, declare_many, hold, through
from tests.bench.work import ACK_TIMEOUT, PREFETCH, fill

Prepare = Callable[[Broker, ExitStack], None]
"""Makes one vhost large; what must stay open enters the stack."""


def _sides(prepare: Prepare) -> Callable[[Bench], Sides]:
    """Send messages through the queue `q` in a vhost made large and in one that is not."""

    @contextmanager
    def make(bench: Bench) -> Iterator[tuple[Side, Side]]:
        with ExitStack() as stack:
            sides: list[Side] = []
            for vhost in ("large", "small"):
                broker = stack.enter_context(Broker(bench.server.url, vhost=vhost, ack_timeout=ACK_TIMEOUT))
                broker.declare_queue("q")
                if vhost == "large":
                    prepare(broker, stack)
                consumer = stack.enter_context(broker.consume("q", auto_ack=False, prefetch=PREFETCH))
                sides.append(partial(through, bench.server, broker, consumer, bench.scale.messages))
            yield sides[0], sides[1]

    return make


def cases(scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    unacked, queues = scale.size(100_000), scale.size(1000)
    cost = "server CPU of publish + consume"

    def deep(broker: Broker, _stack: ExitStack) -> None:
        fill(broker, "q", scale.deep, SMALL)

    def held(broker: Broker, stack: ExitStack) -> None:
        hold(broker, "q", unacked, stack)

    def many(broker: Broker, _stack: ExitStack) -> None:
        declare_many(broker, 1, queues)

    return [
        Case((Row("deep", f"queue {scale.deep:,} deep over an empty one: {cost}", "server", 1.15),), _sides(deep)),
        Case((Row("unacked", f"{unacked:,} unacked over none: {cost}", "server", 1.15),), _sides(held)),
        Case((Row("queues", f"one of {queues:,} queues over the only one: {cost}", "server", 1.15),), _sides(many)),
    ]
