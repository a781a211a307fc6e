"""Waiting for what happens elsewhere: in another thread, task or process."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

T = TypeVar("T")

TIMEOUT_S = 5.0
INTERVAL_S = 0.01


def wait_until(
    predicate: Callable[[], T], timeout: float = TIMEOUT_S, interval: float = INTERVAL_S, message: str = ""
) -> T:
    """Call `predicate` every `interval` seconds until it returns something true, and return that.

    Raises AssertionError after `timeout` seconds; it shows `message` and what the predicate returned last. What the
    predicate raises goes through.
    """
    limit = time.monotonic() + timeout
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() >= limit:
            raise _late(timeout, message, predicate, result)
        time.sleep(interval)


@overload
async def async_wait_until(
    predicate: Callable[[], Awaitable[T]], timeout: float = ..., interval: float = ..., message: str = ...
) -> T: ...
@overload
async def async_wait_until(
    predicate: Callable[[], T], timeout: float = ..., interval: float = ..., message: str = ...
) -> T: ...
async def async_wait_until(
    predicate: Callable[[], T | Awaitable[T]],
    timeout: float = TIMEOUT_S,
    interval: float = INTERVAL_S,
    message: str = "",
) -> T:
    """Do the same in asyncio; `predicate` may be a coroutine function."""
    limit = time.monotonic() + timeout
    while True:
        answer = predicate()
        result = cast("T", await answer if inspect.isawaitable(answer) else answer)
        if result:
            return result
        if time.monotonic() >= limit:
            raise _late(timeout, message, predicate, result)
        await asyncio.sleep(interval)


def _late(timeout: float, message: str, predicate: object, result: object) -> AssertionError:
    what = message or getattr(predicate, "__qualname__", repr(predicate))
    return AssertionError(f"not within {timeout:g} s: {what} (last seen: {result!r})")
