# Generated from tests/conformance/async_/test_policies.py by `python tools/unasync.py`. Do not edit.
"""Policies: what is said of many queues and exchanges at once (docs/semantics.md, Policies)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from rexchange import Broker, Message, Policy
from rexchange.codec import Table
from rexchange.errors import InvalidArgument, PreconditionFailed, PublishRefused
from rexchange.policies import check
from rexchange.protocol import policies as protocol
from rexchange.testing import drain, wait_until
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare


def kept(broker: Broker, queue: str = "q", *, sent: int = 5) -> int:
    """Publish so many and return how many are ready then: as many as its limit lets be."""
    broker.purge(queue)
    for _ in range(sent):
        broker.publish(b"m", routing_key=queue)
    broker.reap()
    return len(drain(broker, queue))


# --- which one applies


def test_the_one_of_the_highest_priority_applies_and_only_that(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_policy("low", ".*", {"max-length": 1, "max-length-bytes": 1}, priority=1)
    broker.set_policy("high", "^q", {"max-length": 3}, priority=2)
    broker.set_policy("other", "^other", {"max-length": 2}, priority=3)

    assert kept(broker) == 3

    broker.delete_policy("high")
    assert kept(broker) == 1


def test_at_equal_priority_the_first_by_name_applies(broker: Broker) -> None:
    """RabbitMQ leaves it undefined."""
    broker.declare_queue("q")
    for name, limit in (("b", 2), ("a", 3), ("c", 1)):
        broker.set_policy(name, ".*", {"max-length": limit})

    assert kept(broker) == 3


@pytest.mark.parametrize(("pattern", "applies"), [("^ab", True), ("b", True), ("^b", False), (r"\.c$", True)])
def test_the_pattern_is_searched_in_the_name(broker: Broker, pattern: str, applies: bool) -> None:
    broker.declare_queue("ab.c")
    broker.set_policy("p", pattern, {"max-length": 1})

    assert kept(broker, "ab.c") == (1 if applies else 5)


@pytest.mark.parametrize(
    ("apply_to", "limited"),
    [
        ("all", ["classic", "quorum"]),
        ("queues", ["classic", "quorum"]),
        ("classic_queues", ["classic"]),
        ("quorum_queues", ["quorum"]),
        ("streams", []),
        ("exchanges", []),
    ],
)
def test_it_applies_to_kinds_of_queues(broker: Broker, apply_to: Any, limited: list[str]) -> None:
    for kind in ("classic", "quorum"):
        broker.declare_queue(kind, arguments={"x-queue-type": kind})
    broker.set_policy("p", ".*", {"max-length": 1}, apply_to=apply_to)

    assert [kind for kind in ("classic", "quorum") if kept(broker, kind) == 1] == limited


def test_one_with_a_key_that_the_queues_type_has_not_is_not_about_it(broker: Broker) -> None:
    """RabbitMQ passes the whole policy over: a delivery limit for quorum queues drops nothing of a classic one."""
    broker.declare_queue("q")
    broker.set_policy("quorum", ".*", {"delivery-limit": 0, "max-length": 1}, priority=1)
    broker.set_policy("rest", ".*", {"max-length": 3})

    assert kept(broker) == 3
    broker.publish(b"m", routing_key="q")
    for _ in range(3):
        delivery = broker.get("q", auto_ack=False)
        assert delivery is not None
        delivery.nack()


def test_a_stream_is_not_deleted_by_a_policy_for_other_queues(broker: Broker) -> None:
    broker.declare_queue("log", queue_type="stream")
    broker.declare_queue("q")
    broker.publish(b"m", routing_key="log")
    broker.set_policy("p", ".*", {"expires": 100})

    wait_until(lambda: gone(broker, "q"))
    assert [info.queue.name for info in broker.queues()] == ["log"]


def gone(broker: Broker, queue: str) -> bool:
    """Run the reaper; whether the queue is gone."""
    broker.reap()
    return queue not in [info.queue.name for info in broker.queues()]


# --- argument and policy


@pytest.mark.parametrize(("argument", "policy", "limit"), [(2, 4, 2), (4, 2, 2), (3, 3, 3)])
def test_of_two_numbers_the_smaller_holds(broker: Broker, argument: int, policy: int, limit: int) -> None:
    broker.declare_queue("q", max_length=argument)
    broker.set_policy("p", ".*", {"max-length": policy})

    assert kept(broker) == limit


def test_an_argument_beats_the_policy(broker: Broker) -> None:
    for queue in ("dead", "letters"):
        broker.declare_queue(queue)
    broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead", max_length=1)
    broker.declare_queue("p", max_length=1)
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "letters", "overflow": "reject-publish"}
    broker.set_policy("p", "^[pq]$", definition)

    broker.publish(b"1", routing_key="q")
    with pytest.raises(PublishRefused):
        broker.publish(b"2", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    delivery.reject(requeue=False)

    broker.publish(b"p", routing_key="p")
    other = broker.get("p", auto_ack=False)
    assert other is not None
    other.reject(requeue=False)

    assert [letter.body for letter in drain(broker, "dead")] == [b"1"]
    assert [letter.body for letter in drain(broker, "letters")] == [b"p"]


def test_the_arguments_of_a_queue_stay_as_they_were_declared(broker: Broker) -> None:
    broker.declare_queue("q", max_length=5)
    broker.set_policy("p", ".*", {"max-length": 2, "expires": 60_000})

    assert (broker.declare_queue("q", max_length=5)).arguments == {"x-max-length": 5}
    with pytest.raises(PreconditionFailed):
        broker.declare_queue("q", max_length=2)


# --- live


def test_what_is_over_a_new_limit_goes_at_once(broker: Broker) -> None:
    broker.declare_queue("q")
    for number in range(5):
        broker.publish(b"%d" % number, routing_key="q")

    broker.set_policy("p", ".*", {"max-length": 2})

    assert [delivery.body for delivery in drain(broker, "q")] == [b"3", b"4"]


def test_a_policy_that_changes_or_goes_holds_no_longer(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_policy("p", ".*", {"max-length": 2})
    broker.set_policy("p", ".*", {"max-length": 3})
    assert kept(broker) == 3

    broker.delete_policy("p")
    broker.delete_policy("p")
    assert kept(broker) == 5


def test_messages_expire_by_a_policy(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_policy("p", ".*", {"message-ttl": 100})

    broker.publish(b"", routing_key="q")

    def gone() -> bool:
        broker.reap()
        return [info.ready for info in broker.queues()] == [0]

    wait_until(gone)


def test_a_new_ttl_is_for_new_messages_only(broker: Broker) -> None:
    """As in RabbitMQ: when a message expires is decided as it arrives."""
    for queue in ("q", "clock"):
        broker.declare_queue(queue)
    broker.publish(b"old", routing_key="q")
    broker.set_policy("p", ".*", {"message-ttl": 50})
    broker.publish_many([Message(b"new", routing_key=queue) for queue in ("q", "clock")])

    def gone() -> bool:
        broker.reap()
        return (broker.declare_queue("clock", passive=True)).message_count == 0

    wait_until(gone)
    assert [delivery.body for delivery in drain(broker, "q")] == [b"old"]


def test_a_queue_expires_by_a_policy(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.set_policy("p", ".*", {"expires": 100})

    def gone() -> bool:
        broker.reap()
        return broker.queues() == []

    wait_until(gone)


def test_a_consumer_that_is_running_keeps_what_a_new_policy_says(broker: Broker, connect: Connect) -> None:
    """A plain consumer reads natively; by a policy its queue becomes one whose messages expire and dead-letter."""
    other = connect()
    broker.declare_queue("dead")
    broker.declare_queue("q")
    with broker.consume("q", auto_ack=False, prefetch=1, ack_timeout=timedelta(seconds=60)) as consumer:
        other.publish(b"1", routing_key="q")
        first = consumer.next(timeout=5)
        assert first is not None
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
        other.set_policy("p", "^q$", definition)

        first.reject(requeue=False)
        other.publish(b"2", routing_key="q")
        second = consumer.next(timeout=5)
        assert second is not None
        second.ack()

    def arrived() -> bool:
        return [letter.body for letter in drain(other, "dead")] == [b"1"]

    wait_until(arrived)


# --- exchanges


def test_an_exchange_gets_its_alternate_from_a_policy(broker: Broker) -> None:
    broker.declare_exchange("x")
    broker.declare_exchange("rest", "fanout")
    broker.declare_exchange("own", alternate_exchange="amq.fanout")
    broker.declare_queue("q")
    broker.bind("q", "rest")

    broker.set_policy("p", "^(x|own|new)$", {"alternate-exchange": "rest"}, apply_to="exchanges")
    broker.declare_exchange("new")

    assert [broker.route(name, "k") for name in ("x", "own", "new")] == [["q"], [], ["q"]]
    assert (broker.declare_exchange("x")).alternate_exchange is None, "its arguments stay as they are"

    broker.delete_policy("p")
    assert [broker.route(name, "k") for name in ("x", "own", "new")] == [[], [], []]


# --- what is refused


@pytest.mark.parametrize(
    ("name", "pattern", "definition", "options", "error", "says"),
    [
        ("", ".*", {"expires": 1}, {}, InvalidArgument, "a name that is not empty"),
        (5, ".*", {"expires": 1}, {}, InvalidArgument, "policy name is 5"),
        ("p", "(", {"expires": 1}, {}, InvalidArgument, "wanted a regular expression"),
        ("p", None, {"expires": 1}, {}, InvalidArgument, "a regular expression as a str"),
        ("p", ".*", {}, {}, InvalidArgument, "at least one key"),
        ("p", ".*", [("expires", 1)], {}, InvalidArgument, "a dict"),
        ("p", ".*", {"expires": 1}, {"priority": True}, InvalidArgument, "priority is True: wanted an int"),
        ("p", ".*", {"expires": 1}, {"apply_to": "vhosts"}, InvalidArgument, "one of all, queues"),
        ("p", ".*", {"max-priority": 1}, {}, PreconditionFailed, "'max-priority': give one of message-ttl"),
        ("p", ".*", {"queue-type": "quorum"}, {}, PreconditionFailed, "give one of message-ttl"),
        ("p", ".*", {"expires": 0}, {}, PreconditionFailed, "expires is 0: give an int"),
        ("p", ".*", {"max-length": "5"}, {}, PreconditionFailed, "max-length is '5': give an int"),
        ("p", ".*", {"overflow": "drop"}, {}, PreconditionFailed, "overflow is 'drop': give one of drop-head"),
        ("p", ".*", {"alternate-exchange": 5}, {}, PreconditionFailed, "give a string"),
    ],
)
def test_what_is_no_policy_is_refused_and_nothing_is_set(
    broker: Broker,
    name: Any,
    pattern: Any,
    definition: Any,
    options: Any,
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        broker.set_policy(name, pattern, definition, **options)

    assert broker.policies() == []


def test_keys_that_tune_rabbitmqs_storage_are_kept_and_do_nothing(broker: Broker) -> None:
    broker.declare_queue("q")
    definition: Table = {"ha-mode": "exactly", "ha-params": 2, "queue-mode": "lazy"}
    policy = broker.set_policy("ha", ".*", definition)

    assert broker.policies() == [policy] == [Policy("ha", ".*", definition)]
    assert kept(broker) == 5


def test_policies_are_listed_by_name(broker: Broker) -> None:
    for name in ("b", "a", "ü"):
        broker.set_policy(name, f"^{name}", {"expires": 60_000}, priority=-1, apply_to="queues")

    assert broker.policies() == [
        Policy(name, f"^{name}", {"expires": 60_000}, -1, "queues") for name in ("a", "b", "ü")
    ]


# --- several at a time, and crashes


def test_a_queue_that_is_declared_knows_policies_that_another_broker_set(broker: Broker, connect: Connect) -> None:
    """Its patterns are matched by who declares: one that knows older policies is sent back to read them."""
    other = connect()
    broker.declare_queue("before")
    other.declare_exchange("rest", "fanout")
    other.bind("before", "rest")
    other.set_policy("p", ".*", {"max-length": 2, "alternate-exchange": "rest"})

    broker.declare_queue("q")
    broker.declare_exchange("x")

    assert kept(broker) == 2
    assert broker.route("x", "k") == ["before"]


def test_policies_that_change_while_they_are_written_out_are_written_anew(
    broker: Broker, ask: Bare, connect: Connect
) -> None:
    broker.declare_queue("q")
    other = connect()
    prefix = broker._link.keys.prefix
    seen: list[bytes] = []

    def change() -> None:
        seen.append(ask("HGET", prefix + b"vhost", "policies"))
        if len(seen) == 2:  # set, then read: what follows is worked out from what was read
            record = check(Policy("p", ".*", {"max-length": 4}))
            ask("HSET", prefix + b"policies", "p", record)
            ask("HINCRBY", prefix + b"vhost", "policies", 1)

    Faults(broker).during("policies", change, times=4)
    broker.set_policy("p", ".*", {"max-length": 1})
    assert seen == [b"1", b"1", b"2", b"2"]

    assert kept(other) == 4
    assert [policy.definition for policy in other.policies()] == [{"max-length": 4}]


@pytest.mark.parametrize("healer", ["list", "declare", "set", "delete"])
def test_a_policy_whose_setter_died_is_written_out_by_the_next(broker: Broker, connect: Connect, healer: str) -> None:
    broker.declare_queue("q")
    broker._run(protocol.put(Policy("p", ".*", {"max-length": 2})))
    assert kept(broker) == 5, "it is set, and nothing follows of it yet"

    other = connect()
    if healer == "list":
        other.policies()
    elif healer == "declare":
        other.declare_queue("another")
    elif healer == "set":
        other.set_policy("elsewhere", "^nothing$", {"expires": 60_000})
    else:
        other.delete_policy("missing")

    assert kept(broker) == 2


def test_a_write_out_that_was_cut_short_is_done_by_the_next(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("q")
    Faults(broker).answer("apply", "ERR broken")
    with pytest.raises(Exception, match="broken"):
        broker.set_policy("p", ".*", {"max-length": 2})
    assert kept(broker) == 5

    assert [policy.name for policy in (connect()).policies()] == ["p"]
    assert kept(broker) == 2


def test_many_queues_are_written_out_page_by_page(broker: Broker) -> None:
    names = [f"q{number}" for number in range(protocol.PER_CALL * 2 + 1)]
    for name in names:
        broker.declare_queue(name)
    broker.set_policy("p", ".*", {"max-length": 1})

    assert [kept(broker, name, sent=2) for name in (names[0], names[100], names[-1])] == [1, 1, 1]


def test_policies_are_declared_again_with_all_else(ask: Bare, connect: Connect) -> None:
    broker = connect(redeclare=True)
    broker.declare_queue("q")
    broker.set_policy("p", ".*", {"max-length": 2})
    for key in ask.keys(broker._link.keys.prefix):
        ask("UNLINK", key)

    assert broker.publish(b"", routing_key="q") == 1
    assert kept(broker) == 2
    assert [policy.name for policy in broker.policies()] == ["p"]


def test_a_binding_between_does_not_keep_an_alternate_exchange_out(broker: Broker, url: str) -> None:
    broker.declare_exchange("x", "topic")
    broker.declare_queue("q")
    broker.bind("q", "amq.fanout")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.bind("q", "x", "a")
            other.unbind("q", "x", "a")

    between = Faults(broker).during("inspect", meanwhile, 2)
    broker.set_policy("rest", "^x$", {"alternate-exchange": "amq.fanout"})

    assert between.done == 2
    assert broker.route("x", "else") == ["q"]
