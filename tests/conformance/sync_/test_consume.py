# Generated from tests/conformance/async_/test_consume.py by `python tools/unasync.py`. Do not edit.
"""Consuming: what is delivered, in which order, until when (docs/semantics.md, Consuming and acks)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.codec import Table
from rexchange.errors import ConsumerCancelled, InvalidArgument, NotFound, PreconditionFailed
from rexchange.testing import wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting


def fill(broker: Broker, queue: str, count: int) -> None:
    """Declare a queue and publish the bodies 0, 1, 2 ..."""
    broker.declare_queue(queue)
    broker.publish_many([Message(b"%d" % number, routing_key=queue) for number in range(count)])


def test_deliveries_come_in_the_order_of_publishing(broker: Broker) -> None:
    fill(broker, "q", 10)

    with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        deliveries = [delivery for delivery in consumer]

    assert [delivery.body for delivery in deliveries] == [b"%d" % number for number in range(10)]
    assert [delivery.delivery_tag for delivery in deliveries] == list(range(1, 11))
    assert {delivery.queue for delivery in deliveries} == {"q"}


def test_a_first_delivery_is_not_redelivered_and_counts_one(broker: Broker) -> None:
    fill(broker, "q", 1)

    with broker.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)

        assert (delivery.redelivered, delivery.delivery_count) == (False, 1)


def test_iteration_ends_after_the_timeout(broker: Broker) -> None:
    fill(broker, "q", 2)

    with broker.consume("q", timeout=0.05) as consumer:
        assert [delivery.body for delivery in consumer] == [b"0", b"1"]


def test_a_consumer_that_timed_out_may_go_on(broker: Broker) -> None:
    fill(broker, "q", 1)

    with broker.consume("q", timeout=0.02) as consumer:
        assert len([delivery for delivery in consumer]) == 1
        broker.publish(b"later", routing_key="q")
        assert [delivery.body for delivery in consumer] == [b"later"]


def test_a_waiting_consumer_gets_what_is_published(broker: Broker) -> None:
    broker.declare_queue("q")

    with broker.consume("q", timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        broker.publish(b"hello", routing_key="q")

        assert (waiting.result()).body == b"hello"


def test_a_delivery_goes_to_one_consumer_only(broker: Broker, connect: Connect) -> None:
    other = connect()
    fill(broker, "q", 30)

    with (
        broker.consume("q", auto_ack=False, prefetch=5, timeout=0.05) as one,
        other.consume("q", auto_ack=False, prefetch=5, timeout=0.05) as two,
    ):

        def read(consumer: object) -> list[bytes]:
            bodies = []
            for delivery in consumer:  # type: ignore[attr-defined]
                bodies.append(delivery.body)
                delivery.ack(wait=True)
            return bodies

        readers = [Background(lambda: read(one)), Background(lambda: read(two))]
        bodies = [body for reader in readers for body in reader.result()]

    assert sorted(bodies, key=int) == [b"%d" % number for number in range(30)]


def test_one_consumer_may_read_several_queues(broker: Broker) -> None:
    for name in ("one", "two", "three"):
        fill(broker, name, 4)

    with broker.consume(["one", "two", "three"], auto_ack=False, timeout=0.05) as consumer:
        found: dict[str, list[bytes]] = {}
        for delivery in consumer:
            found.setdefault(delivery.queue, []).append(delivery.body)
            delivery.ack()

    assert found == {name: [b"0", b"1", b"2", b"3"] for name in ("one", "two", "three")}
    assert [info.ready + info.unacked for info in broker.queues()] == [0, 0, 0]


def test_a_consumer_of_several_queues_is_woken_by_each(broker: Broker) -> None:
    broker.declare_queue("one")
    broker.declare_queue("two")

    with broker.consume(["one", "two"], timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        for name in ("two", "one", "two"):
            waiting = Background(first)
            broker.publish(b"", routing_key=name)
            assert (waiting.result()).queue == name


def test_what_a_consumer_of_several_queues_had_no_room_for_comes_later(broker: Broker) -> None:
    """Having found all empty it looks only where it is called, and must be called again for the rest."""
    names = ("one", "two", "three")
    for name in names:
        broker.declare_queue(name)
    with broker.consume(names, auto_ack=False, prefetch=2) as consumer:
        assert consumer.next(timeout=0) is None
        for _ in range(2):
            messages = [Message(b"%d" % number, routing_key=name) for number in range(4) for name in names[:2]]
            broker.publish_many(messages)
            found: dict[str, list[bytes]] = {}
            for _ in messages:
                delivery = consumer.next(timeout=10)
                assert delivery is not None
                found.setdefault(delivery.queue, []).append(delivery.body)
                delivery.ack()
            assert found == {name: [b"0", b"1", b"2", b"3"] for name in names[:2]}
            assert consumer.next(timeout=0) is None
        broker.publish(b"", routing_key="three")
        assert consumer.next(timeout=0) is not None, "what is there is taken without waiting"


def test_a_queue_named_twice_is_consumed_once(broker: Broker) -> None:
    queue = broker.declare_queue("q")

    with broker.consume([queue, "q"], timeout=0) as consumer:
        assert consumer.queues == ["q"]


def test_batches_hold_what_is_there_up_to_their_size(broker: Broker) -> None:
    fill(broker, "q", 7)

    with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        batches = []
        for batch in consumer.batches(3):
            batches.append([delivery.body for delivery in batch])
            batch[-1].ack(multiple=True)

    assert batches == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6"]]
    (info,) = broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


def test_a_batch_size_below_one_is_refused(broker: Broker) -> None:
    broker.declare_queue("q")

    with broker.consume("q", timeout=0) as consumer:
        with pytest.raises(InvalidArgument):
            next(consumer.batches(0))


def test_a_callback_is_called_with_each_delivery(broker: Broker) -> None:
    fill(broker, "q", 3)
    seen = []

    def callback(delivery: Delivery) -> None:
        seen.append(delivery.body)
        delivery.ack()

    with broker.consume("q", auto_ack=False, timeout=0) as consumer:
        consumer.run(callback)

    assert seen == [b"0", b"1", b"2"]
    assert (broker.queues())[0].unacked == 0


def test_what_a_callback_raises_ends_the_consumer(broker: Broker) -> None:
    fill(broker, "q", 3)

    def callback(delivery: Delivery) -> None:
        raise RuntimeError(delivery.body)

    with pytest.raises(RuntimeError):
        with broker.consume("q", auto_ack=False) as consumer:
            consumer.run(callback)

    (info,) = broker.queues()
    assert (info.ready, info.unacked, info.consumers) == (3, 0, 0)


def test_consuming_a_missing_queue_is_not_found(broker: Broker) -> None:
    with pytest.raises(NotFound) as caught:
        broker.consume("missing").open()

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")
    assert broker.consumers() == []


def test_one_missing_queue_of_several_is_not_found(broker: Broker) -> None:
    broker.declare_queue("q")

    with pytest.raises(NotFound):
        broker.consume(["q", "missing"]).open()

    assert broker.consumers() == []


def test_cancel_ends_the_iteration_of_a_waiting_consumer(broker: Broker) -> None:
    broker.declare_queue("q")

    with broker.consume("q") as consumer:

        def read() -> int:
            return len([delivery for delivery in consumer])

        waiting = Background(read)
        wait_until(lambda: is_waiting(consumer))
        consumer.cancel()

        assert waiting.result(timeout=3) == 0


def test_a_closed_consumer_can_not_be_used_again(broker: Broker) -> None:
    broker.declare_queue("q")
    consumer = broker.consume("q")
    consumer.open()
    consumer.close()
    consumer.close()  # closing twice is no error

    with pytest.raises(ConsumerCancelled):
        consumer.open()


@pytest.mark.parametrize("several", [False, True])
def test_a_consumer_is_told_when_its_queue_is_deleted(broker: Broker, several: bool) -> None:
    broker.declare_queue("q")
    broker.declare_queue("other")

    with broker.consume(["q", "other"] if several else "q", auto_ack=False) as consumer:

        def read() -> None:
            next(consumer)

        waiting = Background(read)
        wait_until(lambda: is_waiting(consumer))
        broker.delete_queue("q")

        with pytest.raises(ConsumerCancelled) as caught:
            waiting.result(timeout=3)

    assert caught.value.queue == "q"


def test_acks_after_the_queue_is_deleted_are_harmless(broker: Broker) -> None:
    fill(broker, "q", 2)

    with broker.consume("q", auto_ack=False) as consumer:
        delivery = next(consumer)
        broker.delete_queue("q")
        fill(broker, "q", 2)  # another queue of the same name

        delivery.ack(wait=True)

        (info,) = broker.queues()
        assert (info.ready, info.unacked) == (2, 0)


def test_prefetch_may_not_be_negative(broker: Broker) -> None:
    for wrong in (-1, 1.5, "3", True):
        with pytest.raises(InvalidArgument):
            broker.consume("q", prefetch=wrong)  # type: ignore[arg-type]


def test_a_consumer_wants_at_least_one_queue(broker: Broker) -> None:
    with pytest.raises(InvalidArgument):
        broker.consume([])


def test_a_negative_timeout_is_refused(broker: Broker) -> None:
    with pytest.raises(InvalidArgument):
        broker.consume("q", timeout=-1)


@pytest.mark.parametrize("wrong", [{"x-priority": "5"}, {"x-stream-offset": "begin"}, {"x-consumer-timeout": 0}])
def test_an_argument_that_rabbitmq_refuses_is_a_failed_precondition(broker: Broker, wrong: Table) -> None:
    with pytest.raises(PreconditionFailed):
        broker.consume("q", arguments=wrong)


def test_a_consumer_is_listed_while_it_lives(broker: Broker) -> None:
    broker.declare_queue("q")

    with broker.consume("q", tag="mine", auto_ack=False, prefetch=7, priority=-3) as consumer:
        (listed,) = broker.consumers()
        assert (listed.tag, listed.queues, listed.prefetch, listed.auto_ack) == ("mine", ["q"], 7, False)
        assert listed.priority == -3
        assert consumer.tag == "mine"

    assert broker.consumers() == []


def test_a_consumer_without_a_tag_gets_one(broker: Broker) -> None:
    assert broker.consume("q").tag.startswith("amq.ctag-")


def test_a_consumer_with_one_place_starves_none_of_its_queues(broker: Broker) -> None:
    fill(broker, "a", 40)
    fill(broker, "b", 40)

    seen: set[str] = set()
    with broker.consume(["a", "b"], auto_ack=False, prefetch=1) as consumer:
        for _ in range(40):
            delivery = next(consumer)
            seen.add(delivery.queue)
            delivery.ack()

    assert seen == {"a", "b"}


def test_a_declared_queue_is_as_good_as_its_name(broker: Broker) -> None:
    fill(broker, "a", 1)
    queue = broker.declare_queue("a")

    with broker.consume(queue, timeout=0) as consumer:
        assert [delivery.body for delivery in consumer] == [b"0"]


@pytest.mark.parametrize("several", [False, True])
def test_a_consumer_whose_prefetch_is_used_up_is_told_too(connect: Connect, several: bool) -> None:
    broker = connect(block=timedelta(milliseconds=50))
    fill(broker, "q", 2)
    broker.declare_queue("other")
    with broker.consume(["q", "other"] if several else "q", auto_ack=False, prefetch=1) as consumer:
        next(consumer)
        broker.delete_queue("q")

        with pytest.raises(ConsumerCancelled) as caught:
            next(consumer)

    assert caught.value.queue == "q"
