"""What the workers report, compared with what was published."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rexchange import Delivery


@dataclass(frozen=True, slots=True)
class Handling:
    """One report: who handled a message, and when it was read here (monotonic seconds)."""

    worker: int
    redelivered: bool
    at: float


@dataclass
class Results:
    """All reports, by queue and body."""

    expected: dict[str, set[bytes]]
    """What was published, by queue."""
    handled: dict[tuple[str, bytes], list[Handling]] = field(
        default_factory=lambda: defaultdict[tuple[str, bytes], list[Handling]](list)
    )
    lines: int = 0
    size: int = 0
    """Bytes of all files."""
    vanished: int = 0
    """Files that could not be read any more when their turn came."""
    contents: set[str] = field(default_factory=set[str])
    audited: set[bytes] = field(default_factory=set[bytes])

    def add(self, delivery: Delivery, at: float) -> None:
        """Take a report."""
        headers = delivery.headers
        key = (str(headers["queue"]), delivery.body)
        worker, lines, size = headers["worker"], headers["lines"], headers["size"]
        if not (isinstance(worker, int) and isinstance(lines, int) and isinstance(size, int)):
            raise TypeError(f"a report that no worker of ours wrote: {headers}")
        if key not in self.handled:
            self.lines += lines
            self.size += max(size, 0)
            self.vanished += size < 0
            if size >= 0:
                self.contents.add(str(headers["sha256"]))
        self.handled[key].append(Handling(worker, headers["redelivered"] is True, at))

    @property
    def total(self) -> int:
        """How many messages the workers are to handle."""
        return sum(map(len, self.expected.values()))

    @property
    def complete(self) -> bool:
        """Whether each was handled."""
        return len(self.handled) >= self.total and not self.lost_all()

    def lost(self, queue: str) -> int:
        """Return how many messages of a queue nobody handled."""
        return sum((queue, body) not in self.handled for body in self.expected[queue])

    def lost_all(self) -> int:
        """Return how many of all queues nobody handled."""
        return sum(map(self.lost, self.expected))

    def audit_lost(self) -> int:
        """Return how many never came to the audit log."""
        return len(set[bytes]().union(*self.expected.values()) - self.audited)

    def redelivered(self, queue: str) -> int:
        """Return how many messages of a queue were handled as redelivered ones."""
        return sum(any(one.redelivered for one in done) for done in self._of(queue))

    def twice(self, queue: str) -> int:
        """Return how many messages of a queue were handled more than once."""
        return sum(len(done) > 1 for done in self._of(queue))

    def unexplained(self, victim: int) -> int:
        """Return how many were handled more than once although the killed worker had no part in it."""
        return sum(len(done) > 1 and victim not in {one.worker for one in done} for done in self.handled.values())

    def _of(self, queue: str) -> list[list[Handling]]:
        return [done for (name, _), done in self.handled.items() if name == queue]

    def last_fresh(self) -> float:
        """Return when the last message came that was nobody's before; 0.0 if none did."""
        return max((one.at for done in self.handled.values() for one in done if not one.redelivered), default=0.0)

    def first_again(self) -> float | None:
        """Return when the first redelivered message was reported."""
        times = [one.at for done in self.handled.values() for one in done if one.redelivered]
        return min(times, default=None)
