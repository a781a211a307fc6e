"""RabbitMQ and a server of rexchange, side by side; skipped where no RabbitMQ that rabbitmqctl manages answers."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator

import pytest

from tests.differential.compare import Both, both
from tests.differential.rabbitmq import HOST
from tests.differential.server import own_server


def _answers() -> bool:
    try:
        socket.create_connection(HOST, timeout=0.5).close()
    except OSError:
        return False
    return shutil.which("rabbitmqctl") is not None


@pytest.fixture(scope="session")
def pair() -> Iterator[Both]:
    """Yield both, on a vhost of each that is new."""
    if not _answers():
        pytest.skip("no RabbitMQ here")
    with own_server() as url, both(url) as pair:
        yield pair
