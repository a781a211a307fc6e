"""What a message costs as the bindings of its exchange grow."""

from __future__ import annotations

from functools import partial
from itertools import count

from rexchange import Broker
from tests.bench.binding import Type, bound, publish_cost, traffic, warm
from tests.bench.growth.curve import SERVER_CPU, Curve, Lines, Scale, median_of
from tests.bench.server import BenchServer

_TOO_SLOW_US = 1000.0
"""A series ends there: filling the next size would only wait."""


def _bindings(server: BenchServer, scale: Scale) -> Lines:
    lines = Lines(scale.up_to(10, 100, 1000, 10_000, 100_000, 1_000_000))
    kinds: tuple[Type, ...] = ("direct", "topic", "headers")
    for type_ in kinds:
        labels = ["topic, cached routes", "topic, new keys"] if type_ == "topic" else [type_]
        with Broker(server.url, vhost=type_) as broker:
            start = 0
            for size in lines.x:
                if any(lines.gone(label, _TOO_SLOW_US) for label in labels):
                    lines.add(labels[0], None)
                    continue
                bound(server, broker, type_, type_, start, size)
                start = size
                numbers = count(100)
                for label in labels:
                    work = traffic(type_, size, numbers if label == labels[-1] else warm())
                    block = partial(publish_cost, server, broker, work, scale.messages)
                    lines.add(label, median_of(scale, block))
        server.flush()
    return lines


CURVES = (Curve("bindings", "Cost of a publish against the bindings", "bindings", SERVER_CPU, _bindings),)
