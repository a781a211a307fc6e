"""A session (AMQP's connection): one Broker's life in Redis. It owns consumers, exclusive queues, what `get` took."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rexchange._async import io
from rexchange._async.deadlines import CLOSE_S
from rexchange.errors import RexchangeError
from rexchange.protocol import tick
from rexchange.server.heartbeat import Heartbeat

if TYPE_CHECKING:
    from rexchange._async.link import Link
    from rexchange.server.heartbeat import Renewal

_log = logging.getLogger("rexchange.session")


def client_name() -> str:
    """Return who we are, for listings: host, process, program."""
    return f"{socket.gethostname()}:{os.getpid()} {Path(sys.argv[0]).name}"


class Session:
    """Opened with the first thing that needs an owner, so a Broker that only publishes has none."""

    def __init__(self, link: Link) -> None:
        """Nothing is opened yet."""
        self._link = link
        self.generation = 0
        """How often a session was opened: a consumer that was registered under an older one registers again."""
        self.reset()

    def reset(self) -> None:
        """Forget everything in a forked child: the session is the parent's, and so are consumers of its generation."""
        self._lock = io.Lock()
        self._heart: Heartbeat | None = None
        self._renewals: set[Renewal] = set()
        self.id = ""
        self.alive = 0
        """The generation of the session that is open, as far as we know; 0 when it was reaped."""

    async def ensure(self, deadline: float | None = None) -> str:
        """Return the id of a session that is open, as far as we know."""
        if self.alive:
            return self.id
        limit = self._link.deadline() if deadline is None else deadline
        async with self._link.holding(self._lock, limit):
            if not self.alive:
                await self._open(limit)
            return self.id

    async def renewed(self, dead: str, deadline: float | None = None) -> str:
        """Return another session's id, since `dead` was reaped (this process slept, or the server lost its data)."""
        if self.id == dead:
            self.alive = 0
        return await self.ensure(deadline)

    async def _open(self, deadline: float) -> None:
        settings, link = self._link.settings, self._link
        await self._stop_heart()
        fresh = secrets.token_hex(8)
        ttl_ms = int(settings.session_timeout.total_seconds() * 1000)
        await link.run(tick.open_session(fresh, ttl_ms), deadline=deadline)
        if self.id:
            _log.warning("%s: session %s was reaped; all it held was given back, going on as %s", link, self.id, fresh)
        self.id = fresh
        self.generation += 1
        self.alive = self.generation
        heart = Heartbeat(
            link.address,
            settings,
            link.keys.vhost,
            lambda: link.vhost_id,
            fresh,
            self._went,
            blocking=link.facts is None or link.facts.blocking,
        )
        for renewal in self._renewals:
            heart.renew(renewal)
        self._heart = heart
        heart.start()

    def _went(self) -> None:
        self.alive = 0

    def renew(self, renewal: Renewal) -> None:
        """Renew the deliveries of a consumer with every heartbeat that is due."""
        self._renewals.add(renewal)
        if self._heart is not None:
            self._heart.renew(renewal)

    def forget(self, renewal: Renewal) -> None:
        """Renew them no more."""
        self._renewals.discard(renewal)
        if self._heart is not None:
            self._heart.forget(renewal)

    async def _stop_heart(self) -> None:
        heart, self._heart = self._heart, None
        if heart is not None:
            heart.stop()
            await io.run_blocking(lambda: heart.thread.join(CLOSE_S))  # it may be connecting to a server that is away

    async def aclose(self) -> None:
        """Give back at once all that the session holds, and end it."""
        await self._stop_heart()
        if not self.alive:
            return
        try:
            while not await self._link.run(tick.close_session(self.id), deadline=self._link.deadline(CLOSE_S)):
                pass
        except RexchangeError as error:
            _log.warning("%s: session %s could not be closed (%s); the reaper ends it", self._link, self.id, error)
        self.id = ""
