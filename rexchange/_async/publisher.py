"""Publishing on one lane: calls under way together share one script call; a repeated call is not done twice."""

from __future__ import annotations

import copy
from collections import deque
from typing import TYPE_CHECKING

from rexchange._async import io
from rexchange._async.lane import Lane
from rexchange.errors import BrokerConnectionError, RexchangeError
from rexchange.protocol.publish import publish

if TYPE_CHECKING:
    from rexchange._async.link import Link
    from rexchange.errors import Outcome
    from rexchange.protocol.publish import Group
    from rexchange.receipt import Receipt

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
    """What a Broker publishes, on a connection of its own; its `lane` is also that of the transactions."""

    def __init__(self, link: Link) -> None:
        """Nothing is connected yet."""
        self._link = link
        self._wire = link.wire()
        self.lane = Lane(link, self._wire)
        self._waiting: deque[_Slot] = deque()

    def reset(self) -> None:
        """Begin anew after a fork, with a lane and a connection of one's own; what waited is the parent's."""
        self._wire.reset()
        self.lane.reset()
        self._waiting = deque()

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
            if not await io.acquire(self.lane.lock, self._link.left(slot.deadline)):
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
                self.lane.lock.release()

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
            answers = await self.lane.call(lambda lane, number, token: publish(lane, number, token, groups), deadline)
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

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.aclose()
