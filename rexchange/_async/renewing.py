"""Keeping deliveries from their ack timeout: one that its user names, or all that is held (renew=True)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexchange.errors import StaleDelivery
from rexchange.protocol.settle import extend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange._async.holder import Holder
    from rexchange._async.link import Link
    from rexchange.protocol.call import Call


class Renewing:
    """The renewals of one holder; the heartbeat's thread asks for those of renew=True (`heartbeat.Renewal`)."""

    def __init__(self, link: Link, holder: Holder) -> None:
        """Nothing is renewed yet."""
        self._link = link
        self._holder = holder
        self._renewed_as = ""

    @property
    def interval(self) -> float:
        """Seconds between two renewals with renew=True."""
        return self._holder.timeout / 3

    async def extend(self, tag: int) -> None:
        """Start the ack timeout of one delivery anew; raises StaleDelivery, AlreadySettled, UnknownDeliveryTag."""
        holder = self._holder
        async with holder.sending:  # under the old name of a consumer that registers anew it would look stale
            index, entry_id = holder.entry(tag)
            if holder.is_log:
                return
            known = [[entry_id] if each == index else [] for each in range(len(holder.queues))]
            stale = await self._link.run(extend(holder.name, holder.queues, known))
        if stale:
            self._lost(stale)
            raise StaleDelivery(tag, queue=holder.queues[index])

    def extension(self) -> Call[list[tuple[int, bytes]]] | None:
        """Return the call that renews all that is held, or None; the heartbeat's thread asks."""
        holder = self._holder
        name = self._renewed_as = holder.name
        if holder.is_moving or holder.is_log:
            return None
        known = holder.outstanding()
        return extend(name, holder.queues, known) if any(known) else None

    def lost(self, stale: Sequence[tuple[int, bytes]]) -> None:
        """Take note of deliveries that `extension` found to be not ours any more, unless they are our new name's."""
        if not self._holder.is_moving and self._holder.name == self._renewed_as:
            self._lost(stale)

    def _lost(self, stale: Sequence[tuple[int, bytes]]) -> None:
        self._holder.forget(stale)
        self._link.counters.stale += len(stale)
