"""A forked child gets brokers of its own; the parent's consumers and their deliveries stay the parent's."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from rexchange import Broker
from rexchange.errors import ConsumerCancelled


def in_child(work: object) -> str:
    """Run a function in a forked child and return what it returned, or its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            assert callable(work)
            result = str(work())
        except BaseException as error:  # noqa: BLE001 - told to the parent
            result = f"{type(error).__name__}: {error}"
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.parametrize("use", ["next", "ack", "close"])
def test_a_child_can_not_use_its_parents_consumer(embedded_url: str, vhost: str, use: str) -> None:
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("q")
        for number in range(3):
            broker.publish(b"%d" % number, routing_key="q")
        with broker.consume("q", auto_ack=False, timeout=0) as consumer:
            first = next(consumer)
            uses = {"next": lambda: next(consumer), "ack": first.ack, "close": consumer.close}

            told = in_child(uses[use])

            assert told == "None" if use == "close" else told.startswith(ConsumerCancelled.__name__), told
            first.ack(wait=True)
            assert [delivery.body for delivery in consumer] == [b"1", b"2"]


@pytest.mark.parametrize("use", ["next", "ack"])
def test_nor_when_the_child_has_a_session_of_its_own(embedded_url: str, vhost: str, use: str) -> None:
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("q")
        broker.declare_queue("other")
        for number in range(3):
            broker.publish(b"%d" % number, routing_key="q")
        with broker.consume("q", auto_ack=False, timeout=0) as consumer:
            first = next(consumer)

            uses: dict[str, Callable[[], object]] = {"next": lambda: next(consumer), "ack": first.ack}

            def work() -> None:
                broker.get("other")  # opens a session
                try:
                    uses[use]()
                finally:
                    broker.close()

            told = in_child(work)

            assert told.startswith(ConsumerCancelled.__name__), told
            first.ack(wait=True)
            assert [delivery.body for delivery in consumer] == [b"1", b"2"]
