"""The key fixture: after each test every key has an owner and none a TTL, and what is deleted leaves nothing behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rexchange import Broker
from rexchange.keyspace import Keys
from rexchange.topology import PREDECLARED
from tests.support import servers
from tests.support.clock import Clock, controlled
from tests.support.keys import OWN, Cached, Check, waits
from tests.support.servers import Bare

#: Where the quick tests run each colour; `make check` runs both everywhere.
QUICK = {"async_": "memory", "sync_": "embedded"}
#: The real server of each colour, besides the fake one: what is the server's own shows in one colour as in the other.
#: REXCHANGE_TEST_EVERYWHERE=1 runs all on all.
REAL = {"async_": "redis", "sync_": "embedded"}
#: What the quick tests run on fakeredis, too: the rest of it is made of the same scripts, and takes long there.
QUICK_ON_MEMORY = re.compile(
    r"test_(publish|consume|settle|get|routing|routing_topic|bindings|messages|auto_ack|failures|cc|give_back)\.py"
)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what the quick tests leave out, and leave out the real server that is the other colour's."""
    everywhere = bool(os.environ.get("REXCHANGE_TEST_EVERYWHERE") or "REXCHANGE_TEST_URL" in os.environ)
    there = servers.available()
    others: list[pytest.Item] = []
    for item in items:
        if not isinstance(item, pytest.Function) or not item.path.is_relative_to(HERE):
            continue
        kind = item.callspec.params.get("url") if hasattr(item, "callspec") else None
        if kind is None:
            continue
        colour = item.path.parent.name
        if kind not in ("memory", REAL[colour]) and REAL[colour] in there and not everywhere:
            others.append(item)
        is_long = kind == "memory" and QUICK_ON_MEMORY.fullmatch(item.path.name) is None
        if is_long or kind != QUICK[colour]:
            item.add_marker(pytest.mark.thorough)
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [item for item in items if item not in left_out]


def pytest_configure(config: pytest.Config) -> None:
    """Register our marker."""
    config.addinivalue_line("markers", "damages_keys: breaks keys on purpose, so they are only removed afterwards")


@pytest.fixture
def keys(vhost: str) -> Keys:
    """Return the names of this test's keys."""
    return Keys(vhost.encode())


@pytest.fixture
def clock(tmp_path: Path, url: str, vhost: str) -> Iterator[Clock]:
    """Yield the time of this test's vhost: it stands still until it is moved."""
    with controlled(tmp_path), Clock(url, vhost) as clock:
        yield clock


@pytest.fixture
def ask(url: str) -> Iterator[Bare]:
    """Yield a bare connection to this test's server."""
    bare = Bare(url)
    yield bare
    bare.close()


@pytest.fixture
def cached(ask: Bare, vhost: str) -> Iterator[Cached]:
    """Yield what makes keys of the application's own, which are removed afterwards."""
    made: set[str] = set()

    def key(name: str) -> str:
        made.add(f"{vhost}-{name}")
        return f"{vhost}-{name}"

    yield key
    for each in made:
        ask("UNLINK", each)


@pytest.fixture(autouse=True)
def _every_key_has_an_owner(
    request: pytest.FixtureRequest, url: str, vhost: str, ask: Bare, keys: Keys
) -> Iterator[None]:
    yield
    try:
        if request.node.get_closest_marker("damages_keys") is None:
            assert Check(ask, keys).run() == []
            _delete_all(url, vhost)
            left = {key.removeprefix(keys.prefix) for key in ask.keys(keys.prefix) if not waits(ask, key)}
            assert left <= OWN, "keys are left after everything was deleted"
    finally:
        for key in ask.keys(keys.prefix):
            ask("UNLINK", key)


def _delete_all(url: str, vhost: str) -> None:
    with Broker(url, vhost=vhost) as broker:
        broker.set_vhost_limit(None)
        for waiting in broker.scheduled(limit=1_000_000):
            broker.cancel_scheduled(waiting.id)
        broker.untrace()
        for policy in broker.policies():
            broker.delete_policy(policy.name)
        for info in broker.queues():
            broker.delete_queue(info.queue)
        for exchange in broker.exchanges():
            if exchange.name not in PREDECLARED:
                broker.delete_exchange(exchange)
        assert [exchange for exchange in PREDECLARED if exchange and broker.bindings(exchange)] == []
