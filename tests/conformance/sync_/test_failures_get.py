# Generated from tests/conformance/async_/test_failures_get.py by `python tools/unasync.py`. Do not edit.
"""`get` when replies are lost, its caller is torn away, its queue changes: nothing sticks, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rexchange import Broker, Message
from rexchange._sync import io
from rexchange.errors import BrokerConnectionError, NotFound, PublishRefused
from rexchange.testing import messages, wait_until
from tests.conformance.sync_.support import INTERRUPTION, Connect, interrupted
from tests.support.faults import Faults, reap

SHORT = timedelta(milliseconds=100)


def fill(broker: Broker, count: int) -> Faults:
    """Declare a queue of so many messages."""
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(count)])
    return Faults(broker)


def bodies(broker: Broker) -> list[bytes]:
    """Return what is ready, in order."""
    return [message.body for message in messages(broker, "q")]


def gotten(broker: Broker, *, auto_ack: bool = True) -> tuple[bytes, bool]:
    """Get one message and settle it."""
    delivery = broker.get("q", auto_ack=auto_ack)
    assert delivery is not None
    if not auto_ack:
        delivery.ack()
    return delivery.body, delivery.redelivered


@pytest.mark.parametrize("auto_ack", [True, False])
def test_what_a_lost_reply_brought_is_gotten_again_as_never_seen(broker: Broker, auto_ack: bool) -> None:
    faults = fill(broker, 2)

    rule = faults.cut("take")

    assert gotten(broker, auto_ack=auto_ack) == (b"0", False)
    assert gotten(broker, auto_ack=auto_ack) == (b"1", False)
    assert rule.done == 1


def test_the_next_get_brings_what_the_one_that_was_given_up_has_taken(broker: Broker) -> None:
    faults = fill(broker, 1)
    faults.cut("take")

    with pytest.raises(BrokerConnectionError) as caught:
        broker.get("q", auto_ack=False, timeout=0)

    assert caught.value.outcome == "unknown"
    assert bodies(broker) == []
    assert gotten(broker, auto_ack=False) == (b"0", False)


def test_a_get_that_the_server_refuses_takes_nothing(broker: Broker) -> None:
    faults = fill(broker, 1)
    faults.answer("take", "OOM command not allowed when used memory > 'maxmemory'.")

    with pytest.raises(PublishRefused):
        broker.get("q")

    assert gotten(broker) == (b"0", False)


@pytest.mark.parametrize("error", ["NOSCRIPT No matching script.", "BUSY Redis is busy running a script."])
def test_a_get_that_is_refused_for_now_is_sent_again(broker: Broker, error: str) -> None:
    faults = fill(broker, 1)
    rule = faults.answer("take", error, times=2)

    assert gotten(broker) == (b"0", False)
    assert rule.done == 2


def test_an_auto_ack_that_comes_too_late_gets_the_message_anew(broker: Broker, connect: Connect, url: str) -> None:
    slow = connect(ack_timeout=SHORT)
    faults = fill(slow, 1)

    def dawdle() -> None:
        with Broker(url, vhost=broker.vhost) as other:

            def given_back() -> int:
                other.reap()
                return other.queues()[0].ready

            wait_until(given_back)

    rule = faults.during("take", dawdle)

    assert gotten(slow) == (b"0", True)
    assert rule.done == 1
    assert slow.counters.stale == 1
    assert broker.get("q") is None


@pytest.fixture
def anew(url: str, vhost: str) -> Callable[[], None]:
    """Return what deletes the queue and declares it again, as another process would."""

    def delete_and_declare() -> None:
        with Broker(url, vhost=vhost) as other:
            other.delete_queue("q")
            other.declare_queue("q")
            other.publish(b"new", routing_key="q")

    return delete_and_declare


def test_get_goes_on_with_a_queue_that_others_replaced(broker: Broker, anew: Callable[[], None]) -> None:
    fill(broker, 2)
    assert gotten(broker) == (b"0", False)
    anew()

    assert gotten(broker) == (b"new", False)


def test_get_gives_up_a_queue_that_is_replaced_again_and_again(broker: Broker, anew: Callable[[], None]) -> None:
    faults = fill(broker, 1)
    faults.during("consume", anew, times=2)

    with pytest.raises(NotFound):
        broker.get("q")

    assert gotten(broker) == (b"new", False)


def test_get_goes_on_when_its_session_was_reaped(broker: Broker, url: str) -> None:
    fill(broker, 2)
    held = broker.get("q", auto_ack=False)
    assert held is not None
    session = broker._session.id
    reap(url, broker)

    again = broker.get("q")

    assert again is not None
    assert (again.body, again.redelivered) == (b"0", True)
    assert broker._session.id != session


@pytest.mark.parametrize("auto_ack", [True, False])
@pytest.mark.parametrize("match", ["consume", "take", "settle"])
def test_what_was_taken_for_a_caller_that_went_comes_again(broker: Broker, match: str, auto_ack: bool) -> None:
    faults = fill(broker, 1)

    def get() -> None:
        gotten(broker, auto_ack=auto_ack)

    interrupted(faults, match, get)

    if match == "settle" and not auto_ack:
        assert broker.get("q") is None  # it was shown, and its ack was on its way
    else:
        assert gotten(broker, auto_ack=auto_ack) == (b"0", False)
        assert broker.get("q") is None


class Torn:
    """In place of `io.shielded`: the first work is done to its end, and then its caller is torn away."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, work: Callable[[], object]) -> object:
        result = work()
        if not self.done:
            self.done = True
            raise INTERRUPTION
        return result


@pytest.mark.parametrize("auto_ack", [True, False])
def test_what_a_caller_that_went_at_the_last_moment_had_comes_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, auto_ack: bool
) -> None:
    fill(broker, 1)
    monkeypatch.setattr(io, "shielded", Torn())

    with pytest.raises(INTERRUPTION):
        broker.get("q", auto_ack=auto_ack)

    assert gotten(broker, auto_ack=auto_ack) == (b"0", False)
    assert broker.get("q") is None


@pytest.mark.parametrize(("auto_ack", "match"), [(True, "restore"), (False, "consume")])
def test_an_interruption_stays_one_when_the_server_is_away_too(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, auto_ack: bool, match: str
) -> None:
    broker = connect(retry_timeout=timedelta(0))
    faults = fill(broker, 1)
    assert broker.get("q", auto_ack=auto_ack) is not None
    fill(broker, 1)
    rule = faults.cut(match)
    monkeypatch.setattr(io, "shielded", Torn())

    with pytest.raises(INTERRUPTION):
        broker.get("q", auto_ack=auto_ack)

    assert rule.done == 1
    assert "could not give back" in caplog.text
    assert gotten(broker, auto_ack=auto_ack) == (b"0", False)
