"""transaction."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from rexchange.cli import values
from rexchange.cli.publish import EXPIRATION, PRIORITY, message_properties, read_body
from rexchange.cli.run import Run, command
from rexchange.cli.values import HEADERS, PROPERTIES

COMMANDS = Annotated[
    list[str],
    typer.Option(
        "--redis", "-r", help="A Redis command, quoted as for a shell; more than once: in order.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    command(app, "transaction")(transaction)


def transaction(
    run: Run,
    exchange: Annotated[str, typer.Argument(help="The exchange; '' is the default one.", show_default=False)],
    key: Annotated[str, typer.Argument(help="The routing key; for '' the queue's name.", show_default=False)],
    body: Annotated[str, typer.Argument(help="The body; - reads standard input.", show_default=False)],
    *,
    redis: COMMANDS,
    header: HEADERS = None,
    property: PROPERTIES = None,  # noqa: A002 - AMQP's name
    expiration: EXPIRATION = None,
    priority: PRIORITY = None,
    mandatory: Annotated[
        bool, typer.Option("--mandatory", help="Fail, with nothing done, where no queue would get it.")
    ] = False,
) -> None:
    """Run Redis commands and publish a message as one step: all of it, or nothing.

    Where a command fails nothing is published; what had been written before it is named.

    Example: [bold]rexchange transaction events price.42 9.90 -r 'SET price:42 9.90'[/bold]
    """
    from rexchange.cli.output import count, plain, safe

    commands = [_words(text) for text in redis]
    properties = message_properties(property, expiration, priority)
    headers = values.table("--header", header)
    with run.broker() as broker:
        with broker.transaction() as tx:
            for words in commands:
                tx.redis.execute_command(*words)
            tx.publish(
                read_body(body), exchange=exchange, routing_key=key, headers=headers, mandatory=mandatory, **properties
            )
        (reached,), results = tx.published, [plain(result) for result in tx.results]
    shown = [result if isinstance(result, str) else json.dumps(result) for result in results]
    lines = [f"{safe(shlex.join(words))}: {safe(text)}" for words, text in zip(commands, shown, strict=True)]
    run.show(
        {"results": results, "published": 1, "queued": reached},
        *lines,
        f"published 1 message to {count(reached, 'queue')}",
    )
    if not reached and not run.json:
        run.note("note: it is in no queue, since no binding matches (--mandatory makes this an error)")


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} has a quote that does not end ({error})", param_hint="'--redis'") from error
    if not words:
        raise typer.BadParameter("it is empty; wanted a Redis command", param_hint="'--redis'")
    return words
