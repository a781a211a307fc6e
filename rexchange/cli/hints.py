"""What to do about an error, for a person at a terminal."""

from __future__ import annotations

import json
import shlex
from typing import cast

from rexchange import errors


def hint(error: errors.RexchangeError) -> str:
    """Return what to do about it, or an empty text."""
    if isinstance(error, errors.NotFound) and error.kind in ("queue", "exchange"):
        return f"`rexchange list {error.kind}s` shows what is there, `rexchange declare {error.kind}` makes one"
    if isinstance(error, errors.NotFound) and error.kind == "schedule":
        return "`rexchange list scheduled` shows what waits"
    if isinstance(error, errors.BrokerConnectionError):
        return _connection(error)
    if isinstance(error, errors.PublishRefused) and error.limit != "memory":
        return "publish --wait SECONDS waits for room, so long at most"
    if isinstance(error, errors.Unroutable):
        return "`rexchange route EXCHANGE KEY` shows where a message would go"
    if isinstance(error, errors.AccessRefused) and error.kind == "vhost":
        return "name another one with --vhost"
    if isinstance(error, errors.PreconditionFailed) and error.changeable:
        return f"`{update_command(error)}` changes it, and keeps what is in it"
    if isinstance(error, errors.ResourceLocked):
        return "an exclusive queue can be used by the process that declared it, and by no other"
    return ""


def update_command(error: errors.PreconditionFailed) -> str:
    """Return the command that makes a queue or exchange what a declare wanted."""
    from rexchange.arguments import ALTERNATE_EXCHANGE, OPTION_NAMES, TIME_OPTIONS

    argument, wanted = error.argument or "", error.wanted
    option = next((option for option, of in OPTION_NAMES.items() if of == argument), None)
    if wanted is None:
        words = ["--remove", argument]
    elif argument == ALTERNATE_EXCHANGE:
        words = ["--alternate", str(wanted)]
    elif option == "retry_delays" and isinstance(wanted, list):
        words = [word for each in cast("list[int]", wanted) for word in ("--retry-delay", f"{each / 1000:g}")]
    elif option in TIME_OPTIONS and isinstance(wanted, int):
        words = [f"--{option.replace('_', '-')}", f"{wanted / 1000:g}"]
    elif option is not None and option not in TIME_OPTIONS:
        words = [f"--{option.replace('_', '-')}", str(wanted)]
    else:
        words = [
            "--argument",
            f"{argument}={wanted}" if isinstance(wanted, str) else f"{argument}:={json.dumps(wanted)}",
        ]
    return shlex.join(["rexchange", "update", error.kind, error.name, *words])


def _connection(error: errors.BrokerConnectionError) -> str:
    scheme, separator, _ = error.address.partition("://")
    if isinstance(error, errors.ServerRefused):
        refused = "does not accept the user or password" in str(error)
        return "put it in the URL: redis://:password@host, or redis://user:password@host" if refused else ""
    if scheme == "embedded":
        return "--url or REXCHANGE_URL names a server that is running, to use instead"
    if scheme == "memory" or not separator:
        return ""
    if "CERTIFICATE" in str(error):
        return "name the file of its authority (rediss://host?ssl_ca_certs=FILE), or trust any (?ssl_cert_reqs=none)"
    # A server that speaks TLS resets who does not; one that does not speak it leaves who does without an answer.
    if scheme == "rediss":
        return "is the server running there? is this its port for TLS? (redis:// is without)"
    if scheme == "redis" and "reset" in str(error):
        return "is the server running there? is this its port for TLS? (the URL begins with rediss:// then)"
    return "is the server running there? --url or REXCHANGE_URL says where it is"
