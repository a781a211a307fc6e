"""Where the server is: a URL or a redis-py client becomes an `Address`, and an `Address` makes connections.

==========================================  ============================================================
``redis://[user:pass@]host:port/db``        Redis or Valkey; ``rediss://`` through TLS
``unix:///path.sock[?db=1]``                the same on a Unix socket
``redis+sentinel://host,host/service/db``   the master that Sentinels name at each connect; ``rediss+`` too
``memory://name``                           fakeredis in this process: one name, one server
``embedded:///path``, or no URL             a Valkey of our own on a data folder
a client                                    its connection settings, never its pool or its decoding
==========================================  ============================================================

``user:pass`` of a Sentinel URL are the master's; the Sentinels' are ``?sentinel_username=…&sentinel_password=…``.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from rexchange.errors import InvalidArgument, ServerRefused, redact
from rexchange.server import embedded
from rexchange.server.clients import from_client
from rexchange.server.endpoint import Address, AsyncConnection, Colour, Kind, SyncConnection, memory
from rexchange.server.sockets import Master

__all__ = ["Address", "AsyncConnection", "Colour", "SyncConnection", "from_client", "from_url", "resolve"]

_WANTED = (
    "a URL redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, memory:// or embedded://, "
    "for instance redis://localhost:6379/0"
)
_REDIS_PORT = 6379
_SENTINEL_PORT = 26379


def _flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    return known[text.lower()]


def _verify_flags(text: str) -> list[ssl.VerifyFlags]:
    return [ssl.VerifyFlags[name.strip()] for name in text.strip("[]").split(",")]


# redis-py's names, so that a URL that works there works here.
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": int,
    "username": str,
    "password": str,
    "client_name": str,
    "socket_keepalive": _flag,
    "socket_read_size": int,
}
_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_keyfile": str,
    "ssl_certfile": str,
    "ssl_password": str,
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_ca_data": str,
    "ssl_ca_path": str,
    "ssl_ciphers": str,
    "ssl_check_hostname": _flag,
    "ssl_min_version": lambda text: ssl.TLSVersion(int(text)),
    "ssl_include_verify_flags": _verify_flags,
    "ssl_exclude_verify_flags": _verify_flags,
}
_SENTINEL_OPTIONS: dict[str, Callable[[str], Any]] = {"sentinel_username": str, "sentinel_password": str}
# What redis-py takes and we decide ourselves: a URL shared with a cache client may hold them.
_OURS = frozenset(
    {
        "decode_responses", "encoding", "encoding_errors", "health_check_interval", "legacy_responses",
        "max_connections", "protocol", "retry_on_error", "retry_on_timeout", "socket_connect_timeout",
        "socket_timeout", "timeout",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Url:
    """A URL in parts; `whole` is for error messages, masked."""

    whole: str
    parts: SplitResult

    def wrong(self, wanted: str) -> InvalidArgument:
        return InvalidArgument("url", self.whole, wanted)

    def options(self, known: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
        """User, password and query as redis-py's keyword arguments."""
        found: dict[str, Any] = {}
        for name, text in parse_qsl(self.parts.query, keep_blank_values=True):
            if name in _OURS:
                continue
            if name not in known:
                raise self.wrong(f"no option '{name}' in it; known: {', '.join(sorted(known))}")
            try:
                found[name] = known[name](text)
            except (ValueError, KeyError) as error:
                raise self.wrong(f"another value for '{name}'") from error
        user_part = self.parts.netloc.rpartition("@")[0]
        user, _, password = user_part.partition(":")
        if user:
            found["username"] = unquote(user)
        if password:
            found["password"] = unquote(password)
        return found

    def hosts(self, default_port: int) -> list[tuple[str, int]]:
        """The hosts, separated by commas, with their ports."""
        return [self._host(text, default_port) for text in self.parts.netloc.rpartition("@")[2].split(",")]

    def _host(self, text: str, default_port: int) -> tuple[str, int]:
        if text.startswith("["):  # an IPv6 address: its own colons stand in brackets
            host, bracket, port = text[1:].partition("]")
            if not bracket or (port and not port.startswith(":")):
                raise self.wrong("an IPv6 address in brackets, as in redis://[::1]:6379")
            port = port[1:]
        else:
            host, _, port = text.partition(":")
        if not port:
            return unquote(host) or "localhost", default_port
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
            raise self.wrong("a port from 1 to 65535; write a '/', '@', ':' or '#' in a password as %2F, %40, %3A, %23")
        return unquote(host) or "localhost", int(port)

    def db(self, text: str) -> int:
        """The database number at the end of the path."""
        # redis-py takes what is no number for db 0: the wrong data, without a word.
        if not (text.isascii() and text.isdigit()):
            raise self.wrong("a database number at the end of its path, as in redis://localhost:6379/0")
        return int(text)


def resolve(url: str | None = None, client: object | None = None) -> Address:
    """Read what the user gave: a URL, or a client, or neither (the embedded server). Nothing is connected yet.

    Raises:
        InvalidArgument: both were given, or one that cannot be used; see `from_url` and `from_client`.
        ServerRefused: a cluster, which rexchange does not support yet.
        BrokerConnectionError: the extra that it needs is not installed.
    """
    if client is None:
        return from_url(url)
    if isinstance(client, Address):  # of another Broker: the same server, whatever it was found by
        return client
    if url:
        raise InvalidArgument("client", type(client).__name__, "either a URL or a client, not both")
    return from_client(client)


def from_url(url: str | None) -> Address:
    """Read a URL; None and "" mean the embedded server on the user's data folder. Nothing is connected yet.

    Raises:
        InvalidArgument: it is not a URL that we know.
        ServerRefused: a cluster, which rexchange does not support yet.
        BrokerConnectionError: the extra that it needs is not installed.
    """
    if not url:
        return _embedded(embedded.default_folder())
    shown = redact(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidArgument("url", shown, _WANTED) from error
    read = _READERS.get(parts.scheme)
    if read is None or not url.startswith(f"{parts.scheme}://") or parts.fragment:
        # urlsplit takes what follows a raw "#" in a password for a fragment.
        raise InvalidArgument("url", shown, _WANTED)
    return read(_Url(shown, parts))


def _shown_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _network(url: _Url) -> Address:
    tls = url.parts.scheme == "rediss"
    settings = url.options({**_OPTIONS, **_TLS_OPTIONS} if tls else _OPTIONS)
    hosts = url.hosts(_REDIS_PORT)
    if len(hosts) != 1:
        raise url.wrong("one host; several are for redis+sentinel://")
    path = url.parts.path.strip("/")
    if path:
        settings.setdefault("db", url.db(path))
    host, port = hosts[0]
    shown = f"{url.parts.scheme}://{_shown_host(host, port)}/{settings.get('db', 0)}"
    return Address(shown, "tls" if tls else "tcp", settings={**settings, "host": host, "port": port})


def _unix(url: _Url) -> Address:
    settings = url.options({name: take for name, take in _OPTIONS.items() if name != "socket_keepalive"})
    path = unquote(url.parts.path)
    if not path or url.parts.netloc.rpartition("@")[2]:
        raise url.wrong("an absolute path after unix://, as in unix:///run/redis/redis.sock")
    return Address(f"unix://{path}?db={settings.get('db', 0)}", "unix", settings={**settings, "path": path})


def _sentinel(url: _Url) -> Address:
    tls = url.parts.scheme == "rediss+sentinel"
    tls_options = _TLS_OPTIONS if tls else {}
    settings = url.options({**_OPTIONS, **_SENTINEL_OPTIONS, **tls_options})
    service, _, db = url.parts.path.strip("/").partition("/")
    if not service:
        raise url.wrong("the name of the service after the hosts, as in redis+sentinel://host1,host2/mymaster/0")
    if db:
        settings.setdefault("db", url.db(db))
    credentials = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    shared = {name: value for name, value in settings.items() if name in tls_options or name.startswith("socket_")}
    sentinel_kind: Kind = "tls" if tls else "tcp"
    hosts = url.hosts(_SENTINEL_PORT)
    sentinels = [
        Address(
            f"sentinel {_shown_host(host, port)}",
            sentinel_kind,
            settings={**shared, **credentials, "host": host, "port": port},
        )
        for host, port in hosts
    ]
    listed = ",".join(_shown_host(host, port) for host, port in hosts)
    return Address(
        f"{url.parts.scheme}://{listed}/{unquote(service)}/{settings.get('db', 0)}",
        "sentinel_tls" if tls else "sentinel",
        master=Master(sentinels, unquote(service)),
        settings=settings,
    )


def _memory(url: _Url) -> Address:
    if url.parts.query or "@" in url.parts.netloc:
        raise url.wrong("memory:// and a name, nothing else")
    return memory(unquote(url.parts.netloc + url.parts.path))


def _embedded(folder: Path) -> Address:
    return Address(f"embedded://{folder}", "embedded", folder=folder)


def _embedded_url(url: _Url) -> Address:
    if url.parts.query or url.parts.netloc:
        raise url.wrong("embedded:// and an absolute path, with three slashes: embedded:///home/me/orders")
    path = unquote(url.parts.path)
    return _embedded(Path(path) if path else embedded.default_folder())


def _cluster(url: _Url) -> Address:
    raise ServerRefused(
        "rexchange does not support Redis Cluster yet: use a single server or Sentinel",
        address=url.whole,
        outcome="not_done",
    )


_READERS: dict[str, Callable[[_Url], Address]] = {
    "redis": _network,
    "rediss": _network,
    "unix": _unix,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
    "memory": _memory,
    "embedded": _embedded_url,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
}
