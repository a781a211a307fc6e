# Generated from tests/conformance/async_/test_replies.py by `python tools/unasync.py`. Do not edit.
"""Direct reply-to, `call` and `reply` (RabbitMQ's doc of direct reply-to; RABBITMQ.md calls for each rule)."""

from __future__ import annotations

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import ConsumerCancelled, InvalidArgument, NoReply, NotFound, PreconditionFailed, Unroutable
from rexchange.topology import REPLY_TO
from tests.conformance.sync_.support import Background, Connect
from tests.support.faults import reap


def serve(broker: Broker, count: int = 1) -> None:
    """Answer so many requests of "work" with their body in capitals."""
    with broker.consume("work", auto_ack=False) as consumer:
        for _ in range(count):
            request = next(consumer)
            broker.reply(request, request.body.upper())
            request.ack(wait=True)


@pytest.fixture
def worker(broker: Broker, connect: Connect) -> Broker:
    """Another broker; the queue "work" is declared."""
    broker.declare_queue("work")
    return connect()


# --- call


def test_a_call_returns_the_reply(broker: Broker, worker: Broker) -> None:
    serving = Background(lambda: serve(worker))

    reply = broker.call(b"hello", routing_key="work", headers={"a": 1}, timeout=10)

    assert reply.body == b"HELLO"
    serving.result()


def test_calls_at_once_get_each_its_own_reply(broker: Broker, worker: Broker) -> None:
    serving = Background(lambda: serve(worker, 20))

    def ask(number: int) -> bytes:
        return (broker.call(b"a%d" % number, routing_key="work", timeout=10)).body

    asked = [Background(lambda number=number: ask(number)) for number in range(20)]  # type: ignore[misc]

    assert [each.result() for each in asked] == [b"A%d" % number for number in range(20)]
    serving.result()


def test_a_call_takes_a_message_and_keeps_its_properties(broker: Broker, worker: Broker) -> None:
    def look() -> Delivery:
        with worker.consume("work", auto_ack=False) as consumer:
            request = next(consumer)
            worker.reply(request, b"", content_type="text/plain")
            request.ack(wait=True)
            return request

    looking = Background(look)
    reply = broker.call(Message.json([1], routing_key="work", type="sum"), timeout=10)
    request = looking.result()

    assert (request.json(), request.properties.type) == ([1], "sum")
    assert request.properties.reply_to is not None
    assert request.properties.reply_to.startswith(f"{REPLY_TO}.")
    assert reply.properties.content_type == "text/plain"
    assert reply.properties.correlation_id == request.properties.correlation_id


@pytest.mark.usefixtures("worker")
def test_a_call_that_nobody_answers_says_so_in_time(broker: Broker) -> None:
    with pytest.raises(NoReply, match=r"no reply within 0\.05 s from exchange '', key 'work'") as caught:
        broker.call(b"hello", routing_key="work", timeout=0.05)

    assert (caught.value.exchange, caught.value.routing_key, caught.value.seconds) == ("", "work", 0.05)


def test_a_reply_that_comes_too_late_is_nobody_elses(broker: Broker, worker: Broker) -> None:
    with pytest.raises(NoReply):
        broker.call(b"late", routing_key="work", timeout=0.05)
    serving = Background(lambda: serve(worker, 2))  # answers the late one first

    reply = broker.call(b"next", routing_key="work", timeout=10)

    assert reply.body == b"NEXT"
    serving.result()


def test_a_call_to_nowhere_is_unroutable(broker: Broker) -> None:
    with pytest.raises(Unroutable):
        broker.call(b"hello", routing_key="nowhere", timeout=5)


@pytest.mark.parametrize("timeout", [0, -1, "5", None])
def test_a_timeout_of_a_call_is_more_than_0(broker: Broker, timeout: object) -> None:
    with pytest.raises(InvalidArgument, match="timeout"):
        broker.call(b"hello", routing_key="work", timeout=timeout)  # type: ignore[call-overload]


def test_after_its_session_was_reaped_the_next_call_has_another_queue(broker: Broker, worker: Broker, url: str) -> None:
    serving = Background(lambda: serve(worker, 3))
    broker.call(b"a", routing_key="work", timeout=10)
    reap(url, broker)

    with pytest.raises(ConsumerCancelled):
        broker.call(b"b", routing_key="work", timeout=10)
    assert (broker.call(b"c", routing_key="work", timeout=10)).body == b"C"
    serving.result()


def test_no_queue_is_left_behind(connect: Connect, broker: Broker, worker: Broker) -> None:
    caller = connect()
    serving = Background(lambda: serve(worker))
    caller.call(b"hello", routing_key="work", timeout=10)
    serving.result()

    caller.close()

    assert [info.name for info in broker.queues()] == ["work"]


# --- reply


def test_a_request_that_asks_for_no_reply_cannot_be_answered(broker: Broker, worker: Broker) -> None:
    broker.publish(b"hello", routing_key="work")
    request = worker.get("work")
    assert request is not None

    with pytest.raises(InvalidArgument, match="reply_to"):
        worker.reply(request, b"")


def test_a_reply_to_one_that_is_gone_reaches_nobody(connect: Connect, worker: Broker) -> None:
    caller = connect()
    with pytest.raises(NoReply):
        caller.call(b"hello", routing_key="work", timeout=0.05)
    caller.close()
    request = worker.get("work")
    assert request is not None

    assert worker.reply(request, b"") == 0


# --- direct reply-to, by hand


def test_the_name_stands_for_a_queue_of_the_brokers_own(broker: Broker, worker: Broker) -> None:
    with broker.consume(REPLY_TO, timeout=5) as consumer:
        broker.publish(b"hello", routing_key="work", reply_to=REPLY_TO)
        request = worker.get("work")
        assert request is not None
        assert request.properties.reply_to == consumer.queues[0] != REPLY_TO

        assert worker.publish(b"answer", routing_key=str(request.properties.reply_to)) == 1
        assert (next(consumer)).body == b"answer"


def test_whether_who_asked_is_still_there_can_be_asked(broker: Broker, worker: Broker) -> None:
    with broker.consume(REPLY_TO) as consumer:
        name = consumer.queues[0]
        asked = worker.declare_queue(name)
        assert (asked.message_count, asked.consumer_count) == (0, 1)

    with pytest.raises(NotFound):
        worker.declare_queue(name)


def test_a_request_before_there_is_a_consumer_of_replies_is_refused(broker: Broker, worker: Broker) -> None:
    with pytest.raises(PreconditionFailed, match="replies have nowhere to go"):
        broker.publish(b"hello", routing_key="work", reply_to=REPLY_TO)

    assert worker.get("work") is None


@pytest.mark.parametrize(("queues", "auto_ack"), [([REPLY_TO], False), ([REPLY_TO, "work"], True)])
def test_replies_are_consumed_alone_and_with_auto_ack(broker: Broker, queues: list[str], auto_ack: bool) -> None:
    with pytest.raises(PreconditionFailed, match=REPLY_TO):
        broker.consume(queues, auto_ack=auto_ack)


def test_a_second_consumer_of_replies_is_refused(broker: Broker) -> None:
    with broker.consume(REPLY_TO):
        with pytest.raises(PreconditionFailed, match="one consumer of it in a Broker"):
            broker.consume(REPLY_TO)
