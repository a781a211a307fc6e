"""Messages that wait to be tried again: whether a queue has a policy, what waits, sending it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rexchange.protocol.call import Call, Plan, Reply, flag
from rexchange.special import time_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PER_PAGE = 100
"""Entries that one call looks at or gives back."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits to be tried again. `due` is by the server's clock."""

    id: str
    due: datetime
    tries: int
    """How often it was handed out."""


def has_policy(queue: str) -> Call[bool]:
    """Ask whether the queue has a retry policy now; raises NotFound."""
    return Call("waiting", (queue, -1, 0), flag)


def waiting(queue: str) -> Plan[list[Waiting]]:
    """List what waits, the soonest first; not in one step, so what is retried meanwhile may be missed."""
    found: dict[str, Waiting] = {}
    at = 0
    while True:
        page = yield Call("waiting", (queue, at, PER_PAGE), _page)
        found.update((each.id, each) for each in page)
        at += PER_PAGE
        if len(page) < PER_PAGE:
            return sorted(found.values(), key=lambda each: each.due)


def _page(reply: Reply) -> list[Waiting]:
    return [Waiting(reply[i].decode(), time_of(int(reply[i + 1])), reply[i + 2]) for i in range(0, len(reply), 3)]


def retry_now(queue: str, session: str, ids: Sequence[str] | None) -> Plan[int]:
    """Make ready what waits, or these of it; returns how many. What is retried meanwhile is not sent again."""
    sent = 0
    if ids is not None:
        for first in range(0, len(ids), PER_PAGE):
            page = ids[first : first + PER_PAGE]
            count, _ = yield Call("retry_now", (session, queue, PER_PAGE, *page), _sent)
            sent += count
        return sent
    left: int | None = None
    while left is None or left > 0:
        size = PER_PAGE if left is None else min(left, PER_PAGE)
        count, still = yield Call("retry_now", (session, queue, size), _sent)
        sent += count
        left = still if left is None else left - size
    return sent


def _sent(reply: Reply) -> tuple[int, int]:
    return reply[0], reply[1]
