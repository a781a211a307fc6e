"""policy set, policy delete; vhost create, vhost delete, vhost limit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rexchange.cli.run import Run, command

if TYPE_CHECKING:
    from rexchange.policies import ApplyTo

_policy = typer.Typer(no_args_is_help=True, help="Set or delete a policy: what holds for many queues or exchanges.")
_vhost = typer.Typer(no_args_is_help=True, help="Create, delete or limit a vhost.")

NAME = Annotated[str, typer.Argument(help="Its name.", show_default=False)]


def _targets() -> list[str]:
    from rexchange.policies import APPLY_TO

    return list(APPLY_TO)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(_policy, name="policy")
    app.add_typer(_vhost, name="vhost")


@command(_policy, "set")
def set_policy(
    run: Run,
    name: NAME,
    pattern: Annotated[str, typer.Argument(help="A regular expression that is searched in names.", show_default=False)],
    definition: Annotated[
        str, typer.Argument(help="What holds for them, as JSON.", metavar="JSON", show_default=False)
    ],
    *,
    priority: Annotated[int, typer.Option(help="Of several that match the highest applies, and only that.")] = 0,
    apply_to: Annotated[
        str,
        typer.Option(
            "--apply-to",
            help="all, queues, classic_queues, quorum_queues, streams or exchanges.",
            autocompletion=_targets,
            metavar="WHAT",
        ),
    ] = "all",
) -> None:
    """Set a policy, for queues and exchanges that there are and that will be.

    Example: [bold]rexchange policy set ttl '^mail' '{"message-ttl": 60000}'[/bold]
    """
    with run.broker() as broker:
        broker.set_policy(name, pattern, _definition(definition), priority=priority, apply_to=cast("ApplyTo", apply_to))
    run.show({"policy": name}, f"policy {name!r} is set")


@command(_policy, "delete")
def delete_policy(run: Run, name: NAME) -> None:
    """Delete a policy; a missing one is no error.

    Example: [bold]rexchange policy delete ttl[/bold]
    """
    with run.broker() as broker:
        broker.delete_policy(name)
    run.show({"policy": name}, f"policy {name!r} is gone")


@command(_vhost, "create")
def create_vhost(run: Run, name: NAME) -> None:
    """Create a vhost: exchanges and queues of its own. Again is no error, and its first use creates it too.

    Example: [bold]rexchange vhost create orders[/bold]
    """
    with run.broker() as broker:
        broker.create_vhost(name)
    run.show({"vhost": name}, f"vhost {name!r} is there")


@command(_vhost, "delete")
def delete_vhost(run: Run, name: NAME) -> None:
    """Delete a vhost with its exchanges, queues and all messages. A missing one is no error.

    Example: [bold]rexchange vhost delete orders[/bold]
    """
    with run.broker() as broker:
        broker.delete_vhost(name)
    run.show({"vhost": name}, f"vhost {name!r} is gone")


@command(_vhost, "limit")
def limit_vhost(
    run: Run,
    messages: Annotated[
        str | None, typer.Argument(help="Messages in all its queues together, or none.", show_default=False)
    ] = None,
) -> None:
    """Show how many messages the vhost may hold, or set it; publishers are refused then, or wait (--wait).

    Example: [bold]rexchange vhost limit 1000000[/bold]
    """
    if messages is not None and messages != "none" and not messages.isdigit():
        raise typer.BadParameter(f"{messages!r}: wanted a number, or none", param_hint="'MESSAGES'")
    with run.broker() as broker:
        if messages is not None:
            broker.set_vhost_limit(None if messages == "none" else int(messages))
        limit = broker.vhost_limit()
        name = broker.vhost
    said = "no limit" if limit.messages is None else f"at most {limit.messages:,}"
    data = {"vhost": name, "limit": limit.messages, "messages": limit.held}
    run.show(data, f"vhost {name!r} holds {limit.held:,} messages, {said}")


def _definition(text: str) -> dict[str, Any]:
    wanted = 'a JSON object, such as {"message-ttl": 60000}'
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: wanted {wanted} ({error})", param_hint="'JSON'") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{text!r}: wanted {wanted}", param_hint="'JSON'")
    return cast("dict[str, Any]", found)
