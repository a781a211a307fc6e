"""The ledger: which tags may be settled, and that it forgets what was."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rexchange import ledger as module
from rexchange.errors import AlreadySettled, DeliveryError, StaleDelivery, UnknownDeliveryTag
from rexchange.ledger import STALE_MAX, Ledger, Log


def filled(count: int) -> Ledger:
    ledger = Ledger()
    ledger.add_many(0, [b"%d-0" % number for number in range(1, count + 1)])
    return ledger


def test_tags_rise_from_one() -> None:
    ledger = Ledger()
    assert [ledger.add(0, b"1-0"), ledger.add(1, b"1-0")] == [1, 2]
    assert ledger.add_many(0, [b"2-0", b"3-0"]) == range(3, 5)
    assert ledger.add(0, b"4-0") == 5


def test_settle_takes_one_out() -> None:
    ledger = filled(3)
    assert ledger.settle(2) == [(2, (0, b"2-0"))]
    assert ledger.known(0) == [b"1-0", b"3-0"]
    assert ledger.outstanding == len(ledger) == 2


def test_multiple_takes_all_up_to_the_tag() -> None:
    ledger = filled(5)
    ledger.settle(2)
    assert ledger.settle(4, multiple=True) == [(1, (0, b"1-0")), (3, (0, b"3-0")), (4, (0, b"4-0"))]
    assert ledger.known(0) == [b"5-0"]
    assert ledger.settle(5, multiple=True) == [(5, (0, b"5-0"))]


def test_tag_zero_with_multiple_is_all_and_fine_when_there_are_none() -> None:
    ledger = filled(2)
    assert ledger.settle(0, multiple=True) == [(1, (0, b"1-0")), (2, (0, b"2-0"))]
    assert ledger.settle(0, multiple=True) == []
    with pytest.raises(AlreadySettled):
        ledger.settle(1)


@pytest.mark.parametrize("tag", [0, -1, 4])
def test_a_tag_never_given_out_is_unknown(tag: int) -> None:
    with pytest.raises(UnknownDeliveryTag) as caught:
        filled(3).settle(tag)
    assert caught.value.delivery_tag == tag


def test_multiple_with_a_tag_never_given_out_settles_nothing() -> None:
    ledger = filled(3)
    with pytest.raises(UnknownDeliveryTag):
        ledger.settle(4, multiple=True)
    assert ledger.outstanding == 3


def test_a_second_settle_is_refused() -> None:
    ledger = filled(3)
    ledger.settle(2)
    for multiple in (False, True):
        with pytest.raises(AlreadySettled):
            ledger.settle(2, multiple=multiple)
    assert ledger.outstanding == 2


def test_an_entry_that_comes_again_makes_its_old_tag_stale() -> None:
    ledger = filled(2)
    assert ledger.add(0, b"1-0") == 3
    with pytest.raises(StaleDelivery):
        ledger.settle(1)
    assert ledger.settle(3) == [(3, (0, b"1-0"))]
    with pytest.raises(StaleDelivery):
        ledger.settle(1)


def test_the_same_id_in_another_queue_is_another_entry() -> None:
    ledger = Ledger()
    ledger.add(0, b"1-0")
    ledger.add(1, b"1-0")
    assert ledger.settle(1) == [(1, (0, b"1-0"))]
    assert ledger.settle(2) == [(2, (1, b"1-0"))]


def test_a_read_may_bring_entries_that_were_here_before() -> None:
    ledger = filled(2)
    assert ledger.add_many(0, [b"2-0", b"3-0"]) == range(3, 5)
    with pytest.raises(StaleDelivery):
        ledger.settle(2)
    assert ledger.known(0) == [b"1-0", b"2-0", b"3-0"]


def test_a_lost_entry_is_stale_and_no_longer_counts() -> None:
    ledger = filled(2)
    assert ledger.lose(0, b"1-0") == 1
    assert ledger.lose(0, b"1-0") is None
    assert ledger.known(0) == [b"2-0"]
    for multiple in (False, True):
        with pytest.raises(StaleDelivery):
            ledger.settle(1, multiple=multiple)
    assert ledger.settle(2, multiple=True) == [(2, (0, b"2-0"))]


def test_tag_zero_leaves_alone_what_the_user_has_not_seen() -> None:
    ledger = filled(4)
    assert [tag for tag, _ in ledger.settle(0, multiple=True, shown=2)] == [1, 2]
    assert ledger.settle(0, multiple=True, shown=2) == []
    assert [tag for tag, _ in ledger.settle(4, multiple=True, shown=2)] == [3, 4]


def test_an_entry_is_looked_up_by_its_tag() -> None:
    ledger = filled(3)
    assert ledger.entry(2) == (0, b"2-0")
    ledger.settle(2)
    ledger.lose(0, b"3-0")
    for tag, error in ((2, AlreadySettled), (3, StaleDelivery), (4, UnknownDeliveryTag)):
        with pytest.raises(error):
            ledger.entry(tag)
    assert ledger.outstanding == 1


def test_stale_tags_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STALE_MAX == 10_000
    monkeypatch.setattr(module, "STALE_MAX", 2)
    ledger = filled(3)
    for number in (1, 2, 3):
        ledger.lose(0, b"%d-0" % number)
    with pytest.raises(AlreadySettled):
        ledger.settle(1)
    for tag in (2, 3):
        with pytest.raises(StaleDelivery):
            ledger.settle(tag)


def test_memory_does_not_grow_with_what_was_settled() -> None:
    ledger = Ledger()
    for number in range(20_000):
        ledger.settle(ledger.add(0, b"%d-0" % number))
    assert not ledger._entries
    assert not ledger._tags
    ledger.add_many(0, [b"1-0"], fresh=True)
    assert ledger._tags is None  # nobody has asked
    assert not ledger._stale


class AgainstAList(RuleBasedStateMachine):
    """The ledger against a list of [tag, entry, state] that keeps everything and searches it."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.rows: list[tuple[tuple[int, bytes], list[str]]] = []

    def outstanding(self) -> list[tuple[int, tuple[int, bytes]]]:
        return [(tag, entry) for tag, (entry, state) in enumerate(self.rows, 1) if state == ["out"]]

    def note(self, entry: tuple[int, bytes]) -> None:
        for tag, other in self.outstanding():
            if other == entry:
                self.rows[tag - 1][1][:] = ["stale"]
        self.rows.append((entry, ["out"]))

    @rule(queue=st.integers(0, 1), number=st.integers(0, 5))
    def add(self, queue: int, number: int) -> None:
        self.note((queue, b"%d" % number))
        assert self.ledger.add(queue, b"%d" % number) == len(self.rows)

    @rule(queue=st.integers(0, 1), numbers=st.sets(st.integers(0, 9), max_size=4))
    def add_many(self, queue: int, numbers: set[int]) -> None:
        ids = [b"%d" % number for number in numbers]
        for entry_id in ids:
            self.note((queue, entry_id))
        tags = self.ledger.add_many(queue, ids)
        assert tags == range(len(self.rows) - len(ids) + 1, len(self.rows) + 1)

    @rule(queue=st.integers(0, 1), count=st.integers(0, 3))
    def add_fresh(self, queue: int, count: int) -> None:
        first = len(self.rows)
        ids = [b"fresh %d" % number for number in range(first, first + count)]
        for entry_id in ids:
            self.note((queue, entry_id))
        assert self.ledger.add_many(queue, ids, fresh=True) == range(first + 1, first + count + 1)

    @rule(back=st.integers(1, 8))
    def again(self, back: int) -> None:
        if len(self.rows) >= back:
            entry = self.rows[-back][0]
            self.note(entry)
            assert self.ledger.add(*entry) == len(self.rows)

    @rule(queue=st.integers(0, 1), number=st.integers(0, 5))
    def lose(self, queue: int, number: int) -> None:
        entry = (queue, b"%d" % number)
        expected = [tag for tag, other in self.outstanding() if other == entry]
        for tag in expected:
            self.rows[tag - 1][1][:] = ["stale"]
        assert self.ledger.lose(*entry) == (expected[0] if expected else None)

    @rule(back=st.integers(-1, 8), multiple=st.booleans())
    def settle(self, back: int, multiple: bool) -> None:
        tag = max(0, len(self.rows) - back)
        if tag == 0 and multiple:
            expected = self.outstanding()
        elif not 0 < tag <= len(self.rows):
            self.refused(tag, multiple, UnknownDeliveryTag)
            return
        elif self.rows[tag - 1][1] != ["out"]:
            stale = self.rows[tag - 1][1] == ["stale"]
            self.refused(tag, multiple, StaleDelivery if stale else AlreadySettled)
            return
        else:
            expected = [row for row in self.outstanding() if row[0] == tag or (multiple and row[0] < tag)]
        for settled, _ in expected:
            self.rows[settled - 1][1][:] = ["settled"]
        assert self.ledger.settle(tag, multiple=multiple) == expected

    def refused(self, tag: int, multiple: bool, error: type[DeliveryError]) -> None:
        with pytest.raises(error):
            self.ledger.settle(tag, multiple=multiple)

    @invariant()
    def agree(self) -> None:
        outstanding = self.outstanding()
        assert self.ledger.outstanding == len(outstanding)
        for queue in (0, 1):
            assert self.ledger.known(queue) == [entry[1] for _, entry in outstanding if entry[0] == queue]


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=50, stateful_step_count=40)


def test_it_tells_what_is_outstanding() -> None:
    ledger = Ledger()
    tag = ledger.add(0, b"1-0")
    assert (ledger.holds(tag), ledger.has((0, b"1-0"))) == (True, True)
    ledger.settle(tag)
    assert (ledger.holds(tag), ledger.has((0, b"1-0"))) == (False, False)


def test_what_was_never_handed_out_before_is_known_by_its_entry_too() -> None:
    ledger = Ledger()
    ledger.add(0, b"1-0")
    assert ledger.add_many(0, [b"2-0", b"3-0"], fresh=True) == range(2, 4)
    assert ledger.has((0, b"2-0"))
    assert ledger.lose(0, b"3-0") == 3
    assert ledger.add_many(0, [b"1-0", b"2-0"]) == range(4, 6)
    for tag in (1, 2, 3):
        with pytest.raises(StaleDelivery):
            ledger.settle(tag)
    assert ledger.settle(0, multiple=True) == [(4, (0, b"1-0")), (5, (0, b"2-0"))]
    assert not ledger.has((0, b"2-0"))


# --- where the reader of a stream is


def nothing_is_held(_entry_id: bytes) -> bool:
    return False


def test_a_reader_goes_on_after_the_last_entry_that_it_read() -> None:
    log = Log()
    assert log.after is None
    log.read([])
    assert log.after is None
    log.read([b"1-0", b"2-0"])
    log.read([b"5-0"])
    log.read([])
    assert log.after == b"5-0"


def test_the_place_is_the_last_entry_before_the_first_that_is_held() -> None:
    log = Log("me")
    log.read([b"1-0", b"2-0", b"3-0", b"4-0"])
    held = {b"2-0", b"4-0"}
    assert log.place(held.__contains__) == b"1-0"
    assert log.place(held.__contains__) is None
    held.remove(b"2-0")
    assert log.place(held.__contains__) == b"3-0"
    assert log.place(nothing_is_held) == b"4-0"
    assert log.place(nothing_is_held) is None


def test_what_is_settled_out_of_order_waits_for_what_was_before() -> None:
    log = Log("me")
    log.read([b"1-0", b"2-0", b"3-0"])
    assert log.place([b"1-0"].__contains__) is None
    assert log.place(nothing_is_held) == b"3-0"


def test_what_was_never_shown_is_not_done() -> None:
    log = Log("me")
    log.read([b"1-0", b"2-0", b"3-0"])
    log.unread(entry_id for entry_id in [b"3-0", b"2-0"])
    assert log.place(nothing_is_held) == b"1-0"
    assert log.place(nothing_is_held) is None
    assert log.after == b"3-0"


def test_no_place_is_kept_of_a_reader_without_a_name() -> None:
    log = Log()
    log.read([b"1-0", b"2-0"])
    assert log.place(nothing_is_held) is None
    assert not log._unsettled
