"""browse, move, copy: messages that lie in queues."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rexchange.cli import values
from rexchange.cli.messages import BODY_ONLY, QUEUE
from rexchange.cli.run import ExitCode, Run, command
from rexchange.cli.values import HEADERS

if TYPE_CHECKING:
    from rexchange import Broker, BrowsedMessage
    from rexchange.protocol.browse import Wanted

SOURCE = Annotated[str, typer.Argument(help="The queue to take from.", show_default=False)]
DESTINATION = Annotated[str, typer.Argument(help="The queue to put into.", show_default=False)]
LIMIT = Annotated[int | None, typer.Option("--limit", "-n", help="At most so many messages.", min=1)]
IDS = Annotated[
    list[str] | None, typer.Option("--id", help="Only the message of this id, as browse shows it.", metavar="ID")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    command(app, "browse")(browse)
    command(app, "move")(move)
    command(app, "copy")(copy)


def _states() -> list[str]:
    from rexchange.protocol.browse import STATES

    return list(STATES)


def browse(
    run: Run,
    queue: QUEUE,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many messages.", min=1)] = 20,
    id: IDS = None,  # noqa: A002 - the option's name
    header: HEADERS = None,
    message_id: Annotated[
        str | None, typer.Option("--message-id", help="Only messages with this property.", metavar="ID")
    ] = None,
    state: Annotated[
        str, typer.Option("--state", help="all, ready, unacked or waiting.", autocompletion=_states, metavar="STATE")
    ] = "all",
    min_deliveries: Annotated[
        int, typer.Option("--min-deliveries", help="Only what was handed out so often or more.", min=0)
    ] = 0,
    after: Annotated[str | None, typer.Option("--after", help="Go on behind this id.", metavar="ID")] = None,
    body: BODY_ONLY = False,
) -> None:
    """Show messages of a queue, the oldest first, without taking them: nothing changes in the queue.

    Exit code 3: there is none.

    Example: [bold]rexchange browse mail --state unacked[/bold]
    """
    headers = values.table("--header", header) if header else None
    with run.broker() as broker:
        if id:
            looked = [broker.peek(queue, each) for each in id]
            found = [message for message in looked if message is not None]
        else:
            found = broker.browse(
                queue,
                limit=limit,
                headers=headers,
                message_id=message_id,
                state=cast("Wanted", state),
                min_deliveries=min_deliveries,
                after=after,
            )
    for message in found:
        _print(run, message, body=body)
    if not found:
        filtered = id or header or message_id or min_deliveries or after or state != "all"
        run.note(f"no such message is in queue {queue!r}" if filtered else f"queue {queue!r} is empty")
        raise typer.Exit(ExitCode.NOTHING)


def move(
    run: Run,
    source: SOURCE,
    destination: DESTINATION,
    *,
    limit: LIMIT = None,
    id: IDS = None,  # noqa: A002 - the option's name
    header: HEADERS = None,
) -> None:
    """Move ready messages from one queue to another, the oldest first.

    Whatever happens meanwhile, each is in one of the two queues.

    Example: [bold]rexchange move dlq work --limit 100[/bold]
    """
    _transfer(run, "moved", source, destination, limit, id, header)


def copy(
    run: Run,
    source: SOURCE,
    destination: DESTINATION,
    *,
    limit: LIMIT = None,
    id: IDS = None,  # noqa: A002 - the option's name
    header: HEADERS = None,
) -> None:
    """Copy ready messages from one queue to another, the oldest first. The first keeps them; it may be a stream.

    Example: [bold]rexchange copy work debug --limit 10[/bold]
    """
    _transfer(run, "copied", source, destination, limit, id, header)


def _transfer(
    run: Run,
    done: str,
    source: str,
    destination: str,
    limit: int | None,
    ids: list[str] | None,
    header: list[str] | None,
) -> None:
    from rexchange.cli.output import count

    headers = values.table("--header", header) if header else None
    with run.broker() as broker:
        work = broker.move if done == "moved" else broker.copy
        number = work(source, destination, limit=limit, ids=ids or None, headers=headers)
        passed_over = [] if not ids or number == len(ids) else _why_not(broker, source, ids, done)
    data = {"source": source, "destination": destination, "messages": number}
    run.show(data, f"{count(number, 'message')} {done} from queue {source!r} to {destination!r}")
    for words in passed_over:
        run.note(words)


def _why_not(broker: Broker, queue: str, ids: list[str], done: str) -> list[str]:
    """Say why messages that were named did not go."""
    found = {each: broker.peek(queue, each) for each in ids}
    held = [message for message in found.values() if message is not None and message.state != "ready"]
    words = [
        f"{each.id} is {each.state}{f', {each.consumer} has it' if each.consumer else ''}: it was not {done}"
        for each in held
    ]
    if done == "copied":
        words += [f"{each} is not in queue {queue!r}" for each, message in found.items() if message is None]
    return words


def _print(run: Run, message: BrowsedMessage, *, body: bool) -> None:
    from rexchange.cli import output

    if run.json:
        typer.echo(json.dumps(output.browsed_data(message), ensure_ascii=False))
    elif body:
        typer.echo(message.body)
    else:
        output.show_browsed(message)
