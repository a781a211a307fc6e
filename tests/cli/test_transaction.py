"""transaction."""

from __future__ import annotations

import pytest

from rexchange import Broker
from rexchange.testing import drain
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def _topology(broker: Broker) -> None:
    broker.declare_queue("events")


def test_a_value_and_its_event(cli: Cli, broker: Broker) -> None:
    done = cli.ok(
        *("transaction", "", "events", "9.90", "-H", "currency=EUR", "-p", "type=price"),
        *("-r", "SET 'price:42' '9.90 EUR' EX 60", "--redis", "GET price:42"),
    )
    assert done.out == "SET price:42 '9.90 EUR' EX 60: true\nGET price:42: 9.90 EUR\npublished 1 message to 1 queue\n"
    (found,) = drain(broker, "events")
    assert (found.body, found.headers, found.properties.type) == (b"9.90", {"currency": "EUR"}, "price")
    raw = cli.ok("transaction", "", "nobody", "x", "-r", "MGET price:42 none", "--json")
    assert raw.json == {"results": [["9.90 EUR", None]], "published": 1, "queued": 0}
    assert "no queue" in cli.ok("transaction", "", "nobody", "-", "-r", "PING", stdin=b"x").err


def test_what_fails_publishes_nothing(cli: Cli, broker: Broker) -> None:
    cli.ok("transaction", "", "nobody", "x", "-r", "SET text words")
    done = cli("transaction", "", "events", "x", "-r", "INCR number", "-r", "INCR text")
    assert done.code == 1
    assert "command 1, INCR 'text', failed" in done.err
    assert "not undone: INCR 'number'" in done.err
    for wrong in ("FLUSHALL", "DEL rx:{/}:queues", "SET 'a", " "):
        assert cli("transaction", "", "events", "x", "-r", wrong).code == 2
    assert cli("transaction", "", "nobody", "x", "-r", "PING", "--mandatory").code == 1
    assert drain(broker, "events") == []
