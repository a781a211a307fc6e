"""Round trips on a connection, in both colours, with a server that answers what the test says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, InvalidResponse, NoScriptError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from rexchange.server import pipes
from rexchange.server.address import resolve
from rexchange.server.endpoint import Colour, limit
from rexchange.testing import async_wait_until

Serve = Callable[[socket.socket], object]


@contextmanager
def server(serve: Serve) -> Generator[str]:
    """Serve one connection in a thread; it is closed when `serve` returns."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        line, _ = listener.accept()
        with line:
            serve(line)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(10)
        assert not thread.is_alive()


class Caller:
    """One connection and its pipe, in a colour."""

    def __init__(self, url: str, colour: Colour, timeout: float = 10.0) -> None:
        self.colour: Colour = colour
        self.connection: Any = resolve(url, None).connection(colour, socket_timeout=timeout, connect_timeout=10.0)
        self.pipe: Any = None

    async def ask(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        if self.colour == "sync":
            return await asyncio.to_thread(self._ask, commands)
        if self.pipe is None:
            await self.connection.connect()
            self.pipe = pipes.async_pipe(self.connection)
        replies: list[Any] = await self.pipe.roundtrip(self.pipe.pack(commands), len(commands))
        return replies

    def _ask(self, commands: Any) -> list[Any]:
        if self.pipe is None:
            self.connection.connect()
            self.pipe = pipes.sync_pipe(self.connection)
        replies: list[Any] = self.pipe.roundtrip(self.pipe.pack(commands), len(commands))
        return replies

    async def end(self) -> None:
        if self.colour == "sync":
            self.connection.disconnect()
        else:
            await self.connection.disconnect()


def read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = line.recv(size - len(found))
        if not chunk:
            break
        found += chunk
    return found


both = pytest.mark.parametrize("colour", ["sync", "async"])
PING = b"*1\r\n$4\r\nPING\r\n"


@both
async def test_commands_are_written_together_and_replies_read_in_pieces(colour: Colour) -> None:
    asked: list[bytes] = []
    wanted = b"*3\r\n$3\r\nSET\r\n$3\r\nk\xc3\xbc\r\n$2\r\n12\r\n" + PING

    def serve(line: socket.socket) -> None:
        asked.append(read(line, len(wanted)))
        for piece in (b"*2\r\n$5\r\nhel", b"lo\r\n:7\r\n$", b"-1\r\n"):
            line.sendall(piece)
        asked.append(read(line, 1))

    with server(serve) as url:
        caller = Caller(url, colour)
        assert await caller.ask(("SET", "kü", 12), ("PING",)) == [[b"hello", 7], None]
        await caller.end()
    assert asked == [wanted, b""]


@both
async def test_error_replies_are_values_of_redis_py_s_types(colour: Colour) -> None:
    def serve(line: socket.socket) -> None:
        read(line, 3 * len(PING))
        line.sendall(b"-NOSCRIPT No matching script\r\n-LOADING Redis is loading\r\n-OTHER what\r\n")
        read(line, 1)

    with server(serve) as url:
        caller = Caller(url, colour)
        replies = await caller.ask(("PING",), ("PING",), ("PING",))
        assert [type(reply) for reply in replies[:2]] == [NoScriptError, BusyLoadingError]
        assert isinstance(replies[2], RedisError)
        await caller.end()


@both
async def test_a_server_that_is_silent_is_given_up(colour: Colour) -> None:
    with server(lambda line: read(line, 1000)) as url:
        caller = Caller(url, colour, timeout=0.05)
        with pytest.raises(RedisTimeoutError, match=r"0\.05 s"):
            await caller.ask(("PING",))
        await caller.end()


@both
async def test_a_time_limit_may_become_shorter(colour: Colour) -> None:
    """The asyncio pipe has one timer for many round trips: that of the first must not hold for the second."""

    def serve(line: socket.socket) -> None:
        read(line, len(PING))
        line.sendall(b"+PONG\r\n")
        read(line, 1000)

    with server(serve) as url:
        caller = Caller(url, colour, timeout=3600)
        assert await caller.ask(("PING",)) == [b"PONG"]
        limit(caller.connection, 0.05, 0.05)
        with pytest.raises(RedisTimeoutError):
            await caller.ask(("PING",))
        await caller.end()


@both
async def test_a_round_trip_is_not_measured_by_the_one_before(colour: Colour) -> None:
    def serve(line: socket.socket) -> None:
        for _ in range(20):
            read(line, len(PING))
            line.sendall(b"+PONG\r\n")
        read(line, 1)

    with server(serve) as url:
        caller = Caller(url, colour, timeout=1.0)  # a busy machine is slow, too
        until = asyncio.get_running_loop().time() + 1.1
        for number in range(20):
            assert await caller.ask(("PING",)) == [b"PONG"]
            if number == 18:  # the last one comes when the first one's timer has fired
                await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0))
        await caller.end()


@both
async def test_the_end_of_a_connection_is_a_lost_connection(colour: Colour) -> None:
    with server(lambda line: read(line, len(PING))) as url:
        caller = Caller(url, colour)
        with pytest.raises(RedisConnectionError, match="closed the connection"):
            await caller.ask(("PING",))
        await caller.end()


async def test_asyncio_knows_that_a_connection_has_ended_before_it_is_used() -> None:
    """What is written to it would be lost, and the outcome unknown."""
    with server(lambda line: line.sendall(b"+PONG\r\n")) as url:
        caller = Caller(url, "async")
        assert await caller.ask(("PING",)) == [b"PONG"]
        await async_wait_until(lambda: caller.pipe.closed)
        await caller.end()


@both
async def test_what_is_no_redis_is_an_error_not_a_wait(colour: Colour) -> None:
    def serve(line: socket.socket) -> None:
        read(line, len(PING))
        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        read(line, 1)

    with server(serve) as url:
        caller = Caller(url, colour)
        with pytest.raises(InvalidResponse):
            await caller.ask(("PING",))
        await caller.end()


@both
async def test_a_large_command_is_written_whole(colour: Colour) -> None:
    body = bytes(range(256)) * 32768  # 8 MiB: more than a socket's buffer
    head = b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % len(body)
    asked: list[bytes] = []

    def serve(line: socket.socket) -> None:
        asked.append(read(line, len(head) + len(body) + 2))
        line.sendall(b"$%d\r\n%b\r\n" % (len(body), body))
        read(line, 1)

    with server(serve) as url:
        caller = Caller(url, colour)
        assert await caller.ask(("ECHO", body)) == [body]
        await caller.end()
    assert asked == [head + body + b"\r\n"]


async def test_a_server_that_does_not_read_is_given_up() -> None:
    done = threading.Event()
    with server(lambda _: done.wait(20)) as url:
        caller = Caller(url, "async", timeout=0.05)
        with pytest.raises(RedisTimeoutError, match="written"):
            await caller.ask(("ECHO", b"x" * (32 << 20)))
        # What was not written is not written later, and ending takes no time.
        caller.pipe.abort()
        async with asyncio.timeout(5):
            await caller.end()
        done.set()


@both
async def test_every_server_is_spoken_to_without_redis_py_s_layers(url: str, colour: Colour) -> None:
    """But for fakeredis, which has no line. A redis-py that hides its socket would be felt here, not in production."""
    caller = Caller(url, colour)
    assert await caller.ask(("PING",)) == [b"PONG"]
    is_plain = isinstance(caller.pipe, pipes.Plain | pipes.AsyncPlain)
    assert is_plain == url.startswith("memory://")
    await caller.end()
