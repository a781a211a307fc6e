"""What a consumer has read and not handed out yet, and how it is kept filled through lost connections and sessions."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from rexchange._async import io
from rexchange._async.delivery import AsyncDelivery, Origin
from rexchange._async.reader import Reader
from rexchange._async.wire import ConnectionLost
from rexchange.errors import BrokerConnectionError, ConsumerCancelled, NotFound, RexchangeError, ServerRefused
from rexchange.protocol.call import SessionGone
from rexchange.protocol.consume import cancel, restore, take
from rexchange.server import failures

if TYPE_CHECKING:
    from rexchange._async.delivery import Settler
    from rexchange._async.holder import Holder
    from rexchange._async.link import Link
    from rexchange.protocol.consume import Entry, Place
    from rexchange.protocol.settle import Batch

_log = logging.getLogger("rexchange.consume")


class Intake:
    """The reading half of one consumer. `fill` and `give_back` are called by one thread or task at a time."""

    def __init__(
        self, link: Link, holder: Holder, settler: Settler, place: Place, *, tag: str, auto_ack: bool, prefetch: int
    ) -> None:
        """Nothing is read yet."""
        self._link = link
        self._holder = holder
        self._settler = settler
        self._tag = tag
        self._auto_ack = auto_ack
        self._prefetch = prefetch
        self._reader = Reader(link, holder, place)
        # Of each queue, as it was when this consumer was registered.
        self._origins: list[Origin] = []
        #: Deliveries read ahead, in order.
        self.buffer: deque[AsyncDelivery] = deque()
        #: Set by the consumer's cancel: reading ends.
        self.stopped = False
        self._idle_until: float | None = None
        # Set while a read is under way: one that was torn (Ctrl-C, an alarm) may have brought what nobody saw.
        self._torn = False

    async def begin(self) -> None:
        """Settle where reading begins, now that it is registered."""
        self._note_origins()
        await self._reader.begin()

    def _note_origins(self) -> None:
        holder = self._holder
        self._origins = [
            Origin(self._settler, queue, kind) for queue, kind in zip(holder.queues, holder.types, strict=True)
        ]

    async def stop(self, deadline: float) -> bool:
        """Read no more; a read that is under way is ended. False: the server could not be reached for that."""
        self.stopped = True
        self._holder.freed.set()
        return await self._reader.unblock(self._link.left(deadline))

    async def aclose(self) -> None:
        """Close the reading connection."""
        await self._reader.aclose()

    async def fill(self, idle_until: float | None) -> None:
        """Bring a delivery into the buffer, or find out that the time is up. Reconnects as long as allowed."""
        if self.buffer or self.stopped:
            return
        self._idle_until = idle_until
        give_up = time.monotonic() + self._link.settings.consumer_retry_timeout.total_seconds()
        attempt = 0
        while not self.stopped:
            try:
                await self._read()
            except SessionGone:
                await self._reattach(give_up)
            except ServerRefused:
                raise
            except BrokerConnectionError:
                if time.monotonic() > give_up or self._link.closed:
                    raise
                await self._reattach(give_up)
            except ConnectionLost as lost:
                pause = failures.backoff(attempt)
                attempt += 1
                passing = failures.is_connection_failure(lost.error) or failures.is_transient(lost.error)
                if not passing or time.monotonic() + pause > give_up:
                    raise failures.translate(lost.error, self._link.address, "unknown") from lost.error
                level = logging.WARNING if attempt == 1 else logging.INFO
                _log.log(
                    level, "%s: consumer %s lost its connection (%s), reconnecting", self._link, self._tag, lost.error
                )
                self._link.counters.reconnects += 1
                await io.sleep(pause)
                await self._reattach(give_up)
            else:
                return

    async def sort_out(self) -> None:
        """Drop what was read ahead and given back since, when the session was reaped: it is handed out again."""
        if self._auto_ack or self._holder.registered:
            return
        await self._reattach(time.monotonic() + self._link.settings.consumer_retry_timeout.total_seconds())
        kept = [delivery for delivery in self.buffer if self._holder.holds(delivery.delivery_tag)]
        self.buffer.clear()
        self.buffer.extend(kept)

    async def _reattach(self, give_up: float) -> None:
        while not self.stopped:
            try:
                await self._attach()
            except ServerRefused:
                raise
            except BrokerConnectionError:
                # One operation's limit is shorter than a consumer's: a restart of Redis must not end its consumers.
                if time.monotonic() > give_up or self._link.closed:
                    raise
            else:
                return

    async def _attach(self) -> None:
        try:
            await self._holder.attach()
        except NotFound as error:
            raise ConsumerCancelled(error.name, "the queue was deleted") from error
        self._note_origins()
        self._torn = False

    async def _read(self) -> None:
        """One read: the waiting verdicts go in front of it."""
        if self._holder.gone or not self._holder.registered or self._torn:
            # A queue that a settle missed is deleted, which this tells, or was declared anew.
            self._holder.gone.clear()
            await self._attach()
        settings = self._link.settings
        # A read ends before its session can be reaped: what a frozen process is handed after that, nobody looks for.
        wait = min(settings.block, settings.session_timeout / 2).total_seconds()
        if self._idle_until is not None:
            wait = min(wait, max(self._idle_until - time.monotonic(), 0.0))
        self._holder.freed.clear()
        window, batch = (self._prefetch, None) if self._auto_ack else self._holder.window(self._prefetch)
        if window <= 0:
            await self._wait_for_place(batch, wait)
            return
        self._torn = True
        try:
            entries = await self._reader.read(window, wait, lambda: self.stopped, batch)
        except RedisError as error:
            if failures.is_transient(error):
                raise ConnectionLost(error, sent=False) from error
            if not failures.is_unblocked(error):
                raise self._link.error(error) from error
            await self._attach()
            return
        except NotFound:
            await self._attach()  # deleted, which this tells, or declared anew
            return
        if entries and not self._holder.registered:
            await self._attach()  # reaped meanwhile: what was just read is given back, to be read again
        elif entries:
            await self._receive(entries)
        self._torn = False

    async def _wait_for_place(self, batch: Batch | None, wait: float) -> None:
        """Wait until something is settled; verdicts that come meanwhile leave with the flusher."""
        holder = self._holder
        if batch is not None:
            await holder.send(batch)
        if await holder.freed.wait(wait):
            return
        try:
            # Nobody reads meanwhile, so nothing else would tell that a queue was deleted. Takes nothing.
            await self._link.run(take(holder.name, 0, holder.queues, holder.incarnations))
        except NotFound:
            await self._attach()

    async def _receive(self, entries: list[Entry]) -> None:
        holder = self._holder
        tags = holder.add(entries, fresh=self._reader.fresh)
        origins = self._origins
        of_each = repeat(origins[0]) if len(origins) == 1 else [origins[entry.queue] for entry in entries]
        deliveries = map(AsyncDelivery, of_each, entries, tags)
        if not self._auto_ack:
            self.buffer.extend(deliveries)
            return
        last = tags[-1]
        # As long as a consumer reconnects, not an operation: given up, it would be done later, and these never shown.
        deadline = self._link.deadline(self._link.settings.consumer_retry_timeout.total_seconds())
        stale = set((await holder.settle_now(last, "ack", multiple=True, shown=last, deadline=deadline)).stale)
        self.buffer.extend(
            delivery
            for delivery, entry in zip(deliveries, entries, strict=True)
            if not stale or (entry.queue, entry.id) not in stale
        )

    async def give_back(self, deadline: float, *, keep: bool) -> None:
        """Give back what nobody was shown as never read; what was shown too, unless `keep` leaves it its owner's."""
        if not self._holder.name:
            return
        unseen: list[AsyncDelivery] = []
        with contextlib.suppress(IndexError):  # one by one: another thread may be taking from it, too
            while True:
                unseen.append(self.buffer.popleft())
        holder = self._holder
        try:
            if self._auto_ack:
                await self._restore(unseen, deadline)
            else:
                holder.log.unread(delivery.entry.id for delivery in unseen)
                holder.drop(delivery.delivery_tag for delivery in unseen)
                await holder.flush(deadline)
            await self._link.run(cancel(holder.name, holder.queues, holder.known(), keep=keep), deadline=deadline)
        except RexchangeError as error:
            # The session ends with this process at the latest, and the reaper then gives back what is unacked.
            _log.warning("%s: consumer %s could not give back its deliveries now: %s", self._link, self._tag, error)

    async def _restore(self, unseen: list[AsyncDelivery], deadline: float) -> None:
        """Acknowledged when they were read, but nobody saw them: without this, leaving a loop early would lose them."""
        for index, queue in enumerate(self._holder.queues):
            entries = [delivery.entry for delivery in unseen if delivery.queue == queue]
            if not entries:
                continue
            try:
                count = await self._link.once(
                    restore(queue, self._holder.incarnations[index], entries), deadline=deadline
                )
            except ConnectionLost as lost:
                raise failures.translate(lost.error, self._link.address, "unknown") from lost.error
            if count < len(entries):
                _log.warning("%s: %d messages of queue %r went with it", self._link, len(entries), queue)
