"""Declaring, binding, deleting, purging: how answers are read, and plans of several calls driven by hand."""

import pytest

from rexchange.errors import PreconditionFailed, ResourceLocked, TopologyLost
from rexchange.keyspace import Keys
from rexchange.protocol import declare
from rexchange.records import encode_binding_id, encode_exchange, encode_queue
from rexchange.topology import Binding, Exchange, Queue
from tests.support.plans import drive

KEYS = Keys(b"/")


def stored_exchange(exchange: Exchange) -> bytes:
    head, tail = encode_exchange(exchange)
    return head + b";9;" + tail


def stored_queue(queue: Queue, incarnation: bytes = b"g9") -> bytes:
    head, tail = encode_queue(queue)
    return head + b";" + incarnation + b";" + tail


# --- exchanges


def test_the_vhost_is_opened_with_an_id() -> None:
    assert declare.open_vhost(b"epoch").decode(b"1.epoch") == b"1.epoch"


def test_a_declare_returns_what_is_stored() -> None:
    wanted = Exchange("logs", "topic", arguments={"x-mine": 1})
    there = Exchange("logs", "topic", arguments={"x-mine": 2})
    assert declare.declare_exchange(wanted, KEYS).decode([0, stored_exchange(there)]) == there


def test_an_exchange_declared_otherwise_is_406() -> None:
    call = declare.declare_exchange(Exchange("logs", "topic"), KEYS)
    with pytest.raises(PreconditionFailed) as caught:
        call.decode([0, stored_exchange(Exchange("logs", "fanout"))])
    assert (caught.value.argument, caught.value.current, caught.value.wanted) == ("type", "fanout", "topic")


def test_a_passive_declare_takes_it_as_it_is() -> None:
    there = Exchange("logs", "fanout", durable=False)
    call = declare.declare_exchange(Exchange("logs", "topic"), KEYS, passive=True)
    assert call.decode([0, stored_exchange(there)]) == there


def test_a_corrupt_record_names_its_key() -> None:
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:exchanges"):
        declare.declare_exchange(Exchange("logs", "topic"), KEYS).decode([0, b"junk"])
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:queues"):
        declare.declare_queue(Queue("orders"), "", KEYS).decode([0, b"junk", 0, 0, 0])


# --- queues


def test_a_queue_comes_back_with_its_counts_and_incarnation() -> None:
    queue = declare.declare_queue(Queue("orders"), "", KEYS).decode([1, stored_queue(Queue("orders")), 3, 2, 1])
    assert queue == Queue("orders", incarnation="g9", message_count=3, consumer_count=1)


def test_a_queue_declared_otherwise() -> None:
    call = declare.declare_queue(Queue("orders", durable=False), "", KEYS)
    with pytest.raises(PreconditionFailed):
        call.decode([0, stored_queue(Queue("orders")), 0, 0, 0])
    mine = declare.declare_queue(Queue("orders", exclusive=True, owner="mine"), "mine", KEYS)
    with pytest.raises(ResourceLocked):
        mine.decode([0, stored_queue(Queue("orders")), 0, 0, 0])


def test_a_passive_declare_of_a_queue_takes_it_as_it_is() -> None:
    call = declare.declare_queue(Queue("orders", durable=False), "", KEYS, passive=True)
    assert call.decode([0, stored_queue(Queue("orders")), 0, 0, 0]).durable


# --- bindings


def test_whether_a_binding_is_new() -> None:
    binding = Binding("logs", "orders")
    assert declare.bind(binding, "").decode(1) is True
    assert declare.bind(binding, "").decode(0) is False
    assert declare.unbind(binding, "").decode(1) is True


def test_a_binding_of_an_exchange() -> None:
    binding = Binding("logs", "é", "exchange", "a")
    assert declare.bind(binding, "s").args[:5] == (
        "s",
        b"logs",
        b"x",
        "é".encode(),
        encode_binding_id(binding),
    )


def test_arguments_are_stored_as_given_and_matched_in_another_form() -> None:
    args = declare.bind(Binding("h", "q", arguments={"x-match": "any", "b": b"x", "a": None}), "").args
    assert args[5] == b"7:x-match4:sany1:b2:bx1:a1:n"
    assert args[6] == b"o1:a0:1:b2:sx"


def test_a_wrong_x_match_is_left_to_the_server_which_knows_the_type_of_the_source() -> None:
    form = declare.bind(Binding("logs", "q", arguments={"x-match": "some"}), "").args[6]
    assert isinstance(form, bytes)
    assert form.startswith(b"?")
    assert b"x-match is 'some'" in form


# --- plans


def test_an_exchange_with_many_bindings_goes_in_several_calls() -> None:
    calls, there = drive(declare.delete_exchange("logs", if_unused=False), [-1, -1, 1])
    assert there is True
    assert [call.args for call in calls] == [("logs", 0, declare.BINDINGS_PER_CALL)] * 3
    assert drive(declare.delete_exchange("logs", if_unused=False), [0])[1] is False


def test_if_unused_is_asked_once_since_the_first_call_takes_bindings_away() -> None:
    calls, there = drive(declare.delete_exchange("logs", if_unused=True), [-1, 1])
    assert there is True
    assert [call.args[1] for call in calls] == [1, 0]


def test_a_queue_with_many_bindings_goes_in_several_calls() -> None:
    calls, count = drive(declare.delete_queue("orders", "s", if_unused=True, if_empty=True), [-1, 7])
    assert count == 7
    assert [call.args for call in calls] == [("s", "orders", 1, 1, declare.BINDINGS_PER_CALL)] * 2


def test_a_purge_goes_on_to_the_bound_of_its_first_page() -> None:
    calls, count = drive(declare.purge("orders", "s"), [[1000, b"5-0"], [7, b"5-0"], [0, b"5-0"]])
    assert count == 1007
    assert [call.args for call in calls] == [
        ("s", "orders", b"", declare.PURGED_PER_CALL),
        ("s", "orders", b"5-0", declare.PURGED_PER_CALL),
        ("s", "orders", b"5-0", declare.PURGED_PER_CALL),
    ]
    assert drive(declare.purge("orders", "s"), [[0, b""]])[1] == 0
