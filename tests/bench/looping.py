"""An event loop in a thread of its own, for what waits in it while the benchmark measures from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Loop:
    """Runs coroutines for code that is not async."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run it there and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()

    def end(self) -> None:
        """Stop the loop; all that ran in it has ended by then."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def loop() -> Iterator[Loop]:
    """A loop, and its end."""
    own = Loop()
    try:
        yield own
    finally:
        own.end()


class Tasks:
    """Tasks that go on until they are cancelled; one that ends by itself has failed."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin one more, in the running loop."""
        self._tasks.append(asyncio.get_running_loop().create_task(work()))

    async def cancel(self) -> None:
        """End them all; raises what one of them ended with before."""
        ended = [task for task in self._tasks if task.done()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if ended:
            raise RuntimeError(f"{len(ended)} of {len(self._tasks)} ended before their time") from ended[0].exception()
