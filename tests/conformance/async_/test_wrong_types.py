"""Arguments of a wrong type: InvalidArgument that names them, and nothing written; a text "false" is true in Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rexchange import AsyncBroker, Exchange, Hooks, Message, Queue
from rexchange.errors import InvalidArgument
from rexchange.keyspace import Keys
from tests.support.servers import Bare

SECONDS: list[Any] = ["1", -1, float("nan"), float("inf"), True, b"1", timedelta(seconds=-1), 1e12]
FLAGS: list[Any] = ["no", "false", 0, 1, None]


@pytest.fixture
async def full(broker: AsyncBroker) -> AsyncBroker:
    """Return a broker with a queue of one message, and an exchange of the queue's name."""
    await broker.declare_queue("q")
    await broker.declare_exchange("q", "topic")
    await broker.publish(b"kept", routing_key="q")
    return broker


async def refused(ask: Bare, keys: Keys, argument: str, attempt: Callable[[], Any]) -> str:
    """Run what must be refused, with nothing written; return the message."""
    before = ask.dump(keys.prefix)
    with pytest.raises(InvalidArgument) as caught:
        await attempt()
    assert ask.dump(keys.prefix) == before
    assert caught.value.argument == argument
    return str(caught.value)


# --- a value of the other kind


async def test_a_declared_value_of_the_other_kind_is_refused_everywhere(
    full: AsyncBroker, ask: Bare, keys: Keys
) -> None:
    exchange: Any = Exchange("q", "topic")
    queue: Any = Queue("q")
    for argument, attempt in (
        ("queue", lambda: full.delete_queue(exchange)),
        ("queue", lambda: full.purge(exchange)),
        ("queue", lambda: full.get(exchange)),
        ("exchange", lambda: full.delete_exchange(queue)),
        ("exchange", lambda: full.route(queue)),
        ("exchange", lambda: full.bindings(queue)),
        ("exchange", lambda: full.bind("q", queue)),
        ("exchange", lambda: full.unbind("q", queue)),
        ("exchange", lambda: full.publish(b"", exchange=queue, routing_key="q")),
    ):
        message = await refused(ask, keys, argument, attempt)
        assert "wanted" in message
    for wrong in (exchange, ["q", exchange]):
        with pytest.raises(InvalidArgument, match=r"queues? is Exchange\(.*: wanted a queue"):
            full.consume(wrong)
    assert await full.delete_queue(Queue("q")) == 1
    await full.delete_exchange(Exchange("q", "topic"))


# --- a Message says all itself


@pytest.mark.parametrize(
    "options",
    [
        {"exchange": "q"},
        {"exchange": Exchange("q", "topic")},
        {"routing_key": "q"},
        {"headers": {}},
        {"mandatory": True},
        {"content_type": "text/plain"},
    ],
)
async def test_a_message_and_its_parts_together_are_refused(
    full: AsyncBroker, ask: Bare, keys: Keys, options: dict[str, Any]
) -> None:
    (argument,) = options
    message = Message(b"new", routing_key="q")

    shown = await refused(ask, keys, argument, lambda: full.publish(message, **options))

    assert "Message(...)" in shown
    if argument != "mandatory":
        await refused(ask, keys, argument, lambda: full.call(message, **options))


async def test_a_type_checker_refuses_them_too(full: AsyncBroker) -> None:
    """The comments are the test: mypy complains of one that it does not need."""
    message = Message(b"new", routing_key="q")
    with pytest.raises(InvalidArgument):
        await full.publish(message, mandatory=True)  # type: ignore[call-overload]
    with pytest.raises(InvalidArgument):
        await full.call(message, routing_key="q")  # type: ignore[call-overload]
    assert await full.publish(message, timeout=timedelta(seconds=5)) == 1


# --- times


@pytest.mark.parametrize("wrong", SECONDS)
async def test_a_wrong_time_is_refused_everywhere(full: AsyncBroker, ask: Bare, keys: Keys, wrong: Any) -> None:
    for argument, attempt in (
        ("timeout", lambda: full.publish(b"", routing_key="q", timeout=wrong)),
        ("timeout", lambda: full.publish_many([Message(b"", routing_key="q")], timeout=wrong)),
        ("timeout", lambda: full.publish_many([], timeout=wrong)),
        ("timeout", lambda: full.call(b"", routing_key="q", timeout=wrong)),
        ("timeout", lambda: full.get("q", timeout=wrong)),
        ("wait", lambda: full.reap(wait=wrong)),
    ):
        await refused(ask, keys, argument, attempt)
    with pytest.raises(InvalidArgument, match="timeout"):
        full.consume("q", timeout=wrong)
    consumer = full.consume("q", auto_ack=False)
    with pytest.raises(InvalidArgument, match="timeout"):
        await consumer.next(timeout=wrong)


async def test_a_time_may_be_a_number_or_a_timedelta(full: AsyncBroker) -> None:
    for five in (5, 5.0, timedelta(seconds=5)):
        assert await full.publish(b"", routing_key="q", timeout=five) == 1
        assert await full.publish_many([Message(b"", routing_key="q")], timeout=five) == [1]
        assert await full.get("q", timeout=five) is not None
        assert await full.get("q", timeout=five) is not None
    await full.reap(wait=timedelta(0))


# --- flags


@pytest.mark.parametrize("wrong", FLAGS)
async def test_a_flag_that_is_no_bool_is_refused_everywhere(
    full: AsyncBroker, ask: Bare, keys: Keys, wrong: Any
) -> None:
    for flag in ("durable", "exclusive", "auto_delete", "passive"):
        await refused(ask, keys, flag, lambda flag=flag: full.declare_queue("new", **{flag: wrong}))  # type: ignore[misc]
    for flag in ("durable", "auto_delete", "internal", "passive"):
        await refused(ask, keys, flag, lambda flag=flag: full.declare_exchange("new", **{flag: wrong}))  # type: ignore[misc]
    for flag in ("if_unused", "if_empty"):
        await refused(ask, keys, flag, lambda flag=flag: full.delete_queue("q", **{flag: wrong}))  # type: ignore[misc]
    await refused(ask, keys, "if_unused", lambda: full.delete_exchange("q", if_unused=wrong))
    await refused(ask, keys, "mandatory", lambda: full.publish(b"", routing_key="q", mandatory=wrong))
    for flag in ("auto_ack", "renew", "exclusive"):
        options: Any = {flag: wrong}
        with pytest.raises(InvalidArgument, match=flag):
            full.consume("q", **options)


@pytest.mark.parametrize("wrong", FLAGS)
async def test_a_wrong_flag_settles_nothing(full: AsyncBroker, wrong: Any) -> None:
    async with full.consume("q", auto_ack=False, timeout=0) as consumer:
        delivery = await anext(consumer)
        attempts: list[Callable[[], Any]] = [
            lambda: delivery.ack(multiple=wrong),
            lambda: delivery.ack(wait=wrong),
            lambda: delivery.nack(requeue=wrong),
            lambda: delivery.reject(requeue=wrong),
            lambda: consumer.nack(delivery.delivery_tag, requeue=wrong),
            lambda: consumer.reject(delivery.delivery_tag, requeue=wrong),
            lambda: consumer.ack(delivery.delivery_tag, multiple=wrong),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidArgument):
                await attempt()
        await delivery.ack(wait=True)
    await full.publish(b"another", routing_key="q")
    gotten = await full.get("q", auto_ack=False)
    assert gotten is not None
    with pytest.raises(InvalidArgument):
        await gotten.ack(wait=wrong)
    await gotten.ack()


# --- the rest


@pytest.mark.parametrize("wrong", ["1", None, 1.0, True, b"1"])
async def test_a_tag_that_is_no_int_is_refused(full: AsyncBroker, wrong: Any) -> None:
    async with full.consume("q", auto_ack=False, timeout=0) as consumer:
        delivery = await anext(consumer)
        attempts: list[Callable[[], Any]] = [
            lambda: consumer.ack(wrong),
            lambda: consumer.nack(wrong),
            lambda: consumer.reject(wrong),
            lambda: consumer.extend(wrong),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidArgument) as caught:
                await attempt()
            assert caught.value.argument == "tag"
        await delivery.ack(wait=True)


@pytest.mark.parametrize("wrong", ["x", 1.5, 0, True, None])
async def test_a_size_of_batches_that_is_no_count_is_refused(full: AsyncBroker, wrong: Any) -> None:
    async with full.consume("q", auto_ack=False, timeout=0) as consumer:
        with pytest.raises(InvalidArgument, match="size"):
            async for _ in consumer.batches(wrong):
                pass
    assert (await full.declare_queue("q")).message_count == 1


@pytest.mark.parametrize(
    ("argument", "wrong"), [("arguments", "x"), ("arguments", [("x-priority", 1)]), ("on_stale", 5), ("tag", 5)]
)
async def test_a_wrong_option_of_consume_is_refused(full: AsyncBroker, argument: str, wrong: Any) -> None:
    options: Any = {argument: wrong}
    with pytest.raises(InvalidArgument) as caught:
        full.consume("q", **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(("argument", "wrong"), [("settings", "x"), ("settings", {}), ("hooks", 5), ("hooks", Hooks)])
def test_a_wrong_option_of_a_broker_is_refused(url: str, argument: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        AsyncBroker(url, **{argument: wrong})
    assert caught.value.argument == argument
