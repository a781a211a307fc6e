"""Which delivery tag stands for which entry of which queue, and how many more a consumer may hold.

Tags rise from 1, so nothing need be kept about settled ones: a tag that was given out and is neither outstanding
nor stale was settled. No I/O and no locks: the shell holds its lock around every call.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat, takewhile
from typing import TYPE_CHECKING

from rexchange.errors import AlreadySettled, StaleDelivery, UnknownDeliveryTag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Entry = tuple[int, bytes]
"""The queue's index in its consumer, and the id of the stream entry."""

STALE_MAX = 10_000
"""So many stale tags are remembered; an older one that is settled later is called settled before."""


class Log:
    """Where the reader of a stream is: after which entry it reads on, and up to where it is done."""

    __slots__ = ("_unsettled", "after", "reader")

    def __init__(self, reader: str = "") -> None:
        """Take the name under which the server keeps its place; empty: it keeps none."""
        self.reader = reader
        #: The entry after which it reads on; None before it has asked where to begin.
        self.after: bytes | None = None
        self._unsettled: deque[bytes] = deque()

    def read(self, entry_ids: Sequence[bytes]) -> None:
        """Note what was read."""
        if entry_ids:
            self.after = entry_ids[-1]
            self._unsettled.extend(entry_ids)

    def unread(self, entry_ids: Iterable[bytes]) -> None:
        """Note that entries were read and never shown: the place does not go past them."""
        dropped = set(entry_ids)
        self._unsettled = deque(entry_id for entry_id in self._unsettled if entry_id not in dropped)

    def place(self, is_held: Callable[[bytes], bool]) -> bytes | None:
        """Return the last entry up to which all are settled, where that is news and the server is to keep it."""
        done = None
        while self._unsettled and not is_held(self._unsettled[0]):
            done = self._unsettled.popleft()
        return done if self.reader else None


class Ledger:
    """The unacked deliveries of one consumer (or of `get` in one session)."""

    __slots__ = ("_entries", "_last", "_stale", "_tags")

    def __init__(self) -> None:
        """Start empty; the first tag is 1."""
        self._last = 0
        self._entries: dict[int, Entry] = {}  # outstanding tags, rising
        # The same, the other way round, once somebody has asked: who reads natively and settles in time never does.
        self._tags: dict[Entry, int] | None = None
        self._stale: dict[int, None] = {}  # an ordered set, bounded

    def __len__(self) -> int:
        """Return how many deliveries are outstanding."""
        return len(self._entries)

    @property
    def outstanding(self) -> int:
        """How many deliveries are outstanding."""
        return len(self._entries)

    def add(self, queue: int, entry_id: bytes) -> int:
        """Note one delivery and return its tag.

        An entry that comes again was given back by force in between: the tag it had is stale from now on, since an
        ack by its old holder would settle the new delivery.
        """
        tag = self._last = self._last + 1
        entry = (queue, entry_id)
        tags = self._reverse()
        old = tags.get(entry)
        if old is not None:
            del self._entries[old]
            self._remember(old)
        tags[entry] = tag
        self._entries[tag] = entry
        return tag

    def add_many(self, queue: int, entry_ids: Sequence[bytes], *, fresh: bool = False) -> range:
        """Note the deliveries of one read and return their tags; the ids of one read are distinct.

        `fresh`: never handed out before, as a native read brings them, so none of them can be outstanding.
        """
        first = self._last + 1
        tags = range(first, first + len(entry_ids))
        if fresh:
            self._last += len(entry_ids)
            self._entries.update(zip(tags, zip(repeat(queue), entry_ids, strict=False), strict=True))
            self._tags = None
        else:
            for entry_id in entry_ids:
                self.add(queue, entry_id)
        return tags

    def holds(self, tag: int) -> bool:
        """Return whether the delivery is outstanding."""
        return tag in self._entries

    def has(self, entry: Entry) -> bool:
        """Return whether the entry is outstanding, under whatever tag."""
        return entry in self._reverse()

    def entry(self, tag: int) -> Entry:
        """Return an outstanding delivery's entry; raises what `settle` raises."""
        entry = self._entries.get(tag)
        if entry is None:
            raise self._refusal(tag)
        return entry

    def settle(self, tag: int, *, multiple: bool = False, shown: int | None = None) -> list[tuple[int, Entry]]:
        """Take out one delivery, or with `multiple` all up to and with `tag`; oldest first, each with its tag.

        `multiple` with tag 0 means all up to `shown`, the last that the user has seen (None: all there are); it is
        no error where there are none. Raises UnknownDeliveryTag for a tag never given out (and 0 without
        `multiple`), StaleDelivery for one whose entry was given back, AlreadySettled for the rest. Where it raises
        nothing is taken out.
        """
        return self._settle_up_to(tag, shown) if multiple else [(tag, self.take(tag))]

    def take(self, tag: int) -> Entry:
        """Take out one delivery and return its entry; raises what `settle` raises."""
        entry = self._entries.pop(tag, None)
        if entry is None:
            raise self._refusal(tag)
        if self._tags is not None:
            del self._tags[entry]
        return entry

    def judged(self, tag: int, *, multiple: bool = False, shown: int | None = None) -> list[int]:
        """Return the tags that `settle` would take out, oldest first; raises what it raises."""
        if not multiple or tag != 0:
            self.entry(tag)
        return self._up_to(tag, shown) if multiple else [tag]

    def lose(self, queue: int, entry_id: bytes) -> int | None:
        """Note that the entry was taken from us by force; return its tag, stale from now on, or None if unknown."""
        tag = self._reverse().pop((queue, entry_id), None)
        if tag is not None:
            del self._entries[tag]
            self._remember(tag)
        return tag

    def known(self, queue: int) -> list[bytes]:
        """Return the ids of the outstanding entries of one queue, in the order of their tags."""
        return [entry_id for index, entry_id in self._entries.values() if index == queue]

    def _settle_up_to(self, tag: int, shown: int | None) -> list[tuple[int, Entry]]:
        if tag != 0 and tag not in self._entries:
            raise self._refusal(tag)
        taken = [(each, self._entries.pop(each)) for each in self._up_to(tag, shown)]
        if self._tags is not None:
            for _, entry in taken:
                del self._tags[entry]
        return taken

    def _up_to(self, tag: int, shown: int | None) -> list[int]:
        last = tag or (self._last if shown is None else shown)
        if last == self._last:
            return list(self._entries)
        return list(takewhile(lambda outstanding: outstanding <= last, self._entries))  # they rise

    def _reverse(self) -> dict[Entry, int]:
        if self._tags is None:
            self._tags = {entry: tag for tag, entry in self._entries.items()}
        return self._tags

    def _remember(self, tag: int) -> None:
        self._stale[tag] = None
        if len(self._stale) > STALE_MAX:
            del self._stale[next(iter(self._stale))]

    def _refusal(self, tag: int) -> UnknownDeliveryTag | StaleDelivery | AlreadySettled:
        if tag in self._stale:
            return StaleDelivery(tag)
        if 0 < tag <= self._last:
            return AlreadySettled(tag)
        return UnknownDeliveryTag(tag)
