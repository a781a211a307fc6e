"""Looking into queues without touching them; deleting, moving and copying what is in them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rexchange._async.base import AsyncBase, name_of
from rexchange._async.link import follow
from rexchange.checks import check_flags
from rexchange.protocol import browse as protocol
from rexchange.protocol.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rexchange.codec import Table
    from rexchange.protocol.browse import BrowsedMessage, Order, Unacked, Wanted
    from rexchange.topology import Queue


class AsyncBrowsing(AsyncBase):
    """The methods of a broker about messages that lie in queues."""

    async def browse(
        self,
        queue: str | Queue,
        *,
        limit: int = 100,
        state: Wanted = "all",
        headers: Table | None = None,
        message_id: str | None = None,
        min_deliveries: int = 0,
        after: str | None = None,
    ) -> list[BrowsedMessage]:
        """Return messages of a queue, the oldest first, and change nothing: none is taken or marked redelivered.

        `state`: "ready", "unacked", "waiting" (to be tried again) or "all". `headers`: only messages with all of these,
        compared with their types as a headers exchange does; None stands for any value. `message_id`: only those with
        this property. `min_deliveries`: only those that were handed out so often or more. `after`: the `id` of the last
        one seen, to go on behind it.
        What has expired is not shown as ready. It is not one step: what changes meanwhile is shown as it is then.
        Raises InvalidArgument, NotFound, ResourceLocked.
        """
        wanted = protocol.Filter.of(state, headers, message_id, min_deliveries)
        count = protocol.check_limit(limit)
        if after is not None:
            protocol.check_id("after", after)
        name = name_of("queue", queue)
        await self._ready()
        return await follow(protocol.browse(name, self._session.id, wanted, limit=count, after=after), self._link.run)

    async def peek(self, queue: str | Queue, id: str) -> BrowsedMessage | None:  # noqa: A002 - as the field is called
        """Return one message of a queue by the id that `browse` showed, or None; nothing changes.

        Raises InvalidArgument, NotFound (the queue), ResourceLocked.
        """
        message = protocol.check_id("id", id)
        found: BrowsedMessage | None = await self._run(
            protocol.peek(name_of("queue", queue), self._session.id, message)
        )
        return found

    async def unacked(self, queue: str | Queue, *, limit: int = 100, by: Order = "age") -> list[Unacked]:
        """Return what consumers hold of a queue, and who they are.

        What is held longest comes first, or with by="deliveries" what was handed out most often: a message that kills
        its workers, perhaps. All that is unacked is looked at, page by page. Raises InvalidArgument, NotFound,
        ResourceLocked.
        """
        protocol.check_word("by", by, protocol.ORDERS)
        count = protocol.check_limit(limit)
        name = name_of("queue", queue)
        await self._ready()
        return await follow(protocol.unacked(name, self._session.id, limit=count, by=by), self._link.run)

    async def delete_message(self, queue: str | Queue, id: str, *, force: bool = False) -> bool:  # noqa: A002 - as above
        """Delete one message by the id that `browse` showed; whether it was there. It is not dead-lettered.

        Raises PreconditionFailed where a consumer holds it; with `force` it goes all the same, and the consumer's ack
        is stale. Raises InvalidArgument, NotFound (the queue), ResourceLocked, NotSupported (a stream).
        """
        check_flags(force=force)
        message = protocol.check_id("id", id)
        name = name_of("queue", queue)
        await self._ready()
        return await self._lane.run(partial(protocol.delete, name, self._session.id, message, force=force))

    async def move(
        self,
        source: str | Queue,
        destination: str | Queue,
        *,
        limit: int | None = None,
        ids: Iterable[str] | None = None,
        headers: Table | None = None,
    ) -> int:
        """Move ready messages from one queue to another, the oldest first; return how many.

        `limit`: at most so many. `ids`: only these; those that are not ready are passed over. `headers`: as in
        `browse`. Exchange, key, properties and headers stay; what is left of an `expiration` goes on running; the
        destination's TTL, limits and priorities hold as for a publish. Messages go over in pages of up to 100, each in
        one step: whatever dies meanwhile, each message is in one of the two. What arrives meanwhile stays.
        Raises PublishRefused where the destination is full and refuses (`moved` tells how many went over before),
        InvalidArgument (a move onto itself), NotFound, ResourceLocked, NotSupported (from a stream).
        """
        return await self._transfer(
            Transfer("move", _name(source), _name(destination), limit=limit, ids=ids, headers=headers)
        )

    async def copy(
        self,
        source: str | Queue,
        destination: str | Queue,
        *,
        limit: int | None = None,
        ids: Iterable[str] | None = None,
        headers: Table | None = None,
    ) -> int:
        """Copy ready messages from one queue to another; return how many. As `move`, but the source keeps them.

        The source may be a stream. Nothing is copied twice where a reply is lost.
        """
        return await self._transfer(
            Transfer("copy", _name(source), _name(destination), limit=limit, ids=ids, headers=headers)
        )

    async def _transfer(self, transfer: Transfer) -> int:
        await self._ready()
        while not transfer.is_done:
            transfer.note(await self._lane.run(partial(transfer.page, self._session.id)))
        return transfer.count


def _name(queue: str | Queue) -> str:
    return name_of("queue", queue)
