"""The command line, run in this process on a fake server that all calls of one test share."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from rexchange import Broker
from rexchange.cli import app
from rexchange.testing import forget


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """Runs commands."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *args: str, stdin: str | bytes | None = None) -> Done:
        """Run a command; one that ends with a traceback fails the test."""
        return self.bare("--url", self.url, *args, stdin=stdin)

    def bare(self, *args: str, stdin: str | bytes | None = None) -> Done:
        """Run it without --url."""
        result = CliRunner().invoke(app, list(args), input=stdin, env={"COLUMNS": "80"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def ok(self, *args: str, stdin: str | bytes | None = None) -> Done:
        """Run a command that has to succeed."""
        done = self(*args, stdin=stdin)
        assert done.code == 0, done
        return done


@pytest.fixture
def cli() -> Iterator[Cli]:
    name = f"cli-{secrets.token_hex(8)}"
    yield Cli(f"memory://{name}")
    forget(name)


@pytest.fixture
def broker(cli: Cli) -> Iterator[Broker]:
    with Broker(cli.url) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run without the settings of whoever runs the tests."""
    for name in ("REXCHANGE_URL", "REXCHANGE_VHOST", "REXCHANGE_RETRY_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
