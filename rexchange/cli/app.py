"""The program: its own options, and its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from rexchange.cli.applying import register as register_applying
from rexchange.cli.browsing import register as register_browsing
from rexchange.cli.definitions import register as register_definitions
from rexchange.cli.demo import register as register_demo
from rexchange.cli.listing import register as register_listing
from rexchange.cli.messages import register as register_messages
from rexchange.cli.operate import register as register_operate
from rexchange.cli.policies import register as register_policies
from rexchange.cli.retries import register as register_retries
from rexchange.cli.run import JSON, RETRY_TIMEOUT, URL, VERBOSE, VHOST, Options
from rexchange.cli.topology import register as register_topology
from rexchange.cli.tracing import register as register_tracing
from rexchange.cli.transaction import register as register_transaction
from rexchange.cli.update import register as register_update

_EPILOG = (
    "[bold]Exit codes[/bold]  0 done · 1 refused or failed · 2 wrong usage · 3 nothing there (get, consume: no "
    "message; route: no queue) · 130 interrupted · 143 told to end (SIGTERM); both in order\n\n"
    "[bold]Environment[/bold]  REXCHANGE_URL, REXCHANGE_VHOST, REXCHANGE_RETRY_TIMEOUT and every other setting of the "
    "library; an option wins over the environment. --url, --vhost and --json may stand before or after the command.\n\n"
    "[bold]First steps[/bold], a command a line:\n\n"
    "rexchange demo\n\n"
    "rexchange declare queue mail\n\n"
    "rexchange publish '' mail hello\n\n"
    "rexchange get mail"
)

app = typer.Typer(
    name="rexchange",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # A traceback with local variables would show URLs with passwords, and message bodies.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
for register in (
    register_demo,
    register_topology,
    register_update,
    register_messages,
    register_browsing,
    register_transaction,
    register_listing,
    register_operate,
    register_policies,
    register_retries,
    register_definitions,
    register_applying,
    register_tracing,
):
    register(app)


def _version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if asked:
        from rexchange import __version__

        typer.echo(f"rexchange {__version__}")
        raise typer.Exit


@app.callback()
def main(
    ctx: typer.Context,
    *,
    url: URL = None,
    vhost: VHOST = None,
    retry_timeout: RETRY_TIMEOUT = None,
    json: JSON = False,
    verbose: VERBOSE = False,
    version: Annotated[  # noqa: ARG001 - the callback does it
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """RabbitMQ's exchanges, queues and acks on the Redis that you already run.

    Without --url and REXCHANGE_URL it works on a server of its own, which it starts and stops: nothing to set up.
    """
    ctx.obj = Options(url, vhost, retry_timeout, json, verbose)
