"""Listing what waits for its time: what Redis holds is read, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from rexchange.codec import netstring
from rexchange.errors import BrokerConnectionError, NotFound, ScriptError
from rexchange.message import Message, encode_envelope
from rexchange.protocol import later
from rexchange.protocol.call import Call
from tests.support.plans import drive

ENVELOPE = encode_envelope(Message(b"", exchange="e", routing_key="k", headers={"h": 1}))
PARCEL = b"s" + netstring(ENVELOPE) + netstring(b"body")


def run(pages: list[list[bytes]], limit: int) -> tuple[list[later.Scheduled], list[Call[Any]]]:
    """Answer a listing with pages; return what it found, and its calls."""
    calls, found = drive(later.scheduled("abcdef", limit), pages)
    return found, calls


def test_the_next_page_begins_after_the_last_one() -> None:
    found, calls = run([[b"1", b"1000", PARCEL], [b"2", b"2000", PARCEL], []], 10)

    assert [(each.id, each.due.timestamp(), each.exchange, each.routing_key, each.headers) for each in found] == [
        ("1.abcdef", 1.0, "e", "k", {"h": 1}),
        ("2.abcdef", 2.0, "e", "k", {"h": 1}),
    ]
    assert [call.args for call in calls] == [
        ("list", "", "", 10),
        ("list", b"1000", b"1", 9),
        ("list", b"2000", b"2", 8),
    ]


def test_one_whose_parcel_is_gone_and_one_that_comes_twice_are_no_trouble() -> None:
    found, _ = run([[b"1", b"1000", b"", b"2", b"1000", PARCEL], [b"2", b"1000", PARCEL], []], 10)

    assert [each.id for each in found] == ["2.abcdef"]


def test_what_is_kept_for_a_full_queue_names_it() -> None:
    parcel = b"q" + netstring(b"full") + netstring(ENVELOPE) + netstring(b"body")
    ((found,), _) = run([[b"1", b"1000", parcel]], 1)

    assert (found.queue, found.body, found.exchange) == ("full", b"body", "e")


def test_what_has_a_key_of_deduplication_is_read_too() -> None:
    ((found,), _) = run([[b"1", b"1000", PARCEL + netstring(b"key")]], 1)

    assert (found.queue, found.body) == ("", b"body")


@pytest.mark.parametrize("parcel", [b"s" + netstring(ENVELOPE), b"q" + netstring(b"x"), b"s5:x", PARCEL + b"1:a1:b"])
def test_what_is_corrupt_is_told(parcel: bytes) -> None:
    with pytest.raises(ScriptError):
        run([[b"1", b"1000", parcel]], 1)


def test_cancelling_says_what_became_of_it() -> None:
    assert later.cancel("1.abcdef", "abcdef").decode([b"1", b"1000", PARCEL]).body == b"body"
    with pytest.raises(NotFound):
        later.cancel("1.abcdef", "abcdef").decode([])
    with pytest.raises(BrokerConnectionError) as caught:
        later.cancel("1.abcdef", "abcdef", again=True).decode([b"1"])
    assert caught.value.outcome == "unknown"
    assert later.cancel("1.other", "abcdef").args == ("cancel", "", 0, 0)
