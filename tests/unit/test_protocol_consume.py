"""Consumers, settling, sessions and ticks: what is sent, and how every answer is read."""

import pytest

from rexchange.keyspace import Keys
from rexchange.protocol import consume, settle, tick
from rexchange.protocol.consume import Entry, Options, Read, Registered

KEYS = Keys(b"/")
WAKE, STREAM = KEYS.wake(b"q"), KEYS.stream(b"q")


# --- registering


def test_what_a_consumer_still_holds_is_named_queue_by_queue() -> None:
    known = [[b"1-0", b"2-0"], [], [b"9-9"]]
    call = consume.consume("s", "c2", "c1", ["a", "b", "c"], known, Options("m"), default_ms=120_000, info={})
    assert call.args[9:] == (b"", "a", 2, b"1-0", b"2-0", "b", 0, "c", 1, b"9-9")
    reply = [[b"g1", b"g2", b"g3"], [[b"1-0"], [], []], 60_000, b"m", [b"", b"quorum", b""], [0, 1, 0]]
    assert call.decode(reply) == Registered(
        incarnations=[b"g1", b"g2", b"g3"],
        kept=[[b"1-0"], [], []],
        timeout_ms=60_000,
        kind="m",
        types=["", "quorum", ""],
        retries=[False, True, False],
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
    entries = [Entry(0, b"1-0", 1, b"e1", b"b1"), Entry(0, b"2-0", 1, b"e2", b"b2", b"1700")]
    call = consume.restore("q", b"g1", entries)
    assert call.args == ("q", b"g1", b"e1", b"b1", b"", b"e2", b"b2", b"1700")
    assert call.decode(2) == 2


# --- taking


def test_take_puts_unseen_entries_back_in_their_own_queue() -> None:
    unseen = [Entry(1, b"1-0", 1, b"", b""), Entry(0, b"2-0", 1, b"", b""), Entry(1, b"3-0", 1, b"", b"")]
    call = consume.take("c", 5, ["a", "b"], [b"g1", b"g2"], tokens=[b"", b"7-0"], unseen=unseen)
    assert call.args == ("c", 5, 0, 0, b"", 0, "a", b"g1", b"", 1, b"2-0", "b", b"g2", b"7-0", 2, b"1-0", b"3-0")


def test_a_take_brings_entries_of_several_queues() -> None:
    call = consume.take("c", 5, ["a", "b"], [b"g1", b"g2"])
    assert call.decode([]) == []
    assert call.decode([2, b"1-0", 3, b"e1", b"b1", b"1700", 1, b"2-0", 1, b"e2", b"b2", b""]) == [
        Entry(queue=1, id=b"1-0", times=3, envelope=b"e1", body=b"b1", note=b"1700"),
        Entry(queue=0, id=b"2-0", times=1, envelope=b"e2", body=b"b2"),
    ]


def test_a_partial_take_names_the_queues_with_a_token_and_still_knows_them() -> None:
    tokens = [b"", b"7-0", b"", b"8-0"]
    call = consume.take("c", 5, ["a", "b", "c", "d"], [b"1", b"2", b"3", b"4"], tokens=tokens, partial=True)
    assert call.args == ("c", 5, 0, 0, b"", 1, "b", b"2", b"7-0", 0, "d", b"4", b"8-0", 0)
    assert call.decode([2, b"1-0", 1, b"e", b"b", b""]) == [
        Entry(queue=3, id=b"1-0", times=1, envelope=b"e", body=b"b")
    ]
    assert call.decode([]) == []
    assert call.decode([-1]) is consume.MORE
    assert call.decode([-2]) is consume.ALL


# --- native reads


def test_the_native_read_has_the_wake_stream_before_the_queue() -> None:
    expected = ["XREADGROUP", "GROUP", "g", "c", "COUNT", 20, "BLOCK", 5000, "STREAMS", WAKE, STREAM, ">", ">"]
    assert consume.read_command(KEYS, "c", b"q", 20, 5000) == expected
    without = expected[:6] + expected[8:]
    assert consume.read_command(KEYS, "c", b"q", 20, None) == without


def test_the_read_of_a_managed_consumer_has_wake_streams_and_its_bell_alone() -> None:
    streams = [WAKE, KEYS.wake(b"r"), KEYS.bell(b"c"), ">", ">", ">"]
    expected = ["XREADGROUP", "GROUP", "m", "c", "COUNT", 1, "BLOCK", 5000, "STREAMS", *streams]
    assert consume.wake_command(KEYS, "c", [b"q", b"r"], 5000) == expected
    assert "BLOCK" not in consume.wake_command(KEYS, "c", [b"q"], None)


MESSAGES = [[b"1-0", [b"m", b"e1", b"b", b"b1"]], [b"2-0", [b"m", b"e2", b"b", b"b2"]]]
EXPIRING = [MESSAGES[0], [b"3-0", [b"m", b"e3", b"b", b"b3", b"x", b"1700"]]]
SHARING = [
    [b"4-0", [b"m", b"e4", b"b", b"", b"s", b"12:70000"]],
    [b"5-0", [b"m", b"e5", b"b", b"", b"s", b"12:70000", b"x", b"1700"]],
]
SHARED_EXPIRING = Entry(0, b"5-0", 1, b"e5", b"", b"1700")
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
        ([[STREAM, SHARING]], Read([Entry(0, b"4-0", 1, b"e4", b"", b"12:70000"), SHARED_EXPIRING], b"")),
        ([[STREAM, EXPIRING]], Read([ENTRIES[0], Entry(0, b"3-0", 1, b"e3", b"b3", b"1700")], b"")),
    ],
)
def test_what_a_native_read_brought(reply: object, read: Read) -> None:
    assert consume.read_reply(reply, STREAM) == read


def test_the_server_judges_what_was_read_beside_a_token_and_what_may_have_expired() -> None:
    expiring = Entry(0, b"3-0", 1, b"e3", b"b3", b"1700")
    assert [read.judged for read in (Read([], b""), Read(ENTRIES, b""))] == [False, False]
    assert [read.judged for read in (Read([], b"7-0"), Read([*ENTRIES, expiring], b""))] == [True, True]


def test_a_shared_body_alone_asks_for_no_judgement() -> None:
    sharing = Entry(0, b"4-0", 1, b"e4", b"", b"12:70000")
    reads = Read(ENTRIES, b""), Read([sharing], b""), Read([sharing, SHARED_EXPIRING], b"")
    assert [(read.noted, read.judged) for read in reads] == [(False, False), (True, False), (True, True)]


def test_bodies_are_fetched_for_the_entries_that_share_them() -> None:
    taken = [ENTRIES[0], Entry(0, b"4-0", 1, b"e4", b"", b"12:3 "), Entry(1, b"6-0", 2, b"e6", b"", b"f0a:2 1700")]
    assert consume.body_commands(KEYS, taken) == [["GET", KEYS.body(b"12")], ["GET", KEYS.body(b"f0a")]]
    assert consume.with_bodies(taken, [b"abc", b"de"]) == [
        ENTRIES[0],
        Entry(0, b"4-0", 1, b"e4", b"abc"),
        Entry(1, b"6-0", 2, b"e6", b"de", b"1700"),
    ]
    assert consume.with_bodies(taken, [b"abc", None]) is None


def test_which_queues_have_a_token_and_whether_the_bell_rang() -> None:
    wakes = [KEYS.wake(name) for name in (b"a", b"b", b"c")]
    assert consume.wake_reply(None, wakes) == ([b"", b"", b""], b"")
    reply = [[wakes[2], [[b"7-0", [b"w", b""]]]], [wakes[0], []]]
    assert consume.wake_reply(reply, wakes) == ([b"", b"", b"7-0"], b"")
    bell = [KEYS.bell(b"c"), [[b"9-0", [b"w", b""]]]]
    assert consume.wake_reply([bell], wakes) == ([b"", b"", b""], b"9-0")
    assert consume.wake_reply([bell, *reply], wakes) == ([b"", b"", b"7-0"], b"9-0")


# --- stream queues


def test_a_reader_of_a_stream_is_told_after_which_entry_to_read() -> None:
    for call in (
        consume.seek("q", b"g1", "", consume.Place("first")),
        consume.keep_place("q", b"g1", "me", b"5-0"),
        consume.look("q", b"g1"),
    ):
        assert call.decode(b"5-0") == b"5-0"


def test_a_stream_is_read_without_its_group() -> None:
    expected = ["XREAD", "COUNT", 20, "BLOCK", 5000, "STREAMS", STREAM, b"5-0"]
    assert consume.log_command(KEYS, b"q", b"5-0", 20, 5000) == expected
    assert consume.log_command(KEYS, b"q", b"5-0", 20, None) == expected[:3] + expected[5:]


def test_what_a_read_of_a_stream_brought() -> None:
    assert consume.log_reply(None) == consume.log_reply([]) == []
    items = [[b"1-0", [b"m", b"e1", b"b", b"b1", b"o", b"0"]], [b"2-0", [b"m", b"e2", b"b", b"b2", b"o", b"1"]]]
    assert consume.log_reply([[STREAM, items]]) == [
        Entry(0, b"1-0", 1, b"e1", b"b1", b"0"),
        Entry(0, b"2-0", 1, b"e2", b"b2", b"1"),
    ]


# --- settling


def test_a_batch_sends_acks_then_requeues_then_rejects_then_retries_for_each_queue() -> None:
    batch = settle.Batch()
    assert len(batch) == 0
    assert batch.verdicts() == []
    batch.add("reject", [(4, (0, b"4-0"))])
    batch.add("ack", [(1, (1, b"1-0")), (2, (0, b"2-0"))])
    batch.add("requeue", [(3, (0, b"3-0"))])
    batch.add("retry", [(6, (0, b"6-0"))])
    batch.add("ack", [(5, (0, b"5-0"))])
    assert len(batch) == 6
    assert batch.ids(0) == [b"2-0", b"5-0", b"3-0", b"4-0", b"6-0"]
    assert batch.ids(1) == [b"1-0"]
    assert batch.ids(7) == []
    assert batch.verdicts() == [("ack", [2, 5, 1]), ("requeue", [3]), ("reject", [4]), ("retry", [6])]
    call = batch.call("c", ["a", "b"], [b"g1", b"g2"], again=False, rearm=True)
    assert call.args == (
        *("c", 0, 1),
        *("a", b"g1", 2, 1, 1, 1, b"2-0", b"5-0", b"3-0", b"4-0", b"6-0"),
        *("b", b"g2", 1, 0, 0, 0, b"1-0"),
    )


def test_what_is_taken_out_of_a_batch_is_a_batch_of_its_own() -> None:
    batch = settle.Batch()
    batch.add("ack", [(1, (0, b"1-0")), (2, (1, b"1-0")), (3, (0, b"3-0"))])
    batch.add("reject", [(4, (1, b"4-0"))])
    taken = batch.take_out({(0, b"1-0"), (1, b"4-0"), (0, b"9-9")})
    assert taken.verdicts() == [("ack", [1]), ("reject", [4])]
    assert (taken.ids(0), taken.ids(1)) == ([b"1-0"], [b"4-0"])
    assert batch.verdicts() == [("ack", [3, 2])]
    assert (len(batch), len(taken)) == (2, 2)
    assert not batch.take_out(set()).verdicts()


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
    assert call.decode([250, 1, 2, 3, 4, 5, 6]) == tick.Ticked(
        next_ms=250, sessions=1, queues=2, given_back=3, died=4, routed=5, lanes=6
    )
    assert call.decode([0, 0, 0, 0, 0, 0, 0]).next_ms == 0
    assert call.decode([-1, 0, 0, 0, 0, 0, 0]).next_ms is None


def test_ticks_add_up_and_the_later_one_knows_what_comes_next() -> None:
    total = tick.Ticked(0, 1, 2, 3, 4, 5, 6) + tick.Ticked(250, 10, 20, 30, 40, 50, 60)
    assert total == tick.Ticked(250, 11, 22, 33, 44, 55, 66)
    assert (total + tick.Ticked(None, 0, 0, 0, 0, 0, 0)).next_ms is None
