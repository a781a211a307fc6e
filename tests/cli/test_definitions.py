"""import, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rexchange import Broker
from rexchange.cli import output
from tests.cli.conftest import Cli

FILE: dict[str, Any] = {
    "users": [{"name": "guest"}],
    "exchanges": [{"name": "events", "type": "topic"}],
    "queues": [{"name": "mail", "vhost": "/"}, {"name": "orders", "vhost": "shop", "durable": False}],
    "bindings": [
        {"source": "events", "destination": "mail", "destination_type": "queue", "routing_key": "user.#"},
        {"source": "events", "destination": "missing", "destination_type": "queue"},
    ],
}
ODD = FILE | {"exchanges": [*FILE["exchanges"], {"name": "f", "type": "x-federation-upstream"}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rabbit.json"
    path.write_text(json.dumps(FILE))
    return path


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_import_says_what_it_did(cli: Cli, broker: Broker, file: Path) -> None:
    done = cli.ok("import", str(file))
    assert [line[:6] for line in words(done.out)[2:-1]] == [
        ["skipped", "binding", "/", "events", "->", "missing"],
        ["skipped", "user", "guest", "rexchange", "has", "no"],
    ]
    assert done.out.splitlines()[-1] == "1 there already, 5 created, 2 skipped"
    assert "mail" not in done.out, "what is made as it stands in the file goes without saying"
    assert broker.route("events", "user.1") == ["mail"]
    assert cli.ok("list", "queues", "--vhost", "shop", "--json").json[0]["name"] == "orders"
    assert cli.ok("import", str(file)).out.splitlines()[-1] == "6 there already, 2 skipped"


def test_import_dry_run(cli: Cli, broker: Broker, file: Path) -> None:
    done = cli.ok("import", str(file), "--dry-run")
    lines = words(done.out)
    assert lines[0] == ["kind", "vhost", "name", "why"]
    assert ["create", "exchange", "/", "events"] in lines
    assert ["create", "queue", "shop", "orders"] in lines
    assert ["create", "binding", "/", "events", "->", "mail", "by", "'user.#'"] in lines
    assert done.out.splitlines()[-1] == "would be: 1 there already, 5 created, 2 skipped; nothing was written"
    assert broker.queues() == []
    assert "shop" not in broker.vhosts()


def test_import_as_json(cli: Cli, file: Path) -> None:
    planned = cli.ok("import", str(file), "--dry-run", "--json").json
    assert (planned["dry_run"], planned["file"]) == (True, str(file))
    assert planned["counts"] == {"same": 1, "create": 5, "skipped": 2}
    assert {"action": "create", "kind": "queue", "vhost": "shop", "name": "orders"} in planned["steps"]
    done = cli.ok("import", str(file), "--json")
    assert done.json == planned | {"dry_run": False}
    assert done.err == ""


def test_import_from_standard_input(cli: Cli, broker: Broker) -> None:
    cli.ok("import", "-", stdin=json.dumps({"queues": [{"name": "mail"}]}))
    assert [info.name for info in broker.queues()] == ["mail"]


def test_import_of_objects_without_a_vhost_goes_to_the_one_given(cli: Cli) -> None:
    cli.ok("import", "-", "--vhost", "blue", stdin=json.dumps({"queues": [{"name": "mail"}]}))
    assert cli.ok("list", "queues", "--vhost", "blue", "--json").json[0]["name"] == "mail"


@pytest.mark.parametrize("dry_run", [False, True])
def test_import_of_what_is_there_otherwise(cli: Cli, broker: Broker, file: Path, dry_run: bool) -> None:
    broker.declare_queue("mail", durable=False)
    args = ["import", str(file), *(["--dry-run"] if dry_run else [])]

    done = cli(*args)
    assert done.code == 1
    assert done.err.endswith("hint: --skip-existing leaves what is there as it is\n")
    shown = done.out if dry_run else done.err
    assert "queue 'mail' is there with durable=false, and the file wants true" in shown
    if dry_run:
        assert "error: it would be refused: 1 problem to solve" in done.err
    assert "events" not in {exchange.name for exchange in broker.exchanges()}

    after = cli.ok(*args, "--skip-existing")
    assert "1 left as they are" in after.out
    assert ("events" in {exchange.name for exchange in broker.exchanges()}) is not dry_run


@pytest.mark.parametrize("dry_run", [False, True])
def test_import_of_what_rexchange_does_not_have(cli: Cli, broker: Broker, file: Path, dry_run: bool) -> None:
    file.write_text(json.dumps(ODD))
    broker.declare_queue("mail", durable=False)
    args = ["import", str(file), *(["--dry-run"] if dry_run else [])]

    done = cli(*args)
    assert done.code == 1
    assert "exchange 'f': rexchange does not have the type x-federation-upstream" in done.out + done.err
    hint = "hint: --skip-existing leaves what is there as it is; --skip-unsupported imports the rest\n"
    assert done.err.endswith(hint)
    assert cli(*args, "--skip-existing").err.endswith("hint: --skip-unsupported imports the rest\n")

    after = cli.ok(*args, "--skip-existing", "--skip-unsupported")
    assert "1 unsupported" in after.out
    assert ("events" in {exchange.name for exchange in broker.exchanges()}) is not dry_run


def test_import_of_a_broken_file(cli: Cli, broker: Broker, file: Path) -> None:
    file.write_text('{"queues": [\n  {"name": "q"},\n]}')
    done = cli("import", str(file))
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: {file}: line 3, column 1: no JSON: the comma before this bracket is one too many, remove it\n"
    )
    file.write_text(json.dumps({"queues": [{"name": "q", "durable": 1}, {"name": "r", "durable": 2}]}))
    assert cli("import", str(file), "--json").err.splitlines() == [
        f"error: {file}: 2 problems",
        "- queues[0] in vhost '/': queue 'q': durable is 1: give true or false",
        "- queues[1] in vhost '/': queue 'r': durable is 2: give true or false",
    ]
    assert cli("import", str(file.parent / "missing")).err.startswith(f"error: {file.parent}/missing: No such file")
    assert cli("import").code == 2
    assert broker.queues() == []


def test_a_name_in_a_file_cannot_steer_the_terminal(cli: Cli) -> None:
    done = cli.ok("import", "-", "--dry-run", stdin=json.dumps({"queues": [{"name": "\x1b[31mred"}]}))
    assert "\x1b" not in done.out


def test_import_shows_how_far_it_is_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_terminal(*, stderr: bool = False) -> Console:
        return Console(stderr=stderr, force_terminal=stderr, width=80)

    monkeypatch.setattr(output, "console", on_terminal)
    rows = json.dumps({"queues": [{"name": f"q{number}"} for number in range(150)]})
    assert "150/150" in cli.ok("import", "-", stdin=rows).err
    assert cli.ok("import", "-", "--json", stdin=rows).err == ""


def test_export_and_import_again(cli: Cli, tmp_path: Path, file: Path) -> None:
    cli.ok("import", str(file))
    printed = cli.ok("export")
    target = tmp_path / "export.json"
    done = cli.ok("export", str(target))
    assert done.out == f"2 vhosts, 1 exchange, 2 queues, 1 binding written to {target}\n"
    assert json.loads(target.read_text()) == printed.json
    assert printed.json["queues"][1] == {
        "name": "orders",
        "vhost": "shop",
        "durable": False,
        "auto_delete": False,
        "arguments": {},
    }
    assert cli.ok("export", str(target), "--json").json == {
        "file": str(target), "vhosts": 2, "exchanges": 1, "policies": 0, "queues": 2, "bindings": 1
    }  # fmt: skip
    assert cli.ok("import", str(target), "--json").json["counts"] == {"same": 6}


def test_export_of_one_vhost_is_for_any_other(cli: Cli, file: Path) -> None:
    cli.ok("import", str(file))
    found = cli.ok("export", "--vhost-only", "--vhost", "shop").json
    assert "vhosts" not in found
    assert found["queues"] == [{"name": "orders", "durable": False, "auto_delete": False, "arguments": {}}]
    cli.ok("import", "-", "--vhost", "copy", stdin=json.dumps(found))
    assert cli.ok("list", "queues", "--vhost", "copy", "--json").json[0]["name"] == "orders"


def test_export_to_a_folder_that_is_missing(cli: Cli, tmp_path: Path) -> None:
    done = cli("export", str(tmp_path / "missing" / "file.json"))
    assert (done.code, done.out) == (1, "")
    assert "No such file or directory" in done.err
