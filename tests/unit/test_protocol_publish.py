"""Groups of messages: what is sent for them, and every shape of the answer."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexchange.codec import canonical_table, netstring
from rexchange.errors import (
    AccessRefused,
    ContentTooLarge,
    InvalidArgument,
    NotFound,
    PublishRefused,
    ScriptError,
    Unroutable,
)
from rexchange.keyspace import Keys
from rexchange.message import Message, encode_envelope, encode_options
from rexchange.protocol.publish import APART, Group, publish, route, store

MIB = 1 << 20


def group(*messages: Message, max_body: int = MIB, max_call: int = MIB) -> Group:
    return Group(messages, max_body=max_body, max_call=max_call)


def to(key: str, *, mandatory: bool = False, body: bytes = b"B", exchange: str = "logs") -> Message:
    return Message(body, exchange=exchange, routing_key=key, mandatory=mandatory)


def pairs(*messages: Message) -> list[bytes]:
    return [part for message in messages for part in (encode_envelope(message), message.body)]


# --- what is sent


def test_neighbours_with_one_route_share_a_header() -> None:
    one, two, three = to("a", body=b"1"), to("a", body=b"22"), to("b", body=b"333")
    made = group(one, two, three)
    assert made.args == [2, "logs", "a", b"", 2, *pairs(one, two), "logs", "b", b"", 1, *pairs(three)]
    assert made.size == 6


def test_only_neighbours_share_since_the_order_of_messages_stands() -> None:
    messages = [to("a"), to("b"), to("a")]
    made = group(*messages)
    assert made.args[0] == 3
    assert [made.args[at] for at in (2, 8, 14)] == ["a", "b", "a"]


def test_a_mandatory_run_counts_below_zero_and_does_not_mix() -> None:
    must, may = to("a", mandatory=True), to("a")
    made = group(must, must, must, may)
    assert made.args == [2, "logs", "a", b"", -3, *pairs(must, must, must), "logs", "a", b"", 1, *pairs(may)]


def test_a_large_body_has_a_run_of_its_own_and_may_be_stored_ahead() -> None:
    large = b"x" * APART
    first, second = to("a", body=large), Message(large + b"y", exchange="logs", routing_key="a", priority=2)
    made = Group([to("a"), first, to("a"), to("a"), second], max_body=MIB, max_call=MIB)
    options = b"!" + netstring(encode_options(second))
    runs = [
        ("logs", "a", b"", 1, *pairs(to("a"))),
        ("logs", "a", b"", 1, *pairs(first)),
        ("logs", "a", b"", 2, *pairs(to("a"), to("a"))),
        ("logs", "a", options, 1, *pairs(second)),
    ]
    assert made.args == [4, *(arg for run in runs for arg in run)]
    assert made.bodies() == [large, large + b"y"]
    assert group(to("a")).bodies() == []

    call = publish("lane", 3, "token", [made, group(to("b"))], ["12", "f0a"])
    runs[1] = ("logs", "a", b"@2:12", 1, encode_envelope(first), b"")
    runs[3] = ("logs", "a", b"@3:f0a" + options, 1, encode_envelope(second), b"")
    assert list(call.args) == ["lane", 3, "token", 4, *(arg for run in runs for arg in run), *group(to("b")).args]
    assert made.bodies() == [large, large + b"y"]
    assert store(Keys(b"v"), "f0a", b"xy") == ["SET", b"rx:{v}:body:f0a", b"xy", "EX", 60]


def test_what_else_ends_a_run() -> None:
    other_exchange = to("a", exchange="other")
    with_headers = Message(b"B", exchange="logs", routing_key="a", headers={"k": "v"})
    other_headers = Message(b"B", exchange="logs", routing_key="a", headers={"k": 5})
    assert group(to("a"), other_exchange, with_headers, other_headers).args[0] == 4


def test_headers_travel_in_the_form_to_match_by_and_their_order_does_not_end_a_run() -> None:
    one = Message(b"B", headers={"b": b"x", "a": 1})
    two = Message(b"B", headers={"a": 1, "b": "x"})
    made = group(one, two)
    assert made.args == [1, "", "", b"1:a2:i11:b2:sx", 2, *pairs(one, two)]


def test_properties_are_no_part_of_the_route() -> None:
    one, two = Message(b"B", message_id="1"), Message(b"B", message_id="2", priority=0)
    assert group(one, two).args[:5] == [1, "", "", b"", 2]


def test_but_those_that_queues_look_at_are_with_the_headers() -> None:
    same = [Message(b"1", priority=5), Message(b"2", priority=5, message_id="2")]
    others = [Message(b"3", priority=6), Message(b"4", priority=6, expiration="100"), Message(b"5", headers={"k": "v"})]
    more = Message(b"6", headers={"k": "v", "CC": ["a"], "BCC": ["b"]})
    made = group(*same, *others, more)
    starts = [1, 9, 15, 21, 27]
    assert made.args[0] == len(starts)
    assert [made.args[at + 2] for at in starts] == [
        b"!" + netstring(encode_options(same[0])),
        b"!" + netstring(encode_options(others[0])),
        b"!" + netstring(encode_options(others[1])),
        b"1:k2:sv",
        b"!" + netstring(encode_options(more)) + canonical_table(more.headers, "headers"),
    ]
    assert [made.args[at + 3] for at in starts] == [2, 1, 1, 1, 1]


def test_nothing_is_sent_of_a_group_with_a_wrong_message() -> None:
    with pytest.raises(InvalidArgument):
        group(to("a"), to("k" * 256))
    with pytest.raises(ContentTooLarge) as caught:
        group(to("a"), to("a", body=b"12345"), max_body=4)
    assert (caught.value.what, caught.value.size, caught.value.limit) == ("a body (bytes)", 5, 4)


def test_the_bodies_of_a_call_have_a_limit_together() -> None:
    assert group(to("a", body=b"12"), to("b", body=b"34"), max_call=4).size == 4
    with pytest.raises(ContentTooLarge) as caught:
        group(to("a", body=b"12"), to("b", body=b"345"), max_call=4)
    assert (caught.value.size, caught.value.limit) == (5, 4)


def test_headers_and_properties_of_a_call_have_a_limit_of_their_own() -> None:
    large = Message(b"", exchange="logs", headers={"h": "x" * 100})
    assert group(large, max_call=500).size > 200
    with pytest.raises(ContentTooLarge, match="headers and properties") as caught:
        group(large, large, max_call=400)
    assert caught.value.limit == 400


def test_groups_follow_each_other_in_a_call() -> None:
    one, two = group(to("a")), group(to("b"), to("b"))
    call = publish("lane", 3, "token", [one, two])
    assert call.script == "publish"
    assert call.args == ("lane", 3, "token", *one.args, *two.args)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans()), min_size=1, max_size=30))
def test_a_group_can_be_read_back_message_by_message(routes: list[tuple[str, str, bool]]) -> None:
    messages = [
        Message(b"%d" % at, exchange=exchange, routing_key=key, mandatory=mandatory)
        for at, (exchange, key, mandatory) in enumerate(routes)
    ]
    args = group(*messages).args
    runs, at, found = args[0], 1, []
    assert isinstance(runs, int)
    for _ in range(runs):
        exchange, key, _headers, count = args[at : at + 4]
        assert isinstance(count, int)
        at += 4
        for _ in range(abs(count)):
            found.append((exchange, key, count < 0, args[at], args[at + 1]))
            at += 2
    assert at == len(args)
    assert found == [
        (message.exchange, message.routing_key, message.mandatory, encode_envelope(message), message.body)
        for message in messages
    ]


# --- what comes back


def answered(reply: bytes, *groups: Sequence[Message]) -> list[object]:
    call = publish("lane", 1, "token", [group(*messages) for messages in groups])
    return list(call.decode(reply))


def test_uniform_answers() -> None:
    assert answered(b"=0", [to("a")]) == [[0]]
    assert answered(b"=12", [to("a")] * 3) == [[12, 12, 12]]


def test_various_answers() -> None:
    assert answered(b"+1,0,25", [to("a")] * 3) == [[1, 0, 25]]


def test_unroutable_ones_are_named_by_position_exchange_and_key() -> None:
    messages = [to("a"), to("b", mandatory=True), to("c"), to("é;,", mandatory=True)]
    (error,) = answered(b"!1,3", messages)
    assert isinstance(error, Unroutable)
    assert error.messages == [(1, "logs", "b"), (3, "logs", "é;,")]


def full(counts: bytes, *pairs: tuple[int, str]) -> bytes:
    """The answer for a group of which full queues refused some (lua/lib/counts.lua)."""
    rows = b"".join(netstring(b"%d" % index) + netstring(queue.encode()) for index, queue in pairs)
    return b"~" + netstring(netstring(counts) + rows)


def test_full_queues_are_named_with_what_the_others_kept() -> None:
    (error,) = answered(full(b"0,2", (0, "orders"), (1, "é;~-")), [to("a"), to("b")])
    assert isinstance(error, PublishRefused)
    assert error.counts == [0, 2]
    assert error.refused == [(0, "orders"), (1, "é;~-")]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_full_queues_stand_anywhere_among_the_answers(position: int) -> None:
    answers = [b"=1", b"+2,0"]
    answers.insert(position, full(b"0", (0, "a;b")))
    found = answered(b";".join(answers), *[[to("a")]] * 3)
    error = found.pop(position)
    assert isinstance(error, PublishRefused)
    assert error.refused == [(0, "a;b")]
    assert found == [[1], [2, 0]]


def refused(code: str, exchange: str, message: str) -> bytes:
    """The answer for a refused group as Lua writes it (lib/refuse.lua escapes % | CR LF in names)."""
    escaped = exchange.replace("%", "%25").replace("|", "%7C")
    return b"-" + netstring(f"{code} exchange|{escaped}|{message}".encode())


@pytest.mark.parametrize("name", ["logs", "a;b", "a|b", "100%", "%7C", "é-=+!;-1:", "-", "=1;=2"])
def test_a_refusal_may_hold_anything_in_its_name(name: str) -> None:
    (error,) = answered(refused("NOT_FOUND", name, "no such exchange; declare it first"), [to("a")])
    assert isinstance(error, NotFound)
    assert (error.kind, error.name) == ("exchange", name)
    assert str(error) == f"exchange {name!r}: no such exchange; declare it first"


def test_groups_have_answers_of_their_own() -> None:
    reply = b";".join(
        (
            b"=1",
            refused("NOT_FOUND", "a;=9;b", "no such exchange; declare it first"),
            b"+2,0",
            refused("ACCESS_REFUSED", "x-y", "it is internal: only other exchanges may send to it"),
            b"!0",
        )
    )
    one = [to("a")]
    answers = answered(reply, one, one, one * 2, one, one)
    assert [answers[0], answers[2]] == [[1], [2, 0]]
    assert isinstance(answers[1], NotFound)
    assert answers[1].name == "a;=9;b"
    assert isinstance(answers[3], AccessRefused)
    assert isinstance(answers[4], Unroutable)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_refusal_stands_anywhere_among_the_answers(position: int) -> None:
    answers = [b"=1", b"=2"]
    answers.insert(position, refused("NOT_FOUND", "a", "gone"))
    found = answered(b";".join(answers), [to("a")], [to("a")], [to("a")])
    assert isinstance(found.pop(position), NotFound)
    assert found == [[1], [2]]


@pytest.mark.parametrize("reply", [b"", b"?", b"=1;", b"-5:ab"])
def test_what_no_release_answers_is_a_script_error(reply: bytes) -> None:
    messages = [to("a")]
    with pytest.raises((ScriptError, ValueError)):
        answered(reply, messages)


def test_an_unknown_answer_is_shown() -> None:
    with pytest.raises(ScriptError, match=r"publish answered b'\?what'"):
        answered(b"?what", [to("a")])


# --- asking for a route


def test_a_route() -> None:
    assert route("logs", "a", None).args == ("logs", "a", b"")
    assert route("logs", "a", {"b": b"x", "a": 1}).args == ("logs", "a", b"1:a2:i11:b2:sx")
    assert route("logs", "a", None).decode(["é".encode(), b"q"]) == ["é", "q"]
