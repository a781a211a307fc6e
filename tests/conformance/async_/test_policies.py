"""Policies: what is said of many queues and exchanges at once (docs/semantics.md, Policies)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Broker, Message, Policy
from rexchange.codec import Table
from rexchange.errors import InvalidArgument, PreconditionFailed, PublishRefused
from rexchange.policies import check
from rexchange.protocol import policies as protocol
from rexchange.testing import async_drain, async_wait_until
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare


async def kept(broker: AsyncBroker, queue: str = "q", *, sent: int = 5) -> int:
    """Publish so many and return how many are ready then: as many as its limit lets be."""
    await broker.purge(queue)
    for _ in range(sent):
        await broker.publish(b"m", routing_key=queue)
    await broker.reap()
    return len(await async_drain(broker, queue))


# --- which one applies


async def test_the_one_of_the_highest_priority_applies_and_only_that(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_policy("low", ".*", {"max-length": 1, "max-length-bytes": 1}, priority=1)
    await broker.set_policy("high", "^q", {"max-length": 3}, priority=2)
    await broker.set_policy("other", "^other", {"max-length": 2}, priority=3)

    assert await kept(broker) == 3

    await broker.delete_policy("high")
    assert await kept(broker) == 1


async def test_at_equal_priority_the_first_by_name_applies(broker: AsyncBroker) -> None:
    """RabbitMQ leaves it undefined."""
    await broker.declare_queue("q")
    for name, limit in (("b", 2), ("a", 3), ("c", 1)):
        await broker.set_policy(name, ".*", {"max-length": limit})

    assert await kept(broker) == 3


@pytest.mark.parametrize(("pattern", "applies"), [("^ab", True), ("b", True), ("^b", False), (r"\.c$", True)])
async def test_the_pattern_is_searched_in_the_name(broker: AsyncBroker, pattern: str, applies: bool) -> None:
    await broker.declare_queue("ab.c")
    await broker.set_policy("p", pattern, {"max-length": 1})

    assert await kept(broker, "ab.c") == (1 if applies else 5)


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
async def test_it_applies_to_kinds_of_queues(broker: AsyncBroker, apply_to: Any, limited: list[str]) -> None:
    for kind in ("classic", "quorum"):
        await broker.declare_queue(kind, arguments={"x-queue-type": kind})
    await broker.set_policy("p", ".*", {"max-length": 1}, apply_to=apply_to)

    assert [kind for kind in ("classic", "quorum") if await kept(broker, kind) == 1] == limited


async def test_one_with_a_key_that_the_queues_type_has_not_is_not_about_it(broker: AsyncBroker) -> None:
    """RabbitMQ passes the whole policy over: a delivery limit for quorum queues drops nothing of a classic one."""
    await broker.declare_queue("q")
    await broker.set_policy("quorum", ".*", {"delivery-limit": 0, "max-length": 1}, priority=1)
    await broker.set_policy("rest", ".*", {"max-length": 3})

    assert await kept(broker) == 3
    await broker.publish(b"m", routing_key="q")
    for _ in range(3):
        delivery = await broker.get("q", auto_ack=False)
        assert delivery is not None
        await delivery.nack()


async def test_a_stream_is_not_deleted_by_a_policy_for_other_queues(broker: AsyncBroker) -> None:
    await broker.declare_queue("log", queue_type="stream")
    await broker.declare_queue("q")
    await broker.publish(b"m", routing_key="log")
    await broker.set_policy("p", ".*", {"expires": 100})

    await async_wait_until(lambda: gone(broker, "q"))
    assert [info.queue.name for info in await broker.queues()] == ["log"]


async def gone(broker: AsyncBroker, queue: str) -> bool:
    """Run the reaper; whether the queue is gone."""
    await broker.reap()
    return queue not in [info.queue.name for info in await broker.queues()]


# --- argument and policy


@pytest.mark.parametrize(("argument", "policy", "limit"), [(2, 4, 2), (4, 2, 2), (3, 3, 3)])
async def test_of_two_numbers_the_smaller_holds(broker: AsyncBroker, argument: int, policy: int, limit: int) -> None:
    await broker.declare_queue("q", max_length=argument)
    await broker.set_policy("p", ".*", {"max-length": policy})

    assert await kept(broker) == limit


async def test_an_argument_beats_the_policy(broker: AsyncBroker) -> None:
    for queue in ("dead", "letters"):
        await broker.declare_queue(queue)
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead", max_length=1)
    await broker.declare_queue("p", max_length=1)
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "letters", "overflow": "reject-publish"}
    await broker.set_policy("p", "^[pq]$", definition)

    await broker.publish(b"1", routing_key="q")
    with pytest.raises(PublishRefused):
        await broker.publish(b"2", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    await delivery.reject(requeue=False)

    await broker.publish(b"p", routing_key="p")
    other = await broker.get("p", auto_ack=False)
    assert other is not None
    await other.reject(requeue=False)

    assert [letter.body for letter in await async_drain(broker, "dead")] == [b"1"]
    assert [letter.body for letter in await async_drain(broker, "letters")] == [b"p"]


async def test_the_arguments_of_a_queue_stay_as_they_were_declared(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=5)
    await broker.set_policy("p", ".*", {"max-length": 2, "expires": 60_000})

    assert (await broker.declare_queue("q", max_length=5)).arguments == {"x-max-length": 5}
    with pytest.raises(PreconditionFailed):
        await broker.declare_queue("q", max_length=2)


# --- live


async def test_what_is_over_a_new_limit_goes_at_once(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    for number in range(5):
        await broker.publish(b"%d" % number, routing_key="q")

    await broker.set_policy("p", ".*", {"max-length": 2})

    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"3", b"4"]


async def test_a_policy_that_changes_or_goes_holds_no_longer(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_policy("p", ".*", {"max-length": 2})
    await broker.set_policy("p", ".*", {"max-length": 3})
    assert await kept(broker) == 3

    await broker.delete_policy("p")
    await broker.delete_policy("p")
    assert await kept(broker) == 5


async def test_messages_expire_by_a_policy(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_policy("p", ".*", {"message-ttl": 100})

    await broker.publish(b"", routing_key="q")

    async def gone() -> bool:
        await broker.reap()
        return [info.ready for info in await broker.queues()] == [0]

    await async_wait_until(gone)


async def test_a_new_ttl_is_for_new_messages_only(broker: AsyncBroker) -> None:
    """As in RabbitMQ: when a message expires is decided as it arrives."""
    for queue in ("q", "clock"):
        await broker.declare_queue(queue)
    await broker.publish(b"old", routing_key="q")
    await broker.set_policy("p", ".*", {"message-ttl": 50})
    await broker.publish_many([Message(b"new", routing_key=queue) for queue in ("q", "clock")])

    async def gone() -> bool:
        await broker.reap()
        return (await broker.declare_queue("clock", passive=True)).message_count == 0

    await async_wait_until(gone)
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"old"]


async def test_a_queue_expires_by_a_policy(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.set_policy("p", ".*", {"expires": 100})

    async def gone() -> bool:
        await broker.reap()
        return await broker.queues() == []

    await async_wait_until(gone)


async def test_a_consumer_that_is_running_keeps_what_a_new_policy_says(broker: AsyncBroker, connect: Connect) -> None:
    """A plain consumer reads natively; by a policy its queue becomes one whose messages expire and dead-letter."""
    other = await connect()
    await broker.declare_queue("dead")
    await broker.declare_queue("q")
    async with broker.consume("q", auto_ack=False, prefetch=1, ack_timeout=timedelta(seconds=60)) as consumer:
        await other.publish(b"1", routing_key="q")
        first = await consumer.next(timeout=5)
        assert first is not None
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
        await other.set_policy("p", "^q$", definition)

        await first.reject(requeue=False)
        await other.publish(b"2", routing_key="q")
        second = await consumer.next(timeout=5)
        assert second is not None
        await second.ack()

    async def arrived() -> bool:
        return [letter.body for letter in await async_drain(other, "dead")] == [b"1"]

    await async_wait_until(arrived)


# --- exchanges


async def test_an_exchange_gets_its_alternate_from_a_policy(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x")
    await broker.declare_exchange("rest", "fanout")
    await broker.declare_exchange("own", alternate_exchange="amq.fanout")
    await broker.declare_queue("q")
    await broker.bind("q", "rest")

    await broker.set_policy("p", "^(x|own|new)$", {"alternate-exchange": "rest"}, apply_to="exchanges")
    await broker.declare_exchange("new")

    assert [await broker.route(name, "k") for name in ("x", "own", "new")] == [["q"], [], ["q"]]
    assert (await broker.declare_exchange("x")).alternate_exchange is None, "its arguments stay as they are"

    await broker.delete_policy("p")
    assert [await broker.route(name, "k") for name in ("x", "own", "new")] == [[], [], []]


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
async def test_what_is_no_policy_is_refused_and_nothing_is_set(
    broker: AsyncBroker,
    name: Any,
    pattern: Any,
    definition: Any,
    options: Any,
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        await broker.set_policy(name, pattern, definition, **options)

    assert await broker.policies() == []


async def test_keys_that_tune_rabbitmqs_storage_are_kept_and_do_nothing(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    definition: Table = {"ha-mode": "exactly", "ha-params": 2, "queue-mode": "lazy"}
    policy = await broker.set_policy("ha", ".*", definition)

    assert await broker.policies() == [policy] == [Policy("ha", ".*", definition)]
    assert await kept(broker) == 5


async def test_policies_are_listed_by_name(broker: AsyncBroker) -> None:
    for name in ("b", "a", "ü"):
        await broker.set_policy(name, f"^{name}", {"expires": 60_000}, priority=-1, apply_to="queues")

    assert await broker.policies() == [
        Policy(name, f"^{name}", {"expires": 60_000}, -1, "queues") for name in ("a", "b", "ü")
    ]


# --- several at a time, and crashes


async def test_a_queue_that_is_declared_knows_policies_that_another_broker_set(
    broker: AsyncBroker, connect: Connect
) -> None:
    """Its patterns are matched by who declares: one that knows older policies is sent back to read them."""
    other = await connect()
    await broker.declare_queue("before")
    await other.declare_exchange("rest", "fanout")
    await other.bind("before", "rest")
    await other.set_policy("p", ".*", {"max-length": 2, "alternate-exchange": "rest"})

    await broker.declare_queue("q")
    await broker.declare_exchange("x")

    assert await kept(broker) == 2
    assert await broker.route("x", "k") == ["before"]


async def test_policies_that_change_while_they_are_written_out_are_written_anew(
    broker: AsyncBroker, ask: Bare, connect: Connect
) -> None:
    await broker.declare_queue("q")
    other = await connect()
    prefix = broker._link.keys.prefix
    seen: list[bytes] = []

    def change() -> None:
        seen.append(ask("HGET", prefix + b"vhost", "policies"))
        if len(seen) == 2:  # set, then read: what follows is worked out from what was read
            record = check(Policy("p", ".*", {"max-length": 4}))
            ask("HSET", prefix + b"policies", "p", record)
            ask("HINCRBY", prefix + b"vhost", "policies", 1)

    Faults(broker).during("policies", change, times=4)
    await broker.set_policy("p", ".*", {"max-length": 1})
    assert seen == [b"1", b"1", b"2", b"2"]

    assert await kept(other) == 4
    assert [policy.definition for policy in await other.policies()] == [{"max-length": 4}]


@pytest.mark.parametrize("healer", ["list", "declare", "set", "delete"])
async def test_a_policy_whose_setter_died_is_written_out_by_the_next(
    broker: AsyncBroker, connect: Connect, healer: str
) -> None:
    await broker.declare_queue("q")
    await broker._run(protocol.put(Policy("p", ".*", {"max-length": 2})))
    assert await kept(broker) == 5, "it is set, and nothing follows of it yet"

    other = await connect()
    if healer == "list":
        await other.policies()
    elif healer == "declare":
        await other.declare_queue("another")
    elif healer == "set":
        await other.set_policy("elsewhere", "^nothing$", {"expires": 60_000})
    else:
        await other.delete_policy("missing")

    assert await kept(broker) == 2


async def test_a_write_out_that_was_cut_short_is_done_by_the_next(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("q")
    Faults(broker).answer("apply", "ERR broken")
    with pytest.raises(Exception, match="broken"):
        await broker.set_policy("p", ".*", {"max-length": 2})
    assert await kept(broker) == 5

    assert [policy.name for policy in await (await connect()).policies()] == ["p"]
    assert await kept(broker) == 2


async def test_many_queues_are_written_out_page_by_page(broker: AsyncBroker) -> None:
    names = [f"q{number}" for number in range(protocol.PER_CALL * 2 + 1)]
    for name in names:
        await broker.declare_queue(name)
    await broker.set_policy("p", ".*", {"max-length": 1})

    assert [await kept(broker, name, sent=2) for name in (names[0], names[100], names[-1])] == [1, 1, 1]


async def test_policies_are_declared_again_with_all_else(ask: Bare, connect: Connect) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q")
    await broker.set_policy("p", ".*", {"max-length": 2})
    for key in ask.keys(broker._link.keys.prefix):
        ask("UNLINK", key)

    assert await broker.publish(b"", routing_key="q") == 1
    assert await kept(broker) == 2
    assert [policy.name for policy in await broker.policies()] == ["p"]


async def test_a_binding_between_does_not_keep_an_alternate_exchange_out(broker: AsyncBroker, url: str) -> None:
    await broker.declare_exchange("x", "topic")
    await broker.declare_queue("q")
    await broker.bind("q", "amq.fanout")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.bind("q", "x", "a")
            other.unbind("q", "x", "a")

    between = Faults(broker).during("inspect", meanwhile, 2)
    await broker.set_policy("rest", "^x$", {"alternate-exchange": "amq.fanout"})

    assert between.done == 2
    assert await broker.route("x", "else") == ["q"]
