"""What differs by nature between async and sync: waiting, background work, protection from cancelling.

The twin of `_async/io.py`, with threads for tasks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, Literal, Protocol, TypeVar

T = TypeVar("T")
COLOUR: Literal["sync"] = "sync"
Lock = threading.Lock
sleep = time.sleep
HAS_LOOPS = False
_log = logging.getLogger("rexchange.background")


class Owner(Protocol):
    """What can be left open at the end of the process."""

    def close(self) -> None:
        """Close."""
        ...


EXIT_S = 5.0
"""The end of a process is not kept waiting much longer."""


def loop() -> object:
    """Return what connections wait in: nothing, here."""
    return None


def end(owners: Iterable[Owner]) -> None:
    """Close what was left open at the end of the process: it holds acks that wait and messages that were read ahead."""
    until = time.monotonic() + EXIT_S
    for owner in owners:
        if time.monotonic() < until:
            try:
                owner.close()
            except Exception:  # noqa: BLE001 - the others are closed all the same
                _log.exception("%r could not be closed at the end of the process", owner)


def run_blocking(work: Callable[[], T]) -> T:
    """Run what blocks; here all does."""
    return work()


def shielded(work: Callable[[], T]) -> T:
    """Run work; nobody can cancel it here."""
    return work()


def acquire(lock: threading.Lock, seconds: float) -> bool:
    """Acquire a lock, unless it takes longer; whether it was acquired."""
    return lock.acquire(blocking=False) or lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))


class Signal:
    """A flag to wait for."""

    def __init__(self) -> None:
        """Start unset."""
        self._event = threading.Event()
        self.clear = self._event.clear
        self.is_set = self._event.is_set

    def set(self) -> None:
        """Set it; whoever does that often looks at `is_set` first."""
        self._event.set()

    def wait(self, timeout: float) -> bool:
        """Wait for at most `timeout` seconds; whether it is set."""
        return self._event.wait(timeout)


class Passenger:
    """Whose work is done by a `Convoy`."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        """It is not done yet."""
        self.done = False

    def arrived(self) -> None:
        """Tell whoever waits that it is done."""
        self.done = True


P = TypeVar("P", bound=Passenger)


class Convoy(Generic[P]):
    """Does the work of all who wait, in turns: whoever gets the lock works for all, and the others find theirs done."""

    def __init__(self, lock: threading.Lock, lead: Callable[[P | None], bool]) -> None:
        """Take the lock that is held during a turn, and what does one: for whom."""
        self._lock = lock
        self._lead = lead

    def join(self, passenger: P, seconds: float) -> bool:
        """Wait until its work is done, at most so many seconds; whether it was."""
        until = time.monotonic() + seconds
        while not passenger.done:
            if not acquire(self._lock, until - time.monotonic()):
                return passenger.done
            try:
                if not passenger.done and not self._lead(passenger) and not passenger.done:
                    return False  # the one who took it along was interrupted, and nobody will say what became of it
            finally:
                self._lock.release()
        return True


class Flight:
    """One run at a time: a second thread waits for the first and then runs its own."""

    def __init__(self) -> None:
        """Start with none under way."""
        self._lock = threading.Lock()
        self._owner = 0

    def run(self, work: Callable[[], None]) -> None:
        """Run, alone; raises what it raised."""
        with self._lock:
            self._owner = threading.get_ident()
            try:
                work()
            finally:
                self._owner = 0

    def mine(self) -> bool:
        """Whether the caller (a signal handler) interrupted the run under way in its own thread."""
        return self._owner == threading.get_ident()

    def finish(self, timeout: float) -> None:
        """Wait for the run under way in another thread, at most `timeout` seconds."""
        if self._lock.acquire(timeout=timeout):
            self._lock.release()


class Flusher:
    """Runs work once, `delay` seconds after the first poke since it last ran, in a thread of its own."""

    def __init__(self, delay: float, work: Callable[[], None]) -> None:
        """Take the delay in seconds and the work; the thread starts with the first poke."""
        self._delay = delay
        self._work = work
        self._wanted = threading.Event()
        #: Whether a run is planned already.
        self.is_poked = self._wanted.is_set
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()

    def poke(self) -> None:
        """Ask for a run."""
        if self._thread is None:
            self._start()
        self._wanted.set()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="rexchange-settle", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        # Asked anew each time: what `close` set may have been cleared here, and then nobody would set it again.
        while not self._closing.is_set():
            self._wanted.wait()
            if self._closing.wait(self._delay):
                return
            self._wanted.clear()
            try:
                self._work()
            except Exception:  # noqa: BLE001 - nobody waits for this; what is lost by it is handed out again
                _log.exception("settling in the background failed; the deliveries will be handed out again")

    def close(self, timeout: float = 30.0) -> None:
        """Drop a planned run, and wait for the one under way, at most `timeout` seconds."""
        self._closing.set()
        self._wanted.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(min(max(timeout, 0.0), threading.TIMEOUT_MAX))
