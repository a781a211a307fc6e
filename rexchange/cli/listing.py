"""list exchanges, queues, bindings, consumers, unacked, scheduled, policies, vhosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rexchange.cli.run import Run, command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rexchange import Exchange, Queue
    from rexchange.protocol.browse import Order

_SHOWN = 60
"""So many characters of a body are shown in a row."""

_list = typer.Typer(no_args_is_help=True, help="List exchanges, queues, consumers, messages that wait, and so on.")


def _orders() -> list[str]:
    from rexchange.protocol.browse import ORDERS

    return list(ORDERS)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(_list, name="list")


@command(_list, "exchanges")
def exchanges(run: Run) -> None:
    """List the exchanges; those whose names begin with amq. are always there.

    Example: [bold]rexchange list exchanges[/bold]
    """
    from rexchange.cli.output import arguments, plain, safe

    with run.broker() as broker:
        found = broker.exchanges()
        vhost = broker.vhost
    rows = [(safe(item.name), item.type, _features(item), arguments(item.arguments)) for item in found]
    _show(run, "exchanges", vhost, [plain(item) for item in found], ("exchange", "type", "features", "arguments"), rows)


@command(_list, "queues")
def queues(run: Run) -> None:
    """List the queues with how many messages are ready, and how many a consumer holds unacked.

    What waits to be tried again is neither, and is shown where there is any.

    Example: [bold]rexchange list queues --json[/bold]
    """
    from rexchange.cli.output import arguments, plain, safe

    with run.broker() as broker:
        found = broker.queues()
        vhost = broker.vhost
    data: list[dict[str, Any]] = []
    for item in found:
        record = plain(item.queue)
        data.append(
            {key: record[key] for key in ("name", "durable", "exclusive", "auto_delete", "arguments")}
            | {"ready": item.ready, "unacked": item.unacked, "waiting": item.waiting, "consumers": item.consumers}
        )
    rows = [
        (
            safe(item.queue.name),
            item.ready,
            item.unacked,
            item.waiting or "",
            item.consumers,
            _features(item.queue),
            arguments(item.queue.arguments),
        )
        for item in found
    ]
    _show(
        run, "queues", vhost, data, ("queue", "ready", "unacked", "waiting", "consumers", "features", "arguments"), rows
    )


@command(_list, "bindings")
def bindings(
    run: Run,
    source: Annotated[str | None, typer.Argument(help="Only those of this exchange.", show_default=False)] = None,
) -> None:
    """List the bindings. That every queue is bound to the default exchange by its name goes without saying.

    Example: [bold]rexchange list bindings events[/bold]
    """
    from rexchange.cli.output import arguments, named, plain, safe

    with run.broker() as broker:
        found = broker.bindings(source)
        vhost = broker.vhost
    rows = [
        (
            safe(item.source),
            named(item.binding_key),
            safe(item.destination) + (" (exchange)" if item.destination_kind == "exchange" else ""),
            arguments(item.arguments),
        )
        for item in found
    ]
    _show(
        run, "bindings", vhost, [plain(item) for item in found], ("exchange", "key", "destination", "arguments"), rows
    )


@command(_list, "consumers")
def consumers(run: Run) -> None:
    """List the consumers of all processes.

    Example: [bold]rexchange list consumers[/bold]
    """
    from rexchange.cli.output import plain, safe

    with run.broker() as broker:
        found = broker.consumers()
        vhost = broker.vhost
    rows = [
        (
            safe(item.tag),
            safe(", ".join(item.queues)),
            item.prefetch,
            "on receipt" if item.auto_ack else f"within {item.ack_timeout.total_seconds():g} s",
            safe(item.client),
        )
        for item in found
    ]
    _show(
        run, "consumers", vhost, [plain(item) for item in found], ("tag", "queues", "prefetch", "acks", "client"), rows
    )


@command(_list, "scheduled")
def scheduled(
    run: Run,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1)] = 100,
) -> None:
    """List the messages that wait for their time, the next one first.

    Example: [bold]rexchange list scheduled[/bold]
    """
    from rexchange.cli.output import named, plain, readable, safe

    with run.broker() as broker:
        found = broker.scheduled(limit=limit)
        vhost = broker.vhost
    rows = [
        (
            safe(item.id),
            f"{item.due.astimezone():%Y-%m-%d %H:%M:%S}",
            named(item.exchange),
            named(item.routing_key),
            safe((readable(item.body) or f"({len(item.body):,} bytes)")[:_SHOWN]),
        )
        for item in found
    ]
    _show(
        run,
        "scheduled messages",
        vhost,
        [plain(item) for item in found],
        ("id", "due", "exchange", "key", "body"),
        rows,
    )


@command(_list, "unacked")
def unacked(
    run: Run,
    queue: Annotated[str, typer.Argument(help="The queue.", show_default=False)],
    *,
    by: Annotated[
        str, typer.Option("--by", help="age or deliveries: what comes first.", autocompletion=_orders, metavar="WHAT")
    ] = "age",
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many messages.", min=1)] = 100,
) -> None:
    """List what consumers hold of a queue: who, for how long, and how often each message was handed out.

    Example: [bold]rexchange list unacked mail --by deliveries[/bold]
    """
    from rexchange.cli.output import plain, safe, seconds

    with run.broker() as broker:
        found = broker.unacked(queue, by=cast("Order", by), limit=limit)
        vhost = broker.vhost
    rows = [
        (
            item.id,
            safe(item.consumer),
            safe(item.client),
            seconds(item.age),
            seconds(item.left),
            item.delivery_count,
        )
        for item in found
    ]
    columns = ("id", "consumer", "client", "age", "ack timeout in", "deliveries")
    _show(run, f"unacked messages of queue {queue!r}", vhost, [plain(item) for item in found], columns, rows)


@command(_list, "policies")
def policies(run: Run) -> None:
    """List the policies: what holds for many queues or exchanges.

    Example: [bold]rexchange list policies[/bold]
    """
    from rexchange.cli.output import arguments, plain, safe

    with run.broker() as broker:
        found = broker.policies()
        vhost = broker.vhost
    rows = [
        (safe(item.name), safe(item.pattern), item.apply_to, item.priority, arguments(item.definition))
        for item in found
    ]
    columns = ("policy", "pattern", "applies to", "priority", "definition")
    _show(run, "policies", vhost, [plain(item) for item in found], columns, rows)


@command(_list, "vhosts")
def vhosts(run: Run) -> None:
    """List the vhosts of the server. One is there from its first use on.

    Example: [bold]rexchange list vhosts[/bold]
    """
    from rexchange.cli.output import grid, safe

    with run.broker() as broker:
        found = broker.vhosts()
    run.show(found, grid(["vhost"], [[safe(name)] for name in found]))


def _features(item: Exchange | Queue) -> str:
    """Return in a word or two how it differs from the ordinary."""
    words = {"exclusive": "exclusive", "auto_delete": "auto-delete", "internal": "internal"}
    found = [word for name, word in words.items() if getattr(item, name, False)]
    return ", ".join(found if item.durable else ["transient", *found])


def _show(
    run: Run,
    nouns: str,
    vhost: str,
    data: Sequence[object],
    columns: Sequence[str],
    rows: Iterable[Sequence[str | int]],
) -> None:
    from rexchange.cli.output import grid

    listed = list(rows)
    if not listed:
        run.show(data, f"there are no {nouns} in vhost {vhost!r}")
        return
    # A column that says nothing takes room from those that do.
    kept = [index for index in range(len(columns)) if any(row[index] != "" for row in listed)]
    run.show(data, grid([columns[index] for index in kept], [[row[index] for index in kept] for row in listed]))
