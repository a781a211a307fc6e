"""The program as a whole: options, errors, start, ping, reap."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time

import pytest

import rexchange
from rexchange import Broker
from rexchange.cli.run import Options, Run
from tests.cli.conftest import Cli

COMMANDS = [
    ("demo",),
    *[("declare", kind) for kind in ("exchange", "queue")],
    *[("delete", kind) for kind in ("exchange", "queue")],
    *[("list", kind) for kind in ("exchanges", "queues", "bindings", "consumers", "policies", "vhosts")],
    *[("policy", verb) for verb in ("set", "delete")],
    *[("vhost", verb) for verb in ("create", "delete")],
    *[(name,) for name in ("bind", "unbind", "publish", "get", "consume", "purge", "call", "route", "reap", "ping")],
    *[(name,) for name in ("import", "export")],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example_that_exists(cli: Cli, command: tuple[str, ...]) -> None:
    done = cli.bare(*command, "--help")
    assert done.code == 0
    assert f"Example: rexchange {' '.join(command)}" in done.out
    assert "--json" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_help_tells_the_exit_codes_and_the_environment(cli: Cli) -> None:
    shown = " ".join(cli.bare("--help").out.split())
    for word in (
        "Exit codes",
        "3 nothing there",
        "REXCHANGE_URL",
        "--install-completion",
        *[part for (part, *_) in COMMANDS],
    ):
        assert word in shown


def test_version(cli: Cli) -> None:
    assert cli.bare("--version").out == f"rexchange {rexchange.__version__}\n"


def test_usage_errors(cli: Cli) -> None:
    assert cli.bare().code == 2
    assert cli.bare("nonsense").code == 2
    assert cli.bare("get").code == 2
    assert cli.bare("get", "q", "--nonsense").code == 2


def test_options_before_and_after_the_command(cli: Cli) -> None:
    cli.ok("--vhost", "blue", "declare", "queue", "mail")
    assert cli.bare("list", "queues", "--vhost", "blue", "--url", cli.url, "--json").json[0]["name"] == "mail"
    assert cli.bare("--json", "--vhost", "blue", "--url", cli.url, "list", "queues").json[0]["name"] == "mail"
    assert cli("--vhost", "blue", "list", "queues", "--json", "--vhost", "red").json == [], "the later one wins"


def test_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXCHANGE_URL", cli.url)
    monkeypatch.setenv("REXCHANGE_VHOST", "green")
    assert cli.bare("declare", "queue", "mail").code == 0
    assert cli("list", "queues", "--vhost", "green", "--json").json[0]["name"] == "mail"
    assert cli.bare("ping", "--json", "--vhost", "red").json["vhost"] == "red"


def test_ping(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("mail")
    with broker.consume("mail"):
        found = cli.ok("ping", "--json").json
    assert found["server"]["kind"] == "fakeredis"
    assert (found["address"], found["vhost"]) == (cli.url, "/")
    assert (found["sessions"], found["consumers"], found["queues"]) == (1, 1, 1)
    assert found["latency_ms"] > 0
    shown = cli.ok("ping").out
    for word in ("server", "fakeredis", "latency", "when memory is full", "written to disk", "sessions"):
        assert word in shown


def test_reap(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("mail")
    found = cli.ok("reap", "--json").json
    assert (found["sessions"], found["given_back"]) == (0, 0)
    assert "0 messages given back" in cli.ok("reap").out


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_an_unreachable_server_is_given_up_soon(cli: Cli) -> None:
    url = f"redis://me:hunter2@127.0.0.1:{_closed_port()}/0"
    start = time.monotonic()
    done = cli.bare("--url", url, "--retry-timeout", "0.2", "ping")
    assert time.monotonic() - start < 3
    assert done.code == 1
    assert "\nerror: redis://" in done.err
    assert "hint: is the server running there? --url or REXCHANGE_URL says where it is" in done.err
    assert "hunter2" not in done.err + done.out


def test_how_long_it_goes_on_trying(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(given: str | None = None) -> float:
        run = Run(Options(url=cli.url, retry_timeout=given))
        return run.broker().settings.retry_timeout.total_seconds()

    assert seconds() == 5
    monkeypatch.setenv("REXCHANGE_RETRY_TIMEOUT", "7")
    assert seconds() == 7
    assert seconds("9") == 9


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--url", "foo", "ping"), 2, "url is 'foo'"),
        (("--url", "redis://u:hunter2@h:x/0", "ping"), 2, "a port from 1 to 65535"),
        (("--url", "memory://x", "--retry-timeout", "soon", "ping"), 2, "retry_timeout is 'soon'"),
        (("--url", "memory://x", "demo"), 2, "workers are processes"),
        (("demo", "/no/such/folder"), 2, "does not exist"),
    ],
)
def test_settings_that_are_wrong(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    done = cli.bare(*args)
    assert done.code == code
    assert says in " ".join(done.err.replace("│", " ").split())
    assert "hunter2" not in done.err


def test_help_loads_no_redis() -> None:
    """It is asked for at every tab of the completion, so it has to be quick; times depend on the machine."""
    script = "import sys, rexchange.cli; print({'redis', 'pydantic', 'asyncio'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == "set()\n"


def test_completion() -> None:
    environment = {"_REXCHANGE_COMPLETE": "complete_bash", "COMP_WORDS": "rexchange li", "COMP_CWORD": "1", "PATH": ""}
    script = "from rexchange.cli import app; app(prog_name='rexchange')"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert re.search(r"\blist\b", done.stdout), done
