"""Hooks are told of every delivery that a settle settles, before and after; and after every `get`, too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Hooks, Message
from rexchange.errors import AlreadySettled, StaleDelivery
from rexchange.testing import async_wait_until
from tests.conformance.async_.support import Connect


class Watcher(Hooks):
    """Writes down what it is told of deliveries."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.refusing = False

    def before_deliver(self, delivery: Any) -> None:
        self.told.append(("before_deliver", delivery.body))

    def after_deliver(self, delivery: Any) -> None:
        self.told.append(("after_deliver", delivery.body))

    def before_settle(self, consumer_tag: str, tags: Sequence[int], kind: str) -> None:  # noqa: ARG002 - only one
        self.told.append(("before_settle", list(tags), kind))
        if self.refusing:
            raise RuntimeError("not now")

    def after_settle(self, consumer_tag: str, tags: Sequence[int], kind: str, stale: Sequence[int]) -> None:  # noqa: ARG002 - the same
        self.told.append(("after_settle", list(tags), kind, list(stale)))

    def of(self, word: str) -> list[tuple[Any, ...]]:
        """Return what was told of delivering, or of settling."""
        return [each for each in self.told if word in each[0]]


@pytest.fixture
async def watcher() -> Watcher:
    """Return the hooks of `watched`."""
    return Watcher()


@pytest.fixture
async def watched(connect: Connect, watcher: Watcher) -> AsyncBroker:
    """Return a broker with hooks and a queue of three messages."""
    broker = await connect(hooks=watcher)
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(1, 4)])
    return broker


# --- settling several


@pytest.mark.parametrize("wait", [True, False])
async def test_multiple_tells_of_all_that_it_settles(watched: AsyncBroker, watcher: Watcher, wait: bool) -> None:
    async with watched.consume("q", auto_ack=False) as consumer:
        seen = [await anext(consumer) for _ in range(3)]
        await seen[1].ack(multiple=True, wait=wait)
        await async_wait_until(lambda: len(watcher.of("settle")) == 2)

    assert watcher.of("settle") == [("before_settle", [1, 2], "ack"), ("after_settle", [1, 2], "ack", [])]


async def test_tag_0_tells_of_all_that_was_handed_out(watched: AsyncBroker, watcher: Watcher) -> None:
    async with watched.consume("q", auto_ack=False) as consumer:
        await anext(consumer)
        await anext(consumer)
        await consumer.nack(0, requeue=False, multiple=True, wait=True)
        await consumer.ack(0, multiple=True, wait=True)

    assert watcher.of("settle") == [("before_settle", [1, 2], "reject"), ("after_settle", [1, 2], "reject", [])]


async def test_auto_ack_tells_of_all_that_was_read(watched: AsyncBroker, watcher: Watcher) -> None:
    async with watched.consume("q", timeout=0) as consumer:
        await anext(consumer)
        before, after = watcher.of("settle")[:2]

    assert (before, after) == (("before_settle", [1, 2, 3], "ack"), ("after_settle", [1, 2, 3], "ack", []))


async def test_what_cannot_be_settled_is_not_told(watched: AsyncBroker, watcher: Watcher) -> None:
    async with watched.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)
        await delivery.ack(wait=True)
        for wait in (True, False):
            with pytest.raises(AlreadySettled):
                await delivery.ack(wait=wait)

    assert len(watcher.of("settle")) == 2


@pytest.mark.parametrize("multiple", [True, False])
async def test_what_the_hook_refuses_stays_unsettled(watched: AsyncBroker, watcher: Watcher, multiple: bool) -> None:
    async with watched.consume("q", auto_ack=False) as consumer:
        delivery = await anext(consumer)
        watcher.refusing = True
        for wait in (True, False):
            with pytest.raises(RuntimeError, match="not now"):
                await delivery.ack(multiple=multiple, wait=wait)
        watcher.refusing = False
        await delivery.ack(multiple=multiple, wait=True)


# --- get


async def test_get_tells_when_its_delivery_is_settled(watched: AsyncBroker, watcher: Watcher) -> None:
    first, second, third = [await watched.get("q", auto_ack=False) for _ in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    assert watcher.of("after_deliver") == []

    await third.nack()
    assert watcher.of("after_deliver") == [("after_deliver", b"3")]
    await second.ack(multiple=True)
    assert watcher.of("after_deliver") == [("after_deliver", body) for body in (b"3", b"1", b"2")]
    with pytest.raises(AlreadySettled):
        await first.ack()
    assert len(watcher.of("after_deliver")) == 3


async def test_get_with_auto_ack_tells_at_once(watched: AsyncBroker, watcher: Watcher) -> None:
    await watched.get("q")

    assert watcher.of("_deliver") == [("before_deliver", b"1"), ("after_deliver", b"1")]


async def test_get_tells_of_a_settle_that_came_too_late(connect: Connect, watcher: Watcher) -> None:
    slow = await connect(hooks=watcher, ack_timeout=timedelta(milliseconds=50))
    await slow.declare_queue("q")
    await slow.publish(b"1", routing_key="q")
    delivery = await slow.get("q", auto_ack=False)
    assert delivery is not None

    async def given_back() -> bool:
        await slow.reap()
        return (await slow.queues())[0].ready == 1

    await async_wait_until(given_back)
    with pytest.raises(StaleDelivery):
        await delivery.ack()

    assert watcher.of("_deliver") == [("before_deliver", b"1"), ("after_deliver", b"1")]


@pytest.mark.parametrize("ending", ["close", "delete"])
async def test_what_get_handed_out_and_nobody_settled_is_told_in_the_end(
    url: str, vhost: str, watcher: Watcher, ending: str
) -> None:
    async with AsyncBroker(url, vhost=vhost, hooks=watcher) as broker:
        await broker.declare_queue("q")
        await broker.publish(b"1", routing_key="q")
        await broker.get("q", auto_ack=False)
        assert watcher.of("after_deliver") == []
        if ending == "delete":
            await broker.delete_queue("q")
            assert watcher.of("after_deliver") == [("after_deliver", b"1")]

    assert watcher.of("after_deliver") == [("after_deliver", b"1")]
