"""What servers tell of themselves, and what is made of it."""

from __future__ import annotations

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from rexchange.errors import ServerRefused
from rexchange.server import facts
from rexchange.server.address import resolve
from rexchange.server.facts import ServerFacts

REFUSED = NoPermissionError("this user has no permissions")
HELLO_REDIS = [
    b"server", b"redis", b"version", b"7.0.15", b"proto", 2, b"id", 9, b"mode", b"standalone", b"role", b"master",
    b"modules", [],
]  # fmt: skip
INFO_REDIS = (
    b"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\r\n# Memory\r\nmaxmemory:1048576\r\n"
    b"maxmemory_policy:allkeys-lru\r\n# Persistence\r\naof_enabled:0\r\n# Replication\r\nrole:slave\r\n"
)
HELLO_VALKEY = [b"server", b"valkey", b"version", b"9.1.2", b"mode", b"standalone", b"role", b"replica"]
INFO_VALKEY = (
    b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nredis_mode:standalone\r\nmaxmemory:0\r\n"
    b"maxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n"
)
GOOD = ServerFacts(
    "redis", (7, 0, 15), "standalone", "master", maxmemory_policy="noeviction", maxmemory=0, aof_enabled=True
)


def test_redis() -> None:
    assert facts.read(HELLO_REDIS, INFO_REDIS) == ServerFacts(
        kind="redis",
        version=(7, 0, 15),
        mode="standalone",
        role="master",
        blocking=True,
        maxmemory_policy="allkeys-lru",
        maxmemory=1048576,
        aof_enabled=False,
        save_configured=None,
    )


def test_valkey_is_not_taken_for_the_redis_that_it_imitates() -> None:
    for hello in (HELLO_VALKEY, REFUSED):
        found = facts.read(hello, INFO_VALKEY)
        assert (found.kind, found.version, found.aof_enabled) == ("valkey", (9, 1, 2), True)


def test_info_alone_and_hello_alone() -> None:
    by_info = facts.read(REFUSED, INFO_REDIS)
    assert (by_info.kind, by_info.version, by_info.role) == ("redis", (7, 0, 15), "replica")
    by_hello = facts.read(HELLO_VALKEY, REFUSED)
    assert (by_hello.kind, by_hello.version, by_hello.role) == ("valkey", (9, 1, 2), "replica")
    assert (by_hello.aof_enabled, by_hello.maxmemory_policy, by_hello.maxmemory) == (None, None, None)


def test_nothing_told_is_unknown_and_no_reason_to_refuse() -> None:
    found = facts.read(REFUSED, ResponseError("unknown command 'info'"), REFUSED)
    assert found == ServerFacts()
    assert facts.judge(found, strict=True) == []
    assert str(found) == "unknown (version unknown), unknown, unknown, maxmemory-policy unknown, AOF unknown"


def test_fakeredis_does_not_block_and_need_not_persist() -> None:
    connection = resolve("memory://facts").connection("sync", socket_timeout=1, connect_timeout=1)
    connection.send_packed_command(connection.pack_commands([("HELLO",), ("INFO",)]))
    hello = connection.read_response(disconnect_on_error=True)
    with pytest.raises(ResponseError) as refused:
        connection.read_response(disconnect_on_error=True)
    connection.disconnect()
    found = facts.read(hello, refused.value)
    assert (found.kind, found.blocking, found.role) == ("fakeredis", False, "master")
    assert facts.judge(found, strict=True) == []


@pytest.mark.parametrize(
    ("text", "version"),
    [(b"7.4.0-v1", (7, 4, 0)), (b"8.2.3", (8, 2, 3)), (b"255.255.255", (255, 255, 255)), (b"unstable", ()), (b"", ())],
)
def test_versions(text: bytes, version: tuple[int, ...]) -> None:
    assert facts.read([b"server", b"redis", b"version", text], None).version == version


@pytest.mark.parametrize(
    ("reply", "configured"), [([b"save", b""], False), ([b"save", b"3600 1"], True), (REFUSED, None)]
)
def test_snapshots_are_known_only_from_config(reply: object, configured: bool | None) -> None:
    assert facts.read(HELLO_REDIS, INFO_REDIS, reply).save_configured is configured


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mode": "cluster"}, "Cluster"),
        ({"mode": "sentinel"}, r"redis\+sentinel://"),
        ({"version": (6, 0, 16)}, "Redis 6.0.16 is too old"),
        ({"version": (5,)}, "too old"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, object], why: str) -> None:
    unfit = ServerFacts(**{**vars(GOOD), **changes})
    with pytest.raises(ServerRefused, match=why) as caught:
        facts.judge(unfit, strict=False, address="redis://h")
    assert caught.value.address == "redis://h"
    assert caught.value.outcome == "not_done"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "throws away whole queues"),
        ({"aof_enabled": False}, "append-only file is off"),
        ({"aof_enabled": False, "save_configured": False}, "loses all messages"),
        ({"role": "replica"}, "is a replica"),
    ],
)
def test_what_is_unwise_is_said_and_refused_where_strict(changes: dict[str, object], why: str) -> None:
    unwise = ServerFacts(**{**vars(GOOD), **changes})
    warnings = facts.judge(unwise, strict=False)
    assert len(warnings) == 1
    assert why in warnings[0]
    with pytest.raises(ServerRefused, match=f"strict: .*{why}"):
        facts.judge(unwise, strict=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"version": (6, 2)},
        {"maxmemory_policy": "volatile-lru"},
        {"kind": "valkey", "version": (8,)},
        {"kind": "unknown"},
    ],
)
def test_what_is_fine_is_not_mentioned(changes: dict[str, object]) -> None:
    assert facts.judge(ServerFacts(**{**vars(GOOD), **changes}), strict=True) == []
