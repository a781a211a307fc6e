"""Bad input: each a typed error in plain words, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rexchange import AsyncBroker, Exchange, Message, Queue
from rexchange.errors import InvalidArgument, NotFound, PreconditionFailed, RexchangeError
from rexchange.keyspace import Keys
from tests.support.servers import Bare

LONG = "x" * 256
FIVE: Any = 5
NAMES: list[Any] = [LONG, "ü" * 128, "nul\0", "line\n", "line\r", "\ud800", None, 5, b"bytes"]


async def refused(ask: Bare, keys: Keys, attempt: Callable[[], Any], error: type[RexchangeError]) -> str:
    """Run what must be refused with nothing written; return the message."""
    before = ask.dump(keys.prefix)
    with pytest.raises(error) as caught:
        await attempt()
    assert ask.dump(keys.prefix) == before
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
async def test_a_wrong_name_is_refused_everywhere(broker: AsyncBroker, ask: Bare, keys: Keys, name: Any) -> None:
    await broker.declare_queue("q")

    for attempt in (
        lambda: broker.declare_exchange(name),
        lambda: broker.declare_exchange("x", alternate_exchange=name or FIVE),
        lambda: broker.declare_queue(name),
        lambda: broker.declare_queue(name, passive=True),
        lambda: broker.declare_exchange(name, passive=True),
        lambda: broker.delete_exchange(name),
        lambda: broker.delete_queue(name),
        lambda: broker.bind(name, "amq.direct"),
        lambda: broker.bind("q", name),
        lambda: broker.bind(Exchange(name, "direct"), "amq.direct"),
        lambda: broker.unbind(Queue(name), "amq.direct"),
        lambda: broker.purge(name),
        lambda: broker.get(name),
        lambda: broker.route(name),
    ):
        await refused(ask, keys, attempt, InvalidArgument)
    with pytest.raises(InvalidArgument):
        broker.consume([name])


@pytest.mark.parametrize("key", [LONG, "\ud800", None, 5, b"bytes"])
async def test_a_wrong_key_is_refused_everywhere(broker: AsyncBroker, ask: Bare, keys: Keys, key: Any) -> None:
    await broker.declare_queue("q")

    for attempt in (
        lambda: broker.bind("q", "amq.topic", key),
        lambda: broker.unbind("q", "amq.topic", key),
        lambda: broker.publish(b"", exchange="amq.topic", routing_key=key),
        lambda: broker.route("amq.topic", key),
    ):
        await refused(ask, keys, attempt, InvalidArgument)


@pytest.mark.parametrize("exchange", [LONG, "\ud800", None, 5, b"bytes", ["x"]])
async def test_publishing_to_a_wrong_name_is_refused(broker: AsyncBroker, ask: Bare, keys: Keys, exchange: Any) -> None:
    await refused(ask, keys, lambda: broker.publish(b"", exchange=exchange), InvalidArgument)


@pytest.mark.parametrize("body", ["text", None, 5, ["bytes"], {"a": 1}])
async def test_a_body_that_is_not_bytes_is_refused(broker: AsyncBroker, ask: Bare, keys: Keys, body: Any) -> None:
    await broker.declare_queue("q")

    message = await refused(ask, keys, lambda: broker.publish(body, routing_key="q"), InvalidArgument)
    assert "bytes" in message
    group = [Message(b"good", routing_key="q"), Message(body, routing_key="q")]
    await refused(ask, keys, lambda: broker.publish_many(group), InvalidArgument)


@pytest.mark.parametrize("arguments", [{"a": object()}, {1: 1}, {"a": 1 << 64}, {LONG: 1}, "text", [("a", 1)]])
async def test_wrong_arguments_are_refused_everywhere(
    broker: AsyncBroker, ask: Bare, keys: Keys, arguments: Any
) -> None:
    await broker.declare_queue("q")

    for attempt in (
        lambda: broker.declare_exchange("x", arguments=arguments),
        lambda: broker.declare_queue("new", arguments=arguments),
        lambda: broker.bind("q", "amq.topic", "", arguments),
        lambda: broker.unbind("q", "amq.topic", "", arguments),
        lambda: broker.publish(b"", routing_key="q", headers=arguments),
        lambda: broker.route("amq.headers", "", arguments),
    ):
        await refused(ask, keys, attempt, InvalidArgument)


@pytest.mark.parametrize("type_name", [None, 5, b"topic"])
async def test_an_exchange_type_that_is_no_text_is_refused(
    broker: AsyncBroker, ask: Bare, keys: Keys, type_name: Any
) -> None:
    await refused(ask, keys, lambda: broker.declare_exchange("x", type_name), InvalidArgument)


async def test_an_unknown_exchange_type_is_refused(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    message = await refused(ask, keys, lambda: broker.declare_exchange("x", "tpoic"), PreconditionFailed)

    assert "one of direct, fanout, topic, headers, x-" in message


async def test_a_wrong_x_match_is_refused(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q")

    message = await refused(
        ask, keys, lambda: broker.bind("q", "amq.headers", "", {"x-match": "some"}), PreconditionFailed
    )

    assert "all-with-x" in message


@pytest.mark.parametrize(
    "options",
    [
        {"session_timeout": 5, "heartbeat": 4},
        {"ack_timeout": 1, "settle_delay": 2},
        {"max_body": 100, "max_call": 50},
        {"ack_timeout": 0},
        {"prefetch": -1},
        {"max_batch": 1001},
        {"no_such_setting": 1},
        {"block": "soon"},
    ],
)
def test_settings_that_contradict_or_make_no_sense_are_refused(url: str, options: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        AsyncBroker(url, **options)

    assert caught.value.argument in options


def test_settings_and_single_options_together_are_refused(url: str, broker: AsyncBroker) -> None:
    with pytest.raises(InvalidArgument):
        AsyncBroker(url, settings=broker.settings, prefetch=5)


def test_url_and_client_together_are_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        AsyncBroker(url, client=object())


@pytest.mark.parametrize("wrong", ["localhost:6379", "http://localhost", "redis:/localhost", "redis://host:port/0"])
def test_a_url_that_can_not_be_parsed_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidArgument):
        AsyncBroker(wrong)


@pytest.mark.parametrize("wrong", ["", 5])
def test_an_empty_url_is_refused_and_does_not_mean_the_embedded_server(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="url"):
        AsyncBroker(wrong)


@pytest.mark.parametrize("wrong", ["false", 0, None])
async def test_auto_ack_is_a_bool_since_a_text_would_mean_true(broker: AsyncBroker, wrong: Any) -> None:
    await broker.declare_queue("q")
    with pytest.raises(InvalidArgument, match="auto_ack"):
        broker.consume("q", auto_ack=wrong)
    with pytest.raises(InvalidArgument, match="auto_ack"):
        await broker.get("q", auto_ack=wrong)


async def test_what_is_no_iterable_is_refused(broker: AsyncBroker) -> None:
    wrong: Any = Message(b"one", routing_key="q")
    with pytest.raises(InvalidArgument, match="messages"):
        await broker.publish_many(wrong)
    wrong = None
    with pytest.raises(InvalidArgument, match="queues"):
        broker.consume(wrong)


async def test_a_wrong_idle_timeout_is_refused(broker: AsyncBroker) -> None:
    wrong: Any = "1"
    with pytest.raises(InvalidArgument, match="timeout"):
        broker.consume("q", timeout=wrong)


async def test_a_callback_that_is_no_function_is_refused_before_anything_is_read(broker: AsyncBroker) -> None:
    wrong: Any = "print"
    await broker.declare_queue("q")
    await broker.publish(b"kept", routing_key="q")
    async with broker.consume("q", timeout=0) as consumer:
        with pytest.raises(InvalidArgument, match="callback"):
            await consumer.run(wrong)
    assert (await broker.declare_queue("q")).message_count == 1


async def test_bind_with_swapped_arguments_says_so(broker: AsyncBroker) -> None:
    await broker.declare_queue("mail")
    with pytest.raises(NotFound, match=r"bind\(queue, exchange, key\)"):
        await broker.bind("events", "mail", "key")
