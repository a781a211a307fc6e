"""Error replies of scripts, read as typed errors."""

import pytest

from rexchange import errors
from rexchange.errors import RexchangeError
from rexchange.protocol.refusals import from_reply


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("NOT_FOUND", errors.NotFound),
        ("RESOURCE_LOCKED", errors.ResourceLocked),
        ("PRECONDITION_FAILED", errors.PreconditionFailed),
        ("ACCESS_REFUSED", errors.AccessRefused),
        ("NOT_SUPPORTED", errors.NotSupported),
        ("TOPOLOGY_LOST", errors.TopologyLost),
        ("NEWER_SCHEMA", errors.ServerRefused),
        ("SCRIPT_ERROR", errors.ScriptError),
    ],
)
def test_a_coded_reply_becomes_its_error(code: str, cls: type[RexchangeError]) -> None:
    error = from_reply(f"{code} queue|orders|it is gone; declare it first")
    assert type(error) is cls
    assert "queue 'orders': it is gone; declare it first" in str(error)
    if isinstance(error, errors.TopologyError):
        assert (error.kind, error.name) == ("queue", "orders")


def test_a_reply_text_that_names_its_subject_is_not_given_it_twice() -> None:
    error = from_reply("PRECONDITION_FAILED binding|logs|binding 'logs': x-match is 'some': give all or any")
    assert str(error) == "binding 'logs': x-match is 'some': give all or any"


def test_a_reply_without_words_or_kind_is_readable_too() -> None:
    assert str(from_reply("NOT_FOUND queue|orders|")) == "queue 'orders': does not exist"
    assert str(from_reply("TOPOLOGY_LOST |||")) == "|"
    assert str(from_reply("TOPOLOGY_LOST ||all is gone")) == "all is gone"


def test_a_servers_own_prefix_is_dropped() -> None:
    assert type(from_reply("ERR NOT_FOUND queue|orders|gone")) is errors.NotFound


def test_escaped_names_are_decoded_as_utf8() -> None:
    error = from_reply("NOT_FOUND queue|a%7Cb%25c%0Aé%c3%A9|gone | for good")
    assert isinstance(error, errors.NotFound)
    assert error.name == "a|b%c\néé"
    assert str(error).endswith("gone | for good")


def test_a_name_that_is_no_utf8_is_shown_escaped() -> None:
    error = from_reply("NOT_FOUND queue|a\udcffb|gone")
    assert isinstance(error, errors.NotFound)
    assert error.name == "a\\xffb"


@pytest.mark.parametrize(
    "text",
    ["", "boom", "NOT_FOUND queue orders", "NOT_FOUND queue|orders", "NOT_FOUND planet|x|gone", "OTHER queue|x|gone"],
)
def test_any_other_text_is_a_script_error_that_shows_it(text: str) -> None:
    error = from_reply(text)
    assert type(error) is errors.ScriptError
    assert str(error) == text
