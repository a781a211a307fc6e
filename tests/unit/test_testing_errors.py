"""rexchange.testing.messages: it opens what is not open yet, and raises the library's errors only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rexchange import AsyncBroker, Broker, Exchange
from rexchange.errors import BrokerConnectionError, InvalidArgument, NotFound
from rexchange.testing import async_messages, messages
from tests.support.faults import Faults

NOBODY = "redis://127.0.0.1:1"


async def test_a_server_that_is_away_is_a_typed_error() -> None:
    for_a_moment = timedelta(milliseconds=100)
    with pytest.raises(BrokerConnectionError):
        messages(Broker(NOBODY, retry_timeout=for_a_moment), "q")
    with pytest.raises(BrokerConnectionError):
        await async_messages(AsyncBroker(NOBODY, retry_timeout=for_a_moment), "q")


async def test_an_embedded_broker_is_opened(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/data"
    broker = Broker(url)
    with pytest.raises(NotFound):
        messages(broker, "q")
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")
    other = AsyncBroker(url)
    assert [message.body for message in await async_messages(other, "q")] == [b"1"]
    await other.aclose()
    broker.close()


def test_a_connection_that_is_lost_meanwhile_is_made_again(url: str, vhost: str) -> None:
    with Broker(url, vhost=vhost) as broker:
        broker.declare_queue("q")
        rule = Faults(broker).cut("XRANGE")
        assert messages(broker, "q") == []
        assert rule.done == 1
        broker.delete_queue("q")


def test_an_exchange_is_no_queue(url: str, vhost: str) -> None:
    wrong: Any = Exchange("q", "direct")
    with Broker(url, vhost=vhost) as broker:
        broker.declare_queue("q")
        with pytest.raises(InvalidArgument):
            messages(broker, wrong)
        broker.delete_queue("q")
