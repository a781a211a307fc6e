"""What a publisher is told: receipts, and why it waits."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest

from rexchange import Blocked, Receipt
from rexchange.errors import PublishRefused
from rexchange.receipt import plain, read


def test_a_receipt_is_a_number_and_says_more() -> None:
    receipt = Receipt(2, "17.abcdef", duplicate=True)

    assert (receipt, receipt + 1, f"{receipt}") == (2, 3, "2")
    for other in (copy.copy(receipt), pickle.loads(pickle.dumps(receipt))):  # noqa: S301 - our own
        assert (other, other.schedule_id, other.duplicate) == (2, "17.abcdef", True)


@pytest.mark.parametrize(
    ("fate", "queues", "schedule_id", "duplicate"),
    [
        (b"3", 3, "", False),
        (b"0@17.abcdef", 0, "17.abcdef", False),
        (b"0@17.abcdef!", 0, "17.abcdef", True),
        (b"2!", 2, "", True),
    ],
)
def test_fates_are_read(fate: bytes, queues: int, schedule_id: str, duplicate: bool) -> None:
    receipt = read(fate)
    assert (receipt, receipt.schedule_id, receipt.duplicate) == (queues, schedule_id, duplicate)


def test_ordinary_receipts_are_made_once() -> None:
    assert plain(1) is plain(1)
    assert read(b"1") is plain(1)


def test_who_waits_learns_why_and_since_when() -> None:
    by_queue = Blocked.by(PublishRefused.by_full_queues([0], [(0, "b"), (0, "a"), (0, "b")]), 1_000_000_000.0)
    assert (by_queue.kind, by_queue.queues) == ("queue", ("a", "b"))
    assert by_queue.since == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    assert Blocked.by(PublishRefused("full", limit="vhost"), 0.0).kind == "vhost"
