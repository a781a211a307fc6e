"""A Redis of our own: its clock ticks often, so that a look which waits for nothing takes 2 ms and not 100."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import servers

OPTIONS = ("--hz", "500", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1")


@contextmanager
def own_server() -> Iterator[str]:
    """Yield the URL of a server that lives as long; where there is no redis-server, that of whatever is here."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield servers.REDIS if "redis" in servers.available() else "memory://differential"
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--dir", folder, *OPTIONS]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _await(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


def _await(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
