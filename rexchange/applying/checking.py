"""What can be wrong with a topology as a whole: two of one name, exchanges whose alternates go round in a circle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rexchange import policies
from rexchange.applying.places import place_of
from rexchange.definitions import Topology
from rexchange.definitions.values import binding_name
from rexchange.errors import Problem
from rexchange.records import encode_binding_id
from rexchange.topology import Exchange

Lines = Mapping[tuple[str, str], int]


def check(topology: Topology, lines: Lines) -> Iterator[Problem]:
    """Tell what is wrong with it, whatever is there."""
    yield from _twice("exchange", [each.name for each in topology.exchanges], lines)
    yield from _twice("policy", [each.name for each in topology.policies], lines)
    yield from _twice("queue", [each.name for each in topology.queues], lines)
    seen: set[tuple[str, bytes]] = set()
    for binding in topology.bindings:
        identity, name = (binding.source, encode_binding_id(binding)), binding_name(binding)
        if identity in seen:
            words = f"binding {name} is here twice: keep one of them"
            yield problem("binding", name, words, lines, place_of(binding))
        seen.add(identity)
    yield from circles(topology.exchanges, topology.policies, lines)


def problem(kind: str, name: str, words: str, lines: Lines, place: tuple[str, str] | None = None) -> Problem:
    """Return a problem with its line."""
    line = lines.get(place or (kind, name))
    return Problem(words if line is None else f"line {line}: {words}", kind, name=name, line=line)


def _twice(kind: str, names: list[str], lines: Lines) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            plural = "policies" if kind == "policy" else f"{kind}s"
            yield problem(kind, name, f"{count} {plural} of the name {name!r}: keep one of them", lines)


def circles(
    exchanges: Iterable[Exchange], rules: Iterable[policies.Policy], lines: Lines, about: Iterable[str] | None = None
) -> Iterator[Problem]:
    """Tell each circle of alternate exchanges once, if one of `about` (all) is in it.

    Routing would end all the same, since it enters each exchange once: but such a message would reach nothing.
    """
    rules = list(rules)
    following = {each.name: policies.alternate_exchange(rules, each) for each in exchanges}
    wanted, done = None if about is None else set(about), set[str]()
    for start in following:
        path: list[str] = []
        name: str | None = start
        while name in following and name not in done:
            if name in path:
                circle = path[path.index(name) :]
                if wanted is None or wanted & set(circle):
                    first = next((each for each in circle if wanted is None or each in wanted), name)
                    way = " -> ".join((*circle, name))
                    words = f"exchange {first!r}: alternate exchanges in a circle: {way}; let one of them end it"
                    yield problem("exchange", first, words, lines)
                break
            path.append(name)
            name = following[name]
        done.update(path)
