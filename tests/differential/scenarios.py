"""Random scenarios. Names, keys and values are few, so that matches, near-misses and refusals are all frequent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.differential import drawn
from tests.differential import steps as s
from tests.differential.runner import CLIENTS
from tests.differential.steps import Step

Strategy: TypeAlias = st.SearchStrategy[Any]

TYPES = ("direct", "fanout", "topic", "headers")
PREDECLARED = ("amq.direct", "amq.fanout", "amq.topic", "amq.headers")
KEYS = ("a", "b", "", "a.b", "b.a", "a.b.a", "a.", ".a", ".", "..", "a..b", "A.b", "*", "#", "a.#", "a.b.c.d")
PATTERNS = (
    *("#", "*", "a.#", "#.a", "#.b", "*.b", "a.*", "*.*", "a.*.b", "a.#.b", "#.#", "*.#", "#.*", ".#", ".*", "a.", "."),
    *("##", "a*", "a#", "#.b.#", "a.#.*", "a.*.#", "*.*.*", "*.a.*.#", "a..b"),
)
NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
#: pika writes no floats.
VALUES = (1, 1, 2, "1", "x", b"x", True, False, None, Decimal("1.5"), 2**40, ["a", 1], {"k": 1}, NOW)
HEADER_KEYS = ("a", "a", "b", "A", "x-a")
MATCHES = ("all", "any", "all-with-x", "any-with-x")

clients = st.sampled_from([0] * 6 + list(range(1, CLIENTS)))
flags = st.booleans()
rarely = st.sampled_from([False] * 9 + [True])
sometimes = st.sampled_from([False] * 3 + [True])
headers = st.dictionaries(st.sampled_from(HEADER_KEYS), st.sampled_from(VALUES), max_size=3)
numbers = st.integers(0, 7)

PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.just("text/plain"),
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.sampled_from([0, 9]),
        "correlation_id": st.sampled_from(["", "é"]),
        "reply_to": st.just("q0"),
        "message_id": st.just("m"),
        "timestamp": st.just(NOW),
        "type": st.just("t"),
        "app_id": st.just("app"),
    },
)


@st.composite
def binding_arguments(draw: st.DrawFn) -> s.Table:
    arguments: s.Table = dict(draw(st.one_of(headers, st.just({}))))
    match = draw(st.sampled_from([None, None, *MATCHES, *MATCHES, *MATCHES, "some"]))
    return arguments if match is None else arguments | {"x-match": match}


keys = st.sampled_from(KEYS)
binding_keys = st.one_of(
    st.sampled_from(PATTERNS), keys, st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=4).map(".".join)
)


class Topology:
    """What a scenario is about; steps draw from it, and sometimes from beyond."""

    def __init__(self, exchanges: int, queues: int, mood: drawn.Moods) -> None:
        self.mood = mood
        self.exchanges = [f"x{number}" for number in range(exchanges)]
        self.queues = [f"q{number}" for number in range(queues)]
        self.some_exchange = st.sampled_from(self.exchanges * 6 + list(PREDECLARED) + ["x9", ""])
        self.some_queue = st.sampled_from(self.queues * 8 + ["q9"])
        self.queue_arguments = drawn.queue_arguments(mood, self.exchanges, self.queues)
        self.alternates = st.sampled_from([*self.exchanges, "x9", "amq.fanout", ""])

    def exchange(self) -> Strategy:
        arguments: Strategy = st.one_of(
            st.just({}),
            st.just({}),
            self.alternates.map(lambda name: {"alternate-exchange": name}),
            st.sampled_from([{"alternate-exchange": 1}, {"foo": 1}]),
        )
        return st.builds(
            s.DeclareExchange,
            st.just(""),
            st.sampled_from(TYPES),
            durable=rarely,
            auto_delete=sometimes,
            internal=rarely,
            arguments=arguments,
        )

    def queue(self) -> Strategy:
        return st.builds(
            s.DeclareQueue,
            st.just(""),
            durable=rarely,
            exclusive=rarely,
            auto_delete=sometimes,
            arguments=self.queue_arguments,
            client=clients,
        )

    def binding(self) -> Strategy:
        tables: Strategy = st.one_of(st.just({}), binding_arguments())
        words = {"key": binding_keys, "arguments": tables, "client": clients}
        to_queue = st.builds(s.Bind, self.some_queue, self.some_exchange, **words)
        names = st.sampled_from(self.exchanges)
        between = st.builds(s.Bind, names, self.some_exchange, to_exchange=st.just(True), **words)
        return st.one_of(to_queue, to_queue, between)

    def publish(self) -> Strategy:
        more = drawn.more_keys(KEYS, self.queues)
        dying = drawn.properties(self.mood)
        pads = st.sampled_from([0, 0, 0, 3, 30])
        tables: Strategy = st.one_of(st.just({}), headers, st.builds(lambda one, other: one | other, headers, more))
        to_exchange = st.builds(
            s.Publish,
            self.some_exchange,
            keys,
            headers=tables,
            mandatory=sometimes,
            properties=st.one_of(st.just({}), dying, PROPERTIES),
            client=clients,
            pad=pads,
        )
        to_queue = st.builds(
            s.Publish,
            st.just(""),
            self.some_queue,
            headers=st.one_of(st.just({}), st.just({}), more),
            mandatory=sometimes,
            properties=st.one_of(st.just({}), dying),
            client=clients,
            pad=pads,
        )
        return st.one_of(to_exchange, to_queue)

    def consume(self) -> Strategy:
        return st.builds(
            s.Consume,
            self.some_queue,
            sometimes,
            st.integers(0, 3),
            clients,
            exclusive=rarely,
            arguments=drawn.consumer_arguments(),
        )

    def steps(self, declared: list[s.DeclareExchange | s.DeclareQueue], bound: list[s.Bind]) -> Strategy:
        unbinds = st.sampled_from(bound) if bound else self.binding()
        strange = st.one_of(
            st.builds(
                s.DeclareExchange,
                st.sampled_from(["", "x9", "amq.new", "amq.topic", "amq.direct", *self.exchanges]),
                st.sampled_from([*TYPES, "topic", "unknown"]),
                durable=flags,
                passive=flags,
                arguments=st.sampled_from([{}, {}, {"alternate-exchange": 1}]),
            ),
            st.builds(
                s.DeclareQueue, self.some_queue, passive=st.just(True), arguments=self.queue_arguments, client=clients
            ),
            st.builds(s.DeclareQueue, st.just("amq.new")),
        )
        settle = st.builds(
            s.Settle,
            numbers,
            numbers,
            st.sampled_from(["ack", "nack", "nack", "reject"]),
            requeue=flags,
            multiple=sometimes,
            which=st.sampled_from(["held"] * 20 + ["settled", "zero", "unknown"]),
        ).map(_legal)
        weighted: list[tuple[int, Strategy]] = [
            (14, self.publish()),
            (6, st.builds(s.Get, self.some_queue, auto_ack=sometimes, client=clients)),
            (3, self.consume()),
            (8, settle),
            (1, st.builds(s.Cancel, numbers)),
            (1, st.builds(s.CloseConsumer, numbers)),
            (1, st.builds(s.Purge, self.some_queue, clients)),
            (1, st.builds(s.DeleteQueue, self.some_queue, sometimes, sometimes, clients)),
            (1, st.builds(s.DeleteExchange, self.some_exchange, sometimes)),
            (1, self.binding()),
            (1, st.one_of(unbinds, self.binding()).map(_unbind)),
            (2, st.sampled_from(declared)),
            (1, st.sampled_from(declared).flatmap(self.changed)),
            (1, strange),
            (1, st.builds(s.CloseClient, st.integers(0, CLIENTS - 1))),
            (3 if self.mood.idle else 0, st.just(s.Wait())),
        ]
        return st.sampled_from([each for weight, each in weighted for _ in range(weight)]).flatmap(lambda each: each)

    def changed(self, step: s.DeclareExchange | s.DeclareQueue) -> Strategy:
        """Declare again with one thing changed."""
        if isinstance(step, s.DeclareQueue):
            return st.one_of(
                st.builds(replace, st.just(step), durable=st.just(not step.durable)),
                st.builds(replace, st.just(step), auto_delete=st.just(not step.auto_delete)),
                st.builds(replace, st.just(step), exclusive=st.just(not step.exclusive)),
                st.builds(replace, st.just(step), arguments=self.queue_arguments, client=clients),
            )
        return st.one_of(
            st.builds(replace, st.just(step), type=st.sampled_from(TYPES)),
            st.builds(replace, st.just(step), durable=st.just(not step.durable)),
            st.builds(replace, st.just(step), auto_delete=st.just(not step.auto_delete)),
            st.builds(replace, st.just(step), internal=st.just(not step.internal)),
            st.builds(replace, st.just(step), arguments=st.just({"alternate-exchange": "x0"})),
        )


def _legal(step: s.Settle) -> s.Settle:
    """Return it as AMQP has it: an ack has no requeue, a reject no multiple, and tag 0 alone is tried with both."""
    if step.verdict == "ack":
        step = replace(step, requeue=True)
    return replace(step, multiple=False) if step.verdict == "reject" else step


def _unbind(step: s.Bind) -> s.Unbind:
    return s.Unbind(step.destination, step.source, step.key, step.arguments, step.to_exchange, step.client)


@st.composite
def scenarios(draw: st.DrawFn) -> list[Step]:
    """A topology of 1 to 6 exchanges and 1 to 8 queues, then 5 to 60 steps."""
    topology = Topology(draw(st.integers(1, 6)), draw(st.sampled_from([2, 3, 3, 1, 2, 4, 6, 8])), draw(drawn.moods))
    declared: list[s.DeclareExchange | s.DeclareQueue] = [
        replace(draw(topology.exchange()), name=name) for name in topology.exchanges
    ]
    declared += [replace(draw(topology.queue()), name=name) for name in topology.queues]
    bound: list[s.Bind] = draw(st.lists(topology.binding(), min_size=draw(st.sampled_from([0, 4, 8])), max_size=16))
    least = draw(st.sampled_from([5, 20, 40]))
    steps = draw(st.lists(topology.steps(declared, bound), min_size=least, max_size=60))
    return [*declared, *bound, *steps, s.Drain()]
