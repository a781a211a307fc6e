"""Connection classes that redis-py lacks or gets wrong: embedded server, Unix socket in asyncio, master by Sentinel.

Each finds out where to connect at every connect, so a caller that reconnects always reaches the server of the moment.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import redis
import redis.asyncio.connection as redis_async
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from rexchange.server import embedded

if TYPE_CHECKING:
    from rexchange.server.endpoint import Address

# A dead embedded server leaves its socket file behind (refused) or took it along (not found).
_SERVER_GONE = (FileNotFoundError, ConnectionRefusedError)


class AsyncUnixConnection(redis_async.UnixDomainSocketConnection):
    """A Unix socket in asyncio.

    redis-py's own class shakes hands twice (AUTH, SELECT), and wraps a refused password into a plain lost connection.
    """

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            self._reader, self._writer = await asyncio.open_unix_connection(self.path)


class EmbeddedConnection(redis.UnixDomainSocketConnection):
    """A connection to the embedded server of a data folder; starts it again when it has died."""

    folder: Path

    def _connect(self) -> socket.socket:
        connect: Callable[[], socket.socket] = super()._connect
        self.path = embedded.socket_path(self.folder)
        try:
            return connect()
        except _SERVER_GONE:
            self.path = embedded.revive(self.folder)
            return connect()


class AsyncEmbeddedConnection(AsyncUnixConnection):
    """The same in asyncio; what may block (locks, starting a server) runs in a thread."""

    folder: Path

    async def _connect(self) -> None:
        self.path = await asyncio.to_thread(embedded.socket_path, self.folder)
        try:
            await super()._connect()
        except _SERVER_GONE:
            self.path = await asyncio.to_thread(embedded.revive, self.folder)
            await super()._connect()


class Master:
    """The service that Sentinels watch over, and where to ask for its master. Equal only to itself.

    Attributes:
        sentinels: the Sentinels, asked in this order.
        service: the service's name in their configuration.
        min_other_sentinels: a Sentinel that sees fewer others than this is not believed (it may be cut off).
        forced_host: connect to this host instead of the one the Sentinels name (port forwarding); None: theirs.
    """

    def __init__(
        self,
        sentinels: Sequence[Address],
        service: str,
        *,
        min_other_sentinels: int = 0,
        forced_host: str | None = None,
    ) -> None:
        self.sentinels = tuple(sentinels)
        self.service = service
        self.min_other_sentinels = min_other_sentinels
        self.forced_host = forced_host

    def question(self) -> tuple[str, ...]:
        """The command to send to a Sentinel."""
        return ("SENTINEL", "MASTER", self.service)

    def address_in(self, reply: list[bytes]) -> tuple[str, int] | str:
        """Host and port of the master by a Sentinel's reply, or why the reply names none."""
        fields = dict(zip(reply[::2], reply[1::2], strict=False))
        flags = fields.get(b"flags", b"").split(b",")
        if b"master" not in flags or b"s_down" in flags or b"o_down" in flags:
            return f"the master is down (flags {b','.join(flags).decode()})"
        if int(fields.get(b"num-other-sentinels", b"0")) < self.min_other_sentinels:
            return "it sees too few other Sentinels"
        return self.forced_host or fields[b"ip"].decode(), int(fields[b"port"])

    def not_found(self, reasons: list[str]) -> RedisConnectionError:
        """The error after all Sentinels were asked in vain."""
        return RedisConnectionError(f"no Sentinel names a master for service '{self.service}': {'; '.join(reasons)}")


def _demoted(reply: list[object]) -> RedisConnectionError | None:
    """What is wrong with a server's answer to ROLE, when the Sentinels called it the master."""
    if reply[0] != b"master":
        return RedisConnectionError("the server that the Sentinels call the master says it is a replica")
    return None


class _SentinelMixin:
    """Looks the master up before each connect and makes sure by ROLE that it is one.

    ROLE is Redis's own advice to clients (redis.io, "Guidelines for Redis clients with support for Redis Sentinel"):
    for some seconds after a failover a Sentinel may still name the old master.
    """

    master: Master

    def _connect(self) -> Any:
        connection = cast("redis.Connection", self)
        connection.host, connection.port = self._discover(connection)
        return super()._connect()  # type: ignore[misc]  # a mixin

    def _discover(self, connection: redis.Connection) -> tuple[str, int]:
        reasons: list[str] = []
        for sentinel in self.master.sentinels:
            timeout = connection.socket_connect_timeout or 5.0
            asked = sentinel.connection("sync", socket_timeout=timeout, connect_timeout=timeout)
            try:
                asked.send_packed_command(asked.pack_commands([self.master.question()]))
                found = self.master.address_in(asked.read_response(disconnect_on_error=True))
            except RedisError as error:
                found = str(error)
            finally:
                asked.disconnect()
            if isinstance(found, tuple):
                return found
            reasons.append(f"{sentinel.display}: {found}")
        raise self.master.not_found(reasons)

    def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        super().on_connect_check_health(check_health)  # type: ignore[misc]  # a mixin
        connection = cast("Any", self)
        connection.send_command("ROLE", check_health=False)
        try:
            demoted = _demoted(connection.read_response())
        except ResponseError:
            return  # ROLE may be forbidden by ACL; a replica then says READONLY at the first write
        if demoted is not None:
            raise demoted


class _AsyncSentinelMixin:
    """The same in asyncio."""

    master: Master

    async def _connect(self) -> None:
        connection = cast("redis_async.Connection", self)
        connection.host, connection.port = await self._discover(connection)
        await super()._connect()  # type: ignore[misc]  # a mixin

    async def _discover(self, connection: redis_async.Connection) -> tuple[str, int]:
        reasons: list[str] = []
        for sentinel in self.master.sentinels:
            timeout = connection.socket_connect_timeout or 5.0
            asked = sentinel.connection("async", socket_timeout=timeout, connect_timeout=timeout)
            try:
                await asked.send_packed_command(asked.pack_commands([self.master.question()]))
                found = self.master.address_in(await asked.read_response(disconnect_on_error=True))
            except RedisError as error:
                found = str(error)
            finally:
                await asked.disconnect(nowait=True)
            if isinstance(found, tuple):
                return found
            reasons.append(f"{sentinel.display}: {found}")
        raise self.master.not_found(reasons)

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        await super().on_connect_check_health(check_health)  # type: ignore[misc]  # a mixin
        connection = cast("Any", self)
        await connection.send_command("ROLE", check_health=False)
        try:
            demoted = _demoted(await connection.read_response())
        except ResponseError:
            return  # as above
        if demoted is not None:
            raise demoted


class SentinelConnection(_SentinelMixin, redis.Connection):
    """A connection to the master that Sentinels name."""


class SentinelTLSConnection(_SentinelMixin, redis.SSLConnection):
    """The same through TLS."""


class AsyncSentinelConnection(_AsyncSentinelMixin, redis_async.Connection):
    """A connection in asyncio to the master that Sentinels name."""


class AsyncSentinelTLSConnection(_AsyncSentinelMixin, redis_async.SSLConnection):
    """The same through TLS."""
