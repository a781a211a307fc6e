"""Definitions: what RabbitMQ exports is read whole, and what is wrong is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rexchange.definitions import Content, LeftOut, read
from rexchange.errors import DefinitionsError, InvalidArgument
from rexchange.policies import Policy
from rexchange.topology import Binding, Exchange, Queue

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "definitions"


def of(*, vhost: str = "/", **sections: Any) -> Content:
    return read(sections, vhost="/").vhosts[vhost]


def left_out(**sections: Any) -> list[tuple[str, str, str]]:
    return [(each.action, each.kind, each.name) for each in read(sections, vhost="/").left_out]


def wrong(**sections: Any) -> DefinitionsError:
    with pytest.raises(DefinitionsError) as caught:
        read(sections, vhost="/")
    return caught.value


def queue(name: Any = "q", **more: Any) -> dict[str, Any]:
    return {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}, **more}


def exchange(name: str = "x", type: str = "direct", **more: Any) -> dict[str, Any]:
    return {"name": name, "vhost": "/", "type": type, "durable": True, "auto_delete": False, "arguments": {}, **more}


def policy(name: str = "p", definition: Any = None, **more: Any) -> dict[str, Any]:
    given = {"message-ttl": 5} if definition is None else definition
    return {"name": name, "vhost": "/", "pattern": ".*", "definition": given, **more}


def binding(source: str = "x", destination: str = "q", **more: Any) -> dict[str, Any]:
    row = {"source": source, "vhost": "/", "destination": destination, "destination_type": "queue"}
    return {**row, "routing_key": "k", "arguments": {}, **more}


# --- what is read


def test_everything_of_an_export_is_read() -> None:
    found = of(
        rabbit_version="3.13.0",
        rabbitmq_version="3.13.0",
        product_name="RabbitMQ",
        vhosts=[{"name": "/", "description": "", "tags": [], "metadata": {"default_queue_type": "undefined"}}],
        exchanges=[exchange("x", "topic", internal=True, auto_delete=True, arguments={"alternate-exchange": "rest"})],
        policies=[policy("p", {"ha-mode": "all", "max-length": 5}, priority=7, **{"apply-to": "queues"})],
        queues=[queue("q", durable=False, auto_delete=True, arguments={"x-message-ttl": 5, "odd": [1, {"a": None}]})],
        bindings=[
            binding("x", "q", routing_key="a.*", arguments={"n": 1}),
            binding("x", "x", destination_type="exchange"),
        ],
    )
    assert found == Content(
        (Exchange("x", "topic", auto_delete=True, internal=True, arguments={"alternate-exchange": "rest"}),),
        (Policy("p", ".*", {"ha-mode": "all", "max-length": 5}, 7, "queues"),),
        (Queue("q", durable=False, auto_delete=True, arguments={"x-message-ttl": 5, "odd": [1, {"a": None}]}),),
        (Binding("x", "q", binding_key="a.*", arguments={"n": 1}), Binding("x", "x", "exchange", "k")),
    )


def test_what_is_left_out_of_an_object_has_amqps_defaults() -> None:
    found = of(
        exchanges=[{"name": "x", "type": "fanout"}],
        policies=[{"name": "p", "pattern": "^a", "definition": {"expires": 1}, "priority": None, "apply-to": None}],
        queues=[{"name": "q", "arguments": []}, {"name": "r", "auto_delete": "undefined", "arguments": None}],
        bindings=[{"source": "x", "destination": "q", "destination_type": "queue"}],
    )
    assert found == Content(
        (Exchange("x", "fanout"),), (Policy("p", "^a", {"expires": 1}),), (Queue("q"), Queue("r")), (Binding("x", "q"),)
    )


def test_objects_that_name_no_vhost_are_of_the_given_one() -> None:
    found = read({"queues": [{"name": "q"}, {"name": "q", "vhost": "other"}]}, vhost="mine").vhosts
    assert found == {"mine": Content(queues=(Queue("q"),)), "other": Content(queues=(Queue("q"),))}


def test_a_vhost_without_objects_is_one_too() -> None:
    assert read({"vhosts": [{"name": "a"}], "queues": None}, vhost="/").vhosts == {"a": Content()}
    assert read({}, vhost="/").vhosts == {}


@pytest.mark.parametrize(
    "source",
    [
        '{"queues": [{"name": "é"}]}',
        '\ufeff{"queues": [{"name": "é"}]}',
        '{"queues": [{"name": "é"}]}'.encode(),
        bytearray('{"queues": [{"name": "é"}]}'.encode("utf-8-sig")),
        memoryview('{"queues": [{"name": "é"}]}'.encode("utf-16")),
        {"queues": [{"name": "é"}]},
    ],
)
def test_the_source_is_text_bytes_or_what_was_read_from_them(source: Any) -> None:
    assert read(source, vhost="/").vhosts["/"].queues == (Queue("é"),)


def test_the_same_object_twice_is_one() -> None:
    found = of(
        exchanges=[exchange(), exchange()],
        policies=[policy(), policy()],
        queues=[queue(arguments={"a": 1, "b": 2}), queue(arguments={"b": 2, "a": 1})],
        bindings=[binding(), binding(), binding(arguments={"a": 1})],
    )
    assert [len(each) for each in (found.exchanges, found.policies, found.queues, found.bindings)] == [1, 1, 1, 2]


# --- what is left out


def test_what_is_rabbitmqs_own_is_skipped_and_named() -> None:
    assert left_out(
        users=[{"name": "guest"}],
        permissions=[{"user": "guest", "vhost": "/", "configure": ".*"}],
        topic_permissions=[{"user": "guest", "vhost": "/", "exchange": "x"}],
        parameters=[{"component": "shovel", "vhost": "/", "name": "mine", "value": {}}, 5],
        global_parameters=[{"name": "cluster_name", "value": "rabbit@host"}],
        limits={"max-queues": 5},
    ) == [
        ("skipped", "user", "guest"),
        ("skipped", "permission", "guest"),
        ("skipped", "topic permission", "guest x"),
        ("skipped", "parameter", "shovel mine"),
        ("skipped", "parameter", "5"),
        ("skipped", "global parameter", "cluster_name"),
        ("skipped", "vhost limit", ""),
    ]


def test_the_brokers_own_names_are_skipped() -> None:
    assert left_out(
        exchanges=[exchange(""), exchange("amq.topic", "topic"), exchange("amq.mine")],
        queues=[queue("amq.gen-1"), queue("mine", exclusive=True)],
        bindings=[
            binding("", "q", routing_key="q"),
            binding("", "q", routing_key="other"),
            binding("", "x", destination_type="exchange", routing_key="x"),
        ],
    ) == [
        ("skipped", "exchange", ""),
        ("skipped", "exchange", "amq.topic"),
        ("skipped", "exchange", "amq.mine"),
        ("skipped", "queue", "amq.gen-1"),
        ("skipped", "queue", "mine"),
        ("skipped", "binding", " -> q by 'q'"),
        ("skipped", "binding", " -> q by 'other'"),
        ("skipped", "binding", " -> x by 'x'"),
    ]


def test_what_rexchange_does_not_have_is_unsupported() -> None:
    assert left_out(
        exchanges=[exchange("f", "x-federation-upstream")],
        queues=[queue(arguments={"x-queue-type": "quorum", "x-delayed-retry-type": "all"})],
    ) == [("unsupported", "exchange", "f"), ("unsupported", "queue", "q")]


def test_a_policy_is_kept_without_what_rexchange_does_not_know_of_it() -> None:
    found = read(
        {
            "policies": [
                policy("part", {"max-priority": 5, "max-length": 1}),
                policy("none", {"federation-upstream-set": "all"}),
            ]
        },
        vhost="/",
    )
    assert found.vhosts["/"].policies == (Policy("part", ".*", {"max-length": 1}),)
    assert found.left_out == (
        LeftOut(
            "unsupported", "policy", "/", "part", "policy 'part': rexchange knows no 'max-priority' in a definition"
        ),
        LeftOut(
            "unsupported",
            "policy",
            "/",
            "none",
            "policy 'none': rexchange knows no 'federation-upstream-set' in a definition",
        ),
    )


def test_unknown_keys_are_told_once_and_ignored() -> None:
    found = read({"queues": [queue("a", foo=1), queue("b", foo=2)], "vhosts": [], "odd": {}, "bindings": []}, vhost="/")
    assert [queue.name for queue in found.vhosts["/"].queues] == ["a", "b"]
    assert found.left_out == (
        LeftOut("skipped", "key", "", "odd", "no key of RabbitMQ's definitions"),
        LeftOut("skipped", "key", "", "queues[].foo", "ignored, in 2 objects"),
    )
    assert read({"queues": [queue(foo=1)]}, vhost="/").left_out[0].reason == "ignored, in 1 object"


def test_what_would_change_queues_without_being_in_their_arguments_is_told() -> None:
    assert left_out(
        vhosts=[
            {"name": "a", "metadata": {"default_queue_type": "quorum"}, "limits": [{"name": "max-queues", "value": 1}]},
            {"name": "b", "default_queue_type": "stream", "metadata": None, "limits": []},
            {"name": "c", "default_queue_type": "classic"},
        ],
        queues=[
            queue("d", type="quorum"),
            queue("e", type="quorum", arguments={"x-queue-type": "quorum"}),
            queue("f", type="classic"),
            queue("g", type="stream", arguments={"x-queue-type": "quorum"}),
        ],
    ) == [
        ("skipped", "vhost", "a"),
        ("skipped", "vhost limit", "a"),
        ("skipped", "vhost", "b"),
        ("skipped", "key", "type of queue d"),
        ("skipped", "key", "type of queue g"),
    ]


# --- what is wrong


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ('{"queues": [\n  {"name": "q"},\n]}', 3, 1, "no JSON: the comma before this bracket is one too many"),
        ('{"queues": [],\n}', 2, 1, "the comma before this bracket is one too many, remove it"),
        ('{"queues": [\n // all\n]}', 2, 2, "JSON has no comments"),
        ("definitions.json", 1, 1, "give the name of a file as a Path"),
        ('{"queues"', 1, 10, "no JSON: Expecting ':' delimiter"),
        ('{} {"queues": []}', 1, 4, "no JSON: Extra data"),
        (b'{"queues":\n "\xff"}', 2, 3, "no UTF-8: the byte 0xff begins no character"),
        (b"\xff{", 1, 1, "no UTF-8"),
        (" \n", None, None, "it is empty"),
        ("[1, 2]", None, None, "it is [1, 2]: wanted an object with keys such as queues"),
        ('{"queues": [NaN]}', None, None, "no JSON: it has no NaN"),
        ('{"queues": [], "queues": [{}]}', None, None, "the key 'queues' stands twice in one object: keep one"),
        ('{"queues": [{"name": "q", "a": 1, "a": 2}]}', None, None, "the key 'a' stands twice in one object that has"),
        ("[" * 100_000, None, None, "it is nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", None, None, "no JSON: Exceeds the limit"),
        ('{"name": "x", "version": 1}', None, None, "these are no definitions: none of vhosts, exchanges, policies"),
    ],
)
def test_what_is_no_json_is_told_with_line_and_column(
    text: str | bytes, line: int | None, column: int | None, says: str
) -> None:
    with pytest.raises(DefinitionsError) as caught:
        read(text, vhost="/", file="broken.json")
    error = caught.value
    assert (error.line, error.column, error.file) == (line, column, "broken.json")
    assert says in str(error)
    assert str(error).startswith("broken.json: ")
    assert line is None or f"line {line}, column {column}: " in str(error)


def test_a_source_of_another_type_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidArgument, match="source is 5: wanted JSON as str or bytes, a dict, or a Path"):
        read(5, vhost="/")  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"queues": {"q": {}}}, 'queues is {"q": {}}: give a list'),
        ({"queues": [5]}, "queues[0] is 5: give an object"),
        ({"queues": [queue("ok"), {}]}, "queues[1] in vhost '/': queue '': name is missing: give a string"),
        ({"queues": [queue(name=5)]}, "queue '5': name is 5: give a string"),
        ({"queues": [queue("")]}, "queue name is '': wanted a name that is not empty"),
        ({"queues": [queue("x" * 300)]}, "wanted at most 255 bytes of UTF-8"),
        ({"queues": [queue("\ud800")]}, "no lone surrogates"),
        ({"queues": [queue(vhost="a{b")]}, "wanted a name that is not empty and has no braces"),
        ({"queues": [queue(vhost=["/"])]}, 'vhost is ["/"]: give a string'),
        ({"queues": [queue(durable="yes")]}, "queue 'q': durable is \"yes\": give true or false"),
        ({"queues": [queue(arguments=[1])]}, "arguments is [1]: give an object"),
        ({"queues": [queue(arguments={"x-message-ttl": "5"})]}, "x-message-ttl is '5': give an int from 0 to"),
        ({"queues": [queue(arguments={"a": [1e999]})]}, "arguments['a'][0] is inf: give a number that a float can"),
        ({"queues": [queue(arguments={"a": 1 << 64})]}, "wanted an int of at most 64 bits"),
        ({"queues": [queue(arguments={"a": {1, 2}})]}, "wanted None, bool, int, float, str"),
        ({"queues": [queue(durable={1, 2})]}, "durable is {1, 2}: give true or false"),
        ({"queues": [queue(durable=False, arguments={"x-queue-type": "quorum"})]}, "give True for a quorum queue"),
        ({"queues": [queue(type=5)]}, "type is 5: give a string"),
        ({"queues": [queue(), queue(durable=False)]}, "defined twice, with durable=true and with durable=false: keep"),
        ({"exchanges": [exchange(type="weird")]}, "exchange 'x': type is 'weird': give one of direct, fanout"),
        ({"exchanges": [{"name": "x"}]}, "type is missing: give a string"),
        ({"exchanges": [exchange(arguments={"alternate-exchange": 5})]}, "alternate-exchange is 5: give the name"),
        ({"exchanges": [exchange(type="x-delayed-message")]}, "x-delayed-type is None: give the type by which"),
        ({"policies": [policy(pattern="(")]}, "pattern is '(': wanted a regular expression"),
        ({"policies": [policy(definition={})]}, "definition is {}: wanted a dict with at least one key"),
        ({"policies": [policy(definition=["a"])]}, 'definition is ["a"]: give an object'),
        ({"policies": [policy(definition={"max-length": "5"})]}, "max-length is '5': give an int of at least 0"),
        ({"policies": [policy(priority="5")]}, "priority is '5': wanted an int"),
        ({"policies": [policy(**{"apply-to": "all queues"})]}, "apply_to is 'all queues': wanted one of all, queues"),
        ({"policies": [policy(), policy(priority=1)]}, "with priority=0 and with priority=1"),
        ({"bindings": [binding(destination_type="q")]}, "destination_type is 'q': give queue or exchange"),
        ({"bindings": [{"source": "x"}]}, "binding 'x -> ?': destination_type is missing"),
        ({"bindings": [binding(routing_key="k" * 300)]}, "binding 'x -> q': routing_key is 'kkk"),
        ({"bindings": [binding("x\n")]}, "wanted no NUL, CR or LF"),
        ({"vhosts": [{"name": "{"}]}, "vhosts[0]: vhost '{': vhost name is '{': wanted"),
        ({"vhosts": [{}]}, "vhosts[0]: vhost '': name is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_object(sections: dict[str, Any], says: str) -> None:
    assert says in str(wrong(**sections))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    error = wrong(queues=[queue("a", durable=1), queue("b"), queue("c", vhost="v", durable=2)], exchanges=5)
    assert [(each.kind, each.vhost, each.name, each.why) for each in error.problems] == [
        ("", "", "", "invalid"),
        ("queue", "/", "a", "invalid"),
        ("queue", "v", "c", "invalid"),
    ]
    assert str(error) == (
        "3 problems\n"
        "- exchanges is 5: give a list\n"
        "- queues[0] in vhost '/': queue 'a': durable is 1: give true or false\n"
        "- queues[2] in vhost 'v': queue 'c': durable is 2: give true or false"
    )


def test_a_table_nested_too_deeply_is_told() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert "['a']['a'][… is nested too deeply" in str(wrong(queues=[queue(arguments=deep)]))
    assert "definition is" in str(wrong(policies=[policy(definition=[deep])]))


@pytest.mark.parametrize("path", sorted((REAL / "bad-input").glob("*.json")), ids=lambda path: path.stem)
def test_real_bad_input_is_told_with_its_place(path: Path) -> None:
    with pytest.raises(DefinitionsError) as caught:
        read(path.read_bytes(), vhost="/", file=path.name)
    error = caught.value
    if "trailing-comma" in path.stem:
        assert error.line is not None
        assert path.read_text().splitlines()[error.line - 1].strip() in ("]", "],", "}", "},")
        assert "remove it" in str(error)
    else:
        assert (error.kind, error.vhost, error.name) == ("exchange", "/", "invalid_type")
        assert "definitly not direct" in str(error)
