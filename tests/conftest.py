"""Servers for all tests: `url` is one of each kind in turn, `vhost` is the test's own."""

from __future__ import annotations

import logging
import secrets
import signal
from collections.abc import Iterator

import pytest

from rexchange.server import embedded
from tests.support import servers

# What a script starts in the background (`make test &`) ignores Ctrl-C, and so does all that it starts in turn: the
# programs that a test ends by Ctrl-C would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of an embedded Valkey; one a session, so one for each worker of xdist."""
    folder = tmp_path_factory.mktemp("valkey")
    handle = embedded.acquire(folder)
    yield f"embedded://{folder}"
    handle.release()


@pytest.fixture(params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.available()])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of every server there is, in turn; the fake one is new for each test."""
    with servers.url_of(request.param, request) as found:
        yield found


@pytest.fixture
def vhost() -> str:
    """Return the name of a vhost of this test's own."""
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture(autouse=True)
def _loggers_are_as_before() -> Iterator[None]:
    """Fail the test that leaves our logger changed, not those after it that read its warnings."""
    library = logging.getLogger("rexchange")
    before = (library.level, library.propagate, library.disabled)
    yield
    assert (library.level, library.propagate, library.disabled) == before
