"""The pytest plugin, loaded by its entry point wherever rexchange is installed.

==========================  ==========================================================================================
``rexchange_url``           the URL of a fake server of this test alone, for code that makes its own Broker
``rexchange_broker``        a Broker on that server
``rexchange_async_broker``  an AsyncBroker on that server; run by pytest-asyncio where it is installed, else by
                            whatever runs the project's async fixtures (anyio's plugin, say)
==========================  ==========================================================================================

The three share one server in a test, so what one publishes another consumes; it is gone after the test.
"""

# pytest imports this at every start, in projects that never use it too: what costs time is imported in the fixtures.

from __future__ import annotations

import secrets
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from rexchange import AsyncBroker, Broker

# In its strict mode pytest-asyncio runs only fixtures that are marked as its own.
_async_fixture: Callable[[Callable[..., object]], object] = (
    pytest.fixture if find_spec("pytest_asyncio") is None else import_module("pytest_asyncio").fixture
)


@pytest.fixture
def rexchange_url() -> Generator[str]:
    """Yield the URL of a fake server (memory://...) that is this test's alone."""
    from rexchange.testing.brokers import forget  # noqa: PLC0415 - pytest loads this module for everybody

    name = f"test-{secrets.token_hex(8)}"
    yield f"memory://{name}"
    forget(name)


@pytest.fixture
def rexchange_broker(rexchange_url: str) -> Generator[Broker]:
    """Yield a Broker on this test's fake server."""
    from rexchange import Broker  # noqa: PLC0415 - the same

    with Broker(rexchange_url) as broker:
        yield broker


@_async_fixture
async def rexchange_async_broker(rexchange_url: str) -> AsyncGenerator[AsyncBroker]:
    """Yield an AsyncBroker on this test's fake server."""
    from rexchange import AsyncBroker  # noqa: PLC0415 - the same

    async with AsyncBroker(rexchange_url) as broker:
        yield broker
