# Generated from rexchange/_async/fetching.py by `python tools/unasync.py`. Do not edit.
"""Bodies that are stored once for several queues: whoever takes an entry fetches its body (docs/adr/0014)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from rexchange.protocol.consume import body_commands, with_bodies

if TYPE_CHECKING:
    from rexchange._sync.link import Link
    from rexchange._sync.wire import Wire
    from rexchange.protocol.consume import Entry


def fetched(link: Link, wire: Wire, entries: list[Entry], within: float = math.inf) -> list[Entry] | None:
    """Return entries with their bodies; None where one is gone. Raises ConnectionLost, and the server's refusal."""
    commands = body_commands(link.keys, entries)
    if not commands:
        return entries
    bodies = wire.roundtrip(commands, within)
    for reply in bodies:
        if isinstance(reply, RedisError):
            raise link.error(reply) from reply
    return with_bodies(entries, bodies)
