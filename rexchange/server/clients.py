"""Reads the connection settings of a redis-py client, never its pool or its decoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import redis
import redis.asyncio as redis_async
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel

from rexchange.errors import InvalidArgument, ServerRefused
from rexchange.server.endpoint import Address, Kind
from rexchange.server.sockets import Master

_COMMON = frozenset({"db", "username", "password", "credential_provider", "client_name", "socket_read_size"})
_TCP = _COMMON | {"host", "port", "socket_keepalive", "socket_keepalive_options", "socket_type"}
_TLS = _TCP | {
    "ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_include_verify_flags", "ssl_exclude_verify_flags",
    "ssl_ca_certs", "ssl_ca_data", "ssl_check_hostname", "ssl_ca_path", "ssl_password", "ssl_min_version",
    "ssl_ciphers", "ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "ssl_ocsp_context", "ssl_ocsp_expected_cert",
}  # fmt: skip
_MEMORY = _TCP | {"path", "server", "version", "server_type", "lua_modules"}
_TAKEN: dict[Kind, frozenset[str]] = {
    "tcp": _TCP,
    "tls": _TLS,
    "unix": _COMMON | {"path"},
    "sentinel": _TCP - {"host", "port"},
    "sentinel_tls": _TLS - {"host", "port"},
    "memory": _MEMORY,
}
_PLAIN_CLASSES: dict[type[Any], Kind] = {
    redis.Connection: "tcp",
    redis.SSLConnection: "tls",
    redis.UnixDomainSocketConnection: "unix",
    redis.sentinel.SentinelManagedConnection: "sentinel",
    redis.sentinel.SentinelManagedSSLConnection: "sentinel_tls",
    redis_async.Connection: "tcp",
    redis_async.SSLConnection: "tls",
    redis_async.UnixDomainSocketConnection: "unix",
    redis.asyncio.sentinel.SentinelManagedConnection: "sentinel",
    redis.asyncio.sentinel.SentinelManagedSSLConnection: "sentinel_tls",
}
_WANTED = "a client redis.Redis or redis.asyncio.Redis (or fakeredis' FakeRedis, FakeAsyncRedis)"


def from_client(client: object) -> Address:
    """Take over where and how a client connects; both colours can be made of either client.

    Raises:
        InvalidArgument: not a redis-py client, or one that connects in a way of its own that we cannot repeat.
        ServerRefused: a cluster client.
    """
    if isinstance(client, redis.cluster.RedisCluster | redis.asyncio.cluster.RedisCluster):
        raise ServerRefused(
            "rexchange does not support Redis Cluster yet: pass a client of a single server or of Sentinel",
            address="client=",
            outcome="not_done",
        )
    if not isinstance(client, redis.Redis | redis_async.Redis):
        raise InvalidArgument("client", type(client).__name__, _WANTED)
    return _from_pool(cast("Any", client).connection_pool)


def _from_pool(pool: Any) -> Address:
    kind = _kind(pool.connection_class)
    given: Mapping[str, Any] = pool.connection_kwargs
    if given.get("redis_connect_func"):
        raise InvalidArgument(
            "client",
            "a client with redis_connect_func",
            "one with credential_provider: rexchange connects in both colours, and such a function has one",
        )
    settings = {name: value for name, value in given.items() if name in _TAKEN[kind] and value is not None}
    master = _master(pool) if kind in ("sentinel", "sentinel_tls") else None
    return Address(_display(kind, settings, master), kind, master=master, settings=settings)


def _kind(connection_class: type[Any]) -> Kind:
    known = _PLAIN_CLASSES.get(connection_class)
    if known is not None:
        return known
    if connection_class.__module__.startswith("fakeredis.") and issubclass(
        connection_class, redis.Connection | redis_async.Connection
    ):
        return "memory"
    raise InvalidArgument(
        "client",
        f"a client with connection_class {connection_class.__module__}.{connection_class.__qualname__}",
        "one with a connection class of redis-py: what another class does cannot be repeated in both colours",
    )


def _master(pool: Any) -> Master:
    if not pool.is_master:
        raise InvalidArgument("client", "a client of Sentinel's replicas", "one made with master_for: a broker writes")
    manager = pool.sentinel_manager
    return Master(
        [_from_pool(sentinel.connection_pool) for sentinel in manager.sentinels],
        pool.service_name,
        min_other_sentinels=manager.min_other_sentinels,
        # redis-py has no public name for it.
        forced_host=getattr(manager, "_force_master_ip", None),
    )


def _display(kind: Kind, settings: Mapping[str, Any], master: Master | None) -> str:
    db = settings.get("db", 0)
    if master is not None:
        hosts = ",".join(sentinel.display.partition("://")[2].partition("/")[0] for sentinel in master.sentinels)
        return f"redis{'s' if kind == 'sentinel_tls' else ''}+sentinel://{hosts}/{master.service}/{db}"
    host = settings.get("host", "localhost")
    place = f"{f'[{host}]' if ':' in host else host}:{settings.get('port', 6379)}"
    match kind:
        case "tls":
            return f"rediss://{place}/{db}"
        case "unix":
            return f"unix://{settings.get('path', '')}?db={db}"
        case "memory":
            return f"memory:// (fakeredis of the client, db {db})"
        case _:
            return f"redis://{place}/{db}"
