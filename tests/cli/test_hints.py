"""What the program says when something is not as it should be, or not as it was meant."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main

import rexchange
import rexchange.testing
from rexchange import Broker
from rexchange.cli import app, hints, run
from rexchange.errors import BrokerConnectionError, ServerRefused, Unroutable
from rexchange.testing import wait_until
from tests.cli.conftest import Cli

PROGRAM = [sys.executable, "-m", "rexchange.cli"]


def one_line(text: str) -> str:
    """Return what stands in a box of Typer's, without the box."""
    return " ".join(text.replace("│", " ").split())


def nobody() -> str:
    """Return the URL of a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{taken.getsockname()[1]}/0"


# --- a server that is away


def test_it_says_that_it_tries_again(cli: Cli) -> None:
    done = cli.bare("--url", nobody(), "--retry-timeout", "0.3", "list", "queues")
    first, *_ = done.err.splitlines()
    assert first.startswith("warning: redis://127.0.0.1:")
    assert "trying again for up to 0.3 s" in first
    assert done.err.count("trying again") == 1


def test_of_the_connection_only_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("rexchange.connection")
    for verbose, shown in (
        (False, "warning: again\nerror: bad\n"),
        (True, "warning: note\nwarning: again\nerror: bad\n"),
    ):
        with run._logging(verbose=verbose):
            log.warning("note")
            log.warning("again", extra={"trying_again": True})
            log.error("bad")
        assert capsys.readouterr().err == shown


def test_ping_gives_up_sooner(cli: Cli) -> None:
    start = time.monotonic()
    assert cli.bare("--url", nobody(), "ping").code == 1
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("redis://h:6379/0", "is the server running there?"),
        ("rediss://h:6379/0", "is the server running there?"),
        ("unix:///run/redis.sock", "is the server running there?"),
        ("embedded:///var/data", "names a server that is running, to use instead"),
        ("memory://x", ""),
        ("", ""),
    ],
)
def test_whether_the_server_runs_is_asked_of_servers_only(address: str, says: str) -> None:
    shown = hints.hint(BrokerConnectionError("it failed", address=address, outcome="not_done"))
    assert says in shown
    assert bool(says) == bool(shown)


def test_an_embedded_server_that_cannot_start(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli.bare("--url", f"embedded://{tmp_path}/file/data", "ping")
    assert done.code == 1
    assert "the data folder cannot be used" in done.err
    assert "is the server running there?" not in done.err


def test_a_password_that_was_not_given() -> None:
    refused = ServerRefused(
        "the server does not accept the user or password: NOAUTH Authentication required.",
        address="redis://h:6379/0",
        outcome="not_done",
    )
    assert "put it in the URL: redis://:password@host" in hints.hint(refused)
    other = ServerRefused("Redis 6.0.1 is too old", address="redis://h:6379/0", outcome="not_done")
    assert hints.hint(other) == ""


# --- words in another order than they are wanted


def test_publish_to_a_queue_without_the_exchange(cli: Cli) -> None:
    done = cli("publish", "mail", "hello you")
    assert done.code == 2
    assert "To a queue: rexchange publish '' mail 'hello you'" in one_line(done.err)
    assert "To a queue" not in cli("publish", "", "mail").err


def test_bind_with_swapped_names(cli: Cli, broker: Broker) -> None:
    broker.declare_exchange("events", "topic")
    broker.declare_queue("mail")
    done = cli("bind", "events", "mail", "user.#")
    assert done.code == 1
    assert done.err.splitlines() == [
        "error: 'mail' is a queue: it comes first, and then the exchange",
        "hint: rexchange bind mail events 'user.#'",
    ]
    assert "hint: rexchange bind mail events\n" in cli("bind", "events", "mail").err
    assert "does not exist" not in cli.ok("bind", "mail", "events", "user.#").err
    assert "rexchange list exchanges" in cli("bind", "mail", "missing").err


# --- what is not there


def test_deleting_what_is_not_there_says_so(cli: Cli, broker: Broker) -> None:
    for kind in ("queue", "exchange"):
        done = cli.ok("delete", kind, "mial")
        assert done.out == f"there was no {kind} 'mial'\n"
        assert cli.ok("delete", kind, "mial", "--json").json["existed"] is False
    broker.declare_queue("mail")
    broker.declare_exchange("events")
    assert cli.ok("delete", "queue", "mail").out == "queue 'mail' is gone, and 0 ready messages with it\n"
    assert cli.ok("delete", "exchange", "events", "--json").json == {"exchange": "events", "existed": True}


def test_ping_counts_no_handles_of_get(cli: Cli, broker: Broker) -> None:
    broker.declare_queue("mail")
    broker.get("mail")
    assert cli.ok("ping", "--json").json["consumers"] == 0
    assert "0 consumers" in cli.ok("ping").out


def test_a_file_without_lines(cli: Cli, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"\n\n")
    done = cli.ok("publish", "", "mail", "--lines", str(empty))
    assert f"no lines in '{empty}': nothing to publish" in done.err
    assert "no lines in standard input" in cli.ok("publish", "", "mail", "--lines", "-", stdin="").err


def test_a_name_that_is_empty_is_not_one_of_the_brokers_choice(cli: Cli, broker: Broker) -> None:
    for words in (("",), ()):
        done = cli("declare", "queue", *words)
        assert done.code == 2
        assert "give a name that is not empty, or --server-named" in one_line(done.err)
    assert cli("declare", "queue", "mail", "--server-named").code == 2
    assert broker.queues() == []
    assert cli.ok("declare", "queue", "--server-named", "--json").json["queue"].startswith("amq.gen-")


def test_messages_that_go_the_same_way_are_listed_once(cli: Cli) -> None:
    done = cli("publish", "", "nobody", "--mandatory", "--lines", "-", stdin="a\n" * 7)
    assert done.code == 1
    assert done.err.count("nobody") == 1
    assert "#0 and 6 like it (exchange '', key 'nobody')" in done.err
    ways = [(at, "", f"key {at % 2}") for at in range(5)]
    assert str(Unroutable(ways)).endswith(
        ": #0 and 2 like it (exchange '', key 'key 0'), #1 and 1 like it (exchange '', key 'key 1')"
    )


# --- help


def _commands() -> list[list[str]]:
    found: list[list[str]] = []

    def look(group: object, words: list[str]) -> None:
        for name, inner in getattr(group, "commands", {}).items():
            found.append([*words, name])
            look(inner, [*words, name])

    look(typer.main.get_command(app), [])
    return found


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_examples_are_not_broken_at_80_columns(cli: Cli, command: list[str]) -> None:
    lines = [line.strip() for line in cli.bare(*command, "--help").out.splitlines()]
    for at, line in enumerate(lines):
        if line.startswith("Example: "):
            assert lines[at + 1] == "", f"this goes on: {line}"


def test_first_steps_are_a_command_a_line(cli: Cli) -> None:
    lines = [line.strip() for line in cli.bare("--help").out.splitlines()]
    for command in (
        "rexchange demo",
        "rexchange declare queue mail",
        "rexchange publish '' mail hello",
        "rexchange get mail",
    ):
        assert command in lines


def test_names_that_are_loaded_when_they_are_used_are_listed() -> None:
    assert set(rexchange.__all__) <= set(dir(rexchange))
    assert set(rexchange.testing.__all__) <= set(dir(rexchange.testing))


# --- told to end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_consumer_that_waits_ends_in_order(embedded_url: str, vhost: str, number: signal.Signals) -> None:
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("mail")
        args = [*PROGRAM, "--url", embedded_url, "--vhost", vhost, "consume", "mail"]
        with subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: len(broker.consumers()) == 1, timeout=20)
            broker.publish(b"hello", routing_key="mail")
            wait_until(lambda: broker.queues()[0].ready == 0)
            process.send_signal(number)
            _, told = process.communicate(timeout=10)
        assert (process.returncode, told) == (128 + number, "")
        assert broker.consumers() == []
        assert broker.status().sessions <= 1
        (info,) = broker.queues()
        assert info.unacked == 0, "printed and acknowledged, or back in the queue"


def test_ctrl_c_in_the_middle_of_an_import_ends_in_order_too(tmp_path: Path) -> None:
    """Python notes a KeyboardInterrupt that passes through an exec of a string, and dies of it at the end."""
    (tmp_path / "program.py").write_text(
        "import os, signal\n"
        "from rexchange.cli import run\n"
        "with run.terminable():\n"
        "    exec('os.kill(os.getpid(), signal.SIGINT)\\nwhile True: pass')\n"
    )
    done = subprocess.run([sys.executable, "-m", "program"], check=False, timeout=20, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGINT


def on_a_terminal(args: list[str], given: str) -> tuple[str, str]:
    """Run a command whose standard error is a terminal; return what it printed, and what the terminal showed."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*PROGRAM, *args], input=given, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True, timeout=30
        )
        os.set_blocking(ours, False)
        with contextlib.suppress(BlockingIOError):  # it showed nothing
            return done.stdout, os.read(ours, 1 << 20).decode()
        return done.stdout, ""
    finally:
        os.close(ours)
        os.close(theirs)


def test_long_input_shows_how_far_it_is_on_a_terminal(embedded_url: str, vhost: str) -> None:
    """With --json there is nothing but the result."""
    place = ["--url", embedded_url, "--vhost", vhost]
    lines = "".join(f"line {number}\n" for number in range(3000))
    queues = [{"name": f"q{number}", "vhost": vhost, "durable": True} for number in range(300)]
    definitions = json.dumps({"queues": queues})
    with Broker(embedded_url, vhost=vhost) as broker:
        broker.declare_queue("mail")
        for words, given, shown in (
            (["publish", "", "mail", "--lines", "-"], lines, ["publishing", "3,000 messages"]),
            (["import", "-"], definitions, ["300/300"]),
        ):
            _, told = on_a_terminal([*place, *words], given)
            assert [each for each in shown if each not in told] == []
            printed, told = on_a_terminal([*place, *words, "--json"], given)
            assert told == ""
            assert json.loads(printed)
        assert broker.declare_queue("mail", passive=True).message_count == 6000
        assert len(broker.queues()) == 301
