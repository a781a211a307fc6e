# Generated from tests/conformance/async_/test_deadlines.py by `python tools/unasync.py`. Do not edit.
"""`timeout` of get and publish holds also where the server is away, silent, or others wait for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from rexchange import Broker
from rexchange.errors import BrokerConnectionError
from rexchange.testing import wait_until
from tests.conformance.sync_.support import Background, Connect
from tests.support.faults import Faults

NOBODY = "redis://127.0.0.1:1"
alone = pytest.mark.parametrize("url", ["memory://nothing"])
"""A test that uses no server of the fixtures runs once."""
OPERATIONS: dict[str, Callable[[Broker], Any]] = {
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
def test_the_time_is_up_where_connections_are_refused(name: str) -> None:
    broker = Broker(NOBODY)
    start = time.monotonic()
    with pytest.raises(BrokerConnectionError) as caught:
        OPERATIONS[name](broker)
    assert time.monotonic() - start < 2
    assert caught.value.outcome == "not_done"
    broker.close()


@alone
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_time_is_up_where_the_server_is_silent(silent: str, name: str) -> None:
    broker = Broker(silent)  # its socket_timeout is 5 s
    start = time.monotonic()
    with pytest.raises(BrokerConnectionError):
        OPERATIONS[name](broker)
    assert time.monotonic() - start < 2
    broker.close()


@alone
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_time_is_up_while_another_operation_waits_for_the_server(name: str) -> None:
    broker = Broker(NOBODY, retry_timeout=timedelta(seconds=4))
    patient = Background(lambda: broker.get("q"))
    wait_until(broker._link._opening.locked)
    start = time.monotonic()
    with pytest.raises(BrokerConnectionError):
        OPERATIONS[name](broker)
    assert time.monotonic() - start < 2
    assert not patient.done
    broker.close()
    with pytest.raises(BrokerConnectionError):
        patient.result()


def test_a_retry_timeout_of_0_is_one_try_that_takes_what_an_answer_may(connect: Connect) -> None:
    broker = connect(retry_timeout=0)
    broker.declare_queue("q")
    assert broker.publish(b"1", routing_key="q", timeout=0) == 1
    delivery = broker.get("q", timeout=0)
    assert delivery is not None
    connection: Any = broker._publisher._wire._connection
    assert connection.socket_timeout == 5


def test_a_short_time_for_one_operation_is_not_that_of_the_next(connect: Connect) -> None:
    broker = connect()
    connection: Any = broker._publisher._wire._connection

    broker.publish(b"", routing_key="q", timeout=0.5)
    assert connection.socket_timeout <= 0.5
    broker.publish(b"", routing_key="q")
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (5, 5)


def test_no_step_of_a_get_takes_longer_than_its_time(connect: Connect) -> None:
    broker = connect()
    broker.declare_queue("q")
    assert broker.get("q") is None  # the rest is done already
    connection: Any = broker._link.commands._connection
    assert connection.socket_timeout == 5

    assert broker.get("q", timeout=0.5) is None

    assert connection.socket_timeout <= 0.5


def test_what_a_get_could_not_acknowledge_in_time_is_gotten_by_the_next(broker: Broker) -> None:
    """Its late ack would have been sent with the next call, and nobody would ever have seen the message."""
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")
    rule = Faults(broker).answer("settle", RedisConnectionError("gone"))

    with pytest.raises(BrokerConnectionError) as caught:
        broker.get("q", timeout=0)

    assert (rule.done, caught.value.outcome) == (1, "unknown")
    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.body == b"1"
    assert broker.get("q") is None
