# Generated from tests/conformance/async_/test_settle.py by `python tools/unasync.py`. Do not edit.
"""Ack, nack, reject: what becomes of a delivery (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import redis

from rexchange import Broker, Consumer, Delivery, Message
from rexchange._sync.wire import ConnectionLost
from rexchange.errors import AlreadySettled, UnknownDeliveryTag
from rexchange.protocol.call import Arg, Reply
from rexchange.testing import drain, wait_until


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    """Yield a consumer of a queue of five."""
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(1, 6)])
    with broker.consume("q", auto_ack=False, prefetch=3, timeout=0.05) as consumer:
        yield consumer


def take(consumer: Consumer, count: int) -> list[Delivery]:
    """Take deliveries."""
    return [next(consumer) for _ in range(count)]


def counts(broker: Broker) -> tuple[int, int]:
    """Return how many are ready and unacked."""
    (info,) = broker.queues()
    return info.ready, info.unacked


def test_an_acked_message_leaves_the_queue(broker: Broker, consumer: Consumer) -> None:
    (delivery,) = take(consumer, 1)

    delivery.ack(wait=True)

    consumer.close()
    assert [left.body for left in drain(broker, "q")] == [b"2", b"3", b"4", b"5"]


def test_an_ack_that_does_not_wait_arrives_by_itself(broker: Broker, consumer: Consumer) -> None:
    (delivery,) = take(consumer, 1)
    assert counts(broker) == (2, 3)

    delivery.ack()

    def settled() -> bool:
        return counts(broker) == (2, 2)

    wait_until(settled)


def test_a_rejected_message_is_dropped(broker: Broker, consumer: Consumer) -> None:
    (delivery,) = take(consumer, 1)

    delivery.reject(wait=True)

    consumer.close()
    assert [left.body for left in drain(broker, "q")] == [b"2", b"3", b"4", b"5"]


def test_a_nack_without_requeue_drops_the_message(broker: Broker, consumer: Consumer) -> None:
    (delivery,) = take(consumer, 1)

    delivery.nack(requeue=False, wait=True)

    consumer.close()
    assert [left.body for left in drain(broker, "q")] == [b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("order", [(3, 1, 2), (1, 2, 3), (2,)])
def test_nacked_messages_return_to_their_places(broker: Broker, consumer: Consumer, order: tuple[int, ...]) -> None:
    deliveries = take(consumer, 3)

    for number in order:
        deliveries[number - 1].nack(wait=True)

    left = [int(delivery.body) for delivery in drain(broker, "q")]
    assert left == [*sorted(order), 4, 5]


def test_a_reject_with_requeue_returns_it_too(broker: Broker, consumer: Consumer) -> None:
    (delivery,) = take(consumer, 1)

    delivery.reject(requeue=True, wait=True)

    again = broker.get("q")
    assert again is not None
    assert again.body == b"1"


def test_what_was_given_back_is_redelivered_and_counted(broker: Broker, consumer: Consumer) -> None:
    (delivery,) = take(consumer, 1)

    for count in range(2, 5):
        delivery.nack(wait=True)
        again = broker.get("q", auto_ack=False)
        assert again is not None
        assert (again.body, again.redelivered, again.delivery_count) == (b"1", True, count)
        delivery = again

    delivery.ack()


def test_a_nacked_message_comes_back_to_the_same_consumer(consumer: Consumer) -> None:
    first = take(consumer, 3)

    first[1].nack()

    again = next(consumer)
    assert (again.body, again.redelivered) == (b"2", True)
    assert again.delivery_tag > 3


def test_multiple_settles_all_up_to_the_tag(broker: Broker, consumer: Consumer) -> None:
    deliveries = take(consumer, 3)

    deliveries[1].ack(multiple=True, wait=True)

    assert counts(broker) == (2, 1)
    deliveries[2].ack(wait=True)
    with pytest.raises(AlreadySettled):
        deliveries[0].ack()


def test_multiple_nack_gives_back_all_up_to_the_tag(broker: Broker, consumer: Consumer) -> None:
    deliveries = take(consumer, 3)

    deliveries[1].nack(multiple=True, wait=True)

    assert [delivery.body for delivery in drain(broker, "q")] == [b"1", b"2", b"4", b"5"]


def test_tag_0_with_multiple_settles_all_that_was_handed_out(broker: Broker, consumer: Consumer) -> None:
    take(consumer, 2)  # the third was read and not handed out

    consumer.ack(0, multiple=True, wait=True)

    assert counts(broker) == (2, 1)
    assert (next(consumer)).body == b"3"


def test_tag_0_with_multiple_is_no_error_where_nothing_is_out(consumer: Consumer) -> None:
    consumer.ack(0, multiple=True, wait=True)
    consumer.nack(0, multiple=True)


@pytest.mark.parametrize("tag", [0, -1, 99])
def test_a_tag_that_was_never_given_out_is_unknown(broker: Broker, consumer: Consumer, tag: int) -> None:
    take(consumer, 2)

    for attempt in (consumer.ack, consumer.nack, consumer.reject):
        with pytest.raises(UnknownDeliveryTag) as caught:
            attempt(tag)
        assert caught.value.delivery_tag == tag

    assert (counts(broker))[1] == 3


def test_a_tag_that_was_read_and_not_handed_out_is_unknown(broker: Broker, consumer: Consumer) -> None:
    take(consumer, 1)  # 2 and 3 wait in the consumer

    with pytest.raises(UnknownDeliveryTag):
        consumer.ack(2)

    assert (counts(broker))[1] == 3


def test_settling_twice_is_an_error_and_does_nothing(broker: Broker, consumer: Consumer) -> None:
    one, two = take(consumer, 2)
    one.ack(wait=True)
    two.nack(wait=True)

    for delivery in (one, two):
        for attempt in (delivery.ack, delivery.nack, delivery.reject, delivery.extend):
            with pytest.raises(AlreadySettled) as caught:
                attempt()
            assert caught.value.delivery_tag == delivery.delivery_tag

    consumer.close()
    assert counts(broker) == (4, 0)


def test_callers_who_keep_tags_settle_by_the_consumer(broker: Broker, consumer: Consumer) -> None:
    tags = [delivery.delivery_tag for delivery in take(consumer, 3)]

    consumer.ack(tags[0], wait=True)
    consumer.reject(tags[1], wait=True)
    consumer.nack(tags[2], wait=True)

    assert counts(broker) == (3, 0)


def test_a_cancelled_consumer_still_settles_what_it_handed_out(broker: Broker, consumer: Consumer) -> None:
    one, two = take(consumer, 2)

    consumer.cancel()
    one.ack(wait=True)
    two.nack(wait=True)

    assert counts(broker) == (4, 0)


def test_verdicts_on_two_queues_go_to_each(broker: Broker) -> None:
    for name in ("one", "two"):
        broker.declare_queue(name)
        broker.publish_many([Message(b"%d" % number, routing_key=name) for number in range(3)])

    with broker.consume(["one", "two"], auto_ack=False, timeout=0.05) as consumer:
        for delivery in consumer:
            if delivery.redelivered or delivery.queue == "one":
                delivery.ack()
            else:
                delivery.nack()

    assert [(info.ready, info.unacked) for info in broker.queues()] == [(0, 0), (0, 0)]


def test_a_fence_stays_down_while_a_verdict_waits(broker: Broker) -> None:
    broker.declare_queue("fenced")
    broker.publish_many([Message(b"", routing_key="fenced")] * 2)
    with broker.consume("fenced", auto_ack=False, prefetch=2) as consumer:
        first, second = next(consumer), next(consumer)
        holder = consumer._holder
        holder.judge(first.delivery_tag, "ack", multiple=False, shown=2)
        batch = holder.take_batch()
        assert batch is not None
        assert holder.held == 2

        holder.judge(second.delivery_tag, "ack", multiple=False, shown=2)

        assert holder.held == 2  # so the batch that leaves now does not set the fence, which would speak for the second
        holder.send(batch)


def test_a_nack_whose_reply_was_lost_does_not_take_away_what_came_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.declare_queue("q")
    broker.publish(b"0", routing_key="q")
    with broker.consume("q", auto_ack=False, prefetch=2) as consumer:
        delivery = next(consumer)
        wire = broker._link.commands
        roundtrip = wire.roundtrip
        again: list[Delivery] = []

        def cut_once(commands: Sequence[Sequence[Arg]], within: float) -> list[Reply]:
            replies = roundtrip(commands, within)
            if not again:
                again.append(next(consumer))
                raise ConnectionLost(redis.ConnectionError("cut"), sent=True)
            return replies

        monkeypatch.setattr(wire, "roundtrip", cut_once)

        delivery.nack(wait=True)

        assert (again[0].body, again[0].redelivered) == (b"0", True)
        assert counts(broker) == (0, 1)  # one holds it, and it is not ready for another
        again[0].ack(wait=True)
    assert counts(broker) == (0, 0)
