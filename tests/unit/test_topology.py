"""Names, types and equivalence of exchanges, queues and bindings (docs/semantics.md)."""

from typing import Any

import pytest

from rexchange.codec import FieldValue
from rexchange.errors import AccessRefused, InvalidArgument, NotSupported, PreconditionFailed, ResourceLocked
from rexchange.topology import (
    PREDECLARED,
    TYPES,
    Exchange,
    Queue,
    check_exchange,
    check_name,
    check_new_name,
    check_queue,
    check_type,
    check_vhost,
    compare_exchange,
    compare_queue,
    owned_by,
)

# --- names and types


@pytest.mark.parametrize("name", ["", "orders", "a.b/c {d}", "é" * 127, "x" * 255])
def test_names_are_free_text_of_255_bytes(name: str) -> None:
    assert check_name("queue", name) == name.encode()


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a\0b", "a\rb", "a\nb", "\ud800", b"bytes", None, 5])
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_name("queue", name)
    assert caught.value.argument == "queue name"


def test_a_line_end_is_refused_since_rabbitmq_strips_it_silently() -> None:
    with pytest.raises(InvalidArgument, match="RabbitMQ strips the last two silently"):
        check_name("exchange", "a\n")


def test_a_vhost_becomes_a_hash_tag() -> None:
    assert check_vhost("/") == b"/"
    for name in ("", "a{b", "a}b"):
        with pytest.raises(InvalidArgument, match="not empty and has no braces"):
            check_vhost(name)


@pytest.mark.parametrize(("kind", "name"), [("exchange", "amq.mine"), ("queue", "amq.gen-1"), ("exchange", "")])
def test_reserved_names_are_not_for_making(kind: str, name: str) -> None:
    with pytest.raises(AccessRefused) as caught:
        check_new_name(kind, name)
    assert caught.value.kind == kind


def test_new_names() -> None:
    assert check_new_name("queue", "amqp") == b"amqp"
    with pytest.raises(InvalidArgument, match="not empty"):
        check_new_name("queue", "")


def test_what_every_vhost_has() -> None:
    assert {name: exchange.type for name, exchange in PREDECLARED.items()} == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.rabbitmq.trace": "topic",
    }
    assert [name for name, exchange in PREDECLARED.items() if exchange.internal] == ["amq.rabbitmq.trace"]
    assert all(exchange.durable and not exchange.auto_delete for exchange in PREDECLARED.values())


def test_exchange_types() -> None:
    for name in TYPES:
        check_type(name)
    assert {"direct", "fanout", "topic", "headers"} < {*TYPES}


def test_an_unknown_type_is_406() -> None:
    with pytest.raises(PreconditionFailed) as caught:
        check_type("topics", "logs")
    assert (caught.value.name, caught.value.argument, caught.value.current) == ("logs", "type", "topics")


@pytest.mark.parametrize("name", ["x-local-random", "x-federation-upstream"])
def test_a_type_that_only_rabbitmq_has_is_not_supported(name: str) -> None:
    with pytest.raises(NotSupported, match=name) as caught:
        check_type(name, "logs")
    assert (caught.value.name, caught.value.argument, caught.value.wanted) == ("logs", "type", name)


def test_a_type_that_is_no_text_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument):
        check_type(None)


# --- what goes with a type


@pytest.mark.parametrize(
    ("type_name", "arguments"),
    [
        ("direct", {"x-delayed-type": 5, "x-recent-history-length": 0, "hash-property": "type"}),
        ("x-delayed-message", {"x-delayed-type": "topic"}),
        ("x-delayed-message", {"x-delayed-type": b"x-random"}),
        ("x-recent-history", {}),
        ("x-recent-history", {"x-recent-history-length": 1}),
        ("x-consistent-hash", {}),
        ("x-consistent-hash", {"hash-header": "tenant"}),
        ("x-consistent-hash", {"hash-property": "message_id"}),
        ("x-consistent-hash", {"hash-property": b"correlation_id"}),
        ("x-consistent-hash", {"hash-property": "timestamp"}),
    ],
)
def test_arguments_that_go_with_a_type(type_name: str, arguments: dict[str, FieldValue]) -> None:
    check_exchange(Exchange("logs", type_name, arguments=arguments))


@pytest.mark.parametrize(
    ("type_name", "arguments", "argument"),
    [
        ("x-delayed-message", {}, "x-delayed-type"),
        ("x-delayed-message", {"x-delayed-type": 5}, "x-delayed-type"),
        ("x-delayed-message", {"x-delayed-type": "topics"}, "x-delayed-type"),
        ("x-delayed-message", {"x-delayed-type": "x-delayed-message"}, "x-delayed-type"),
        ("x-recent-history", {"x-recent-history-length": 0}, "x-recent-history-length"),
        ("x-recent-history", {"x-recent-history-length": True}, "x-recent-history-length"),
        ("x-recent-history", {"x-recent-history-length": "5"}, "x-recent-history-length"),
        ("x-consistent-hash", {"hash-header": "tenant", "hash-property": "message_id"}, "hash-property"),
        ("x-consistent-hash", {"hash-property": "type"}, "hash-property"),
        ("x-consistent-hash", {"hash-property": 5}, "hash-property"),
    ],
)
def test_arguments_that_a_type_cannot_have_are_406(
    type_name: str, arguments: dict[str, FieldValue], argument: str
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        check_exchange(Exchange("logs", type_name, arguments=arguments))
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("exchange", "logs", argument)
    assert caught.value.current == arguments.get(argument)


def test_a_classic_queue_may_have_any_flags_and_no_name() -> None:
    for arguments in ({}, {"x-queue-type": "classic"}, {"x-queue-type": b"classic"}):
        check_queue(Queue("q", durable=False, exclusive=True, auto_delete=True, arguments=arguments), named=False)


@pytest.mark.parametrize("kind", ["quorum", b"quorum", "stream"])
@pytest.mark.parametrize(
    ("flags", "argument"),
    [({"durable": False}, "durable"), ({"exclusive": True}, "exclusive"), ({"auto_delete": True}, "auto_delete")],
)
def test_quorum_queues_and_streams_are_durable_shared_and_kept(
    kind: FieldValue, flags: dict[str, Any], argument: str
) -> None:
    arguments = {"x-queue-type": kind}
    check_queue(Queue("orders", arguments=arguments), named=True)
    with pytest.raises(PreconditionFailed) as caught:
        check_queue(Queue("orders", arguments=arguments, **flags), named=True)
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("queue", "orders", argument)
    assert caught.value.current is flags[argument]


def test_quorum_queues_and_streams_are_named_by_their_user() -> None:
    for kind in ("quorum", "stream"):
        with pytest.raises(PreconditionFailed, match="a name of your own") as caught:
            check_queue(Queue("amq.gen-1", arguments={"x-queue-type": kind}), named=False)
        assert caught.value.argument == "name"


# --- equivalence


def test_the_same_exchange_again_is_fine_whatever_its_other_arguments() -> None:
    one = Exchange("logs", "topic", arguments={"alternate-exchange": "ae", "x-mine": 1})
    compare_exchange(one, Exchange("logs", "topic", arguments={"alternate-exchange": b"ae"}))


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("type", Exchange("logs", "fanout")),
        ("durable", Exchange("logs", "topic", durable=False)),
        ("auto_delete", Exchange("logs", "topic", auto_delete=True)),
        ("internal", Exchange("logs", "topic", internal=True)),
        ("alternate-exchange", Exchange("logs", "topic", arguments={"alternate-exchange": "ae"})),
    ],
)
def test_an_exchange_that_differs_is_406(argument: str, wanted: Exchange) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        compare_exchange(Exchange("logs", "topic"), wanted)
    assert (caught.value.kind, caught.value.name, caught.value.argument) == ("exchange", "logs", argument)
    assert caught.value.current != caught.value.wanted


@pytest.mark.parametrize(
    "wanted",
    [
        Queue("orders"),
        Queue("orders", arguments={"x-queue-type": "classic"}),
        Queue("orders", arguments={"x-queue-type": b"classic"}),
        Queue("orders", arguments={"x-mine": 1, "foo": 2}),
        Queue("orders", owner="a session that does not own it"),
    ],
)
def test_the_same_queue_again_is_fine(wanted: Queue) -> None:
    compare_queue(Queue("orders", incarnation="1", message_count=5), wanted)
    compare_queue(wanted, Queue("orders"))


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("durable", Queue("orders", durable=False)),
        ("auto_delete", Queue("orders", auto_delete=True)),
        ("x-consumer-timeout", Queue("orders", arguments={"x-consumer-timeout": 5})),
        ("x-queue-type", Queue("orders", arguments={"x-queue-type": "quorum"})),
        ("x-max-length", Queue("orders", arguments={"x-max-length": 0})),
    ],
)
def test_a_queue_that_differs_is_406_both_ways(argument: str, wanted: Queue) -> None:
    for one, other in ((Queue("orders"), wanted), (wanted, Queue("orders"))):
        with pytest.raises(PreconditionFailed) as caught:
            compare_queue(one, other)
        assert (caught.value.kind, caught.value.name, caught.value.argument) == ("queue", "orders", argument)
        assert caught.value.current != caught.value.wanted


def test_types_of_values_count() -> None:
    with pytest.raises(PreconditionFailed):
        compare_queue(
            Queue("orders", arguments={"x-consumer-timeout": 1}), Queue("orders", arguments={"x-consumer-timeout": "1"})
        )


def test_a_queue_is_given_its_owner() -> None:
    assert owned_by(Queue("orders", exclusive=True), "mine") == Queue("orders", exclusive=True, owner="mine")


MINE = Queue("orders", exclusive=True, owner="mine")


def test_an_exclusive_queue_again_by_its_session_is_fine_durable_or_not() -> None:
    compare_queue(MINE, MINE)
    compare_queue(MINE, Queue("orders", durable=False, exclusive=True, owner="mine"))


@pytest.mark.parametrize(
    ("existing", "wanted", "words"),
    [
        (MINE, Queue("orders", exclusive=True, owner="yours"), "is exclusive to another session"),
        (MINE, Queue("orders"), "is exclusive, and this declare wants it not exclusive"),
        (Queue("orders"), MINE, "is not exclusive, and this declare wants it exclusive"),
    ],
)
def test_exclusivity_that_differs_is_405(existing: Queue, wanted: Queue, words: str) -> None:
    with pytest.raises(ResourceLocked, match=words) as caught:
        compare_queue(existing, wanted)
    assert caught.value.argument == "exclusive"
