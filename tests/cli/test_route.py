"""route: the way it shows is the way that messages take."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexchange import Broker, Exchange
from rexchange.cli.explain import explain
from rexchange.testing import memory_broker
from tests.cli.conftest import Cli


@pytest.fixture
def _events(broker: Broker) -> None:
    events = broker.declare_exchange("events", "topic", alternate_exchange="rest")
    audit = broker.declare_exchange("audit", "fanout")
    broker.declare_exchange("rest", "direct")
    for name in ("mail", "log", "other"):
        broker.declare_queue(name)
    broker.bind("mail", events, "user.*.created")
    broker.bind(audit, events, "user.#")
    broker.bind("log", audit)
    broker.bind("other", "rest", "odd")


@pytest.mark.usefixtures("_events")
def test_the_way_for_people(cli: Cli) -> None:
    assert cli.ok("route", "events", "user.42.created").out.splitlines() == [
        "topic exchange events < key user.42.created",
        "├── queue mail  by user.*.created",
        "└── fanout exchange audit  by user.#",
        "    └── queue log  as everything",
    ]
    assert cli.ok("route", "events", "odd").out.splitlines() == [
        "topic exchange events < key odd",
        "└── direct exchange rest  its alternate exchange: nothing else matches",
        "    └── queue other  by odd",
    ]
    assert "queue mail  by its name" in cli.ok("route", "", "mail").out


@pytest.mark.usefixtures("_events")
def test_the_way_as_json(cli: Cli) -> None:
    found = cli.ok("route", "events", "user.42.deleted", "--json").json
    assert found["queues"] == ["log"]
    assert [(step["source"], step["destination"], step["binding_key"]) for step in found["steps"]] == [
        ("events", "audit", "user.#"),
        ("audit", "log", ""),
    ]
    assert found["agreed"] is True


@pytest.mark.usefixtures("_events")
def test_no_way(cli: Cli) -> None:
    done = cli("route", "events", "nobody", "--json")
    assert (done.code, done.json["queues"]) == (3, [])
    assert done.err == "no queue: the message would be dropped\n"
    assert cli("route", "missing", "k").code == 1
    assert cli("route", "", "missing").code == 3


def test_headers_and_cycles(cli: Cli, broker: Broker) -> None:
    one, two = broker.declare_exchange("one", "headers"), broker.declare_exchange("two", "fanout")
    broker.declare_queue("mail")
    broker.bind("mail", one, arguments={"x-match": "any", "a": 1, "b": None})
    broker.bind(two, one)
    broker.bind(one, two)
    shown = cli.ok("route", "one", "-H", "a:=1").out
    assert "queue mail  by x-match='any', a=1, b=None" in shown
    assert "exchange one  as everything, shown above" in shown
    assert cli("route", "one", "-H", "a=1").code == 3


def test_an_alternate_exchange_that_a_policy_says(cli: Cli, broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    broker.declare_exchange("rest", "fanout")
    broker.bind(broker.declare_queue("mail"), "rest")
    broker.set_policy("rest", "^events$", {"alternate-exchange": "rest"})
    assert cli.ok("route", "events", "odd").out.splitlines() == [
        "topic exchange events < key odd",
        "└── fanout exchange rest  its alternate exchange: nothing else matches",
        "    └── queue mail  as everything",
    ]


@pytest.mark.parametrize("type", ["x-consistent-hash", "x-modulus-hash", "x-random"])
def test_exchanges_that_choose_one_of_their_bindings(cli: Cli, broker: Broker, type: str) -> None:
    broker.declare_exchange("spread", type)
    for name in ("a", "b", "c"):
        broker.bind(broker.declare_queue(name), "spread", "1")
    for key in ("1", "2", "3", "4"):
        found = cli.ok("route", "spread", key, "--json").json
        assert [step["destination"] for step in found["steps"]] == found["queues"]
        assert (len(found["queues"]), found["agreed"]) == (1, True)
    assert "as the one that it chose" in cli.ok("route", "spread", "1").out
    broker.declare_exchange("empty", type, alternate_exchange="spread")
    assert cli.ok("route", "empty", "1", "--json").json["agreed"]


def test_exchanges_that_route_as_another_type(cli: Cli, broker: Broker) -> None:
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "topic"})
    broker.declare_exchange("recent", "x-recent-history")
    broker.bind(broker.declare_queue("mail"), "later", "a.#")
    broker.bind("mail", "recent", "b")
    for args in (("later", "a.b"), ("recent", "any")):
        found = cli.ok("route", *args, "--json").json
        assert (found["queues"], found["agreed"], len(found["steps"])) == (["mail"], True, 1)
    assert cli("route", "later", "b").code == 3
    assert "as everything" in cli.ok("route", "recent").out


class Changing(Broker):
    """A broker on which somebody else changes a binding between two questions."""

    def route(self, *args: Any, **kwargs: Any) -> list[str]:
        return [*super().route(*args, **kwargs), f"new-{secrets.token_hex(2)}"]


def test_what_changes_meanwhile_is_said(cli: Cli) -> None:
    with Changing(cli.url) as broker:
        broker.declare_exchange("events", "topic")
        path = explain(broker, "events", "k", {})
    assert not path.agreed
    assert len(path.queues) == 1


_words = st.sampled_from(["a", "b", "", "*", "#"])
_keys = st.lists(_words, max_size=4).map(".".join)
_exchanges = st.sampled_from(["d", "f", "t", "h"])
_tables = st.dictionaries(
    st.sampled_from(["a", "b", "x-a", "x-match"]),
    st.sampled_from([1, 1.0, True, "1", b"1", None, ["x"], "all", "any-with-x"]),
    max_size=3,
)
_bindings = st.tuples(_exchanges, st.sampled_from(["q1", "q2", "d", "f", "t", "h"]), _keys, _tables)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    bindings=st.lists(_bindings, max_size=8),
    alternates=st.dictionaries(_exchanges, st.sampled_from(["d", "f", "t", "h", "missing"]), max_size=2),
    asked=st.lists(st.tuples(_exchanges, _keys, _tables), min_size=1, max_size=4),
)
def test_it_agrees_with_the_broker(
    bindings: list[tuple[str, str, str, dict[str, Any]]],
    alternates: dict[str, str],
    asked: list[tuple[str, str, dict[str, Any]]],
) -> None:
    types = {"d": "direct", "f": "fanout", "t": "topic", "h": "headers"}
    modes = ("all", "any-with-x")
    with memory_broker() as broker:
        for name, type_ in types.items():
            broker.declare_exchange(name, type_, alternate_exchange=alternates.get(name))
        for name in ("q1", "q2"):
            broker.declare_queue(name)
        for source, destination, key, table in bindings:
            arguments = {name: value for name, value in table.items() if name != "x-match" or value in modes}
            broker.bind(
                Exchange(destination, "direct") if destination in types else destination, source, key, arguments
            )
        for source, key, headers in asked:
            path = explain(broker, source, key, headers)
            assert path.agreed, (path, broker.bindings())
