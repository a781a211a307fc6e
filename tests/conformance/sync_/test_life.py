# Generated from tests/conformance/async_/test_life.py by `python tools/unasync.py`. Do not edit.
"""A broker's own life: how it is made, opened, shared, closed; and its session's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import BrokerConnectionError, InvalidArgument, ServerRefused, TopologyLost
from rexchange.keyspace import Keys
from rexchange.settings import load
from rexchange.testing import messages, wait_until
from tests.conformance.sync_.support import Background, Connect
from tests.support.faults import Faults, reap
from tests.support.servers import Bare

BEAT = {"session_timeout": timedelta(milliseconds=200), "heartbeat": timedelta(milliseconds=50)}


# --- made


def test_settings_are_given_at_once_or_one_by_one(url: str, vhost: str) -> None:
    whole = Broker(url, vhost=vhost, settings=load(prefetch=7))
    assert (whole.settings.prefetch, whole.vhost) == (7, vhost)

    with pytest.raises(InvalidArgument) as caught:
        Broker(url, settings=load(), prefetch=7)

    assert caught.value.argument == "settings"


def test_the_server_may_come_from_the_settings(tmp_path: Path) -> None:
    assert Broker(settings=load(url="memory://named")).address == "memory://named"
    folder = str(tmp_path / "data")
    assert folder in Broker(settings=load(data_dir=folder)).address
    assert Broker("memory://given", settings=load(url="memory://named", data_dir=folder)).address == "memory://given"


@pytest.mark.parametrize("name", [b"q", 7, None, ["q"]])
def test_a_name_is_a_string_or_what_was_declared(broker: Broker, name: object) -> None:
    with pytest.raises(InvalidArgument):
        broker.get(name)  # type: ignore[arg-type]


# --- opened and closed


def test_opening_and_closing_again_does_nothing(url: str, vhost: str) -> None:
    broker = Broker(url, vhost=vhost)
    assert broker.open() is broker.open()
    broker.close()
    broker.close()


def test_tasks_that_use_it_first_at_one_time_open_one_session(url: str, vhost: str) -> None:
    broker = Broker(url, vhost=vhost)
    broker.declare_queue("q")
    broker._session._lock.acquire()

    def get() -> Delivery | None:
        return broker.get("q")

    def get_other() -> Delivery | None:
        return broker.get("other")

    broker.declare_queue("other")
    running = [Background(get), Background(get_other)]
    wait_until(lambda: len(broker._getters) == 2)
    broker._session._lock.release()

    assert [each.result() for each in running] == [None, None]
    assert (broker.status()).sessions == 1
    broker.close()


def test_a_closed_broker_says_so(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.close()

    with pytest.raises(BrokerConnectionError, match="closed") as caught:
        broker.publish(b"", routing_key="q")
    with pytest.raises(BrokerConnectionError, match="closed"):
        next(broker.consume("q"))
    with pytest.raises(BrokerConnectionError, match="closed"):
        broker.get("q")
    with pytest.raises(BrokerConnectionError, match="closed"):
        broker.open()

    assert caught.value.outcome == "not_done"


def test_what_cannot_be_entered_is_closed(url: str, vhost: str) -> None:
    broker = Broker(url, vhost=vhost)
    Faults(broker).answer("open_vhost", "NOPERM this user has no permissions to run the 'evalsha' command")

    with pytest.raises(ServerRefused):
        with broker:
            pytest.fail("it was entered")

    with pytest.raises(BrokerConnectionError, match="closed"):
        broker.open()


# --- its session


def test_a_session_that_cannot_be_closed_is_ended_by_the_reaper(
    broker: Broker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    other = connect(**BEAT)
    broker.declare_queue("q")
    broker.publish(b"1", routing_key="q")
    assert other.get("q", auto_ack=False) is not None
    Faults(other).answer("session", "NOPERM this user has no permissions to run the 'evalsha' command")

    other.close()

    assert "could not be closed" in caplog.text
    reaper = connect(**BEAT)
    done = reaper.reap(wait=1)
    assert (done.sessions, done.given_back) == (1, 1)
    assert [message.body for message in messages(broker, "q")] == [b"1"]


def test_reap_waits_no_longer_than_asked_for(broker: Broker) -> None:
    broker.declare_queue("q")
    assert broker.get("q") is None  # opens a session, whose end is far off

    done = broker.reap(wait=0.05)

    assert done.sessions == 0
    assert done.next_ms


def test_a_session_that_follows_a_reaped_one_renews_what_the_old_one_did(connect: Connect, url: str) -> None:
    broker = connect(ack_timeout=timedelta(milliseconds=400), **BEAT)
    broker.declare_queue("q")
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)])

    with broker.consume("q", auto_ack=False, prefetch=1, renew=True, timeout=10) as consumer:
        next(consumer)
        first = broker._session.id
        reap(url, broker)
        wait_until(lambda: not broker._session.alive)
        again = next(consumer)
        assert again.redelivered
        heart = broker._session._heart
        assert broker._session.id != first
        assert heart is not None
        assert list(heart._renewals) == [consumer._renewing]
        again.ack(wait=True)


# --- a topology that was lost


@pytest.mark.damages_keys
def test_redeclare_mends_a_vhost_that_is_gone_for_all_who_notice(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = connect(redeclare=True)
    broker.declare_queue("q")
    for key in ask.keys(keys.prefix):
        ask("UNLINK", key)
    faults = Faults(broker)
    rule = faults.cut("take")

    assert broker.get("q") is None
    assert broker.publish(b"1", routing_key="q") == 1
    delivery = broker.get("q")

    assert delivery is not None
    assert delivery.body == b"1"
    assert rule.done == 1


@pytest.mark.damages_keys
def test_redeclare_does_not_mend_a_part_that_is_broken(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = connect(redeclare=True)
    broker.declare_queue("q")
    ask("UNLINK", keys.queues)
    ask("SET", keys.queues, "nonsense")

    with pytest.raises(TopologyLost):
        broker.get("q")
