"""Every Call fits its script: as many fixed arguments as the header of the Lua file names, in its order."""

import re
from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

import pytest

from rexchange import scripts
from rexchange.codec import FieldValue, encode_table
from rexchange.errors import (
    AccessRefused,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
    ScriptError,
    ServerRefused,
    TopologyLost,
)
from rexchange.keyspace import Keys
from rexchange.message import Message
from rexchange.policies import Policy, check
from rexchange.protocol import (
    browse,
    consume,
    declare,
    inspect,
    later,
    policies,
    publish,
    retries,
    settle,
    tick,
    tracing,
    transaction,
    update,
)
from rexchange.protocol.call import (
    Arg,
    Call,
    Plan,
    PoliciesChanged,
    ProducerClash,
    SessionGone,
    flag,
    nothing,
    number,
    raw,
    refusal,
    texts,
)
from rexchange.protocol.transfer import Transfer
from rexchange.records import encode_exchange, encode_queue
from rexchange.topology import Binding, Exchange, Queue

KEYS = Keys(b"/")
ENTRY = consume.Entry(0, b"5-0", 1, b"envelope", b"body", b"1700")
VERDICT = transaction.Row("me", "q", b"3", [b"5-0"], [], [])
STATE = policies.State(
    b"7", b"6", (Policy("p", "^orders", {"max-length": 5}), Policy("e", "^logs", {"alternate-exchange": "ae"}))
)
TRACED: dict[str, FieldValue] = {"queue": "q", "key": "a.#", "keep": 5}
PARAMETER = re.compile(r"^-- ARGV\[\d+\] +([a-z][a-z0-9_]*) ")
VARIADIC = re.compile(r"^-- ARGV\[\d+\.\.\]")


class Row(NamedTuple):
    """A call, and what its fixed arguments must be by the names of the header."""

    call: Call[Any]
    fixed: dict[str, Arg]
    tail: tuple[Arg, ...] = ()


def first(plan: Plan[Any]) -> Call[Any]:
    return next(plan)


def batch() -> settle.Batch:
    made = settle.Batch()
    made.add("ack", [(1, (0, b"1-0"))])
    return made


def written_out(state: policies.State, queue: Queue, exchange: Exchange) -> Call[Any]:
    """The call that writes what the policies mean for one queue and one exchange."""
    plan = policies.write_out(state, KEYS)
    next(plan)
    head, tail = encode_queue(queue)
    plan.send([b"0", queue.name.encode(), head + b";g1;" + tail, 0, 0, 0])
    head, tail = encode_exchange(exchange)
    return plan.send([b"0", exchange.name.encode(), head + b";1;" + tail])


BINDING = Binding("logs", "orders", "queue", "a.#", {"k": "v"})
ID = b"q6:orders3:a.#1:k2:sv"
ROWS = [
    Row(
        declare.open_vhost(b"random"),
        {"schema": 1, "epoch": b"random"},
        (
            *(b"amq.direct", b"d100", b"-"),
            *(b"amq.fanout", b"f100", b"-"),
            *(b"amq.topic", b"t100", b"-"),
            *(b"amq.headers", b"h100", b"-"),
            *(b"amq.match", b"h100", b"-"),
            *(b"amq.rabbitmq.trace", b"t101", b"-"),
        ),
    ),
    Row(
        declare.declare_exchange(Exchange("logs", "topic"), KEYS),
        {"name": b"logs", "passive": 0, "head": b"t100", "tail": b"-", "state": b"0"},
    ),
    Row(
        declare.declare_exchange(Exchange("logs", "topic"), KEYS, STATE),
        {"name": b"logs", "passive": 0, "head": b"t100", "tail": b"2:ae", "state": b"7"},
    ),
    Row(
        declare.declare_exchange(Exchange("logs", "fanout", durable=False, internal=True), KEYS, passive=True),
        {"name": b"logs", "passive": 1, "head": b"f001", "tail": b"-", "state": b"0"},
    ),
    Row(
        declare.declare_queue(Queue("orders", exclusive=True, owner="s1"), "s1", KEYS),
        {
            "session": "s1",
            "name": b"orders",
            "passive": 0,
            "exclusive": 1,
            "head": b"00",
            "tail": b"0;2:s1",
            "traits": b"",
            "single": 0,
            "state": b"0",
        },
    ),
    Row(
        declare.declare_queue(Queue("orders", arguments={"x-single-active-consumer": True}), "", KEYS, STATE),
        {
            "session": "",
            "name": b"orders",
            "passive": 0,
            "exclusive": 0,
            "head": b"10",
            "tail": b"0;0:24:x-single-active-consumer1:t",
            "traits": b"6:length2:i56:single1:t",
            "single": 1,
            "state": b"7",
        },
    ),
    Row(
        declare.declare_queue(Queue("orders", auto_delete=True), "", KEYS, STATE, passive=True),
        {
            "session": "",
            "name": b"orders",
            "passive": 1,
            "exclusive": 0,
            "head": b"11",
            "tail": b"0;0:",
            "traits": b"",
            "single": 0,
            "state": b"7",
        },
    ),
    Row(
        declare.bind(BINDING, "s1"),
        {
            "session": "s1",
            "source": b"logs",
            "kind": b"q",
            "destination": b"orders",
            "id": ID,
            "arguments": b"1:k2:sv",
            "form": b"a1:k2:sv",
        },
    ),
    Row(
        declare.unbind(Binding("logs", "other", "exchange", "a.#"), ""),
        {"session": "", "source": b"logs", "kind": b"x", "destination": b"other", "id": b"x5:other3:a.#"},
    ),
    Row(
        first(declare.delete_exchange("logs", if_unused=True)),
        {"name": "logs", "if_unused": 1, "limit": declare.BINDINGS_PER_CALL},
    ),
    Row(
        first(declare.delete_queue("orders", "s1", if_unused=False, if_empty=True)),
        {"session": "s1", "name": "orders", "if_unused": 0, "if_empty": 1, "limit": declare.BINDINGS_PER_CALL},
    ),
    Row(
        first(declare.purge("orders", "s1")),
        {"session": "s1", "name": "orders", "bound": b"", "limit": declare.PURGED_PER_CALL},
    ),
    Row(
        publish.publish("lane", 7, "token", [publish.Group([Message(b"B", routing_key="q")], max_body=9, max_call=9)]),
        {"lane": "lane", "number": 7, "token": "token"},
        (1, "", "q", b"", 1, b"0:1:q0:0:", b"B"),
    ),
    Row(
        transaction.transaction("lane", 7, "token", [(b"PING",)], [VERDICT], None),
        {"lane": "lane", "number": 7, "token": "token"},
        (1, 1, b"PING", 1, "me", "q", b"3", 1, 0, 0, b"5-0"),
    ),
    Row(
        publish.route("logs", "a.b", {"k": b"v"}),
        {"exchange": "logs", "routing_key": "a.b", "headers": b"1:k2:sv"},
    ),
    Row(
        consume.consume(
            *("s1", "c2", "c1", ["q"], [[b"1-0"]]),
            consume.Options("p", 5, 20, -3, exclusive=True),
            default_ms=9,
            info={"tag": "t"},
        ),
        {
            "session": "s1",
            "consumer": "c2",
            "old": "c1",
            "timeout_ms": 5,
            "default_ms": 9,
            "kind": "p",
            "prefetch": 20,
            "priority": -3,
            "exclusive": 1,
            "info": b"3:tag2:st",
        },
        ("q", 1, b"1-0"),
    ),
    Row(
        consume.consume("s1", "c1", "", ["q"], [[]], consume.Options("g"), default_ms=9, info={}),
        {
            "session": "s1",
            "consumer": "c1",
            "old": "",
            "timeout_ms": 0,
            "default_ms": 9,
            "kind": "g",
            "prefetch": 0,
            "priority": 0,
            "exclusive": 0,
            "info": b"",
        },
        ("q", 0),
    ),
    Row(consume.cancel("c1", ["q"], [[]], keep=True), {"consumer": "c1", "keep": 1}, ("q", 0)),
    Row(consume.restore("q", b"g3", [ENTRY]), {"name": "q", "incarnation": b"g3"}, (b"envelope", b"body", b"1700")),
    Row(
        consume.take("c1", 10, ["q"], [b"g3"], plan=True),
        {"consumer": "c1", "window": 10, "plan": 1, "wait_ms": 0, "bell": b"", "partial": 0},
        ("q", b"g3", b"", 0),
    ),
    Row(
        consume.take("c1", 10, ["q"], [b"g3"], wait_ms=500, bell=b"7-0"),
        {"consumer": "c1", "window": 10, "plan": 0, "wait_ms": 500, "bell": b"7-0", "partial": 0},
        ("q", b"g3", b"", 0),
    ),
    Row(
        consume.seek("q", b"g3", "me", consume.Place("offset", 5)),
        {"name": "q", "incarnation": b"g3", "reader": "me", "word": "offset", "value": 5},
    ),
    Row(
        consume.seek("q", b"g3", "", consume.Place()),
        {"name": "q", "incarnation": b"g3", "reader": "", "word": "next", "value": 0},
    ),
    Row(
        consume.keep_place("q", b"g3", "me", b"5-0"),
        {"name": "q", "incarnation": b"g3", "reader": "me", "word": "keep", "value": b"5-0"},
    ),
    Row(
        consume.look("q", b"g3"),
        {"name": "q", "incarnation": b"g3", "reader": "", "word": "look", "value": b""},
    ),
    Row(
        batch().call("c1", ["q"], [b"g3"], again=True, rearm=False),
        {"consumer": "c1", "again": 1, "rearm": 0},
        ("q", b"g3", 1, 0, 0, 0, b"1-0"),
    ),
    Row(settle.extend("c1", ["q"], [[b"1-0"]]), {"consumer": "c1"}, ("q", 1, b"1-0")),
    Row(
        tick.open_session("s1", 30_000),
        {"session": "s1", "verb": "open", "ttl_ms": 30_000, "budget": tick.REAPED_PER_CALL},
    ),
    Row(
        tick.renew_session("s1", 30_000),
        {"session": "s1", "verb": "renew", "ttl_ms": 30_000, "budget": tick.REAPED_PER_CALL},
    ),
    Row(tick.close_session("s1"), {"session": "s1", "verb": "close", "ttl_ms": 0, "budget": tick.REAPED_PER_CALL}),
    Row(tick.tick(30_000), {"ttl_ms": 30_000, "budget": tick.REAPED_PER_CALL}),
    Row(first(inspect.queues(KEYS)), {"kind": "queues", "cursor": b"0", "limit": inspect.PER_PAGE}),
    Row(first(inspect.bindings(KEYS, ["logs"])), {"kind": "bindings:logs", "cursor": b"0", "limit": inspect.PER_PAGE}),
    Row(retries.has_policy("q"), {"name": "q", "from": -1, "limit": 0}),
    Row(first(retries.waiting("q")), {"name": "q", "from": 0, "limit": retries.PER_PAGE}),
    Row(first(retries.retry_now("q", "s1", None)), {"session": "s1", "name": "q", "limit": retries.PER_PAGE}),
    Row(
        first(retries.retry_now("q", "s1", ["1-0"])),
        {"session": "s1", "name": "q", "limit": retries.PER_PAGE},
        ("1-0",),
    ),
    Row(inspect.status(), {}),
    Row(first(later.scheduled("e", 7)), {"verb": "list", "from": "", "number": "", "limit": 7}),
    Row(later.cancel("5.e", "e"), {"verb": "cancel", "from": "5", "number": 0, "limit": 0}),
    Row(first(later.limit()), {"verb": "read", "limit": 0}),
    Row(later.set_limit(5), {"verb": "set", "limit": 5}),
    Row(
        first(browse.browse("q", "s1", browse.Filter.of("ready", {"h": 1}, "m", 2), limit=7, after="5-0")),
        {
            "session": "s1",
            "name": "q",
            "first": "(5-0",
            "last": "+",
            "limit": 7,
            "state": "ready",
            "deliveries": 2,
            "match": b"a1:h2:i1",
            "message_id": b"sm",
        },
    ),
    Row(
        browse.peek("q", "s1", "5-0"),
        {
            "session": "s1",
            "name": "q",
            "first": "5-0",
            "last": "5-0",
            "limit": 1,
            "state": "all",
            "deliveries": 0,
            "match": b"",
            "message_id": b"",
        },
    ),
    Row(
        first(browse.unacked("q", "s1", limit=7, by="age")),
        {"session": "s1", "name": "q", "first": "-", "limit": browse.PER_PAGE},
    ),
    Row(
        browse.delete("q", "s1", "5-0", "l1", 3, "t1", force=True),
        {"session": "s1", "lane": "l1", "number": 3, "token": "t1", "name": "q", "id": "5-0", "force": 1},
    ),
    Row(
        Transfer("move", "q", "r", limit=7, ids=["5-0"], headers=None).page("s1", "l1", 3, "t1"),
        {
            "session": "s1",
            "lane": "l1",
            "number": 3,
            "token": "t1",
            "verb": "move",
            "source": "q",
            "destination": "r",
            "first": "-",
            "bound": "",
            "limit": 7,
            "match": b"",
        },
        ("5-0",),
    ),
    Row(
        tracing.start("t1", queue="q", exchange=None, routing_key="a.#", keep=5, life=60),
        {
            "verb": "on",
            "id": "t1",
            "record": encode_table(TRACED),
            "life_ms": 60_000,
        },
    ),
    Row(tracing.stop("t1"), {"verb": "off", "id": "t1", "record": b"", "life_ms": 0}),
    Row(tracing.listing(), {"verb": "list", "id": b"", "record": b"", "life_ms": 0}),
    Row(first(tracing.of_message("7", None)), {"from": b"-", "limit": 200, "field": "i"}, ("7",)),
    Row(first(tracing.of_message(None, "m")), {"from": b"-", "limit": 200, "field": "m"}, ("m",)),
    Row(first(tracing.latest(50)), {"from": b"+", "limit": 50, "field": ""}),
    Row(policies.read(), {"verb": "read", "name": b"", "record": b""}),
    Row(policies.put(STATE.policies[0]), {"verb": "set", "name": "p", "record": check(STATE.policies[0])}),
    Row(policies.delete("p"), {"verb": "delete", "name": "p", "record": b""}),
    Row(policies.applied(STATE), {"verb": "applied", "name": b"7", "record": b""}),
    Row(
        written_out(STATE, Queue("orders"), Exchange("logs", "topic")),
        {"state": b"7"},
        (
            *(b"q", b"orders", b"10;g1;0;0:", b"6:length2:i5"),
            *(b"x", b"logs", b"t100;1;-", b"2:ae"),
        ),
    ),
    Row(
        update.read_queue("orders", "s1", KEYS),
        {
            "session": "s1",
            "name": "orders",
            "passive": 1,
            "exclusive": 0,
            "head": b"",
            "tail": b"",
            "traits": b"",
            "single": 0,
            "state": b"0",
        },
    ),
    Row(
        update.read_exchange("logs", KEYS),
        {"name": "logs", "passive": 1, "head": b"", "tail": b"", "state": b"0"},
    ),
    Row(
        update.update_queue(
            update.Found(b"10;g1;0;0:", Queue("orders", incarnation="g1")),
            Queue("orders", incarnation="g1", arguments={"x-expires": 9}),
            *("s1", STATE),
        ),
        {
            "session": "s1",
            "kind": b"q",
            "name": "orders",
            "old": b"10;g1;0;0:",
            "new": b"10;g1;0;0:9:x-expires2:i9",
            "traits": b"7:expires2:i96:length2:i5",
            "state": b"7",
        },
    ),
    Row(
        update.update_exchange(update.Found(b"t100;3;-", Exchange("logs", "topic")), Exchange("logs", "topic"), STATE),
        {
            "session": b"",
            "kind": b"x",
            "name": "logs",
            "old": b"t100;3;-",
            "new": b"t100;3;2:ae",
            "traits": b"",
            "state": b"7",
        },
    ),
]


def header(script: str) -> tuple[list[str], bool]:
    """The names of a script's fixed arguments without vhost_id, and whether more may follow."""
    text = (scripts.root() / f"{script}.lua").read_text(encoding="utf-8")
    lines = list(takewhile(lambda line: line.startswith("--"), text.splitlines()))
    names = [match[1] for match in map(PARAMETER.match, lines) if match]
    return [name for name in names if name != "vhost_id"], any(map(VARIADIC.match, lines))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.call.script)
def test_a_call_sends_what_the_header_of_its_script_names(row: Row) -> None:
    names, variadic = header(row.call.script)
    assert list(row.fixed) == names
    assert row.call.args == (*row.fixed.values(), *row.tail)
    assert variadic or not row.tail


def test_every_script_has_its_row_here() -> None:
    assert {row.call.script for row in ROWS} == set(scripts.names())


def test_only_the_call_that_opens_the_vhost_does_without_its_id() -> None:
    assert {row.call.script for row in ROWS if row.call.opens} == {"open_vhost"}
    for row in ROWS:
        text = (scripts.root() / f"{row.call.script}.lua").read_text(encoding="utf-8")
        assert ("-- ARGV[1] vhost_id" in text) is not row.call.opens


# --- replies


@pytest.mark.parametrize(
    ("decode", "reply", "value"),
    [
        (nothing, b"whatever", None),
        (number, 5, 5),
        (number, b"5", 5),
        (flag, 1, True),
        (flag, 0, False),
        (raw, b"1.abc", b"1.abc"),
        (texts, ["é".encode(), b""], ["é", ""]),
    ],
)
def test_plain_replies(decode: Callable[[Any], object], reply: object, value: object) -> None:
    assert decode(reply) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SESSION_GONE session|s1|it was reaped", SessionGone),
        ("PRODUCER_CLASH lane|l1|another process publishes on it", ProducerClash),
        ("POLICIES_CHANGED vhost|/|they are others by now", PoliciesChanged),
        ("NOT_FOUND queue|orders|no such queue", NotFound),
        ("ACCESS_REFUSED exchange|e|it is internal", AccessRefused),
        ("RESOURCE_LOCKED queue|q|exclusive", ResourceLocked),
        ("PRECONDITION_FAILED queue|q|not empty", PreconditionFailed),
        ("TOPOLOGY_LOST vhost|/|it is gone", TopologyLost),
        ("NEWER_SCHEMA vhost|/|schema 9", ServerRefused),
        ("ERR something of the server", ScriptError),
        ("SESSION_GONER no|such|code", ScriptError),
    ],
)
def test_the_first_word_of_a_refusal_says_which_error_it_is(text: str, kind: type[Exception]) -> None:
    error = refusal(text)
    assert type(error) is kind


def test_a_refusal_keeps_its_text_and_its_names() -> None:
    assert str(refusal("SESSION_GONE session|s1|it was reaped")) == "SESSION_GONE session|s1|it was reaped"
    error = refusal("NOT_FOUND queue|a%7Cb%25;c d|no such queue | declare it first")
    assert isinstance(error, NotFound)
    assert (error.kind, error.name) == ("queue", "a|b%;c d")
    assert str(error) == "queue 'a|b%;c d': no such queue | declare it first"
