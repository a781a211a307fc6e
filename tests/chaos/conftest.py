"""Servers, proxies and brokers for the chaos tests; every test here bears the marker `chaos`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis

from rexchange import AsyncBroker, Broker
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KINDS, Server, running

HERE = Path(__file__).parent
_numbers = count(1)

#: Short times, so that a test sees in a second what takes minutes at the defaults.
SHORT: dict[str, Any] = {
    "heartbeat": timedelta(seconds=0.3),
    "session_timeout": timedelta(seconds=1.5),
    "block": timedelta(seconds=1),
    "socket_timeout": timedelta(seconds=2),
    "retry_timeout": timedelta(seconds=10),
}
SHORT_S = {name: value.total_seconds() for name, value in SHORT.items()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that no test kills, without AOF; tests use vhosts of their own."""
    with running(request.param, aof=False) as made:
        yield made


@pytest.fixture
def vhost() -> str:
    return f"chaos-{next(_numbers)}"


@pytest.fixture
def outside(server: Server) -> Iterator[redis.Redis]:
    """A plain client, to see what Redis holds."""
    with server.client() as client:
        yield client


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as made:
        yield made


Make = Callable[..., Broker]
AsyncMake = Callable[..., Awaitable[AsyncBroker]]


@pytest.fixture
def make(server: Server, proxy: Proxy, vhost: str) -> Iterator[Make]:  # noqa: ARG001 - the proxy must outlive them
    """Make Brokers with short times; all are closed in the end."""
    made: list[Broker] = []

    def broker(url: str | None = None, **options: Any) -> Broker:
        made.append(Broker(url or server.url, vhost=options.pop("vhost", vhost), **{**SHORT, **options}))
        return made[-1]

    yield broker
    for each in made:
        each.close()


@pytest.fixture
async def amake(server: Server, proxy: Proxy, vhost: str) -> AsyncIterator[AsyncMake]:  # noqa: ARG001 - as above
    """Make AsyncBrokers with short times; all are closed in the end."""
    made: list[AsyncBroker] = []

    async def broker(url: str | None = None, **options: Any) -> AsyncBroker:
        made.append(AsyncBroker(url or server.url, vhost=options.pop("vhost", vhost), **{**SHORT, **options}))
        return made[-1]

    yield broker
    for each in made:
        await each.aclose()
