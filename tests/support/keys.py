"""The key fixture's eyes: every key has an owner and its type, none a TTL, and the records agree with each other.

What is allowed is read from the table in keyspace's own docstring, so that the table is true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rexchange import keyspace
from rexchange.codec import decode_table
from rexchange.keyspace import Keys
from tests.support.servers import Bare

_ROW = re.compile(r"^``([^`]+)``\s+(hash|list|set|stream|string|zset)\s", re.MULTILINE)
_PLACES = {
    "<q|x>": "([qx])",
    "<exchange>": "(?s:(.*))",
    "<queue>": "(?s:(.+))",
    "<id>": "(.+)",
    "<name>": "(?s:(.+))",
    "<consumer>": "(.+)",
    "<share>": "(.+)",
    "<number>": "(.+)",
}
Cached: TypeAlias = Callable[[str], str]
"""The fixture `cached`: makes keys of the application's own."""
#: What a vhost keeps when nothing is declared in it.
OWN = {b"vhost", b"exchanges", b"lanes", b"cache", b"alarm", b"fates", b"fading"}
#: Hashes by queue.
_BY_QUEUE = (
    *("returned", "managed", "visits", "traits", "windows", "choosy", "sole", "idle", "timed", "bytes", "measures"),
    "offsets",
    "traced",
    "sharing",
)


def waits(ask: Bare, key: bytes) -> bool:
    """Whether a publish that failed has left a body there, which no message has: it goes by itself."""
    return int(ask("PTTL", key)) > 0


def _pattern(name: str) -> re.Pattern[bytes]:
    for place, pattern in _PLACES.items():
        name = name.replace(place, pattern)
    return re.compile(name.encode())


TABLE = [(name, _pattern(name), kind.encode()) for name, kind in _ROW.findall(keyspace.__doc__ or "")]


@dataclass
class Check:
    """One look at the keys of a vhost; `problems` in words."""

    ask: Bare
    keys: Keys
    problems: list[str] = field(default_factory=list[str])

    def run(self) -> list[str]:
        """Return all that is wrong."""
        queues, exchanges = self._fields(self.keys.queues), self._fields(self.keys.exchanges) | {b""}
        sessions = {*self.ask("ZRANGE", self.keys.sessions, 0, -1)}
        consumers = self._fields(self.keys.consumers)
        owners = {"<queue>": queues, "<exchange>": exchanges, "<id>": sessions, "<consumer>": consumers}
        owners |= {"<share>": self._fields(self.keys.shares), "<number>": self._fields(self.keys.graves)}
        for key in self.ask.keys(self.keys.prefix):
            self._look(key, owners)
        for name in _BY_QUEUE:
            self._within(f"a queue in {name}", self._fields(getattr(self.keys, name)), queues)
        self._within("a queue in retrying", {*self.ask("ZRANGE", self.keys.retrying, 0, -1)}, queues)
        self._within("a queue in due", {*self.ask("ZRANGE", self.keys.due, 0, -1)}, queues)
        self._within("a parcel", self._fields(self.keys.parcels), {*self.ask("ZRANGE", self.keys.later, 0, -1)})
        self._within(
            "a key of deduplication", self._fields(self.keys.fates), {*self.ask("ZRANGE", self.keys.fading, 0, -1)}
        )
        self._within("a consumer with a fence", self._fields(self.keys.fences), consumers)
        self._sessions(sessions, queues, consumers)
        for queue in queues:
            self._queue(queue, consumers)
        self._bodies(queues)
        return self.problems

    def _bodies(self, queues: set[bytes]) -> None:
        """Large bodies are counted as often as entries point to them, and are there in their sizes."""
        pointing: Counter[tuple[bytes, int]] = Counter()
        counts = {name: int(self.ask("HGET", self.keys.sharing, name)) for name in self._fields(self.keys.sharing)}
        streams = {queue: (self.keys.stream(queue), counts.get(queue, 0)) for queue in queues}
        for grave in self._fields(self.keys.graves):
            streams[b"grave " + grave] = (
                self.keys.prefix + b"grave:" + grave,
                int(self.ask("HGET", self.keys.graves, grave)),
            )
        for name, (stream, counted) in streams.items():
            shares = [
                fields[5].split(b":") for _, fields in self.ask("XRANGE", stream, "-", "+") if fields[4:5] == [b"s"]
            ]
            pointing.update((share, int(size)) for share, size in shares)
            if len(shares) != counted:
                self.problems.append(f"{name!r}: {len(shares)} entries share a body, counted are {counted}")
            if shares and name in queues:
                for consumer in self.ask("ZRANGE", self.keys.users(name), 0, -1):
                    if self.ask("HGET", self.keys.fences, consumer) == b"1":
                        self.problems.append(f"{name!r}: {consumer!r} may hold what shares a body, and its fence is 1")
        stored = {
            (share, self.ask("STRLEN", self.keys.body(share))): int(self.ask("HGET", self.keys.shares, share))
            for share in self._fields(self.keys.shares)
        }
        if stored != pointing:
            self.problems.append(f"bodies are counted as {stored}, entries point to {dict(pointing)}")

    def _fields(self, key: bytes) -> set[bytes]:
        return {*self.ask("HKEYS", key)}

    def _within(self, what: str, found: set[bytes], known: set[bytes]) -> None:
        if found - known:
            self.problems.append(f"{what} is not known: {sorted(found - known)}")

    def _look(self, key: bytes, owners: dict[str, set[bytes]]) -> None:
        name = key.removeprefix(self.keys.prefix)
        rows = [(row, found, kind) for row, pattern, kind in TABLE if (found := pattern.fullmatch(name))]
        if len(rows) != 1:
            self.problems.append(f"{key!r} is in {len(rows)} rows of keyspace's table, not in one")
            return
        row, found, kind = rows[0]
        if row == "body:<share>" and found[1] not in owners["<share>"] and waits(self.ask, key):
            return
        if self.ask("TYPE", key) != kind:
            self.problems.append(f"{key!r} is a {self.ask('TYPE', key)!r}, not a {kind!r}")
        if self.ask("PTTL", key) != -1:
            self.problems.append(f"{key!r} has a TTL: eviction takes such keys first")
        if row.startswith("inbound"):
            owner, known = found[2], owners["<queue>" if found[1] == b"q" else "<exchange>"]
        elif found.groups():
            owner, known = found[1], owners["<" + row.rpartition("<")[2]]
        else:
            return
        if owner not in known:
            self.problems.append(f"{key!r} has no owner: {owner!r} is gone")

    def _sessions(self, sessions: set[bytes], queues: set[bytes], consumers: set[bytes]) -> None:
        owned = {member for session in sessions for member in self.ask("SMEMBERS", self.keys.session(session))}
        self._within("a queue of a session", {each[1:] for each in owned if each[:1] == b"q"}, queues)
        self._within("a consumer of a session", {each[1:] for each in owned if each[:1] == b"c"}, consumers)
        orphans = consumers - {each[1:] for each in owned}
        if orphans:
            self.problems.append(f"consumers without a session: {sorted(orphans)}")

    def _queue(self, queue: bytes, consumers: set[bytes]) -> None:
        """Nobody but consumers and the given-back one own entries, and the counter says how many were given back."""
        stream = self.keys.stream(queue)
        members = [_pairs(row) for row in self.ask("XINFO", "CONSUMERS", stream, "g")]
        self._within(
            f"an owner of entries of {queue!r}",
            {m[b"name"] for m in members if m[b"pending"]},
            consumers | {b"-", b"~"},
        )
        given_back = sum(member[b"pending"] for member in members if member[b"name"] == b"-")
        counted = int(self.ask("HGET", self.keys.returned, queue) or 0)
        if given_back != counted:
            self.problems.append(f"queue {queue!r}: {given_back} entries are given back, the counter says {counted}")
        self._waiting(queue)
        self._within(f"a consumer of {queue!r}", {*self.ask("ZRANGE", self.keys.users(queue), 0, -1)}, consumers)
        self._ready(queue)

    def _waiting(self, queue: bytes) -> None:
        """What waits to be tried again is in the hands of `~`, and the reaper knows when the first of it is due."""
        held = {row[0] for row in self.ask("XPENDING", self.keys.stream(queue), "g", "-", "+", 10_000_000, "~")}
        waiting = self.ask("ZRANGE", self.keys.retries(queue), 0, -1, "WITHSCORES")
        if held != {*waiting[::2]}:
            self.problems.append(f"queue {queue!r}: {sorted(held)} are held for a retry, {sorted(waiting[::2])} wait")
        planned = self.ask("ZSCORE", self.keys.retrying, queue)
        if planned != (waiting[1] if waiting else None):
            self.problems.append(f"queue {queue!r}: its first retry is due {waiting[1:2]}, the reaper knows {planned}")

    def _ready(self, queue: bytes) -> None:
        """The order of a queue with priorities holds what is ready, and the bytes of one that counts them are right."""
        stream = self.keys.stream(queue)
        entries: list[Any] = self.ask("XRANGE", stream, "-", "+")
        pending: list[Any] = self.ask("XPENDING", stream, "g", "-", "+", 10_000_000) if entries else []
        held = {row[0] for row in pending if row[1] != b"-"}
        ready = {entry[0]: entry[1] for entry in entries if entry[0] not in held}
        traits = decode_table((self.ask("HGET", self.keys.traits, queue) or b"").removeprefix(b"-"))
        if "priority" in traits:
            members: list[bytes] = self.ask("ZRANGE", self.keys.order(queue), 0, -1)
            order = {b"-".join(b"%d" % int(part) for part in member.split(b"-")) for member in members}
            if order != {*ready}:
                self.problems.append(f"queue {queue!r}: the order holds {sorted(order)}, ready is {sorted(ready)}")
        if "bytes" in traits and not self.ask("HEXISTS", self.keys.measures, queue):
            size, counted = sum(map(_size, ready.values())), self.ask("HGET", self.keys.bytes, queue)
            if size != int(counted or 0):
                self.problems.append(f"queue {queue!r}: {size} bytes are ready, counted are {counted!r}")


def _size(fields: list[bytes]) -> int:
    return int(fields[5].partition(b":")[2]) if fields[4:5] == [b"s"] else len(fields[3])


def _pairs(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
