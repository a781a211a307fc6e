"""browse, delete message, move, copy, list unacked."""

from __future__ import annotations

import pytest

from rexchange import Broker, Message
from rexchange.testing import messages
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def _topology(broker: Broker) -> None:
    for name in ("work", "dlq"):
        broker.declare_queue(name)
    broker.publish_many(
        [Message(b"body %d" % number, routing_key="work", headers={"n": number % 2}) for number in range(4)]
    )


def test_browse_shows_and_takes_nothing(cli: Cli, broker: Broker) -> None:
    broker.publish(b"x" * 1000, routing_key="work", content_type="text/plain", message_id="m-1")
    delivery = broker.get("work", auto_ack=False)
    assert delivery is not None

    lines = cli.ok("browse", "work").out.splitlines()

    ids = [each.id for each in broker.browse("work")]
    assert lines[0].startswith(f"{ids[0]} unacked by amq.get.work for 0.")
    assert "handed out 1 time" in lines[0]
    assert "  exchange '', key work" in lines
    assert "  header n: 0" in lines
    assert lines[-1] == "x" * 200 + " … (1,000 bytes)"
    assert len(messages(broker, "work")) == 4
    delivery.ack()


def test_browse_as_json_and_as_bodies(cli: Cli, broker: Broker) -> None:
    broker.publish(b"\xff", routing_key="dlq")
    found = cli.ok("browse", "work", "--limit", "2", "--json").lines
    first = broker.browse("work")[0]
    assert [each["body"] for each in found] == ["body 0", "body 1"]
    assert found[0] == {
        "id": first.id,
        "queue": "work",
        "state": "ready",
        "consumer": "",
        "age": None,
        "delivery_count": 0,
        "arrived": first.arrived.isoformat(),
        "expires": None,
        "exchange": "",
        "routing_key": "work",
        "properties": {},
        "headers": {"n": 0},
        "body": "body 0",
    }
    assert cli.ok("browse", "work", "--body", "-n", "2").out == "body 0\nbody 1\n"
    assert cli.ok("browse", "dlq", "--json").json["body_base64"] == "/w=="
    assert "(1 bytes, no text)" in cli.ok("browse", "dlq").out


def test_browse_chooses(cli: Cli, broker: Broker) -> None:
    broker.publish(b"marked", routing_key="work", message_id="m-1")
    ids = [each.id for each in broker.browse("work")]

    def shown(*options: str) -> list[str]:
        return cli.ok("browse", "work", "--body", *options).out.splitlines()

    assert shown("-H", "n:=1") == ["body 1", "body 3"]
    assert shown("--message-id", "m-1") == ["marked"]
    assert shown("--id", ids[2], "--id", ids[0]) == ["body 2", "body 0"]
    assert shown("--after", ids[2]) == ["body 3", "marked"]
    assert shown("--state", "ready", "-n", "1") == ["body 0"]
    assert cli("browse", "work", "--min-deliveries", "1").code == 3


def test_browse_says_where_there_is_nothing(cli: Cli) -> None:
    done = cli("browse", "dlq")
    assert (done.code, done.out, done.err) == (3, "", "queue 'dlq' is empty\n")
    done = cli("browse", "nowhere")
    assert done.code == 1
    assert "no such queue" in done.err
    assert "wanted 'all' or 'ready' or 'unacked'" in cli("browse", "work", "--state", "odd").err
    assert "wanted the id of a message" in cli("browse", "work", "--id", "1").err


def test_delete_message(cli: Cli, broker: Broker) -> None:
    delivery = broker.get("work", auto_ack=False)
    assert delivery is not None
    held, ready, *_ = [each.id for each in broker.browse("work")]

    assert cli.ok("delete", "message", "work", ready).out == f"message {ready} is gone from queue 'work'\n"
    assert cli.ok("delete", "message", "work", ready, "--json").json == {"queue": "work", "id": ready, "existed": False}
    done = cli("delete", "message", "work", held)
    assert done.code == 1
    assert "amq.get.work" in done.err
    assert "hint: --force" in done.err
    assert cli.ok("delete", "message", "work", held, "--force", "--json").json["existed"] is True
    assert [each.body for each in broker.browse("work")] == [b"body 2", b"body 3"]


def test_move_and_copy(cli: Cli, broker: Broker) -> None:
    assert cli.ok("move", "work", "dlq", "--limit", "1").out == "1 message moved from queue 'work' to 'dlq'\n"
    done = cli.ok("copy", "work", "dlq", "-H", "n:=1", "--json")
    assert done.json == {"source": "work", "destination": "dlq", "messages": 2}
    assert cli.ok("move", "work", "dlq", "--id", broker.browse("work")[1].id, "--json").json["messages"] == 1
    assert [each.body for each in messages(broker, "dlq")] == [b"body 0", b"body 1", b"body 3", b"body 2"]
    assert [each.body for each in messages(broker, "work")] == [b"body 1", b"body 3"]


def test_a_move_that_cannot_be(cli: Cli, broker: Broker) -> None:
    done = cli("move", "work", "work")
    assert done.code == 2
    assert "another queue than 'work'" in done.err
    broker.declare_queue("small", max_length=3, overflow="reject-publish")
    done = cli("move", "work", "small")
    assert (done.code, done.out) == (1, "")
    assert "queue 'small' is full: 3 moved" in done.err
    assert cli("move", "work", "nowhere").code == 1
    assert [each.body for each in messages(broker, "work")] == [b"body 3"]


def test_list_unacked(cli: Cli, broker: Broker) -> None:
    assert cli.ok("list", "unacked", "work").out.startswith("there are no unacked messages of queue 'work'")
    first = broker.get("work", auto_ack=False)
    assert first is not None
    first.nack(wait=True)
    held = [broker.get("work", auto_ack=False) for _ in range(2)]
    assert all(held)

    shown = cli.ok("list", "unacked", "work").out
    assert "amq.get.work" in shown
    assert "deliveries" in shown
    found = cli.ok("list", "unacked", "work", "--by", "deliveries", "--json").json
    assert [each["delivery_count"] for each in found] == [2, 1]
    assert set(found[0]) == {"id", "queue", "consumer", "client", "session", "age", "left", "delivery_count"}
    assert len(cli.ok("list", "unacked", "work", "-n", "1", "--json").json) == 1
    assert "wanted 'age' or 'deliveries'" in cli("list", "unacked", "work", "--by", "size").err


def test_a_message_that_was_named_and_did_not_go_says_why(cli: Cli, broker: Broker) -> None:
    held = broker.get("dlq", auto_ack=False)
    if held is None:
        broker.publish(b"held", routing_key="dlq")
        held = broker.get("dlq", auto_ack=False)
    assert held is not None
    (message,) = broker.browse("dlq", state="unacked")
    done = cli.ok("move", "dlq", "work", "--id", message.id)
    assert done.out == "0 messages moved from queue 'dlq' to 'work'\n"
    assert done.err == f"{message.id} is unacked, amq.get.dlq has it: it was not moved\n"
    done = cli.ok("copy", "dlq", "work", "--id", "1-0")
    assert done.err == "1-0 is not in queue 'dlq'\n"
