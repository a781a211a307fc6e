"""get, consume, purge, call, cancel; publish has a module of its own."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rexchange.cli import values
from rexchange.cli.publish import EXPIRATION, PRIORITY, message_properties, publish, read_body
from rexchange.cli.run import ExitCode, Run, command
from rexchange.cli.values import HEADERS, PROPERTIES

if TYPE_CHECKING:
    from rexchange import Delivery

_MOST_UNACKED = 2000  # the library's own limit for one consumer: more would wait for acks that never come
QUEUE = Annotated[str, typer.Argument(help="The queue.", show_default=False)]
BODY_ONLY = Annotated[
    bool,
    typer.Option("--body", help="Print the bodies alone, byte by byte, one a line.", show_default=False),
]
REQUEUE = Annotated[
    bool,
    typer.Option("--requeue", help="Only look: put back what was printed, to its place.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    command(app, "publish")(publish)
    command(app, "get")(get)
    command(app, "consume")(consume)
    command(app, "purge")(purge)
    command(app, "call")(call)
    command(app, "cancel")(cancel)


def get(
    run: Run,
    queue: QUEUE,
    *,
    limit: Annotated[int, typer.Option("--count", "-n", help="At most so many messages.", min=1)] = 1,
    body: BODY_ONLY = False,
    requeue: REQUEUE = False,
) -> None:
    """Take a message from a queue, print it and acknowledge it.

    Exit code 3: the queue is empty.

    Example: [bold]rexchange get mail --requeue[/bold]
    """
    taken: list[Delivery] = []
    with run.broker() as broker:
        for _ in range(limit):
            delivery = broker.get(queue, auto_ack=False)
            if delivery is None:
                break
            _print(run, delivery, body=body)
            taken.append(delivery)
            if not requeue:  # acknowledged when it has been printed: a full disk or a closed pipe loses nothing
                delivery.ack()
        for delivery in taken if requeue else ():
            delivery.nack(requeue=True)
        held = 0 if taken else sum(info.unacked for info in broker.queues() if info.name == queue)
    if not taken:
        hint = f"; {held} unacked are with consumers (if these died: rexchange reap --wait 20)" if held else ""
        run.note(f"queue {queue!r} is empty{hint}")
        raise typer.Exit(ExitCode.NOTHING)


def consume(  # noqa: PLR0913 - each has a default
    run: Run,
    queues: Annotated[list[str], typer.Argument(help="One or more queues.", show_default=False)],
    *,
    limit: Annotated[int | None, typer.Option("--count", "-n", help="End after so many messages.", min=1)] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", "-t", help="End after so long without a message.", metavar="SECONDS", min=0),
    ] = None,
    prefetch: Annotated[int, typer.Option("--prefetch", help="Take so many at a time.", min=1)] = 20,
    priority: Annotated[
        int | None, typer.Option("--priority", help="Of consumers that wait the highest is served first.")
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Fail where the queue has other consumers.", show_default=False)
    ] = False,
    offset: Annotated[
        str | None,
        typer.Option(
            "--offset",
            help="Where to begin in a stream: first, last, next, a number, a date, or an age such as 1h.",
            metavar="WHERE",
        ),
    ] = None,
    reader: Annotated[
        str, typer.Option("--reader", help="Go on in a stream where the reader of this name was.", metavar="NAME")
    ] = "",
    body: BODY_ONLY = False,
    requeue: REQUEUE = False,
) -> None:
    """Wait for messages, print each and acknowledge it, until Ctrl-C.

    They are gone from the queue then; --requeue with --count only looks. Exit code 3: there was none.

    Example: [bold]rexchange consume mail --timeout 10 --json[/bold]
    """
    if requeue and not 1 <= (limit or 0) <= _MOST_UNACKED:
        wanted = f"give --count too, up to {_MOST_UNACKED:,}: what is put back would come again for ever"
        raise typer.BadParameter(wanted, param_hint="'--requeue'")
    # What is only looked at stays unacked until the end, or it would be the next message again.
    window = limit if requeue and limit is not None else min(prefetch, limit or prefetch)
    seen = 0
    with run.broker() as broker:
        # renew: a pager that waits for its reader must not make the message go to somebody else.
        consumer = broker.consume(
            queues,
            auto_ack=False,
            prefetch=window,
            timeout=timeout,
            renew=True,
            priority=priority,
            exclusive=exclusive,
            offset=_offset(offset),
            reader=reader,
        )
        with consumer:
            if timeout is None and sys.stderr.isatty():
                run.note(f"waiting for messages of {', '.join(queues)}; Ctrl-C ends")
            for delivery in consumer:
                _print(run, delivery, body=body)
                seen += 1
                if not requeue:
                    delivery.ack()
                if seen == limit:
                    break
    if not seen:
        run.note("no message came")
        raise typer.Exit(ExitCode.NOTHING)


def purge(run: Run, queue: QUEUE) -> None:
    """Throw away all messages of a queue that are ready, or wait to be tried again.

    Unacked ones stay with their consumers.

    Example: [bold]rexchange purge mail[/bold]
    """
    from rexchange.cli.output import count

    with run.broker() as broker:
        gone = broker.purge(queue)
    run.show({"queue": queue, "messages": gone}, f"{count(gone, 'message')} thrown away from queue {queue!r}")


def cancel(
    run: Run,
    schedule_id: Annotated[str, typer.Argument(help="As publish printed it.", metavar="ID", show_default=False)],
) -> None:
    """Cancel a message that waits for its time.

    Example: [bold]rexchange cancel 17.3f9a2c[/bold]
    """
    from rexchange.cli.output import named, plain

    with run.broker() as broker:
        gone = broker.cancel_scheduled(schedule_id)
    where = f"exchange {named(gone.exchange)}, key {named(gone.routing_key)}"
    run.show(plain(gone), f"cancelled: {where}, it was due at {gone.due.astimezone():%Y-%m-%d %H:%M:%S}")


def call(
    run: Run,
    exchange: Annotated[str, typer.Argument(help="The exchange; '' is the default one.", show_default=False)],
    key: Annotated[str, typer.Argument(help="The routing key; for '' the queue's name.", show_default=False)],
    body: Annotated[str, typer.Argument(help="The request; - reads standard input.", show_default=False)],
    *,
    timeout: Annotated[
        float, typer.Option("--timeout", "-t", help="Wait so long for the reply.", metavar="SECONDS", min=0.001)
    ] = 30.0,
    header: HEADERS = None,
    property: PROPERTIES = None,  # noqa: A002 - AMQP's name
    expiration: EXPIRATION = None,
    priority: PRIORITY = None,
    body_only: BODY_ONLY = False,
) -> None:
    """Publish a request and print the reply (a remote procedure call).

    Whoever consumes it answers to its reply_to, with its correlation_id.

    Example: [bold]rexchange call '' prices '{"id": 42}' --timeout 5[/bold]
    """
    request = read_body(body)
    headers = values.table("--header", header)
    properties = message_properties(property, expiration, priority)
    with run.broker() as broker:
        reply = broker.call(request, exchange=exchange, routing_key=key, headers=headers, timeout=timeout, **properties)
        _print(run, reply, body=body_only)


def _offset(text: str | None) -> str | int | datetime | None:
    """Return where to begin in a stream: a number and a date are more than text, the rest is the library's to check."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return text
    return instant if instant.tzinfo is not None else instant.astimezone()


def _print(run: Run, delivery: Delivery, *, body: bool) -> None:
    from rexchange.cli import output

    if run.json:
        typer.echo(json.dumps(output.delivery_data(delivery), ensure_ascii=False))
    elif body:
        typer.echo(delivery.body)
    else:
        output.show_delivery(delivery)
    # Before the ack: what was not written was not received.
    sys.stdout.flush()
