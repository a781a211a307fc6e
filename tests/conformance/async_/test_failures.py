"""Operations on a connection that fails: what is repeated, what is refused, and what its `outcome` then says."""

from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from rexchange import AsyncBroker
from rexchange.errors import BrokerConnectionError, ScriptError, ServerRefused
from rexchange.testing import async_messages, async_wait_until
from tests.conformance.async_.support import INTERRUPTION, Background, Connect
from tests.support.faults import Faults

NOT_NOW = ["READONLY You can't write against a read only replica.", "LOADING Redis is loading the dataset in memory"]


async def bodies(broker: AsyncBroker) -> list[bytes]:
    """Return what is ready, in order."""
    return [message.body for message in await async_messages(broker, "q")]


# --- what is repeated


@pytest.mark.parametrize("error", [*NOT_NOW, "BUSY Redis is busy running a script.", "NOSCRIPT No matching script."])
async def test_what_the_server_refuses_for_now_is_sent_again(broker: AsyncBroker, error: str) -> None:
    await broker.declare_queue("q")
    rule = Faults(broker).answer("publish", error, times=2)

    assert await broker.publish(b"1", routing_key="q") == 1

    assert rule.done == 2
    assert await bodies(broker) == [b"1"]


@pytest.mark.parametrize("error", NOT_NOW)
async def test_what_is_refused_until_the_time_is_up_was_not_done(broker: AsyncBroker, error: str) -> None:
    await broker.declare_queue("q")
    Faults(broker).answer("publish", error)

    with pytest.raises(BrokerConnectionError) as caught:
        await broker.publish(b"1", routing_key="q", timeout=0)

    assert caught.value.outcome == "not_done"
    assert await bodies(broker) == []


async def test_a_server_that_forgets_each_script_at_once_is_an_error(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    Faults(broker).answer("publish", "NOSCRIPT No matching script.", times=9)

    with pytest.raises(ScriptError, match="NOSCRIPT"):
        await broker.publish(b"1", routing_key="q")


@pytest.mark.parametrize("error", NOT_NOW)
async def test_a_refused_retry_of_what_may_have_been_done_is_unknown(broker: AsyncBroker, error: str) -> None:
    await broker.declare_queue("q")
    faults = Faults(broker)
    faults.cut("publish")
    faults.answer("publish", error, times=99)

    with pytest.raises(BrokerConnectionError) as caught:
        await broker.publish(b"1", routing_key="q", timeout=0.2)

    assert caught.value.outcome == "unknown"
    assert await bodies(broker) == [b"1"]


async def test_a_refused_password_is_no_lost_connection(broker: AsyncBroker) -> None:
    Faults(broker).refuse(AuthenticationError("WRONGPASS invalid username-password pair"))

    with pytest.raises(ServerRefused, match="password") as caught:
        await broker.exchanges()

    assert caught.value.outcome == "not_done"


async def test_a_connect_that_fails_is_repeated_and_was_not_done(broker: AsyncBroker) -> None:
    faults = Faults(broker)
    faults.refuse(RedisConnectionError("no route to the host"))
    assert len(await broker.exchanges()) == 6
    faults.refuse(RedisConnectionError("no route to the host"))

    with pytest.raises(BrokerConnectionError, match="no route") as caught:
        await broker.publish(b"1", routing_key="q", timeout=0)

    assert caught.value.outcome == "not_done"


async def test_a_command_after_an_interrupted_one_reads_its_own_reply(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")

    def interrupt() -> None:
        raise INTERRUPTION

    Faults(broker).during("status", interrupt)
    with pytest.raises(INTERRUPTION):
        await broker.status()

    assert await broker.route("", "q") == ["q"]


# --- publishing on one lane


async def test_a_publish_that_waits_too_long_for_another_was_not_done(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    lock = broker._publisher.lane.lock
    await lock.acquire()

    with pytest.raises(BrokerConnectionError, match="the time was up") as caught:
        await broker.publish(b"late", routing_key="q", timeout=0.01)
    lock.release()

    assert caught.value.outcome == "not_done"
    await broker.publish(b"1", routing_key="q")
    assert await bodies(broker) == [b"1"]


async def test_an_interrupted_publish_tells_its_neighbours(broker: AsyncBroker) -> None:
    """They share one call: nobody may wait for ever for the answer that only the interrupted one would have read."""
    await broker.declare_queue("q")
    publisher = broker._publisher
    await publisher.lane.lock.acquire()

    async def publish() -> int:
        return await broker.publish(b"1", routing_key="q")

    neighbours = [Background(publish), Background(publish)]
    await async_wait_until(lambda: len(publisher._waiting) == 2)

    def interrupt() -> None:
        raise INTERRUPTION

    Faults(broker).during("publish", interrupt)
    publisher.lane.lock.release()

    raised: list[BaseException] = []
    for each in neighbours:
        with pytest.raises((INTERRUPTION, BrokerConnectionError)) as caught:
            await each.result()
        raised.append(caught.value)
    # In asyncio it hits the task that sends for both; among threads it is the one who sent that was interrupted.
    outcomes = [error.outcome for error in raised if isinstance(error, BrokerConnectionError)]
    assert set(outcomes) == {"unknown"}
    assert len(outcomes) >= 1
    assert await bodies(broker) == [b"1", b"1"]


async def test_a_publish_whose_reply_is_lost_while_the_broker_is_given_up_may_have_been_done(
    broker: AsyncBroker,
) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"0", routing_key="q")  # else the server has yet to learn the script

    def give_up() -> None:
        broker._link._given_up = True  # as closing does, when the server does not answer any more
        raise RedisConnectionError("cut by the test")

    Faults(broker).during("publish", give_up)
    with pytest.raises(BrokerConnectionError) as caught:
        await broker.publish(b"1", routing_key="q")
    assert caught.value.outcome == "unknown"
    broker._link.forgive()
    assert await bodies(broker) == [b"0", b"1"]


async def test_two_processes_on_one_lane_lose_and_double_nothing(broker: AsyncBroker, connect: Connect) -> None:
    """A snapshot of a virtual machine that runs twice counts on the same lane."""
    await broker.declare_queue("q")
    copy = await connect()
    await broker.publish(b"0", routing_key="q")
    copy._publisher.lane.id, copy._publisher.lane.number = broker._publisher.lane.id, broker._publisher.lane.number

    for number in range(1, 4):
        await broker.publish(b"%d" % number, routing_key="q")
        await copy.publish(b"copy %d" % number, routing_key="q")

    assert await bodies(broker) == [b"0", b"1", b"copy 1", b"2", b"copy 2", b"3", b"copy 3"]
    assert copy._publisher.lane.id != broker._publisher.lane.id
