"""publish, get, consume, purge."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from rexchange import Broker
from rexchange.testing import drain, messages
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def _topology(broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    for name in ("mail", "log"):
        broker.declare_queue(name)
        broker.bind(name, "events", f"{name}.#")


def test_publish_a_text(cli: Cli, broker: Broker) -> None:
    assert cli.ok("publish", "events", "mail.a", "hello").out == "published 1 message to 1 queue\n"
    (found,) = drain(broker, "mail")
    assert (found.body, found.exchange, found.routing_key) == (b"hello", "events", "mail.a")


def test_publish_that_waits_for_more_than_memory(cli: Cli, broker: Broker) -> None:
    assert cli.ok("publish", "", "mail", "1", "--confirm", "memory").out == "published 1 message to 1 queue\n"
    refused = cli("publish", "", "mail", "2", "--confirm", "paper")
    assert refused.code == 2
    assert "'replicated:<replicas>'" in refused.err
    assert [found.body for found in drain(broker, "mail")] == [b"1"]


def test_publish_headers_and_properties(cli: Cli, broker: Broker) -> None:
    cli.ok(
        *("publish", "", "mail", "", "-H", "text=a=b", "-H", "number:=5", "-H", 'list:=[1, "x", null]'),
        *("-p", "content-type=text/plain", "-p", "priority=7", "-p", "delivery_mode=2"),
        *("-p", "timestamp=2030-01-31T12:00:00Z", "-p", "correlation_id=42"),
    )
    (found,) = drain(broker, "mail")
    assert found.body == b""
    assert found.headers == {"text": "a=b", "number": 5, "list": [1, "x", None]}
    assert found.properties.content_type == "text/plain"
    assert (found.properties.priority, found.properties.delivery_mode) == (7, 2)
    assert found.properties.timestamp == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert found.properties.correlation_id == "42"


def test_publish_standard_input_and_a_file(cli: Cli, broker: Broker, tmp_path: Path) -> None:
    raw = bytes(range(256))
    (tmp_path / "raw").write_bytes(raw)
    cli.ok("publish", "", "mail", "-", stdin=raw)
    cli.ok("publish", "", "mail", "--file", str(tmp_path / "raw"))
    assert [found.body for found in drain(broker, "mail")] == [raw, raw]


@pytest.mark.slow
def test_publish_lines(cli: Cli, broker: Broker, tmp_path: Path) -> None:
    lines = [b"line %d" % number for number in range(1200)]
    (tmp_path / "lines").write_bytes(b"\r\n".join([*lines[:9], b"", *lines[9:]]))
    done = cli.ok("publish", "events", "mail.x", "--lines", str(tmp_path / "lines"), "--json")
    assert done.json == {"published": 1200, "queued": 1200, "unroutable": 0}
    assert [found.body for found in messages(broker, "mail")] == lines


def test_publish_lines_of_standard_input(cli: Cli, broker: Broker) -> None:
    done = cli.ok("publish", "events", "nobody", "--lines", "-", stdin="a\n\nb\n")
    assert done.out == "published 2 messages; in queues that makes 0\n"
    assert "2 of them are in no queue" in done.err
    cli.ok("publish", "", "mail", "--lines", "-", stdin="a\nb")
    assert [found.body for found in drain(broker, "mail")] == [b"a", b"b"]


def test_publish_lines_in_calls_that_are_not_too_large(
    cli: Cli, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REXCHANGE_MAX_CALL", "100")
    monkeypatch.setenv("REXCHANGE_MAX_BODY", "90")
    assert cli.ok("publish", "", "mail", "--lines", "-", "--json", stdin=("x" * 60 + "\n") * 5).json["published"] == 5
    done = cli("publish", "", "mail", "--lines", "-", stdin="x\n" + "x" * 70 + "\n" + "x" * 91)
    assert done.code == 1
    assert "2 lines were published; the call that failed held 1 more" in done.err
    assert "a body (bytes) is 91, and the limit is 90" in done.err
    assert len(drain(broker, "mail")) == 7


def test_publish_where_nothing_is_bound(cli: Cli) -> None:
    done = cli("publish", "events", "nobody", "x")
    assert (done.code, done.out) == (0, "published 1 message to 0 queues\n")
    assert "no binding matches" in done.err
    assert cli.ok("publish", "events", "nobody", "x", "--json").json == {"published": 1, "queued": 0, "unroutable": 1}
    refused = cli("publish", "events", "nobody", "x", "--mandatory")
    assert refused.code == 1
    assert "hint: `rexchange route" in refused.err


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("missing", "k", "x"), 1, "`rexchange list exchanges` shows what is there"),
        (("amq.rabbitmq.trace", "k", "x"), 1, "error: "),
        (("events", "k"), 2, "give one of BODY, --file and --lines"),
        (("events", "k", "x", "--lines", "-"), 2, "give one of BODY, --file and --lines"),
        (("events", "k", "--lines", "/no/such/file"), 2, "does not exist"),
        (("events", "k", "--lines", "/"), 1, "Is a directory"),
        (("events", "k", "--file", "/no/such/file"), 2, "does not exist"),
        (("events", "k", "x", "-H", "=x"), 2, "name=text"),
        (("events", "k", "x", "-p", "colour=red"), 2, "content_type"),
        (("events", "k", "x", "-p", "priority=high"), 2, "a whole number"),
        (("events", "k", "x", "-p", "priority=256"), 2, "from 0 to 255"),
        (("events", "k", "x", "-p", "timestamp=soon"), 2, "seconds since 1970"),
        (("events", "k", "x", "-p", "timestamp=99999999999999999999"), 2, "seconds since 1970"),
        (("events", "k" * 256, "x"), 2, "at most 255 bytes"),
    ],
)
def test_publish_refused(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    done = cli("publish", *args)
    assert (done.code, done.out) == (code, "")
    assert says in " ".join(done.err.replace("│", " ").split())


def test_get(cli: Cli, broker: Broker) -> None:
    broker.publish(b"one\x1b[31m\n", exchange="events", routing_key="mail.a", headers={"n": 1}, content_type="a/b")
    broker.publish(b"\xff\x00", routing_key="mail")
    looked = cli.ok("get", "mail", "--requeue", "-n", "5")
    assert looked.out.count("mail <") == 2
    first = cli.ok("get", "mail").out
    assert first == (
        "mail < exchange events, key mail.a, delivery 2\n  content_type: a/b\n  header n: 1\none\\x1b[31m\n\n"
    )
    assert cli.ok("get", "mail", "--json").json == {
        "queue": "mail",
        "exchange": "",
        "routing_key": "mail",
        "redelivered": True,
        "delivery_count": 2,
        "properties": {},
        "headers": {},
        "body_base64": "/wA=",
    }
    empty = cli("get", "mail", "--json")
    assert (empty.code, empty.out, empty.err) == (3, "", "queue 'mail' is empty\n")


def test_get_bytes_that_are_no_text(cli: Cli, broker: Broker) -> None:
    broker.publish(b"\xff\x00", routing_key="mail")
    assert cli.ok("get", "mail", "--requeue").out.endswith("(2 bytes, no text)\n")


def test_get_from_nowhere(cli: Cli) -> None:
    done = cli("get", "missing")
    assert done.code == 1
    assert done.err.startswith("error: queue 'missing'")
    assert "hint: `rexchange list queues` shows what is there, `rexchange declare queue` makes one" in done.err


def test_consume(cli: Cli, broker: Broker) -> None:
    for number in range(5):
        broker.publish(b"%d" % number, routing_key="mail")
    broker.publish(b"other", routing_key="log")
    assert [item["body"] for item in cli.ok("consume", "mail", "--count", "2", "--json").lines] == ["0", "1"]
    assert cli.ok("consume", "mail", "-n", "1", "--requeue", "--body").out == "2\n"
    rest = cli.ok("consume", "mail", "log", "--timeout", "0.1", "--json").lines
    assert {item["body"] for item in rest} == {"2", "3", "4", "other"}
    assert [(info.ready, info.unacked) for info in broker.queues()] == [(0, 0), (0, 0)]
    none = cli("consume", "mail", "--timeout", "0.1")
    assert (none.code, none.out, none.err) == (3, "", "no message came\n")


def test_consume_what_was_only_looked_at(cli: Cli, broker: Broker) -> None:
    bodies = [str(number) for number in range(70)]
    for body in bodies:
        broker.publish(body.encode(), routing_key="mail")
    looked = cli.ok("consume", "mail", "--count", "60", "--requeue", "--json").lines
    assert [item["body"] for item in looked] == bodies[:60]
    taken = cli.ok("consume", "mail", "--count", "70", "--json").lines
    assert [item["body"] for item in taken] == bodies
    assert [item["redelivered"] for item in taken] == [True] * 60 + [False] * 10


def test_consume_refused(cli: Cli) -> None:
    assert "missing" in cli("consume", "missing").err
    done = cli("consume", "mail", "--requeue")
    assert done.code == 2
    assert "--count" in done.err
    assert cli("consume", "mail", "--requeue", "--count", "2001").code == 2


def test_purge(cli: Cli, broker: Broker) -> None:
    for _ in range(3):
        broker.publish(b"x", routing_key="mail")
    assert cli.ok("purge", "mail", "--json").json == {"queue": "mail", "messages": 3}
    assert cli.ok("purge", "mail").out == "0 messages thrown away from queue 'mail'\n"
    assert cli("purge", "missing").code == 1


def test_get_says_where_the_messages_are_when_none_is_ready(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("held")
    broker.publish(b"1", routing_key="held")
    assert broker.get("held", auto_ack=False) is not None

    result = cli("get", "held")

    assert result.code == 3
    assert "1 unacked are with consumers" in result.err


# --- what queues and streams do with messages


def test_publish_with_expiration_and_priority(cli: Cli, broker: Broker) -> None:
    cli.ok("publish", "", "mail", "x", "--expiration", "60.5", "--priority", "7")
    (found,) = drain(broker, "mail")
    assert (found.properties.expiration, found.properties.priority) == ("60500", 7)
    for args, says in (
        (("--expiration", "5", "-p", "expiration=5"), "expiration was given before"),
        (("--priority", "5", "-p", "priority=5"), "priority was given before"),
        (("--priority", "256"), "less than or equal to 255"),
        (("--expiration", "-1"), "greater than or equal to 0"),
    ):
        done = cli("publish", "", "mail", "x", *args)
        assert done.code == 2
        assert says in " ".join(done.err.replace("│", " ").split())


def test_consume_a_stream_from_where_one_likes(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("log-2", queue_type="stream")
    for number in range(5):
        broker.publish(str(number).encode(), routing_key="log-2")
    consume = ("consume", "log-2", "--timeout", "0.1", "--body")

    def seen(*args: str) -> str:
        return "".join(cli.ok(*consume, *args).out.split())

    assert seen("--offset", "first") == "01234"
    assert seen("--offset", "3") == "34"
    assert seen("--offset", "1h") == "01234"
    assert seen("--offset", "2020-01-31T12:00:00") == seen("--offset", "2020-01-31T12:00:00Z") == "01234"
    assert cli(*consume, "--offset", "2035-01-31").code == 3
    assert seen("--offset", "first", "--reader", "me", "--count", "2") == "01"
    assert seen("--reader", "me") == "234"
    assert "x-stream-offset is 'second'" in cli(*consume, "--offset", "second").err


def test_consume_by_priority_and_alone(cli: Cli, broker: Broker) -> None:
    broker.publish(b"x", routing_key="mail")
    assert "x" in cli.ok("consume", "mail", "--timeout", "0.1", "--priority", "5", "--exclusive").out
    with broker.consume("mail", auto_ack=False):
        done = cli("consume", "mail", "--timeout", "0.1", "--exclusive")
        assert done.code == 1
        assert "queue 'mail'" in done.err


def test_call(cli: Cli, broker: Broker) -> None:
    def answer() -> None:
        with broker.consume("mail", timeout=5) as consumer:
            for request in consumer:
                broker.reply(request, request.body.upper(), headers={"of": str(request.headers.get("n"))})
                if request.body == b"last":
                    break

    worker = Thread(target=answer)
    worker.start()
    assert cli.ok("call", "", "mail", "hello", "--body").out == "HELLO\n"
    reply = cli.ok("call", "events", "mail.x", "-", "--timeout", "5", "-H", "n:=5", "--json", stdin="last").json
    worker.join()
    assert (reply["body"], reply["headers"]) == ("LAST", {"of": "5"})


def test_a_call_that_nobody_answers(cli: Cli, broker: Broker) -> None:
    done = cli("call", "", "mail", "hello", "--timeout", "0.1", "--priority", "3", "-p", "content_type=text/plain")
    assert (done.code, done.out) == (1, "")
    assert "no reply within 0.1 s" in done.err
    (request,) = drain(broker, "mail")
    assert (request.body, request.properties.priority, request.properties.content_type) == (b"hello", 3, "text/plain")
    assert request.properties.reply_to
    assert "mandatory messages reach no queue" in cli("call", "", "missing", "x").err
    assert [info.name for info in broker.queues()] == ["log", "mail"], "no queue is left behind"
