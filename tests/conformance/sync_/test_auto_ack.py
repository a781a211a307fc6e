# Generated from tests/conformance/async_/test_auto_ack.py by `python tools/unasync.py`. Do not edit.
"""auto_ack: acknowledged as it is read, but what nobody was shown is not lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from rexchange import Broker, Message
from rexchange._sync.wire import ConnectionLost
from rexchange.errors import AlreadySettled
from rexchange.protocol.call import Arg, Reply
from rexchange.testing import messages
from tests.conformance.sync_.support import Connect


def fill(broker: Broker, *names: str) -> None:
    """Declare queues of six messages each."""
    for name in names:
        broker.declare_queue(name)
        broker.publish_many([Message(b"%d" % number, routing_key=name, type="t") for number in range(6)])


def test_what_was_read_is_acknowledged_already(broker: Broker) -> None:
    fill(broker, "q")

    with broker.consume("q", prefetch=4) as consumer:
        next(consumer)
        (info,) = broker.queues()

    assert (info.ready, info.unacked) == (2, 0)


def test_it_is_the_default(broker: Broker) -> None:
    fill(broker, "q")

    with broker.consume("q", timeout=0) as consumer:
        assert len([delivery for delivery in consumer]) == 6

    assert messages(broker, "q") == []


def test_leaving_the_loop_early_puts_back_what_was_not_shown(broker: Broker) -> None:
    fill(broker, "q")

    with broker.consume("q", prefetch=4) as consumer:
        for delivery in consumer:
            assert delivery.body == b"0"
            break

    left = messages(broker, "q")
    assert sorted(message.body for message in left) == [b"1", b"2", b"3", b"4", b"5"]
    assert {message.properties["type"] for message in left} == {"t"}


def test_cancel_puts_back_what_was_not_shown(broker: Broker) -> None:
    fill(broker, "one", "two")

    with broker.consume(["one", "two"], prefetch=8) as consumer:
        next(consumer)
        consumer.cancel()
        assert [delivery for delivery in consumer] == []

    assert sum([len(messages(broker, name)) for name in ("one", "two")]) == 11


def test_settling_says_what_to_pass_instead(broker: Broker) -> None:
    fill(broker, "q")

    with broker.consume("q") as consumer:
        delivery = next(consumer)

        for attempt in (delivery.ack, delivery.nack, delivery.reject, delivery.extend):
            with pytest.raises(AlreadySettled, match="auto_ack=False"):
                attempt()
        with pytest.raises(AlreadySettled, match="auto_ack=False"):
            consumer.ack(delivery.delivery_tag)


def test_what_was_read_is_shown_however_long_its_settle_takes(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = connect(retry_timeout=timedelta(milliseconds=100))
    fill(broker, "q")
    with broker.consume("q", timeout=1) as consumer:
        wire, until = broker._link.commands, time.monotonic() + 0.5
        roundtrip = wire.roundtrip

        def down(commands: Sequence[Sequence[Arg]], within: float) -> list[Reply]:
            if time.monotonic() < until:
                raise ConnectionLost(ConnectionError("down"), sent=False)
            return roundtrip(commands, within)

        monkeypatch.setattr(wire, "roundtrip", down)

        assert [delivery.body for delivery in consumer] == [b"%d" % n for n in range(6)]
