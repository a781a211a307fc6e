"""Transactions: Redis commands, publishes and acks as one step; what is refused leaves nothing behind."""

# ruff: noqa: PT012 - a transaction raises at the end of its block

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, AsyncDelivery, Hooks, Message
from rexchange.errors import (
    AlreadySettled,
    CommandFailed,
    ContentTooLarge,
    InvalidArgument,
    NotFound,
    NotSupported,
    PublishRefused,
    RexchangeError,
    StaleDelivery,
    TransactionError,
    Unroutable,
)
from rexchange.keyspace import Keys
from rexchange.testing import async_messages, async_wait_until
from tests.conformance.async_.support import Connect
from tests.support.faults import reap
from tests.support.keys import Cached
from tests.support.servers import Bare


@pytest.fixture
async def job(broker: AsyncBroker) -> AsyncDelivery:
    """Return a delivery of the queue `work`, and make the queue `events`."""
    for name in ("work", "events"):
        await broker.declare_queue(name)
    await broker.publish(b"job", routing_key="work")
    found = await broker.get("work", auto_ack=False)
    assert found is not None
    return found


async def bodies(broker: AsyncBroker, queue: str) -> list[bytes]:
    """Return what is ready, in order."""
    return [message.body for message in await async_messages(broker, queue)]


async def counts(broker: AsyncBroker, queue: str) -> tuple[int, int]:
    """Return how many are ready and unacked."""
    (info,) = [each for each in await broker.queues() if each.name == queue]
    return info.ready, info.unacked


# --- all of it


async def test_a_message_for_later_and_one_that_came_before(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    minute, key = timedelta(minutes=1), cached("price")
    once: Any = {"dedup_key": "k", "dedup_window": minute, "routing_key": "events"}
    async with broker.transaction() as tx:
        later = tx.publish(b"later", routing_key="events", delay=minute)
        first = tx.publish(b"first", **once)
    async with broker.transaction() as tx:
        tx.redis.set(key, "1")
        again = tx.publish(Message(b"again", **once))
        tx.ack(job)

    (waiting,) = await broker.scheduled()
    assert (later.value, later.value.schedule_id) == (0, waiting.id)
    assert (first.value, first.value.duplicate) == (1, False)
    assert (again.value, again.value.duplicate, ask("GET", key)) == (1, True, b"1")
    assert await bodies(broker, "events") == [b"first"]
    with pytest.raises(InvalidArgument):
        async with broker.transaction() as tx:
            tx.publish(b"", routing_key="events", delay=-minute)


async def test_a_vhost_that_is_full_refuses_all(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    key = cached("price")
    await broker.set_vhost_limit(1)
    with pytest.raises(PublishRefused) as caught:
        async with broker.transaction() as tx:
            tx.redis.set(key, "1")
            tx.publish(b"1", routing_key="events")
            tx.ack(job)

    assert (caught.value.limit, ask("GET", key)) == ("vhost", None)
    await job.ack(wait=True)


async def test_a_value_its_event_and_the_ack_happen_together(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    key = cached("price")
    async with broker.transaction() as tx:
        was_set = tx.redis.set(key, "9.90", ex=60)
        price = tx.redis.get(key)
        reached = tx.publish(b"price", routing_key="events", headers={"n": 1})
        tx.ack(job)
        assert ask("GET", key) is None
        assert await counts(broker, "events") == (0, 0)
        assert await counts(broker, "work") == (0, 1)

    assert (was_set.value, price.value, reached.value) == (True, b"9.90", 1)
    assert (tx.results, tx.published) == ([True, b"9.90"], [1])
    assert 0 < ask("TTL", key) <= 60
    assert await bodies(broker, "events") == [b"price"]
    assert await counts(broker, "work") == (0, 0)
    with pytest.raises(AlreadySettled):
        await job.ack()


async def test_a_block_that_raises_sends_nothing(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    key = cached("k")
    with pytest.raises(KeyError):
        async with broker.transaction() as tx:
            value = tx.redis.set(key, 1)
            tx.publish(b"m", routing_key="events")
            tx.ack(job)
            raise KeyError("mine")

    assert ask("GET", key) is None
    assert await bodies(broker, "events") == []
    with pytest.raises(TransactionError, match="not done"):
        _ = value.value
    with pytest.raises(TransactionError, match="not done"):
        _ = tx.results
    await job.ack(wait=True)


async def test_an_empty_one_does_nothing(broker: AsyncBroker, keys: Keys, ask: Bare) -> None:
    async with broker.transaction() as tx:
        pass
    assert (tx.results, tx.published) == ([], [])
    assert ask("HLEN", keys.lanes) == 0


async def test_each_part_does_without_the_others(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    key = cached("k")
    async with broker.transaction() as tx:
        tx.redis.incr(key)
    async with broker.transaction() as tx:
        tx.publish(b"m", routing_key="events")
    async with broker.transaction() as tx:
        tx.ack(job)
    assert ask("GET", key) == b"1"
    assert await bodies(broker, "events") == [b"m"]
    assert await counts(broker, "work") == (0, 0)


async def test_messages_are_routed_and_counted_as_publish_does_it(broker: AsyncBroker) -> None:
    await broker.declare_exchange("topics", "topic")
    for name, binding in (("all", "#"), ("some", "a.*")):
        await broker.declare_queue(name)
        await broker.bind(name, "topics", binding)
    async with broker.transaction() as tx:
        tx.publish(Message(b"1", exchange="topics", routing_key="a.b"))
        tx.publish(b"2", exchange="topics", routing_key="c")
        tx.publish(b"3", exchange="", routing_key="nowhere")
    assert tx.published == [2, 1, 0]
    assert await bodies(broker, "all") == [b"1", b"2"]
    assert await bodies(broker, "some") == [b"1"]
    assert broker.counters.published == 3


@pytest.mark.parametrize(
    "arguments", [{}, {"x-max-priority": 3}, {"x-message-ttl": 60000}, {"x-queue-type": "stream"}, {"x-max-length": 9}]
)
async def test_queues_of_every_kind_take_its_messages(broker: AsyncBroker, arguments: dict[str, Any]) -> None:
    await broker.declare_queue("special", durable=True, arguments=arguments)
    offset = "first" if "x-queue-type" in arguments else None
    async with broker.consume("special", auto_ack=False, timeout=5, offset=offset) as consumer:
        async with broker.transaction() as tx:
            tx.publish(b"low", routing_key="special", priority=1)
            tx.publish(b"high", routing_key="special", priority=2)
        first, second = await anext(consumer), await anext(consumer)
        assert {first.body, second.body} == {b"low", b"high"}
        await first.ack()
        await second.ack()


async def test_a_waiting_consumer_is_woken(broker: AsyncBroker) -> None:
    await broker.declare_queue("q", arguments={"x-max-priority": 3})
    async with broker.consume("q", timeout=5) as consumer:
        async with broker.transaction() as tx:
            tx.publish(b"1", routing_key="q")
        assert (await anext(consumer)).body == b"1"


async def test_publishes_and_transactions_take_turns_on_one_lane(broker: AsyncBroker, cached: Cached) -> None:
    await broker.declare_queue("events")
    key = cached("n")
    for number in range(5):
        await broker.publish(b"p%d" % number, routing_key="events")
        async with broker.transaction() as tx:
            tx.redis.incr(key)
            tx.publish(b"t%d" % number, routing_key="events")
        assert tx.results == [number + 1]
    assert await bodies(broker, "events") == [b"%s%d" % (kind, n) for n in range(5) for kind in (b"p", b"t")]


async def test_mandatory_direct_reply_to_and_hooks_are_as_in_publish(connect: Connect) -> None:
    told: list[tuple[Any, ...]] = []

    class Watcher(Hooks):
        def before_publish(self, messages: Any) -> None:
            told.append(("before", [message.body for message in messages]))

        def after_publish(self, messages: Any, counts: Any, error: Any) -> None:
            told.append(("after", len(messages), counts, type(error)))

        def before_settle(self, consumer_tag: str, tags: Any, kind: str) -> None:
            told.append(("before_settle", consumer_tag, list(tags), kind))

        def after_settle(self, consumer_tag: str, tags: Any, kind: str, stale: Any) -> None:
            told.append(("after_settle", consumer_tag, list(tags), kind, list(stale)))

        def after_deliver(self, delivery: Any) -> None:
            told.append(("after_deliver", delivery.body))

    broker = await connect(hooks=Watcher())
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    told.clear()
    async with broker.transaction() as tx:
        tx.publish(b"2", routing_key="q")
        tx.ack(delivery)
    assert told == [
        ("before", [b"2"]),
        ("before_settle", "amq.get.q", [1], "ack"),
        ("after", 1, [1], type(None)),
        ("after_settle", "amq.get.q", [1], "ack", []),
        ("after_deliver", b"1"),
    ]
    told.clear()
    with pytest.raises(Unroutable):
        async with broker.transaction() as tx:
            tx.publish(b"3", routing_key="nowhere", mandatory=True)
    assert told == [("before", [b"3"]), ("after", 1, None, Unroutable)]


# --- verdicts


async def test_ack_nack_and_reject_of_several_consumers(broker: AsyncBroker) -> None:
    await broker.declare_queue("dead")
    for name in ("a", "b"):
        await broker.declare_queue(name, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
        await broker.publish_many([Message(b"%s%d" % (name.encode(), n), routing_key=name) for n in range(3)])
    async with (
        broker.consume("a", auto_ack=False, timeout=5, prefetch=3) as one,
        broker.consume("b", auto_ack=False, timeout=5, prefetch=3) as two,
    ):
        first = [await anext(one) for _ in range(3)]
        second = [await anext(two) for _ in range(3)]
        async with broker.transaction() as tx:
            for acked, nacked, rejected in (first, second):
                tx.ack(acked)
                tx.nack(nacked)
                tx.reject(rejected)
        assert sorted(await bodies(broker, "dead")) == [b"a2", b"b2"]
        again = await anext(one)
        assert (again.body, again.redelivered) == (b"a1", True)
        async with broker.transaction() as tx:
            tx.nack(again, requeue=False)
        assert sorted(await bodies(broker, "dead")) == [b"a1", b"a2", b"b2"]
    assert broker.counters.settled == 7
    assert await bodies(broker, "b") == [b"b1"]


async def test_an_ack_makes_room_in_the_prefetch(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % n, routing_key="q") for n in range(3)])
    async with broker.consume("q", auto_ack=False, timeout=5, prefetch=1) as consumer:
        for number in range(3):
            delivery = await anext(consumer)
            assert delivery.body == b"%d" % number
            async with broker.transaction() as tx:
                tx.ack(delivery)
    assert await counts(broker, "q") == (0, 0)


async def test_a_stale_delivery_undoes_all(
    broker: AsyncBroker, job: AsyncDelivery, url: str, ask: Bare, cached: Cached
) -> None:
    reap(url, broker)
    key = cached("k")
    with pytest.raises(StaleDelivery) as caught:
        async with broker.transaction() as tx:
            tx.redis.set(key, 1)
            tx.publish(b"m", routing_key="events")
            tx.ack(job)
    assert (caught.value.delivery_tag, caught.value.queue) == (job.delivery_tag, "work")
    assert ask("GET", key) is None
    assert await bodies(broker, "events") == []
    assert await counts(broker, "work") == (1, 0)
    assert broker.counters.stale == 1
    with pytest.raises(StaleDelivery):
        await job.ack()


async def test_an_ack_in_a_queue_that_was_deleted_undoes_all(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    key = cached("k")
    await broker.delete_queue("work")
    await broker.declare_queue("work")
    with pytest.raises(NotFound, match="deleted since"):
        async with broker.transaction() as tx:
            tx.redis.set(key, 1)
            tx.ack(job)
    assert ask("GET", key) is None


async def test_deliveries_that_it_can_not_settle(broker: AsyncBroker, job: AsyncDelivery, connect: Connect) -> None:
    wrong: Any = b"job"
    other = await connect()
    await other.publish(b"theirs", routing_key="events")
    theirs = await other.get("events", auto_ack=False)
    assert theirs is not None
    await broker.declare_queue("log", durable=True, arguments={"x-queue-type": "stream"})
    await broker.publish_many([Message(b"1", routing_key="log"), Message(b"2", routing_key="work")])
    done = await broker.get("work")
    assert done is not None
    async with broker.consume("log", auto_ack=False, offset="first", timeout=5) as consumer:
        entry = await anext(consumer)
        with pytest.raises(TransactionError, match="not begun"):
            broker.transaction().ack(job)
        async with broker.transaction() as tx:
            with pytest.raises(InvalidArgument, match="delivery"):
                tx.ack(wrong)
            with pytest.raises(InvalidArgument, match="Broker of the transaction"):
                tx.ack(theirs)
            with pytest.raises(NotSupported, match="stream"):
                tx.ack(entry)
            with pytest.raises(AlreadySettled, match="auto_ack"):
                tx.ack(done)
            tx.ack(job)
            with pytest.raises(AlreadySettled, match="in this transaction"):
                tx.reject(job)
    assert await counts(broker, "work") == (0, 0)
    await theirs.ack()


async def test_a_delivery_of_another_vhost_is_refused(broker: AsyncBroker, job: AsyncDelivery, vhost: str) -> None:
    async with broker.on_vhost(f"{vhost}-2") as other:
        with pytest.raises(InvalidArgument, match=f"{vhost}-2"):
            async with other.transaction() as tx:
                tx.ack(job)
    await broker.delete_vhost(f"{vhost}-2")
    await job.ack()


async def test_a_delivery_that_was_acked_meanwhile_undoes_all(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    key = cached("k")
    with pytest.raises(AlreadySettled):
        async with broker.transaction() as tx:
            tx.redis.set(key, 1)
            tx.ack(job)
            await job.ack()
    assert ask("GET", key) is None


# --- what fails


async def test_a_command_that_fails_stops_all_but_what_was_written(
    broker: AsyncBroker, job: AsyncDelivery, ask: Bare, cached: Cached
) -> None:
    text, number, last = cached("text"), cached("number"), cached("last")
    ask("SET", text, "words")
    with pytest.raises(CommandFailed) as caught:
        async with broker.transaction() as tx:
            tx.redis.get(text)
            tx.redis.incr(number)
            failing = tx.redis.lpush(text, "x")
            tx.redis.set(last, 1)
            tx.publish(b"m", routing_key="events")
            tx.ack(job)
    error = caught.value
    assert error.index == 2
    assert error.command == f"LPUSH {text!r} 'x'"
    assert error.written == [f"INCRBY {number!r} '1'"]
    assert "WRONGTYPE" in error.reason
    assert all(part in str(error) for part in (error.command, error.reason, error.written[0], "nothing published"))
    assert ask("GET", number) == b"1"
    assert ask("GET", last) is None
    assert await bodies(broker, "events") == []
    assert await counts(broker, "work") == (0, 1)
    with pytest.raises(TransactionError):
        _ = failing.value
    async with broker.transaction() as tx:
        tx.ack(job)
    assert await counts(broker, "work") == (0, 0)


async def test_what_had_not_written_is_not_named(broker: AsyncBroker, ask: Bare, cached: Cached) -> None:
    key = cached("text")
    ask("SET", key, "words")
    with pytest.raises(CommandFailed, match="nothing written before it") as caught:
        async with broker.transaction() as tx:
            tx.redis.get(key)
            tx.redis.execute_command("INCR", key)
    assert (caught.value.index, caught.value.written) == (1, [])


@pytest.mark.parametrize("command", [("NOSUCHCOMMAND", "x"), ("GET",), ("SET", "a", "b", "c", "d")])
async def test_a_command_that_the_server_does_not_take(broker: AsyncBroker, command: tuple[str, ...]) -> None:
    with pytest.raises(CommandFailed, match=command[0]):
        async with broker.transaction() as tx:
            tx.redis.execute_command(*command)


async def refused(
    broker: AsyncBroker, error: type[RexchangeError], key: str, ask: Bare, *messages: Message
) -> RexchangeError:
    """Send a transaction that must be refused with nothing done; return the error."""
    with pytest.raises(error) as caught:
        async with broker.transaction() as tx:
            tx.redis.set(key, 1)
            for message in messages:
                tx.publish(message)
    assert ask("GET", key) is None
    return caught.value


async def test_a_message_that_is_refused_undoes_all(broker: AsyncBroker, ask: Bare, cached: Cached) -> None:
    key = cached("k")
    await broker.declare_queue("q")
    good = Message(b"good", routing_key="q")
    error = await refused(broker, Unroutable, key, ask, good, Message(b"x", routing_key="none", mandatory=True))
    assert isinstance(error, Unroutable)
    assert error.messages == [(1, "", "none")]
    await refused(broker, NotFound, key, ask, good, Message(b"x", exchange="none"))
    await refused(broker, InvalidArgument, key, ask, good, Message(b"x", routing_key="q", priority=-1))
    assert await bodies(broker, "q") == []


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
@pytest.mark.parametrize("limit", [{"x-max-length": 2}, {"x-max-length-bytes": 20}])
async def test_a_queue_that_would_be_full_refuses_all(
    broker: AsyncBroker, ask: Bare, cached: Cached, overflow: str, limit: dict[str, int]
) -> None:
    key = cached("k")
    await broker.declare_queue("dead")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    await broker.declare_queue("full", arguments={"x-overflow": overflow, **limit, **dead})
    await broker.declare_queue("other")
    for name in ("full", "other"):
        await broker.bind(name, "amq.fanout")
    await broker.publish(b"0123456789", routing_key="full")
    message = Message(b"0123456789", exchange="amq.fanout")
    error = await refused(broker, PublishRefused, key, ask, message, message)
    assert isinstance(error, PublishRefused)
    assert (error.refused, error.counts) == ([(1, "full")], [0, 0])
    assert await bodies(broker, "other") == []
    assert await bodies(broker, "dead") == []
    async with broker.transaction() as tx:
        tx.publish(message)
    assert tx.published == [2]
    assert await bodies(broker, "full") == [b"0123456789"] * 2


@pytest.mark.damages_keys
async def test_a_queue_that_is_broken_refuses_all(broker: AsyncBroker, ask: Bare, keys: Keys, cached: Cached) -> None:
    key = cached("k")
    await broker.declare_queue("q")
    ask("UNLINK", keys.stream(b"q"))
    with pytest.raises(RexchangeError, match="its stream is gone"):
        async with broker.transaction() as tx:
            tx.redis.set(key, 1)
            tx.publish(b"m", routing_key="q")
    assert ask("GET", key) is None


# --- what is not taken


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("blpop", "k", 1), "waits"),
        (("XREAD", "COUNT", 1, "block", 0, "STREAMS", "k", "0"), "waits"),
        (("EVAL", "return 1", 0), "script"),
        (("FCALL", "f", 0), "script"),
        (("SCRIPT LOAD", "x"), "script"),
        (("flushall",), "queues"),
        (("MULTI",), "one step"),
        (("SUBSCRIBE", "c"), "connection"),
        (("SELECT", 1), "database"),
        (("CONFIG SET", "maxmemory", 1), "server"),
        (("DEBUG", "SLEEP", 1), "server"),
    ],
)
async def test_commands_that_have_no_place_in_a_step(broker: AsyncBroker, command: tuple[Any, ...], why: str) -> None:
    async with broker.transaction() as tx:
        with pytest.raises(InvalidArgument, match=why) as caught:
            tx.redis.execute_command(*command)
        assert command[0].upper().split()[0] in str(caught.value)
    assert tx.results == []


async def test_keys_of_ours_are_refused(broker: AsyncBroker, keys: Keys) -> None:
    await broker.declare_queue("q")
    ours: list[Any] = [keys.queues, keys.queues.decode(), bytearray(keys.queues), "rx:{other}:queues"]
    async with broker.transaction() as tx:
        for key in ours:
            with pytest.raises(InvalidArgument, match="no key of rexchange"):
                tx.redis.delete(key)
            with pytest.raises(InvalidArgument, match="no key of rexchange"):
                tx.redis.rename("mine", key)
        tx.redis.exists("it is about rx:{this}")
    assert tx.results == [0]
    assert await counts(broker, "q") == (0, 0)


async def test_arguments_that_redis_py_or_we_do_not_take(broker: AsyncBroker) -> None:
    wrong: list[Any] = [None, True, object(), ["list"]]
    async with broker.transaction() as tx:
        for value in wrong:
            with pytest.raises(InvalidArgument, match="SET"):
                tx.redis.set("k", value)
        for args in ((), ("",), (5,), (" ",)):
            with pytest.raises(InvalidArgument, match="command"):
                tx.redis.execute_command(*args)
        with pytest.raises(InvalidArgument, match="zadd"):
            tx.redis.zadd("k", {})
        with pytest.raises(TypeError):
            tx.redis.set("k")
        for name in ("scan_iter", "hscan_iter", "register_script"):
            with pytest.raises(InvalidArgument, match=name):
                getattr(tx.redis, name)("k")
        with pytest.raises(AttributeError):
            tx.redis.pipeline()
    assert tx.results == []


async def test_too_much_is_refused_as_it_is_recorded(connect: Connect, cached: Cached) -> None:
    broker = await connect(max_call=4000, max_body=1000, max_batch=2)
    key = cached("k")
    async with broker.transaction() as tx:
        tx.publish(b"1", routing_key="none")
        with pytest.raises(ContentTooLarge, match="body"):
            tx.publish(b"x" * 1001, routing_key="none")
        tx.publish(b"2", routing_key="none")
        with pytest.raises(ContentTooLarge, match="messages"):
            tx.publish(b"3", routing_key="none")
        with pytest.raises(ContentTooLarge, match="bytes"):
            tx.redis.set(key, b"x" * 4000)
        with pytest.raises(InvalidArgument, match="7000"):
            tx.redis.delete(*["k"] * 7000)
        for _ in range(500):
            tx.redis.exists("k")
    assert tx.results == [0] * 500


async def test_the_most_that_one_takes(broker: AsyncBroker, cached: Cached) -> None:
    key = cached("k")
    async with broker.transaction() as tx:
        for _ in range(999):
            tx.redis.incr(key)
        tx.redis.delete(*["none"] * 6999)
        with pytest.raises(ContentTooLarge, match="Redis commands"):
            tx.redis.incr(key)
    assert tx.results == [*range(1, 1000), 0]


# --- its life


async def test_it_is_used_once_and_in_its_block(broker: AsyncBroker) -> None:
    made = broker.transaction()
    with pytest.raises(TransactionError, match="not begun"):
        made.redis.get("k")
    with pytest.raises(TransactionError, match="no results"):
        _ = made.results
    async with made as tx:
        value = tx.redis.get("k")
        with pytest.raises(TransactionError, match="block"):
            _ = value.value
        with pytest.raises(TransactionError, match="goes on"):
            _ = tx.published
        with pytest.raises(TransactionError, match="used before"):
            async with made:
                pass
    assert value.value is None
    for attempt in (lambda: made.redis.get("k"), lambda: made.publish(b"m"), lambda: value and 1, lambda: list(value)):
        with pytest.raises(TransactionError):
            attempt()
    with pytest.raises(TransactionError, match="used before"):
        async with made:
            pass
    assert "done" in repr(made)
    assert "None" in repr(value)


async def test_wrong_options(broker: AsyncBroker) -> None:
    wrong: Any = "soon"
    with pytest.raises(InvalidArgument, match="timeout"):
        broker.transaction(timeout=wrong)
    async with broker.transaction(timeout=5) as tx:
        with pytest.raises(InvalidArgument, match="routing_key"):
            tx.publish(Message(b"m"), routing_key="q")  # type: ignore[call-overload]
        with pytest.raises(InvalidArgument, match="body"):
            tx.publish("text")  # type: ignore[call-overload]


async def test_a_hook_that_raises_stops_it(connect: Connect, ask: Bare, cached: Cached) -> None:
    class Refusing(Hooks):
        def before_settle(self, consumer_tag: str, tags: Any, kind: str) -> None:  # noqa: ARG002 - a hook's
            raise RuntimeError("not now")

    broker = await connect(hooks=Refusing())
    await broker.declare_queue("q")
    await broker.publish(b"1", routing_key="q")
    delivery = await broker.get("q", auto_ack=False)
    assert delivery is not None
    key = cached("k")
    with pytest.raises(RuntimeError):
        async with broker.transaction() as tx:
            tx.redis.set(key, 1)
            tx.ack(delivery)
    assert ask("GET", key) is None
    assert await counts(broker, "q") == (0, 1)


async def test_a_consumer_that_reconnects_meanwhile_keeps_what_is_acked(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish_many([Message(b"%d" % n, routing_key="q") for n in range(2)])
    async with broker.consume("q", auto_ack=False, timeout=5, prefetch=1) as consumer:
        first = await anext(consumer)
        await consumer._holder.attach()
        async with broker.transaction() as tx:
            tx.ack(first)
        assert (await anext(consumer)).body == b"1"
    await async_wait_until(lambda: broker.counters.settled == 1)
