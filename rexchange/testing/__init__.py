"""For the tests of those who use rexchange: a broker with no server, and helpers to look at what it did.

========================================  =============================================================================
``memory_broker()``, ``async_...``        a context manager: a Broker on a fake server in this process (fakeredis)
``wait_until()``, ``async_...``           wait for what happens in another thread, task or process
``assert_routed()``, ``async_...``        which queues a message would reach; nothing is published
``messages()``, ``async_...``             what is ready in a queue; nothing is changed
``drain()``, ``async_...``                take all that is ready out of a queue, and return it
========================================  =============================================================================

pytest finds the fixtures of `rexchange.testing.plugin` by itself. The extra ``rexchange[testing]`` brings fakeredis.
"""

# Names are imported when they are first used: pytest loads this package at every start, in every project.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rexchange.testing.brokers import async_memory_broker, forget, memory_broker
    from rexchange.testing.looking import (
        assert_routed,
        async_assert_routed,
        async_drain,
        async_messages,
        drain,
        messages,
    )
    from rexchange.testing.waiting import async_wait_until, wait_until

__all__ = [
    "assert_routed",
    "async_assert_routed",
    "async_drain",
    "async_memory_broker",
    "async_messages",
    "async_wait_until",
    "drain",
    "forget",
    "memory_broker",
    "messages",
    "wait_until",
]

_HOMES = {
    "brokers": ("async_memory_broker", "forget", "memory_broker"),
    "looking": ("assert_routed", "async_assert_routed", "async_drain", "async_messages", "drain", "messages"),
    "waiting": ("async_wait_until", "wait_until"),
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"rexchange.testing.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
