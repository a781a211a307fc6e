"""A broker's own life: how it is made, opened, shared, closed; and its session's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Message
from rexchange.errors import BrokerConnectionError, InvalidArgument, ServerRefused, TopologyLost
from rexchange.keyspace import Keys
from rexchange.settings import load
from rexchange.testing import async_messages, async_wait_until
from tests.conformance.async_.support import Background, Connect
from tests.support.faults import Faults, reap
from tests.support.servers import Bare

BEAT = {"session_timeout": timedelta(milliseconds=200), "heartbeat": timedelta(milliseconds=50)}


# --- made


async def test_settings_are_given_at_once_or_one_by_one(url: str, vhost: str) -> None:
    whole = AsyncBroker(url, vhost=vhost, settings=load(prefetch=7))
    assert (whole.settings.prefetch, whole.vhost) == (7, vhost)

    with pytest.raises(InvalidArgument) as caught:
        AsyncBroker(url, settings=load(), prefetch=7)

    assert caught.value.argument == "settings"


async def test_the_server_may_come_from_the_settings(tmp_path: Path) -> None:
    assert AsyncBroker(settings=load(url="memory://named")).address == "memory://named"
    folder = str(tmp_path / "data")
    assert folder in AsyncBroker(settings=load(data_dir=folder)).address
    assert (
        AsyncBroker("memory://given", settings=load(url="memory://named", data_dir=folder)).address == "memory://given"
    )


@pytest.mark.parametrize("name", [b"q", 7, None, ["q"]])
async def test_a_name_is_a_string_or_what_was_declared(broker: AsyncBroker, name: object) -> None:
    with pytest.raises(InvalidArgument):
        await broker.get(name)  # type: ignore[arg-type]


# --- opened and closed


async def test_opening_and_closing_again_does_nothing(url: str, vhost: str) -> None:
    broker = AsyncBroker(url, vhost=vhost)
    assert await broker.open() is await broker.open()
    await broker.aclose()
    await broker.aclose()


async def test_tasks_that_use_it_first_at_one_time_open_one_session(url: str, vhost: str) -> None:
    broker = AsyncBroker(url, vhost=vhost)
    await broker.declare_queue("q")
    await broker._session._lock.acquire()

    async def get() -> AsyncDelivery | None:
        return await broker.get("q")

    async def get_other() -> AsyncDelivery | None:
        return await broker.get("other")

    await broker.declare_queue("other")
    running = [Background(get), Background(get_other)]
    await async_wait_until(lambda: len(broker._getters) == 2)
    broker._session._lock.release()

    assert [await each.result() for each in running] == [None, None]
    assert (await broker.status()).sessions == 1
    await broker.aclose()


async def test_a_closed_broker_says_so(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.aclose()

    with pytest.raises(BrokerConnectionError, match="closed") as caught:
        await broker.publish(b"", routing_key="q")
    with pytest.raises(BrokerConnectionError, match="closed"):
        await anext(broker.consume("q"))
    with pytest.raises(BrokerConnectionError, match="closed"):
        await broker.get("q")
    with pytest.raises(BrokerConnectionError, match="closed"):
        await broker.open()

    assert caught.value.outcome == "not_done"


async def test_what_cannot_be_entered_is_closed(url: str, vhost: str) -> None:
    broker = AsyncBroker(url, vhost=vhost)
    Faults(broker).answer("open_vhost", "NOPERM this user has no permissions to run the 'evalsha' command")

    with pytest.raises(ServerRefused):
        async with broker:
            pytest.fail("it was entered")

    with pytest.raises(BrokerConnectionError, match="closed"):
        await broker.open()


# --- its session


async def test_a_session_that_cannot_be_closed_is_ended_by_the_reaper(
    broker: AsyncBroker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    other = await connect(**BEAT)
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")
    assert await other.get("q", auto_ack=False) is not None
    Faults(other).answer("session", "NOPERM this user has no permissions to run the 'evalsha' command")

    await other.aclose()

    assert "could not be closed" in caplog.text
    reaper = await connect(**BEAT)
    done = await reaper.reap(wait=1)
    assert (done.sessions, done.given_back) == (1, 1)
    assert [message.body for message in await async_messages(broker, "q")] == [b"1"]


async def test_reap_waits_no_longer_than_asked_for(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    assert await broker.get("q") is None  # opens a session, whose end is far off

    done = await broker.reap(wait=0.05)

    assert done.sessions == 0
    assert done.next_ms


async def test_a_session_that_follows_a_reaped_one_renews_what_the_old_one_did(connect: Connect, url: str) -> None:
    broker = await connect(ack_timeout=timedelta(milliseconds=400), **BEAT)
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)])

    async with broker.consume("q", auto_ack=False, prefetch=1, renew=True, timeout=10) as consumer:
        await anext(consumer)
        first = broker._session.id
        reap(url, broker)
        await async_wait_until(lambda: not broker._session.alive)
        again = await anext(consumer)
        assert again.redelivered
        heart = broker._session._heart
        assert broker._session.id != first
        assert heart is not None
        assert list(heart._renewals) == [consumer._renewing]
        await again.ack(wait=True)


# --- a topology that was lost


@pytest.mark.damages_keys
async def test_redeclare_mends_a_vhost_that_is_gone_for_all_who_notice(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q")
    for key in ask.keys(keys.prefix):
        ask("UNLINK", key)
    faults = Faults(broker)
    rule = faults.cut("take")

    assert await broker.get("q") is None
    assert await broker.publish(b"1", routing_key="q") == 1
    delivery = await broker.get("q")

    assert delivery is not None
    assert delivery.body == b"1"
    assert rule.done == 1


@pytest.mark.damages_keys
async def test_redeclare_does_not_mend_a_part_that_is_broken(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q")
    ask("UNLINK", keys.queues)
    ask("SET", keys.queues, "nonsense")

    with pytest.raises(TopologyLost):
        await broker.get("q")
