"""RabbitMQ's routing written down a second time, plainly, with nothing of rexchange in it (docs/semantics.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def words_of(key: str) -> list[str]:
    """Split a key: the empty one has no words, and empty words are words."""
    return key.split(".") if key else []


def topic_matches(pattern: str, key: str) -> bool:
    """Whether a topic pattern takes a key; one row of the table for each word of the pattern."""
    words = words_of(key)
    # reached[n]: the pattern so far can have taken the first n words
    reached = [True] + [False] * len(words)
    for part in words_of(pattern):
        if part == "#":
            start = reached.index(True) if True in reached else len(reached)
            reached = [at >= start for at in range(len(reached))]
        else:
            reached = [
                False,
                *(before and part in ("*", word) for before, word in zip(reached, words, strict=False)),
            ]
    return reached[-1]


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Whether a binding of a headers exchange takes these headers."""
    mode = arguments.get("x-match", "all")
    wanted = {
        key: value
        for key, value in arguments.items()
        if key != "x-match" and (mode.endswith("-with-x") or not key.startswith("x-"))
    }
    hits = [
        key in headers and (value is None or (type(headers[key]), headers[key]) == (type(value), value))
        for key, value in wanted.items()
    ]
    return any(hits) if mode.startswith("any") else all(hits)


@dataclass(frozen=True)
class Arrow:
    """A binding."""

    source: str
    to_queue: bool
    destination: str
    key: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def takes(self, kind: str, key: str, headers: Mapping[str, Any]) -> bool:
        """Whether this binding of an exchange of the type `kind` takes the message."""
        if kind == "fanout":
            return True
        if kind == "direct":
            return self.key == key
        return topic_matches(self.key, key) if kind == "topic" else headers_match(self.arguments, headers)


@dataclass
class Router:
    """Exchanges by name (type, alternate exchange), queues, and bindings."""

    exchanges: dict[str, tuple[str, str | None]]
    queues: set[str]
    arrows: list[Arrow]

    def route(self, exchange: str, key: str, headers: Mapping[str, Any]) -> set[str]:
        """The queues that a message reaches, each once."""
        found: set[str] = set()
        seen: set[str] = set()
        ahead = [exchange]
        while ahead:
            name = ahead.pop()
            if name in seen or name not in self.exchanges:
                continue
            seen.add(name)
            kind, alternate = self.exchanges[name]
            hits = [arrow for arrow in self.arrows if arrow.source == name and arrow.takes(kind, key, headers)]
            found |= {arrow.destination for arrow in hits if arrow.to_queue}
            ahead += [arrow.destination for arrow in hits if not arrow.to_queue]
            if not hits and alternate is not None:
                ahead.append(alternate)
        return found
