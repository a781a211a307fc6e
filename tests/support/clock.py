"""A server's clock that stands still until a test moves it: on fakeredis and on a real server alike.

`lua/lib/clock.lua` is the one place where scripts ask for the time. Inside `controlled(tmp_path)` this process links
its scripts with another one in its place, which reads the time from the field `clock` of the vhost's own hash, and asks
the server where there is none. Vhosts without a `Clock` are as always, so other tests may share the server.

    @pytest.fixture
    def clock(tmp_path, url, vhost):
        with controlled(tmp_path), Clock(url, vhost) as clock:
            yield clock

    def test_it(url, vhost, clock):
        with Broker(url, vhost=vhost, session_timeout=timedelta(days=30)) as broker:
            ...                      # whatever is to be due in 60 s
            clock.advance(59.999)
            broker.reap()        # nothing is due: look at the queues
            clock.advance(0.001)
            broker.reap()                # what is due happens here, at the latest

What is not moved: the ids of entries (XADD *) and how long a delivery has been idle (ack timeouts), which are the
server's own; and this process's clock, so heartbeats go on in real time. A heartbeat may do what is due before the
test's own `reap` does, so look at what is there, not at what `reap` returns; let sessions live longer than the test
advances (`session_timeout`). Only brokers in this process know of it: their scripts have names (SHA1) of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from rexchange import scripts
from rexchange.keyspace import Keys
from tests.support.servers import Bare

FIELD = "clock"
"""Of the vhost's hash: ms, where a test has set the time."""

_CLOCK = """--- The clock of a test (tests/support/clock.py).
local M = {}

function M.now_ms()
  local set = redis.call("HGET", KEYS[1], "clock")
  if set then
    return tonumber(set)
  end
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

function M.text(number)
  return string.format("%.0f", number)
end

return M
"""


@contextmanager
def controlled(folder: Path) -> Iterator[None]:
    """Let this process's scripts take the time from the vhost where a `Clock` has set it."""
    copy = folder / "lua"  # must not be there yet
    shutil.copytree(scripts.root(), copy)
    (copy / "lib" / "clock.lua").write_text(_CLOCK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "root", lambda: copy)
        scripts.load.cache_clear()
        yield
    scripts.load.cache_clear()


class Clock:
    """The time of one vhost, in ms; it stands still until `advance`."""

    def __init__(self, url: str, vhost: str) -> None:
        """Start at the server's time of now."""
        self._ask = Bare(url)
        self._key = Keys(vhost.encode()).vhost
        seconds, micros = self._ask("TIME")
        #: The time by this clock, ms.
        self.now_ms = int(seconds) * 1000 + int(micros) // 1000
        self._write()

    def _write(self) -> None:
        self._ask("HSET", self._key, FIELD, self.now_ms)

    def advance(self, seconds: float) -> None:
        """Move on; less than 0: back."""
        self.now_ms += round(seconds * 1000)
        self._write()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connection; the field goes with the vhost."""
        self._ask.close()
