"""route, reap, ping."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Annotated

import typer

from rexchange.cli import values
from rexchange.cli.run import PING_TIMEOUT, ExitCode, Run, command
from rexchange.cli.values import HEADERS

if TYPE_CHECKING:
    from rexchange import Broker
    from rexchange.server.facts import ServerFacts

_PINGS = 10


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    command(app, "route")(route)
    command(app, "reap")(reap)
    command(app, "ping")(ping)


def route(
    run: Run,
    exchange: Annotated[str, typer.Argument(help="The exchange; '' is the default one.", show_default=False)],
    key: Annotated[str, typer.Argument(help="The routing key.", show_default=False)] = "",
    *,
    header: HEADERS = None,
) -> None:
    """Show which queues a message would reach, and by which bindings.

    Nothing is published. Exit code 3: it would reach none.

    Example: [bold]rexchange route events user.42.created[/bold]
    """
    from rexchange.cli import explain

    headers = values.table("--header", header)
    with run.broker() as broker:
        path = explain.explain(broker, exchange, key, headers)
    run.show(explain.data(path), explain.tree(path))
    if not path.queues:
        run.note("no queue: the message would be dropped")
        raise typer.Exit(ExitCode.NOTHING)


def reap(
    run: Run,
    *,
    wait: Annotated[float, typer.Option(help="Go on for so many seconds.", metavar="SECONDS", min=0)] = 0.0,
) -> None:
    """Give back now what dead or slow consumers hold.

    Every process that consumes does this by itself; it is needed where none is running. Then --wait 20 ends dead
    sessions too: their first 15 s after nobody looked are a grace, since Redis itself may have been away.

    Example: [bold]rexchange reap --wait 20[/bold]
    """
    from rexchange.cli.output import count

    with run.broker() as broker:
        done = broker.reap(wait=wait)
    data = {
        "sessions": done.sessions,
        "queues": done.queues,
        "given_back": done.given_back,
        "routed": done.routed,
        "next_s": None if done.next_ms is None else done.next_ms / 1000,
    }
    if not wait and not done.sessions:
        run.note("dead sessions end only with --wait 20, where no other process consumes: see rexchange reap --help")
    later = "nothing is planned" if done.next_ms is None else f"the next visit is due in {done.next_ms / 1000:.1f} s"
    run.show(
        data,
        f"{count(done.given_back, 'message')} given back, {count(done.routed, 'scheduled message')} routed, "
        f"{count(done.sessions, 'dead session')} ended, "
        f"{count(done.queues, 'queue')} visited; {later}",
    )


def ping(run: Run) -> None:
    """Show whether the server answers, what it is, and whether it keeps your messages.

    Example: [bold]rexchange ping --url redis://localhost:6379/0[/bold]
    """
    from rexchange.cli.output import count, pairs, plain
    from rexchange.server.facts import judge

    with run.broker(PING_TIMEOUT) as broker:
        facts, status = broker.server(), broker.status()
        consumers = len(broker.consumers())  # the status counts what only gets, too
        latency_ms = _latency_ms(broker)
        address, vhost = broker.address, broker.vhost
    warnings = judge(facts, strict=False)
    version = ".".join(map(str, facts.version)) or None
    data = {
        "address": address,
        "vhost": vhost,
        "latency_ms": round(latency_ms, 3),
        "server": {**plain(facts), "version": version},
        **plain(status),
        "consumers": consumers,
        "warnings": warnings,
    }
    rows = [
        ("server", f"{facts.kind} {version or '(version unknown)'}, {facts.mode}, {facts.role}"),
        ("address", address),
        ("latency", f"{latency_ms:.2f} ms (median of {_PINGS})"),
        ("when memory is full", _memory(facts)),
        ("written to disk", _persistence(facts)),
        ("vhost", vhost),
        ("sessions", f"{status.sessions:,}"),
        (
            "in it",
            ", ".join(
                count(number, noun)
                for number, noun in (
                    (status.exchanges, "exchange"),
                    (status.queues, "queue"),
                    (consumers, "consumer"),
                )
            ),
        ),
        *(("warning", warning) for warning in warnings),
    ]
    run.show(data, pairs(rows))


def _latency_ms(broker: Broker) -> float:
    times: list[float] = []
    for _ in range(_PINGS):
        start = time.perf_counter()
        broker.status()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _memory(facts: ServerFacts) -> str:
    policy = facts.maxmemory_policy or "policy unknown"
    if facts.maxmemory is None:
        return policy
    return f"{policy}, at {facts.maxmemory / 2**20:,.0f} MiB" if facts.maxmemory else f"{policy}, no limit set"


def _persistence(facts: ServerFacts) -> str:
    said = {None: "unknown", True: "on", False: "off"}
    return f"append-only file {said[facts.aof_enabled]}, snapshots {said[facts.save_configured]}"
