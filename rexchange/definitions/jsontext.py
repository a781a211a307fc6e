"""The JSON of definitions: read with the place of what is wrong, and values of AMQP that JSON has no form for.

Those are written as ``{"$rexchange": <type>, "value": <text>}``: bytes that are no UTF-8 (base64), timestamp (ISO
8601), decimal, float (nan, inf), and table, for a table that looks like one of these.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, cast

from rexchange.codec import FieldValue, Table
from rexchange.errors import InvalidArgument, Problem

_SHOWN_CHARACTERS = 60
_TAG = "$rexchange"
_DEPTH = 32  # of tables in tables: as in the codec


class Wrong(Exception):
    """Inside only: something in the JSON cannot be meant so."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        """Say what, and where (from 1)."""
        super().__init__(message)
        at = f"line {line}" if column is None else f"line {line}, column {column}"
        where = "" if line is None else f"{at}: "
        self.problem = Problem(where + message, line=line, column=column)


def shown(value: object) -> str:
    """Return a value as a message shows it: as JSON, cut."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = type(value).__name__
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


# --- text


def loads(source: str | bytes | bytearray | memoryview | Mapping[str, object]) -> Mapping[str, object]:
    """Return the object that the JSON is; what was read before is returned as it is. Raises Wrong, InvalidArgument."""
    if isinstance(source, Mapping):
        return source
    text = _decoded(bytes(source)) if isinstance(source, bytes | bytearray | memoryview) else source
    if not isinstance(text, str):
        raise InvalidArgument("source", source, "JSON as str or bytes, a dict, or a Path")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise Wrong("it is empty: wanted RabbitMQ's definitions as JSON")
    try:
        content: object = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise _syntax(text, error) from error
    except RecursionError as error:
        raise Wrong("it is nested too deeply") from error
    except ValueError as error:
        raise Wrong(f"no JSON: {error}") from error  # a number of thousands of digits
    if not isinstance(content, dict):
        raise Wrong(f"it is {shown(content)}: wanted an object with keys such as queues, exchanges and bindings")
    return cast("dict[str, object]", content)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        column = error.start - before.rfind(b"\n")
        byte = raw[error.start]
        raise Wrong(f"no UTF-8: the byte 0x{byte:02x} begins no character", before.count(b"\n") + 1, column) from error


def _syntax(text: str, error: json.JSONDecodeError) -> Wrong:
    """Return the error, and for the commonest mistakes say what to do."""
    at, what = error.pos, error.msg
    comma = re.compile(r"\s*,?\s*(?=[]}])").match(text, at)  # where Python says that it is differs by version
    if comma is not None and text[: comma.end()].rstrip().endswith(","):
        at, what = comma.end(), "the comma before this bracket is one too many, remove it"
    elif re.compile(r"//|/\*|#").match(text, at):
        what += "; JSON has no comments"
    elif at == 0:
        what += "; give the name of a file as a Path"
    return Wrong(f"no JSON: {what}", text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object, and refuse a key that stands in it twice: half of the file would be lost silently."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        of = f" that has the name {shown(made['name'])}" if "name" in made else ""
        raise Wrong(f"the key {twice!r} stands twice in one object{of}: keep one of them")
    return made


def _constant(word: str) -> NoReturn:
    raise Wrong(f"no JSON: it has no {word}")


# --- values


def to_table(table: Mapping[str, object], where: str, depth: int = 0) -> dict[str, FieldValue]:
    """Return a JSON object as a table of AMQP; Wrong names the key of what is none."""
    return {key: _value(value, f"{where}[{key!r}]", depth) for key, value in table.items()}


def _value(value: object, where: str, depth: int) -> FieldValue:
    if depth > _DEPTH:
        raise Wrong(f"{where[:_SHOWN_CHARACTERS]}… is nested too deeply")
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return _tagged(table, where, depth) if _is_tagged(table) else to_table(table, where, depth + 1)
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return [_value(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(items)]
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong(f"{where} is {value!r}: give a number that a float can hold")
    return cast("FieldValue", value)


def _is_tagged(table: Mapping[str, object]) -> bool:
    return table.keys() == {_TAG, "value"}


_READERS: dict[str, Callable[[Any], FieldValue]] = {
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "timestamp": datetime.fromisoformat,
    "decimal": Decimal,
    "float": float,
}


def _tagged(table: Mapping[str, object], where: str, depth: int) -> FieldValue:
    kind, value = table[_TAG], table["value"]
    if kind == "table" and isinstance(value, Mapping):
        return to_table(cast("Mapping[str, object]", value), where, depth + 1)
    reader = _READERS.get(str(kind))
    if reader is None or not isinstance(value, str):
        raise Wrong(f"{where} is {shown(table)}: {_TAG} is one of table, {', '.join(_READERS)}, and value a string")
    try:
        return reader(value)
    except (ValueError, InvalidOperation, binascii.Error) as error:
        raise Wrong(f"{where} is {shown(value)}: that is no {kind}") from error


def to_json(table: Table) -> dict[str, Any]:
    """Return a table of AMQP as JSON can say it; `to_table` makes the same of it again."""
    return {key: _json(value) for key, value in table.items()}


def _json(value: FieldValue) -> Any:  # noqa: ANN401 - JSON has any shape
    if isinstance(value, Mapping):
        plain = to_json(value)
        return {_TAG: "table", "value": plain} if _is_tagged(value) else plain
    if isinstance(value, bytes):
        try:
            return value.decode()  # "x" is the same as b"x" in AMQP
        except UnicodeDecodeError:
            return {_TAG: "bytes", "value": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {_TAG: "timestamp", "value": value.isoformat()}
    if isinstance(value, Decimal):
        return {_TAG: "decimal", "value": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {_TAG: "float", "value": repr(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(item) for item in value]
    return value
