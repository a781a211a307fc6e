"""Browsing and moving, without a server: pages until the end, what is refused, and what a page leaves to be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange.codec import encode_table, netstring
from rexchange.errors import InvalidArgument, PreconditionFailed, PublishRefused
from rexchange.message import Message, encode_envelope
from rexchange.protocol import browse
from rexchange.protocol.transfer import Transfer
from rexchange.records import pack_destinations
from tests.support.plans import drive

ENVELOPE = encode_envelope(Message(b"", routing_key="q", headers={"n": 1}, message_id="m"))
RECORD = b"30000;g;0;0;" + netstring(pack_destinations([("queue", b"q")])) + netstring(b"s1")
RECORD += encode_table({"tag": "worker", "client": "host:1 app"})


def row(entry: bytes, state: bytes = b"ready", owner: bytes = b"") -> list[Any]:
    return [entry, state, owner, 1500, 2, b"", ENVELOPE, b"body"]


def test_browsing_goes_on_until_there_are_enough_or_no_more() -> None:
    wanted = browse.Filter.of("all", None, None, 0)
    pages = [[b"1-0", [], *row(b"1-0")], [b"9-0", []], [b"", [], *row(b"17-3"), *row(b"18-0")]]
    calls, found = drive(browse.browse("q", "s", wanted, limit=250, after=None), pages)
    assert [each.id for each in found] == ["1-0", "17-3", "18-0"]
    assert [call.args[2:5] for call in calls] == [("-", "+", 100), ("(1-0", "+", 100), ("(9-0", "+", 100)]

    calls, found = drive(browse.browse("q", "s", wanted, limit=1, after="5-0"), [[b"6-0", [], *row(b"6-0")]])
    assert [call.args[2:5] for call in calls] == [("(5-0", "+", 1)]
    assert len(found) == 1


def test_a_browsed_message_says_what_it_is() -> None:
    page = [
        b"",
        [b"c1", RECORD, b"c2", b""],
        *row(b"1700000000000-0", b"unacked", b"c1"),
        *row(b"2-0", b"unacked", b"c2"),
    ]
    held, orphan = drive(browse.browse("q", "", browse.Filter(), limit=2, after=None), [page])[1]
    assert (held.state, held.consumer, held.age, held.delivery_count) == (
        "unacked",
        "worker",
        timedelta(seconds=1.5),
        2,
    )
    assert held.arrived == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (held.exchange, held.routing_key, held.headers, held.properties.message_id) == ("", "q", {"n": 1}, "m")
    assert "envelope" not in repr(held)
    assert orphan.consumer == ""


def test_unacked_ranks_over_all_pages() -> None:
    pages = [
        [b"(2-0", [b"c1", RECORD], b"1-0", b"c1", 500, 1, b"2-0", b"c1", 40_000, 2],
        [b"", [b"c2", b""], b"3-0", b"c2", 900, 7],
    ]
    calls, found = drive(browse.unacked("q", "", limit=2, by="age"), pages)
    assert [each.id for each in found] == ["2-0", "3-0"]
    assert [call.args[2] for call in calls] == ["-", "(2-0"]
    assert (found[0].consumer, found[0].client, found[0].session) == ("worker", "host:1 app", "s1")
    assert (found[0].left, found[1].left) == (timedelta(), timedelta())
    found = drive(browse.unacked("q", "", limit=9, by="deliveries"), pages)[1]
    assert [each.id for each in found] == ["3-0", "2-0", "1-0"]
    assert found[2].left == timedelta(seconds=29.5)


def test_a_deletion_says_who_holds_the_message() -> None:
    call = browse.delete("q", "s", "1-0", "lane", 3, "token", force=False)
    assert call.args == ("s", "lane", 3, "token", "q", "1-0", 0)
    assert (call.decode(b"1"), call.decode(b"0")) == (True, False)
    with pytest.raises(PreconditionFailed, match=r"consumer 'worker' \(host:1 app\) has held it for 1.5 s"):
        call.decode([b"c1", RECORD, 1500, 2])
    with pytest.raises(PreconditionFailed, match="consumer '' has held it"):
        call.decode([b"c1", b"", 1500, 2])


def test_headers_become_a_match_form() -> None:
    assert browse.match_form(None) == browse.match_form({}) == b""
    assert browse.match_form({"a": 1, "b": None, "c": b"x"}) == b"a" + b"".join(
        netstring(each) for each in (b"a", b"i1", b"b", b"", b"c", b"sx")
    )


@pytest.mark.parametrize("wrong", ["", "-", "1", "1-", "01-0", "1-0\n", "1-18446744073709551616", b"1-0", 1, None])
def test_what_is_no_id_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        browse.check_id("id", wrong)


def moving(**options: Any) -> Transfer:
    return Transfer("move", "a", "b", **{"limit": None, "ids": None, "headers": None, **options})


def run(transfer: Transfer, *replies: bytes) -> list[tuple[Any, ...]]:
    """Drive it; return where each page began, its bound, its limit, and its ids."""
    asked: list[tuple[Any, ...]] = []
    for number, reply in enumerate(replies):
        assert not transfer.is_done
        call = transfer.page("s", "lane", number, "token")
        asked.append((*call.args[7:10], *call.args[11:]))
        transfer.note(call.decode(reply))
    return asked


def test_a_move_keeps_the_bound_and_ends_with_the_last_page() -> None:
    transfer = moving()
    asked = run(transfer, b"100 0 more 9-0 5-0", b"0 0 more 9-0 7-0", b"30 0 end 9-0 ")
    assert asked == [("-", "", 100), ("(5-0", "9-0", 100), ("(7-0", "9-0", 100)]
    assert (transfer.count, transfer.is_done) == (130, True)


def test_a_limit_is_counted_down() -> None:
    transfer = moving(limit=130)
    asked = run(transfer, b"100 0 more 9-0 5-0", b"30 0 more 9-0 7-0")
    assert [limit for _, _, limit in asked] == [100, 30]
    assert (transfer.count, transfer.is_done) == (130, True)


def test_ids_go_once_each_until_all_were_dealt_with() -> None:
    transfer = moving(ids=["1-0", "2-0", "1-0", "3-0"])
    asked = run(transfer, b"1 2 more 9-0 ", b"0 1 end 9-0 ")
    assert [ids for _, _, _, *ids in asked] == [["1-0", "2-0", "3-0"], ["3-0"]]
    assert (transfer.count, transfer.is_done) == (1, True)
    assert moving(ids=[]).is_done


def test_a_full_destination_tells_how_many_went_over() -> None:
    transfer = moving()
    with pytest.raises(PublishRefused, match="queue 'b' is full: 107 moved") as caught:
        run(transfer, b"100 0 more 9-0 5-0", b"7 0 full 9-0 6-0")
    assert (caught.value.moved, caught.value.refused) == (107, [])
