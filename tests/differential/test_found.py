"""Scenarios that differed once, as they were found and shrunk."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.compare import Both
from tests.differential.steps import (
    SHORT_MS,
    Bind,
    Cancel,
    CloseClient,
    CloseConsumer,
    Consume,
    DeclareExchange,
    DeclareQueue,
    DeleteQueue,
    Drain,
    Get,
    Publish,
    Settle,
    Step,
    Table,
    Unbind,
)

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


def queue(name: str = "q0", dead: str = "", **arguments: object) -> DeclareQueue:
    """A queue whose arguments are given with underscores; what dies in it goes to the queue `dead`."""
    table: Table = {f"x-{word.replace('_', '-')}": value for word, value in arguments.items()}
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead} if dead else {}
    return DeclareQueue(name, arguments=table | letters)


def publish(name: str = "q0", pad: int = 0, **properties: object) -> Publish:
    return Publish("", name, properties=properties, pad=pad)


def test_a_missing_binding_of_another_ones_exclusive_queue_is_unbound(pair: Both) -> None:
    pair.run([DeclareQueue("q0", exclusive=True, client=2), Unbind("q0", "amq.headers", key="a")])


@pytest.mark.parametrize("arguments", [{}, {"max_length": 1}, {"max_length": 0}, {"max_priority": 5}])
def test_a_message_of_ttl_0_goes_behind_what_is_there(pair: Both, arguments: dict[str, Any]) -> None:
    never = publish(expiration="0")
    pair.run([queue(dead="q1", **arguments), queue("q1"), publish(), never, publish(), *[Get("q0")] * 3, Get("q1")])


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_full_queue_refuses_before_it_looks_at_a_ttl_of_0(pair: Both, overflow: str) -> None:
    full = queue(dead="q1", max_length=1, overflow=overflow)
    pair.run([full, queue("q1"), publish(), publish(expiration="0"), Get("q1"), publish()])


@pytest.mark.parametrize("limit", ["max_length", "max_length_bytes"])
@pytest.mark.parametrize("overflow", ["drop-head", "reject-publish", "reject-publish-dlx"])
def test_a_queue_of_length_0_refuses_whoever_is_waiting_there(pair: Both, overflow: str, limit: str) -> None:
    limits: dict[str, Any] = {limit: 0}
    full = queue(dead="q1", overflow=overflow, **limits)
    pair.run([full, queue("q1"), Consume("q0", prefetch=2), *[publish()] * 3, Get("q1")])


def test_a_message_of_ttl_0_that_comes_back_has_expired(pair: Both) -> None:
    shared = Consume("q0", prefetch=3)
    pair.run([queue(), shared, publish(expiration="0"), Settle(0, verdict="nack"), Get("q0")])


def test_a_message_of_ttl_0_is_handed_to_a_consumer_that_reads_natively(pair: Both) -> None:
    pair.run([queue(dead="q1"), queue("q1"), Consume("q0", auto_ack=True, prefetch=2), publish(expiration="0")])


def test_a_consumer_may_be_exclusive_where_another_was_cancelled(pair: Both) -> None:
    pair.run([queue(), Consume("q0"), Cancel(0), publish(), Consume("q0", auto_ack=True, exclusive=True)])


def test_after_a_single_active_consumer_comes_the_one_of_the_highest_priority(pair: Both) -> None:
    low, high = ({"x-priority": number} for number in (1, 5))
    waiting = [Consume("q0", prefetch=9, arguments=table) for table in ({}, low, high, low, {})]
    closing: list[Step] = [each for _ in range(4) for each in (CloseConsumer(0), publish())]
    pair.run([queue(single_active_consumer=True), Consume("q0"), publish(), *waiting, publish(), *closing])


@pytest.mark.parametrize("trait", [{"max_length": 1}, {"message_ttl": 0}])
def test_only_the_single_active_consumer_has_room(pair: Both, trait: dict[str, Any]) -> None:
    two: list[Step] = [Consume("q0"), Consume("q0", prefetch=2)]
    pair.run([queue(single_active_consumer=True, **trait), *two, *[publish()] * 4, Get("q0"), Cancel(0), publish()])


@pytest.mark.parametrize("trait", [{"max_length": 1}, {"message_ttl": 0}])
def test_what_others_hold_takes_no_room_from_a_consumer(pair: Both, trait: dict[str, Any]) -> None:
    held: list[Step] = [Consume("q0", prefetch=2), publish(), Cancel(0), publish(), Get("q0")]
    pair.run([queue(**trait), *held, Consume("q0", prefetch=2), *[publish()] * 3])


def test_a_consumer_without_acks_has_always_room(pair: Both) -> None:
    got: list[Step] = [each for _ in range(4) for each in (publish(), Get("q0"))]
    reject = Settle(0, number=3, verdict="nack", requeue=False, multiple=True)
    pair.run([queue(dead="q1"), queue("q1", max_length=1), *got, Consume("q1", auto_ack=True), reject])


def test_what_comes_back_to_a_full_queue_is_dropped_before_anybody_gets_it(pair: Both) -> None:
    back = Settle(0, verdict="reject")
    pair.run([queue(dead="q1", max_length_bytes=2), queue("q1"), Consume("q0"), publish(pad=30), back, Get("q1")])


def test_the_default_exchange_as_alternate_routes_nowhere(pair: Both) -> None:
    alternate = DeclareExchange("x0", arguments={"alternate-exchange": ""})
    sent = Publish("x0", "q0", headers={"CC": ["q0"]})
    pair.run([alternate, queue(), sent, Publish("x0", "q0", mandatory=True)])


def test_expired_messages_go_on_from_queue_to_queue(pair: Both) -> None:
    first, second = (queue(name, dead, message_ttl=SHORT_MS) for name, dead in (("q0", "q1"), ("q1", "q2")))
    pair.run([first, second, queue("q2"), publish(), publish(expiration="60000"), Get("q2"), Get("q2")])


def test_what_a_client_held_is_not_lost_to_its_own_consumer_when_it_ends(pair: Both) -> None:
    pair.run([queue(), publish(), Get("q0"), Consume("q0", auto_ack=True), CloseClient(0), Get("q0", client=1)])


def test_what_an_auto_delete_queue_takes_along_is_not_dead_lettered(pair: Both) -> None:
    """It was given back first, and what the queue's limit left no room for died of that."""
    mortal = queue("q2", "q1", max_length=3)
    scenario: list[Step] = [
        queue("q1"),
        DeclareQueue("q2", auto_delete=True, arguments=mortal.arguments),
        *[Publish("", key="q2")] * 3,
        Consume("q1", prefetch=0),
        Consume("q2", prefetch=2),
        Publish("", key="q2"),
        Cancel(1),
    ]
    pair.run(scenario)


def test_what_expires_under_the_last_look_goes_to_the_consumer_that_waits_for_it(pair: Both) -> None:
    scenario: list[Step] = [
        queue("q0", "q2"),
        queue("q2"),
        Publish("", key="q0", properties={"expiration": "60000"}),
        Publish("", key="q0", properties={"expiration": str(SHORT_MS)}),
        Consume("q2", prefetch=0, arguments={"x-priority": 0}),
        Drain(),
    ]
    pair.run(scenario)


def test_three_deaths(pair: Both) -> None:
    scenario: list[Step] = [
        queue("q1", "q4", message_ttl=SHORT_MS),
        queue("q4", "q5", max_length_bytes=0),
        queue("q5", "q1", max_length=2),
        Publish("", key="q5"),
        Consume("q5", prefetch=0),
        Settle(0, verdict="nack", requeue=False, multiple=True),
    ]
    pair.run(scenario)


def test_deaths_of_one_step_reach_a_queue_with_priorities(pair: Both) -> None:
    scenario: list[Step] = [
        DeclareExchange("x0", type="fanout"),
        DeclareQueue("q0", arguments={"x-dead-letter-exchange": "x0", "x-max-length-bytes": 9}),
        queue("q2", max_priority=255),
        Bind("q2", "x0"),
        Publish("", key="q0", properties={"priority": 0}),
        Consume("q2", prefetch=0),
        Publish("", key="q0", properties={"priority": 3}, pad=30),
    ]
    pair.run(scenario)
