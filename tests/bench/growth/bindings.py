"""What a message costs as the bindings of its exchange grow."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import count

from rexchange import Broker
from tests.bench.binding import Type, bound, publish_cost, traffic, warm
from tests.bench.growth.curve import SERVER_CPU, Curve, Point, Scale
from tests.bench.server import BenchServer

_TOO_SLOW_US = 1000.0
"""What costs so much at one size would take minutes, or the server's patience, at the next."""


def _sizes(scale: Scale) -> list[int]:
    return scale.up_to(10, 100, 1000, 10_000, 100_000, 1_000_000)


def _prepare(server: BenchServer, scale: Scale, stack: ExitStack) -> list[Point]:
    points: list[Point] = []
    kinds: tuple[Type, ...] = ("direct", "topic", "headers")
    for type_ in kinds:
        for size in _sizes(scale):
            vhost = f"{type_}-{size}"
            broker = stack.enter_context(Broker(server.url, vhost=vhost))
            bound(server, broker, vhost, type_, 0, size)
            if type_ == "topic":
                work = traffic(type_, size, warm())
                points.append(
                    Point("topic, cached routes", size, partial(publish_cost, server, broker, work, scale.messages))
                )
            label = "topic, new keys" if type_ == "topic" else type_
            work = traffic(type_, size, count(100))
            points.append(Point(label, size, partial(publish_cost, server, broker, work, scale.messages)))
            if publish_cost(server, broker, work, 1) > _TOO_SLOW_US:
                break
    return points


_TITLE = "Cost of a publish against the bindings of its exchange"
CURVES = (Curve("bindings", _TITLE, "bindings", SERVER_CPU, _sizes, _prepare),)
