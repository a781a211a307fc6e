"""Looking: listings, routes, the server, and a step of the reaper."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from rexchange._async import io
from rexchange._async.base import AsyncBase, name_of
from rexchange.checks import check_seconds
from rexchange.protocol import inspect, publish, tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange.codec import Table
    from rexchange.protocol.inspect import ConsumerInfo, QueueInfo, Status
    from rexchange.protocol.tick import Ticked
    from rexchange.server.facts import ServerFacts
    from rexchange.topology import Binding, Exchange


class AsyncListing(AsyncBase):
    """The methods of a broker that look."""

    async def server(self) -> ServerFacts:
        """What the server is."""
        await self.open()
        assert self._link.facts is not None  # noqa: S101 - open sets it
        return self._link.facts

    async def status(self) -> Status:
        """Counts of the vhost: sessions, consumers, queues, exchanges, lanes."""
        status: Status = await self._run(inspect.status())
        return status

    async def route(self, exchange: str | Exchange, routing_key: str = "", headers: Table | None = None) -> list[str]:
        """Return the queues that a message would reach; nothing is published. Raises NotFound."""
        names: list[str] = await self._run(publish.route(name_of("exchange", exchange), routing_key, headers))
        return sorted(names)

    async def exchanges(self) -> list[Exchange]:
        """List the vhost's exchanges, the default one aside."""
        await self._ready()
        return await self._link.follow(inspect.exchanges(self._link.keys))

    async def queues(self) -> list[QueueInfo]:
        """List the queues with their ready, unacked and consumer counts."""
        await self._ready()
        return await self._link.follow(inspect.queues(self._link.keys))

    async def bindings(self, source: str | Exchange | None = None) -> list[Binding]:
        """List all bindings, or those of one exchange; the default exchange's are implied."""
        wanted: Sequence[str | Exchange] = await self.exchanges() if source is None else [source]
        sources = [name_of("exchange", exchange) for exchange in wanted]
        await self._ready()
        return await self._link.follow(inspect.bindings(self._link.keys, sources))

    async def consumers(self) -> list[ConsumerInfo]:
        """List the consumers of all processes."""
        await self._ready()
        return await self._link.follow(inspect.consumers())

    async def reap(self, *, wait: float | timedelta = 0.0) -> Ticked:
        """Run the reaper until nothing is due, and return what it did; every consuming process does it by itself.

        `wait`: go on for so many seconds. Where nobody ran it for half a session's life, its first step gives every
        session a new one, since a dead process cannot be told from one that could not reach the server: then only
        waiting for a session_timeout ends the dead.
        """
        seconds = check_seconds("wait", wait)
        ttl = self.settings.session_timeout.total_seconds()
        until = time.monotonic() + seconds
        total: Ticked = await self._run(tick.tick(int(ttl * 1000)))
        while total.next_ms is not None:
            left = until - time.monotonic()
            if total.next_ms and left <= 0:
                break
            if total.next_ms:
                await io.sleep(min(left, total.next_ms / 1000, ttl / 4))
            total = total + await self._run(tick.tick(int(ttl * 1000)))
        return total
