"""rexchange.testing: brokers on a fake server, helpers, and the pytest plugin."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

import rexchange
import rexchange.testing
from rexchange import AsyncBroker, Broker, Message, testing
from rexchange.errors import NotFound
from rexchange.testing import (
    assert_routed,
    async_assert_routed,
    async_drain,
    async_memory_broker,
    async_messages,
    async_wait_until,
    drain,
    forget,
    memory_broker,
    messages,
    wait_until,
)

pytest_plugins = ["pytester"]


# --- brokers


def test_a_fresh_broker_has_a_server_of_its_own() -> None:
    with memory_broker() as one, memory_broker() as two:
        one.declare_queue("q")

        assert two.queues() == []


def test_brokers_with_one_name_share_one_server() -> None:
    with memory_broker("shared") as one, memory_broker("shared") as two, Broker("memory://shared") as three:
        one.declare_queue("q")

        two.publish(b"hello", routing_key="q")

        delivery = three.get("q")
        assert delivery is not None
        assert delivery.body == b"hello"
    forget("shared")


async def test_sync_and_async_brokers_share_a_server() -> None:
    with memory_broker("both") as sync:
        async with async_memory_broker("both") as broker:
            sync.declare_queue("q")
            await broker.publish(b"hello", routing_key="q")

        assert [delivery.body for delivery in drain(sync, "q")] == [b"hello"]
    forget("both")


def test_a_named_servers_data_stay_until_it_is_forgotten() -> None:
    with memory_broker("kept") as broker:
        broker.declare_queue("q")
    with memory_broker("kept") as broker:
        assert len(broker.queues()) == 1

    forget("kept")
    forget("never there")

    with memory_broker("kept") as broker:
        assert broker.queues() == []
    forget("kept")


def test_a_fresh_server_is_gone_with_its_broker() -> None:
    with memory_broker() as broker:
        broker.declare_queue("q")
        url = broker.address

    with Broker(url) as broker:
        assert broker.queues() == []


async def test_a_fresh_async_server_is_gone_with_its_broker() -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        url = broker.address

    async with AsyncBroker(url) as broker:
        assert await broker.queues() == []


def test_options_are_those_of_broker() -> None:
    with memory_broker(vhost="mine", prefetch=5) as broker:
        assert (broker.vhost, broker.settings.prefetch) == ("mine", 5)


# --- waiting


def test_wait_until_returns_what_became_true() -> None:
    found: list[str] = []
    threading.Timer(0.02, found.append, ["it"]).start()

    assert wait_until(lambda: found) == ["it"]


def test_wait_until_fails_with_what_it_saw_last() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.01 s: three of them \(last seen: 0\)"):
        wait_until(lambda: 0, timeout=0.01, interval=0.001, message="three of them")


def test_what_the_predicate_raises_goes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0)


async def test_async_wait_until_takes_functions_and_coroutine_functions() -> None:
    async def seven() -> int:
        return 7

    assert await async_wait_until(seven) == 7
    assert await async_wait_until(lambda: 8) == 8


async def test_async_wait_until_fails_with_the_predicates_name() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(AssertionError, match="never"):
        await async_wait_until(never, timeout=0.01, interval=0.001)


# --- looking


def test_assert_routed_says_what_is_missing_and_what_is_too_much() -> None:
    with memory_broker() as broker:
        exchange = broker.declare_exchange("x", "topic")
        queue = broker.declare_queue("one")
        broker.declare_queue("two")
        broker.bind(queue, exchange, "a.#")

        assert_routed(broker, exchange, "a.b", queues=[queue])
        assert_routed(broker, "x", "b", queues=[])
        with pytest.raises(AssertionError, match=r"missing \['two'\], not wanted \['one'\]"):
            assert_routed(broker, "x", "a.b", queues=["two"])
        assert messages(broker, "one") == []


async def test_async_assert_routed_does_the_same() -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        await broker.bind("q", "amq.headers", "", {"a": 1})

        await async_assert_routed(broker, "amq.headers", "", {"a": 1}, queues=["q"])
        with pytest.raises(AssertionError):
            await async_assert_routed(broker, "amq.headers", "", {"a": 2}, queues=["q"])


def test_messages_shows_what_is_ready_and_changes_nothing() -> None:
    published = [
        Message(b"1", routing_key="q", headers={"a": 1}, type="first"),
        Message.json({"n": 2}, routing_key="q"),
        Message(b"3", routing_key="q"),
        Message(b"4", routing_key="q"),
    ]
    with memory_broker() as broker:
        queue = broker.declare_queue("q")
        broker.publish_many(published)
        unacked, given_back = broker.get("q", auto_ack=False), broker.get("q", auto_ack=False)
        assert unacked is not None
        assert given_back is not None
        given_back.nack()

        assert messages(broker, queue) == published[1:]

        assert messages(broker, "q") == published[1:]
        (info,) = broker.queues()
        assert (info.ready, info.unacked) == (3, 1)


async def test_async_messages_does_the_same() -> None:
    async with async_memory_broker() as broker:
        await broker.declare_queue("q")
        await broker.publish(b"1", routing_key="q")

        assert await async_messages(broker, "q") == [Message(b"1", routing_key="q")]


def test_messages_of_a_missing_queue_is_not_found() -> None:
    with memory_broker() as broker, pytest.raises(NotFound):
        messages(broker, "missing")


async def test_drain_takes_all() -> None:
    with memory_broker() as broker:
        broker.declare_queue("q")
        broker.publish_many([Message(b"1", routing_key="q"), Message(b"2", routing_key="q")])
        assert [delivery.body for delivery in drain(broker, "q")] == [b"1", b"2"]
        assert messages(broker, "q") == []
    async with async_memory_broker() as other:
        await other.declare_queue("q")
        await other.publish(b"1", routing_key="q")
        assert [delivery.body for delivery in await async_drain(other, "q")] == [b"1"]


# --- names and the plugin


@pytest.mark.parametrize("module", [rexchange, testing])
def test_every_public_name_can_be_imported(module: object) -> None:
    for name in getattr(module, "__all__"):  # noqa: B009 - mypy knows no __all__ of an object
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(module, "no_such_name")  # noqa: B009 - so does this


def test_loading_the_plugin_loads_nothing_that_takes_time() -> None:
    code = """if True:
        import sys, rexchange.testing.plugin
        print([name for name in ("redis", "pydantic", "fakeredis") if name in sys.modules])
    """
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


TESTS = """
import pytest
from rexchange import Broker
from rexchange.testing import messages

def test_one(rexchange_broker, rexchange_url):
    assert rexchange_broker.queues() == []
    rexchange_broker.declare_queue("q")
    with Broker(rexchange_url) as application:
        application.publish(b"hello", routing_key="q")
    assert [message.body for message in messages(rexchange_broker, "q")] == [b"hello"]

test_two = test_one  # on another server
"""
ASYNC_TESTS = """
import pytest

@pytest.mark.asyncio
async def test_both(rexchange_broker, rexchange_async_broker):
    rexchange_broker.declare_queue("q")
    await rexchange_async_broker.publish(b"hello", routing_key="q")
    assert rexchange_broker.get("q").body == b"hello"
"""


def test_the_fixtures_isolate_each_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)

    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)


def test_the_async_fixture_works_in_the_strict_mode_of_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ASYNC_TESTS)

    pytester.runpytest_subprocess("--asyncio-mode=strict").assert_outcomes(passed=1)


def test_the_plugin_works_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    # None in sys.modules is what Python takes for "there is no such module".
    pytester.makeconftest("")
    pytester.makepyfile(hidden="import sys; sys.modules['pytest_asyncio'] = None")

    result = pytester.runpytest_subprocess("-p", "hidden", "-p", "no:asyncio", "-p", "no:randomly")

    result.assert_outcomes(passed=2)
