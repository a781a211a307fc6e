"""`timeout` of get and publish holds also where the server is away, silent, or others wait for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from rexchange import AsyncBroker
from rexchange.errors import BrokerConnectionError
from rexchange.testing import async_wait_until
from tests.conformance.async_.support import Background, Connect
from tests.support.faults import Faults

NOBODY = "redis://127.0.0.1:1"
alone = pytest.mark.parametrize("url", ["memory://nothing"])
"""A test that uses no server of the fixtures runs once."""
OPERATIONS: dict[str, Callable[[AsyncBroker], Any]] = {
    "get": lambda broker: broker.get("q", timeout=0.3),
    "publish": lambda broker: broker.publish(b"", routing_key="q", timeout=0.3),
}


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the URL of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"


@alone
@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_time_is_up_where_connections_are_refused(name: str) -> None:
    broker = AsyncBroker(NOBODY)
    start = time.monotonic()
    with pytest.raises(BrokerConnectionError) as caught:
        await OPERATIONS[name](broker)
    assert time.monotonic() - start < 2
    assert caught.value.outcome == "not_done"
    await broker.aclose()


@alone
@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_time_is_up_where_the_server_is_silent(silent: str, name: str) -> None:
    broker = AsyncBroker(silent)  # its socket_timeout is 5 s
    start = time.monotonic()
    with pytest.raises(BrokerConnectionError):
        await OPERATIONS[name](broker)
    assert time.monotonic() - start < 2
    await broker.aclose()


@alone
@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_time_is_up_while_another_operation_waits_for_the_server(name: str) -> None:
    broker = AsyncBroker(NOBODY, retry_timeout=timedelta(seconds=4))
    patient = Background(lambda: broker.get("q"))
    await async_wait_until(broker._link._opening.locked)
    start = time.monotonic()
    with pytest.raises(BrokerConnectionError):
        await OPERATIONS[name](broker)
    assert time.monotonic() - start < 2
    assert not patient.done
    await broker.aclose()
    with pytest.raises(BrokerConnectionError):
        await patient.result()


async def test_a_retry_timeout_of_0_is_one_try_that_takes_what_an_answer_may(connect: Connect) -> None:
    broker = await connect(retry_timeout=0)
    await broker.declare_queue("q")
    assert await broker.publish(b"1", routing_key="q", timeout=0) == 1
    delivery = await broker.get("q", timeout=0)
    assert delivery is not None
    connection: Any = broker._publisher._wire._connection
    assert connection.socket_timeout == 5


async def test_a_short_time_for_one_operation_is_not_that_of_the_next(connect: Connect) -> None:
    broker = await connect()
    connection: Any = broker._publisher._wire._connection

    await broker.publish(b"", routing_key="q", timeout=0.5)
    assert connection.socket_timeout <= 0.5
    await broker.publish(b"", routing_key="q")
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (5, 5)


async def test_no_step_of_a_get_takes_longer_than_its_time(connect: Connect) -> None:
    broker = await connect()
    await broker.declare_queue("q")
    assert await broker.get("q") is None  # the rest is done already
    connection: Any = broker._link.commands._connection
    assert connection.socket_timeout == 5

    assert await broker.get("q", timeout=0.5) is None

    assert connection.socket_timeout <= 0.5


async def test_what_a_get_could_not_acknowledge_in_time_is_gotten_by_the_next(broker: AsyncBroker) -> None:
    """Its late ack would have been sent with the next call, and nobody would ever have seen the message."""
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")
    rule = Faults(broker).answer("settle", RedisConnectionError("gone"))

    with pytest.raises(BrokerConnectionError) as caught:
        await broker.get("q", timeout=0)

    assert (rule.done, caught.value.outcome) == (1, "unknown")
    delivery = await broker.get("q")
    assert delivery is not None
    assert delivery.body == b"1"
    assert await broker.get("q") is None
