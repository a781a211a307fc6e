"""Queues and exchanges are changed while they hold messages: atomically, told as a difference."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Broker, Change, Queue
from rexchange.errors import AccessRefused, InvalidArgument, NotFound, PreconditionFailed, ResourceLocked
from rexchange.keyspace import Keys
from rexchange.testing import async_drain
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare

MINUTE = timedelta(minutes=1)


async def fill(broker: AsyncBroker, queue: str, count: int) -> None:
    for number in range(count):
        await broker.publish(b"%d" % number, routing_key=queue)


async def arguments(broker: AsyncBroker, queue: str) -> dict[str, Any]:
    return dict((await broker.declare_queue(queue, passive=True)).arguments)


# --- queues


async def test_an_update_tells_what_changed_and_keeps_the_messages(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", message_ttl=MINUTE, max_length=10, arguments={"x-own": 1})
    await broker.bind("q", "amq.topic", "a.#")
    await fill(broker, "q", 3)

    changed = await broker.update_queue(
        "q", message_ttl=2 * MINUTE, max_length=None, overflow="reject-publish", arguments={"x-own": "new"}
    )

    assert changed == [
        Change("x-max-length", 10, None),
        Change("x-message-ttl", 60_000, 120_000),
        Change("x-overflow", None, "reject-publish"),
        Change("x-own", 1, "new"),
    ]
    wanted = {"x-message-ttl": 120_000, "x-overflow": "reject-publish", "x-own": "new"}
    assert await arguments(broker, "q") == wanted
    assert await broker.route("amq.topic", "a.b") == ["q"]
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"0", b"1", b"2"]


async def test_nothing_to_change_is_no_change(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q", message_ttl=MINUTE, arguments={"x-own": b"raw"})
    record = ask("HGET", keys.queues, "q")

    assert await broker.update_queue("q") == []
    assert await broker.update_queue("q", message_ttl=MINUTE, expires=None, arguments={"x-own": "raw"}) == []
    assert await broker.update_queue("q", queue_type="classic", max_priority=None) == []

    assert ask("HGET", keys.queues, "q") == record


async def test_a_declare_asks_for_the_new_values_from_then_on(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("q", max_length=5)
    await broker.update_queue("q", max_length=7)
    other = await connect()

    assert (await other.declare_queue("q", max_length=7)).name == "q"
    with pytest.raises(PreconditionFailed, match="x-max-length=7, and this declare wants 5") as caught:
        await other.declare_queue("q", max_length=5)

    assert "or change it by broker.update_queue('q', max_length=...)" in str(caught.value)
    assert (caught.value.argument, caught.value.current, caught.value.wanted) == ("x-max-length", 7, 5)
    assert caught.value.changeable


async def test_what_cannot_change_is_not_pointed_to(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_priority=5)
    with pytest.raises(PreconditionFailed) as caught:
        await broker.declare_queue("q", max_priority=6)
    assert "update_queue" not in str(caught.value)
    assert not caught.value.changeable


async def test_a_lower_limit_drops_the_oldest_at_once(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    await fill(broker, "q", 250)

    await broker.update_queue("q", max_length=3)

    assert (await broker.declare_queue("q", passive=True)).message_count == 3
    assert (await broker.declare_queue("dead", passive=True)).message_count == 247
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"247", b"248", b"249"]


async def test_a_limit_of_bytes_counts_what_is_there(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    for size in (10, 20, 30):
        await broker.publish(b"x" * size, routing_key="q")

    await broker.update_queue("q", max_length_bytes=55)
    assert [len(delivery.body) for delivery in await async_drain(broker, "q")] == [20, 30]

    await broker.update_queue("q", max_length_bytes=None)
    await broker.publish(b"x" * 100, routing_key="q")
    assert (await broker.declare_queue("q", passive=True)).message_count == 1


async def test_a_new_ttl_is_for_messages_to_come(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await fill(broker, "q", 1)
    await broker.update_queue("q", message_ttl=timedelta(0))
    await fill(broker, "q", 1)
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"0"]


async def test_a_consumer_that_reads_natively_learns_of_it(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    await broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    async with broker.consume("q", auto_ack=False, prefetch=1, timeout=5) as consumer:
        await fill(broker, "q", 1)
        first = await anext(consumer)
        await broker.update_queue("q", message_ttl=timedelta(0))
        await broker.publish(b"expires", routing_key="q")
        await broker.update_queue("q", message_ttl=None)
        await broker.publish(b"stays", routing_key="q")
        await first.ack(wait=True)
        second = await anext(consumer)
        assert second.body == b"stays"
        await second.ack(wait=True)
    assert [delivery.body for delivery in await async_drain(broker, "dead")] == [b"expires"]


async def test_a_new_ack_timeout_is_for_consumers_that_come(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", ack_timeout=MINUTE)
    async with broker.consume("q", auto_ack=False):
        assert await broker.update_queue("q", ack_timeout=2 * MINUTE) == [Change("x-consumer-timeout", 60_000, 120_000)]
        assert [info.ack_timeout for info in await broker.consumers()] == [MINUTE]
    async with broker.consume("q", auto_ack=False):
        assert [info.ack_timeout for info in await broker.consumers()] == [2 * MINUTE]


async def test_the_policy_goes_on_to_hold(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", max_length=9)
    await broker.set_policy("few", "^q$", {"max-length": 2})
    await broker.update_queue("q", max_length=5)
    await fill(broker, "q", 4)
    assert (await broker.declare_queue("q", passive=True)).message_count == 2
    await broker.delete_policy("few")
    await fill(broker, "q", 9)
    assert (await broker.declare_queue("q", passive=True)).message_count == 5


async def test_a_policy_that_is_set_meanwhile_is_not_lost(broker: AsyncBroker, connect: Connect) -> None:
    await broker.declare_queue("q")
    other = await connect()
    await other.declare_queue("other")
    await broker.set_policy("few", "^q$", {"max-length": 2})
    await other.update_queue("q", delivery_limit=3)  # it knows of no policy yet
    await fill(broker, "q", 4)
    assert (await broker.declare_queue("q", passive=True)).message_count == 2


@pytest.mark.parametrize(
    ("options", "argument", "why"),
    [
        ({"max_priority": 9}, "x-max-priority", "what it holds is sorted by it"),
        ({"max_priority": None}, "x-max-priority", "what it holds is sorted by it"),
        ({"single_active_consumer": True}, "x-single-active-consumer", "its consumers came under the other rule"),
        ({"queue_type": "quorum"}, "x-queue-type", "what it holds is stored for that type"),
        ({"durable": False}, "durable", "AMQP gives it to it for its life"),
        ({"exclusive": True}, "exclusive", "it belongs to the session that declared it"),
        ({"auto_delete": True}, "auto_delete", "it was made to go, or to stay"),
    ],
)
async def test_what_cannot_change_says_why_and_what_to_do(
    broker: AsyncBroker, options: Any, argument: str, why: str
) -> None:
    await broker.declare_queue("q", max_priority=5)
    if argument == "x-queue-type":
        await broker.delete_queue("q")
        await broker.declare_queue("q")
    before = await arguments(broker, "q")
    with pytest.raises(PreconditionFailed) as caught:
        await broker.update_queue("q", max_length=5, **options)
    assert caught.value.argument == argument
    assert why in str(caught.value)
    assert "bind it as this one is, move its messages there, and delete this one" in str(caught.value)
    assert await arguments(broker, "q") == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"message_ttl": 5}, InvalidArgument, "message_ttl is 5: wanted a timedelta"),
        ({"mesage_ttl": MINUTE}, InvalidArgument, "option is 'mesage_ttl': wanted one of"),
        ({"arguments": [1]}, InvalidArgument, "arguments is"),
        ({"message_ttl": MINUTE, "arguments": {"x-message-ttl": 5}}, InvalidArgument, "the same as x-message-ttl"),
        ({"max_length": -1}, PreconditionFailed, "x-max-length is -1: give an int of at least 0"),
        ({"dead_letter_routing_key": "k"}, PreconditionFailed, "give x-dead-letter-exchange too"),
        ({"max_age": MINUTE}, PreconditionFailed, "none on a classic queue"),
    ],
)
async def test_bad_input_changes_nothing(broker: AsyncBroker, options: Any, error: type[Exception], words: str) -> None:
    await broker.declare_queue("q", max_length=4)
    with pytest.raises(error, match=words):
        await broker.update_queue("q", **{"expires": MINUTE, **options})
    assert await arguments(broker, "q") == {"x-max-length": 4}


async def test_what_is_missing_or_anothers(broker: AsyncBroker, connect: Connect) -> None:
    with pytest.raises(NotFound):
        await broker.update_queue("q", max_length=1)
    with pytest.raises(NotFound):
        await broker.update_exchange("x", alternate_exchange="y")
    with pytest.raises(InvalidArgument):
        await broker.update_exchange(Queue("q"), alternate_exchange="y")  # type: ignore[arg-type]
    mine = await broker.declare_queue("mine", exclusive=True)
    assert await broker.update_queue(mine, max_length=1) == [Change("x-max-length", None, 1)]
    with pytest.raises(ResourceLocked):
        await (await connect()).update_queue("mine", max_length=2)
    assert (await broker.declare_queue("mine", exclusive=True, max_length=1)).exclusive


async def test_a_stream_and_a_quorum_queue_change(broker: AsyncBroker) -> None:
    await broker.declare_queue("log", queue_type="stream", max_age=MINUTE)
    assert await broker.update_queue("log", max_age=2 * MINUTE) == [Change("x-max-age", "60s", "120s")]
    with pytest.raises(PreconditionFailed, match="none on a stream queue"):
        await broker.update_queue("log", message_ttl=MINUTE)
    await broker.declare_queue("quorum", queue_type="quorum")
    await broker.update_queue("quorum", delivery_limit=0)
    await fill(broker, "quorum", 1)
    delivery = await broker.get("quorum", auto_ack=False)
    assert delivery is not None
    await delivery.nack()
    assert (await broker.declare_queue("quorum", passive=True)).message_count == 0


# --- exchanges


async def test_an_alternate_exchange_comes_changes_and_goes(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "topic")
    for name in ("a", "b"):
        await broker.declare_exchange(name, "fanout")
        await broker.declare_queue(name)
        await broker.bind(name, name)
    await broker.declare_queue("q")
    await broker.bind("q", "x", "known.#")
    assert await broker.route("x", "other") == []

    assert await broker.update_exchange("x", alternate_exchange="a") == [Change("alternate-exchange", None, "a")]
    assert await broker.publish(b"1", exchange="x", routing_key="other") == 1
    assert await broker.update_exchange("x", alternate_exchange="b") == [Change("alternate-exchange", "a", "b")]
    assert await broker.publish(b"2", exchange="x", routing_key="other") == 1
    assert await broker.update_exchange("x") == []
    assert await broker.update_exchange("x", alternate_exchange=None) == [Change("alternate-exchange", "b", None)]
    assert await broker.publish(b"3", exchange="x", routing_key="other") == 0

    assert [info.ready for info in await broker.queues()] == [1, 1, 0]
    assert await broker.route("x", "known.key") == ["q"]


async def test_the_exchanges_declare_points_to_the_update(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", alternate_exchange="a")
    await broker.update_exchange("x", alternate_exchange="b")
    await broker.declare_exchange("x", alternate_exchange="b")
    with pytest.raises(PreconditionFailed, match=r"broker.update_exchange\('x', alternate_exchange=...\)"):
        await broker.declare_exchange("x", alternate_exchange="a")


async def test_an_exchange_keeps_what_its_policy_says(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x")
    await broker.set_policy("rest", "^x$", {"alternate-exchange": "amq.fanout"})
    await broker.declare_queue("q")
    await broker.bind("q", "amq.fanout")
    await broker.update_exchange("x", arguments={"note": 1})
    assert await broker.route("x", "k") == ["q"]
    await broker.update_exchange("x", alternate_exchange="missing")
    assert await broker.route("x", "k") == []
    await broker.update_exchange("x", alternate_exchange=None)
    assert await broker.route("x", "k") == ["q"]


async def test_how_much_an_exchange_remembers_changes(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "x-recent-history", arguments={"x-recent-history-length": 5})
    await broker.update_exchange("x", arguments={"x-recent-history-length": 1})
    for number in range(3):
        await broker.publish(b"%d" % number, exchange="x")
    await broker.declare_queue("q")
    await broker.bind("q", "x")
    assert [delivery.body for delivery in await async_drain(broker, "q")] == [b"2"]
    with pytest.raises(PreconditionFailed, match="give an int of at least 1"):
        await broker.update_exchange("x", arguments={"x-recent-history-length": 0})


async def test_what_of_an_exchange_cannot_change(broker: AsyncBroker) -> None:
    await broker.declare_exchange("x", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    with pytest.raises(PreconditionFailed, match="its bindings are stored for that type: declare another exchange"):
        await broker.update_exchange("x", arguments={"x-delayed-type": "topic"})
    with pytest.raises(AccessRefused):
        await broker.update_exchange("amq.topic", alternate_exchange="x")
    with pytest.raises(AccessRefused):
        await broker.update_exchange("", alternate_exchange="x")
    with pytest.raises(InvalidArgument):
        await broker.update_exchange("x", alternate_exchange="x" * 256)


# --- trouble


@pytest.mark.parametrize("times", [1, 3])
async def test_a_lost_reply_is_told_with_the_same_difference(broker: AsyncBroker, times: int) -> None:
    await broker.declare_queue("q", max_length=5)
    await broker.declare_exchange("x")
    faults = Faults(broker)
    cut = faults.cut("update", times)

    assert await broker.update_queue("q", max_length=7) == [Change("x-max-length", 5, 7)]
    faults.cut("update", times)
    assert await broker.update_exchange("x", alternate_exchange="y") == [Change("alternate-exchange", None, "y")]

    assert cut.done == times
    assert await arguments(broker, "q") == {"x-max-length": 7}


async def test_two_that_change_one_queue_at_once_lose_nothing(broker: AsyncBroker, url: str) -> None:
    await broker.declare_queue("q")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.update_queue("q", expires=MINUTE, max_length=5)

    between = Faults(broker).during("declare_queue", meanwhile)
    assert await broker.update_queue("q", max_length=3) == [Change("x-max-length", 5, 3)]

    assert between.done == 1
    assert await arguments(broker, "q") == {"x-max-length": 3, "x-expires": 60_000}


async def test_a_binding_between_does_not_keep_an_exchange_from_changing(broker: AsyncBroker, url: str) -> None:
    await broker.declare_exchange("x", "topic")
    await broker.declare_queue("q")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.bind("q", "x", "a.*")

    Faults(broker).during("declare_exchange", meanwhile)
    await broker.update_exchange("x", alternate_exchange="y")

    assert await broker.route("x", "a.b") == ["q"]
    (exchange,) = [each for each in await broker.exchanges() if each.name == "x"]
    assert exchange.alternate_exchange == "y"


async def test_a_queue_that_is_deleted_between_is_not_made_again(broker: AsyncBroker, url: str) -> None:
    await broker.declare_queue("q")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.delete_queue("q")

    Faults(broker).during("declare_queue", meanwhile)
    with pytest.raises(NotFound):
        await broker.update_queue("q", max_length=3)
    assert await broker.queues() == []


async def test_policies_that_change_between_are_known(broker: AsyncBroker, url: str) -> None:
    await broker.declare_queue("q")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.set_policy("few", "^q$", {"max-length": 1})

    Faults(broker).during("declare_queue", meanwhile)
    await broker.update_queue("q", expires=MINUTE)
    await fill(broker, "q", 3)
    assert (await broker.declare_queue("q", passive=True)).message_count == 1


async def test_what_was_updated_is_declared_again_as_it_is(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = await connect(redeclare=True)
    await broker.declare_queue("q", max_length=5)
    await broker.declare_exchange("x")
    await broker.update_queue("q", max_length=7)
    await broker.update_exchange("x", alternate_exchange="y")
    for key in ask.keys(keys.prefix):
        ask("UNLINK", key)
    await broker.publish(b"1", routing_key="q")
    assert await arguments(broker, "q") == {"x-max-length": 7}
    assert (await broker.declare_exchange("x", alternate_exchange="y")).alternate_exchange == "y"
