"""Publishing on one lane: calls under way together share one script call; a repeated call is not done twice."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
from collections import deque
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from rexchange._async import io
from rexchange._async.lane import Lane
from rexchange._async.wire import ConnectionLost
from rexchange.confirms import MEMORY
from rexchange.errors import BrokerConnectionError, RexchangeError, Unconfirmed
from rexchange.protocol.call import BodyGone
from rexchange.protocol.confirm import confirmed
from rexchange.protocol.publish import publish, store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange._async.link import Link
    from rexchange.confirms import Level
    from rexchange.errors import Outcome
    from rexchange.protocol.publish import Group
    from rexchange.receipt import Receipt

_log = logging.getLogger("rexchange.publish")

COMPANY_S = 1.0
"""Groups share a call when their callers give up within so many seconds of each other."""


class _Slot(io.Passenger):
    """One caller's group on its way, and what became of it."""

    __slots__ = ("answer", "deadline", "group")

    def __init__(self, group: Group, deadline: float) -> None:
        super().__init__()
        self.group = group
        self.deadline = deadline
        self.answer: list[Receipt] | RexchangeError | None = None

    def settle(self, answer: list[Receipt] | RexchangeError) -> None:
        """Keep the answer, and wake the caller."""
        self.answer = answer
        self.arrived()


class Publisher:
    """What a Broker publishes, on a connection of its own; its `lane` is also that of the transactions.

    Each level of confirmation has its own: who waits for a disk holds up nobody who does not.
    """

    def __init__(self, link: Link, level: Level = MEMORY) -> None:
        """Nothing is connected yet."""
        self._link = link
        self._level = level
        self._wire = link.wire()
        self.lane = Lane(link, self._wire)
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[_Slot] = deque()
        self._convoy: io.Convoy[_Slot] = io.Convoy(self.lane.lock, self._lead)
        # Whether the last call was shared: then whoever comes now will have company, and does not go alone.
        self._busy = False

    def reset(self) -> None:
        """Begin anew after a fork, with a lane and a connection of one's own; what waited is the parent's."""
        self._wire.reset()
        self.lane.reset()
        self._begin()

    async def publish(self, group: Group, deadline: float) -> list[Receipt]:
        """Publish a group and return the queues reached, a message; raises the group's own error."""
        lock = self.lane.lock
        if self._busy or self._waiting or lock.locked() or not await io.acquire(lock, 0.0):
            return await self._join(group, deadline)
        # Alone, as most are: nobody else is in this call, so one that is cancelled harms none but itself.
        try:
            (answer,) = await self._call([group], deadline)
        finally:
            lock.release()
        if isinstance(answer, list):
            return answer
        raise answer

    async def _join(self, group: Group, deadline: float) -> list[Receipt]:
        """Publish a group with those of others that wait for the call under way to end."""
        slot = _Slot(group, deadline)
        self._waiting.append(slot)
        try:
            in_time = await self._convoy.join(slot, self._link.left(deadline))
        except BaseException:
            self._withdraw(slot)  # cancelled or interrupted while it waited: nobody shall send it later
            raise
        if slot.answer is None:
            assert not in_time  # noqa: S101 - who is in time has an answer
            outcome: Outcome = "not_done" if self._withdraw(slot) else "unknown"
            message = "the time was up while another publish of this Broker was under way"
            raise BrokerConnectionError(message, address=self._link.address.display, outcome=outcome)
        if isinstance(slot.answer, list):
            return slot.answer
        raise slot.answer

    async def _lead(self, mine: _Slot | None) -> bool:
        """Send what waits, the lock being held: for `mine` and for others, or for who came first; whether any did."""
        if mine is None:
            mine = self._waiting[0] if self._waiting else None
        slots = self._next(mine) if mine is not None else []
        self._busy = len(slots) > 1
        if slots:
            await self._send(slots)
        return bool(slots)

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

    async def _call(
        self, groups: list[Group], deadline: float, shares: Sequence[str] | None = None
    ) -> list[list[Receipt] | RexchangeError]:
        """Publish groups; `shares`: the numbers of large bodies that are stored, None where nobody has looked."""
        if shares is None:
            for group in groups:
                if group.large:
                    return await self._call_with_large(groups, deadline)
            shares = ()
        level = self._level
        if level is MEMORY:
            return await self.lane.call(
                lambda lane, number, token: publish(lane, number, token, groups, shares), deadline
            )
        timeout_ms, vhost_key = self._link.confirm_ms(deadline), self._link.keys.vhost
        answers, why = await self.lane.call(
            lambda lane, number, token: confirmed(
                publish(lane, number, token, groups, shares), level, timeout_ms, vhost_key
            ),
            deadline,
        )
        if why:
            return [Unconfirmed(why, answer) if isinstance(answer, list) else answer for answer in answers]
        return answers

    async def _call_with_large(self, groups: list[Group], deadline: float) -> list[list[Receipt] | RexchangeError]:
        shares = await self._store(groups, deadline)
        if shares:
            with contextlib.suppress(BodyGone):
                return await self._call(groups, deadline, shares)
        return await self._call(groups, deadline, ())

    async def _store(self, groups: list[Group], deadline: float) -> list[str]:
        """Store large bodies ahead, and return their numbers; none where that fails: then the call holds them."""
        await self._link.open(deadline)
        bodies = [body for group in groups for body in group.bodies()]
        shares = [os.urandom(8).hex() for _ in bodies]  # from the system: a copy of this process would draw the same
        commands = [store(self._link.keys, share, body) for share, body in zip(shares, bodies, strict=True)]
        try:
            replies = await self._wire.roundtrip(commands, self._link.left(deadline))
        except ConnectionLost as error:
            _log.debug("%s: bodies could not be stored ahead: %s", self._link, error)
            return []
        return [] if any(isinstance(reply, RedisError) for reply in replies) else shares

    async def _send(self, slots: list[_Slot]) -> None:
        deadline = max(slot.deadline for slot in slots)
        try:
            answers = await self._call([slot.group for slot in slots], deadline)
        except RexchangeError as error:
            for slot in slots:
                # Each caller raises its own: one exception raised in several threads mixes their tracebacks.
                own = copy.copy(error)
                own.__cause__ = error.__cause__
                slot.settle(own)
            return
        except BaseException as error:
            # KeyboardInterrupt ends this thread's publish, or the event loop ends: neighbours must not wait for ever.
            for slot in slots:
                message = f"the publish was interrupted ({type(error).__name__})"
                slot.settle(BrokerConnectionError(message, address=self._link.address.display, outcome="unknown"))
            raise
        for slot, answer in zip(slots, answers, strict=True):
            slot.settle(answer)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.aclose()
