"""Bare Redis commands through redis-py: what no client that writes to streams can go under by much."""

from __future__ import annotations

import redis
import runner
from redis.backoff import NoBackoff
from redis.retry import Retry

GROUP = "g"


class Bare(runner.Contestant):
    """Pipelines of 100 XADD with four fields; XACK and XDEL of 200 in front of the next XREADGROUP."""

    def setup(self) -> None:
        self.client = redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), socket_timeout=60)
        try:
            self.client.xgroup_create(runner.NAME, GROUP, "0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def publish(self, body: bytes, count: int) -> None:
        for size in runner.batches(count):
            pipe = self.client.pipeline(transaction=False)
            for _ in range(size):
                pipe.xadd(
                    runner.NAME, {"exchange": "events", "key": runner.ROUTING_KEY, "properties": "", "body": body}
                )
            pipe.execute()

    def consume(self, handled) -> None:
        ids: list[bytes] = []
        while True:
            pipe = self.client.pipeline(transaction=False)
            if ids:
                pipe.xack(runner.NAME, GROUP, *ids)
                pipe.xdel(runner.NAME, *ids)
            pipe.xreadgroup(GROUP, "me", {runner.NAME: ">"}, count=runner.PREFETCH, block=1000)
            found = pipe.execute()[-1]
            ids = []
            for entry_id, _fields in found[0][1] if found else ():
                ids.append(entry_id)
                handled()


if __name__ == "__main__":
    runner.main(Bare)
