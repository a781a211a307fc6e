"""Brokers of this colour; written by hand, as its twin beside is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from rexchange import AsyncBroker
from tests.conformance.async_.support import Connect


@pytest.fixture
async def connect(url: str, vhost: str) -> AsyncIterator[Connect]:
    """Yield a function that makes one more broker on the test's vhost; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> AsyncBroker:
            return await stack.enter_async_context(AsyncBroker(url, vhost=vhost, **options))

        yield make


@pytest.fixture
async def broker(connect: Connect) -> AsyncBroker:
    """Return a broker on the test's vhost."""
    return await connect()
