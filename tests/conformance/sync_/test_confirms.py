# Generated from tests/conformance/async_/test_confirms.py by `python tools/unasync.py`. Do not edit.
"""What a publish waits for before it returns (docs/confirms.md); tests/chaos/test_confirms.py has servers to lose."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Message
from rexchange.errors import InvalidArgument, Unconfirmed
from rexchange.testing import messages
from tests.conformance.sync_.support import Connect


def bodies(broker: Broker) -> list[bytes]:
    return [message.body for message in messages(broker, "q")]


def has_replicas_to_miss(broker: Broker) -> bool:
    """memory:// has nothing beyond its memory, so there every level is that of memory."""
    facts = broker._link.facts
    return facts is not None and facts.kind != "fakeredis"


def test_memory_is_confirmed_whatever_the_broker_s_setting(connect: Connect) -> None:
    broker = connect(confirm="replicated:3", confirm_timeout=0.05)
    broker.declare_queue("q")
    assert broker.publish(b"1", routing_key="q", confirm="memory") == 1
    assert bodies(broker) == [b"1"]


def test_what_replicas_do_not_get_in_time_is_published_once_and_said_not_to_be_confirmed(
    connect: Connect,
) -> None:
    broker = connect(confirm="replicated", confirm_timeout=timedelta(milliseconds=50))
    broker.declare_queue("q")
    if not has_replicas_to_miss(broker):
        assert broker.publish(b"1", routing_key="q") == 1
        assert broker.publish(b"2", routing_key="q", confirm="synced") == 1
        return
    with pytest.raises(Unconfirmed, match="0 of the 1 replicas wanted had it within 50 ms") as caught:
        broker.publish(b"1", routing_key="q")
    assert caught.value.counts == [1]
    with pytest.raises(Unconfirmed) as caught:
        broker.publish_many([Message(b"2", routing_key="q"), Message(b"3", routing_key="nobody")])
    assert caught.value.counts == [1, 0]
    with pytest.raises(Unconfirmed, match="of the 2 replicas"):
        broker.publish(b"4", routing_key="q", confirm="replicated:2")
    assert bodies(broker) == [b"1", b"2", b"4"]


def test_a_transaction_that_replicas_do_not_get_was_done(connect: Connect) -> None:
    broker = connect(confirm_timeout=timedelta(milliseconds=50))
    broker.declare_queue("q")
    transaction = broker.transaction(confirm="replicated")
    with pytest.raises(Unconfirmed) if has_replicas_to_miss(broker) else nullcontext() as caught:
        with transaction as tx:
            stored = tx.redis.incr(f"{broker.vhost}-count")
            tx.publish(b"1", routing_key="q")
    assert caught is None or caught.value.counts == [1]
    assert stored.value == 1
    assert bodies(broker) == [b"1"]


@pytest.mark.parametrize(
    "level",
    ["", "disk", "replicated:", "replicated:0", "replicated:-1", "replicated:1001", "Memory", 1, True],
    ids=repr,
)
def test_an_unknown_level_is_refused_before_anything_is_published(broker: Broker, connect: Connect, level: Any) -> None:
    broker.declare_queue("q")
    with pytest.raises(InvalidArgument, match="confirm"):
        broker.publish(b"1", routing_key="q", confirm=level)
    with pytest.raises(InvalidArgument, match="confirm"):
        broker.transaction(confirm=level)
    if isinstance(level, str) and level:
        with pytest.raises(InvalidArgument, match="confirm"):
            connect(confirm=level)
    assert bodies(broker) == []


def test_replicas_are_not_waited_for_longer_than_for_any_answer(connect: Connect) -> None:
    with pytest.raises(InvalidArgument, match="socket_timeout"):
        connect(confirm_timeout=5, socket_timeout=5)
