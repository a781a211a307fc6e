# Generated from tests/conformance/async_/test_get.py by `python tools/unasync.py`. Do not edit.
"""`get`: one message at a time, without a consumer (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

import pytest

from rexchange import Broker, Message
from rexchange.errors import AlreadySettled, NotFound, UnknownDeliveryTag
from rexchange.protocol.consume import take
from rexchange.protocol.settle import Verdict
from rexchange.testing import drain
from tests.conformance.sync_.support import Connect


def fill(broker: Broker, count: int) -> None:
    """Declare a queue of so many messages."""
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(count)])


def counts(broker: Broker) -> tuple[int, int]:
    """Return how many are ready and unacked."""
    (info,) = broker.queues()
    return info.ready, info.unacked


def test_get_takes_the_oldest_message(broker: Broker) -> None:
    fill(broker, 2)

    for body in (b"0", b"1"):
        delivery = broker.get("q")
        assert delivery is not None
        assert (delivery.body, delivery.queue, delivery.redelivered) == (body, "q", False)

    assert broker.get("q") is None


def test_an_auto_acked_message_is_gone_at_once(broker: Broker) -> None:
    fill(broker, 1)

    assert broker.get("q") is not None

    assert counts(broker) == (0, 0)


def test_without_auto_ack_it_stays_unacked_until_it_is_settled(broker: Broker) -> None:
    fill(broker, 2)

    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    assert counts(broker) == (1, 1)
    delivery.ack()

    assert counts(broker) == (1, 0)


def test_a_nacked_message_is_gotten_again_in_its_place(broker: Broker) -> None:
    fill(broker, 3)
    one = broker.get("q", auto_ack=False)
    two = broker.get("q", auto_ack=False)
    assert one is not None
    assert two is not None

    two.nack()
    one.nack()

    assert [delivery.body for delivery in drain(broker, "q")] == [b"0", b"1", b"2"]


def test_a_rejected_message_is_dropped(broker: Broker) -> None:
    fill(broker, 1)
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    delivery.reject()

    assert counts(broker) == (0, 0)


def test_multiple_settles_all_gotten_from_this_queue(broker: Broker) -> None:
    fill(broker, 3)
    deliveries = [broker.get("q", auto_ack=False) for _ in range(3)]
    assert deliveries[1] is not None

    deliveries[1].ack(multiple=True)

    assert counts(broker) == (0, 1)


def test_settling_twice_is_an_error(broker: Broker) -> None:
    fill(broker, 1)
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    delivery.ack()

    with pytest.raises(AlreadySettled):
        delivery.ack()


def test_acking_an_auto_acked_message_says_what_to_pass(broker: Broker) -> None:
    fill(broker, 1)
    delivery = broker.get("q")
    assert delivery is not None

    with pytest.raises(AlreadySettled, match="auto_ack=False"):
        delivery.ack()


def test_getting_from_a_missing_queue_is_not_found(broker: Broker) -> None:
    with pytest.raises(NotFound) as caught:
        broker.get("missing")

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")


def test_get_goes_on_with_a_queue_that_was_deleted_and_declared_again(broker: Broker) -> None:
    fill(broker, 1)
    assert broker.get("q", auto_ack=False) is not None
    broker.delete_queue("q")
    with pytest.raises(NotFound):
        broker.get("q")
    fill(broker, 1)

    assert broker.get("q") is not None


def test_an_ack_for_a_deleted_queue_does_not_touch_the_new_one(broker: Broker, connect: Connect) -> None:
    fill(broker, 1)
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    other = connect()
    other.delete_queue("q")
    fill(other, 1)

    delivery.ack()

    assert counts(broker) == (1, 0)


def test_get_is_no_consumer(broker: Broker) -> None:
    fill(broker, 1)
    assert broker.get("q", auto_ack=False) is not None

    assert broker.consumers() == []
    assert (broker.queues())[0].consumers == 0
    broker.delete_queue("q", if_unused=True)


def test_what_was_gotten_and_not_settled_goes_back_when_the_broker_closes(broker: Broker, connect: Connect) -> None:
    fill(broker, 2)
    other = connect()
    assert other.get("q", auto_ack=False) is not None

    other.close()

    again = broker.get("q")
    assert again is not None
    assert (again.body, again.redelivered, again.delivery_count) == (b"0", True, 2)


def test_tags_of_get_are_not_tags_of_a_consumer(broker: Broker) -> None:
    fill(broker, 1)
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    with broker.consume("q", auto_ack=False) as consumer:
        with pytest.raises(UnknownDeliveryTag):
            consumer.ack(delivery.delivery_tag)

    delivery.ack()


def test_extend_keeps_a_gotten_message(broker: Broker) -> None:
    fill(broker, 1)
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    delivery.extend()

    delivery.ack()
    assert counts(broker) == (0, 0)


def test_settling_after_the_queue_is_deleted_is_harmless(broker: Broker) -> None:
    fill(broker, 2)
    first, second = broker.get("q", auto_ack=False), broker.get("q", auto_ack=False)
    assert first is not None
    assert second is not None

    broker.delete_queue("q")

    first.nack()
    second.ack()


def test_deleting_a_queue_leaves_nothing_of_its_gets(broker: Broker) -> None:
    fill(broker, 1)
    broker.get("q")
    assert (broker.status()).consumers == 1

    broker.delete_queue("q")

    assert (broker.status()).consumers == 0


@pytest.mark.slow
@pytest.mark.timeout(120)  # fakeredis acks in a time that grows with what is unacked
@pytest.mark.parametrize("verdict", ["ack", "requeue"])
def test_multiple_settles_more_than_lua_unpacks_at_once(broker: Broker, verdict: Verdict) -> None:
    count = 8500
    broker.declare_queue("q")
    for first in range(0, count, 500):
        broker.publish_many([Message(b"", routing_key="q")] * min(500, count - first))
    assert broker.get("q", auto_ack=False) is not None
    getter = broker._getters["q"]
    holder = getter._holder
    entries = broker._link.run(take(holder.name, count, ["q"], holder.incarnations))
    last = holder.add(entries)[-1]

    getter.settle(last, verdict, multiple=True, wait=True)

    assert counts(broker) == ((0, 0) if verdict == "ack" else (count, 0))
