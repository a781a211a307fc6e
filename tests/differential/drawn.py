"""What queues are declared with and messages carry beyond the plain: TTLs, limits, priorities, dead letters, CC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.differential import steps as s

Strategy: TypeAlias = st.SearchStrategy[Any]

LONG_MS = (60_000, 3_600_000)
OVERFLOWS = ("drop-head", "reject-publish", "reject-publish", "reject-publish-dlx")
ILLEGAL: Sequence[s.Table] = (
    {"x-max-length": "3"},
    {"x-max-length": -1},
    {"x-max-length-bytes": True},
    {"x-max-length-bytes": -1},
    {"x-message-ttl": -1},
    {"x-message-ttl": "5"},
    {"x-expires": 0},
    {"x-expires": "abc"},
    {"x-max-priority": 256},
    {"x-max-priority": -1},
    {"x-max-priority": "1"},
    {"x-overflow": "head"},
    {"x-overflow": 1},
    {"x-dead-letter-exchange": 1},
    {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 1},
    {"x-dead-letter-routing-key": "k"},
    {"x-single-active-consumer": "true"},
    {"x-queue-type": "other"},
)
WITHOUT_MEANING: Sequence[s.Table] = ({"x-queue-type": "classic"}, {"foo": 1}, {"x-foo": "bar"})


@dataclass(frozen=True)
class Moods:
    """What a scenario is about; drawn once, so that features meet each other, and some scenarios are plain."""

    traits: bool
    short: bool
    idle: bool
    """Whether there is an x-expires that ends."""


moods = st.builds(
    Moods,
    traits=st.sampled_from([True, True, True, False]),
    short=st.sampled_from([True, False, False]),
    idle=st.sampled_from([True] + [False] * 11),
)


def queue_arguments(mood: Moods, exchanges: Sequence[str], queues: Sequence[str]) -> Strategy:
    """What a queue is declared with."""
    strange = st.sampled_from([*ILLEGAL, *WITHOUT_MEANING, *WITHOUT_MEANING])
    if not mood.traits:
        return st.sampled_from([st.just({})] * 5 + [strange]).flatmap(lambda each: each)
    legal = traits(mood, exchanges, queues)
    both = st.builds(lambda one, other: one | other, legal, strange)
    return st.sampled_from([st.just({})] * 2 + [legal] * 10 + [strange, both]).flatmap(lambda each: each)


def traits(mood: Moods, exchanges: Sequence[str], queues: Sequence[str]) -> Strategy:
    """Legal arguments, up to four together."""
    ttls = [0, *LONG_MS] + [s.SHORT_MS] * (6 if mood.short else 0)
    idle = [LONG_MS[1]] + [s.EXPIRES_MS] * (4 if mood.idle else 0)
    to_queue = st.sampled_from(list(queues)).map(
        lambda name: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
    )
    by_exchange = st.builds(
        lambda name, key: {"x-dead-letter-exchange": name} | key,
        st.sampled_from([*exchanges, *exchanges, "amq.fanout", "amq.topic", "x9", ""]),
        st.sampled_from([{}, {}, {"x-dead-letter-routing-key": "a"}, {"x-dead-letter-routing-key": "a.b"}]),
    )
    single: list[tuple[int, Strategy]] = [
        (2, st.sampled_from(ttls).map(lambda value: {"x-message-ttl": value})),
        (3, st.integers(0, 3).map(lambda value: {"x-max-length": value})),
        (1, st.sampled_from([0, 2, 4, 9, 40]).map(lambda value: {"x-max-length-bytes": value})),
        (2, st.sampled_from(OVERFLOWS).map(lambda value: {"x-overflow": value})),
        (2, st.sampled_from([0, 1, 5, 255]).map(lambda value: {"x-max-priority": value})),
        (2, st.sampled_from([True, True, True, False]).map(lambda value: {"x-single-active-consumer": value})),
        (2 if mood.idle else 1, st.sampled_from(idle).map(lambda value: {"x-expires": value})),
        (6, to_queue),
        (4, by_exchange),
    ]
    weighted = st.sampled_from([each for weight, each in single for _ in range(weight)]).flatmap(lambda each: each)
    return st.lists(weighted, min_size=1, max_size=4).map(_merged)


def _merged(tables: list[s.Table]) -> s.Table:
    merged: s.Table = {}
    for table in tables:
        merged |= table
    return merged


def properties(mood: Moods) -> Strategy:
    """Expiration and priority of a message."""
    short = [str(s.SHORT_MS)] * (4 if mood.short else 0)
    expirations = ["0", str(LONG_MS[0]), *short]
    choices: list[Strategy] = [
        st.just({}),
        st.sampled_from([0, 1, 3, 9, 200]).map(lambda value: {"priority": value}),
        st.sampled_from([*expirations * 3, "abc", "-1", "5 "]).map(lambda value: {"expiration": value}),
    ]
    # A short life and a priority never meet: see BY_CONSTRUCTION in explained.py.
    long = st.builds(lambda one: one | {"expiration": str(LONG_MS[0])}, choices[1])
    return st.one_of(*choices, long)


def more_keys(keys: Sequence[str], queues: Sequence[str]) -> Strategy:
    """CC and BCC; RabbitMQ passes over what is no string in the list, and refuses what is no list."""
    words = st.lists(st.sampled_from([*keys[:6], *queues, 1]), max_size=3)
    right = words.map(lambda value: {"CC": value})
    hidden = words.map(lambda value: {"BCC": value})
    wrong = st.sampled_from([{"CC": "a"}, {"BCC": 1}])
    return st.one_of(right, right, right, hidden, hidden, st.builds(lambda a, b: a | b, right, hidden), wrong)


def consumer_arguments() -> Strategy:
    """x-priority, mostly none."""
    return st.sampled_from([{}] * 5 + [{"x-priority": value} for value in (0, 1, 2, 5, -1)] + [{"x-priority": "high"}])
