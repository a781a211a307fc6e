# Generated from tests/conformance/async_/test_move.py by `python tools/unasync.py`. Do not edit.
"""Moving and copying messages between queues (docs/browsing.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import InvalidArgument, NotSupported, PublishRefused
from rexchange.keyspace import Keys
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import INTERRUPTION, Background, Connect, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare


def bodies(broker: Broker, queue: str) -> list[bytes]:
    """Return the bodies of what is ready."""
    return [message.body for message in messages(broker, queue)]


def counts(broker: Broker, queue: str) -> tuple[int, int]:
    """Return how many are ready, and unacked."""
    (info,) = [each for each in broker.queues() if each.name == queue]
    return info.ready, info.unacked


def fill(broker: Broker, queue: str, count: int) -> list[bytes]:
    """Publish bodies that are numbers."""
    found = [b"%d" % number for number in range(count)]
    broker.publish_many([Message(body, routing_key=queue, headers={"n": i % 2}) for i, body in enumerate(found)])
    return found


def taken(broker: Broker, queue: str) -> Delivery:
    """Get a delivery to settle."""
    delivery = broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


# --- move


def test_of_a_stream_no_message_is_deleted_or_moved(broker: Broker) -> None:
    broker.declare_queue("log", queue_type="stream")
    broker.declare_queue("q")
    fill(broker, "log", 2)
    first, _ = broker.browse("log")

    with pytest.raises(NotSupported, match="by age or size"):
        broker.delete_message("log", first.id)
    with pytest.raises(NotSupported, match="copy from it instead"):
        broker.move("log", "q")
    assert len(broker.browse("log")) == 2
    assert bodies(broker, "q") == []


def test_all_that_is_ready_moves_in_its_order(broker: Broker) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    wanted = fill(broker, "a", 250)
    broker.publish(b"before", routing_key="b")
    held = taken(broker, "a")
    given_back = taken(broker, "a")
    given_back.nack(wait=True)

    assert broker.move("a", "b") == 249

    assert bodies(broker, "b") == [b"before", *wanted[1:]]
    assert counts(broker, "a") == (0, 1)
    assert counts(broker, "b") == (250, 0)
    assert broker.move("a", "b") == 0
    held.ack(wait=True)


def test_a_message_stays_what_it_was_but_is_new_in_its_queue(broker: Broker) -> None:
    broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.declare_queue("dead")
    broker.bind("work", "amq.fanout")
    broker.publish(b"x", exchange="amq.fanout", routing_key="k", headers={"h": 1}, content_type="text/plain")
    (taken(broker, "work")).reject(wait=True)
    (before,) = broker.browse("dead")

    assert broker.move("dead", "work") == 1

    (after,) = broker.browse("work")
    assert after.envelope == before.envelope
    assert after.headers["x-death"]
    assert (taken(broker, "work")).redelivered is False
    # The cycle is not one: a reject sent it here, and an operator sent it back.
    delivery = broker.get("dead")
    assert delivery is None


def test_a_limit_headers_and_ids_choose(broker: Broker) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    fill(broker, "a", 10)

    assert broker.move("a", "b", limit=2) == 2
    assert bodies(broker, "b") == [b"0", b"1"]
    assert broker.move("a", "b", headers={"n": 1}, limit=2) == 2
    assert bodies(broker, "b") == [b"0", b"1", b"3", b"5"]
    ids = {each.body: each.id for each in broker.browse("a")}
    wanted = [ids[b"8"], ids[b"2"], ids[b"8"], "1-1"]
    assert broker.move("a", "b", ids=wanted) == 2
    assert (bodies(broker, "b"))[4:] == [b"8", b"2"]
    assert broker.move("a", "b", ids=[ids[b"4"], ids[b"6"]], limit=1) == 1
    assert broker.move("a", "b", ids=[]) == 0
    assert bodies(broker, "a") == [b"6", b"7", b"9"]


def test_many_ids_go_in_pages(broker: Broker) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    wanted = fill(broker, "a", 230)
    ids = [each.id for each in broker.browse("a", limit=230)]
    held = taken(broker, "a")

    assert broker.move("a", "b", ids=ids) == 229
    assert bodies(broker, "b") == wanted[1:]
    held.ack(wait=True)


def test_what_comes_meanwhile_stays(broker: Broker) -> None:
    """A destination that dead-letters into the source would make it go on for ever."""
    broker.declare_queue("a")
    broker.declare_queue("b", max_length=5, dead_letter_exchange="", dead_letter_routing_key="a")
    fill(broker, "a", 150)

    assert broker.move("a", "b") == 150

    assert len(bodies(broker, "a")) == 145
    assert bodies(broker, "b") == [b"%d" % number for number in range(145, 150)]


def test_a_consumer_of_the_destination_is_woken(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("a")
    other = connect()
    for options in ({}, {"message_ttl": timedelta(minutes=1)}, {"max_priority": 2}, {"single_active_consumer": True}):
        broker.declare_queue("b", **options)
        broker.publish(b"x", routing_key="a")
        with other.consume("b", auto_ack=True, timeout=20) as consumer:
            first = Background(lambda: next(consumer))
            wait_until(lambda: is_waiting(consumer))

            assert broker.move("a", "b") == 1
            assert (first.result()).body == b"x"
        broker.delete_queue("b")


# --- what the destination makes of it


def test_an_expiration_goes_on_running_and_the_sources_ttl_ends(broker: Broker) -> None:
    broker.declare_queue("a", message_ttl=timedelta(minutes=10))
    broker.declare_queue("plain")
    broker.declare_queue("short", message_ttl=timedelta(minutes=1))
    broker.publish(b"own", routing_key="a", expiration="300000")
    broker.publish(b"longer", routing_key="a", expiration="3600000")
    broker.publish(b"none", routing_key="a")
    own = (broker.browse("a"))[0].expires

    assert broker.copy("a", "short") == 3
    assert broker.move("a", "plain") == 3

    first, second, third = broker.browse("plain")
    assert first.expires == own
    assert second.expires is not None
    assert timedelta(minutes=59) < second.expires - second.arrived <= timedelta(minutes=60)
    assert third.expires is None
    for found in broker.browse("short"):
        assert found.expires is not None
        assert abs(found.expires - found.arrived - timedelta(minutes=1)) < timedelta(seconds=1)


def test_what_has_expired_is_not_moved_but_dies_where_it_is(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("a", dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.declare_queue("b")
    broker.publish(b"first", routing_key="a")
    broker.publish(b"goes", routing_key="a", expiration="200")

    def is_over() -> bool:
        return len(broker.browse("a")) == 1

    wait_until(is_over)
    assert broker.move("a", "b") == 1
    assert bodies(broker, "b") == [b"first"]
    assert bodies(broker, "dead") == [b"goes"]
    assert counts(broker, "a") == (0, 0)


def test_priorities_hold_in_the_destination(broker: Broker) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b", max_priority=3)
    for priority in (1, 9, 2, None):
        broker.publish(b"%d" % (priority or 0), routing_key="a", priority=priority)

    assert broker.move("a", "b") == 4
    assert [each.body for each in drain(broker, "b")] == [b"9", b"2", b"1", b"0"]


def test_a_queue_that_drops_its_head_does_so(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("a")
    broker.declare_queue("b", max_length=3, dead_letter_exchange="", dead_letter_routing_key="dead")
    fill(broker, "a", 5)

    assert broker.move("a", "b") == 5
    assert bodies(broker, "b") == [b"2", b"3", b"4"]
    assert bodies(broker, "dead") == [b"0", b"1"]


@pytest.mark.parametrize(
    "options",
    [
        {"overflow": "reject-publish", "max_length": 120},
        {"overflow": "reject-publish-dlx", "max_length_bytes": 250},
    ],
)
def test_a_full_queue_that_refuses_stops_the_move(broker: Broker, options: dict[str, Any]) -> None:
    broker.declare_queue("dead")
    dead: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    broker.declare_queue("a")
    broker.declare_queue("b", **options, **dead)
    wanted = fill(broker, "a", 150)
    sizes = [sum(map(len, wanted[:count])) for count in range(150)]
    fits = 120 if "max_length" in options else max(count for count, size in enumerate(sizes) if size <= 250)

    with pytest.raises(PublishRefused, match=f"queue 'b' is full: {fits} moved") as caught:
        broker.move("a", "b")

    assert caught.value.moved == fits
    assert bodies(broker, "b") == wanted[:fits]
    assert bodies(broker, "a") == wanted[fits:]
    assert bodies(broker, "dead") == []
    with pytest.raises(PublishRefused, match="0 copied"):
        broker.copy("a", "b")


# --- copy


def test_a_copy_leaves_the_source_alone(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("a", max_priority=2)
    broker.declare_queue("b")
    wanted = fill(broker, "a", 150)
    before = {key: value for key, value in ask.dump(keys.prefix).items() if key.endswith(b":a")}

    assert broker.copy("a", "b") == 150
    assert broker.copy("a", "b", limit=3) == 3

    assert bodies(broker, "b") == [*wanted, *wanted[:3]]
    assert {key: value for key, value in ask.dump(keys.prefix).items() if key.endswith(b":a")} == before


def test_a_stream_may_be_copied_from_and_moved_into(broker: Broker) -> None:
    broker.declare_queue("log", queue_type="stream")
    broker.declare_queue("q")
    wanted = fill(broker, "log", 120)

    assert broker.copy("log", "q") == 120
    assert bodies(broker, "q") == wanted
    assert broker.move("q", "log", limit=1) == 1
    assert [each.body for each in broker.browse("log", limit=500)] == [*wanted, b"0"]
    with broker.consume("log", auto_ack=False, prefetch=200, offset="first", timeout=20) as consumer:
        offsets = [(next(consumer)).headers["x-stream-offset"] for _ in range(121)]
    assert offsets == list(range(121))


# --- lost replies


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_a_page_whose_reply_is_lost_is_not_done_twice(broker: Broker, verb: str) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    wanted = fill(broker, "a", 350)
    rule = Faults(broker).cut("move", 4)

    assert getattr(broker, verb)("a", "b", limit=230) == 230

    assert rule.done == 4
    assert bodies(broker, "b") == wanted[:230]
    assert bodies(broker, "a") == (wanted[230:] if verb == "move" else wanted)


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_ids_whose_reply_is_lost_are_not_taken_twice(broker: Broker, verb: str) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    wanted = fill(broker, "a", 150)
    ids = [each.id for each in broker.browse("a", limit=150)]
    rule = Faults(broker).cut("move", 3)

    assert getattr(broker, verb)("a", "b", ids=ids) == 150
    assert rule.done == 3
    assert bodies(broker, "b") == wanted


def test_an_interrupted_move_stops_after_its_page(broker: Broker) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    wanted = fill(broker, "a", 350)

    def interrupt() -> None:
        raise INTERRUPTION

    Faults(broker).during("move", interrupt)
    with pytest.raises(INTERRUPTION):
        broker.move("a", "b")

    assert bodies(broker, "b") == wanted[:100]
    assert bodies(broker, "a") == wanted[100:]
    assert broker.move("a", "b") == 250
    assert bodies(broker, "b") == wanted


def test_a_lane_that_another_process_used_is_drawn_anew(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    wanted = fill(broker, "a", 3)
    other = connect()
    other._lane.id = broker._lane.id
    assert broker.move("a", "b", limit=1) == 1
    assert broker.move("a", "b", limit=1) == 1

    assert other.move("a", "b") == 1
    assert other._lane.id != broker._lane.id
    assert bodies(broker, "b") == wanted


# --- bad input


def test_bad_input_is_refused_before_anything_is_done(broker: Broker, ask: Bare, keys: Keys) -> None:
    broker.declare_queue("a")
    broker.declare_queue("b")
    fill(broker, "a", 1)
    before = ask.dump(keys.prefix)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("destination", {"destination": "a"}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": "1"}),
        ("ids", {"ids": "1-1"}),
        ("ids", {"ids": 5}),
        ("ids", {"ids": ["1-1", "x"]}),
        ("headers", {"headers": 1}),
    ]
    for argument, options in wrong:
        for verb in (broker.move, broker.copy):
            with pytest.raises(InvalidArgument) as caught:
                verb(**{"source": "a", "destination": "b", **options})
            assert caught.value.argument == argument
    assert ask.dump(keys.prefix) == before
