"""What to do about an error, for a person at a terminal."""

from __future__ import annotations

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
        return "--wait SECONDS waits for room"
    if isinstance(error, errors.Unroutable):
        return "`rexchange route EXCHANGE KEY` shows where a message would go"
    if isinstance(error, errors.AccessRefused) and error.kind == "vhost":
        return "name another one with --vhost"
    if isinstance(error, errors.ResourceLocked):
        return "an exclusive queue can be used by the process that declared it, and by no other"
    return ""


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
