"""Definitions written: in RabbitMQ's form, and nothing is lost on the way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rexchange.codec import Table
from rexchange.definitions import Content, dump, read, without_vhosts
from rexchange.errors import DefinitionsError
from rexchange.policies import Policy
from rexchange.topology import PREDECLARED, Binding, Exchange, Queue


def test_an_export_is_in_rabbitmqs_form_and_order() -> None:
    content = Content(
        (Exchange("b", "fanout"), Exchange("a", "topic", durable=False, internal=True)),
        (Policy("z", "^z", {"max-length": 5}, 3, "queues"), Policy("y", ".*", {"expires": 1})),
        (Queue("r", auto_delete=True), Queue("q", durable=False, arguments={"x-max-length": 5})),
        (Binding("b", "a", "exchange"), Binding("a", "q", binding_key="#", arguments={"n": 1})),
    )
    assert dump({"/": content, "empty": Content()}) == {
        "rabbit_version": "4.0.0",
        "rabbitmq_version": "4.0.0",
        "product_name": "rexchange",
        "vhosts": [{"name": "/"}, {"name": "empty"}],
        "exchanges": [
            {"name": "a", "vhost": "/", "type": "topic"}
            | {"durable": False, "auto_delete": False, "internal": True, "arguments": {}},
            {"name": "b", "vhost": "/", "type": "fanout"}
            | {"durable": True, "auto_delete": False, "internal": False, "arguments": {}},
        ],
        "policies": [
            {
                "vhost": "/",
                "name": "y",
                "pattern": ".*",
                "apply-to": "all",
                "definition": {"expires": 1},
                "priority": 0,
            },
            {"vhost": "/", "name": "z", "pattern": "^z", "apply-to": "queues"}
            | {"definition": {"max-length": 5}, "priority": 3},
        ],
        "queues": [
            {"name": "q", "vhost": "/", "durable": False, "auto_delete": False, "arguments": {"x-max-length": 5}},
            {"name": "r", "vhost": "/", "durable": True, "auto_delete": True, "arguments": {}},
        ],
        "bindings": [
            {"source": "a", "vhost": "/", "destination": "q", "destination_type": "queue"}
            | {"routing_key": "#", "arguments": {"n": 1}},
            {"source": "b", "vhost": "/", "destination": "a", "destination_type": "exchange"}
            | {"routing_key": "", "arguments": {}},
        ],
    }


def test_what_no_import_takes_is_not_exported() -> None:
    content = Content(
        (*(each for name, each in PREDECLARED.items() if name), Exchange("x", "fanout")),
        (),
        (Queue("mine", exclusive=True, owner="s"), Queue("amq.gen-1"), Queue("q")),
        (
            Binding("x", "mine"),
            Binding("x", "amq.gen-1"),
            Binding("amq.topic", "q"),
            Binding("x", "amq.topic", "exchange"),
        ),
    )
    found = dump({"/": content})
    assert [row["name"] for row in found["exchanges"]] == ["x"]
    assert [row["name"] for row in found["queues"]] == ["q"]
    assert [(row["source"], row["destination"]) for row in found["bindings"]] == [
        ("amq.topic", "q"),
        ("x", "amq.topic"),
    ]


ODD: Table = {
    "text": "é\x00",
    "none": None,
    "float": 5.0,
    "list": [True, [], {"a": -0.5}],
    "instant": datetime(2030, 1, 31, 12, tzinfo=UTC),
    "decimal": Decimal("1.50"),
    "bytes": b"\xff\x00",
    "infinite": float("-inf"),
    "looks like one": {"$rexchange": "bytes", "value": {"$rexchange": "table", "value": "x"}},
    "nearly": {"$rexchange": "bytes"},
}


def test_values_that_json_does_not_have_come_back() -> None:
    content = Content(queues=(Queue("q", arguments=ODD),), policies=(Policy("p", "a", {"ha-params": [b"\xff"]}),))
    written = json.loads(json.dumps(dump({"/": content}), allow_nan=False))
    assert read(written, vhost="/").vhosts == {"/": content}
    assert dump(read(written, vhost="/").vhosts) == written


def test_bytes_that_are_text_are_written_as_text() -> None:
    (row,) = dump({"/": Content(queues=(Queue("q", arguments={"x": b"abc"}),))})["queues"]
    assert row["arguments"] == {"x": "abc"}


@pytest.mark.parametrize(
    ("tagged", "says"),
    [
        ({"$rexchange": "bytes", "value": "%"}, "arguments['a'] is \"%\": that is no bytes"),
        ({"$rexchange": "timestamp", "value": "today"}, "that is no timestamp"),
        ({"$rexchange": "decimal", "value": "x"}, "that is no decimal"),
        ({"$rexchange": "decimal", "value": 5}, "$rexchange is one of table, bytes, timestamp, decimal, float"),
        ({"$rexchange": "table", "value": 5}, "$rexchange is one of"),
        ({"$rexchange": "odd", "value": "x"}, "$rexchange is one of"),
        ({"$rexchange": ["bytes"], "value": "x" * 99}, "xxx…"),
    ],
)
def test_a_value_that_says_its_type_wrongly_is_told(tagged: object, says: str) -> None:
    with pytest.raises(DefinitionsError) as caught:
        read({"queues": [{"name": "q", "arguments": {"a": tagged}}]}, vhost="/")
    assert says in str(caught.value)


def test_an_export_without_names_of_vhosts_is_for_any() -> None:
    written = dump({"one": Content(queues=(Queue("q"),), exchanges=(Exchange("x", "fanout"),))})
    scoped = without_vhosts(written)
    assert "vhosts" not in scoped
    assert "vhost" not in json.dumps(scoped)
    assert read(scoped, vhost="two").vhosts == {"two": read(written, vhost="/").vhosts["one"]}
