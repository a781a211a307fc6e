"""Budgets of routing: what a message costs the server does not grow with the number of bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count

from rexchange import Broker
from tests.bench.binding import Type, bound, publish_cost, traffic, warm
from tests.bench.budgets.case import Bench, Case, Row, Scale, Side, Sides
from tests.bench.work import Figures


def _sides(type_: Type, many: int) -> Callable[[Bench], Sides]:
    """Publish to an exchange with many bindings and to one with 10, each in a vhost of its own."""

    @contextmanager
    def make(bench: Bench) -> Iterator[tuple[Side, Side]]:
        with ExitStack() as stack:
            sides: list[Side] = []
            for vhost, bindings in (("many", many), ("few", 10)):
                broker = stack.enter_context(Broker(bench.server.url, vhost=vhost))
                bound(bench.server, broker, vhost, type_, 0, bindings)
                sides.append(partial(_block, bench, broker, type_, bindings, count(100)))
            yield sides[0], sides[1]

    return make


def _block(bench: Bench, broker: Broker, type_: Type, bindings: int, unseen: Iterator[int]) -> Figures:
    """Publish with 100 keys over and over, then with keys that were never seen before; headers have no cache."""
    server, messages = bench.server, bench.scale.messages
    figures = {"cold": publish_cost(server, broker, traffic(type_, bindings, unseen), messages)}
    if type_ == "topic":
        figures["warm"] = publish_cost(server, broker, traffic(type_, bindings, warm()), messages)
    return figures


def cases(scale: Scale) -> list[Case]:
    """Return the cases of this file."""
    many, some = scale.size(1_000_000), scale.size(10_000)
    topic = f"{many:,} topic bindings over 10"
    return [
        Case(
            (
                Row("bindings-warm", f"{topic}, routes in the cache: server CPU", "warm", 1.25),
                Row("bindings-cold", f"{topic}, keys never seen before: server CPU", "cold", 2.0),
            ),
            _sides("topic", many),
            most_rounds=9,
        ),
        Case(
            (Row("headers-bindings", f"{some:,} headers bindings over 10: server CPU", "cold", 3.0),),
            _sides("headers", some),
            most_rounds=9,
        ),
    ]
