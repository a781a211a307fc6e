"""How results look: JSON for programs, tables for people."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rexchange import BrowsedMessage, Delivery

# Without a terminal nothing is wrapped or cut: `rexchange list queues | grep mail` must find long names whole.
_UNLIMITED = 10_000
# Characters of a body that browsing shows; --body and --json show all.
_SHOWN = 200


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr as they are now."""
    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=_UNLIMITED)


def plain(value: object) -> Any:  # noqa: ANN401 - JSON has any shape
    """Return a value as JSON can say it: times as seconds, instants as ISO 8601, bytes as text or base64."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        text = readable(value)
        return {"base64": base64.b64encode(value).decode()} if text is None else text
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in cast("Sequence[object]", value)]
    return value


def readable(raw: bytes) -> str | None:
    """Return bytes as text, or None where they are none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def safe(text: str, keep: str = "") -> str:
    """Return text that cannot steer the terminal: control characters but those to `keep` are written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def named(name: str) -> str:
    """Return a name for people; the empty one is shown as ''."""
    return safe(name) or "''"


def arguments(table: Mapping[str, object]) -> str:
    """Return a table of arguments or headers on one line."""
    return safe(", ".join(f"{name}={value!r}" for name, value in table.items()))


def count(number: int, noun: str, plural: str = "") -> str:
    """Return "1 message", "2 messages"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def grid(columns: Iterable[str], rows: Iterable[Sequence[str | int]], *, caption: str = "") -> Table:
    """Return a table; numbers stand to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, caption=caption or None, caption_justify="left")
    listed = list(rows)
    for index, column in enumerate(columns):
        numbers = bool(listed) and all(isinstance(row[index], int) for row in listed)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in listed:
        table.add_row(*[Text(f"{cell:,}" if isinstance(cell, int) else cell) for cell in row])
    return table


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Return names and values below each other."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def delivery_data(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery for JSON; a body that is no text is `body_base64`."""
    return {
        "queue": delivery.queue,
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "redelivered": delivery.redelivered,
        "delivery_count": delivery.delivery_count,
        **_carried(delivery),
    }


def browsed_data(message: BrowsedMessage) -> dict[str, Any]:
    """Return a message that lies in a queue for JSON; a body that is no text is `body_base64`."""
    names = ("id", "queue", "state", "consumer", "age", "delivery_count", "arrived", "expires")
    return {name: plain(getattr(message, name)) for name in (*names, "exchange", "routing_key")} | _carried(message)


def _carried(message: Delivery | BrowsedMessage) -> dict[str, Any]:
    text = readable(message.body)
    body = {"body_base64": base64.b64encode(message.body).decode()} if text is None else {"body": text}
    given = {name: value for name, value in plain(message.properties).items() if value is not None}
    return {"properties": given, "headers": plain(message.headers), **body}


def show_delivery(delivery: Delivery) -> None:
    """Print a delivery for people: a line of where it came from, what it carries, its body."""
    again = f", delivery {delivery.delivery_count}" if delivery.redelivered else ""
    head = f"{named(delivery.queue)} < exchange {named(delivery.exchange)}, key {named(delivery.routing_key)}{again}"
    typer.secho(head, bold=True)
    _show_carried(delivery)
    text = readable(delivery.body)
    typer.echo(f"({len(delivery.body):,} bytes, no text)" if text is None else safe(text, "\n\t"))


def show_browsed(message: BrowsedMessage) -> None:
    """Print a message that lies in a queue for people: its id and state, what it carries, how its body begins."""
    state = message.state if message.age is None else f"unacked by {named(message.consumer)} for {seconds(message.age)}"
    often = f", handed out {count(message.delivery_count, 'time')}" if message.delivery_count else ""
    expires = f", expires {message.expires:%Y-%m-%d %H:%M:%S} UTC" if message.expires else ""
    typer.secho(f"{message.id} {state}{often}, arrived {message.arrived:%Y-%m-%d %H:%M:%S} UTC{expires}", bold=True)
    typer.echo(f"  exchange {named(message.exchange)}, key {named(message.routing_key)}")
    _show_carried(message)
    text = readable(message.body)
    if text is None:
        typer.echo(f"({len(message.body):,} bytes, no text)")
    else:
        rest = f" … ({len(message.body):,} bytes)" if len(text) > _SHOWN else ""
        typer.echo(safe(text[:_SHOWN], "\n\t") + rest)


def _show_carried(message: Delivery | BrowsedMessage) -> None:
    for name, value in plain(message.properties).items():
        if value is not None:
            typer.secho(f"  {name}: {safe(str(value))}", dim=True)
    for name, value in message.headers.items():
        typer.secho(f"  header {safe(name)}: {safe(repr(value))}", dim=True)


def seconds(span: timedelta) -> str:
    """Return a time for people."""
    return f"{span.total_seconds():,.1f} s"
