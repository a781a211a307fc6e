"""retry list, retry now; and the options of a retry policy."""

from __future__ import annotations

from typing import Annotated

import typer

from rexchange.cli.run import Run, command

_retry = typer.Typer(no_args_is_help=True, help="Look at what waits to be tried again, or send it at once.")

_WHAT = "When it is tried again (nack with retry)"
QUEUE = Annotated[str, typer.Argument(help="The queue.", show_default=False)]
DELAYS = Annotated[
    list[float] | None,
    typer.Option(
        "--retry-delay",
        help="Wait so long after a try; once for each try, the last repeats up to --retry-tries.",
        metavar="SECONDS",
        min=0,
        rich_help_panel=_WHAT,
    ),
]
FIRST = Annotated[
    float | None,
    typer.Option(
        "--retry-first",
        help="Wait so long after the first, then longer.",
        metavar="SECONDS",
        min=0,
        rich_help_panel=_WHAT,
    ),
]
FACTOR = Annotated[
    float | None,
    typer.Option("--retry-factor", help="So many times longer each time (2).", metavar="N", rich_help_panel=_WHAT),
]
LONGEST = Annotated[
    float | None,
    typer.Option(
        "--retry-longest", help="Never longer than this (an hour).", metavar="SECONDS", min=0, rich_help_panel=_WHAT
    ),
]
TRIES = Annotated[
    int | None,
    typer.Option(
        "--retry-tries", help="So many tries in all; then it is dead-lettered.", metavar="N", rich_help_panel=_WHAT
    ),
]
JITTER = Annotated[
    float | None,
    typer.Option(
        "--retry-jitter", help="Up to this share more or less, such as 0.1.", metavar="0-1", rich_help_panel=_WHAT
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(_retry, name="retry")


@command(_retry, "list")
def list_waiting(run: Run, queue: QUEUE) -> None:
    """List the messages of a queue that wait to be tried again, the soonest first.

    Example: [bold]rexchange retry list work[/bold]
    """
    from rexchange.cli.output import grid, plain

    with run.broker() as broker:
        found = broker.waiting(queue)
    data = [plain(each) for each in found]
    if not found:
        run.show(data, f"nothing waits in queue {queue!r}")
        return
    rows = [(each.id, f"{each.due.astimezone():%Y-%m-%d %H:%M:%S}", each.tries) for each in found]
    run.show(data, grid(["id", "due", "tries"], rows))


@command(_retry, "now")
def retry_now(
    run: Run,
    queue: QUEUE,
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Only these, by their ids; else all that wait.", metavar="[ID]...", show_default=False),
    ] = None,
) -> None:
    """Send what waits to be tried again at once, to its place in the queue.

    Example: [bold]rexchange retry now work[/bold]
    """
    from rexchange.cli.output import count

    with run.broker() as broker:
        sent = broker.retry_now(queue, ids or None)
    run.show({"queue": queue, "sent": sent}, f"{count(sent, 'message')} of queue {queue!r} sent at once")
