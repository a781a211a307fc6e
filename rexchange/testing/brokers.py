"""Brokers on a fake server: fakeredis, in this process, with the same scripts as on a real one."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from rexchange._async.broker import AsyncBroker
from rexchange._sync.broker import Broker
from rexchange.server import endpoint


@contextmanager
def memory_broker(name: str | None = None, **options: Any) -> Generator[Broker]:  # noqa: ANN401 - Broker checks them
    """Yield a Broker on a fake server.

    Without a `name` the server is new, and its data go with it. Brokers with one name share one server, sync and
    async ones together, and so does ``Broker("memory://<name>")`` in the code under test; its data stay until
    `forget(name)` or the end of the process. `options` are those of Broker: vhost, hooks, settings, or single settings.
    Raises BrokerConnectionError where fakeredis is not installed.
    """
    server = name or f"fresh-{secrets.token_hex(8)}"
    try:
        with Broker(f"memory://{server}", **options) as broker:
            yield broker
    finally:
        if name is None:
            forget(server)


@asynccontextmanager
async def async_memory_broker(name: str | None = None, **options: Any) -> AsyncGenerator[AsyncBroker]:  # noqa: ANN401 - settings
    """Yield an AsyncBroker on a fake server: see `memory_broker`."""
    server = name or f"fresh-{secrets.token_hex(8)}"
    try:
        async with AsyncBroker(f"memory://{server}", **options) as broker:
            yield broker
    finally:
        if name is None:
            forget(server)


def forget(name: str) -> None:
    """Drop the fake server of this name and its data; brokers made from now on get a new one. None there: no error."""
    endpoint.forget_memory(name)
