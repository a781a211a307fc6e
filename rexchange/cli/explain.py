"""The way of a message to its queues: worked out from the bindings, and compared with the broker's answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text
from rich.tree import Tree

from rexchange.arguments import DELAYED_TYPE
from rexchange.cli.output import arguments, named, plain
from rexchange.codec import as_text, encode_value
from rexchange.policies import alternate_exchange
from rexchange.topology import DELAYED

if TYPE_CHECKING:
    from rexchange import Binding, Broker, Exchange
    from rexchange.codec import FieldValue

_ATTEMPTS = 3
CHOOSING = ("x-consistent-hash", "x-modulus-hash", "x-random")
"""Types that send a message by one of their bindings."""
Headers = Mapping[str, "FieldValue"]


@dataclass(frozen=True)
class Step:
    """One step from an exchange to a queue or another exchange, and why."""

    source: str
    destination: str
    destination_kind: Literal["queue", "exchange"]
    why: Literal["binding", "alternate exchange", "queue name"]
    binding_key: str = ""
    arguments: Headers = field(default_factory=dict[str, "FieldValue"])


@dataclass(frozen=True)
class Path:
    """All steps of a message, exchanges in the order in which it comes to them."""

    exchange: str
    routing_key: str
    types: Mapping[str, str]
    steps: list[Step]
    queues: list[str]
    """What the broker says; that the steps lead there and nowhere else has been compared."""
    agreed: bool


def explain(broker: Broker, exchange: str, key: str, headers: Headers) -> Path:
    """Return the way of a message. Raises NotFound.

    Where the steps and the broker disagree, somebody changed a binding between the questions: they are asked again.
    """
    for attempt in range(_ATTEMPTS):
        queues = broker.route(exchange, key, dict(headers))
        known = {item.name: item for item in broker.exchanges()}
        policies = broker.policies()
        alternates = {name: alternate_exchange(policies, item) for name, item in known.items()}
        steps = list(_walk(Known(broker, known, alternates), exchange, key, headers, queues))
        reached = {step.destination for step in steps if step.destination_kind == "queue"}
        agreed = reached == set(queues)
        if agreed or attempt == _ATTEMPTS - 1:
            types = {name: item.type for name, item in known.items()}
            return Path(exchange, key, types, steps, queues, agreed)
    raise AssertionError


@dataclass(frozen=True)
class Known:
    """What there is: exchanges, and where each sends what it does not route itself."""

    broker: Broker
    exchanges: Mapping[str, Exchange]
    alternates: Mapping[str, str | None]


def _walk(known: Known, first: str, key: str, headers: Headers, queues: list[str]) -> Iterator[Step]:
    """Yield the steps, each exchange once, an alternate exchange only where nothing of the exchange's own matches."""
    work, seen = [first], {first}
    for name in work:
        steps = list(_steps(known, name, key, headers, queues))
        yield from steps
        for step in steps:
            if step.destination_kind == "exchange" and step.destination not in seen:
                seen.add(step.destination)
                work.append(step.destination)


def _steps(known: Known, name: str, key: str, headers: Headers, queues: list[str]) -> Iterator[Step]:
    exchange = known.exchanges.get(name)
    if name == "":
        if key in queues:
            yield Step("", key, "queue", "queue name")
        return
    if exchange is None:
        return
    kind = routes_as(exchange)
    bindings = known.broker.bindings(name)
    if kind in CHOOSING:  # one of them, and which one only the broker says
        found = [binding for binding in bindings if binding.destination in queues][:1] or bindings[:1]
    else:
        found = [binding for binding in bindings if matches(kind, binding, key, headers)]
    for binding in found:
        to = binding.destination_kind
        yield Step(name, binding.destination, to, "binding", binding.binding_key, binding.arguments)
    alternate = known.alternates[name]
    if not found and alternate is not None:
        yield Step(name, alternate, "exchange", "alternate exchange")


def routes_as(exchange: Exchange) -> str:
    """Return the type by which an exchange routes: one that delays has another, one with a history is a fanout."""
    if exchange.type == DELAYED:
        return as_text(exchange.arguments.get(DELAYED_TYPE)) or ""
    return "fanout" if exchange.type == "x-recent-history" else exchange.type


def matches(type: str, binding: Binding, key: str, headers: Headers) -> bool:
    """Whether a binding of an exchange of this type takes a message."""
    if type == "fanout":
        return True
    if type == "headers":
        return _headers_match(binding.arguments, headers)
    if type == "topic":
        return _topic_matches(_words(binding.binding_key), _words(key))
    return binding.binding_key == key


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def _topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Whether `*` as one word and `#` as any number of them make the pattern the words."""
    reached = {0}  # how many words the pattern may have taken so far
    for part in pattern:
        if part == "#":
            reached = set(range(min(reached), len(words) + 1)) if reached else reached
        else:
            reached = {at + 1 for at in reached if at < len(words) and part in ("*", words[at])}
    return len(words) in reached


def _headers_match(wanted: Headers, headers: Headers) -> bool:
    """Whether all or any of the tests pass; a null asks for presence, and values are equal only with their types."""
    mode = _word(wanted.get("x-match", "all"))
    tests = [
        name in headers and (value is None or _same(headers[name], value))
        for name, value in wanted.items()
        if name != "x-match" and (mode.endswith("-with-x") or not name.startswith("x-"))
    ]
    return all(tests) if mode.startswith("all") else any(tests)


def _word(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _same(one: FieldValue, other: FieldValue) -> bool:
    return encode_value(one, canonical=True) == encode_value(other, canonical=True)


def data(path: Path) -> dict[str, Any]:
    """Return it for JSON."""
    return {
        "exchange": path.exchange,
        "routing_key": path.routing_key,
        "queues": path.queues,
        "steps": plain(path.steps),
        "agreed": path.agreed,
    }


def tree(path: Path) -> Tree:
    """Return it for people: exchanges as branches, queues as leaves."""
    root = Tree(Text(f"{_exchange(path, path.exchange)} < key {named(path.routing_key)}"))
    branches = {path.exchange: root}
    for step in path.steps:
        why = "its alternate exchange: nothing else matches" if step.why == "alternate exchange" else _by(path, step)
        if step.destination_kind == "queue":
            branches[step.source].add(Text(f"queue {named(step.destination)}  {why}"))
        elif step.destination in branches:
            branches[step.source].add(Text(f"exchange {named(step.destination)}  {why}, shown above"))
        else:
            label = Text(f"{_exchange(path, step.destination)}  {why}")
            branches[step.destination] = branches[step.source].add(label)
    if not path.agreed:
        root.add(Text(f"(bindings change as we look: the broker says {', '.join(map(named, path.queues)) or 'none'})"))
    return root


def _exchange(path: Path, name: str) -> str:
    kind = "default exchange" if name == "" else f"{path.types.get(name, 'missing')} exchange"
    return kind if name == "" else f"{kind} {named(name)}"


def _by(path: Path, step: Step) -> str:
    """Return in words what of the binding matched: that depends on the type of the exchange."""
    if step.why == "queue name":
        return "by its name"
    type_ = path.types.get(step.source)
    if type_ in CHOOSING:
        return "as the one that it chose"
    if type_ == "headers":
        return f"by {arguments(step.arguments) or 'no test at all'}"
    return "as everything" if type_ in ("fanout", "x-recent-history") else f"by {named(step.binding_key)}"
