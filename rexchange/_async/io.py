"""What differs by nature between async and sync: waiting, background work, protection from cancelling.

The sync twin has the same names; the rest of this folder uses nothing else of asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
COLOUR: Literal["async"] = "async"
Lock = asyncio.Lock
sleep = asyncio.sleep
HAS_LOOPS = True
loop = asyncio.get_running_loop
_log = logging.getLogger("rexchange.background")


def end(owners: Iterable[object]) -> None:
    """Tell of what was left open at the end of the process: its event loop is gone, so nothing can be done."""
    for owner in owners:
        message = f"{owner!r} was never closed: use it in `async with`, or await its aclose()"
        warnings.warn(message, ResourceWarning, stacklevel=2)


async def run_blocking(work: Callable[[], T]) -> T:
    """Run what blocks (starting a server, joining a thread) where it does not stop the event loop."""
    return await asyncio.to_thread(work)


async def shielded(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work that a cancelled caller must not tear in two: it goes on, and only the caller stops waiting."""
    return await asyncio.shield(asyncio.ensure_future(work()))


async def acquire(lock: asyncio.Lock, seconds: float) -> bool:
    """Acquire a lock, unless it takes longer; whether it was acquired."""
    if not lock.locked():
        return await lock.acquire()
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            return await lock.acquire()
    except TimeoutError:
        return False


class Signal:
    """A flag to wait for."""

    def __init__(self) -> None:
        """Start unset."""
        self._event = asyncio.Event()
        self.clear = self._event.clear
        self.is_set = self._event.is_set

    def set(self) -> None:
        """Set it; whoever does that often looks at `is_set` first."""
        self._event.set()

    async def wait(self, timeout: float) -> bool:
        """Wait for at most `timeout` seconds; whether it is set."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        return self._event.is_set()


class Passenger:
    """Whose work is done by a `Convoy`."""

    __slots__ = ("waiter",)

    def __init__(self) -> None:
        """Nobody waits for it yet."""
        self.waiter: asyncio.Future[bool] | None = None

    def arrived(self) -> None:
        """Tell whoever waits that it is done."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(True)


P = TypeVar("P", bound=Passenger)


class Convoy(Generic[P]):
    """Does the work of all who wait, in turns: here in a task, so that a caller that is cancelled leaves the others be.

    A caller waits for its own future: a lock handed from each to the next would cost a turn of the event loop each.
    """

    def __init__(self, lock: asyncio.Lock, lead: Callable[[P | None], Awaitable[bool]]) -> None:
        """Take the lock that is held during a turn, and what does one: for whom (None: for who came first)."""
        self._lock = lock
        self._lead = lead
        self._task: asyncio.Future[None] | None = None

    async def join(self, passenger: P, seconds: float) -> bool:
        """Wait until its work is done, at most so many seconds; whether it was."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        passenger.waiter = waiter
        timer = loop.call_later(max(seconds, 0.0), _give_up, waiter)
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
        try:
            return await waiter
        finally:
            timer.cancel()

    async def _run(self) -> None:
        try:
            more = True
            while more:
                async with self._lock:
                    try:
                        more = await self._lead(None)
                    except Exception:  # noqa: BLE001 - told to those of this turn; the others still wait for theirs
                        _log.exception("a call that several shared failed unexpectedly")
        finally:
            self._task = None


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)


class Flight:
    """One run at a time, for all who ask: a caller that is cancelled leaves it running for the next."""

    def __init__(self) -> None:
        """Start with none under way."""
        self._task: asyncio.Future[None] | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Join the run under way, or start one; raises what it raised."""
        task = self._task
        if task is None:
            task = self._task = asyncio.ensure_future(work())
        try:
            await asyncio.shield(task)
        finally:
            if task.done() and self._task is task:
                self._task = None

    def mine(self) -> bool:
        """Whether the caller interrupted the run under way; tasks are not interrupted."""
        return False

    async def finish(self, timeout: float) -> None:
        """Wait for the run under way, but not for its result; give it up after `timeout` seconds."""
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task}, timeout=timeout)
            if task.done():
                _ = task.cancelled() or task.exception()  # looked at, so that asyncio does not complain of it
            else:
                task.cancel()


class Flusher:
    """Runs work once, `delay` seconds after the first poke since it last ran."""

    def __init__(self, delay: float, work: Callable[[], Awaitable[None]]) -> None:
        """Take the delay in seconds and the work."""
        self._delay = delay
        self._work = work
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Future[None] | None = None

    def is_poked(self) -> bool:
        """Whether a run is planned already."""
        return self._timer is not None

    def poke(self) -> None:
        """Ask for a run."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._start)

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            await self._work()
        except Exception:  # noqa: BLE001 - nobody awaits this; what is lost by it is handed out again
            _log.exception("settling in the background failed; the deliveries will be handed out again")

    async def close(self, timeout: float = 30.0) -> None:
        """Drop a planned run, and wait for the one under way, at most `timeout` seconds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=max(timeout, 0.0))
            self._task.cancel()
