"""Work beside the test: a task here, a thread in the sync twin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from rexchange import AsyncBroker, AsyncConsumer

T = TypeVar("T")
Connect: TypeAlias = Callable[..., Awaitable[AsyncBroker]]
"""The fixture `connect`: makes one more broker on the test's vhost; takes Broker's options."""


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
