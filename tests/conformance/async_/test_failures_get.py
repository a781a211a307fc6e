"""`get` when replies are lost, its caller is torn away, its queue changes: nothing sticks, nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from rexchange import AsyncBroker, Broker, Message
from rexchange._async import io
from rexchange.errors import BrokerConnectionError, NotFound, PublishRefused
from rexchange.testing import async_messages, wait_until
from tests.conformance.async_.support import INTERRUPTION, Connect, interrupted
from tests.support.faults import Faults, reap

SHORT = timedelta(milliseconds=100)


async def fill(broker: AsyncBroker, count: int) -> Faults:
    """Declare a queue of so many messages."""
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(count)])
    return Faults(broker)


async def bodies(broker: AsyncBroker) -> list[bytes]:
    """Return what is ready, in order."""
    return [message.body for message in await async_messages(broker, "q")]


async def gotten(broker: AsyncBroker, *, auto_ack: bool = True) -> tuple[bytes, bool]:
    """Get one message and settle it."""
    delivery = await broker.get("q", auto_ack=auto_ack)
    assert delivery is not None
    if not auto_ack:
        await delivery.ack()
    return delivery.body, delivery.redelivered


@pytest.mark.parametrize("auto_ack", [True, False])
async def test_what_a_lost_reply_brought_is_gotten_again_as_never_seen(broker: AsyncBroker, auto_ack: bool) -> None:
    faults = await fill(broker, 2)

    rule = faults.cut("take")

    assert await gotten(broker, auto_ack=auto_ack) == (b"0", False)
    assert await gotten(broker, auto_ack=auto_ack) == (b"1", False)
    assert rule.done == 1


async def test_the_next_get_brings_what_the_one_that_was_given_up_has_taken(broker: AsyncBroker) -> None:
    faults = await fill(broker, 1)
    faults.cut("take")

    with pytest.raises(BrokerConnectionError) as caught:
        await broker.get("q", auto_ack=False, timeout=0)

    assert caught.value.outcome == "unknown"
    assert await bodies(broker) == []
    assert await gotten(broker, auto_ack=False) == (b"0", False)


async def test_a_get_that_the_server_refuses_takes_nothing(broker: AsyncBroker) -> None:
    faults = await fill(broker, 1)
    faults.answer("take", "OOM command not allowed when used memory > 'maxmemory'.")

    with pytest.raises(PublishRefused):
        await broker.get("q")

    assert await gotten(broker) == (b"0", False)


@pytest.mark.parametrize("error", ["NOSCRIPT No matching script.", "BUSY Redis is busy running a script."])
async def test_a_get_that_is_refused_for_now_is_sent_again(broker: AsyncBroker, error: str) -> None:
    faults = await fill(broker, 1)
    rule = faults.answer("take", error, times=2)

    assert await gotten(broker) == (b"0", False)
    assert rule.done == 2


async def test_an_auto_ack_that_comes_too_late_gets_the_message_anew(
    broker: AsyncBroker, connect: Connect, url: str
) -> None:
    slow = await connect(ack_timeout=SHORT)
    faults = await fill(slow, 1)

    def dawdle() -> None:
        with Broker(url, vhost=broker.vhost) as other:

            def given_back() -> int:
                other.reap()
                return other.queues()[0].ready

            wait_until(given_back)

    rule = faults.during("take", dawdle)

    assert await gotten(slow) == (b"0", True)
    assert rule.done == 1
    assert slow.counters.stale == 1
    assert await broker.get("q") is None


@pytest.fixture
def anew(url: str, vhost: str) -> Callable[[], None]:
    """Return what deletes the queue and declares it again, as another process would."""

    def delete_and_declare() -> None:
        with Broker(url, vhost=vhost) as other:
            other.delete_queue("q")
            other.declare_queue("q")
            other.publish(b"new", routing_key="q")

    return delete_and_declare


async def test_get_goes_on_with_a_queue_that_others_replaced(broker: AsyncBroker, anew: Callable[[], None]) -> None:
    await fill(broker, 2)
    assert await gotten(broker) == (b"0", False)
    anew()

    assert await gotten(broker) == (b"new", False)


async def test_get_gives_up_a_queue_that_is_replaced_again_and_again(
    broker: AsyncBroker, anew: Callable[[], None]
) -> None:
    faults = await fill(broker, 1)
    faults.during("consume", anew, times=2)

    with pytest.raises(NotFound):
        await broker.get("q")

    assert await gotten(broker) == (b"new", False)


async def test_get_goes_on_when_its_session_was_reaped(broker: AsyncBroker, url: str) -> None:
    await fill(broker, 2)
    held = await broker.get("q", auto_ack=False)
    assert held is not None
    session = broker._session.id
    reap(url, broker)

    again = await broker.get("q")

    assert again is not None
    assert (again.body, again.redelivered) == (b"0", True)
    assert broker._session.id != session


@pytest.mark.parametrize("auto_ack", [True, False])
@pytest.mark.parametrize("match", ["consume", "take", "settle"])
async def test_what_was_taken_for_a_caller_that_went_comes_again(
    broker: AsyncBroker, match: str, auto_ack: bool
) -> None:
    faults = await fill(broker, 1)

    async def get() -> None:
        await gotten(broker, auto_ack=auto_ack)

    await interrupted(faults, match, get)

    if match == "settle" and not auto_ack:
        assert await broker.get("q") is None  # it was shown, and its ack was on its way
    else:
        assert await gotten(broker, auto_ack=auto_ack) == (b"0", False)
        assert await broker.get("q") is None


class Torn:
    """In place of `io.shielded`: the first work is done to its end, and then its caller is torn away."""

    def __init__(self) -> None:
        self.done = False

    async def __call__(self, work: Callable[[], Awaitable[object]]) -> object:
        result = await work()
        if not self.done:
            self.done = True
            raise INTERRUPTION
        return result


@pytest.mark.parametrize("auto_ack", [True, False])
async def test_what_a_caller_that_went_at_the_last_moment_had_comes_again(
    broker: AsyncBroker, monkeypatch: pytest.MonkeyPatch, auto_ack: bool
) -> None:
    await fill(broker, 1)
    monkeypatch.setattr(io, "shielded", Torn())

    with pytest.raises(INTERRUPTION):
        await broker.get("q", auto_ack=auto_ack)

    assert await gotten(broker, auto_ack=auto_ack) == (b"0", False)
    assert await broker.get("q") is None


@pytest.mark.parametrize(("auto_ack", "match"), [(True, "restore"), (False, "consume")])
async def test_an_interruption_stays_one_when_the_server_is_away_too(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, auto_ack: bool, match: str
) -> None:
    broker = await connect(retry_timeout=timedelta(0))
    faults = await fill(broker, 1)
    assert await broker.get("q", auto_ack=auto_ack) is not None
    await fill(broker, 1)
    rule = faults.cut(match)
    monkeypatch.setattr(io, "shielded", Torn())

    with pytest.raises(INTERRUPTION):
        await broker.get("q", auto_ack=auto_ack)

    assert rule.done == 1
    assert "could not give back" in caplog.text
    assert await gotten(broker, auto_ack=auto_ack) == (b"0", False)
