"""Scenarios that differed once, as they were found and shrunk."""

from __future__ import annotations

import pytest

from tests.differential.compare import Both
from tests.differential.steps import Bind, Consume, DeclareExchange, DeclareQueue, DeleteQueue, Publish

pytestmark = pytest.mark.differential


def test_a_passive_declare_does_not_check_the_type(pair: Both) -> None:
    pair.run([DeclareExchange("amq.topic", type="unknown", passive=True)])


def test_a_passive_declare_does_not_check_the_alternate_exchange(pair: Both) -> None:
    pair.run([DeclareExchange("amq.topic", type="topic", passive=True, arguments={"alternate-exchange": 1})])


def test_a_passive_declare_does_not_check_a_queues_arguments(pair: Both) -> None:
    pair.run([DeclareQueue("q0"), DeclareQueue("q0", passive=True, arguments={"x-message-ttl": "abc"})])


def test_a_passive_declare_of_the_default_exchange_is_refused(pair: Both) -> None:
    pair.run([DeclareExchange("", passive=True)])


def test_an_unknown_type_is_found_before_a_reserved_name(pair: Both) -> None:
    pair.run([DeclareExchange("", type="unknown"), DeclareExchange("amq.new", type="unknown")])


def test_a_full_consumer_whose_queue_is_deleted(pair: Both) -> None:
    pair.run([DeclareQueue("q0"), Publish("", key="q0"), Consume("q0"), DeleteQueue("q0", client=1)])


def test_a_wrong_x_match_is_found_before_another_ones_exclusive_queue(pair: Both) -> None:
    mine = DeclareQueue("q0", exclusive=True, client=0)
    pair.run([mine, Bind("q0", "amq.headers", arguments={"x-match": "some"}, client=1)])
