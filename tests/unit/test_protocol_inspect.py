"""Listings: pages until the cursor is 0 again, each name once, and every record read."""

from datetime import timedelta

import pytest

from rexchange.codec import Table, encode_table, netstring
from rexchange.errors import TopologyLost
from rexchange.keyspace import Keys
from rexchange.protocol import inspect
from rexchange.records import encode_binding_id, encode_exchange, encode_queue, pack_destinations
from rexchange.topology import Binding, Exchange, Queue
from tests.support.plans import drive

KEYS = Keys(b"/")


def exchange(name: str) -> list[bytes]:
    head, tail = encode_exchange(Exchange(name, "topic"))
    return [name.encode(), head + b";1;" + tail]


def queue(name: str, *counts: int) -> list[bytes | int]:
    head, tail = encode_queue(Queue(name))
    return [name.encode(), head + b";g1;" + tail, *counts]


def test_pages_end_with_cursor_0_and_a_name_shown_twice_counts_once() -> None:
    pages = [[b"17", *exchange("b"), *exchange("a")], [b"5"], [b"0", *exchange("c"), *exchange("a")]]
    calls, found = drive(inspect.exchanges(KEYS), pages)
    assert [each.name for each in found] == ["a", "b", "c"]
    assert [call.args for call in calls] == [
        ("exchanges", b"0", inspect.PER_PAGE),
        ("exchanges", b"17", inspect.PER_PAGE),
        ("exchanges", b"5", inspect.PER_PAGE),
    ]


def test_an_empty_listing() -> None:
    for plan in (inspect.exchanges(KEYS), inspect.queues(KEYS), inspect.consumers()):
        assert drive(plan, [[b"0"]])[1] == []
    assert drive(inspect.bindings(KEYS, []), []) == ([], [])


def test_queues_have_counts_and_the_later_ones_hold() -> None:
    pages = [[b"3", *queue("b", 5, 2, 1, 0)], [b"0", *queue("a", -1, -1, 0, 0), *queue("b", 6, 1, 1, 4)]]
    found = drive(inspect.queues(KEYS), pages)[1]
    assert [(info.name, info.ready, info.unacked, info.consumers, info.waiting) for info in found] == [
        ("a", -1, -1, 0, 0),
        ("b", 6, 1, 1, 4),
    ]
    assert found[1].queue == Queue("b", incarnation="g1", message_count=6, consumer_count=1)


def test_bindings_of_several_exchanges() -> None:
    one = Binding("x", "q", "queue", "k", {"a": 1})
    two = Binding("y", "x", "exchange", "")
    row_one = [encode_binding_id(one), encode_table(one.arguments)]
    row_two = [encode_binding_id(two), b""]
    calls, found = drive(inspect.bindings(KEYS, ["x", "y"]), [[b"9", *row_one], [b"0", *row_one], [b"0", *row_two]])
    assert found == [one, two]
    assert [call.args[:2] for call in calls] == [
        ("bindings:x", b"0"),
        ("bindings:x", b"9"),
        ("bindings:y", b"0"),
    ]


def test_a_corrupt_row_names_its_key() -> None:
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:bindings:x"):
        drive(inspect.bindings(KEYS, ["x"]), [[b"0", b"junk", b""]])
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:queues"):
        drive(inspect.queues(KEYS), [[b"0", b"q", b"junk", 0, 0, 0, 0]])


def consumer(
    name: bytes, info: Table, *, timeout_ms: int = 0, kind: bytes = b"p", prefetch: int = 0, priority: int = 0
) -> list[bytes]:
    packed = pack_destinations([("queue", b"orders"), ("queue", "é".encode())])
    record = (
        b"%d;%b;%d;%d;" % (timeout_ms, kind, prefetch, priority)
        + netstring(packed)
        + netstring(b"s1")
        + encode_table(info)
    )
    return [name, record]


def test_consumers() -> None:
    info: Table = {"tag": "ctag", "auto_ack": True, "client": "host:1"}
    rows = [
        *consumer(b"c2", info, timeout_ms=120_000, kind=b"m", prefetch=20, priority=-3),
        *consumer(b"c1", {}),
        *consumer(b"g1", {}, kind=b"g"),
    ]
    assert drive(inspect.consumers(), [[b"0", *rows]])[1] == [
        inspect.ConsumerInfo(
            name="c1",
            tag="",
            queues=["orders", "é"],
            session="s1",
            ack_timeout=timedelta(0),
            managed=False,
            prefetch=0,
            priority=0,
            auto_ack=False,
            client="",
        ),
        inspect.ConsumerInfo(
            name="c2",
            tag="ctag",
            queues=["orders", "é"],
            session="s1",
            ack_timeout=timedelta(minutes=2),
            managed=True,
            prefetch=20,
            priority=-3,
            auto_ack=True,
            client="host:1",
        ),
    ]


def test_the_status_of_a_vhost() -> None:
    assert inspect.status().decode([1, 2, 3, 4, 5]) == inspect.Status(
        sessions=1, consumers=2, queues=3, exchanges=4, lanes=5
    )
