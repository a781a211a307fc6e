"""The demo's exchanges, queues and keys.

::

    message per file ── files (topic) ──┬── file.*.small  ── small ──┐
                                        ├── file.*.medium ── medium ─┼── workers ── results
                                        ├── file.*.large  ── large ──┘
                                        └── # ── audit (fanout) ── audit-log
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rexchange import Broker
    from rexchange.cli.demo.walk import Found

SIZES = ("small", "medium", "large")
_SMALL_BYTES = 4 * 1024
_MEDIUM_BYTES = 64 * 1024
_LONGEST_SUFFIX = 20


@dataclass(frozen=True)
class Layout:
    """Names, with a prefix where the server is not the demo's alone."""

    prefix: str = ""

    @property
    def files(self) -> str:
        """The topic exchange that takes a message for each file."""
        return f"{self.prefix}files"

    @property
    def audit(self) -> str:
        """The fanout exchange behind it."""
        return f"{self.prefix}audit"

    @property
    def audit_log(self) -> str:
        """The queue behind that."""
        return f"{self.prefix}audit-log"

    @property
    def results(self) -> str:
        """The queue where workers report what they did."""
        return f"{self.prefix}results"

    @property
    def work(self) -> list[str]:
        """The queues that workers consume."""
        return [f"{self.prefix}{size}" for size in SIZES]

    def short(self, name: str) -> str:
        """Return a name without the prefix."""
        return name.removeprefix(self.prefix)

    def declare(self, broker: Broker) -> None:
        """Declare and bind it all."""
        files = broker.declare_exchange(self.files, "topic")
        audit = broker.declare_exchange(self.audit, "fanout")
        for size, name in zip(SIZES, self.work, strict=True):
            broker.bind(broker.declare_queue(name), files, f"file.*.{size}")
        broker.bind(audit, files, "#")
        broker.bind(broker.declare_queue(self.audit_log), audit)
        broker.declare_queue(self.results)

    def delete(self, broker: Broker) -> None:
        """Delete it all."""
        for name in (*self.work, self.audit_log, self.results):
            broker.delete_queue(name)
        for name in (self.files, self.audit):
            broker.delete_exchange(name)


def size_class(size: int) -> str:
    """Return the word for a size in bytes."""
    return "small" if size < _SMALL_BYTES else "medium" if size < _MEDIUM_BYTES else "large"


def routing_key(file: Found) -> str:
    """Return `file.<suffix>.<size class>`."""
    suffix = os.path.splitext(file.path)[1].lstrip(b".").decode("utf-8", "replace").lower()  # noqa: PTH122 - bytes
    return f"file.{suffix[:_LONGEST_SUFFIX] or 'none'}.{size_class(file.size)}"
