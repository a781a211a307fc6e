"""Policies: what may be one, which one applies, and how what follows of them is written out."""

from typing import Any

import pytest

from rexchange import retries
from rexchange.codec import FieldValue, decode_table, encode_table
from rexchange.errors import InvalidArgument, PreconditionFailed, ScriptError, TopologyLost
from rexchange.keyspace import Keys
from rexchange.policies import (
    APPLY_TO,
    IGNORED,
    MEANT,
    Policy,
    alternate_exchange,
    check,
    decode,
    definition,
    effective,
)
from rexchange.protocol import policies as protocol
from rexchange.records import encode_exchange, encode_queue
from rexchange.topology import Exchange, Queue
from tests.support.plans import drive

KEYS = Keys(b"/")
LEGAL: dict[str, FieldValue] = {
    "message-ttl": 0,
    "expires": 1,
    "max-length": 0,
    "max-length-bytes": 5,
    "overflow": "reject-publish",
    "delivery-limit": -1,
    "max-age": "7D",
    "dead-letter-exchange": "",
    "dead-letter-routing-key": "k",
    "consumer-timeout": 1,
    "alternate-exchange": "ae",
}


# --- what may be a policy


def test_a_policy_comes_back_from_its_record() -> None:
    policy = Policy("é", "^orders", {**LEGAL, "ha-mode": "all"}, -3, "classic_queues")
    assert decode("é".encode(), check(policy)) == policy
    assert decode(b"p", check(Policy("p", "", {"expires": 1}))) == Policy("p", "", {"expires": 1}, 0, "all")


@pytest.mark.parametrize(
    ("name", "record"), [(b"p", encode_table({"pattern": "x"})), (b"\xff", check(Policy("p", "", {"expires": 1})))]
)
def test_a_record_that_cannot_be_read_is_a_script_error(name: bytes, record: bytes) -> None:
    with pytest.raises(ScriptError, match="a policy is corrupt"):
        decode(name, record)


def test_every_key_that_does_something_is_tried_here() -> None:
    assert {*LEGAL, *retries.KEYS} == {*MEANT}  # those of retries are in test_retries.py


@pytest.mark.parametrize("key", sorted(IGNORED))
def test_keys_that_tune_rabbitmqs_own_storage_are_kept(key: str) -> None:
    record = decode_table(check(Policy("p", ".*", {key: {"any": ["thing"]}})))
    assert record["definition"] == {key: {"any": ["thing"]}}


@pytest.mark.parametrize(
    ("parts", "argument"),
    [
        ({"name": ""}, "policy name"),
        ({"name": "a\nb"}, "policy name"),
        ({"name": 5}, "policy name"),
        ({"pattern": 5}, "pattern"),
        ({"pattern": b"^a"}, "pattern"),
        ({"pattern": "(open"}, "pattern"),
        ({"pattern": "^q[[:digit:]]+$"}, "pattern"),
        ({"priority": "5"}, "priority"),
        ({"priority": True}, "priority"),
        ({"apply_to": "classic"}, "apply_to"),
        ({"definition": {}}, "definition"),
        ({"definition": [("expires", 1)]}, "definition"),
    ],
)
def test_what_is_wrong_with_a_policy_is_named(parts: dict[str, Any], argument: str) -> None:
    policy: Any = {"name": "p", "pattern": "^a", "definition": {"expires": 1}, **parts}
    with pytest.raises(InvalidArgument) as caught:
        check(Policy(**policy))
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("message-ttl", -1),
        ("expires", 0),
        ("max-length", "5"),
        ("overflow", "drop-tail"),
        ("delivery-limit", True),
        ("max-age", 5),
        ("dead-letter-exchange", 5),
        ("consumer-timeout", 0),
        ("alternate-exchange", None),
    ],
)
def test_an_illegal_value_is_406_as_it_is_for_the_argument(key: str, value: Any) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        check(Policy("p", "", {key: value}))
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("policy", "p", key)
    assert caught.value.current == value


@pytest.mark.parametrize("key", ["x-expires", "max-priority", "single-active-consumer", "expire"])
def test_what_no_policy_can_say_is_406(key: str) -> None:
    with pytest.raises(PreconditionFailed, match="one of message-ttl, ") as caught:
        check(Policy("p", "", {"expires": 1, key: 1}))
    assert (caught.value.argument, caught.value.current) == ("definition", key)


# --- which applies

CLASSIC, STREAM = Queue("orders.new"), Queue("orders.log", arguments={"x-queue-type": "stream"})
QUORUM, LOGS = Queue("orders.safe", arguments={"x-queue-type": b"quorum"}), Exchange("orders.x", "topic")


@pytest.mark.parametrize(
    ("apply_to", "found"),
    [
        ("all", [True, True, True, True]),
        ("queues", [True, True, True, False]),
        ("classic_queues", [True, False, False, False]),
        ("quorum_queues", [False, True, False, False]),
        ("streams", [False, False, True, False]),
        ("exchanges", [False, False, False, True]),
    ],
)
def test_what_a_policy_is_about(apply_to: Any, found: list[bool]) -> None:
    policy = Policy("p", "^orders", {"max-length-bytes": 1}, apply_to=apply_to)
    assert [policy.matches(thing) for thing in (CLASSIC, QUORUM, STREAM, LOGS)] == found


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("max-length-bytes", [True, True, True, True]),
        ("alternate-exchange", [True, True, True, True]),
        ("message-ttl", [True, True, False, True]),
        ("expires", [True, True, False, True]),
        ("dead-letter-exchange", [True, True, False, True]),
        ("delivery-limit", [False, True, False, True]),
        ("max-age", [False, False, True, True]),
        ("ha-mode", [True, False, False, True]),
    ],
)
def test_a_policy_with_a_key_that_a_type_of_queue_has_not_is_not_about_it(key: str, found: list[bool]) -> None:
    policy = Policy("p", "^orders", {"max-length-bytes": 5, key: 1})
    assert [policy.matches(thing) for thing in (CLASSIC, QUORUM, STREAM, LOGS)] == found


def test_every_kind_of_thing_is_tried_here() -> None:
    assert APPLY_TO == ("all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges")


@pytest.mark.parametrize(
    ("pattern", "is_found"), [("new", True), ("^new", False), ("", True), (r"^orders\.new$", True)]
)
def test_a_pattern_is_searched_in_the_name(pattern: str, is_found: bool) -> None:
    assert Policy("p", pattern).matches(CLASSIC) is is_found


def test_one_applies_by_priority_and_then_by_name() -> None:
    low = Policy("a", "", {"max-length": 1}, -5)
    one, two = Policy("b", "", {"max-length": 2}), Policy("c", "", {"max-length": 3})
    other = Policy("z", "^other", {"max-length": 4}, 100)
    assert effective([two, other, low, one], CLASSIC) == one
    assert effective([low, two], CLASSIC) == two
    assert definition([low, two], CLASSIC) == {"max-length": 3}
    assert effective([other], CLASSIC) is effective([], CLASSIC) is None
    assert definition([other], CLASSIC) == {}


def test_the_alternate_exchange_is_the_arguments_else_the_policys() -> None:
    policy = Policy("p", "", {"alternate-exchange": b"ae"})
    assert alternate_exchange([policy], LOGS) == "ae"
    assert alternate_exchange([policy], Exchange("x", "topic", arguments={"alternate-exchange": "own"})) == "own"
    assert alternate_exchange([], LOGS) is None


# --- writing out what follows


def queue_row(queue: Queue) -> list[bytes | int]:
    head, tail = encode_queue(queue)
    return [queue.name.encode(), head + b";g1;" + tail, 0, 0, 0, 0]


def exchange_row(exchange: Exchange) -> list[bytes]:
    head, tail = encode_exchange(exchange)
    return [exchange.name.encode(), head + b";1;" + tail]


LIMIT = Policy("limit", "", {"max-length": 5}, apply_to="classic_queues")
AE = Policy("ae", "", {"alternate-exchange": "ae"}, apply_to="exchanges")


def test_policies_are_read_by_name_with_the_number_of_their_state() -> None:
    reply = [b"7", b"6", [b"limit", check(LIMIT), b"ae", check(AE)]]
    for call in (protocol.read(), protocol.put(LIMIT), protocol.delete("p"), protocol.applied(protocol.NONE)):
        assert call.decode(reply) == protocol.State(b"7", b"6", (AE, LIMIT))
    assert protocol.read().decode([b"0", b"0", []]) == protocol.NONE


def test_a_wrong_policy_is_not_sent() -> None:
    with pytest.raises(InvalidArgument):
        protocol.put(Policy("p", "(", {"expires": 1}))


def test_what_policies_mean_is_written_for_every_queue_and_exchange() -> None:
    state = protocol.State(b"7", b"6", (AE, LIMIT))
    own = Exchange("own", "topic", arguments={"alternate-exchange": "mine"})
    replies: list[Any] = [
        *([b"3", *queue_row(STREAM)], [b"0", *queue_row(CLASSIC)]),
        [b"0", *exchange_row(own), *exchange_row(LOGS)],
        *(4, [b"7", b"7", []]),
    ]
    calls, final = drive(protocol.write_out(state, KEYS), replies)
    assert [call.script for call in calls] == ["inspect", "inspect", "inspect", "apply", "policies"]
    stream_record, record = queue_row(STREAM)[1], queue_row(CLASSIC)[1]
    assert calls[3].args == (
        b"7",
        *(b"q", b"orders.log", stream_record, b"4:kind7:sstream"),
        *(b"q", b"orders.new", record, b"6:length2:i5"),
        *(b"x", b"orders.x", exchange_row(LOGS)[1], b"2:ae"),
        *(b"x", b"own", exchange_row(own)[1], b"4:mine"),
    )
    assert calls[4].args == ("applied", b"7", b"")
    assert final == protocol.State(b"7", b"7")


def test_many_are_written_in_several_calls() -> None:
    queues = [part for at in range(protocol.PER_CALL + 1) for part in queue_row(Queue(f"q{at}"))]
    replies: list[Any] = [[b"0", *queues], [b"0"], protocol.PER_CALL, 1, [b"1", b"1", []]]
    calls, _ = drive(protocol.write_out(protocol.State(b"1", b"0", (LIMIT,)), KEYS), replies)
    assert [len(call.args) for call in calls if call.script == "apply"] == [1 + 4 * protocol.PER_CALL, 5]


def test_in_an_empty_vhost_there_is_nothing_to_write() -> None:
    calls, _ = drive(protocol.write_out(protocol.NONE, KEYS), [[b"0"], [b"0"], [b"0", b"0", []]])
    assert [call.script for call in calls] == ["inspect", "inspect", "policies"]


def test_a_corrupt_record_stops_it_before_anything_is_written() -> None:
    with pytest.raises(TopologyLost, match=r"rx:\{/\}:queues"):
        drive(protocol.write_out(protocol.NONE, KEYS), [[b"0", b"q", b"junk", 0, 0, 0, 0], [b"0"]])
