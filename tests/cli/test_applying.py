"""apply, and update."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rexchange import Broker
from tests.cli.conftest import Cli

FILE = """\
[exchanges.events]
type = "topic"
[queues.mail]
message_ttl = 60
dead_letter_exchange = "failed"
[[bindings]]
source = "events"
queue = "mail"
key = "user.#"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "topology.toml"
    path.write_text(FILE)
    return path


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# --- apply


def test_apply_shows_what_it_would_do_and_does_it(cli: Cli, broker: Broker, file: Path) -> None:
    would = cli.ok("apply", str(file), "--dry-run")
    assert [line[:4] for line in words(would.out)[2:-1]] == [
        ["create", "exchange", "/", "events"],
        ["create", "queue", "/", "mail"],
        ["create", "binding", "/", "events"],
    ]
    assert would.out.splitlines()[-1] == "would be: 3 created; nothing was written"
    assert broker.queues() == []
    done = cli.ok("apply", str(file)).out.splitlines()
    assert done[-1] == "3 created"
    assert "its dead-letter exchange 'failed' is nowhere: what goes there is lost" in done[2]
    assert broker.route("events", "user.1") == ["mail"]
    assert cli.ok("apply", str(file)).out.splitlines()[-1] == "3 there already"


def test_apply_updates_and_prunes(cli: Cli, broker: Broker, file: Path) -> None:
    cli.ok("apply", str(file))
    broker.update_queue("mail", message_ttl=timedelta(seconds=5))
    broker.declare_queue("old")
    done = cli.ok("apply", str(file), "--prune")
    assert ["update", "queue", "/", "mail", "x-message-ttl:", "5000", "->", "60000;"] in [
        line[:8] for line in words(done.out)
    ]
    assert done.out.splitlines()[-1] == "2 there already, 1 updated, 1 deleted"
    assert [info.name for info in broker.queues()] == ["mail"]


def test_apply_as_json(cli: Cli, broker: Broker, file: Path) -> None:
    broker.declare_queue("mail", message_ttl=timedelta(seconds=5), arguments={"x-dead-letter-exchange": "failed"})
    done = cli.ok("apply", str(file), "--json").json
    assert (done["dry_run"], done["counts"]) == (False, {"create": 2, "update": 1})
    (step,) = [step for step in done["steps"] if step["action"] == "update"]
    assert step["changes"] == [{"argument": "x-message-ttl", "before": 5000, "after": 60_000}]


def test_apply_does_not_delete_what_is_in_use(cli: Cli, broker: Broker, file: Path) -> None:
    broker.declare_queue("full")
    broker.publish(b"1", routing_key="full")
    would = cli("apply", str(file), "--prune", "--dry-run")
    assert would.code == 1
    assert "in use" in would.out
    assert "error: it would be refused: 1 problem to solve\nhint: --in-use deletes" in would.err
    refused = cli("apply", str(file), "--prune")
    assert (refused.code, refused.out) == (1, "")
    assert "queue 'full' is not in the topology, and in use: 1 ready message" in refused.err
    assert [info.name for info in broker.queues()] == ["full"]
    assert cli.ok("apply", str(file), "--prune", "--in-use").out.splitlines()[-1] == "3 created, 1 deleted"
    assert cli("apply", str(file), "--in-use").code == 2


def test_apply_tells_all_that_is_wrong_with_file_and_line(cli: Cli, broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("[queues.mail]\nmesage_ttl = 1\n[[bindings]]\nsource = 'x'\n")
    done = cli("apply", str(path))
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: {path}: 2 problems\n"
        "- line 2: queue 'mail': unknown key 'mesage_ttl': message_ttl is meant\n"
        "- line 3: binding x -> ?: give either queue or exchange: what gets the messages\n"
    )
    assert (
        cli("apply", str(tmp_path / "none.toml")).err == f"error: {tmp_path / 'none.toml'}: No such file or directory\n"
    )
    assert broker.queues() == []


def test_a_vhost_is_exported_as_a_file_that_apply_takes(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli.ok("apply", str(file))
    written = tmp_path / "written.toml"
    done = cli.ok("export", str(written), "--topology")
    assert done.out == f"1 exchange, 1 queue, 1 binding written to {written}\n"
    assert cli.ok("export", "--topology").out == written.read_text()
    assert cli.ok("apply", str(written), "--prune").out == "3 there already\n"
    assert cli.ok("apply", str(written), "--vhost", "copy").out.splitlines()[-1] == "3 created"
    assert "message_ttl = 60\n" in written.read_text()


# --- update


def test_update_a_queue(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("mail", max_length=5)
    done = cli.ok(
        *("update", "queue", "mail"),
        *("--message-ttl", "60", "--ack-timeout", "0.5", "--remove", "max-length", "-a", "x-own:=[1]"),
    )
    assert words(done.out)[2:-1] == [
        ["x-consumer-timeout", "-", "500"],
        ["x-max-length", "5", "-"],
        ["x-message-ttl", "-", "60000"],
        ["x-own", "-", "[1]"],
    ]
    assert done.out.splitlines()[-1] == "4 arguments of queue 'mail' changed"
    assert cli.ok("update", "queue", "mail", "--message-ttl", "60").out == "queue 'mail' is as it was\n"
    changed = cli.ok("update", "queue", "mail", "--remove", "x-own", "--json").json
    assert changed == {"queue": "mail", "changes": [{"argument": "x-own", "before": [1], "after": None}]}


def test_update_an_exchange(cli: Cli, broker: Broker) -> None:
    broker.declare_exchange("events")
    done = cli.ok("update", "exchange", "events", "--alternate", "rest")
    assert words(done.out)[-2:] == [
        ["alternate-exchange", "-", "rest"],
        ["1", "argument", "of", "exchange", "'events'", "changed"],
    ]
    changed = cli.ok("update", "exchange", "events", "--remove", "alternate-exchange", "--json").json["changes"]
    assert changed == [{"argument": "alternate-exchange", "before": "rest", "after": None}]


@pytest.mark.parametrize(
    "wrong",
    [
        ("queue", "mail"),
        ("exchange", "events"),
        ("queue", "mail", "--max-length", "1", "--remove", "max-length", "-a", "x-max-length:=1"),
        ("queue", "mail", "--max-priority", "5"),
        ("queue", "mail", "-a", "x-own"),
    ],
)
def test_update_used_wrongly(cli: Cli, broker: Broker, wrong: tuple[str, ...]) -> None:
    broker.declare_queue("mail")
    broker.declare_exchange("events")
    assert cli("update", *wrong).code == 2


def test_update_of_what_cannot_change(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("mail")
    done = cli("update", "queue", "mail", "-a", "x-max-priority:=5")
    assert done.code == 1
    assert "x-max-priority is None and cannot become 5, since what it holds is sorted by it" in done.err


@pytest.mark.parametrize(
    ("given", "asked", "command"),
    [
        (["--message-ttl", "5"], ["--message-ttl", "0.5"], "--message-ttl 0.5"),
        (["--max-length", "5"], ["--max-length", "6"], "--max-length 6"),
        (["--max-length", "5"], [], "--remove x-max-length"),
        (["--retry-delay", "1"], ["--retry-delay", "2", "--retry-delay", "5"], "--retry-delay 2 --retry-delay 5"),
        (
            ["--retry-first", "1", "--retry-tries", "3"],
            ["--retry-first", "2", "--retry-tries", "3"],
            "--retry-first 2",
        ),
        (["--overflow", "drop-head"], ["--overflow", "reject-publish"], "--overflow reject-publish"),
        (["--ack-timeout", "1"], ["--ack-timeout", "90"], "--ack-timeout 90"),
        (
            ["-a", "x-max-in-memory-length:=1"],
            ["-a", "x-max-in-memory-length:=2"],
            "--argument x-max-in-memory-length:=2",
        ),
        (["--type", "stream", "--max-age", "5"], ["--type", "stream", "--max-age", "7"], "--argument x-max-age=7s"),
    ],
)
def test_a_declare_that_differs_hints_at_the_update_that_works(
    cli: Cli, given: list[str], asked: list[str], command: str
) -> None:
    cli.ok("declare", "queue", "mail", *given)
    done = cli("declare", "queue", "mail", *asked)
    assert done.code == 1
    hint = f"rexchange update queue mail {command}"
    assert f"hint: `{hint}` changes it, and keeps what is in it" in done.err
    cli.ok(*hint.split()[1:])
    cli.ok("declare", "queue", "mail", *asked)


def test_an_exchanges_declare_hints_too(cli: Cli) -> None:
    cli.ok("declare", "exchange", "events", "--alternate", "a")
    done = cli("declare", "exchange", "events", "--alternate", "b")
    assert "hint: `rexchange update exchange events --alternate b` changes it" in done.err
    assert "hint" not in cli("declare", "exchange", "events", "topic").err


def test_what_is_not_there_to_take_away_is_told(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("mail", max_length=5)
    done = cli.ok("update", "queue", "mail", "--remove", "x-foo", "--remove", "max-length")
    assert done.err == "note: there was no x-foo to take away\n"


def test_a_topology_is_written_as_toml_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    assert cli("export", str(tmp_path / "t.yaml"), "--topology").code == 2
