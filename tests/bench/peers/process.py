"""One process of a contestant, seen from the harness: an adapter under the interpreter of its venv."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.peers.roster import ADAPTERS, Contestant

_GRACE_S = 20


class Failed(Exception):
    """A contestant did not do its part; the text says what it did instead."""


class Process:
    """Started with the block, killed with everything that it started when the block ends."""

    def __init__(self, contestant: Contestant, python: Path, order: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """`order` is what the runner reads; `fds` are those that it names."""
        self._contestant, self._python, self._order, self._fds = contestant, python, order, fds

    def __enter__(self) -> Self:
        """Start it; `ready()` waits for it, so that several may start at once."""
        self._control, theirs = socket.socketpair()
        self._lines = self._control.makefile("r", encoding="utf-8")
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        order = {**self._order, "variant": self._contestant.variant, "control": theirs.fileno()}
        adapter = ADAPTERS / f"{self._contestant.adapter}.py"
        with theirs:
            self._process = subprocess.Popen(
                [self._python, adapter, json.dumps(order)],
                cwd=tempfile.gettempdir(),
                env={
                    name: value for name, value in os.environ.items() if not name.startswith(("REXCHANGE_", "PYTHON"))
                },
                pass_fds=[theirs.fileno(), *self._fds],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it and its children, and free what the harness holds of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._lines.close()
        self._control.close()
        self._log.close()

    def tell(self, **command: Any) -> None:
        """Send a command."""
        try:
            self._control.sendall(json.dumps(command).encode() + b"\n")
        except OSError as error:
            raise self.failed(f"ended ({error})") from error

    def answer(self, limit: float) -> dict[str, Any]:
        """Return what it says next."""
        self._control.settimeout(limit)
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise self.failed(f"did not answer within {limit:g} s") from error
        except OSError as error:
            raise self.failed(f"ended ({error})") from error
        if not line:
            raise self.failed("ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ready(self) -> dict[str, str]:
        """Wait until it has connected and declared; return the versions of its libraries."""
        versions: dict[str, str] = self.answer(_GRACE_S)["versions"]
        return versions

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def failed(self, what: str) -> Failed:
        """Return an error with the last line that it wrote."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)  # where the socket broke because it is ending: let it write why
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        last = f": {lines[-1][:200]}" if lines else ""
        return Failed(f"the {self._order['role']} {what}{last}")
