"""What a publish waits for before it returns: the server's memory, its replicas, or its disk (docs/confirms.md)."""

from __future__ import annotations

import re
from typing import NamedTuple

from rexchange.errors import InvalidArgument

_WANTED = "'memory', 'replicated' or 'replicated:<replicas>', or 'synced'"
_MOST_REPLICAS = 1000


class Level(NamedTuple):
    """`replicas`: how many have to have it too; `synced`: whether it has to be on the server's own disk."""

    replicas: int = 0
    synced: bool = False

    def command(self, timeout_ms: int) -> tuple[str | int, ...]:
        """Return the command that waits for it, empty where there is nothing to wait for."""
        if self.synced:
            return ("WAITAOF", 1, 0, timeout_ms)
        return ("WAIT", self.replicas, timeout_ms) if self.replicas else ()


MEMORY = Level()


def read_level(text: object) -> Level:
    """Return the level of a name; raises InvalidArgument."""
    if text == "memory":
        return MEMORY
    if text == "synced":
        return Level(synced=True)
    found = re.fullmatch(r"replicated(?::([1-9][0-9]{0,3}))?", text) if isinstance(text, str) else None
    if found is None or int(found[1] or 1) > _MOST_REPLICAS:
        raise InvalidArgument("confirm", text, _WANTED)
    return Level(replicas=int(found[1] or 1))
