"""Random publishes, deliveries, settles, deletions and moves: what is counted of a queue stays right."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery
from rexchange.errors import PublishRefused

KINDS: list[dict[str, Any]] = [
    {},
    {"max_priority": 3},
    {"max_length_bytes": 400},
    {"max_length": 12, "overflow": "reject-publish"},
    {"message_ttl": timedelta(minutes=5)},
    {"max_priority": 2, "max_length_bytes": 300},
]


class AtRandom:
    """Random work on queues of all kinds, one step after the other."""

    def __init__(self, broker: AsyncBroker, seed: int) -> None:
        self.broker = broker
        self.chance = random.Random(seed)
        self.names = [f"q{number}" for number in range(len(KINDS))]
        self.held: list[tuple[str, AsyncDelivery]] = []
        #: Bodies that were deleted while they were held: nothing is left to settle.
        self.gone: set[bytes] = set()

    async def publish(self, name: str) -> None:
        body, priority = b"%d" % self.chance.getrandbits(80), self.chance.randrange(4)
        with suppress(PublishRefused):
            await self.broker.publish(body, routing_key=name, priority=priority)

    async def take(self, name: str) -> None:
        delivery = await self.broker.get(name, auto_ack=False)
        if delivery is not None:
            self.held.append((name, delivery))

    async def settle(self, _name: str) -> None:
        if self.held:
            _, delivery = self.held.pop(self.chance.randrange(len(self.held)))
            if delivery.body not in self.gone:
                await self.chance.choice([delivery.ack, delivery.nack])(wait=True)

    async def delete(self, name: str) -> None:
        found = await self.broker.browse(name)
        if found:
            message = self.chance.choice(found)
            assert await self.broker.delete_message(name, message.id, force=True)
            if message.state == "unacked":
                self.gone.add(message.body)

    async def move(self, name: str) -> None:
        other = self.chance.choice([each for each in self.names if each != name])
        limit = self.chance.choice([None, 1, 5])
        ready = len(await self.broker.browse(name, state="ready"))
        try:
            moved = await self.broker.move(name, other, limit=limit)
        except PublishRefused as error:
            moved = error.moved
        else:
            assert moved == (ready if limit is None else min(limit, ready))
        assert len(await self.broker.browse(name, state="ready")) == ready - moved

    async def step(self) -> None:
        work = self.chance.choice(
            [self.publish, self.publish, self.publish, self.take, self.settle, self.delete, self.move]
        )
        await work(self.chance.choice(self.names))

    def holds(self, name: str) -> int:
        return sum(1 for queue, delivery in self.held if queue == name and delivery.body not in self.gone)


@pytest.mark.parametrize("seed", range(2))
async def test_counts_stay_right_whatever_is_done(broker: AsyncBroker, seed: int) -> None:
    """What is counted beside the streams (order, bytes, given back) the fixture compares at the end."""
    work = AtRandom(broker, seed)
    for name, options in zip(work.names, KINDS, strict=True):
        await broker.declare_queue(name, **options)

    for _ in range(80):
        await work.step()

    for info in await broker.queues():
        found = await broker.browse(info.name)
        unacked = [each for each in found if each.state == "unacked"]
        assert (info.ready, info.unacked) == (len(found) - len(unacked), len(unacked))
        assert info.unacked == work.holds(info.name)
