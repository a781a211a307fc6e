# Generated from rexchange/_async/lane.py by `python tools/unasync.py`. Do not edit.
"""A lane of numbered calls: one that is sent again after a lost reply is answered from memory, not done twice."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeVar

from rexchange._sync import io
from rexchange.protocol.call import ProducerClash

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange._sync.link import Link
    from rexchange.protocol.call import Call

T = TypeVar("T")


class Lane:
    """(id, number of the call): what a Broker does to messages in queues. It never outlives a fork."""

    def __init__(self, link: Link) -> None:
        """Nothing is sent yet."""
        self._link = link
        self.reset()

    def reset(self) -> None:
        """Draw a lane of one's own: after a fork parent and child must not count on the same one."""
        self._lock = io.Lock()
        self._draw()

    def _draw(self) -> None:
        self._id = secrets.token_hex(8)
        self._number = 0

    def run(self, make: Callable[[str, int, str], Call[T]]) -> T:
        """Run the call that `make` returns for the lane's id, a number and a token; raises as `Link.run`."""
        deadline = self._link.deadline()
        with self._link.holding(self._lock, deadline):  # a lane has one call under way at a time
            while True:
                self._number += 1
                call = make(self._id, self._number, secrets.token_hex(6))
                try:
                    return self._link.run(call, deadline=deadline)
                except ProducerClash:
                    self._draw()  # a copy of this process counts on the same lane; nothing was done
