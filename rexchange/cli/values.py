"""Reading what the user wrote: headers, arguments, properties."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rexchange.codec import FieldValue

HEADERS = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", help="A header: name=text, or name:=JSON for a number and the like.", metavar="K=V"),
]
ARGUMENTS = Annotated[
    list[str] | None,
    typer.Option(
        "--argument", "-a", help="An AMQP argument: name=text, or name:=JSON for a number and the like.", metavar="K=V"
    ),
]
PROPERTIES = Annotated[
    list[str] | None,
    typer.Option(
        "--property",
        "-p",
        help="An AMQP property, such as content_type=text/plain, priority=5, correlation_id=42.",
        metavar="K=V",
    ),
]

_INTS = ("priority", "delivery_mode")


def table(option: str, items: Iterable[str] | None) -> dict[str, FieldValue]:
    """Return headers or arguments; a value after `:=` is JSON, after `=` text. Raises typer.BadParameter."""
    found: dict[str, FieldValue] = {}
    for item in items or ():
        name, equals, text = item.partition("=")
        typed = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise _wrong(option, item, "name=text, or name:=JSON")
        if name in found:
            raise _wrong(option, item, f"each name once, and {name!r} was given before")
        found[name] = _json(option, item, text) if typed else text
    return found


def _json(option: str, item: str, text: str) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return json.loads(text)
    except ValueError as error:
        raise _wrong(option, item, "JSON after ':=', such as 5, true, null or [1, 2]; text stands after '='") from error


def properties(items: Iterable[str] | None) -> dict[str, Any]:
    """Return AMQP properties by name, of their types. Raises typer.BadParameter; ranges are the library's to check."""
    from rexchange.message import PropertyArgs

    known = sorted(PropertyArgs.__annotations__)
    found: dict[str, Any] = {}
    for item in items or ():
        name, equals, text = item.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in known:
            raise _wrong("--property", item, f"name=value with one of the names {', '.join(known)}")
        if name in _INTS:
            if not (text.isascii() and text.isdigit()):
                raise _wrong("--property", item, "a whole number")
            found[name] = int(text)
        elif name == "timestamp":
            found[name] = instant("--property", text)
        else:
            found[name] = text
    return found


def instant(option: str, text: str) -> datetime:
    """Return a time, of this machine's zone where none is given. Raises typer.BadParameter."""
    try:
        found = datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise _wrong(option, text, "seconds since 1970, or a date such as 2030-01-31T12:00:00Z") from error
    return found if found.tzinfo is not None else found.astimezone()


def _wrong(option: str, item: str, wanted: str) -> typer.BadParameter:
    return typer.BadParameter(f"{item!r}: wanted {wanted}", param_hint=f"'{option}'")
