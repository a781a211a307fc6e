"""A task that is cancelled in the moment when its command has been written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rexchange.errors import BrokerConnectionError
from rexchange.testing import async_memory_broker, async_messages, async_wait_until


async def test_a_cancellation_that_wait_for_swallows_is_raised_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to Python 3.11 the task would publish, and go on; redis-py writes with wait_for wherever it has a timeout."""
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        await broker.publish(b"before", routing_key="q")  # connected, and its scripts are known
        wire = broker._publisher._wire

        async def write() -> None:
            publishing.cancel()

        async def send(*_: Any, **__: Any) -> None:
            await asyncio.wait_for(write(), 5)

        monkeypatch.setattr(wire._connection, "send_packed_command", send)
        publishing = asyncio.ensure_future(wire.roundtrip([["PING"]]))
        await asyncio.wait({publishing})

        assert publishing.cancelled()


async def test_a_task_that_was_cancelled_may_still_publish_while_it_cleans_up() -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await broker.publish(b"aborted", routing_key="q")

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

        assert task.cancelled()
        assert (await broker.declare_queue("q")).message_count == 1


async def test_a_transaction_whose_caller_is_cancelled_before_its_turn_is_not_done() -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        lock = broker._publisher.lane.lock
        await lock.acquire()

        async def work() -> None:
            async with broker.transaction() as tx:
                tx.publish(b"late", routing_key="q")

        task = asyncio.ensure_future(work())
        await async_wait_until(lambda: bool(lock._waiters))
        task.cancel()
        await asyncio.wait({task})
        lock.release()
        await broker.publish(b"1", routing_key="q")

        assert task.cancelled()
        assert [message.body for message in await async_messages(broker, "q")] == [b"1"]


async def test_a_shared_call_that_fails_unexpectedly_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        publisher = broker._publisher
        call = publisher._call
        late: list[asyncio.Future[int]] = []

        async def fail_once(*args: Any) -> Any:
            if late:
                return await call(*args)
            late.append(asyncio.ensure_future(broker.publish(b"late", routing_key="q")))
            await async_wait_until(lambda: len(publisher._waiting) == 1)
            raise ValueError("injected")

        monkeypatch.setattr(publisher, "_call", fail_once)
        await publisher.lane.lock.acquire()
        both = [asyncio.ensure_future(broker.publish(b"", routing_key="q")) for _ in range(2)]
        await async_wait_until(lambda: len(publisher._waiting) == 2)
        publisher.lane.lock.release()

        told = await asyncio.gather(*both, return_exceptions=True)

        assert [type(error) for error in told] == [BrokerConnectionError] * 2
        assert await asyncio.wait_for(late[0], 5) == 1
