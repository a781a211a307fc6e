"""update: what can change of a queue or an exchange that is there."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rexchange.arguments import OPTION_NAMES
from rexchange.changes import FIXED
from rexchange.cli import topology, values
from rexchange.cli.run import Run, command
from rexchange.cli.topology import NAME, typed
from rexchange.cli.values import ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rexchange import Change

_update = typer.Typer(no_args_is_help=True, help="Change a queue or an exchange that is there, with what it holds.")

REMOVE = Annotated[
    list[str] | None,
    typer.Option("--remove", help="Take this argument away, such as x-message-ttl.", metavar="ARGUMENT"),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(_update, name="update")


def _with_options_of_a_queue(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command those options of `declare queue` that can change later."""
    own = inspect.signature(function, eval_str=True)
    theirs = inspect.signature(topology.declare_queue, eval_str=True).parameters
    shared = [theirs[option] for option, of in OPTION_NAMES.items() if option in theirs and of not in FIXED]
    mine = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = own.replace(parameters=[*mine, *shared])  # type: ignore[attr-defined]  # read by inspect
    return function


@command(_update, "queue")
@_with_options_of_a_queue
def update_queue(
    run: Run,
    name: NAME,
    *,
    remove: REMOVE = None,
    argument: ARGUMENTS = None,
    **options: Any,  # noqa: ANN401 - of many types
) -> None:
    """Change a queue; what is not given stays as it is, and so do its messages and consumers.

    What declares it has to ask for the new values from then on. Type, priorities and single active consumer cannot
    change.

    Example: [bold]rexchange update queue mail --message-ttl 60 --remove x-max-length[/bold]
    """
    given = typed(options)
    arguments = _arguments(argument, remove)
    if not arguments and not given:
        raise typer.BadParameter("nothing to change: give an option, --argument or --remove", param_hint="'NAME'")
    with run.broker() as broker:
        changed = broker.update_queue(name, arguments=arguments, **given)
    _show(run, "queue", name, changed)
    _note_what_was_not_there(run, arguments, changed)


@command(_update, "exchange")
def update_exchange(
    run: Run,
    name: NAME,
    *,
    alternate: Annotated[
        str | None, typer.Option("--alternate", help="The exchange for what matches no binding.", metavar="EXCHANGE")
    ] = None,
    remove: REMOVE = None,
    argument: ARGUMENTS = None,
) -> None:
    """Change the alternate exchange of an exchange, or other arguments; its bindings stay.

    Example: [bold]rexchange update exchange events --alternate unrouted[/bold]
    """
    arguments = _arguments(argument, remove)
    if not arguments and alternate is None:
        raise typer.BadParameter("nothing to change: give --alternate, --argument or --remove", param_hint="'NAME'")
    with run.broker() as broker:
        changed = broker.update_exchange(
            name, alternate_exchange=... if alternate is None else alternate, arguments=arguments
        )
    _show(run, "exchange", name, changed)
    _note_what_was_not_there(run, arguments, changed)


def _arguments(argument: list[str] | None, remove: list[str] | None) -> dict[str, Any]:
    """Return what to set and, as None, what to take away; an option's own name will do."""
    found: dict[str, Any] = values.table("--argument", argument)
    for word in remove or ():
        named = OPTION_NAMES.get(word.removeprefix("--").replace("-", "_"), word)
        if named in found:
            raise typer.BadParameter(f"{word!r} is set and taken away at once", param_hint="'--remove'")
        found[named] = None
    return found


def _show(run: Run, kind: str, name: str, changed: list[Change]) -> None:
    from rexchange.cli.output import count, grid, plain, safe

    rows = [(safe(each.argument), _shown(each.before), _shown(each.after)) for each in changed]
    table = [grid(("argument", "before", "after"), rows)] if rows else []
    said = f"{count(len(rows), 'argument')} of {kind} {name!r} changed" if rows else f"{kind} {name!r} is as it was"
    run.show({kind: name, "changes": plain(changed)}, *table, said)


def _note_what_was_not_there(run: Run, arguments: Mapping[str, Any], changed: list[Change]) -> None:
    gone = {each.argument for each in changed}
    missing = [argument for argument, value in arguments.items() if value is None and argument not in gone]
    if missing:
        run.note(f"note: there was no {', '.join(missing)} to take away")


def _shown(value: object) -> str:
    from rexchange.cli.output import safe

    return "-" if value is None else safe(str(value))
