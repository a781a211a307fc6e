"""Definitions -> values: read whole, and all that is wrong with them told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from rexchange import policies
from rexchange.arguments import exchange_arguments, queue_arguments
from rexchange.codec import FieldValue, Table, as_text, encode_table, short_string
from rexchange.definitions.jsontext import Wrong, loads, shown, to_table
from rexchange.definitions.values import Content, Definitions, LeftOut, binding_name, differing
from rexchange.errors import (
    AccessRefused,
    DefinitionsError,
    InvalidArgument,
    NotSupported,
    PreconditionFailed,
    Problem,
)
from rexchange.policies import ApplyTo, Policy
from rexchange.records import encode_binding_id
from rexchange.topology import (
    PREDECLARED,
    Binding,
    DestinationKind,
    Exchange,
    Queue,
    check_exchange,
    check_name,
    check_new_name,
    check_queue,
    check_type,
    check_vhost,
)

K = TypeVar("K")
V = TypeVar("V", Exchange, Policy, Queue, Binding)

_INFORMATION = frozenset(
    {"rabbit_version", "rabbitmq_version", "product_name", "product_version", "rabbitmq_definition_format"}
    | {"original_vhost_name", "original_cluster_name", "explanation", "description", "metadata", "tags"}
    | {"default_queue_type"}
)
_KEYS = {
    "vhosts": {"name", "description", "tags", "metadata", "limits", "default_queue_type", "tracing"}
    | {"protected_from_deletion"},
    "exchanges": {"name", "vhost", "type", "durable", "auto_delete", "internal", "arguments"},
    "policies": {"name", "vhost", "pattern", "apply-to", "definition", "priority"},
    "queues": {"name", "vhost", "durable", "auto_delete", "arguments", "type", "exclusive"},
    "bindings": {"source", "vhost", "destination", "destination_type", "routing_key", "arguments", "properties_key"},
}
_NO_USERS = "rexchange has no users: Redis says who may do what"
_SKIPPED = {
    "users": ("user", _NO_USERS),
    "permissions": ("permission", _NO_USERS),
    "topic_permissions": ("topic permission", _NO_USERS),
    "parameters": ("parameter", "parameters are for RabbitMQ's plugins and operator policies"),
    "global_parameters": ("global parameter", "it is about RabbitMQ itself"),
    "limits": ("vhost limit", "vhosts have no limits here"),
}


def read(source: str | bytes | Mapping[str, object], *, vhost: str, file: str = "") -> Definitions:
    """Read definitions: JSON, or what was read from it. `vhost`: the one of objects that name none.

    Raises DefinitionsError that lists everything that is wrong; `file` is for its message.
    """
    reader = _Reader(vhost)
    try:
        content = loads(source)
        reader.sections(content)
    except Wrong as error:
        reader.problems.append(error.problem)
    if reader.problems:
        raise DefinitionsError(reader.problems, file=file)
    found = {name: gathered.content() for name, gathered in reader.vhosts.items()}
    return Definitions(found, (*reader.left_out, *reader.unknown_keys()), file)


@dataclass
class _Gathered:
    """What was found of one vhost so far, each thing under what makes it this one."""

    exchanges: dict[str, Exchange] = field(default_factory=dict[str, Exchange])
    policies: dict[str, Policy] = field(default_factory=dict[str, Policy])
    queues: dict[str, Queue] = field(default_factory=dict[str, Queue])
    bindings: dict[tuple[str, bytes], Binding] = field(default_factory=dict[tuple[str, bytes], Binding])

    def content(self) -> Content:
        exchanges, bindings = tuple(self.exchanges.values()), tuple(self.bindings.values())
        return Content(exchanges, tuple(self.policies.values()), tuple(self.queues.values()), bindings)


@dataclass(frozen=True)
class _Row:
    """One object of a section."""

    section: str
    index: int
    raw: Mapping[str, object]

    @property
    def name(self) -> str:
        """What it is called, as far as that can be said of anything."""
        if self.section == "bindings":
            return f"{self.raw.get('source', '?')} -> {self.raw.get('destination', '?')}"
        return str(self.raw.get("name", ""))

    def text(self, key: str, default: str | None = None) -> str:
        value = self.raw.get(key)
        value = default if value is None else value
        if value is None:
            raise Wrong(f"{key} is missing: give a string")
        if not isinstance(value, str):
            raise Wrong(f"{key} is {shown(value)}: give a string")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.raw.get(key)
        if value is None or value == "undefined":  # RabbitMQ exports that word for what was left out in an import
            return default
        if not isinstance(value, bool):
            raise Wrong(f"{key} is {shown(value)}: give true or false")
        return value

    def table(self, key: str) -> dict[str, FieldValue]:
        value: object = self.raw.get(key) or {}  # [] is an empty table, to who writes JSON in PHP or Erlang
        if not isinstance(value, Mapping):
            raise Wrong(f"{key} is {shown(value)}: give an object")
        return to_table(cast("Mapping[str, object]", value), key)


class _Reader:
    """Gathers what is there, and everything that is wrong."""

    def __init__(self, vhost: str) -> None:
        self.vhosts: dict[str, _Gathered] = {}
        self.left_out: list[LeftOut] = []
        self.problems: list[Problem] = []
        self._default = vhost
        self._unknown: dict[str, int] = {}

    def sections(self, content: Mapping[str, object]) -> None:
        if content and not content.keys() & {*_KEYS, *_SKIPPED, *_INFORMATION}:
            keys = ", ".join(sorted(map(str, content))[:5])
            raise Wrong(f"these are no definitions: none of {', '.join(_KEYS)} among its keys ({keys})")
        for section, take in _SECTIONS.items():
            for index, raw in enumerate(self._rows(section, content.get(section))):
                self._take(section, index, raw, take)
        for section, (kind, reason) in _SKIPPED.items():
            value: object = content.get(section) or []
            for raw in cast("list[object]", value if isinstance(value, list) else [value]):
                self.left_out.append(LeftOut("skipped", kind, _vhost_of(raw), _label(raw), reason))
        for key in sorted(map(str, content.keys() - {*_KEYS, *_SKIPPED, *_INFORMATION})):
            self.left_out.append(LeftOut("skipped", "key", "", key, "no key of RabbitMQ's definitions"))

    def unknown_keys(self) -> list[LeftOut]:
        """Return the keys of objects that mean nothing, each once."""
        return [
            LeftOut("skipped", "key", "", key, f"ignored, in {count} object{'s' if count > 1 else ''}")
            for key, count in self._unknown.items()
        ]

    def _rows(self, section: str, value: object) -> list[object]:
        if value is None or isinstance(value, list):
            return cast("list[object]", value or [])
        self.problems.append(Problem(f"{section} is {shown(value)}: give a list"))
        return []

    def _take(self, section: str, index: int, raw: object, take: Callable[[_Reader, _Row, str], None]) -> None:
        """Read one object; what is wrong with it does not keep the others from being read."""
        where, kind = f"{section}[{index}]", _kind(section)
        if not isinstance(raw, Mapping):
            self.problems.append(Problem(f"{where} is {shown(raw)}: give an object", kind))
            return
        row = _Row(section, index, cast("Mapping[str, object]", raw))
        vhost = ""
        try:
            vhost = self._default if section == "vhosts" else row.text("vhost", self._default)
            check_vhost(row.text("name") if section == "vhosts" else vhost)
            take(self, row, vhost)
        except (Wrong, InvalidArgument, PreconditionFailed) as error:
            called = f"{kind} {row.name!r}"
            subject = "" if str(error).startswith(called) else f"{called}: "
            at = f"{where} in vhost {vhost!r}" if vhost and section != "vhosts" else where
            self.problems.append(Problem(f"{at}: {subject}{error}", kind, vhost, row.name))
        except NotSupported as error:
            self.left_out.append(LeftOut("unsupported", kind, vhost, row.name, str(error)))
        except AccessRefused:
            reason = "names that begin with 'amq.' are the broker's own; RabbitMQ imports none either"
            self.left_out.append(LeftOut("skipped", kind, vhost, row.name, reason))
        for key in sorted(map(str, row.raw.keys() - _KEYS[section])):
            self._unknown[f"{section}[].{key}"] = self._unknown.get(f"{section}[].{key}", 0) + 1

    def skip(self, kind: str, vhost: str, name: str, reason: str) -> None:
        self.left_out.append(LeftOut("skipped", kind, vhost, name, reason))

    def of(self, vhost: str) -> _Gathered:
        return self.vhosts.setdefault(vhost, _Gathered())


def _keep(known: dict[K, V], key: K, value: V) -> None:
    """Keep a value; the same again is nothing new, another one under the same key cannot be meant."""
    before = known.setdefault(key, value)
    names = differing(before, value)
    if names:
        here, there = (", ".join(f"{name}={shown(getattr(each, name))}" for name in names) for each in (before, value))
        raise Wrong(f"it is defined twice, with {here} and with {there}: keep one of them")


def _read_vhost(reader: _Reader, row: _Row, _vhost: str) -> None:
    name = row.text("name")
    reader.of(name)
    metadata = row.raw.get("metadata")
    described: Mapping[str, object] = {**cast("Table", metadata if isinstance(metadata, Mapping) else {}), **row.raw}
    kind = described.get("default_queue_type")
    if kind not in (None, "undefined", "", "classic"):
        reason = f"default queue type {kind}: queues that are declared without a type are classic here"
        reader.skip("vhost", name, name, reason)
    if described.get("limits"):
        reader.skip("vhost limit", name, name, _SKIPPED["limits"][1])


def _read_exchange(reader: _Reader, row: _Row, vhost: str) -> None:
    name = row.text("name")
    if name in PREDECLARED:
        reader.skip("exchange", vhost, name, "it is in every vhost")
        return
    check_new_name("exchange", name)
    type_name = row.text("type")
    check_type(type_name, name)
    flags = row.flag("durable", default=True), row.flag("auto_delete", default=False)
    arguments = exchange_arguments(row.table("arguments"), name=name)
    exchange = Exchange(name, type_name, *flags, row.flag("internal", default=False), arguments)
    check_exchange(exchange)
    _keep(reader.of(vhost).exchanges, name, exchange)


def _read_queue(reader: _Reader, row: _Row, vhost: str) -> None:
    name = row.text("name")
    check_new_name("queue", name)
    if row.flag("exclusive", default=False):
        reader.skip("queue", vhost, name, "an exclusive queue belongs to a connection and goes with it")
        return
    arguments = queue_arguments(row.table("arguments"), name=name)
    flags = row.flag("durable", default=True), row.flag("auto_delete", default=False)
    queue = Queue(name, durable=flags[0], auto_delete=flags[1], arguments=arguments)
    check_queue(queue, named=True)
    _keep(reader.of(vhost).queues, name, queue)
    named = row.text("type", "classic")
    if named in ("quorum", "stream") and named != as_text(arguments.get("x-queue-type")):
        reason = f"type {named} is ignored, as in RabbitMQ: it counts as the argument x-queue-type only"
        reader.skip("key", vhost, f"type of queue {name}", reason)


def _read_policy(reader: _Reader, row: _Row, vhost: str) -> None:
    name = row.text("name")
    given = row.table("definition")
    priority = row.raw.get("priority")
    known = {key: value for key, value in given.items() if key in policies.MEANT or key in policies.IGNORED}
    policy = Policy(
        name,
        row.text("pattern"),
        known if known or not given else given,
        cast("int", 0 if priority is None else priority),
        cast("ApplyTo", row.text("apply-to", "all")),
    )
    if known or not given:
        policies.check(policy)
        _keep(reader.of(vhost).policies, name, policy)
    for key in sorted(given.keys() - known.keys()):
        reason = f"policy {name!r}: rexchange knows no {key!r} in a definition"
        reader.left_out.append(LeftOut("unsupported", "policy", vhost, name, reason))


def _read_binding(reader: _Reader, row: _Row, vhost: str) -> None:
    word = row.text("destination_type")
    if word not in ("queue", "exchange"):
        raise Wrong(f"destination_type is {word!r}: give queue or exchange")
    kind: DestinationKind = "queue" if word == "queue" else "exchange"
    key = row.text("routing_key", "")
    binding = Binding(row.text("source"), row.text("destination"), kind, key, row.table("arguments"))
    check_name("exchange", binding.source)
    short_string("routing_key", binding.binding_key)
    encode_table(binding.arguments, "arguments")
    identity = encode_binding_id(binding)
    if binding.source == "":
        implied = kind == "queue" and binding.destination == binding.binding_key
        reason = "every queue is bound to the default exchange by its name" if implied else "nobody can bind to it"
        reader.skip("binding", vhost, binding_name(binding), f"the default exchange: {reason}")
        return
    _keep(reader.of(vhost).bindings, (binding.source, identity), binding)


_SECTIONS: dict[str, Callable[[_Reader, _Row, str], None]] = {
    "vhosts": _read_vhost,
    "exchanges": _read_exchange,
    "policies": _read_policy,
    "queues": _read_queue,
    "bindings": _read_binding,
}


def _kind(section: str) -> str:
    return "policy" if section == "policies" else section.removesuffix("s")


def _vhost_of(raw: object) -> str:
    return str(cast("Table", raw).get("vhost") or "") if isinstance(raw, Mapping) else ""


def _label(raw: object) -> str:
    """Return what a user, a permission or a parameter is called."""
    if not isinstance(raw, Mapping):
        return shown(raw)
    row = cast("Mapping[str, object]", raw)
    named = [str(row[key]) for key in ("component", "user", "name", "exchange") if row.get(key) is not None]
    return " ".join(named)
