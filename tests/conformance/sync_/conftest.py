"""Brokers of this colour; written by hand, as its twin beside is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rexchange import Broker
from tests.conformance.sync_.support import Connect


@pytest.fixture
def connect(url: str, vhost: str) -> Iterator[Connect]:
    """Yield a function that makes one more broker on the test's vhost; all are closed at the end."""
    with ExitStack() as stack:

        def make(**options: Any) -> Broker:
            return stack.enter_context(Broker(url, vhost=vhost, **options))

        yield make


@pytest.fixture
def broker(connect: Connect) -> Broker:
    """Return a broker on the test's vhost."""
    return connect()
