"""publish."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from rexchange.cli import values
from rexchange.cli.run import Run
from rexchange.cli.values import HEADERS, PROPERTIES

if TYPE_CHECKING:
    from rexchange import Broker, Message, Receipt

EXPIRATION = Annotated[
    float | None,
    typer.Option("--expiration", help="It expires when it was ready for so long.", metavar="SECONDS", min=0),
]
PRIORITY = Annotated[
    int | None,
    typer.Option("--priority", help="Where the queue has priorities: the highest goes first.", min=0, max=255),
]


DELAY = Annotated[
    float | None,
    typer.Option("--delay", help="It is routed after so long.", metavar="SECONDS", min=0, show_default=False),
]
AT = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="It is routed at this time, such as 2035-01-31T12:00+01:00 (no zone: this machine's).",
        metavar="TIME",
    ),
]
DEDUP_KEY = Annotated[
    str | None,
    typer.Option("--dedup-key", help="Publish it once: not if one with this key was published before.", metavar="KEY"),
]
DEDUP_WINDOW = Annotated[
    float | None,
    typer.Option("--dedup-window", help="For so long a --dedup-key is known (an hour).", metavar="SECONDS", min=0.001),
]
_WINDOW = 3600.0
WAIT = Annotated[
    float | None,
    typer.Option("--wait", help="Wait for room so long where it is full.", metavar="SECONDS", min=0),
]


CONFIRM = Annotated[
    str | None,
    typer.Option("--confirm", help="Wait for: memory, replicated, replicated:2, synced (on disk).", metavar="LEVEL"),
]


def publish(  # noqa: PLR0913 - each has a default
    run: Run,
    exchange: Annotated[str, typer.Argument(help="The exchange; '' is the default one.", show_default=False)],
    key: Annotated[str, typer.Argument(help="The routing key; for '' the queue's name.", show_default=False)],
    body: Annotated[str | None, typer.Argument(help="The body; - reads standard input.", show_default=False)] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Publish the content of a file.", exists=True, dir_okay=False),
    ] = None,
    lines: Annotated[
        Path | None,
        typer.Option(
            "--lines",
            "-l",
            help="Publish each line of a file (- for standard input) as a message; empty ones are left out.",
        ),
    ] = None,
    header: HEADERS = None,
    property: PROPERTIES = None,  # noqa: A002 - AMQP's name
    expiration: EXPIRATION = None,
    priority: PRIORITY = None,
    mandatory: Annotated[
        bool, typer.Option("--mandatory", help="Fail where no queue would get it.", show_default=False)
    ] = False,
    delay: DELAY = None,
    at: AT = None,
    dedup_key: DEDUP_KEY = None,
    dedup_window: DEDUP_WINDOW = None,
    wait: WAIT = None,
    confirm: CONFIRM = None,
) -> None:
    """Publish a message, or with --lines one for each line of a file.

    It is in its queues when this returns, or waits for its time (--delay, --at): see `rexchange list scheduled`.

    Example: [bold]rexchange publish events user.42.created '{"id": 42}'[/bold]
    """
    if [body, file, lines].count(None) != 2:  # noqa: PLR2004 - of three, two are not given
        raise typer.BadParameter(_which_body(exchange, key, none=body is None and file is None and lines is None))
    if dedup_window is not None and dedup_key is None:
        raise typer.BadParameter("give --dedup-key too: it says what is the same", param_hint="'--dedup-window'")
    if delay is not None and at is not None:
        raise typer.BadParameter("give either --delay or --at", param_hint="'--at'")
    if lines is not None and dedup_key is not None:
        raise typer.BadParameter("not with --lines: all but the first would be dropped", param_hint="'--dedup-key'")
    if lines is not None and str(lines) != "-" and not lines.exists():
        raise typer.BadParameter(f"file {str(lines)!r} does not exist", param_hint="'--lines'")
    common: dict[str, Any] = {
        "exchange": exchange,
        "routing_key": key,
        "headers": values.table("--header", header),
        "mandatory": mandatory,
        **message_properties(property, expiration, priority),
        "delay": None if delay is None else timedelta(seconds=delay),
        "at": None if at is None else values.instant("--at", at),
        "dedup_key": dedup_key,
        "dedup_window": None if dedup_key is None else timedelta(seconds=dedup_window or _WINDOW),
    }
    with run.broker() as broker:
        if lines is not None:
            _publish_lines(run, broker, lines, common, wait, confirm)
            return
        (receipt,) = broker.publish_many([_message(read_body(body, file), common)], wait=wait, confirm=confirm)
        waits = receipt.schedule_id and not receipt.duplicate
        nowhere = bool(waits) and not broker.route(exchange, key, common["headers"])
    if receipt.schedule_id or receipt.duplicate:
        _report_special(run, receipt, nowhere=nowhere)
    else:
        _report(run, 1, receipt, receipt == 0)


def _which_body(exchange: str, key: str, *, none: bool) -> str:
    wanted = "give one of BODY, --file and --lines; - as BODY reads standard input"
    if not (none and exchange):
        return wanted
    # Two words may well be meant as a queue and a body.
    return f"{wanted}. To a queue: {shlex.join(['rexchange', 'publish', '', exchange, key])}"


def message_properties(items: Iterable[str] | None, expiration: float | None, priority: int | None) -> dict[str, Any]:
    """Return AMQP properties from --property and those that have an option of their own."""
    own: dict[str, Any] = {} if priority is None else {"priority": priority}
    if expiration is not None:
        own["expiration"] = str(round(expiration * 1000))
    found = values.properties(items)
    for name in own.keys() & found.keys():
        raise typer.BadParameter(f"{name} was given before, as --property", param_hint=f"'--{name}'")
    return {**found, **own}


def read_body(body: str | None, file: Path | None = None) -> bytes:
    """Return what is to be published: of a file, of standard input, or what was typed."""
    if file is not None:
        return file.read_bytes()
    if body == "-":
        return typer.get_binary_stream("stdin").read()
    # What the shell could not decode stays the bytes that were typed.
    return (body or "").encode("utf-8", "surrogateescape")


def _message(body: bytes, common: dict[str, Any]) -> Message:
    from rexchange import Message

    return Message(body, **common)


def _report_special(run: Run, receipt: Receipt, *, nowhere: bool) -> None:
    """Tell of one that waits for its time, or was published before."""
    from rexchange.cli.output import count

    data: dict[str, Any] = {"published": int(not receipt.duplicate), "queued": int(receipt), "unroutable": 0}
    data |= {"schedule_id": receipt.schedule_id or None, "duplicate": receipt.duplicate}
    where = f"waits as {receipt.schedule_id}" if receipt.schedule_id else f"went to {count(receipt, 'queue')}"
    if receipt.duplicate:
        run.show(data, f"published nothing: one with this key was published before, and {where}")
    else:
        run.show(data, f"published 1 message, which {where} (rexchange cancel {receipt.schedule_id})")
        if nowhere and not run.json:
            run.note("note: by now no queue would get it (--mandatory makes this an error)")


def _report(run: Run, published: int, reached: int, unroutable: int) -> None:
    from rexchange.cli.output import count

    data = {"published": published, "queued": reached, "unroutable": int(unroutable)}
    where = f" to {count(reached, 'queue')}" if published == 1 else f"; in queues that makes {reached:,}"
    run.show(data, f"published {count(published, 'message')}{where}")
    if unroutable and not run.json:
        what = "it is" if published == 1 else f"{unroutable:,} of them are"
        run.note(f"note: {what} in no queue, since no binding matches (--mandatory makes this an error)")


def _publish_lines(
    run: Run, broker: Broker, path: Path, common: dict[str, Any], wait: float | None, confirm: str | None
) -> None:
    published = reached = unroutable = 0
    settings = broker.settings
    with _opened(path) as (stream, size), _progress(run, size) as advance:
        for batch, taken in _batches(stream, settings.max_batch, settings.max_call):
            try:
                counts = broker.publish_many([_message(line, common) for line in batch], wait=wait, confirm=confirm)
            except Exception:
                run.note(f"{published:,} lines were published; the call that failed held {len(batch):,} more")
                raise
            published += len(counts)
            reached += sum(counts)
            unroutable += sum(receipt == 0 and not receipt.schedule_id for receipt in counts)
            advance(taken, published)
    if not published:
        source = "standard input" if str(path) == "-" else repr(str(path))
        run.note(f"no lines in {source}: nothing to publish")
    _report(run, published, reached, unroutable)


def _batches(stream: Iterable[bytes], most: int, most_bytes: int) -> Generator[tuple[list[bytes], int]]:
    """Yield groups of lines that one call takes, and how many bytes of the input each took."""
    batch: list[bytes] = []
    size = taken = 0
    for raw in stream:
        line = raw.removesuffix(b"\n").removesuffix(b"\r")
        if batch and (len(batch) == most or size + len(line) > most_bytes):
            yield batch, taken
            batch, size, taken = [], 0, 0
        taken += len(raw)
        if line:
            batch.append(line)
            size += len(line)
    if batch:
        yield batch, taken


@contextmanager
def _opened(path: Path) -> Generator[tuple[BinaryIO, int | None]]:
    """Open the input; its size in bytes is None where nobody knows."""
    if str(path) == "-":
        yield typer.get_binary_stream("stdin"), None
        return
    with path.open("rb") as stream:
        yield stream, path.stat().st_size or None


@contextmanager
def _progress(run: Run, size: int | None) -> Generator[Callable[[int, int], None]]:
    """Show how far it is on a terminal: a bar, or where the end is unknown the count alone."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from rexchange.cli.output import console

    screen = console(stderr=True)
    columns = (TextColumn("publishing"), BarColumn(), TextColumn("{task.fields[done]:,} messages"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=run.json or not screen.is_terminal) as progress:
        task = progress.add_task("", total=size, done=0)

        def advance(taken: int, done: int) -> None:
            progress.update(task, advance=taken, done=done)

        yield advance
