"""Work beside the test: a thread here, a task in the async twin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeAlias, TypeVar

import pytest

from rexchange import Broker, Consumer
from tests.support.faults import Faults

T = TypeVar("T")
Connect: TypeAlias = Callable[..., Broker]
"""The fixture `connect`: makes one more broker on the test's vhost; takes Broker's options."""


INTERRUPTION: type[BaseException] = KeyboardInterrupt
"""What is raised in a caller that is torn from its work."""


class Background(Generic[T]):
    """Work that has been started."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._future: Future[T] = Future()
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - the test raises it in `result`
            self._future.set_exception(error)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def result(self, timeout: float = 10.0) -> T:
        """Wait for its end, and return or raise what it did."""
        self._thread.join(timeout)
        return self._future.result(0)


def is_waiting(consumer: Consumer) -> bool:
    """Whether its read is under way; on a server that cannot block there is nothing to see, and nothing to wait for."""
    facts = consumer._link.facts
    return consumer._intake._reader._blocked or (facts is not None and not facts.blocking)


def interrupted(faults: Faults, match: str, work: Callable[[], object]) -> None:
    """Run work into which Ctrl-C comes when the server has done what holds `match`, before the reply is read."""
    rule = faults.during(match, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert rule.done == 1


def _interrupt() -> None:
    raise KeyboardInterrupt
