"""Real data, found beside the project in ../shared/data; without it these tests are skipped."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from rexchange import Broker
from rexchange.testing import forget
from tests.support import servers

REAL = "redis" if "redis" in servers.available() else "embedded"


@pytest.fixture(params=["memory", REAL])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of the fake server, then of one real server: routing does not differ among real ones."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded_url")
    elif request.param == "redis":
        yield servers.REDIS
    else:
        name = secrets.token_hex(8)
        yield f"memory://{name}"
        forget(name)


@pytest.fixture
def open_broker(url: str, vhost: str) -> Iterator[Callable[[str], Broker]]:
    """Yield what opens a broker on a vhost of the file's own; what it left behind is removed afterwards."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Broker(url, vhost=f"{vhost} {name}"))
    bare = servers.Bare(url)
    for key in bare.keys(b"rx:{%s " % vhost.encode()):
        bare("UNLINK", key)
    bare.close()
