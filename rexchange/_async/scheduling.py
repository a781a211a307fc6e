"""What is published and waits for its time; and how much a vhost may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexchange._async.base import AsyncBase
from rexchange.errors import InvalidArgument
from rexchange.protocol import later

if TYPE_CHECKING:
    from rexchange.protocol.later import Limit, Scheduled

EPOCH = 6
"""So many characters of the vhost's epoch end the id of a scheduled message (lua/lib/later.lua)."""
_MOST = 1_000_000_000


class AsyncScheduling(AsyncBase):
    """The methods of a broker about what waits, and for what there is room."""

    async def scheduled(self, *, limit: int = 100) -> list[Scheduled]:
        """List the messages that wait for their time, the next one first, at most `limit`.

        Those that were published with `delay` or `at`, and those that an x-delayed-message exchange keeps.
        """
        if type(limit) is not int or limit < 1:
            raise InvalidArgument("limit", limit, "an int of at least 1")
        await self.open()
        return await self._link.follow(later.scheduled(self._epoch, limit))

    async def cancel_scheduled(self, schedule_id: str) -> Scheduled:
        """Cancel a message that waits for its time, and return it. `schedule_id` is that of its receipt.

        Raises NotFound where its time has come, or it was cancelled before; BrokerConnectionError with outcome
        "unknown" where the connection was lost, and it is gone now.
        """
        if not isinstance(schedule_id, str) or not schedule_id:
            raise InvalidArgument("schedule_id", schedule_id, "the schedule_id of a receipt, as a str")
        await self.open()
        call = later.cancel(schedule_id, self._epoch)
        again = later.cancel(schedule_id, self._epoch, again=True)
        return await self._link.run(call, resend=lambda: again)

    @property
    def _epoch(self) -> str:
        return self._link.vhost_id.decode().partition(".")[2][:EPOCH]

    async def set_vhost_limit(self, messages: int | None) -> None:
        """Let the vhost hold so many messages in all its queues together, and on their way; None: any number.

        A publish that goes over it is refused whole (PublishRefused, `limit` "vhost"), or waits (`wait`). It is counted
        anew every half second while somebody publishes, so it may be passed by what comes in such a time.
        """
        if messages is not None and (type(messages) is not int or not 0 <= messages <= _MOST):
            raise InvalidArgument("messages", messages, f"an int from 0 to {_MOST:,}, or None for no limit")
        await self._run(later.set_limit(messages))

    async def vhost_limit(self) -> Limit:
        """Return the vhost's limit, and how many messages it holds, as counted within the last half second."""
        await self._ready()
        return await self._link.follow(later.limit())
