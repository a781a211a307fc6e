"""What stands in a topology file: one object after the other, by the names of Python's parameters."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

from rexchange.applying import making
from rexchange.applying.places import Path
from rexchange.arguments import OPTION_NAMES, TIME_OPTIONS
from rexchange.codec import FieldValue
from rexchange.definitions.jsontext import Wrong, shown, to_table
from rexchange.policies import ApplyTo, Policy
from rexchange.topology import Binding, DestinationKind, Exchange, Queue

V = TypeVar("V")

KEYS: Mapping[str, tuple[str, ...]] = {
    "exchanges": ("type", "durable", "auto_delete", "internal", "alternate_exchange", "arguments"),
    "policies": ("pattern", "definition", "priority", "apply_to"),
    "queues": ("durable", "auto_delete", "arguments", *OPTION_NAMES),
    "bindings": ("source", "queue", "exchange", "key", "arguments"),
}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_ELSEWHERE = {
    "exclusive": "exclusive queues belong to the Broker that declares them",
    "passive": "a file says what is to be there",
    "name": "the name is that of the table",
    "binding_key": "key is meant",
    "routing_key": "key is meant",
    "destination": "queue or exchange is meant",
    "definitions": "definition is meant",
    "alternate-exchange": "alternate_exchange is meant",
}


@dataclass(frozen=True)
class Row:
    """One object: the keys that lead to it, its name ("" for a binding), and what stands in it."""

    path: Path
    name: str
    raw: Mapping[str, object]

    @property
    def section(self) -> str:
        """Return which of KEYS it is in."""
        return str(self.path[0])

    @property
    def called(self) -> str:
        """What it is called, as far as that can be said of anything."""
        if self.section != "bindings":
            return self.name
        end = self.raw.get("queue", self.raw.get("exchange", "?"))
        key = self.raw.get("key", "")
        return f"{self.raw.get('source', '?')} -> {end}{f' by {key!r}' if key else ''}"

    def get(self, key: str, kind: type[V], default: V, wanted: str) -> V:
        """Return the value of a key. Raises Wrong where it is of another type."""
        value = self.raw.get(key, default)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise Wrong(f"{key} is {shown(value)}: give {wanted}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; Wrong also where it is missing and must not be."""
        if default is None and key not in self.raw:
            raise Wrong(f"{key} is missing")
        return self.get(key, str, default or "", "a string")

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        return self.get(key, bool, default, "true or false")

    def table(self, key: str) -> dict[str, FieldValue]:
        """Return a table of AMQP."""
        nothing: Mapping[str, object] = {}
        found = cast("Mapping[str, object]", self.get(key, Mapping, nothing, "a table"))  # type: ignore[type-abstract]  # isinstance takes it
        return to_table(found, key)


def unknown(word: str, known: tuple[str, ...]) -> str:
    """Return what to say of a key that nobody knows: the one that is meant, where that can be guessed."""
    if word in _ELSEWHERE:
        return f"unknown key {word!r}: {_ELSEWHERE[word]}"
    close = difflib.get_close_matches(word.replace("-", "_").removeprefix("x_"), known, 1)
    meant = f"{close[0]} is meant" if close else f"wanted one of {', '.join(known)}"
    return f"unknown key {word!r}: {meant}"


def duration(key: str, value: object) -> timedelta:
    """Return a time: a number of seconds, or a text with a unit such as "90s". Raises Wrong."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError) as error:
            raise Wrong(f"{key} is {shown(value)}: give at most 49 days") from error
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        wanted = 'seconds as a number, or a text such as "500ms", "90s", "15m", "2h", "7d"'
        raise Wrong(f"{key} is {shown(value)}: give {wanted}")
    try:
        return float(found[1]) * _UNITS[found[2]]
    except OverflowError as error:
        raise Wrong(f"{key} is {shown(value)}: give at most 49 days") from error


def read_exchange(row: Row) -> Exchange:
    """Return the exchange of a row."""
    flags = row.flag("durable", default=True), row.flag("auto_delete", default=False)
    made = Exchange(
        row.name, row.text("type", "direct"), *flags, row.flag("internal", default=False), row.table("arguments")
    )
    return making.exchange(made, row.text("alternate_exchange") if "alternate_exchange" in row.raw else None)


def read_queue(row: Row) -> Queue:
    """Return the queue of a row."""
    options = {option: row.raw[option] for option in OPTION_NAMES if option in row.raw}
    for option in options.keys() & TIME_OPTIONS:
        options[option] = duration(option, options[option])
    if "retry_delays" in options:
        found = row.get("retry_delays", list, [], "a list of times")
        options["retry_delays"] = [duration("retry_delays", each) for each in cast("list[object]", found)]
    for option, value in options.items():
        if value is None:
            raise Wrong(f"{option} is null: leave it out")
    flags = row.flag("durable", default=True), row.flag("auto_delete", default=False)
    made = Queue(row.name, durable=flags[0], auto_delete=flags[1], arguments=row.table("arguments"))
    return making.queue(made, options)


def read_policy(row: Row) -> Policy:
    """Return the policy of a row."""
    if "definition" not in row.raw:
        raise Wrong("definition is missing")
    priority = row.get("priority", int, 0, "a whole number")
    apply_to = cast("ApplyTo", row.text("apply_to", "all"))
    return making.policy(Policy(row.name, row.text("pattern"), row.table("definition"), priority, apply_to))


def read_binding(row: Row) -> Binding:
    """Return the binding of a row."""
    ends = [key for key in ("queue", "exchange") if key in row.raw]
    if len(ends) != 1:
        raise Wrong("give either queue or exchange: what gets the messages")
    kind: DestinationKind = "queue" if ends == ["queue"] else "exchange"
    made = Binding(row.text("source"), row.text(ends[0]), kind, row.text("key", ""), row.table("arguments"))
    return making.binding(made)
