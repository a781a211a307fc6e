"""Errors say what to do, survive pickling, hold no password; coded replies of scripts become them."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from rexchange import errors
from rexchange.errors import BrokerConnectionError, PreconditionFailed, Problem, RexchangeError

FIELDS: dict[str, Any] = {"kind": "queue", "name": "orders", "argument": "durable", "current": True, "wanted": False}
EVERY = [
    errors.RexchangeError("plain"),
    errors.InvalidArgument("body", object(), "bytes"),
    errors.DefinitionsError([Problem("no name", "queue", "/", "", 5, 3), Problem("words")], file="rabbit.json"),
    errors.TopologyError("words", **FIELDS),
    errors.AccessRefused("words", **FIELDS),
    errors.NotFound("words", **FIELDS),
    errors.ResourceLocked("words", **FIELDS),
    errors.PreconditionFailed("words", **FIELDS),
    errors.NotSupported("words", **FIELDS),
    errors.TopologyLost("words", **FIELDS),
    errors.PublishError("plain"),
    errors.ContentTooLarge("a body", 20, 10),
    errors.Unroutable([(3, "ex", "key")]),
    errors.PublishRefused("plain"),
    errors.PublishRefused.by_full_queues([1, 0], [(1, "orders")]),
    errors.Unconfirmed("0 of the 1 replicas wanted had it within 3000 ms", [2, 1]),
    errors.DeliveryError("plain"),
    errors.UnknownDeliveryTag(7),
    errors.AlreadySettled(7, queue="orders"),
    errors.StaleDelivery(7),
    errors.ConsumerCancelled("orders", "the queue was deleted"),
    errors.TransactionError("plain"),
    errors.CommandFailed([(b"set", b"a", b"1"), (b"INCR", b"a")], 1, "ERR not an integer", [0]),
    errors.NoReply("", "rpc", 2.5),
    errors.BrokerConnectionError("no answer", address="redis://host", outcome="unknown"),
    errors.ServerRefused("too old", address="redis://host", outcome="not_done"),
    errors.ScriptError("plain"),
]


def names(error: Exception) -> str:
    return type(error).__name__


def test_every_public_class_is_tried_here_and_drawn_in_the_tree() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, RexchangeError) and not name.startswith("_")
    }
    assert {names(error) for error in EVERY} == classes
    assert all(name in (errors.__doc__ or "") for name in classes)


@pytest.mark.parametrize("error", EVERY, ids=names)
@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - our own bytes
def test_every_error_survives_copying_and_pickling(error: RexchangeError, twin_of: Callable[[object], object]) -> None:
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("cls", "code"),
    [
        (errors.AccessRefused, 403),
        (errors.NotFound, 404),
        (errors.ResourceLocked, 405),
        (errors.PreconditionFailed, 406),
        (errors.NotSupported, 540),
        (errors.TopologyLost, 541),
        (errors.ContentTooLarge, 311),
        (errors.Unroutable, 312),
        (errors.UnknownDeliveryTag, 406),
        (errors.AlreadySettled, 406),
        (errors.StaleDelivery, 406),
        (errors.ConsumerCancelled, None),
        (errors.PublishRefused, None),
        (errors.NoReply, None),
        (errors.DefinitionsError, None),
        (errors.BrokerConnectionError, None),
        (errors.InvalidArgument, None),
    ],
)
def test_reply_codes_are_those_of_amqp(cls: type[RexchangeError], code: int | None) -> None:
    assert cls.reply_code == code


def test_a_mismatch_names_the_argument_both_values_and_what_to_do() -> None:
    error = PreconditionFailed.mismatch("queue", "orders", "durable", current=True, wanted=False)
    assert str(error) == (
        "queue 'orders' exists with durable=True, and this declare wants False: "
        "declare it with True, use another name, or delete the queue first"
    )
    assert (error.kind, error.name, error.argument) == ("queue", "orders", "durable")
    assert (error.current, error.wanted) == (True, False)


def test_an_illegal_value_is_named_with_what_is_legal() -> None:
    error = PreconditionFailed.illegal("queue", "orders", "x-expires", 0, "an int of at least 1")
    assert str(error) == "queue 'orders': x-expires is 0: give an int of at least 1"


def test_without_words_the_message_is_made_of_the_fields() -> None:
    assert str(errors.NotFound(kind="queue", name="orders")) == "queue 'orders': does not exist"
    assert str(errors.TopologyLost()) == "broker: the topology in Redis is lost or damaged"


def test_unroutable_lists_all_and_shows_the_first_few() -> None:
    error = errors.Unroutable((at, "ex", f"key{at}") for at in range(7))
    assert [message.position for message in error.messages] == list(range(7))
    assert error.messages[6] == (6, "ex", "key6")
    assert "#4 (exchange 'ex', key 'key4') and 2 more" in str(error)
    assert "more" not in str(errors.Unroutable([(0, "ex", "key")]))


def test_full_queues_are_named_with_how_many_messages_they_refused() -> None:
    error = errors.PublishRefused.by_full_queues([0], [(0, "orders")])
    assert str(error) == "queue 'orders' is full and refused 1 message"
    assert (error.counts, error.refused) == ([0], [(0, "orders")])
    refused = [(0, "b"), (1, "b"), (1, "a"), *((2, f"q{at}") for at in range(5))]
    error = errors.PublishRefused.by_full_queues([0, 2, 0], refused)
    assert str(error) == (
        "queues 'a', 'b', 'q0', 'q1', 'q2', ... are full and refused 3 messages"
        " (other queues keep what they got: see counts)"
    )
    assert (error.counts, error.refused) == ([0, 2, 0], refused)
    plain = errors.PublishRefused("memory is full")
    assert (str(plain), plain.counts, plain.refused) == ("memory is full", [], [])


def test_definitions_show_all_that_is_wrong_and_the_first_field_by_field() -> None:
    one = Problem("no name", "queue", "/", "q", 5, 3)
    error = errors.DefinitionsError([one])
    assert isinstance(error, ValueError)
    assert str(error) == "no name"
    assert (error.kind, error.vhost, error.name, error.line, error.column) == ("queue", "/", "q", 5, 3)
    error = errors.DefinitionsError([one, Problem("another")], file="rabbit.json")
    assert str(error) == "rabbit.json: 2 problems\n- no name\n- another"
    assert (error.problems, error.file) == ([one, Problem("another")], "rabbit.json")


def test_no_reply_says_whose_it_was() -> None:
    error = errors.NoReply("rpc", "add", 2.5)
    assert str(error) == "no reply within 2.5 s from exchange 'rpc', key 'add': the request may yet be handled"
    assert (error.exchange, error.routing_key, error.seconds) == ("rpc", "add", 2.5)


def test_invalid_argument_is_a_value_error_and_cuts_what_it_shows() -> None:
    error = errors.InvalidArgument("body", "x" * 10_000_000, "bytes: use .encode()")
    assert isinstance(error, ValueError)
    assert len(error.value) == 80
    assert str(error).endswith("…: wanted bytes: use .encode()")


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:secret@host:6379/0",
        "redis://:secret@host",
        "rediss://user:p@secret/with:signs@host",
        "redis://host?password=secret&db=1",
        "redis+sentinel://host/mymaster?db=1&sentinel_password=secret",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    shown = [
        BrokerConnectionError(f"cannot reach {url}", address=url, outcome="not_done"),
        errors.InvalidArgument("url", url, "another"),
        errors.NotFound(f"nothing at {url}"),
    ]
    for error in shown:
        assert "secret" not in str(error) + repr(error) + repr(vars(error))
        assert "host" in str(error)


def test_an_error_of_a_tag_names_the_queue_and_says_what_to_do_where_known() -> None:
    assert str(errors.AlreadySettled(7)) == "delivery tag 7 was settled before"
    error = errors.AlreadySettled(7, queue="orders", hint="ack it once")
    assert str(error) == "delivery tag 7 of queue 'orders' was settled before: ack it once"
    assert (error.delivery_tag, error.queue) == (7, "orders")


def test_a_connection_error_says_whether_it_was_done() -> None:
    done = BrokerConnectionError("no answer", address="redis://host", outcome="not_done")
    assert str(done) == "redis://host: no answer (nothing was done)"
    unknown = BrokerConnectionError("no answer", address="", outcome="unknown")
    assert str(unknown) == "no answer (whether it was done is unknown)"
