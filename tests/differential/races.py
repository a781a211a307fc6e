"""Which order RabbitMQ leaves open: its queues are processes, and two that dead-letter into a third at once race.

rexchange does one thing after the other, so it is asked: what came into each queue in this step, and from where.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from rexchange.codec import decode_table
from rexchange.keyspace import Keys
from rexchange.message import decode_envelope
from tests.support.servers import Bare


class Races:
    """Looks into the streams of one vhost after each step."""

    def __init__(self, url: str, vhost: str) -> None:
        self._ask = Bare(url)
        self._keys = Keys(vhost.encode())
        self._before: dict[bytes, tuple[int, bytes]] = {}

    def start(self) -> None:
        self._before.clear()

    def is_open(self, queues: Iterable[str]) -> bool:
        """Whether a queue got messages in this step in an order that RabbitMQ leaves open."""
        races = [self._has_race(self._keys.stream(queue.encode())) for queue in queues]  # all of them: each is noted
        return any(races)

    def _has_race(self, stream: bytes) -> bool:
        try:
            items = self._ask("XINFO", "STREAM", stream)
        except ResponseError:
            return False  # the queue is deleted
        info = dict(zip(items[::2], items[1::2], strict=True))
        total, last = int(info.get(b"entries-added", 0)), info[b"last-generated-id"]
        before, since = self._before.get(stream, (0, b"0-0"))
        self._before[stream] = total, last
        if total - before < 2:
            return False
        entries = self._ask("XRANGE", stream, b"(" + since, "+")
        sources = {_source(fields[1]) for _, fields in entries}
        return len(entries) < total - before or len(sources) > 1

    def close(self) -> None:
        self._ask.close()


def _source(envelope: bytes) -> str:
    """Return the queue that it comes from, empty where it was published."""
    headers: dict[str, Any] = decode_table(decode_envelope(envelope)[3])
    deaths = headers.get("x-death") or [{}]
    return str(deaths[0].get("queue", ""))
