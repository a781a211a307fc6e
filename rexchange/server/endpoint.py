"""`Address`: a server and how to connect to it, in both colours.

Whatever the source says, our connections speak RESP2, decode nothing and never retry by themselves: redis-py resends
a write whose reply was lost, which would put a message into a queue twice.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast, overload

import redis
import redis.asyncio as redis_async
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

from rexchange import scripts
from rexchange.errors import BrokerConnectionError, InvalidArgument
from rexchange.server import embedded, sockets
from rexchange.server.packing import Word

Colour = Literal["sync", "async"]
Kind = Literal["tcp", "tls", "unix", "sentinel", "sentinel_tls", "memory", "embedded"]


class SyncConnection(Protocol):
    """What we use of a redis-py connection; one thread at a time.

    A method that fails on the network has closed the connection; an error reply leaves it open.
    """

    def connect(self) -> None:
        """Connect and shake hands, unless connected."""
        ...

    def disconnect(self) -> None:
        """Close; never fails."""
        ...

    def pack_commands(self, commands: Iterable[Iterable[Word]]) -> list[bytes]:
        """Encode commands for one write."""
        ...

    def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None:  # noqa: FBT001 - redis-py's
        """Write; connects first when not connected."""
        ...

    def read_response(self, *, disconnect_on_error: bool) -> Any:
        """Read one reply; an error reply is raised. Pass True: redis-py's Sentinel class has another default."""
        ...


class AsyncConnection(Protocol):
    """The same in asyncio, one task at a time; a cancelled read or write has closed the connection."""

    async def connect(self) -> None:
        """Connect and shake hands, unless connected."""
        ...

    async def disconnect(self, nowait: bool = ...) -> None:  # noqa: FBT001 - redis-py's signature
        """Close; with `nowait` without waiting for the transport."""
        ...

    def pack_commands(self, commands: Iterable[Iterable[Word]]) -> list[bytes]:
        """Encode commands for one write."""
        ...

    async def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None:  # noqa: FBT001 - redis-py's
        """Write; connects first when not connected."""
        ...

    async def read_response(self, *, disconnect_on_error: bool) -> Any:
        """Read one reply; an error reply is raised."""
        ...


def interrupt(connection: SyncConnection) -> None:
    """End the read that another thread is in, as a lost connection would; redis-py has no public way to do this."""
    sock: socket.socket | None = getattr(connection, "_sock", None)
    if sock is not None:
        with contextlib.suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)


def limit(connection: SyncConnection | AsyncConnection, socket_timeout: float, connect_timeout: float) -> None:
    """Change how many seconds a connection's steps may take from now on: see `Address.connection`."""
    changed: Any = connection
    changed.socket_timeout = socket_timeout
    changed.socket_connect_timeout = connect_timeout
    sock = getattr(connection, "_sock", None)
    if isinstance(sock, socket.socket):  # of redis-py's sync classes, which set it when they connect
        sock.settimeout(socket_timeout)


# By kind: the class of each colour. Callables, since redis-py's constructors are not typed.
_CLASSES: dict[Kind, dict[Colour, Callable[..., Any]]] = {
    "tcp": {"sync": redis.Connection, "async": redis_async.Connection},
    "tls": {"sync": redis.SSLConnection, "async": redis_async.SSLConnection},
    "unix": {"sync": redis.UnixDomainSocketConnection, "async": sockets.AsyncUnixConnection},
    "sentinel": {"sync": sockets.SentinelConnection, "async": sockets.AsyncSentinelConnection},
    "sentinel_tls": {"sync": sockets.SentinelTLSConnection, "async": sockets.AsyncSentinelTLSConnection},
    "embedded": {"sync": sockets.EmbeddedConnection, "async": sockets.AsyncEmbeddedConnection},
}
# redis-py checks certificate revocation in its sync class only.
_SYNC_ONLY = ("ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "ssl_ocsp_context", "ssl_ocsp_expected_cert")


@dataclass(frozen=True)
class Address:
    """A server and how to connect to it.

    Attributes:
        display: the address for people and logs; no password, no user.
        kind: how it is reached.
        folder: the data folder of an embedded server, else None.
        master: whom to ask for the server's place, when Sentinels know it, else None.
        settings: redis-py's keyword arguments, with the password; not in the repr.
    """

    display: str
    kind: Kind
    folder: Path | None = None
    master: sockets.Master | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, hash=False)

    @overload
    def connection(
        self, colour: Literal["sync"], *, socket_timeout: float, connect_timeout: float
    ) -> SyncConnection: ...
    @overload
    def connection(
        self, colour: Literal["async"], *, socket_timeout: float, connect_timeout: float
    ) -> AsyncConnection: ...
    def connection(
        self, colour: Colour, *, socket_timeout: float, connect_timeout: float
    ) -> SyncConnection | AsyncConnection:
        """Make a connection that is not connected yet; it can be connected again after each failure.

        Args:
            colour: "sync" or "async".
            socket_timeout: seconds that one write or the wait for one reply may take; fakeredis ignores it.
            connect_timeout: seconds that connecting may take.

        Raises:
            InvalidArgument: the settings ask for OCSP, which redis-py's asyncio classes do not check.
        """
        settings = dict(self.settings)
        for name in _SYNC_ONLY:
            if settings.get(name) and colour == "async":
                raise InvalidArgument(name, settings[name], "nothing: redis-py checks OCSP in its sync client only")
            if not settings.get(name):
                settings.pop(name, None)
        retry: object = Retry(NoBackoff(), 0) if colour == "sync" else redis.asyncio.retry.Retry(NoBackoff(), 0)
        make = _memory_classes()[colour] if self.kind == "memory" else _CLASSES[self.kind][colour]
        connection: Any = make(
            **settings,
            protocol=2,
            decode_responses=False,
            encoding="utf-8",
            socket_timeout=socket_timeout,
            socket_connect_timeout=connect_timeout,
            retry=retry,
            retry_on_error=[],
            retry_on_timeout=False,
            health_check_interval=0,
            # Two round trips at each connect less: CLIENT SETINFO.
            driver_info=None,
            maint_notifications_config=None,
        )
        # What these classes need to find their server at each connect; the others have no such attribute.
        if self.folder is not None:
            connection.folder = self.folder
        if self.master is not None:
            connection.master = self.master
        return cast("SyncConnection | AsyncConnection", connection)

    def script(self, name: str) -> scripts.Script:
        """Return a script in the form that suits the server."""
        return scripts.load(name, lazy=self.kind == "memory")

    def hold(self) -> Callable[[], None]:
        """Keep an embedded server running until the returned function is called; may take seconds.

        A server of any other kind needs no holding, and the function does nothing.

        Raises:
            BrokerConnectionError: the server cannot be started; the message says why.
        """
        if self.kind != "embedded" or self.folder is None:
            return lambda: None
        return embedded.acquire(self.folder).release


_fake_servers: dict[str, Any] = {}
_fake_servers_lock = threading.Lock()


def _memory_classes() -> dict[Colour, Callable[..., Any]]:
    try:
        import fakeredis  # noqa: PLC0415 - an extra: who uses a real server need not have it
        import fakeredis.aioredis  # noqa: PLC0415 - the same
    except ImportError as error:
        raise BrokerConnectionError(
            "memory:// needs fakeredis: pip install 'rexchange[testing]'", address="memory://", outcome="not_done"
        ) from error
    return {"sync": fakeredis.FakeRedisConnection, "async": fakeredis.aioredis.FakeAsyncRedisConnection}


def memory(name: str) -> Address:
    """The fakeredis server of this name in this process, made at its first use and kept until the process ends.

    Raises:
        BrokerConnectionError: fakeredis is not installed.
    """
    _memory_classes()
    import fakeredis  # noqa: PLC0415 - as above

    with _fake_servers_lock:
        if name not in _fake_servers:
            _fake_servers[name] = fakeredis.FakeServer(version=(7,))
        server = _fake_servers[name]
    return Address(f"memory://{name}", "memory", settings={"server": server})


def forget_memory(name: str) -> None:
    """Drop the fakeredis server of this name: it goes when the last connection to it does."""
    with _fake_servers_lock:
        _fake_servers.pop(name, None)
