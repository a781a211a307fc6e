"""declare, delete, bind, unbind, list."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rexchange import Broker
from rexchange.arguments import QueueOptions
from rexchange.topology import DELAYED, TYPES
from tests.cli.conftest import Cli


def test_declare_exchange(cli: Cli, broker: Broker) -> None:
    assert "exchange 'events' (topic) is there" in cli.ok("declare", "exchange", "events", "topic").out
    again = cli.ok("declare", "exchange", "events", "topic", "--json")
    assert again.json == {"exchange": "events", "type": "topic"}
    assert [item.name for item in broker.exchanges() if not item.name.startswith("amq.")] == ["events"]


def test_declare_exchange_with_everything(cli: Cli, broker: Broker) -> None:
    cli.ok(
        *("declare", "exchange", "odd", "headers", "--transient", "--auto-delete", "--internal"),
        *("--alternate", "rest", "-a", "x-note=text", "-a", "x-number:=5"),
    )
    (found,) = (item for item in broker.exchanges() if item.name == "odd")
    assert (found.type, found.durable, found.auto_delete, found.internal) == ("headers", False, True, True)
    assert found.alternate_exchange == "rest"
    assert (found.arguments["x-note"], found.arguments["x-number"]) == ("text", 5)


def test_declare_queue(cli: Cli, broker: Broker) -> None:
    done = cli.ok("declare", "queue", "mail", "--ack-timeout", "1.5", "--json")
    assert done.json == {"queue": "mail", "ready": 0, "consumers": 0}
    (found,) = broker.queues()
    assert found.queue.ack_timeout == timedelta(seconds=1.5)
    assert cli.ok("declare", "queue", "--server-named").out.startswith("queue 'amq.gen-")


def test_every_typed_option_of_a_queue_is_an_option_here(cli: Cli) -> None:
    told = cli.ok("declare", "queue", "--help").out
    own = {"queue_type": "type", "retry_delays": "retry-delay"}
    names = {own.get(name, name.replace("_", "-")) for name in QueueOptions.__annotations__}
    assert {name for name in names if f"--{name}" not in told} == set()


def test_declare_queue_with_everything(cli: Cli, broker: Broker) -> None:
    cli.ok(
        *("declare", "queue", "work", "--message-ttl", "60", "--expires", "3600.5", "--max-length", "10"),
        *("--max-length-bytes", "1000", "--overflow", "reject-publish-dlx", "--dead-letter-exchange", "amq.fanout"),
        *("--dead-letter-routing-key", "failed", "--max-priority", "9", "--single-active-consumer"),
        *("--type", "classic", "-a", "x-note=text"),
    )
    cli.ok("declare", "queue", "safe", "--type", "quorum", "--delivery-limit", "5")
    cli.ok("declare", "queue", "log", "--type", "stream", "--max-age", "3600")
    found = {info.name: info.queue.arguments for info in broker.queues()}
    assert found == {
        "log": {"x-max-age": "3600s", "x-queue-type": "stream"},
        "safe": {"x-delivery-limit": 5, "x-queue-type": "quorum"},
        "work": {
            "x-note": "text",
            "x-message-ttl": 60_000,
            "x-expires": 3_600_500,
            "x-max-length": 10,
            "x-max-length-bytes": 1000,
            "x-overflow": "reject-publish-dlx",
            "x-dead-letter-exchange": "amq.fanout",
            "x-dead-letter-routing-key": "failed",
            "x-max-priority": 9,
            "x-single-active-consumer": True,
            "x-queue-type": "classic",
        },
    }


def test_declare_exchanges_of_all_types(cli: Cli, broker: Broker) -> None:
    for type in TYPES:
        more = ("-a", "x-delayed-type=topic") if type == DELAYED else ()
        cli.ok("declare", "exchange", type, type, *more)
    assert {item.name: item.type for item in broker.exchanges()}.items() >= {type: type for type in TYPES}.items()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("declare", "exchange", "e", "weird"), 1, "give one of direct, fanout, topic, headers, x-"),
        (("declare", "exchange", "e", "x-local-random"), 1, "does not have the type x-local-random"),
        (("declare", "exchange", "e", "x-delayed-message"), 1, "x-delayed-type is None"),
        (("declare", "exchange", "amq.mine"), 1, "names that begin with 'amq.'"),
        (("declare", "queue", "q", "-a", "x-consumer-timeout=5"), 1, "x-consumer-timeout is '5'"),
        (("declare", "queue", "q", "-a", "x-max-length:=-5"), 1, "x-max-length is -5"),
        (("declare", "queue", "q", "-a", "x-delayed-retry-min:=5"), 1, "does not have x-delayed-retry-min"),
        (
            ("declare", "queue", "q", "--max-length", "5", "-a", "x-max-length:=6"),
            2,
            "max_length is 5: wanted the same",
        ),
        (("declare", "queue", "q", "--max-length", "-1"), 2, "greater than or equal to 0"),
        (("declare", "queue", "q", "--overflow", "drop"), 1, "x-overflow is 'drop': give one of drop-head"),
        (("declare", "queue", "q", "--type", "fast"), 1, "x-queue-type is 'fast': give one of classic"),
        (("declare", "queue", "q", "--dead-letter-routing-key", "k"), 1, "give x-dead-letter-exchange too"),
        (("declare", "queue", "q", "-a", "nothing"), 2, "name=text"),
        (("declare", "queue", "q", "-a", "x:=[1"), 2, "JSON after ':='"),
        (("declare", "queue", "q", "-a", "x=1", "-a", "x=2"), 2, "each name once"),
        (("declare", "queue", "q\n"), 2, "no NUL, CR or LF"),
        (("declare", "queue", "q", "--vhost", "a{b"), 2, "no braces"),
        (("declare", "nonsense"), 2, "nonsense"),
        (("bind", "missing", "amq.topic"), 1, "queue 'missing'"),
        (("bind", "q", ""), 1, "the default exchange cannot be bound"),
        (("delete", "exchange", "amq.topic"), 1, "amq.topic"),
        (("list", "bindings", "missing"), 0, ""),
    ],
)
def test_refusals(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    done = cli(*args)
    assert done.code == code, done
    assert says in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    if code == 1:
        assert done.err.startswith("error: ")
        assert done.out == ""


def test_redeclare_otherwise(cli: Cli) -> None:
    cli.ok("declare", "queue", "mail")
    done = cli("declare", "queue", "mail", "--transient")
    assert done.code == 1
    assert "durable=True" in done.err


def test_bind_and_unbind(cli: Cli, broker: Broker) -> None:
    for args in (("exchange", "events", "topic"), ("exchange", "audit", "fanout"), ("queue", "mail")):
        cli.ok("declare", *args)
    cli.ok("bind", "mail", "events", "user.#", "-a", "note=x")
    assert cli.ok("bind", "audit", "events", "#", "--to-exchange", "--json").json == {
        "destination": "audit",
        "source": "events",
        "binding_key": "#",
    }
    assert {(item.destination, item.destination_kind, item.binding_key) for item in broker.bindings()} == {
        ("mail", "queue", "user.#"),
        ("audit", "exchange", "#"),
    }
    cli.ok("unbind", "mail", "events", "user.#")
    assert len(broker.bindings()) == 2, "a binding is its arguments too"
    cli.ok("unbind", "mail", "events", "user.#", "-a", "note=x")
    cli.ok("unbind", "audit", "events", "#", "-x", "--json")
    assert broker.bindings() == []
    cli.ok("unbind", "mail", "events", "user.#")


def test_delete(cli: Cli, broker: Broker) -> None:
    cli.ok("declare", "queue", "mail")
    broker.publish(b"x", routing_key="mail")
    refused = cli("delete", "queue", "mail", "--if-empty")
    assert (refused.code, refused.out) == (1, "")
    assert cli.ok("delete", "queue", "mail", "--if-unused", "--json").json == {
        "queue": "mail",
        "existed": True,
        "messages": 1,
    }
    assert "there was no queue" in cli.ok("delete", "queue", "mail").out
    cli.ok("declare", "exchange", "events")
    assert "is gone" in cli.ok("delete", "exchange", "events", "--if-unused").out
    assert broker.queues() == []


def test_list_as_json(cli: Cli, broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    broker.declare_queue("mail", ack_timeout=timedelta(seconds=9))
    broker.bind("mail", "events", "a.*", {"bytes": b"raw", "binary": b"\xff"})
    broker.publish(b"x", routing_key="mail")
    assert {"name": "events", "type": "topic", "durable": True, "auto_delete": False, "internal": False}.items() <= (
        next(item for item in cli.ok("list", "exchanges", "--json").json if item["name"] == "events").items()
    )
    assert cli.ok("list", "queues", "--json").json == [
        {
            "name": "mail",
            "durable": True,
            "exclusive": False,
            "auto_delete": False,
            "arguments": {"x-consumer-timeout": 9000},
            "ready": 1,
            "unacked": 0,
            "waiting": 0,
            "consumers": 0,
        }
    ]
    (binding,) = cli.ok("list", "bindings", "events", "--json").json
    assert binding["arguments"] == {"bytes": "raw", "binary": {"base64": "/w=="}}
    with broker.consume("mail", auto_ack=False, prefetch=7, tag="me"):
        (consumer,) = cli.ok("list", "consumers", "--json").json
    assert (consumer["tag"], consumer["queues"], consumer["prefetch"]) == ("me", ["mail"], 7)


def test_list_for_people(cli: Cli, broker: Broker) -> None:
    for kind in ("queues", "bindings", "consumers"):
        assert cli.ok("list", kind).out == f"there are no {kind} in vhost '/'\n"
    long = "a-queue-with-a-very-long-name-" * 6
    broker.declare_queue(long)
    broker.declare_queue("odd\x1b[31m", auto_delete=True, durable=False)
    broker.declare_exchange("events", "topic", internal=True)
    broker.bind(long, "events", "a.*")
    queues = cli.ok("list", "queues").out
    assert long in queues, "without a terminal names are neither cut nor wrapped"
    assert "\x1b" not in queues
    assert "transient, auto-delete" in queues
    assert "internal" in cli.ok("list", "exchanges").out
    assert "a.*" in cli.ok("list", "bindings").out
    with broker.consume(long, auto_ack=False, tag="me"):
        assert "within 120 s" in cli.ok("list", "consumers").out
