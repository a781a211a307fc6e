"""What the server is and whether it keeps what it is given, from its replies to HELLO and INFO.

CONFIG is not asked for more than it may tell: managed servers refuse it. What a server does not tell is None or
"unknown", which is no reason to refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from rexchange.errors import ServerRefused

if TYPE_CHECKING:
    from rexchange.confirms import Level

ServerKind = Literal["redis", "valkey", "fakeredis", "unknown"]

# XAUTOCLAIM, XADD NOMKSTREAM, ZRANGE BYSCORE, COPY …: what the scripts use came with it.
OLDEST_REDIS = (6, 2)
_FIRST_WITH_WAITAOF = (7, 2)
_KINDS: dict[str, ServerKind] = {"redis": "redis", "valkey": "valkey", "fakeredis": "fakeredis"}


@dataclass(frozen=True)
class ServerFacts:
    """One server at the moment of connecting.

    Attributes:
        kind: which program it is.
        version: of that program (Valkey's own, not the Redis it imitates); () when unknown.
        mode: "standalone", "cluster", "sentinel" or "unknown".
        role: "master", "replica" or "unknown".
        blocking: whether XREADGROUP BLOCK works; fakeredis returns at once.
        maxmemory_policy: what goes when memory is full; None when unknown.
        maxmemory: bytes, 0 for no limit; None when unknown.
        aof_enabled: whether every write goes to an append-only file; None when unknown.
        save_configured: whether snapshots are taken; None when unknown.
    """

    kind: ServerKind = "unknown"
    version: tuple[int, ...] = ()
    mode: str = "unknown"
    role: str = "unknown"
    blocking: bool = True
    maxmemory_policy: str | None = None
    maxmemory: int | None = None
    aof_enabled: bool | None = None
    save_configured: bool | None = None

    def __str__(self) -> str:
        version = ".".join(map(str, self.version)) or "(version unknown)"
        aof = {None: "unknown", True: "on", False: "off"}[self.aof_enabled]
        policy = self.maxmemory_policy or "unknown"
        return f"{self.kind} {version}, {self.mode}, {self.role}, maxmemory-policy {policy}, AOF {aof}"


def read(hello: object, info: object, config_save: object = None) -> ServerFacts:
    """Build the facts from replies in RESP2; an exception or None in a reply's place means that it was refused.

    Args:
        hello: the reply to ``HELLO`` without arguments.
        info: the reply to ``INFO``.
        config_save: the reply to ``CONFIG GET save``, if it was asked.
    """
    greeting = _pairs(hello)
    told = _info(info)
    # Valkey tells INFO's readers that it is Redis 7.2; its own name stands beside.
    name = greeting.get("server") or told.get("server_name") or ("redis" if "redis_version" in told else "")
    kind = _KINDS.get(name, "unknown")
    version = greeting.get("version") or told.get(f"{name}_version") or told.get("redis_version", "")
    role = greeting.get("role") or told.get("role", "unknown")
    saving = _pairs(config_save).get("save")
    return ServerFacts(
        kind=kind,
        version=_version(version),
        mode=greeting.get("mode") or told.get("redis_mode", "unknown"),
        role="replica" if role == "slave" else role,
        blocking=kind != "fakeredis",
        maxmemory_policy=told.get("maxmemory_policy"),
        maxmemory=int(told["maxmemory"]) if "maxmemory" in told else None,
        aof_enabled=told["aof_enabled"] == "1" if "aof_enabled" in told else None,
        save_configured=None if saving is None else saving != "",
    )


def judge(facts: ServerFacts, *, strict: bool, address: str = "") -> list[str]:
    """Return what the user should be warned of, in plain words.

    Args:
        facts: of the server.
        strict: refuse the server where there is something to warn of.
        address: for the message.

    Raises:
        ServerRefused: rexchange cannot work on it, or `strict` and there is a warning.
    """
    unfit = _unfit(facts)
    if unfit is not None:
        raise ServerRefused(unfit, address=address, outcome="not_done")
    warnings = _warnings(facts)
    if strict and warnings:
        raise ServerRefused(f"strict: {'; '.join(warnings)}", address=address, outcome="not_done")
    return warnings


def _unfit(facts: ServerFacts) -> str | None:
    if facts.mode == "cluster":
        return "this is a Redis Cluster, which rexchange does not support yet: use a single server or Sentinel"
    if facts.mode == "sentinel":
        return "this is a Sentinel, not the server it watches: use redis+sentinel://host:port/service"
    if facts.kind == "redis" and facts.version and facts.version[:2] < OLDEST_REDIS:
        version = ".".join(map(str, facts.version))
        return f"Redis {version} is too old: rexchange needs Redis 6.2 or later, or Valkey"
    return None


def _warnings(facts: ServerFacts) -> list[str]:
    found: list[str] = []
    policy = facts.maxmemory_policy or ""
    if policy.startswith("allkeys-"):
        found.append(
            f"maxmemory-policy is {policy}: when memory is full the server throws away whole queues without a word; "
            "set noeviction or one of volatile-*, or give the broker a server of its own"
        )
    if facts.aof_enabled is False and facts.save_configured is False:
        found.append("nothing is written to disk: a restart of the server loses all messages; set appendonly yes")
    elif facts.aof_enabled is False:
        found.append(
            "the append-only file is off: a crash of the server loses what came since its last snapshot, or everything "
            "if it takes none; set appendonly yes"
        )
    if facts.role == "replica":
        found.append("this server is a replica: it refuses every write until it becomes the master")
    return found


def lack(facts: ServerFacts, level: Level) -> str | None:
    """Return why a server cannot confirm at a level, as far as it told; None where it may."""
    if not level.synced:
        return None
    if facts.kind == "redis" and facts.version and facts.version[:2] < _FIRST_WITH_WAITAOF:
        version = ".".join(map(str, facts.version))
        return f"confirm='synced' needs WAITAOF, which Redis {version} has not: Redis 7.2 or later, or Valkey"
    if facts.aof_enabled is False:
        return "confirm='synced' needs the server's append-only file: set appendonly yes"
    return None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _pairs(reply: object) -> dict[str, str]:
    """A map as RESP2 writes it, flat (or as RESP3 does); empty for anything else."""
    if isinstance(reply, Mapping):
        items = list(cast("Mapping[object, object]", reply).items())
    elif isinstance(reply, Sequence) and not isinstance(reply, str | bytes):
        flat = cast("Sequence[object]", reply)
        items = list(zip(flat[::2], flat[1::2], strict=False))
    else:
        items = []
    return {_text(name): _text(value) for name, value in items}


def _info(reply: object) -> dict[str, str]:
    if not isinstance(reply, bytes | str):
        return {}
    lines = (line.partition(":") for line in _text(reply).splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, colon, value in lines if colon}


def _version(text: str) -> tuple[int, ...]:
    """The numbers at the start: "7.4.0-v1" is Redis Stack's word for 7.4.0."""
    numbers = re.match(r"\d+(?:\.\d+)*", text, re.ASCII)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
