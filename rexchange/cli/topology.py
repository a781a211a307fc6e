"""declare, delete, bind, unbind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from rexchange.cli import values
from rexchange.cli.run import Run, command
from rexchange.cli.values import ARGUMENTS

if TYPE_CHECKING:
    from rexchange import Exchange

_declare = typer.Typer(no_args_is_help=True, help="Declare an exchange or a queue; again is no error.")
_delete = typer.Typer(no_args_is_help=True, help="Delete an exchange or a queue; a missing one is no error.")

NAME = Annotated[str, typer.Argument(help="Its name.", show_default=False)]
TRANSIENT = Annotated[bool, typer.Option("--transient", help="Declare it as not durable.", show_default=False)]
AUTO_DELETE = Annotated[
    bool, typer.Option("--auto-delete", help="Delete it when nobody uses it any more.", show_default=False)
]
DESTINATION = Annotated[str, typer.Argument(help="The queue (or exchange) that gets messages.", show_default=False)]
SOURCE = Annotated[str, typer.Argument(help="The exchange that gives them.", show_default=False)]
KEY = Annotated[
    str, typer.Argument(help="The binding key; for topic exchanges with * and #.", metavar="KEY", show_default=False)
]
TO_EXCHANGE = Annotated[
    bool, typer.Option("--to-exchange", "-x", help="DESTINATION is an exchange, not a queue.", show_default=False)
]


def _types() -> list[str]:
    return ["direct", "fanout", "topic", "headers"]


@command(_declare, "exchange")
def declare_exchange(
    run: Run,
    name: NAME,
    type: Annotated[
        str, typer.Argument(help="direct, fanout, topic or headers.", autocompletion=_types, metavar="TYPE")
    ] = "direct",
    *,
    transient: TRANSIENT = False,
    auto_delete: AUTO_DELETE = False,
    internal: Annotated[
        bool, typer.Option("--internal", help="Take messages from other exchanges only.", show_default=False)
    ] = False,
    alternate: Annotated[
        str | None, typer.Option("--alternate", help="The exchange for what matches no binding.", metavar="EXCHANGE")
    ] = None,
    argument: ARGUMENTS = None,
) -> None:
    """Declare an exchange: where messages are published to.

    Example: [bold]rexchange declare exchange events topic[/bold]
    """
    with run.broker() as broker:
        exchange = broker.declare_exchange(
            name,
            type,
            durable=not transient,
            auto_delete=auto_delete,
            internal=internal,
            alternate_exchange=alternate,
            arguments=values.table("--argument", argument),
        )
    run.show(
        {"exchange": exchange.name, "type": exchange.type}, f"exchange {exchange.name!r} ({exchange.type}) is there"
    )


@command(_declare, "queue")
def declare_queue(
    run: Run,
    name: Annotated[
        str, typer.Argument(help="Its name; without one the broker chooses.", metavar="NAME", show_default=False)
    ] = "",
    *,
    transient: TRANSIENT = False,
    auto_delete: AUTO_DELETE = False,
    ack_timeout: Annotated[
        float | None,
        typer.Option(
            "--ack-timeout", help="What is not acked for so long is delivered again.", metavar="SECONDS", min=0.001
        ),
    ] = None,
    argument: ARGUMENTS = None,
) -> None:
    """Declare a queue: where messages wait for consumers.

    Example: [bold]rexchange declare queue mail --ack-timeout 60[/bold]
    """
    with run.broker() as broker:
        queue = broker.declare_queue(
            name,
            durable=not transient,
            auto_delete=auto_delete,
            ack_timeout=None if ack_timeout is None else timedelta(seconds=ack_timeout),
            arguments=values.table("--argument", argument),
        )
    run.show(
        {"queue": queue.name, "ready": queue.message_count, "consumers": queue.consumer_count},
        f"queue {queue.name!r} is there, with {queue.message_count:,} ready and {queue.consumer_count:,} consumers",
    )


@command(_delete, "exchange")
def delete_exchange(
    run: Run,
    name: NAME,
    *,
    if_unused: Annotated[
        bool, typer.Option("--if-unused", help="Refuse while something is bound to it.", show_default=False)
    ] = False,
) -> None:
    """Delete an exchange and its bindings.

    Example: [bold]rexchange delete exchange events --if-unused[/bold]
    """
    with run.broker() as broker:
        broker.delete_exchange(name, if_unused=if_unused)
    run.show({"exchange": name}, f"exchange {name!r} is gone")


@command(_delete, "queue")
def delete_queue(
    run: Run,
    name: NAME,
    *,
    if_unused: Annotated[
        bool, typer.Option("--if-unused", help="Refuse while it has consumers.", show_default=False)
    ] = False,
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Refuse while messages are ready in it.", show_default=False)
    ] = False,
) -> None:
    """Delete a queue with its bindings and all messages in it.

    Example: [bold]rexchange delete queue mail --if-empty[/bold]
    """
    from rexchange.cli.output import count  # noqa: PLC0415

    with run.broker() as broker:
        gone = broker.delete_queue(name, if_unused=if_unused, if_empty=if_empty)
    run.show({"queue": name, "messages": gone}, f"queue {name!r} is gone, and {count(gone, 'ready message')} with it")


def bind(
    run: Run,
    destination: DESTINATION,
    source: SOURCE,
    key: KEY = "",
    *,
    to_exchange: TO_EXCHANGE = False,
    argument: ARGUMENTS = None,
) -> None:
    """Bind a queue to an exchange, which then gives it what matches the key.

    Example: [bold]rexchange bind mail events 'user.*.created'[/bold]
    """
    with run.broker() as broker:
        broker.bind(
            _destination(destination, to_exchange=to_exchange), source, key, values.table("--argument", argument)
        )
    data = {"destination": destination, "source": source, "binding_key": key}
    run.show(data, f"{destination!r} is bound to {source!r} by {key!r}")


def unbind(
    run: Run,
    destination: DESTINATION,
    source: SOURCE,
    key: KEY = "",
    *,
    to_exchange: TO_EXCHANGE = False,
    argument: ARGUMENTS = None,
) -> None:
    """Take a binding away; a missing one is no error.

    Give the key and the arguments it was made with.

    Example: [bold]rexchange unbind mail events 'user.*.created'[/bold]
    """
    with run.broker() as broker:
        target = _destination(destination, to_exchange=to_exchange)
        broker.unbind(target, source, key, values.table("--argument", argument))
    data = {"destination": destination, "source": source, "binding_key": key}
    run.show(data, f"{destination!r} is not bound to {source!r} by {key!r}")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(_declare, name="declare")
    app.add_typer(_delete, name="delete")
    command(app, "bind")(bind)
    command(app, "unbind")(unbind)


def _destination(name: str, *, to_exchange: bool) -> str | Exchange:
    if not to_exchange:
        return name
    from rexchange import Exchange  # noqa: PLC0415

    return Exchange(name, "direct")  # the type does not matter: a binding names its ends
