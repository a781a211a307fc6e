"""docker-compose.yml: durable servers on this machine only, and a file that Docker can read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "docker-compose.yml"
TEXT = FILE.read_text()
SERVICES: dict[str, str] = dict(re.findall(r"^  ([\w-]+):\n((?:    .*\n|\n)+)", TEXT, re.MULTILINE))


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode  # noqa: PLW1510 - its code is the answer


def test_the_services() -> None:
    assert set(SERVICES) == {"redis", "valkey", "rabbitmq"}
    for name in ("valkey", "rabbitmq"):
        assert f"profiles: [{name}]" in SERVICES[name]
        assert f"docker compose --profile {name} up -d {name}" in TEXT
    assert "profiles" not in SERVICES["redis"], "`docker compose up -d` starts Redis alone"


def test_ports_are_open_to_this_machine_only() -> None:
    for service in SERVICES.values():
        (ports,) = re.findall(r"ports: \[(.*)\]", service)
        for port in ports.split(", "):
            assert re.fullmatch(r'"127\.0\.0\.1:\d+:\d+"', port)


def test_servers_that_keep_messages_keep_them() -> None:
    words = re.findall(r'^  - "?([^"\n]*)"?$', TEXT, re.MULTILINE)
    assert words == ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
    volumes = set(re.findall(r"^  ([\w-]+):$", TEXT[TEXT.index("\nvolumes:") :], re.MULTILINE))
    used: set[str] = set()
    for name in ("redis", "valkey"):
        assert "command: *durable" in SERVICES[name]
        used.update(re.findall(r'volumes: \["([\w-]+):/data"\]', SERVICES[name]))
    assert used == volumes


@pytest.mark.skipif(not _has_compose(), reason="optional: docker's plugin compose is not here; harmless")
def test_docker_can_read_it() -> None:
    command = ["docker", "compose", "--file", str(FILE), "--profile", "*", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert done.returncode == 0, done.stderr
