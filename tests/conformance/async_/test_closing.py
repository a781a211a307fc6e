"""Closing where the server is away: about a second for all that a Broker has, and the reaper does the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from rexchange import AsyncBroker, AsyncConsumer, Message
from rexchange.testing import async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect, is_waiting
from tests.support.faults import Faults, reap

COUNT = 10


@pytest.fixture
async def doomed(url: str, vhost: str) -> AsyncIterator[AsyncBroker]:
    """Yield a broker with a queue of some messages; its session is reaped in the end."""
    broker = AsyncBroker(url, vhost=vhost, retry_timeout=timedelta(seconds=20))
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(COUNT)])
    yield broker
    assert broker._link.closed


async def holding(broker: AsyncBroker) -> AsyncConsumer:
    """Return a consumer that holds and acknowledges a message, and has read more."""
    consumer = broker.consume("q", auto_ack=False, prefetch=3)
    delivery = await consumer.next()
    assert delivery is not None
    await delivery.ack()
    return consumer


async def test_a_server_that_is_away_does_not_keep_a_broker_from_closing(
    doomed: AsyncBroker, connect: Connect, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    faults = Faults(doomed)
    for _ in range(2):
        await holding(doomed)
    faults.away = True
    await async_wait_until(lambda: doomed.counters.retries > 1)  # the acks, in the background
    session = doomed._session.id

    start = time.monotonic()
    await doomed.aclose()

    assert time.monotonic() - start < 4
    assert "could not give back its deliveries now" in caplog.text
    doomed._session.id = session
    reap(url, doomed)
    assert len(await async_messages(await connect(), "q")) > COUNT - 3


async def test_nor_does_a_read_that_is_under_way(
    doomed: AsyncBroker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rexchange._async.trying.CLOSE_S", 0.3)
    monkeypatch.setattr("rexchange._async.consumer.CLOSE_S", 0.3)
    faults = Faults(doomed)
    consumer = doomed.consume("q", prefetch=COUNT)
    for _ in range(COUNT):
        await consumer.next()
    reading = Background(consumer.next)
    await async_wait_until(lambda: is_waiting(consumer))
    faults.away = True
    session = doomed._session.id

    start = time.monotonic()
    await doomed.aclose()

    assert time.monotonic() - start < 4
    doomed._session.id = session
    reap(url, doomed)
    await async_wait_until(lambda: reading.done)


async def test_a_consumer_gives_up_after_one_retry_timeout_and_not_after_several(connect: Connect) -> None:
    broker = await connect(retry_timeout=timedelta(seconds=0.8))
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")
    await broker.publish(b"2", routing_key="q")
    consumer = await holding(broker)
    faults = Faults(broker)
    faults.away = True

    start = time.monotonic()
    await consumer.aclose()

    assert time.monotonic() - start < 1.6
    faults.away = False
    await broker.declare_queue("q")


async def test_a_server_that_answers_is_given_all_the_time_it_needs(
    doomed: AsyncBroker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rexchange._async.trying.CLOSE_S", 0.2)
    faults = Faults(doomed)
    for _ in range(3):
        await holding(doomed)
    faults.during("cancel", lambda: time.sleep(0.15), times=2)
    busy = faults.answer("cancel", "BUSY Redis is busy running a script.")

    await doomed.aclose()

    assert busy.done == 1
    assert len(await async_messages(await connect(), "q")) == COUNT - 3


async def test_a_heartbeat_that_is_stuck_does_not_keep_it_either(
    doomed: AsyncBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rexchange._async.session.CLOSE_S", 0.2)
    await holding(doomed)
    heart, over = doomed._session._heart, threading.Event()
    assert heart is not None
    heart.thread = threading.Thread(target=over.wait, args=(20,), daemon=True)  # as if it was connecting
    heart.thread.start()

    start = time.monotonic()
    await doomed.aclose()

    assert time.monotonic() - start < 2
    over.set()
