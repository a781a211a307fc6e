"""Commands and their replies on a connection that redis-py has made, without the layers that it has for each command.

Connecting, TLS, AUTH, SELECT and Sentinel stay redis-py's; what is written and read then is between us, hiredis and the
socket (sync) or the transport (asyncio). That saves half of a round trip in sync and two thirds in asyncio
(docs/performance.md). What has no socket, such as fakeredis, speaks through redis-py's own methods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from rexchange.server.endpoint import AsyncConnection, SyncConnection
from rexchange.server.packing import Word, pack_commands

_MORE = object()
"""What a hiredis reader returns when a reply is not there yet."""
_READ_BYTES = 65536
_CLOSED = "the server closed the connection"


class SyncPipe(Protocol):
    """One round trip at a time on a connected connection. Who gets an error from it disconnects the connection."""

    @property
    def closed(self) -> bool:
        """Whether it is known to be of no use any more, so that nothing need be tried on it."""
        ...

    def pack(self, commands: Sequence[Sequence[Word]]) -> bytes:
        """Encode commands in one piece, for `roundtrip`."""
        ...

    def roundtrip(self, packed: bytes, count: int) -> list[Any]:
        """Write, and return so many replies; an error reply is one of them, as an exception of redis-py."""
        ...

    def abort(self) -> None:
        """End without waiting for anybody; then the connection is disconnected."""
        ...


class AsyncPipe(Protocol):
    """The same in asyncio; one that was cancelled is of no use any more."""

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection meanwhile."""
        ...

    def pack(self, commands: Sequence[Sequence[Word]]) -> bytes:
        """Encode commands in one piece, for `roundtrip`."""
        ...

    async def roundtrip(self, packed: bytes, count: int) -> list[Any]:
        """Write, and return so many replies."""
        ...

    def abort(self) -> None:
        """End without waiting for anybody; then the connection is disconnected."""
        ...


def sync_pipe(connection: SyncConnection) -> SyncPipe:
    """Return the shortest way through a connection that is connected."""
    return _Socket(connection) if hasattr(getattr(connection, "_sock", None), "recv_into") else Plain(connection)


def async_pipe(connection: AsyncConnection) -> AsyncPipe:
    """Return the shortest way through a connection that is connected."""
    transport: Any = getattr(getattr(connection, "_writer", None), "transport", None)
    return _Transport(connection, transport) if hasattr(transport, "set_protocol") else AsyncPlain(connection)


def _reader(connection: Any) -> Any:
    errors = connection._parser.parse_error  # noqa: SLF001 - redis-py's exceptions, which `failures` knows
    return hiredis.Reader(protocolError=InvalidResponse, replyError=errors, notEnoughData=_MORE)


class _Socket:
    """A blocking socket, plain or TLS, whose timeout is the connection's."""

    __slots__ = ("_buffer", "_reader", "_socket")
    closed = False  # a blocking socket tells only who reads
    pack = staticmethod(pack_commands)

    def __init__(self, connection: SyncConnection) -> None:
        self._socket: Any = cast("Any", connection)._sock  # noqa: SLF001 - redis-py has no public way to it
        self._reader = _reader(connection)
        self._buffer = bytearray(_READ_BYTES)

    def roundtrip(self, packed: bytes, count: int) -> list[Any]:
        try:
            self._socket.sendall(packed)
            return [self._reply() for _ in range(count)] if count > 1 else [self._reply()]
        except TimeoutError as error:
            raise RedisTimeoutError(f"no answer within {self._socket.gettimeout():g} s") from error

    def abort(self) -> None:
        pass  # closing a socket waits for nobody

    def _reply(self) -> Any:
        reader = self._reader
        reply = reader.gets()
        while reply is _MORE:
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise RedisConnectionError(_CLOSED)
            reader.feed(self._buffer, 0, size)
            reply = reader.gets()
        return reply


class _Transport(asyncio.Protocol):
    """An asyncio transport, taken over from the stream reader that redis-py shook hands with."""

    pack = staticmethod(pack_commands)

    def __init__(self, connection: AsyncConnection, transport: Any) -> None:
        self._connection: Any = connection
        self._writer: asyncio.StreamWriter = cast("Any", connection)._writer  # noqa: SLF001 - as above
        self._transport = transport
        self._reader = _reader(connection)
        # redis-py waits for it when it disconnects, and it knows when writing has to pause.
        self._before: Any = transport.get_protocol()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._replies: list[Any] = []
        self._count = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    @property
    def closed(self) -> bool:
        return bool(self._transport.is_closing())

    async def roundtrip(self, packed: bytes, count: int) -> list[Any]:
        timeout: float = self._connection.socket_timeout
        self._transport.write(packed)
        if self._transport.get_write_buffer_size():
            await self._written(timeout)
            if self._transport.is_closing():  # nobody waited for a reply yet who could have been told
                raise RedisConnectionError(_CLOSED)
        self._replies, self._count = [], count
        waiter = self._waiter = self._loop.create_future()
        self._watch(timeout)
        self._advance()  # what came while we wrote
        try:
            await waiter
        finally:
            self._waiter = None
        return self._replies

    def abort(self) -> None:
        """End now: redis-py's disconnect would wait until all is written, and raise if that takes long."""
        self._transport.abort()

    async def _written(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise RedisTimeoutError(f"nothing could be written within {timeout:g} s") from error

    def _advance(self) -> None:
        replies, count, get = self._replies, self._count, self._reader.gets
        while len(replies) < count:
            reply = get()
            if reply is _MORE:
                return
            replies.append(reply)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the time limit: one timer for many round trips, since making and cancelling one is felt

    def _watch(self, timeout: float) -> None:
        self._since = self._loop.time()
        due = self._since + timeout
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        timeout: float = self._connection.socket_timeout
        if self._waiter is None:
            return
        due = self._since + timeout
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._fail(RedisTimeoutError(f"no answer within {timeout:g} s"))

    # --- asyncio's side

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._since = self._loop.time()
        self._reader.feed(data)
        if self._waiter is not None:
            try:
                self._advance()
            except Exception as error:  # noqa: BLE001 - no RESP: told to whoever waits, who disconnects
                self._fail(error)

    def eof_received(self) -> None:
        """End: the transport closes itself."""
        self._fail(RedisConnectionError(_CLOSED))

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and let redis-py know."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fail(exc or RedisConnectionError(_CLOSED))
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the writer, which `drain` asks."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """Tell the writer."""
        self._before.resume_writing()

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class Plain:
    """redis-py's own methods."""

    __slots__ = ("_connection",)
    closed = False
    pack = staticmethod(pack_commands)

    def __init__(self, connection: SyncConnection) -> None:
        self._connection = connection

    def roundtrip(self, packed: bytes, count: int) -> list[Any]:
        """Write, and read so many replies."""
        self._connection.send_packed_command([packed], check_health=False)
        return [self._reply() for _ in range(count)]

    def abort(self) -> None:
        """Leave it to redis-py."""

    def _reply(self) -> Any:
        try:
            return self._connection.read_response(disconnect_on_error=True)
        except ResponseError as error:
            return error


class AsyncPlain:
    """redis-py's own methods in asyncio."""

    __slots__ = ("_connection",)
    closed = False
    pack = staticmethod(pack_commands)

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def roundtrip(self, packed: bytes, count: int) -> list[Any]:
        """Write, and read so many replies."""
        task = asyncio.current_task()
        cancels = 0 if task is None else task.cancelling()
        await self._connection.send_packed_command([packed], check_health=False)
        if task is not None and task.cancelling() > cancels:
            # Up to Python 3.11 `asyncio.wait_for`, with which redis-py writes, swallows a cancellation that comes in
            # the moment when the write is done: a cancelled consumer would go on for ever.
            raise asyncio.CancelledError
        return [await self._reply() for _ in range(count)]

    def abort(self) -> None:
        """Leave it to redis-py."""

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=True)
        except ResponseError as error:
            return error
