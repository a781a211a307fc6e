"""Retries: whether a queue has a policy for them, what waits, sending it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rexchange._async.base import AsyncBase, name_of
from rexchange.errors import PreconditionFailed
from rexchange.protocol import retries
from rexchange.protocol.browse import check_ids

if TYPE_CHECKING:
    from rexchange._async.holder import Holder
    from rexchange._async.link import Link
    from rexchange.protocol.retries import Waiting
    from rexchange.topology import Queue


async def check_policy(link: Link, holder: Holder, tag: int, *, multiple: bool, shown: int) -> None:
    """Refuse to retry what comes from a queue without a policy; raises what the ledger raises, too.

    One that had none when its consumer came may have got it since, so the server is asked before it is refused.
    """
    for index in sorted(holder.queues_of(tag, multiple=multiple, shown=shown)):
        if holder.retries[index]:
            continue
        queue = holder.queues[index]
        if not await link.run(retries.has_policy(queue)):
            message = (
                f"queue {queue!r} has no retry policy: declare it with retry_delays=[...], or with retry_first= and "
                "retry_tries=, or set a policy with these keys; nack() without retry gives the message back at once"
            )
            raise PreconditionFailed(message, kind="queue", name=queue, argument="retry", current=None, wanted=True)
        holder.retries[index] = True


class AsyncRetries(AsyncBase):
    """The methods of a broker about messages that wait to be tried again."""

    async def waiting(self, queue: str | Queue) -> list[Waiting]:
        """List the messages of a queue that wait to be tried again, the soonest first. Raises NotFound."""
        await self._ready()
        return await self._link.follow(retries.waiting(name_of("queue", queue)))

    async def retry_now(self, queue: str | Queue, ids: Iterable[str] | None = None) -> int:
        """Make ready what waits to be tried again, or of it the entries of these ids; returns how many.

        An id that does not wait (any more) is passed over. Raises NotFound, ResourceLocked (another's exclusive queue).
        """
        name = name_of("queue", queue)
        wanted = None if ids is None else check_ids(ids)
        await self._ready()
        return await self._link.follow(retries.retry_now(name, self._session.id, wanted))
