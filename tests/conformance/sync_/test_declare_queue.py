# Generated from tests/conformance/async_/test_declare_queue.py by `python tools/unasync.py`. Do not edit.
"""Declaring and deleting queues (docs/semantics.md, Queues)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rexchange import Broker, Message, Queue
from rexchange.codec import Table
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, NotSupported, PreconditionFailed, ResourceLocked
from tests.conformance.sync_.support import Connect


def test_a_declared_queue_is_listed_as_declared(broker: Broker) -> None:
    declared = broker.declare_queue("q", durable=False, auto_delete=True, arguments={"foo": "bar"})

    (listed,) = broker.queues()

    assert (declared.name, declared.durable, declared.auto_delete, declared.exclusive) == ("q", False, True, False)
    assert listed.queue.arguments == {"foo": "bar"}
    assert (listed.ready, listed.unacked, listed.consumers) == (0, 0, 0)


def test_a_declare_tells_the_ready_and_the_consumer_count(broker: Broker) -> None:
    broker.declare_queue("q")
    for body in (b"1", b"2", b"3"):
        broker.publish(body, routing_key="q")
    delivery = broker.get("q", auto_ack=False)  # unacked ones do not count
    assert delivery is not None

    with broker.consume("q", auto_ack=False, prefetch=1):
        queue = broker.declare_queue("q", passive=True)

    assert (queue.message_count, queue.consumer_count) == (2, 1)
    delivery.ack()


def test_declaring_the_same_queue_again_keeps_its_messages(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"kept", routing_key="q")

    again = broker.declare_queue("q")

    assert again.message_count == 1


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("durable", {"durable": False}),
        ("auto_delete", {"auto_delete": True}),
        ("x-consumer-timeout", {"ack_timeout": timedelta(seconds=5)}),
    ],
)
def test_an_inequivalent_declare_names_the_argument(broker: Broker, argument: str, wanted: dict[str, object]) -> None:
    broker.declare_queue("q")

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", **wanted)  # type: ignore[arg-type]

    assert (caught.value.argument, caught.value.name) == (argument, "q")
    assert caught.value.current != caught.value.wanted


def test_arguments_nobody_knows_are_not_compared(broker: Broker) -> None:
    broker.declare_queue("q", arguments={"foo": 1})

    broker.declare_queue("q", arguments={"x-foo": 2})


def test_the_classic_queue_type_is_the_same_as_none(broker: Broker) -> None:
    broker.declare_queue("q")

    broker.declare_queue("q", arguments={"x-queue-type": "classic"})


def test_the_ack_timeout_is_the_argument_x_consumer_timeout(broker: Broker) -> None:
    broker.declare_queue("q", ack_timeout=timedelta(seconds=90))

    queue = broker.declare_queue("q", arguments={"x-consumer-timeout": 90_000})

    assert queue.ack_timeout == timedelta(seconds=90)


def test_a_queue_without_a_name_gets_one_of_its_own(broker: Broker) -> None:
    first = broker.declare_queue()
    second = broker.declare_queue("")

    assert first.name.startswith("amq.gen-")
    assert first.name != second.name
    assert broker.publish(b"", routing_key=first.name) == 1


def test_names_that_begin_with_amq_are_reserved(broker: Broker) -> None:
    with pytest.raises(AccessRefused):
        broker.declare_queue("amq.mine")


def test_passive_raises_not_found_for_a_missing_queue(broker: Broker) -> None:
    with pytest.raises(NotFound) as caught:
        broker.declare_queue("missing", passive=True)

    assert (caught.value.kind, caught.value.name) == ("queue", "missing")


def test_passive_does_not_compare(broker: Broker) -> None:
    broker.declare_queue("q", durable=False)

    assert (broker.declare_queue("q", passive=True)).durable is False


def test_passive_does_not_check_what_it_does_not_compare(broker: Broker) -> None:
    broker.declare_queue("q")

    assert (broker.declare_queue("q", passive=True, arguments={"x-message-ttl": "abc"})).arguments == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-consumer-timeout": 0},
        {"x-consumer-timeout": "90"},
        {"x-message-ttl": -1},
        {"x-max-length": "5"},
        {"x-overflow": "drop-tail"},
        {"x-dead-letter-routing-key": "k"},
        {"x-queue-type": "clasic"},
        {"x-queue-type": "quorum", "x-max-priority": 5},
        {"x-queue-type": "stream", "x-message-ttl": 5},
        {"x-max-age": "7D"},
    ],
)
def test_a_value_that_rabbitmq_refuses_is_a_failed_precondition(broker: Broker, arguments: Table) -> None:
    with pytest.raises(PreconditionFailed):
        broker.declare_queue("q", arguments=arguments)

    assert broker.queues() == []


@pytest.mark.parametrize("arguments", [{"x-delayed-retry-type": "all"}, {"x-delayed-retry-min": 5}])
def test_a_feature_that_is_missing_is_refused_and_not_ignored(broker: Broker, arguments: Table) -> None:
    with pytest.raises(NotSupported):
        broker.declare_queue("q", arguments=arguments)

    assert broker.queues() == []


def test_an_option_that_contradicts_its_raw_argument_is_refused(broker: Broker) -> None:
    with pytest.raises(InvalidArgument):
        broker.declare_queue("q", ack_timeout=timedelta(seconds=1), arguments={"x-consumer-timeout": 2})


def test_deleting_a_queue_returns_how_many_were_ready(broker: Broker) -> None:
    broker.declare_queue("q")
    for _ in range(3):
        broker.publish(b"", routing_key="q")
    assert broker.get("q", auto_ack=False) is not None

    assert broker.delete_queue("q") == 2

    assert broker.queues() == []


def test_deleting_a_missing_queue_is_no_error(broker: Broker) -> None:
    assert broker.delete_queue("missing") == 0


def test_deleting_a_queue_takes_its_bindings(broker: Broker) -> None:
    queue = broker.declare_queue("q")
    broker.bind(queue, "amq.topic", "a.#")

    broker.delete_queue(queue)

    assert broker.bindings() == []
    assert broker.publish(b"", exchange="amq.topic", routing_key="a.b") == 0


def test_a_queue_declared_again_after_its_delete_is_empty(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"old", routing_key="q")
    broker.delete_queue("q")

    assert (broker.declare_queue("q")).message_count == 0
    assert broker.get("q") is None


def test_if_unused_refuses_a_queue_with_consumers(broker: Broker) -> None:
    broker.declare_queue("q")

    with broker.consume("q"):
        with pytest.raises(PreconditionFailed):
            broker.delete_queue("q", if_unused=True)

    assert broker.delete_queue("q", if_unused=True) == 0


def test_if_empty_refuses_a_queue_with_ready_messages(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")

    with pytest.raises(PreconditionFailed):
        broker.delete_queue("q", if_empty=True)

    assert len(broker.queues()) == 1


def test_unacked_messages_do_not_hold_up_if_empty(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")
    assert broker.get("q", auto_ack=False) is not None

    assert broker.delete_queue("q", if_empty=True) == 0

    assert broker.queues() == []


def test_purge_removes_what_is_ready_and_returns_how_many(broker: Broker) -> None:
    broker.declare_queue("q")
    for body in (b"1", b"2", b"3"):
        broker.publish(body, routing_key="q")
    unacked = broker.get("q", auto_ack=False)
    assert unacked is not None

    assert broker.purge("q") == 2

    unacked.nack()
    again = broker.get("q")
    assert again is not None
    assert again.body == b"1"


def test_purge_removes_what_was_given_back_too(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    delivery.nack()

    assert broker.purge("q") == 1
    assert (broker.declare_queue("q")).message_count == 0


def test_a_purge_of_thousands_removes_all(broker: Broker) -> None:
    queue = broker.declare_queue("q")
    fill(broker, queue, 2_500)

    assert broker.purge("q") == 2_500


def fill(broker: Broker, queue: Queue, count: int) -> None:
    for start in range(0, count, 500):
        broker.publish_many([Message(b"", routing_key=queue.name) for _ in range(start, start + 500)])


def test_purging_a_missing_queue_is_not_found(broker: Broker) -> None:
    with pytest.raises(NotFound):
        broker.purge("missing")


def test_an_exclusive_queue_is_locked_for_everybody_else(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("mine", exclusive=True)
    broker.bind("mine", "amq.topic", "#")
    other = connect()

    for attempt in (
        lambda: other.declare_queue("mine"),
        lambda: other.declare_queue("mine", exclusive=True),
        lambda: other.declare_queue("mine", passive=True),
        lambda: other.bind("mine", "amq.topic", "#"),
        lambda: other.unbind("mine", "amq.topic", "#"),
        lambda: other.get("mine"),
        lambda: other.purge("mine"),
        lambda: other.delete_queue("mine"),
        lambda: other.consume("mine").open(),
    ):
        with pytest.raises(ResourceLocked):
            attempt()

    assert len(broker.bindings("amq.topic")) == 1
    other.unbind("mine", "amq.topic", "not.bound")  # as in RabbitMQ: there is nothing to protect


def test_anybody_may_publish_to_an_exclusive_queue(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("mine", exclusive=True)
    other = connect()

    assert other.publish(b"hello", routing_key="mine") == 1

    delivery = broker.get("mine")
    assert delivery is not None
    assert delivery.body == b"hello"


def test_an_exclusive_queue_goes_with_its_broker(broker: Broker, connect: Connect) -> None:
    owner = connect()
    owner.declare_queue("mine", exclusive=True)
    owner.bind("mine", "amq.topic", "#")
    owner.publish(b"", routing_key="mine")

    owner.close()

    assert broker.queues() == []
    assert broker.bindings() == []


def test_its_owner_may_declare_an_exclusive_queue_again(broker: Broker) -> None:
    broker.declare_queue("mine", exclusive=True)

    assert (broker.declare_queue("mine", exclusive=True)).exclusive


def test_exclusive_and_not_exclusive_do_not_match(broker: Broker) -> None:
    broker.declare_queue("mine", exclusive=True)
    broker.declare_queue("ours")

    with pytest.raises(ResourceLocked):
        broker.declare_queue("mine")
    with pytest.raises(ResourceLocked):
        broker.declare_queue("ours", exclusive=True)
