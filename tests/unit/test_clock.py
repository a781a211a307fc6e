"""The controlled clock of tests: it stands still, it moves when told, and only where it was set."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from rexchange import Broker, scripts
from tests.support.clock import Clock, controlled


def test_what_is_due_waits_for_the_clock_and_for_nothing_else(tmp_path: Path, url: str, vhost: str) -> None:
    with controlled(tmp_path), Clock(url, vhost) as clock, Broker(url, vhost=vhost) as broker:
        broker.declare_queue("q", message_ttl=timedelta(minutes=1))
        broker.publish(b"a", routing_key="q")
        clock.advance(59.999)
        broker.reap()
        assert [info.ready for info in broker.queues()] == [1]
        clock.advance(0.001)
        broker.reap()
        assert [info.ready for info in broker.queues()] == [0]
        broker.delete_queue("q")


def test_afterwards_the_scripts_are_those_of_the_package(tmp_path: Path) -> None:
    before = scripts.load("tick")
    with controlled(tmp_path):
        assert scripts.load("tick").sha != before.sha
    assert scripts.load("tick") == before
