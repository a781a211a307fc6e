# Generated from tests/conformance/async_/test_large_bodies.py by `python tools/unasync.py`. Do not edit.
"""A large body that goes to several queues is stored once, and freed with the last entry that points to it (ADR 14)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import PublishRefused, StaleDelivery, TopologyLost, Unroutable
from rexchange.keyspace import Keys
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare

LARGE = 16_384
"""LARGE of lua/lib/planning.lua: bodies of so many bytes are shared."""
BODY = bytes(range(256)) * 256


def fan(broker: Broker, *queues: str, **options: Any) -> None:
    """Declare queues behind one fanout exchange."""
    broker.declare_exchange("fan", "fanout")
    for name in queues:
        broker.declare_queue(name, **options)
        broker.bind(name, "fan")


def stored(ask: Bare, keys: Keys) -> list[int]:
    """Return how many entries point to each body that is stored, which are as many as bodies."""
    counts = [int(count) for count in ask("HVALS", keys.shares)]
    assert sum(ask("TTL", key) < 0 for key in ask.keys(keys.body(b""))) == len(counts)
    return sorted(counts)


def test_a_body_is_stored_once_and_freed_with_the_last_ack(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b", "c")

    assert broker.publish(BODY, exchange="fan", headers={"n": 1}) == 3

    assert stored(ask, keys) == [3]
    for left, name in ((2, "a"), (1, "b")):
        with broker.consume(name, auto_ack=False) as consumer:
            delivery = next(consumer)
            assert (delivery.body, delivery.headers, delivery.redelivered) == (BODY, {"n": 1}, False)
            delivery.ack(wait=True)
        assert stored(ask, keys) == [left]
    assert [message.body for message in broker.browse("c")] == [BODY]
    assert [message.body for message in drain(broker, "c")] == [BODY]
    assert stored(ask, keys) == []
    assert ask("EXISTS", keys.sharing) == 0


def test_small_bodies_and_those_of_one_queue_are_not_shared(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b")

    broker.publish(b"x" * (LARGE - 1), exchange="fan")
    broker.publish(b"x" * LARGE, routing_key="a")
    assert stored(ask, keys) == []

    broker.publish(b"x" * LARGE, exchange="fan")
    assert stored(ask, keys) == [2]
    assert [len(message.body) for message in messages(broker, "a")] == [LARGE - 1, LARGE, LARGE]


def test_ten_megabytes_reach_all_kinds_of_queues(broker: Broker, ask: Bare, keys: Keys) -> None:
    body = BODY * 160
    fan(broker, "plain", "other")
    fan(broker, "log", queue_type="stream")
    fan(broker, "ranked", max_priority=3, max_length_bytes=len(body) * 2)

    broker.publish_many([Message(body, exchange="fan"), Message(b"small", exchange="fan")])

    assert stored(ask, keys) == [3]
    for name in ("plain", "ranked"):
        assert [message.body for message in drain(broker, name)] == [body, b"small"]
    with broker.consume("log", auto_ack=False, offset="first", timeout=5) as consumer:
        assert (next(consumer)).body == body
    assert stored(ask, keys) == [1]


def test_every_way_out_frees_it(broker: Broker, ask: Bare, keys: Keys) -> None:
    def settle(verdict: str, **options: Any) -> None:
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        getattr(delivery, verdict)(wait=True, **options)

    def transact() -> None:
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        with broker.transaction() as tx:
            tx.ack(delivery)

    def delete_one() -> None:
        (message,) = broker.browse("q")
        broker.delete_message("q", message.id)

    ways: dict[str, tuple[dict[str, Any], Callable[[], object]]] = {
        "ack": ({}, lambda: settle("ack")),
        "reject": ({}, lambda: settle("reject")),
        "limit": ({"queue_type": "quorum", "delivery_limit": 0}, lambda: settle("nack")),
        "transaction": ({}, transact),
        "purge": ({}, lambda: broker.purge("q")),
        "purge by order": ({"max_priority": 2}, lambda: broker.purge("q")),
        "delete_queue": ({}, lambda: broker.delete_queue("q")),
        "delete_message": ({}, delete_one),
        "drop-head": ({"max_length": 1}, lambda: broker.publish(b"", routing_key="q")),
        "move": ({}, lambda: broker.move("q", "twin")),
    }
    for name, (options, leave) in ways.items():
        fan(broker, "q", **options)
        fan(broker, "twin")
        broker.publish(BODY, exchange="fan")
        assert stored(ask, keys) == [2], name
        leave()
        assert stored(ask, keys) == [2 if name == "move" else 1], name
        assert {message.body for message in drain(broker, "twin")} == {BODY}, name
        assert stored(ask, keys) == [], name
        broker.delete_queue("q")


def test_dead_letters_share_it_too(broker: Broker, ask: Bare, keys: Keys) -> None:
    for name in ("dead", "buried"):
        broker.declare_queue(name)
        broker.bind(name, "amq.fanout")
    fan(broker, "a", "b", dead_letter_exchange="amq.fanout")
    broker.publish(BODY, exchange="fan")

    for name in ("a", "b"):
        delivery = broker.get(name, auto_ack=False)
        assert delivery is not None
        delivery.reject(wait=True)

    assert stored(ask, keys) == [4]
    for name in ("dead", "buried"):
        assert [each.body for each in drain(broker, name)] == [BODY, BODY]
    assert stored(ask, keys) == []


def test_a_consumers_batches_hold_large_and_small_ones(broker: Broker, ask: Bare, keys: Keys) -> None:
    """More than one call may hand out: 4 MiB of bodies; the order stays, and acks of all kinds free."""
    fan(broker, "q", "twin")
    bodies = [(b"%03d" % n).ljust(150_000 if n % 2 else 3, b"x") for n in range(80)]
    broker.publish_many([Message(body, exchange="fan") for body in bodies])
    assert stored(ask, keys) == [2] * 40
    broker.purge("twin")

    with broker.consume("q", auto_ack=False, prefetch=60, timeout=10) as consumer:
        found = [next(consumer) for _ in range(50)]
        found[0].nack(requeue=False)
        found[1].ack(wait=True)
        consumer.ack(found[-1].delivery_tag, multiple=True, wait=True)
        assert stored(ask, keys) == [1] * 15
        found += [next(consumer) for _ in range(30)]
        consumer.ack(found[-1].delivery_tag, multiple=True, wait=True)
    assert [delivery.body for delivery in found] == bodies
    assert stored(ask, keys) == []


def test_who_reads_already_when_the_first_one_comes_frees_it(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b")

    def fence() -> bytes:
        (value,) = ask("HVALS", keys.fences)
        return bytes(value)

    with broker.consume("a", auto_ack=False, timeout=10) as consumer:
        assert fence() == b"1"
        for left in (1, 2):
            broker.publish(BODY, exchange="fan")
            assert fence() == b"s"
            (next(consumer)).ack(wait=True)
            assert stored(ask, keys) == [1] * left
        broker.publish(b"small", routing_key="a")
        assert (next(consumer)).body == b"small"
    assert len(drain(broker, "b")) == 2


def test_what_a_dead_process_held_comes_again_and_is_freed_once(
    connect: Connect, broker: Broker, ask: Bare, keys: Keys
) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(BODY, exchange="fan")] * 3)
    sleeper = connect()
    with sleeper.consume("q", auto_ack=False, prefetch=3) as consumer:
        shown = [next(consumer), next(consumer)]
        ask("ZADD", keys.sessions, "XX", 0, sleeper._session.id)
        broker.reap()

        again = [broker.get("q", auto_ack=False) for _ in range(3)]
        assert [each is not None and (each.body, each.redelivered) for each in again] == [(BODY, True)] * 3
        with pytest.raises(StaleDelivery):
            shown[0].ack(wait=True)
        assert stored(ask, keys) == [2, 2, 2]
        for each in again:
            assert each is not None
            each.ack(wait=True)
    assert stored(ask, keys) == [1, 1, 1]
    assert len(drain(broker, "twin")) == 3


def test_what_was_acknowledged_on_receipt_and_not_shown_goes_back_whole(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(BODY, exchange="fan")] * 3)

    with broker.consume("q", prefetch=3) as consumer:
        assert (next(consumer)).body == BODY

    assert [message.body for message in drain(broker, "q")] == [BODY] * 2
    assert stored(ask, keys) == [1, 1, 1]


def test_the_fence_of_who_holds_some_outlives_a_trace(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(BODY, exchange="fan")] * 3)
    with broker.consume("q", auto_ack=False, prefetch=1) as consumer:
        first = next(consumer)
        broker.trace(queue="q")
        first.ack(wait=True)
        second = next(consumer)
        broker.untrace()
        broker.reap()
        second.ack(wait=True)
        (next(consumer)).ack(wait=True)
    assert stored(ask, keys) == [1, 1, 1]


def test_a_deep_queue_that_is_deleted_is_dug_up_by_the_reaper(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(b"", routing_key="q")] * 600)
    broker.publish(BODY, exchange="fan")
    broker.publish_many([Message(b"", routing_key="q")] * 600)
    with broker.consume("q", auto_ack=False, prefetch=600) as consumer:
        held = next(consumer)

        assert broker.delete_queue("q") == 601
        broker.declare_queue("q")
        broker.purge("twin")
        while ask("EXISTS", keys.graves):
            broker.reap()

        assert stored(ask, keys) == []
        held.ack()
    assert [info.ready for info in broker.queues()] == [0, 0]


@pytest.mark.damages_keys
def test_a_body_that_is_gone_is_told_and_its_message_can_be_deleted(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(BODY, exchange="fan"), Message(b"next", exchange="fan")])
    (body,) = ask.keys(keys.body(b""))
    ask("DEL", body)

    for attempt in (
        lambda: broker.get("q"),
        lambda: broker.browse("q"),
        lambda: broker.consume("q", timeout=5).__iter__().__next__(),
    ):
        with pytest.raises(TopologyLost, match=r"the body of message \d+-\d+ is gone") as caught:
            attempt()
        assert caught.value.name == "q"

    message = str(caught.value).partition("message ")[2].partition(" ")[0]
    assert broker.delete_message("q", message)
    assert [each.body for each in drain(broker, "q")] == [b"next"]
    assert broker.purge("twin") == 2
    assert stored(ask, keys) == []


def test_who_finds_bodies_gone_takes_nothing_from_those_who_have_the_messages_now(
    broker: Broker, connect: Connect, url: str
) -> None:
    fan(broker, "q", "twin")
    broker.publish_many([Message(BODY, exchange="fan"), Message(BODY[1:], exchange="fan")])
    slow = connect(ack_timeout=timedelta(milliseconds=100))
    faults = Faults(slow)
    with Broker(url, vhost=broker.vhost) as other:
        taken: list[Delivery] = []

        def overtake() -> None:
            def given_back() -> bool:
                other.reap()
                return next(info for info in other.queues() if info.name == "q").ready == 2

            wait_until(given_back)
            taken.extend(filter(None, (other.get("q", auto_ack=False) for _ in range(2))))

        rule = faults.during("XREADGROUP", overtake)
        faults.answer("$3\r\nGET\r\n", [None, None])  # the command: scripts hold the word, too

        assert slow.consume("q", auto_ack=False, timeout=0.5).next(timeout=0.5) is None

        assert rule.done == 1
        assert [each.body for each in taken] == [BODY, BODY[1:]]
        taken[0].ack(wait=True)
        taken[1].nack(wait=True)
    assert [(each.body, each.redelivered) for each in drain(broker, "q")] == [(BODY[1:], True)]


# --- bodies that are stored ahead of the call that publishes them


def test_a_call_holds_large_and_small_ones_of_all_kinds(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b", max_priority=3)
    fan(broker, "log", queue_type="stream")
    broker.declare_queue("copied")
    bodies = [BODY, b"small", BODY + b"!", b"s", b"x" * LARGE, BODY]
    options: list[dict[str, Any]] = [
        {},
        {},
        {"headers": {"CC": ["copied"]}},
        {"priority": 1},
        {"expiration": "60000"},
        {},
    ]

    counts = broker.publish_many(
        [Message(body, exchange="fan", routing_key="k", **each) for body, each in zip(bodies, options, strict=True)]
    )

    assert counts == [3] * 6
    for name in ("a", "b"):
        assert [each.body for each in drain(broker, name)] == [b"s", *bodies[:3], *bodies[4:]]
    with broker.consume("log", auto_ack=False, offset="first", prefetch=10, timeout=5) as consumer:
        assert [(next(consumer)).body for _ in bodies] == bodies
    assert stored(ask, keys) == []


def test_one_queue_has_a_body_for_itself_and_what_waits_keeps_it_whole(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("q", max_length=1, overflow="reject-publish")
    waiting = broker.publish(BODY, routing_key="q", delay=timedelta(hours=1))
    assert stored(ask, keys) == []
    assert broker.publish(BODY, routing_key="q", dedup_key="once", dedup_window=timedelta(hours=1)) == 1
    assert (broker.publish(BODY, routing_key="q", dedup_key="once", dedup_window=timedelta(hours=1))).duplicate
    with pytest.raises(PublishRefused):
        broker.publish(BODY, routing_key="q")
    assert stored(ask, keys) == [1]

    assert waiting.schedule_id is not None
    assert [each.body for each in broker.scheduled()] == [BODY]
    assert [each.body for each in drain(broker, "q")] == [BODY]
    assert stored(ask, keys) == []
    broker.cancel_scheduled(waiting.schedule_id)


def test_what_a_refused_publish_stored_ahead_expires(broker: Broker, ask: Bare, keys: Keys) -> None:
    with pytest.raises(Unroutable):
        broker.publish(BODY, exchange="amq.topic", mandatory=True)

    assert ask("HLEN", keys.shares) == 0
    (left,) = ask.keys(keys.body(b""))
    assert 0 < ask("TTL", left) <= 60


def test_a_body_that_is_not_there_any_more_is_sent_with_its_call(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b")
    faults = Faults(broker)

    def evict() -> None:
        ask("DEL", *ask.keys(keys.body(b"")))

    evicted = faults.during("SET", evict)
    assert broker.publish(BODY, exchange="fan") == 2
    lost = faults.cut("SET")
    assert broker.publish(BODY, exchange="fan") == 2
    refused = faults.answer("SET", "OOM command not allowed when used memory > 'maxmemory'.")
    assert broker.publish(BODY, exchange="fan") == 2

    assert [rule.done for rule in (evicted, lost, refused)] == [1, 1, 1]
    assert stored(ask, keys)[-3:] == [2, 2, 2]
    for name in ("a", "b"):
        assert [each.body for each in drain(broker, name)] == [BODY] * 3


def test_a_lost_reply_doubles_no_large_body(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b")
    faults = Faults(broker)

    cut = faults.cut("publish", 2)
    assert broker.publish(BODY, exchange="fan") == 2

    assert cut.done == 2
    assert stored(ask, keys) == [2]
    for name in ("a", "b"):
        assert [each.body for each in drain(broker, name)] == [BODY]


def test_a_body_whose_fetching_is_cut_off_comes_again(broker: Broker, ask: Bare, keys: Keys) -> None:
    fan(broker, "a", "b")
    broker.publish(BODY, exchange="fan")
    faults = Faults(broker)

    cut = faults.cut("GET", 2)
    with broker.consume("a", auto_ack=False, timeout=10) as consumer:
        delivery = next(consumer)
        assert (delivery.body, delivery.redelivered) == (BODY, False)
        delivery.ack(wait=True)
    assert [each.body for each in drain(broker, "b")] == [BODY]
    assert cut.done == 2
    assert stored(ask, keys) == []
