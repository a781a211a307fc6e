"""What the error reply of a script stands for: ``<CODE> <kind>|<name>|<message>``, as lua/lib/refuse.lua writes it."""

from __future__ import annotations

import re

from rexchange.errors import (
    AccessRefused,
    NotFound,
    NotSupported,
    PreconditionFailed,
    PublishRefused,
    ResourceLocked,
    RexchangeError,
    ScriptError,
    ServerRefused,
    TopologyError,
    TopologyLost,
)

_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_TOPOLOGY: dict[str, type[TopologyError]] = {
    "NOT_FOUND": NotFound,
    "RESOURCE_LOCKED": ResourceLocked,
    "PRECONDITION_FAILED": PreconditionFailed,
    "ACCESS_REFUSED": AccessRefused,
    "NOT_SUPPORTED": NotSupported,
    "TOPOLOGY_LOST": TopologyLost,
}
_KINDS = frozenset({"", "exchange", "queue", "binding", "vhost", "consumer", "schedule"})


def _unescape(name: str) -> str:
    """Undo the %XX that scripts write for "%", "|" and line ends in a name; names are UTF-8."""
    raw = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), name.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "backslashreplace")


def from_reply(text: str) -> RexchangeError:
    """Return the error that a script's error reply stands for.

    Any other text is an error of the server or of Lua itself and becomes a ScriptError that shows it whole.
    """
    code, _, rest = text.removeprefix("ERR ").partition(" ")
    kind, first, tail = rest.partition("|")
    name, second, message = tail.partition("|")
    if not (first and second and kind in _KINDS):
        return ScriptError(text)
    plain = _unescape(name)
    subject = f"{kind} {plain!r}: "
    # Scripts say what is wrong and leave it to us to say with what; a text made in Python says both.
    message = message if not kind or not message or message.startswith(subject) else subject + message
    if code in _TOPOLOGY:
        return _TOPOLOGY[code](message, kind=kind, name=plain)
    if code == "VHOST_FULL":
        return PublishRefused(message, limit="vhost")
    if code == "NEWER_SCHEMA":
        return ServerRefused(message, address="", outcome="not_done")
    return ScriptError(message if code == "SCRIPT_ERROR" else text)
