"""A topology -> TOML that `read` makes the same of again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from rexchange.arguments import ALTERNATE_EXCHANGE, OPTION_NAMES, TIME_OPTIONS
from rexchange.codec import Table
from rexchange.definitions import Topology
from rexchange.definitions.jsontext import to_json
from rexchange.errors import InvalidArgument
from rexchange.topology import Binding, Exchange, Queue

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SECOND_MS = 1000
_OPTIONS: Mapping[str, str] = {of: option for option, of in OPTION_NAMES.items() if option != "max_age"}
"""Arguments that have an option; not x-max-age, whose text is to stay as it is."""


def dump(topology: Topology) -> str:
    """Return a topology as TOML, always in the same order. Raises InvalidArgument for a None, which TOML has not."""
    rows = [_section("exchanges", each.name, _exchange(each)) for each in sorted(topology.exchanges, key=_name)]
    rows += [
        _section(
            "policies",
            each.name,
            {
                "pattern": each.pattern,
                "definition": to_json(each.definition),
                **_unless({"priority": each.priority, "apply_to": each.apply_to}, priority=0, apply_to="all"),
            },
        )
        for each in sorted(topology.policies, key=_name)
    ]
    rows += [_section("queues", each.name, _queue(each)) for each in sorted(topology.queues, key=_name)]
    bindings = sorted(topology.bindings, key=lambda each: (each.source, each.destination, each.binding_key))
    rows += ["\n".join(("[[bindings]]", *_lines("a binding", _binding(each)))) + "\n" for each in bindings]
    return "\n".join(rows)


def _name(value: Any) -> str:  # noqa: ANN401 - an exchange, a policy or a queue
    return str(value.name)


def _section(section: str, name: str, row: Mapping[str, object]) -> str:
    return "\n".join((f"[{section}.{_key(name)}]", *_lines(name, row))) + "\n"


def _lines(where: str, row: Mapping[str, object]) -> Iterator[str]:
    for key, value in row.items():
        yield f"{key} = {_value(value, f'{where}: {key}')}"


def _exchange(exchange: Exchange) -> dict[str, object]:
    flags = {"durable": exchange.durable, "auto_delete": exchange.auto_delete, "internal": exchange.internal}
    row = {"type": exchange.type, **_unless(flags, durable=True, auto_delete=False, internal=False)}
    arguments = dict(exchange.arguments)
    if exchange.alternate_exchange is not None:
        row["alternate_exchange"] = exchange.alternate_exchange
        del arguments[ALTERNATE_EXCHANGE]
    return row | _arguments(arguments)


def _queue(queue: Queue) -> dict[str, object]:
    flags = {"durable": queue.durable, "auto_delete": queue.auto_delete}
    row = _unless(flags, durable=True, auto_delete=False)
    arguments = dict(queue.arguments)
    for argument in sorted(arguments.keys() & _OPTIONS):
        option = _OPTIONS[argument]
        value: Any = to_json({argument: arguments.pop(argument)})[argument]
        if option in TIME_OPTIONS:
            value = _time(value)
        elif option == "retry_delays":
            value = [_time(each) for each in value]
        row[option] = value
    return row | _arguments(arguments)


def _time(ms: int) -> object:
    return ms // _SECOND_MS if ms % _SECOND_MS == 0 else f"{ms}ms"


def _binding(binding: Binding) -> dict[str, object]:
    row: dict[str, object] = {"source": binding.source, binding.destination_kind: binding.destination}
    return row | _unless({"key": binding.binding_key}, key="") | _arguments(binding.arguments)


def _arguments(table: Table) -> dict[str, object]:
    return {"arguments": to_json(table)} if table else {}


def _unless(row: Mapping[str, object], **defaults: object) -> dict[str, object]:
    return {key: value for key, value in row.items() if value != defaults[key]}


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: object, where: str) -> str:
    if value is None:
        raise InvalidArgument(where, value, "something else: TOML has no None")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        inside = ", ".join(f"{_key(key)} = {_value(item, f'{where}[{key!r}]')}" for key, item in pairs)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_value(item, where) for item in cast('list[object]', value))}]"
    return repr(value)
