# Generated from tests/conformance/async_/test_lifetimes.py by `python tools/unasync.py`. Do not edit.
"""Auto-delete: of queues after their last consumer, of exchanges after their last binding, and on upstream."""

from __future__ import annotations

from rexchange import Broker
from rexchange.topology import PREDECLARED
from tests.conformance.sync_.support import Connect


def names(broker: Broker) -> tuple[list[str], list[str]]:
    """Return the names of the queues and of our exchanges."""
    exchanges = [exchange.name for exchange in broker.exchanges() if exchange.name not in PREDECLARED]
    return [info.queue.name for info in broker.queues()], exchanges


def test_an_auto_delete_queue_goes_with_its_last_consumer(broker: Broker) -> None:
    broker.declare_queue("q", auto_delete=True)

    with broker.consume("q"):
        with broker.consume("q"):
            pass
        assert (names(broker))[0] == ["q"]

    assert (names(broker))[0] == []


def test_an_auto_delete_queue_that_was_never_consumed_stays(broker: Broker) -> None:
    broker.declare_queue("q", auto_delete=True)
    broker.publish(b"", routing_key="q")

    assert broker.get("q") is not None  # get is no consumer

    assert (names(broker))[0] == ["q"]


def test_an_auto_delete_queue_goes_when_its_consumers_broker_closes(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("q", auto_delete=True)
    other = connect()
    other.consume("q").open()

    other.close()

    assert (names(broker))[0] == []


def test_cancelling_the_last_consumer_keeps_the_queue_until_it_is_closed(broker: Broker) -> None:
    broker.declare_queue("q", auto_delete=True)
    broker.publish(b"", routing_key="q")
    consumer = broker.consume("q", auto_ack=False)
    delivery = next(consumer)

    consumer.cancel()
    delivery.ack(wait=True)  # what was handed out stays valid
    consumer.close()

    assert (names(broker))[0] == []


def test_an_auto_delete_exchange_goes_with_its_last_binding(broker: Broker) -> None:
    broker.declare_exchange("x", "topic", auto_delete=True)
    broker.declare_queue("q")
    broker.bind("q", "x", "a")
    broker.bind("q", "x", "b")

    broker.unbind("q", "x", "a")
    assert (names(broker))[1] == ["x"]
    broker.unbind("q", "x", "b")

    assert (names(broker))[1] == []


def test_an_auto_delete_exchange_that_was_never_bound_stays(broker: Broker) -> None:
    broker.declare_exchange("x", auto_delete=True)
    broker.unbind("q", "x", "a")

    assert (names(broker))[1] == ["x"]


def test_bindings_where_it_is_the_destination_do_not_keep_an_exchange(broker: Broker) -> None:
    destination = broker.declare_exchange("destination", "fanout", auto_delete=True)
    broker.bind(destination, "amq.fanout")
    broker.declare_queue("q")
    broker.bind("q", destination)

    broker.unbind("q", destination)

    assert (names(broker))[1] == []
    assert broker.bindings() == []


def test_the_last_consumer_takes_queue_exchange_and_upstream_exchange_along(broker: Broker) -> None:
    broker.declare_exchange("upstream", "fanout", auto_delete=True)
    downstream = broker.declare_exchange("downstream", "topic", auto_delete=True)
    broker.bind(downstream, "upstream")
    broker.declare_queue("q", auto_delete=True)
    broker.bind("q", downstream, "#")

    with broker.consume("q"):
        assert broker.route("upstream", "k") == ["q"]

    assert names(broker) == ([], [])


def test_a_cycle_of_auto_delete_exchanges_goes_in_one_step(broker: Broker) -> None:
    one = broker.declare_exchange("one", "fanout", auto_delete=True)
    two = broker.declare_exchange("two", "fanout", auto_delete=True)
    broker.bind(two, one)
    broker.bind(one, two)

    broker.unbind(two, one)

    assert names(broker) == ([], [])


def test_deleting_a_queue_takes_its_auto_delete_exchange_along(broker: Broker) -> None:
    broker.declare_exchange("x", "headers", auto_delete=True)
    broker.declare_queue("q")
    broker.bind("q", "x", "", {"a": 1})

    broker.delete_queue("q")

    assert names(broker) == ([], [])
