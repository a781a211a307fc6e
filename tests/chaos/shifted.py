"""What Redis holds of one vhost, and time that passes by shifting what is stored: no server's clock can be moved."""

from __future__ import annotations

from typing import Any

import redis

HOUR_MS = 3_600_000

# One script, so that no heartbeat sees half of it. A clock that jumps ahead makes all that is stored older.
_JUMP = """
local prefix, jump_ms = KEYS[1], tonumber(ARGV[1])
for _, key in ipairs({ "sessions", "due" }) do
  for _, member in ipairs(redis.call("ZRANGE", prefix .. key, 0, -1)) do
    redis.call("ZINCRBY", prefix .. key, -jump_ms, member)
  end
end
redis.call("HINCRBY", prefix .. "vhost", "tick", -jump_ms)
for _, name in ipairs(redis.call("HKEYS", prefix .. "queues")) do
  local stream = prefix .. "stream:" .. name
  for _, row in ipairs(redis.call("XPENDING", stream, "g", "-", "+", 1000)) do
    local idle_ms = math.max(0, row[3] + jump_ms)
    redis.call("XCLAIM", stream, "g", row[2], 0, row[1], "IDLE", idle_ms, "JUSTID")
  end
  if jump_ms < 0 then
    local last_ms = tonumber(redis.call("TIME")[1]) * 1000
    redis.call("XSETID", stream, string.format("%.0f-0", last_ms - jump_ms))
  end
end
"""


class Keyspace:
    """One vhost as a plain client sees it."""

    def __init__(self, client: redis.Redis, vhost: str) -> None:
        self.vhost = vhost
        self._client = client
        self._prefix = f"rx:{{{vhost}}}:"

    def length(self, queue: str) -> int:
        """All entries of a queue, ready and unacked."""
        return int(self._client.xlen(f"{self._prefix}stream:{queue}"))

    def unacked(self, queue: str) -> int:
        """Entries in the hands of consumers; what was given back is in the hands of `-`."""
        held = self._client.xpending(f"{self._prefix}stream:{queue}", "g")["consumers"]
        return sum(int(row["pending"]) for row in held if row["name"] != b"-")

    def ids(self, queue: str) -> list[tuple[int, int]]:
        """The ids of a queue's entries."""
        found: Any = self._client.xrange(f"{self._prefix}stream:{queue}")
        parts = [entry_id.decode().split("-") for entry_id, _ in found]
        return [(int(ms), int(number)) for ms, number in parts]

    def sessions(self) -> dict[bytes, float]:
        """The sessions and their deadlines."""
        found: Any = self._client.zrange(f"{self._prefix}sessions", 0, -1, withscores=True)
        return dict(found)

    def now_ms(self) -> float:
        """The server's clock."""
        seconds, micros = self._client.time()
        return float(seconds * 1000 + micros / 1000)

    def shortest_life_ms(self) -> float:
        """How long the session that ends first has to live; negative when it is over."""
        return min(self.sessions().values()) - self.now_ms()

    def expire_sessions(self) -> None:
        """Let the deadline of every session pass, while the reaper ran just now."""
        for session in self.sessions():
            self._client.zadd(f"{self._prefix}sessions", {session: 1})
        self._client.hset(f"{self._prefix}vhost", "tick", str(int(self.now_ms())))

    def clock_jumps(self, ahead_ms: int) -> None:
        """Make all that is stored so much older, as a jump of the server's clock does; negative: younger."""
        self._client.eval(_JUMP, 1, self._prefix, ahead_ms)

    def lanes(self) -> dict[bytes, bytes]:
        """The state of producers."""
        found: Any = self._client.hgetall(f"{self._prefix}lanes")
        return dict(found)

    def age_lanes(self, by_ms: int) -> None:
        """Make the last use of every lane so much older, and the sweep due."""
        for lane, state in self.lanes().items():
            number, token, used_ms, answer = state.decode().split(" ", 3)
            aged = f"{number} {token} {int(used_ms) - by_ms} {answer}"
            self._client.hset(f"{self._prefix}lanes", lane.decode(), aged)
        self._client.hset(f"{self._prefix}vhost", "sweep", "0 0")
