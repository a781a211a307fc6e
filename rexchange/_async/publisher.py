"""Publishing on one lane: calls under way together share one script call; a repeated call is not done twice."""

from __future__ import annotations

import copy
import logging
import secrets
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from rexchange._async import io
from rexchange._async.deadlines import Holding
from rexchange.errors import BrokerConnectionError, RexchangeError
from rexchange.protocol.call import ProducerClash
from rexchange.protocol.publish import publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange._async.link import Link
    from rexchange.errors import Outcome
    from rexchange.protocol.call import Call
    from rexchange.protocol.publish import Group
    from rexchange.receipt import Receipt

T = TypeVar("T")
_log = logging.getLogger("rexchange.publish")

COMPANY_S = 1.0
"""Groups share a call when their callers give up within so many seconds of each other."""


class _Slot:
    """One caller's group on its way, and what became of it."""

    __slots__ = ("answer", "deadline", "group")

    def __init__(self, group: Group, deadline: float) -> None:
        self.group = group
        self.deadline = deadline
        self.answer: list[Receipt] | RexchangeError | None = None


class Publisher:
    """A lane: (producer id, number of the call). It outlives its connections and never a fork."""

    def __init__(self, link: Link) -> None:
        """Nothing is connected yet."""
        self._link = link
        self._wire = link.wire()
        self.reset()

    def reset(self) -> None:
        """Draw a lane of one's own: after a fork parent and child must not count on the same one."""
        self._lock = io.Lock()
        self._waiting: deque[_Slot] = deque()
        self._wire.reset()
        self._draw()

    def _draw(self) -> None:
        self._lane = secrets.token_hex(8)
        self._number = 0

    async def publish(self, group: Group, deadline: float) -> list[Receipt]:
        """Publish a group and return the queues reached, a message; raises the group's own error."""
        slot = _Slot(group, deadline)
        self._waiting.append(slot)
        try:
            await io.shielded(lambda: self._drain(slot))
        except BaseException:
            self._withdraw(slot)  # interrupted (sync: KeyboardInterrupt) while it waited: nobody shall send it later
            raise
        if isinstance(slot.answer, list):
            return slot.answer
        assert slot.answer is not None  # noqa: S101 - _drain ends only when it is set
        raise slot.answer

    async def _drain(self, slot: _Slot) -> None:
        """Send what waits until our own group is through: whoever has the lock sends for all."""
        while slot.answer is None:
            if not await io.acquire(self._lock, self._link.left(slot.deadline)):
                outcome: Outcome = "not_done" if self._withdraw(slot) else "unknown"
                message = "the time was up while another publish of this Broker was under way"
                slot.answer = BrokerConnectionError(message, address=self._link.address.display, outcome=outcome)
                return
            try:
                if slot.answer is None:
                    slots = self._next(slot)
                    if not slots:
                        return  # withdrawn: its caller was cancelled meanwhile
                    await self._send(slots)
            finally:
                self._lock.release()

    def _withdraw(self, slot: _Slot) -> bool:
        """Take back a group that nobody has begun to send; whether it was so."""
        try:
            self._waiting.remove(slot)
        except ValueError:
            return False
        return True

    def _next(self, mine: _Slot) -> list[_Slot]:
        """Take our own group and, in order, those that give up no later than we: nobody waits longer than asked for."""
        settings = self._link.settings
        slots: list[_Slot] = []
        count = size = 0
        for slot in list(self._waiting):
            if slot.deadline > mine.deadline + COMPANY_S:
                continue
            count += len(slot.group.messages)
            size += slot.group.size
            if slots and (count > settings.max_batch or size > settings.max_call):
                break
            if self._withdraw(slot):
                slots.append(slot)
        return slots

    async def _send(self, slots: list[_Slot]) -> None:
        deadline = max(slot.deadline for slot in slots)
        groups = [slot.group for slot in slots]
        try:
            answers = await self._call(lambda lane, number, token: publish(lane, number, token, groups), deadline)
        except RexchangeError as error:
            for slot in slots:
                # Each caller raises its own: one exception raised in several threads mixes their tracebacks.
                slot.answer = copy.copy(error)
                slot.answer.__cause__ = error.__cause__
            return
        except BaseException as error:
            # Only sync: KeyboardInterrupt ends this thread's publish; its neighbours must not wait for ever.
            for slot in slots:
                message = f"the publish was interrupted ({type(error).__name__})"
                slot.answer = BrokerConnectionError(message, address=self._link.address.display, outcome="unknown")
            raise
        for slot, answer in zip(slots, answers, strict=True):
            slot.answer = answer

    async def alone(self, make: Callable[[str, int, str], Call[T]], deadline: float) -> T:
        """Run another call that is numbered on the lane, with no publish beside it. Raises as `Link.run` does."""
        message = "the time was up while a publish of this Broker was under way"
        error = BrokerConnectionError(message, address=self._link.address.display, outcome="not_done")
        async with Holding(self._lock, self._link.left(deadline), error):
            return await self._call(make, deadline)

    async def _call(self, make: Callable[[str, int, str], Call[T]], deadline: float) -> T:
        while True:
            self._number += 1
            call = make(self._lane, self._number, secrets.token_hex(6))
            try:
                return await self._link.run(call, wire=self._wire, deadline=deadline)
            except ProducerClash:
                # A copy of this process (a snapshot, a fork unseen by us) counts on the same lane. Nothing was done.
                _log.warning("%s: lane %s is used by another process; drawing a new one", self._link, self._lane)
                self._draw()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.aclose()
