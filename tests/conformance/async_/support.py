"""Work beside the test: a task here, a thread in the sync twin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

import pytest

from rexchange import AsyncBroker, AsyncConsumer
from tests.support.faults import Faults

T = TypeVar("T")
Connect: TypeAlias = Callable[..., Awaitable[AsyncBroker]]
"""The fixture `connect`: makes one more broker on the test's vhost; takes Broker's options."""


INTERRUPTION: type[BaseException] = asyncio.CancelledError
"""What is raised in a caller that is torn from its work."""


class Background(Generic[T]):
    """Work that has been started."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._task = asyncio.ensure_future(work())

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def result(self, timeout: float = 10.0) -> T:
        """Wait for its end, and return or raise what it did."""
        return await asyncio.wait_for(self._task, timeout)


def is_waiting(consumer: AsyncConsumer) -> bool:
    """Whether its read is under way; on a server that cannot block there is nothing to see, and nothing to wait for."""
    facts = consumer._link.facts
    return consumer._intake._reader._blocked or (facts is not None and not facts.blocking)


async def interrupted(faults: Faults, match: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run work whose caller is cancelled when the server has done what holds `match`, before the reply is read."""
    task = asyncio.ensure_future(work())
    rule = faults.during(match, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rule.done == 1
