"""Why a publisher waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rexchange.errors import PublishRefused


@dataclass(frozen=True, slots=True)
class Blocked:
    """A publish waits for room since `since`: of what `kind` (a queue, the vhost, the server's memory), and in words.

    `queues` are those that are full.
    """

    kind: Literal["queue", "vhost", "memory"]
    queues: tuple[str, ...]
    reason: str
    since_s: float

    @property
    def since(self) -> datetime:
        """When the publish began to wait, by this machine's clock."""
        return datetime.fromtimestamp(self.since_s, UTC)

    @classmethod
    def by(cls, error: PublishRefused, since_s: float) -> Blocked:
        """Return what a refusal means for who waits, since seconds of 1970."""
        queues = tuple(sorted({queue for _, queue in error.refused}))
        return cls(error.limit, queues, str(error), since_s)
