"""trace on, off, list, show; history."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from rexchange.cli.run import ExitCode, Run, command

if TYPE_CHECKING:
    from rexchange import Trace, TraceEvent
    from rexchange.protocol.tracing import TraceStep

_trace = typer.Typer(no_args_is_help=True, help="Trace messages: what happens to each is noted for a while.")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(_trace, name="trace")
    command(app, "history")(history)


@command(_trace, "on")
def on(
    run: Run,
    *,
    queue: Annotated[str | None, typer.Option("--queue", help="Messages that enter it.", metavar="NAME")] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Messages whose routing key matches, such as 'user.#'.", metavar="PATTERN"),
    ] = None,
    exchange: Annotated[
        str | None, typer.Option("--exchange", help="Messages published to it.", metavar="NAME")
    ] = None,
    span: Annotated[
        str, typer.Option("--for", help="It ends by itself after so long, such as 30s, 10m, 2h.", metavar="TIME")
    ] = "1h",
    keep: Annotated[int, typer.Option("--keep", help="Keep so many events, the newest.")] = 10_000,
) -> None:
    """Trace messages that come from now on: of a queue, a routing key, an exchange, or of all that is given together.

    Example: [bold]rexchange trace on --queue mail --for 10m[/bold]
    """
    from rexchange.cli.output import plain

    if queue is None and key is None and exchange is None:
        raise typer.BadParameter("give --queue, --key or --exchange: what is to be traced", param_hint="'--queue'")
    with run.broker() as broker:
        trace = broker.trace(queue=queue, routing_key=key, exchange=exchange, keep=keep, for_=_span(span))
    run.show(plain(trace), f"trace {trace.id} is on: {_what(trace)}, until {_local(trace)}")


@command(_trace, "off")
def off(
    run: Run,
    trace: Annotated[str | None, typer.Argument(help="Its id. Without: all of them.", show_default=False)] = None,
) -> None:
    """End a trace, or all; again is no error. The events are deleted with the last one.

    Example: [bold]rexchange trace off[/bold]
    """
    with run.broker() as broker:
        known = trace is None or trace in [each.id for each in broker.traces()]
        broker.untrace(trace)
    if not known:
        run.show({"trace": trace}, f"there was no trace {trace!r}: `rexchange trace list` shows what is traced")
        return
    run.show({"trace": trace}, "nothing is traced any more" if trace is None else f"trace {trace!r} is off")


@command(_trace, "list")
def list_(run: Run) -> None:
    """List what is traced.

    Example: [bold]rexchange trace list[/bold]
    """
    from rexchange.cli.output import grid, plain

    with run.broker() as broker:
        found = broker.traces()
    rows = [(trace.id, _what(trace), trace.keep, _local(trace)) for trace in found]
    table = grid(("trace", "of", "keeps", "until"), rows) if rows else "nothing is traced"
    run.show([plain(trace) for trace in found], table)


@command(_trace, "show")
def show(
    run: Run,
    *,
    limit: Annotated[int, typer.Option("--count", "-n", help="So many events, the latest.", min=1)] = 100,
) -> None:
    """Show the latest events of all traced messages, the oldest first.

    Exit code 3: there are none.

    Example: [bold]rexchange trace show -n 20[/bold]
    """
    with run.broker() as broker:
        events = broker.traced(limit)
    _print(run, events, "no events: switch on a trace, and publish")


def history(
    run: Run,
    trace_id: Annotated[
        str | None, typer.Argument(help="The message's trace id, as `trace show` prints it.", show_default=False)
    ] = None,
    *,
    message_id: Annotated[
        str | None, typer.Option("--message-id", help="The property message_id in place of it.", metavar="ID")
    ] = None,
) -> None:
    """Show all that happened to a traced message.

    Exit code 3: nothing is known of it.

    Example: [bold]rexchange history --message-id order-4711[/bold]
    """
    with run.broker() as broker:
        events = broker.history(trace_id, message_id=message_id)
    _print(run, events, "nothing is known of it: it was not traced, or its events are no longer kept")


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        wanted = f"{text!r}: wanted a time such as 30s, 10m, 2h or 1d"
        raise typer.BadParameter(wanted, param_hint="'--for'")
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    return timedelta(seconds=min(seconds, 1e9))


def _what(trace: Trace) -> str:
    from rexchange.cli.output import named

    parts = {"queue": trace.queue, "exchange": trace.exchange, "key": trace.routing_key}
    return ", ".join(f"{kind} {named(name)}" for kind, name in parts.items() if name is not None)


def _local(trace: Trace) -> str:
    return trace.ends.astimezone().isoformat(" ", "seconds")


def _print(run: Run, events: list[TraceEvent], nothing: str) -> None:
    from rexchange.cli.output import grid, plain

    if not events:
        if run.json:
            typer.echo("[]")
        run.note(nothing)
        raise typer.Exit(ExitCode.NOTHING)
    rows = [
        (event.at.astimezone().isoformat(" ", "milliseconds")[:23], event.trace_id, event.kind, told(event))
        for event in events
    ]
    run.show([plain(event) for event in events], grid(("at", "message", "what", ""), rows))


def told(event: TraceEvent) -> str:
    """Return an event in words, but for its time and kind."""
    from rexchange.cli.output import named, safe

    words: list[str] = []
    if event.queue:
        words.append(f"queue {named(event.queue)}")
    if event.exchange or event.kind in ("published", "unroutable"):
        words.append(f"exchange {named(event.exchange)}, key {named(event.routing_key)}")
    words += [f"< {_step(step)}" for step in event.bindings]
    if event.consumer_tag or event.client:
        words.append(f"consumer {named(event.consumer_tag)} at {safe(event.client)}")
    if event.delivery_count is not None:
        words.append(f"delivery {event.delivery_count}")
    if event.size is not None:
        words.append(f"{event.size:,} bytes")
    if event.message_id:
        words.append(f"message_id {safe(event.message_id)}")
    if event.reason:
        words.append(f"({safe(event.reason)})")
    return "  ".join(words)


def _step(step: TraceStep) -> str:
    from rexchange.cli.output import named

    if step.why == "queue name":
        return "by its name"
    to = f" to exchange {named(step.destination)}" if step.destination_kind == "exchange" else ""
    how = "as its alternate exchange" if step.why == "alternate exchange" else f"by {named(step.binding_key)}"
    return f"{named(step.source)}{to} {how}"
