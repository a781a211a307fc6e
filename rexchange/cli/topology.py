"""declare, delete, bind, unbind."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rexchange import errors
from rexchange.cli import retries, values
from rexchange.cli.run import Run, command
from rexchange.cli.values import ARGUMENTS

if TYPE_CHECKING:
    from rexchange import Exchange

_declare = typer.Typer(no_args_is_help=True, help="Declare an exchange or a queue; again is no error.")
_delete = typer.Typer(no_args_is_help=True, help="Delete an exchange, a queue or a message; a missing one is no error.")

_WHAT_IT_DOES = "What it does with messages (AMQP's x-arguments)"
_OVERFLOW = ("drop-head", "reject-publish", "reject-publish-dlx")

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
    from rexchange.topology import TYPES

    return list(TYPES)


def _seconds(name: str, help: str) -> Any:  # noqa: A002, ANN401 - Typer's own word and type
    return typer.Option(name, help=help, metavar="SECONDS", min=0, rich_help_panel=_WHAT_IT_DOES)


def _number(name: str, help: str, metavar: str, *limits: int) -> Any:  # noqa: A002, ANN401 - as above
    low, high = (*limits, None, None)[:2]
    return typer.Option(name, help=help, metavar=metavar, min=low, max=high, rich_help_panel=_WHAT_IT_DOES)


def _word(name: str, help: str, metavar: str, *words: str) -> Any:  # noqa: A002, ANN401 - as above
    complete = (lambda: list(words)) if words else None
    return typer.Option(name, help=help, metavar=metavar, autocompletion=complete, rich_help_panel=_WHAT_IT_DOES)


@command(_declare, "exchange")
def declare_exchange(
    run: Run,
    name: NAME,
    type: Annotated[
        str,
        typer.Argument(
            help="direct, fanout, topic, headers, x-consistent-hash, x-modulus-hash, x-random, x-recent-history or "
            "x-delayed-message.",
            autocompletion=_types,
            metavar="TYPE",
        ),
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
def declare_queue(  # noqa: PLR0913 - each argument of AMQP is an option
    run: Run,
    name: Annotated[str, typer.Argument(help="Its name.", metavar="NAME", show_default=False)] = "",
    *,
    server_named: Annotated[
        bool, typer.Option("--server-named", help="Let the broker choose a name.", show_default=False)
    ] = False,
    transient: TRANSIENT = False,
    auto_delete: AUTO_DELETE = False,
    ack_timeout: Annotated[
        float | None,
        typer.Option(
            "--ack-timeout", help="What is not acked for so long is delivered again.", metavar="SECONDS", min=0.001
        ),
    ] = None,
    message_ttl: Annotated[float | None, _seconds("--message-ttl", "What is ready for so long expires.")] = None,
    expires: Annotated[float | None, _seconds("--expires", "Delete it when it was not used for so long.")] = None,
    max_length: Annotated[int | None, _number("--max-length", "At most so many ready messages.", "N", 0)] = None,
    max_length_bytes: Annotated[
        int | None, _number("--max-length-bytes", "At most so many bytes of ready bodies.", "BYTES", 0)
    ] = None,
    overflow: Annotated[
        str | None,
        _word("--overflow", "What a full one does: drop-head, reject-publish, reject-publish-dlx.", "WHAT", *_OVERFLOW),
    ] = None,
    dead_letter_exchange: Annotated[
        str | None, _word("--dead-letter-exchange", "Where rejected and expired messages go.", "EXCHANGE")
    ] = None,
    dead_letter_routing_key: Annotated[
        str | None, _word("--dead-letter-routing-key", "By this key; else by their own.", "KEY")
    ] = None,
    max_priority: Annotated[
        int | None, _number("--max-priority", "Messages have priorities up to this.", "0-255", 0, 255)
    ] = None,
    single_active_consumer: Annotated[
        bool,
        typer.Option(
            "--single-active-consumer",
            help="One consumer at a time, the next when it goes.",
            rich_help_panel=_WHAT_IT_DOES,
            show_default=False,
        ),
    ] = False,
    delivery_limit: Annotated[
        int | None, _number("--delivery-limit", "So many redeliveries, then it is dropped or dead-lettered.", "N")
    ] = None,
    type: Annotated[
        str | None, _word("--type", "classic (the default), quorum or stream.", "TYPE", "classic", "quorum", "stream")
    ] = None,
    max_age: Annotated[float | None, _seconds("--max-age", "Of a stream: what is older goes (whole seconds).")] = None,
    retry_delays: retries.DELAYS = None,
    retry_first: retries.FIRST = None,
    retry_factor: retries.FACTOR = None,
    retry_longest: retries.LONGEST = None,
    retry_tries: retries.TRIES = None,
    retry_jitter: retries.JITTER = None,
    argument: ARGUMENTS = None,
) -> None:
    """Declare a queue: where messages wait for consumers.

    Example: [bold]rexchange declare queue mail --dead-letter-exchange failed[/bold]
    """
    if bool(name) == server_named:
        # An empty one may be a variable of the shell that nobody set.
        raise typer.BadParameter("give a name that is not empty, or --server-named", param_hint="'NAME'")
    options: dict[str, Any] = {
        "ack_timeout": ack_timeout,
        "message_ttl": message_ttl,
        "expires": expires,
        "max_length": max_length,
        "max_length_bytes": max_length_bytes,
        "overflow": overflow,
        "dead_letter_exchange": dead_letter_exchange,
        "dead_letter_routing_key": dead_letter_routing_key,
        "max_priority": max_priority,
        "single_active_consumer": single_active_consumer or None,
        "delivery_limit": delivery_limit,
        "queue_type": type,
        "max_age": max_age,
        "retry_delays": retry_delays,
        "retry_first": retry_first,
        "retry_factor": retry_factor,
        "retry_longest": retry_longest,
        "retry_tries": retry_tries,
        "retry_jitter": retry_jitter,
    }
    with run.broker() as broker:
        queue = broker.declare_queue(
            name,
            durable=not transient,
            auto_delete=auto_delete,
            arguments=values.table("--argument", argument),
            **typed(options),
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
        existed = _exists(lambda: broker.declare_exchange(name, passive=True))
        broker.delete_exchange(name, if_unused=if_unused)
    said = f"exchange {name!r} is gone" if existed else f"there was no exchange {name!r}"
    run.show({"exchange": name, "existed": existed}, said)


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
    from rexchange.cli.output import count

    with run.broker() as broker:
        existed = _exists(lambda: broker.declare_queue(name, passive=True))
        gone = broker.delete_queue(name, if_unused=if_unused, if_empty=if_empty)
    said = f"queue {name!r} is gone, and {count(gone, 'ready message')} with it"
    data = {"queue": name, "existed": existed, "messages": gone}
    run.show(data, said if existed else f"there was no queue {name!r}")


@command(_delete, "message")
def delete_message(
    run: Run,
    queue: Annotated[str, typer.Argument(help="The queue it is in.", show_default=False)],
    id: Annotated[  # noqa: A002 - what it is
        str, typer.Argument(help="Its id, as browse shows it.", metavar="ID", show_default=False)
    ],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also where a consumer holds it unacked.", show_default=False)
    ] = False,
) -> None:
    """Delete one message of a queue. It is not dead-lettered.

    Example: [bold]rexchange delete message mail 1795686372642-0[/bold]
    """
    with run.broker() as broker:
        try:
            existed = broker.delete_message(queue, id, force=force)
        except errors.PreconditionFailed as error:
            run.fail(str(error), "--force deletes it all the same; `rexchange list unacked` shows all that is held")
    said = f"message {id} is gone from queue {queue!r}" if existed else f"there was no message {id} in queue {queue!r}"
    run.show({"queue": queue, "id": id, "existed": existed}, said)


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
        target = _destination(destination, to_exchange=to_exchange)
        try:
            broker.bind(target, source, key, values.table("--argument", argument))
        except errors.NotFound as error:
            if error.kind == "exchange" and "it is a queue" in str(error):
                right = shlex.join(["rexchange", "bind", source, destination, *[key] * bool(key)])
                run.fail(f"{source!r} is a queue: it comes first, and then the exchange", right)
            raise
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


def _exists(look: Callable[[], object]) -> bool:
    try:
        look()
    except errors.NotFound:
        return False
    return True


def typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a queue as the library takes them: seconds are times; those not given are left out."""
    from rexchange.arguments import TIME_OPTIONS

    found = {option: value for option, value in options.items() if value not in (None, [])}
    for option in found.keys() & TIME_OPTIONS:
        found[option] = timedelta(seconds=found[option])
    if "retry_delays" in found:
        found["retry_delays"] = [timedelta(seconds=seconds) for seconds in found["retry_delays"]]
    return found


def _destination(name: str, *, to_exchange: bool) -> str | Exchange:
    if not to_exchange:
        return name
    from rexchange import Exchange

    return Exchange(name, "direct")  # the type does not matter: a binding names its ends
