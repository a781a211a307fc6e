"""A lane of numbered calls: one that is sent again after a lost reply is answered from memory, not done twice."""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING, TypeVar

from rexchange._async import io
from rexchange.protocol.call import ProducerClash

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange._async.link import Link
    from rexchange._async.wire import Wire
    from rexchange.protocol.call import Call

    Make = Callable[[str, int, str], Call["T"]]

T = TypeVar("T")
_log = logging.getLogger("rexchange.publish")


class Lane:
    """(id, number of the call). It outlives its connections and never a fork, and has one call under way at a time."""

    def __init__(self, link: Link, wire: Wire | None = None) -> None:
        """Take the connection of its own that it has, if it has one. Nothing is sent yet."""
        self._link = link
        self._wire = wire
        self.reset()

    def reset(self) -> None:
        """Draw a lane of one's own: after a fork parent and child must not count on the same one."""
        #: Held while a call is under way.
        self.lock = io.Lock()
        self._draw()

    def _draw(self) -> None:
        self.id = secrets.token_hex(8)
        self.number = 0

    async def run(self, make: Make[T], deadline: float | None = None) -> T:
        """Run the call that `make` returns for the lane's id, a number and a token; raises as `Link.run`."""
        limit = self._link.deadline() if deadline is None else deadline
        async with self._link.holding(self.lock, limit):
            return await self.call(make, limit)

    async def call(self, make: Make[T], deadline: float) -> T:
        """Do the same for who holds the lock already."""
        while True:
            self.number += 1
            # From the system, not from this process: a copy of it would draw the same.
            call = make(self.id, self.number, os.urandom(6).hex())
            try:
                return await self._link.run(call, wire=self._wire, deadline=deadline)
            except ProducerClash:
                # A copy of this process (a snapshot, a fork unseen by us) counts on the same lane. Nothing was done.
                _log.warning("%s: lane %s is used by another process; drawing a new one", self._link, self.id)
                self._draw()
