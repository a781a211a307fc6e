"""demo: the whole of it on real files, with a worker killed in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rexchange.cli.run import ExitCode, Run, command


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app, "demo")(demo)


def demo(
    run: Run,
    directories: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR",
            help="The folders to work on, which are only read. Default: this one.",
            show_default=False,
            exists=True,
            file_okay=False,
        ),
    ] = None,
    *,
    workers: Annotated[int, typer.Option("--workers", help="Worker processes; one is killed.", min=2, max=32)] = 4,
    limit: Annotated[int, typer.Option("--limit", help="Take at most so many files.", min=0)] = 20_000,
) -> None:
    """See it work on your own files: exchanges, queues, workers, and one of them killed.

    It publishes a message for each file of a folder; worker processes hash the files; one worker is killed half way.

    It runs on a server of its own in a temporary folder and needs nothing else; your data are not touched. With --url
    it uses that server, in the vhost rexchange-demo, and removes its queues at the end. Exit code 1: a message was
    lost.

    Example: [bold]rexchange demo ~/projects[/bold]
    """
    from rexchange.cli.demo import report, story

    if (run.options.url or "").startswith("memory:"):
        raise typer.BadParameter("workers are processes, and memory:// is inside one process", param_hint="'--url'")
    told = story.tell(run, [folder.resolve() for folder in directories or [Path()]], workers=workers, limit=limit)
    run.show(report.data(told), *report.lines(told))
    if told.lost:
        raise typer.Exit(ExitCode.FAILED)
