"""apply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rexchange.cli.definitions import counted, progress_bar, show_plan
from rexchange.cli.run import Run, command
from rexchange.errors import DefinitionsError

if TYPE_CHECKING:
    from rexchange.errors import Problem


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    command(app, "apply")(apply)


def apply(
    run: Run,
    file: Annotated[Path, typer.Argument(help="The topology: TOML or YAML.", metavar="FILE", show_default=False)],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.", show_default=False)
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what is not in the file.", show_default=False)] = False,
    in_use: Annotated[
        bool,
        typer.Option("--in-use", help="Delete queues that hold messages or have consumers, too.", show_default=False),
    ] = False,
) -> None:
    """Make the vhost hold the exchanges, queues, bindings and policies of a file.

    The file is checked whole before anything is written. What is missing is made, what differs is updated; again is no
    error and changes nothing.

    Example: [bold]rexchange apply topology.toml --dry-run[/bold]
    """
    with run.broker() as broker, progress_bar(run, "applying") as progress:
        try:
            plan = broker.apply(file, prune=prune, in_use=in_use, dry_run=dry_run, progress=progress)
        except DefinitionsError as error:
            run.fail(str(error), _advice(error.problems))
    show_plan(run, plan, dry_run=dry_run)
    problems = plan.problems()
    if problems:
        run.fail(f"it would be refused: {counted(len(problems))} to solve", _advice(problems))


def _advice(problems: list[Problem]) -> str:
    if any(problem.why == "in use" for problem in problems):
        return "--in-use deletes queues that hold messages or have consumers, too; or take them up into the file"
    return ""
