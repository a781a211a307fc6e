"""Topology files: read whole, every problem with its line and object; lines of TOML and YAML."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from rexchange import Binding, Exchange, Policy, Queue, Topology
from rexchange.applying import Present, Wanted, dump, plan, read
from rexchange.applying.tomltext import loads
from rexchange.definitions.jsontext import Wrong
from rexchange.errors import DefinitionsError, InvalidArgument, Problem
from rexchange.topology import PREDECLARED

STANDARD = tuple(each for name, each in PREDECLARED.items() if name)


def toml(text: str) -> Wanted:
    return read(text.encode(), file="t.toml", form=".toml")


def yaml(text: str) -> Wanted:
    return read(text.encode(), file="t.yaml", form=".yaml")


def problems(source: Any, form: str = ".toml") -> list[Problem]:
    with pytest.raises(DefinitionsError) as caught:
        read(source.encode() if isinstance(source, str) else source, file="t", form=form)
    return caught.value.problems


def told(source: Any, form: str = ".toml") -> list[tuple[int | None, str, str]]:
    return [(each.line, each.kind, each.name) for each in problems(source, form)]


# --- lines of TOML


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """All that leads to anything in what was parsed."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path, *(found for key, item in items for found in paths(item, (*path, key)))}


def lines(text: str) -> dict[str, int]:
    found, places = loads(text)
    assert paths(found) == {(), *places}, "everything has a line, and nothing else"
    return {".".join(map(str, path)): line for path, line in places.items()}


def test_tables_keys_and_lists_have_their_lines() -> None:
    text = """\
# [queues.comment]
[queues.mail]   # here
max_length = 1
arguments."x-a b" = '''
[queues.text]
max = 1'''
[queues."odd \\u00e9 name"]

[[bindings]]
source = "a"
[bindings.arguments]
x = 1
[[bindings]]
source = "[[b]]"
"""
    assert lines(text) == {
        "queues": 2,
        "queues.mail": 2,
        "queues.mail.max_length": 3,
        "queues.mail.arguments": 4,
        "queues.mail.arguments.x-a b": 4,
        "queues.odd é name": 7,
        "bindings": 9,
        "bindings.0": 9,
        "bindings.0.source": 10,
        "bindings.0.arguments": 11,
        "bindings.0.arguments.x": 12,
        "bindings.1": 13,
        "bindings.1.source": 14,
    }


def test_what_stands_within_one_value_has_its_own_lines() -> None:
    text = """\
bindings = [
  { source = "a", queue = "b" },  # ] }
  # comment
  { source = "c", arguments = { x = [
    1, "]",
  ] } },
]
numbers = [1_000, 2.5, true, 1979-05-27]\r
text = \"\"\"a "" \\\""" ]
\"\"\"
last = 1
"""
    found = lines(text)
    assert (found["bindings.0.queue"], found["bindings.1.source"], found["bindings.1.arguments.x.0"]) == (2, 4, 5)
    assert (found["numbers.3"], found["text"], found["last"]) == (8, 9, 11)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[queues.a]\nmax_length = 1\n[queues.b]\n[queues.a]\n", 4, "two queues of the name 'a', the first in line 1"),
        ("[queues]\na = {}\n\na = {}\n", 4, "two queues of the name 'a', the first in line 2"),
        ("[exchanges.x]\n[exchanges.x]\n", 2, "two exchanges of the name 'x'"),
        ("[queues.a]\nmax_length = 1\nmax_length = 2", 3, "queues.a.max_length is here twice, first in line 2"),
        ("[queues.a]\nmax_length = \n", 2, "no TOML: Invalid value"),
        ("[queues.a\n", 1, "no TOML: Expected"),
        ("a = [1,\n", 2, "no TOML: "),
        ('a = "', 1, "no TOML: "),
    ],
)
def test_what_is_no_toml_has_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(Wrong, match=words) as caught:
        loads(text)
    assert caught.value.problem.line == line


def test_too_deep_is_told() -> None:
    with pytest.raises(Wrong, match="nested too deeply"):
        loads("a = " + "[" * 50_000)


def test_two_of_one_name_say_which() -> None:
    (problem,) = problems("[queues.mail]\n[queues.mail]\n")
    assert (problem.kind, problem.name, problem.line) == ("queue", "mail", 2)


# --- reading


def test_all_that_may_be_said_is_read_in_both_forms() -> None:
    wanted = Topology(
        (Exchange("x", "topic", False, True, True, {"alternate-exchange": "y", "a": 1}),),
        (Policy("p", "^a", {"max-length": 2}, 3, "queues"),),
        (
            Queue("q", False, False, True, {"b": [1, "x"], "x-message-ttl": 90_000, "x-max-priority": 5}),
            Queue("log", arguments={"x-queue-type": "stream", "x-max-age": "3600s"}),
        ),
        (Binding("x", "q", "queue", "k", {"c": True}), Binding("amq.topic", "x", "exchange")),
    )
    in_toml = toml("""\
bindings = [
  { source = "x", queue = "q", key = "k", arguments = { c = true } },
  { source = "amq.topic", exchange = "x" },
]
[exchanges.x]
type = "topic"
durable = false
auto_delete = true
internal = true
alternate_exchange = "y"
arguments.a = 1
[queues.q]
durable = false
auto_delete = true
message_ttl = 90
max_priority = 5
arguments = { b = [1, "x"] }
[queues.log]
queue_type = "stream"
max_age = "1h"
[policies.p]
pattern = "^a"
definition = { max-length = 2 }
priority = 3
apply_to = "queues"
""")
    in_yaml = yaml("""\
bindings:
  - {source: x, queue: q, key: k, arguments: {c: true}}
  - source: amq.topic
    exchange: x
exchanges:
  x:
    type: topic
    durable: false
    auto_delete: true
    internal: true
    alternate_exchange: y
    arguments: {a: 1}
queues:
  q: {durable: false, auto_delete: true, message_ttl: 90s, max_priority: 5, arguments: {b: [1, x]}}
  log: {queue_type: stream, max_age: 1h}
policies:
  p: {pattern: ^a, definition: {max-length: 2}, priority: 3, apply_to: queues}
""")
    assert in_toml.topology == wanted
    assert in_yaml.topology == wanted
    assert read(wanted).topology == wanted
    assert in_toml.lines["queue", "q"] == 12
    assert in_yaml.lines["queue", "log"] == 15


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5), ("0.25", 0.25), ('"500ms"', 0.5), ('"90s"', 90), ('"1.5m"', 90), ('"2 h"', 7200), ('"7d"', 604_800)],
)
def test_times_are_seconds_or_have_a_unit(value: str, seconds: float) -> None:
    (queue,) = toml(f"[queues.q]\nexpires = {value}").topology.queues
    assert queue.arguments == {"x-expires": timedelta(seconds=seconds) // timedelta(milliseconds=1)}


@pytest.mark.parametrize(
    "value", ['"soon"', '"5 weeks"', "true", "[]", '"-5s"', '""', "nan", "1e300", "-1", "0", '"99999999999d"']
)
def test_what_is_no_time_is_told(value: str) -> None:
    (problem,) = problems(f"[queues.q]\n\nexpires = {value}")
    assert (problem.line, problem.kind, problem.name) == (3, "queue", "q")
    assert "expires is" in problem.message


def test_an_empty_file_wants_nothing() -> None:
    assert toml("").topology == yaml("").topology == yaml("# nothing").topology == read({}).topology == Topology()
    assert yaml("queues:\n").topology == Topology()


# --- what is wrong


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems("""\
[exchanges.events]
type = "topics"
alternate_exchnge = "unrouted"
[queues.mail]
mesage_ttl = 60
max_length = "many"
message_ttl = "soon"
durable = "yes"
[queues."amq.mine"]
[queues.args]
arguments = { x-max-length = -1 }
[queues.mine]
exclusive = true
[[bindings]]
source = "events"
[[bindings]]
queue = "mail"
routing_key = "k"
source = 5
[policies.p]
pattern = "("
[quues.x]
""")
    assert [(each.line, each.kind, each.name) for each in found] == [
        (2, "exchange", "events"),
        (3, "exchange", "events"),
        (5, "queue", "mail"),
        (6, "queue", "mail"),
        (7, "queue", "mail"),
        (8, "queue", "mail"),
        (9, "queue", "amq.mine"),
        (11, "queue", "args"),
        (13, "queue", "mine"),
        (14, "binding", "events -> ?"),
        (18, "binding", "5 -> mail"),
        (19, "binding", "5 -> mail"),
        (20, "policy", "p"),
        (22, "", ""),
    ]
    assert found[2].message == "line 5: queue 'mail': unknown key 'mesage_ttl': message_ttl is meant"
    assert found[3].message == "line 6: queue 'mail': x-max-length is 'many': give an int of at least 0"
    assert found[5].message == "line 8: queue 'mail': durable is \"yes\": give true or false"
    assert found[8].message.endswith(
        "unknown key 'exclusive': exclusive queues belong to the Broker that declares them"
    )
    assert found[-1].message == "line 22: unknown key 'quues': queues is meant"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("queues = 5", (1, "", "")),
        ("queues = []", (1, "", "")),
        ("bindings = {}", (1, "", "")),
        ("[queues]\nq = 5", (2, "queue", "q")),
        ("bindings = [\n5]", (2, "binding", "")),
        ('[queues.""]', (1, "queue", "")),
        ("[queues.q]\narguments = 5", (2, "queue", "q")),
        ("[queues.q]\nqueue_type = 'stream'\nmessage_ttl = 5", (3, "queue", "q")),
        ("[queues.q]\nqueue_type = 'quorum'\ndurable = false", (3, "queue", "q")),
        ("[queues.q]\nmessage_ttl = 1\narguments = { x-message-ttl = 5 }", (2, "queue", "q")),
        ("[queues.q]\ndead_letter_routing_key = 'k'", (2, "queue", "q")),
        ("[queues.q]\narguments = { when = 2020-01-01 }", (2, "queue", "q")),
        ("[exchanges.x]\ntype = 'x-local-random'", (2, "exchange", "x")),
        ("[exchanges.x]\ntype = 'x-delayed-message'", (1, "exchange", "x")),
        ("[exchanges.x]\ninternal = 1", (2, "exchange", "x")),
        ("[policies.p]\npattern = 'a'", (1, "policy", "p")),
        ("[policies.p]\npattern = 'a'\ndefinition = { max-lenght = 5 }", (3, "policy", "p")),
        ("[policies.p]\npattern = 'a'\ndefinition = { max-length = 5 }\npriority = true", (4, "policy", "p")),
        ("[policies.p]\npattern = 'a'\ndefinition = { max-length = 5 }\napply_to = 'some'", (4, "policy", "p")),
        ("[[bindings]]\nsource = ''\nqueue = 'q'", (1, "binding", " -> q")),
        ("[[bindings]]\nsource = 'x'\nqueue = 'q'\nexchange = 'q'", (1, "binding", "x -> q")),
        ("[[bindings]]\nqueue = 'q'", (1, "binding", "? -> q")),
    ],
)
def test_one_thing_that_is_wrong(text: str, at: tuple[int, str, str]) -> None:
    assert told(text) == [at]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("queues:\n  mail: {}\n  mail: {}\n", (3, "queue", "mail")),
        ("queues:\n  1: {}\n", (2, "queue", "1")),
        ("queues:\n  mail:\n    - 1\n", (2, "queue", "mail")),
        ("queues:\n  mail: {max_length: x}\n", (2, "queue", "mail")),
        ("queues:\n  mail: {max_length: null}\n", (2, "queue", "mail")),
        ("queues: [\n", (2, "", "")),
        ("- a\n", (1, "", "")),
        ("a: 1\n---\nb: 1\n", (2, "", "")),
        ("queues: !!python/object:os.system {}\n", (1, "", "")),
        ("a: &a [*a]\n", (1, "", "")),
        ("\0", (None, "", "")),
    ],
)
def test_what_is_wrong_with_yaml(text: str, at: tuple[int, str, str]) -> None:
    assert told(text, ".yaml") == [at]


def test_aliases_of_aliases_end() -> None:
    text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
    text += "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    (problem,) = problems(text, ".yaml")
    assert "nested too deeply" in problem.message


def test_anchors_serve() -> None:
    found = yaml("queues:\n  a: &short {message_ttl: 5}\n  b: *short\n  c:\n    <<: *short\n    max_length: 1\n")
    assert [sorted(each.arguments) for each in found.topology.queues] == [
        ["x-message-ttl"],
        ["x-message-ttl"],
        ["x-max-length", "x-message-ttl"],
    ]


def test_yaml_without_pyyaml_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (problem,) = problems("queues: {}", ".yaml")
    assert "pip install 'rexchange[yaml]'" in problem.message


@pytest.mark.parametrize("form", ["", ".json", ".TOML"])
def test_a_file_of_another_kind(form: str) -> None:
    (problem,) = problems("", form)
    assert "wanted one of .toml, .yaml, .yml" in problem.message


def test_bytes_that_are_no_text_have_a_line() -> None:
    assert told(b"[queues.a]\n# \xff\n") == [(2, "", "")]


# --- values


def test_values_are_checked_as_a_file_is() -> None:
    wrong: Any = Topology(
        exchanges=(Exchange("x", "topics"), "y"),  # type: ignore[arg-type]  # what is refused
        queues=(Queue("q", arguments={"x-max-length": -1}), Queue("mine", exclusive=True), Queue("amq.a")),
        bindings=(Binding("", "q"), Binding("x", "q", "other")),  # type: ignore[arg-type]  # what is refused
        policies=(Policy("p", "(", {"max-length": 1}),),
    )
    assert [(kind, name) for _, kind, name in told(wrong)] == [
        ("exchange", "x"),
        ("exchange", "#1"),
        ("policy", "p"),
        ("queue", "q"),
        ("queue", "mine"),
        ("queue", "amq.a"),
        ("binding", " -> q"),
        ("binding", "x -> q"),
    ]


def test_two_of_one_name_among_values() -> None:
    policy, queue, exchange = Policy("p", "a", {"max-length": 1}), Queue("q"), Exchange("x", "direct")
    found = problems(
        Topology((exchange, exchange), (policy, policy), (queue, Queue("r"), queue, queue), (Binding("x", "q"),) * 2)
    )
    assert [each.message for each in found] == [
        "2 exchanges of the name 'x': keep one of them",
        "2 policies of the name 'p': keep one of them",
        "3 queues of the name 'q': keep one of them",
        "binding x -> q is here twice: keep one of them",
    ]


def test_a_circle_of_alternates_is_told_once_with_its_way() -> None:
    text = "".join(
        f"[exchanges.{name}]\nalternate_exchange = '{to}'\n"
        for name, to in (("in", "a"), ("a", "b"), ("b", "a"), ("self", "self"), ("end", "nowhere"))
    )
    assert [each.message for each in problems(text)] == [
        "line 3: exchange 'a': alternate exchanges in a circle: a -> b -> a; let one of them end it",
        "line 7: exchange 'self': alternate exchanges in a circle: self -> self; let one of them end it",
    ]
    assert toml(text.replace("'a'\n[exchanges.s", "'end'\n[exchanges.s").replace("'self'", "'end'")).topology.exchanges


def test_a_policy_may_close_the_circle() -> None:
    text = "[exchanges.a]\nalternate_exchange = 'b'\n[exchanges.b]\n[policies.p]\npattern = '^b$'\n"
    assert told(text + "definition = { alternate-exchange = 'a' }") == [(1, "exchange", "a")]


def test_what_is_no_topology_at_all() -> None:
    with pytest.raises(InvalidArgument, match="a Topology, a Path to a file of TOML or YAML, or a mapping"):
        read(5)


# --- plans


def planned(text: str, **there: Any) -> list[tuple[str, str, str]]:
    options = {key: there.pop(key) for key in ("prune", "in_use") if key in there}
    busy = there.pop("busy", {})
    present = Present(Topology(**{"exchanges": STANDARD, **there}), busy)
    return [(step.action, step.kind, step.name) for step in plan(toml(text), present, vhost="/", **options).steps]


def test_unknown_arguments_are_updated_and_a_classic_type_is_none() -> None:
    text = "[queues.q]\nqueue_type = 'classic'\narguments = { note = 'new' }\n"
    assert planned(text, queues=(Queue("q", arguments={"note": b"new"}),)) == [("same", "queue", "q")]
    assert planned(text, queues=(Queue("q", arguments={"note": "old"}),)) == [("update", "queue", "q")]
    assert planned(text, queues=(Queue("q", durable=False),)) == [("differs", "queue", "q")]
    assert planned(text, queues=(Queue("q", exclusive=True, owner="s"),)) == [("differs", "queue", "q")]


def test_a_dead_letter_exchange_that_is_nowhere_is_a_remark() -> None:
    wanted = toml("[queues.q]\ndead_letter_exchange = 'dead'\n[queues.r]\ndead_letter_exchange = ''")
    first, second = plan(wanted, Present(Topology(STANDARD), {}), vhost="/").steps
    assert (first.action, first.reason) == (
        "create",
        "its dead-letter exchange 'dead' is nowhere: what goes there is lost",
    )
    assert second.reason == ""


def test_a_circle_of_others_is_theirs() -> None:
    there = (
        *STANDARD,
        Exchange("a", "fanout", arguments={"alternate-exchange": "b"}),
        Exchange("b", "fanout", arguments={"alternate-exchange": "a"}),
    )
    assert planned("[exchanges.x]", exchanges=there) == [("create", "exchange", "x")]
    with pytest.raises(DefinitionsError, match="exchange 'b': alternate exchanges in a circle: a -> b -> a"):
        planned("[exchanges.b]\ntype = 'fanout'\nalternate_exchange = 'a'", exchanges=there)


def test_pruning_leaves_what_no_topology_may_name() -> None:
    there = {
        "queues": (Queue("own", exclusive=True, owner="s"), Queue("amq.gen-1"), Queue("old")),
        "exchanges": (*STANDARD, Exchange("amq.odd", "direct")),
        "bindings": (Binding("amq.topic", "amq.gen-1"), Binding("amq.topic", "own"), Binding("amq.topic", "old")),
    }
    assert planned("", prune=True, **there) == [
        ("delete", "binding", "amq.topic -> old"),
        ("delete", "queue", "old"),
    ]
    assert planned("", prune=True, busy={"old": "1 consumer"}, **there)[-1] == ("in use", "queue", "old")
    assert planned("", prune=True, in_use=True, busy={"old": "1 consumer"}, **there)[-1] == ("delete", "queue", "old")
    assert planned("", **there) == []


def test_a_binding_to_anothers_exclusive_queue_is_refused() -> None:
    with pytest.raises(DefinitionsError, match="queue 'own' is exclusive to another session"):
        planned("[[bindings]]\nsource = 'amq.topic'\nqueue = 'own'", queues=(Queue("own", exclusive=True, owner="s"),))


# --- writing


def test_what_is_written_is_read_as_the_same() -> None:
    odd: Any = {
        "text": 'a "b"\\ \n\x7f\u00e9\U0001f407',
        "bytes": b"\xff",
        "list": [1, -2.5, True, {"a b": {}}, []],
        "when": datetime(2030, 1, 1, tzinfo=UTC),
        "exact": Decimal("1.50"),
        "odd": float("inf"),
    }
    topology = Topology(
        (
            Exchange("x.y", "topic", False, True, True, {"alternate-exchange": "z", **odd}),
            Exchange('odd "name"\\', "x-delayed-message", arguments={"x-delayed-type": "direct"}),
        ),
        (
            Policy("p", r"^a\.b", {"max-length": 2, "dead-letter-exchange": "d"}),
            Policy("q", "'", {"message-ttl": 5}, -3, "queues"),
        ),
        (
            Queue("a", arguments={"x-message-ttl": 60_000, "x-expires": 1500, "x-max-priority": 5, **odd}),
            Queue("b c", False, False, True),
            Queue("log", arguments={"x-queue-type": "stream", "x-max-age": "7D"}),
            Queue("tries", arguments={"x-retry-delays": [1000, 2500], "x-retry-tries": 5}),
            Queue("grows", arguments={"x-retry-first": 1500, "x-retry-factor": 1.5, "x-retry-tries": 5}),
            Queue("sole", arguments={"x-single-active-consumer": True, "x-overflow": b"drop-head"}),
        ),
        (
            Binding("x.y", "a", "queue", "k\t", {"x-match": "any", **odd}),
            Binding("x.y", "x.y", "exchange"),
        ),
    )
    written = dump(topology)
    there = Present(topology, {})
    steps = plan(toml(written), there, vhost="/", prune=True).steps
    assert [step for step in steps if step.action != "same"] == []
    assert len(steps) == 12
    assert dump(toml(written).topology) == written
    assert "message_ttl = 60\n" in written
    assert 'expires = "1500ms"\n' in written
    assert 'retry_delays = [1, "2500ms"]\n' in written
    assert 'retry_first = "1500ms"\n' in written


def test_toml_has_no_none() -> None:
    with pytest.raises(InvalidArgument, match=r"q: arguments.* is None: wanted something else: TOML has no None"):
        dump(Topology(queues=(Queue("q", arguments={"x-own": [None]}),)))
