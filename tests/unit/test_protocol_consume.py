"""Consumers, settling, sessions and ticks: what is sent, and how every answer is read."""

import pytest

from rexchange.keyspace import Keys
from rexchange.protocol import consume, settle, tick
from rexchange.protocol.consume import Entry, Read, Registered

KEYS = Keys(b"/")
WAKE, STREAM = KEYS.wake(b"q"), KEYS.stream(b"q")


# --- registering


def test_what_a_consumer_still_holds_is_named_queue_by_queue() -> None:
    known = [[b"1-0", b"2-0"], [], [b"9-9"]]
    call = consume.consume(
        "s", "c2", "c1", ["a", "b", "c"], known, timeout_ms=0, default_ms=120_000, kind="managed", info={}
    )
    assert call.args[6:] == (b"", "a", 2, b"1-0", b"2-0", "b", 0, "c", 1, b"9-9")
    assert call.decode([[b"g1", b"g2", b"g3"], [[b"1-0"], [], []], 60_000]) == Registered(
        incarnations=[b"g1", b"g2", b"g3"], kept=[[b"1-0"], [], []], timeout_ms=60_000
    )


def test_cancel() -> None:
    call = consume.cancel("c", ["a", "b"], [[b"1-0"], []], keep=False)
    assert call.args == ("c", 0, "a", 1, b"1-0", "b", 0)
    assert call.decode(1) is True
    assert call.decode(0) is False


def test_queues_and_what_is_known_of_them_go_together() -> None:
    with pytest.raises(ValueError, match="shorter"):
        consume.cancel("c", ["a", "b"], [[]], keep=False)


def test_restore() -> None:
    entries = [Entry(0, b"1-0", 1, b"e1", b"b1"), Entry(0, b"2-0", 1, b"e2", b"b2")]
    call = consume.restore("q", b"g1", entries)
    assert call.args == ("q", b"g1", b"e1", b"b1", b"e2", b"b2")
    assert call.decode(2) == 2


# --- taking


def test_take_puts_unseen_entries_back_in_their_own_queue() -> None:
    unseen = [Entry(1, b"1-0", 1, b"", b""), Entry(0, b"2-0", 1, b"", b""), Entry(1, b"3-0", 1, b"", b"")]
    call = consume.take("c", 5, ["a", "b"], [b"g1", b"g2"], tokens=[b"", b"7-0"], unseen=unseen)
    assert call.args == ("c", 5, 0, "a", b"g1", b"", 1, b"2-0", "b", b"g2", b"7-0", 2, b"1-0", b"3-0")


def test_a_take_brings_entries_of_several_queues() -> None:
    call = consume.take("c", 5, ["a", "b"], [b"g1", b"g2"])
    assert call.decode([]) == []
    assert call.decode([2, b"1-0", 3, b"e1", b"b1", 1, b"2-0", 1, b"e2", b"b2"]) == [
        Entry(queue=1, id=b"1-0", times=3, envelope=b"e1", body=b"b1"),
        Entry(queue=0, id=b"2-0", times=1, envelope=b"e2", body=b"b2"),
    ]


# --- native reads


def test_the_native_read_has_the_wake_stream_before_the_queue() -> None:
    expected = ["XREADGROUP", "GROUP", "g", "c", "COUNT", 20, "BLOCK", 5000, "STREAMS", WAKE, STREAM, ">", ">"]
    assert consume.read_command(KEYS, "c", b"q", 20, 5000) == expected
    without = expected[:6] + expected[8:]
    assert consume.read_command(KEYS, "c", b"q", 20, None) == without


def test_the_read_of_a_managed_consumer_has_wake_streams_alone() -> None:
    other = KEYS.wake(b"r")
    expected = ["XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "BLOCK", 5000, "STREAMS", WAKE, other, ">", ">"]
    assert consume.wake_command(KEYS, "c", [b"q", b"r"], 5000) == expected
    assert "BLOCK" not in consume.wake_command(KEYS, "c", [b"q"], None)


MESSAGES = [[b"1-0", [b"m", b"e1", b"b", b"b1"]], [b"2-0", [b"m", b"e2", b"b", b"b2"]]]
ENTRIES = [Entry(0, b"1-0", 1, b"e1", b"b1"), Entry(0, b"2-0", 1, b"e2", b"b2")]


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        (None, Read([], b"")),
        ([], Read([], b"")),
        ([[STREAM, MESSAGES]], Read(ENTRIES, b"")),
        ([[WAKE, [[b"7-0", [b"w", b""]]]]], Read([], b"7-0")),
        ([[WAKE, [[b"7-0", [b"w", b""]]]], [STREAM, MESSAGES]], Read(ENTRIES, b"7-0")),
        ([[WAKE, []], [STREAM, MESSAGES]], Read(ENTRIES, b"")),
    ],
)
def test_what_a_native_read_brought(reply: object, read: Read) -> None:
    assert consume.read_reply(reply, STREAM) == read


def test_which_queues_have_a_token() -> None:
    wakes = [KEYS.wake(name) for name in (b"a", b"b", b"c")]
    assert consume.wake_reply(None, wakes) == [b"", b"", b""]
    reply = [[wakes[2], [[b"7-0", [b"w", b""]]]], [wakes[0], []]]
    assert consume.wake_reply(reply, wakes) == [b"", b"", b"7-0"]


# --- settling


def test_a_batch_sends_acks_then_requeues_then_rejects_for_each_queue() -> None:
    batch = settle.Batch()
    assert len(batch) == 0
    assert batch.verdicts() == []
    batch.add("reject", [(4, (0, b"4-0"))])
    batch.add("ack", [(1, (1, b"1-0")), (2, (0, b"2-0"))])
    batch.add("requeue", [(3, (0, b"3-0"))])
    batch.add("ack", [(5, (0, b"5-0"))])
    assert len(batch) == 5
    assert batch.ids(0) == [b"2-0", b"5-0", b"3-0", b"4-0"]
    assert batch.ids(1) == [b"1-0"]
    assert batch.ids(7) == []
    assert batch.verdicts() == [("ack", [2, 5, 1]), ("requeue", [3]), ("reject", [4])]
    call = batch.call("c", ["a", "b"], [b"g1", b"g2"], again=False, rearm=True)
    assert call.args == (
        *("c", 0, 1),
        *("a", b"g1", 2, 1, 1, b"2-0", b"5-0", b"3-0", b"4-0"),
        *("b", b"g2", 1, 0, 0, b"1-0"),
    )


def test_the_answer_to_a_batch_names_stale_ones_and_queues_that_are_gone() -> None:
    batch = settle.Batch()
    batch.add("ack", [(1, (1, b"1-0")), (2, (0, b"2-0"))])
    call = batch.call("c", ["a", "é"], [b"g1", b"g2"], again=False, rearm=False)
    assert call.decode(None) == call.decode([]) == settle.Settled([], [])
    settled = call.decode([["é".encode(), b"1-0", b"a", b"2-0"], ["é".encode()]])
    assert settled == settle.Settled(stale=[(1, b"1-0"), (0, b"2-0")], gone=["é"])
    assert [batch.tags[entry] for entry in settled.stale] == [1, 2]


def test_extend_leaves_out_queues_of_which_nothing_is_held() -> None:
    call = settle.extend("c", ["a", "b", "c"], [[b"1-0"], [], [b"2-0", b"3-0"]])
    assert call.args == ("c", "a", 1, b"1-0", "c", 2, b"2-0", b"3-0")
    assert call.decode([b"c", b"3-0"]) == [(2, b"3-0")]
    assert call.decode([]) == []


# --- sessions and ticks


def test_sessions() -> None:
    for call in (tick.open_session("s", 1), tick.renew_session("s", 1), tick.close_session("s")):
        assert call.decode(1) is True
        assert call.decode(0) is False


def test_what_a_tick_did() -> None:
    call = tick.tick(30_000)
    assert call.decode([250, 1, 2, 3, 4]) == tick.Ticked(next_ms=250, sessions=1, queues=2, given_back=3, lanes=4)
    assert call.decode([0, 0, 0, 0, 0]).next_ms == 0
    assert call.decode([-1, 0, 0, 0, 0]).next_ms is None


def test_ticks_add_up_and_the_later_one_knows_what_comes_next() -> None:
    total = tick.Ticked(0, 1, 2, 3, 4) + tick.Ticked(250, 10, 20, 30, 40)
    assert total == tick.Ticked(250, 11, 22, 33, 44)
    assert (total + tick.Ticked(None, 0, 0, 0, 0)).next_ms is None
