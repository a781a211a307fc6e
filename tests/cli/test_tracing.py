"""trace on, off, list, show; history."""

from __future__ import annotations

import pytest

from rexchange import Broker
from tests.cli.conftest import Cli


def test_a_trace_from_on_to_off(cli: Cli, broker: Broker) -> None:
    assert cli.ok("trace", "list").out == "nothing is traced\n"
    broker.declare_queue("mail")
    on = cli.ok("trace", "on", "--queue", "mail", "--key", "mail", "--for", "10m", "--keep", "500").out
    (trace,) = broker.traces()
    assert on.startswith(f"trace {trace.id} is on: queue mail, key mail, until ")
    assert (trace.ends - trace.begun).total_seconds() == 600
    (line,) = [line for line in cli.ok("trace", "list").out.splitlines() if trace.id in line]
    assert "queue mail, key mail" in line
    assert " 500 " in line
    (listed,) = cli.ok("trace", "list", "--json").json
    assert (listed["id"], listed["queue"], listed["exchange"], listed["keep"]) == (trace.id, "mail", None, 500)

    assert cli("trace", "show").code == 3
    broker.publish(b"hello", routing_key="mail", message_id="m-1")
    cli.ok("get", "mail")
    shown = cli.ok("trace", "show").out
    assert cli.ok("history", "--message-id", "m-1").out == shown
    assert [line.split()[3] for line in shown.splitlines()[2:]] == ["published", "routed", "delivered", "acked"]
    published, routed, delivered, _ = shown.splitlines()[2:]
    assert published.rstrip().endswith("exchange '', key mail  5 bytes  message_id m-1")
    assert routed.rstrip().endswith("queue mail  < by its name")
    assert "consumer amq.get.mail at " in delivered
    events = cli.ok("trace", "show", "-n", "2", "--json").json
    assert [event["kind"] for event in events] == ["delivered", "acked"]
    assert len(cli.ok("history", events[0]["trace_id"], "--json").json) == 4

    assert cli.ok("trace", "off", trace.id).out == f"trace {trace.id!r} is off\n"
    assert cli.ok("trace", "off").out == "nothing is traced any more\n"
    assert broker.traces() == []
    done = cli("history", "--message-id", "m-1", "--json")
    assert (done.code, done.json) == (3, [])
    assert "nothing is known of it" in done.err


def test_the_way_through_exchanges(cli: Cli, broker: Broker) -> None:
    broker.declare_exchange("in", "topic")
    out = broker.declare_exchange("out", "fanout")
    broker.declare_exchange("rest", "fanout")
    broker.declare_exchange("first", "direct", alternate_exchange="in")
    broker.declare_queue("q")
    broker.bind(out, "in", "a.*")
    broker.bind("q", "out")
    cli.ok("trace", "on", "--exchange", "first")
    broker.publish(b"", exchange="first", routing_key="a.b")
    broker.publish(b"", exchange="first", routing_key="b")
    way = "queue q  < first to exchange in as its alternate exchange  < in to exchange out by a.*  < out by ''"
    shown = cli.ok("trace", "show").out
    assert way in shown
    assert [line.split()[3] for line in shown.splitlines()[2:]] == ["published", "routed", "published", "unroutable"]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("on",), 2, "what is to be traced"),
        (("on", "--queue", "missing"), 1, "no such queue"),
        (("on", "--key", "user.4*"), 2, "words with dots"),
        (("on", "--key", "#", "--for", "soon"), 2, "wanted a time such as 30s"),
        (("on", "--key", "#", "--for", "0"), 2, "more than 0"),
        (("on", "--key", "#", "--keep", "0"), 2, "how many events"),
        (("show", "-n", "0"), 2, "greater than or equal to 1"),
    ],
)
def test_what_is_no_trace_is_refused(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    done = cli("trace", *args)
    assert done.code == code, done
    assert says in " ".join(done.err.replace("│", " ").split())


def test_history_wants_one_of_two(cli: Cli) -> None:
    assert cli("history").code == 2
    assert cli("history", "1", "--message-id", "m").code == 2


def test_what_is_wrong_with_a_trace_is_told(cli: Cli) -> None:
    wrong = cli("trace", "on")
    assert wrong.code == 2
    assert "--queue, --key or --exchange" in wrong.err
    assert "there was no trace 'nosuch'" in cli.ok("trace", "off", "nosuch").out
