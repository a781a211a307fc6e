# Generated from rexchange/_async/wire.py by `python tools/unasync.py`. Do not edit.
"""One connection to the server, one user at a time. It comes back by itself at the next use, also after a fork."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from rexchange._sync import io
from rexchange._sync.deadlines import Holding
from rexchange.server import failures
from rexchange.server.endpoint import limit
from rexchange.server.pipes import sync_pipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange.protocol.call import Arg, Reply
    from rexchange.server.endpoint import Address, SyncConnection
    from rexchange.server.pipes import SyncPipe

inherited: list[object] = []
"""What a forked child has of its parent's connections, kept for ever: asyncio's, when it is freed, takes its socket off
the epoll that parent and child share, and the parent would then wait in vain for its replies."""


SHORTEST_S = 0.1
"""A step is given so many seconds also where the time is up: most answers come sooner."""


class ConnectionLost(Exception):
    """The connection failed; `sent`: the commands may have reached the server, so they may have been done."""

    def __init__(self, error: BaseException, *, sent: bool) -> None:
        """Keep redis-py's error."""
        super().__init__(str(error))
        self.error = error
        self.sent = sent

    @property
    def undecided(self) -> bool:
        """Whether the commands may have been done: sent, and not refused (LOADING closes the connection, too)."""
        return self.sent and not failures.is_transient(self.error)


class Wire:
    """A connection that is made when it is needed."""

    def __init__(self, address: Address, *, connect_timeout: float, socket_timeout: float) -> None:
        """Take where to connect and the limits in seconds; nothing is connected yet."""
        self._address = address
        self._connect_timeout = connect_timeout
        self._socket_timeout = socket_timeout
        self._both_timeouts = connect_timeout + socket_timeout
        self.reset()

    def reset(self) -> None:
        """Forget the connection without touching it: after a fork it belongs to the parent."""
        if hasattr(self, "_connection"):
            inherited.append((self._connection, self._pipe))
        self._lock = io.Lock()
        self._hurried = False
        self._connection: SyncConnection = self._address.connection(
            io.COLOUR, socket_timeout=self._socket_timeout, connect_timeout=self._connect_timeout
        )
        #: The way through the connection while it is connected.
        self._pipe: SyncPipe | None = None

    def roundtrip(
        self, commands: Sequence[Sequence[Arg]], within: float = math.inf, then: Sequence[Sequence[Arg]] = ()
    ) -> list[Reply]:
        """Send commands in one write and return their replies; an error reply is returned as a ResponseError.

        `then`: what goes behind them on the same connection, once all of them were answered without an error.
        It is given up after `within` seconds, about, or sooner, by the connection's own limits. Raises ConnectionLost.
        """
        # With time for all steps, as nearly always, nothing has to be hurried.
        hurry = self._hurried or within < self._both_timeouts
        until = time.monotonic() + within if hurry else math.inf
        with self._free(within) if self._lock.locked() else self._lock:
            sent = False
            try:
                if hurry:
                    self._hurry(until)
                pipe = self._pipe
                if pipe is None or pipe.closed:
                    pipe = self._connect()
                    if hurry:
                        self._hurry(until)
                packed = pipe.pack(commands)
                sent = True
                replies = pipe.roundtrip(packed, len(commands))
                for reply in replies:
                    if isinstance(reply, RedisError):
                        then = ()
                        self._look_at(reply)
                if then:
                    replies += pipe.roundtrip(pipe.pack(then), len(then))
            except Exception as error:
                self._disconnect()
                raise ConnectionLost(error, sent=sent) from error
            except BaseException:
                # After a KeyboardInterrupt between write and read the next command would take this reply for its own.
                self._disconnect()
                raise

            return replies

    def _connect(self) -> SyncPipe:
        if self._pipe is not None:
            self._disconnect()
        self._connection.connect()
        self._pipe = sync_pipe(self._connection)
        return self._pipe

    def _disconnect(self) -> None:
        """End at once: what is not written yet must not be, and a peer that is silent is not asked to agree."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.abort()
        self._connection.disconnect()

    def _look_at(self, error: RedisError) -> None:
        """Raise the error replies after which the connection is of no use: LOADING, too many clients."""
        if isinstance(error, RedisConnectionError):
            raise error
        if isinstance(error, ReadOnlyError):
            self._disconnect()  # the next connect may find the new master

    def _free(self, within: float) -> io.Lock | Holding:
        if within == math.inf:
            return self._lock
        busy = TimeoutError("the time was up while another operation of this Broker was under way")
        return Holding(self._lock, within, lambda: ConnectionLost(busy, sent=False))

    def _hurry(self, until: float) -> None:
        """Let no step take longer than there is time."""
        left = max(until - time.monotonic(), SHORTEST_S)
        self._hurried = left < max(self._socket_timeout, self._connect_timeout)
        limit(self._connection, min(left, self._socket_timeout), min(left, self._connect_timeout))

    def close(self) -> None:
        """Close the connection; the next use would open it again."""
        self._disconnect()
