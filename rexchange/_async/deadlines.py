"""How long a step of an operation may take: never longer than the operation has left."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from rexchange._async import io

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ONE_TRY = -math.inf
"""The deadline of an operation that is tried once (a timeout of 0): each step takes what the settings allow."""
CLOSE_S = 1.0
"""So many seconds without an answer, and closing goes on without the server: the reaper gives back what is left."""


def after(seconds: float) -> float:
    """Return when an operation that starts now is given up, by the monotonic clock."""
    return time.monotonic() + seconds if seconds > 0 else ONE_TRY


class Holding:
    """A lock that others hold, in `with`: waited for at most so many seconds, then what `error` returns is raised."""

    def __init__(self, lock: io.Lock, seconds: float, error: Callable[[], Exception]) -> None:
        """Take what to wait for, and how long."""
        self._lock = lock
        self._seconds = seconds
        self._error = error

    async def __aenter__(self) -> None:
        """Wait."""
        if not await io.acquire(self._lock, self._seconds):
            raise self._error()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self._lock.release()
