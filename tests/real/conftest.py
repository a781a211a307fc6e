"""Real data, found beside the project in ../shared/data; without it these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rexchange import Broker
from tests.support import servers

HERE = Path(__file__).parent
REAL = "redis" if "redis" in servers.available() else "embedded"


@pytest.fixture(params=["memory", REAL])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of the fake server, then of one real server: routing does not differ among real ones."""
    with servers.url_of(request.param, request) as found:
        yield found


@pytest.fixture
def open_broker(url: str, vhost: str) -> Iterator[Callable[[str], Broker]]:
    """Yield what opens a broker on a vhost of the file's own; what it left behind is removed afterwards."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Broker(url, vhost=f"{vhost} {name}"))
    bare = servers.Bare(url)
    for key in bare.keys(b"rx:{%s " % vhost.encode()):
        bare("UNLINK", key)
    bare.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave them out of the quick tests."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.slow)
