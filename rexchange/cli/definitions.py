"""import, export."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rexchange.cli.run import Run, command
from rexchange.definitions import SECTIONS
from rexchange.errors import DefinitionsError, Problem

if TYPE_CHECKING:
    from rexchange import ImportPlan
    from rexchange.definitions import Action

_WORDS: dict[Action, str] = {
    "create": "created",
    "replace": "replaced",
    "same": "there already",
    "differs": "left as they are",
    "unsupported": "unsupported",
    "skipped": "skipped",
    "update": "updated",
    "delete": "deleted",
    "in use": "in use",
}
_ADVICE = {
    "differs": "--skip-existing leaves what is there as it is",
    "unsupported": "--skip-unsupported imports the rest",
}


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    command(app, "import")(import_)
    command(app, "export")(export)


def import_(
    run: Run,
    file: Annotated[Path, typer.Argument(help="RabbitMQ's definitions (JSON); - is standard input.", metavar="FILE")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.", show_default=False)
    ] = False,
    skip_unsupported: Annotated[
        bool, typer.Option("--skip-unsupported", help="Leave out what rexchange does not have.", show_default=False)
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Leave what is there otherwise as it is.", show_default=False),
    ] = False,
) -> None:
    """Import vhosts, exchanges, policies, queues and bindings from RabbitMQ's definitions.

    The file is checked whole before anything is written, and nothing is ever deleted. Objects that name no vhost go to
    --vhost. Users, permissions and parameters are skipped.

    Example: [bold]rexchange import definitions.json --dry-run[/bold]
    """
    source = typer.get_binary_stream("stdin").read() if str(file) == "-" else file
    with run.broker() as broker, progress_bar(run, "importing") as progress:
        try:
            plan = broker.import_definitions(
                source,
                dry_run=dry_run,
                allow_unsupported=skip_unsupported,
                skip_existing=skip_existing,
                progress=progress,
            )
        except DefinitionsError as error:
            run.fail(str(error), _advice(error.problems))
    show_plan(run, plan, dry_run=dry_run)
    problems = plan.problems(skip_existing=skip_existing, allow_unsupported=skip_unsupported)
    if dry_run and problems:
        run.fail(f"it would be refused: {counted(len(problems))} to solve", _advice(problems))


def export(
    run: Run,
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; without one it is printed.", metavar="FILE")
    ] = None,
    *,
    vhost_only: Annotated[
        bool,
        typer.Option(
            "--vhost-only", help="That of --vhost, with no name of a vhost in it, for any other.", show_default=False
        ),
    ] = False,
    topology: Annotated[
        bool,
        typer.Option("--topology", help="That of --vhost, as a file of TOML that apply takes.", show_default=False),
    ] = False,
) -> None:
    """Write the definitions of all vhosts as RabbitMQ's JSON, which import takes, and RabbitMQ too.

    Messages and exclusive queues are not in it.

    Example: [bold]rexchange export definitions.json[/bold]
    """
    from rexchange.definitions import without_vhosts

    if topology:
        _export_topology(run, file)
        return
    with run.broker() as broker:
        found = broker.export_definitions([broker.vhost] if vhost_only else None)
    if vhost_only:
        found = without_vhosts(found)
    text = json.dumps(found, ensure_ascii=False, indent=2)
    if file is None:
        typer.echo(text)
        return
    file.write_text(text + "\n", encoding="utf-8")
    _written(run, file, {section: len(found[section]) for section in SECTIONS if section in found})


def _export_topology(run: Run, file: Path | None) -> None:
    from rexchange.applying import dump

    if file is not None and file.suffix.lower() in (".yaml", ".yml", ".json"):
        raise typer.BadParameter(f"{str(file)!r}: it is written as TOML: name it .toml", param_hint="'FILE'")
    with run.broker() as broker:
        found = broker.topology()
    text = dump(found)
    if file is None:
        typer.echo(text, nl=False)
        return
    file.write_text(text, encoding="utf-8")
    _written(run, file, {section: len(getattr(found, section)) for section in SECTIONS[1:]})


def _written(run: Run, file: Path, counts: dict[str, int]) -> None:
    from rexchange.cli.output import count

    words = {section: section.removesuffix("s") for section in counts} | {"policies": "policy"}
    listed = ", ".join(count(number, words[section], section) for section, number in counts.items() if number)
    run.show({"file": str(file), **counts}, f"{listed or 'nothing'} written to {file}")


def _advice(problems: list[Problem]) -> str:
    return "; ".join(words for why, words in _ADVICE.items() if any(problem.why == why for problem in problems))


def counted(number: int) -> str:
    """Return "1 problem", "2 problems"."""
    return "1 problem" if number == 1 else f"{number:,} problems"


def show_plan(run: Run, plan: ImportPlan, *, dry_run: bool) -> None:
    """Print what was done, or would be."""
    from rexchange.cli.output import grid, plain, safe

    steps = [
        {name: value for name, value in plain(step).items() if name != "value" and value not in (None, "", [])}
        for step in plan.steps
    ]
    data: dict[str, Any] = {"dry_run": dry_run, "file": plan.file, "counts": plan.counts, "steps": steps}
    summary = ", ".join(f"{count:,} {_WORDS[action]}" for action, count in plan.counts.items()) or "nothing in it"
    if dry_run:
        summary = f"would be: {summary}; nothing was written"
    # What is made as it stands in the file, or is there, is worth a line only to who asks what would be done.
    passed_over: set[str] = {"same"} if dry_run else {"same", "create"}
    rows = [
        (step.action, step.kind, safe(step.vhost), safe(step.name), safe(step.reason))
        for step in plan.steps
        if step.action not in passed_over or (step.action == "create" and step.reason)
    ]
    table = [grid(("", "kind", "vhost", "name", "why"), rows)] if rows else []
    run.show(data, *table, summary)


@contextmanager
def progress_bar(run: Run, doing: str) -> Generator[Callable[[int, int], None]]:
    """Show how far it is on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rexchange.cli.output import console

    screen = console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=run.json or not screen.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield advance
