# Generated from tests/conformance/async_/test_browse.py by `python tools/unasync.py`. Do not edit.
"""Looking into queues: browse, peek and unacked show what is there and change nothing (docs/browsing.md)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, BrowsedMessage, Message
from rexchange.errors import InvalidArgument, NotFound, ResourceLocked
from rexchange.keyspace import Keys
from rexchange.testing import drain, wait_until
from tests.conformance.sync_.support import Connect
from tests.support.servers import Bare

MIB = 1024 * 1024


def bodies(found: list[BrowsedMessage]) -> list[bytes]:
    return [message.body for message in found]


def numbered(count: int, queue: str = "q", **headers: Any) -> list[Message]:
    return [Message(b"%d" % number, routing_key=queue, headers=headers) for number in range(count)]


# --- what is shown


def test_it_shows_all_that_a_message_carries(broker: Broker) -> None:
    broker.declare_queue("q")
    before = datetime.now(UTC) - timedelta(seconds=1)
    broker.bind("q", "amq.topic", "a.#")
    broker.publish(b"body", exchange="amq.topic", routing_key="a.b", headers={"n": 1}, priority=3, expiration="60000")

    (found,) = broker.browse("q")

    assert (found.queue, found.state, found.body, found.delivery_count) == ("q", "ready", b"body", 0)
    assert (found.exchange, found.routing_key, found.headers) == ("amq.topic", "a.b", {"n": 1})
    assert (found.properties.priority, found.properties.expiration) == (3, "60000")
    assert before < found.arrived < datetime.now(UTC) + timedelta(seconds=1)
    assert found.expires is not None
    assert abs(found.expires - found.arrived - timedelta(minutes=1)) < timedelta(seconds=1)
    assert (found.consumer, found.age) == ("", None)


def test_looking_takes_and_marks_nothing(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    broker.declare_queue("p", max_priority=5)
    for queue in ("q", "p"):
        broker.publish_many(numbered(5, queue))
    before = ask.dump(keys.prefix)

    for queue in ("q", "p"):
        found = broker.browse(queue)
        assert broker.peek(queue, found[2].id) == found[2]
        assert broker.unacked(queue) == []

    assert ask.dump(keys.prefix) == before
    for queue in ("q", "p"):
        taken = drain(broker, queue)
        assert [(each.body, each.redelivered) for each in taken] == [(b"%d" % number, False) for number in range(5)]


def test_unacked_ones_tell_who_holds_them_and_how_long(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("q")
    broker.publish_many(numbered(3))
    other = connect()
    consumer = other.consume("q", auto_ack=False, prefetch=1, tag="worker")
    with consumer:
        next(consumer)
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        delivery.nack(wait=True)

        found = broker.browse("q")

        assert [(each.state, each.consumer, each.delivery_count) for each in found] == [
            ("unacked", "worker", 1),
            ("ready", "", 1),
            ("ready", "", 0),
        ]
        assert found[0].age is not None
        assert timedelta() <= found[0].age < timedelta(seconds=30)
        assert bodies(broker.browse("q", state="unacked")) == [b"0"]
        assert bodies(broker.browse("q", state="ready")) == [b"1", b"2"]
        assert bodies(broker.browse("q", min_deliveries=1)) == [b"0", b"1"]
        assert bodies(broker.browse("q", state="ready", min_deliveries=1)) == [b"1"]


def test_what_waits_to_be_tried_again_is_shown_and_deleted(broker: Broker) -> None:
    broker.declare_queue("q", retry_delays=[timedelta(hours=1)])
    broker.publish_many(numbered(3))
    for _ in range(2):
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        delivery.nack(retry=True)

    waiting = broker.browse("q", state="waiting")

    assert [(each.body, each.state, each.delivery_count, each.consumer) for each in waiting] == [
        (b"0", "waiting", 1, ""),
        (b"1", "waiting", 1, ""),
    ]
    assert bodies(broker.browse("q", state="ready")) == [b"2"]
    assert broker.unacked("q") == []
    broker.declare_queue("other")
    assert broker.move("q", "other") == 1
    assert broker.delete_message("q", waiting[0].id)
    assert [each.id for each in broker.waiting("q")] == [waiting[1].id]
    assert broker.retry_now("q") == 1
    assert bodies(broker.browse("q")) == [b"1"]


def test_a_queue_with_priorities_is_shown_by_age(broker: Broker) -> None:
    broker.declare_queue("q", max_priority=5)
    for priority in (1, 5, 3):
        broker.publish(b"%d" % priority, routing_key="q", priority=priority)
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    assert delivery.body == b"5"

    assert [(each.body, each.state) for each in broker.browse("q")] == [
        (b"1", "ready"),
        (b"5", "unacked"),
        (b"3", "ready"),
    ]
    # The one handed out is behind one that was not: all are looked at.
    assert bodies(broker.browse("q", min_deliveries=1)) == [b"5"]
    delivery.ack()


def test_what_has_expired_is_not_shown_as_ready(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"stays", routing_key="q")
    broker.publish(b"goes", routing_key="q", expiration="300")
    broker.publish(b"stays too", routing_key="q")
    gone = (broker.browse("q"))[1]
    assert gone.body == b"goes"

    def is_gone() -> bool:
        return len(broker.browse("q")) == 2

    wait_until(is_gone)
    assert bodies(broker.browse("q")) == [b"stays", b"stays too"]
    assert broker.peek("q", gone.id) is None


def test_an_unacked_message_is_shown_though_its_time_is_over(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"held", routing_key="q", expiration="600")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    def is_over() -> bool:
        (found,) = broker.browse("q")
        assert found.state == "unacked"
        assert found.expires is not None
        return found.expires < datetime.now(UTC)

    wait_until(is_over)
    delivery.ack()


def test_a_stream_is_shown_whole_however_often_it_was_read(broker: Broker) -> None:
    broker.declare_queue("log", queue_type="stream")
    broker.publish_many(numbered(3, "log"))

    assert bodies(broker.browse("log")) == [b"0", b"1", b"2"]
    assert broker.browse("log", state="unacked") == []
    assert broker.unacked("log") == []


# --- pages


def test_browsing_goes_on_behind_what_was_seen(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish_many(numbered(250))
    seen: list[bytes] = []
    after: str | None = None
    while found := broker.browse("q", limit=60, after=after):
        seen += bodies(found)
        after = found[-1].id

    assert seen == [b"%d" % number for number in range(250)]
    assert bodies(broker.browse("q", limit=1000)) == seen


def test_large_bodies_come_in_small_pages(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends at about 1 MiB of bodies, whatever its limit: the server is never held up for long."""
    broker.declare_queue("q")
    broker.declare_queue("d")
    for _ in range(6):
        broker.publish(b"x" * (MIB // 2), routing_key="q")
    link: Any = broker._link
    run, calls = link.run, []

    def counted(call: Any, **options: Any) -> Any:
        calls.append(call.script)
        return run(call, **options)

    monkeypatch.setattr(link, "run", counted)

    found = broker.browse("q")
    assert len(found) == 6
    assert calls.count("browse") >= 3
    assert broker.copy("q", "d") == 6
    assert calls.count("move") >= 3
    assert broker.copy("q", "d", ids=[each.id for each in found]) == 6
    assert calls.count("move") >= 6


def test_a_filter_finds_what_is_far_behind(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish_many(numbered(330))
    broker.publish(b"wanted", routing_key="q", headers={"n": 1})

    assert bodies(broker.browse("q", headers={"n": 1})) == [b"wanted"]


# --- filters


def test_headers_are_compared_with_their_types(broker: Broker) -> None:
    broker.declare_queue("q")
    table: list[dict[str, Any]] = [{"a": 1}, {"a": "1"}, {"a": 1.0}, {"a": True}, {"a": 1, "b": "x"}, {"x-a": 1}, {}]
    for number, headers in enumerate(table):
        broker.publish(b"%d" % number, routing_key="q", headers=headers)

    def found(**headers: Any) -> list[int]:
        return [int(each.body) for each in broker.browse("q", headers=headers)]

    assert found(a=1) == [0, 4]
    assert found(a="1") == [1]
    assert found(a=1.0) == [2]
    assert found(a=True) == [3]
    assert found(a=1, b="x") == [4]
    assert found(a=None) == [0, 1, 2, 3, 4]
    assert found(**{"x-a": 1}) == [5]
    assert found() == [0, 1, 2, 3, 4, 5, 6]


def test_a_message_is_found_by_its_message_id(broker: Broker) -> None:
    broker.declare_queue("q")
    for number in range(4):
        broker.publish(b"%d" % number, routing_key="q", message_id=f"id-{number % 2}", headers={"n": number})

    assert bodies(broker.browse("q", message_id="id-1")) == [b"1", b"3"]
    assert bodies(broker.browse("q", message_id="id-1", headers={"n": 3})) == [b"3"]
    assert broker.browse("q", message_id="") == []


@pytest.mark.damages_keys
def test_a_corrupt_message_hides_no_other(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q")
    broker.declare_queue("d", max_priority=3)
    ask("XADD", keys.stream(b"q"), "*", "m", b"what is this", "b", b"odd")
    broker.publish(b"sound", routing_key="q", headers={"n": 1})

    assert bodies(broker.browse("q")) == [b"odd", b"sound"]
    assert bodies(broker.browse("q", headers={"n": 1})) == [b"sound"]
    assert broker.move("q", "d") == 2
    assert bodies(broker.browse("d")) == [b"odd", b"sound"]


# --- what is unacked


def test_unacked_lists_holders_by_age_or_by_deliveries(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("q", ack_timeout=timedelta(seconds=50))
    broker.publish_many(numbered(2))
    poison = broker.get("q", auto_ack=False)
    for _ in range(2):
        assert poison is not None
        poison.nack(wait=True)
        poison = broker.get("q", auto_ack=False)
    assert poison is not None
    assert poison.delivery_count == 3
    other = connect()
    consumer = other.consume("q", auto_ack=False, prefetch=1, tag="worker")
    with consumer:
        next(consumer)

        def is_younger() -> bool:
            poison.extend()
            return (broker.unacked("q"))[0].consumer == "worker"

        wait_until(is_younger)
        oldest, youngest = broker.unacked("q")
        assert (oldest.consumer, oldest.delivery_count) == ("worker", 1)
        assert (youngest.consumer, youngest.delivery_count) == ("amq.get.q", 3)
        assert oldest.age > youngest.age
        assert oldest.age + oldest.left == timedelta(seconds=50)
        (listed,) = [each for each in broker.consumers() if each.tag == "worker"]
        assert (oldest.client, oldest.session) == (listed.client, listed.session)
        assert youngest.client == listed.client  # one process
        assert youngest.session != oldest.session
        assert [each.delivery_count for each in broker.unacked("q", by="deliveries")] == [3, 1]
        assert [each.delivery_count for each in broker.unacked("q", by="deliveries", limit=1)] == [3]
        assert [each.id for each in broker.unacked("q")] == [oldest.id, youngest.id]
    poison.ack(wait=True)


def test_all_that_is_unacked_is_looked_at(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish_many(numbered(230))
    consumer = broker.consume("q", auto_ack=False, prefetch=230)
    with consumer:
        held = [next(consumer) for _ in range(230)]
        held[210].nack(wait=True)
        again = next(consumer)
        assert again.delivery_count == 2

        assert len(broker.unacked("q", limit=1000)) == 230
        (worst,) = broker.unacked("q", by="deliveries", limit=1)
        found = broker.peek("q", worst.id)
        assert found is not None
        assert (found.body, worst.delivery_count) == (b"210", 2)
        again.ack(multiple=True, wait=True)


def test_what_was_given_back_is_nobodys(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"x", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    delivery.nack(wait=True)

    assert broker.unacked("q") == []


# --- bad input


def test_bad_input_is_refused(broker: Broker) -> None:
    broker.declare_queue("q")
    wrong: Any = broker
    attempts: list[tuple[str, Callable[[], Any]]] = [
        ("limit", lambda: wrong.browse("q", limit=0)),
        ("limit", lambda: wrong.browse("q", limit=True)),
        ("limit", lambda: wrong.unacked("q", limit=1.5)),
        ("state", lambda: wrong.browse("q", state="given back")),
        ("by", lambda: wrong.unacked("q", by="size")),
        ("min_deliveries", lambda: wrong.browse("q", min_deliveries=-1)),
        ("headers", lambda: wrong.browse("q", headers=["a"])),
        ("headers['a']", lambda: wrong.browse("q", headers={"a": object()})),
        ("message_id", lambda: wrong.browse("q", message_id=b"x")),
        ("after", lambda: wrong.browse("q", after="0")),
        ("id", lambda: wrong.peek("q", "1-1 ")),
        ("id", lambda: wrong.peek("q", 17)),
        ("id", lambda: wrong.peek("q", "1-99999999999999999999")),
        ("id", lambda: wrong.delete_message("q", "-")),
        ("force", lambda: wrong.delete_message("q", "1-1", force="no")),
    ]
    for argument, attempt in attempts:
        with pytest.raises(InvalidArgument) as caught:
            attempt()
        assert caught.value.argument == argument
        assert caught.value.wanted


def test_a_missing_queue_and_another_brokers_own(broker: Broker, connect: Connect) -> None:
    other = connect()
    other.declare_queue("mine", exclusive=True)
    broker.declare_queue("q")
    attempts: list[Callable[[str], Any]] = [
        broker.browse,
        broker.unacked,
        lambda queue: broker.peek(queue, "1-1"),
        lambda queue: broker.delete_message(queue, "1-1"),
        lambda queue: broker.move(queue, "q"),
        lambda queue: broker.move("q", queue),
        lambda queue: broker.copy(queue, "q"),
        lambda queue: broker.copy("q", queue),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound, match="no such queue"):
            attempt("missing")
        with pytest.raises(ResourceLocked):
            attempt("mine")
    assert other.browse("mine") == []
