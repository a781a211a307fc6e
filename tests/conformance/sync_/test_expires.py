# Generated from tests/conformance/async_/test_expires.py by `python tools/unasync.py`. Do not edit.
"""x-expires: a queue that nobody uses goes (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from rexchange import Broker
from rexchange.errors import InvalidArgument, NotFound, PreconditionFailed
from rexchange.testing import wait_until
from tests.conformance.sync_.support import Connect

SHORT = timedelta(milliseconds=300)


def names(broker: Broker) -> list[str]:
    """Return the names of the queues; a listing does not use them."""
    broker.reap()
    return [info.name for info in broker.queues()]


def goes(broker: Broker, queue: str = "q") -> float:
    """Wait until the queue is gone, and return how many seconds it took."""
    started = time.monotonic()

    def gone() -> bool:
        return queue not in names(broker)

    wait_until(gone)
    return time.monotonic() - started


def stays_while(broker: Broker, used: Callable[[], object]) -> None:
    """Use the queue for longer than it lives unused."""
    until = time.monotonic() + 0.7

    def long_enough() -> bool:
        used()
        assert names(broker) == ["q"]
        return time.monotonic() > until

    wait_until(long_enough)


def test_a_queue_goes_when_nobody_has_used_it_for_its_time(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)

    assert goes(broker) > 0.2


def test_its_bindings_and_messages_go_with_it(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)
    broker.bind("q", "amq.topic", "#")
    broker.publish(b"", routing_key="q")

    goes(broker)

    assert broker.bindings() == []
    assert broker.publish(b"", exchange="amq.topic") == 0
    with pytest.raises(NotFound):
        broker.get("q")


def test_its_messages_are_not_dead_lettered(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("q", expires=SHORT, dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.publish(b"", routing_key="q")

    goes(broker)

    assert (broker.declare_queue("dead", passive=True)).message_count == 0


def test_an_auto_delete_exchange_goes_with_its_last_queue(broker: Broker) -> None:
    broker.declare_exchange("x", auto_delete=True)
    broker.declare_queue("q", expires=SHORT)
    broker.bind("q", "x")

    goes(broker)

    with pytest.raises(NotFound):
        broker.declare_exchange("x", passive=True)


def test_the_heartbeat_of_any_consumer_sees_to_it(broker: Broker) -> None:
    broker.declare_queue("other")
    with broker.consume("other"):
        broker.declare_queue("q", expires=SHORT)

        def gone() -> bool:
            return [info.name for info in broker.queues()] == ["other"]

        wait_until(gone)


def test_a_consumer_uses_its_queue_and_the_time_runs_from_its_end(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)

    with broker.consume("q"):
        stays_while(broker, broker.status)

    assert goes(broker) > 0.2


def test_a_dead_consumer_uses_its_queue_no_more(broker: Broker, connect: Connect) -> None:
    other = connect()
    broker.declare_queue("q", expires=SHORT)
    other.consume("q").open()

    other.close()

    assert goes(broker) > 0.2


def test_get_is_a_use_also_of_an_empty_queue(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)

    stays_while(broker, lambda: broker.get("q"))

    assert goes(broker) > 0.2


def test_declaring_it_again_is_a_use(broker: Broker) -> None:
    stays_while(broker, lambda: broker.declare_queue("q", expires=SHORT))

    assert goes(broker) > 0.2


def test_a_passive_declare_is_a_use(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)

    stays_while(broker, lambda: broker.declare_queue("q", passive=True))


def test_a_publish_is_no_use(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)

    def gone() -> bool:
        broker.reap()
        return broker.publish(b"", routing_key="q") == 0

    wait_until(gone)


def test_a_purge_is_no_use(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)

    def gone() -> bool:
        there = names(broker)
        if there:
            broker.purge("q")
        return not there

    wait_until(gone)


def test_a_queue_that_is_declared_anew_after_it_went_is_another_one(broker: Broker) -> None:
    broker.declare_queue("q", expires=SHORT)
    broker.publish(b"old", routing_key="q")
    assert broker.get("q", auto_ack=False) is not None
    goes(broker)

    broker.declare_queue("q")

    assert broker.get("q") is None
    assert (broker.queues())[0].unacked == 0


def test_it_is_the_argument_x_expires(broker: Broker) -> None:
    broker.declare_queue("q", expires=timedelta(minutes=5))

    broker.declare_queue("q", arguments={"x-expires": 300_000})

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q")
    assert (caught.value.argument, caught.value.current) == ("x-expires", 300_000)


@pytest.mark.parametrize("expires", [0, -1, "5", 1.5, True, 1 << 32])
def test_a_value_that_is_no_time_is_a_failed_precondition(broker: Broker, expires: object) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", arguments={"x-expires": expires})  # type: ignore[dict-item]

    assert caught.value.argument == "x-expires"
    assert broker.queues() == []


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(days=50), 5])
def test_an_option_that_is_no_time_is_an_invalid_argument(broker: Broker, expires: object) -> None:
    with pytest.raises(InvalidArgument):
        broker.declare_queue("q", expires=expires)  # type: ignore[arg-type]

    assert broker.queues() == []
