"""Settling and extending deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rexchange.protocol.call import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from rexchange.hooks import SettleKind
    from rexchange.ledger import Entry
    from rexchange.protocol.call import Arg

Verdict = Literal["ack", "requeue", "reject", "retry"]
KINDS: dict[Verdict, SettleKind] = {"ack": "ack", "requeue": "nack", "reject": "reject", "retry": "retry"}
"""What hooks are told: a requeue is a nack, a drop is a reject, whichever method asked for it."""


class Settled(NamedTuple):
    """What became of a batch: the stale ones by queue index and id, and queues that are gone."""

    stale: list[tuple[int, bytes]]
    gone: list[str]


class Batch:
    """Verdicts of one consumer that are sent together; at most the prefetch of them, so at most 2,000."""

    __slots__ = ("given",)

    def __init__(self) -> None:
        """Start empty."""
        #: The deliveries of each verdict: tag -> (queue index, entry id).
        self.given: dict[Verdict, dict[int, Entry]] = {"ack": {}, "requeue": {}, "reject": {}, "retry": {}}

    def __len__(self) -> int:
        """Return how many verdicts there are."""
        return sum(map(len, self.given.values()))

    def add(self, verdict: Verdict, settled: Iterable[tuple[int, Entry]]) -> None:
        """Add deliveries as (tag, (queue index, entry id))."""
        self.given[verdict].update(settled)

    @property
    def tags(self) -> dict[Entry, int]:
        """The delivery tag of each entry, to name the stale ones."""
        return {entry: tag for entries in self.given.values() for tag, entry in entries.items()}

    def take_out(self, wanted: Container[Entry]) -> Batch:
        """Take out the verdicts on some entries, as a batch of their own."""
        taken = Batch()
        for verdict, entries in self.given.items():
            taken.add(verdict, [(tag, entry) for tag, entry in entries.items() if entry in wanted])
            for tag in taken.given[verdict]:
                del entries[tag]
        return taken

    def verdicts(self) -> list[tuple[Verdict, list[int]]]:
        """Return the tags of each verdict that there is, queue by queue, for those who watch."""
        return [
            (verdict, sorted(entries, key=lambda tag: entries[tag][0]))
            for verdict, entries in self.given.items()
            if entries
        ]

    def ids(self, queue: int) -> list[bytes]:
        """Return the ids of one queue."""
        return [entry_id for entries in self.given.values() for index, entry_id in entries.values() if index == queue]

    def _rows(self, queue_count: int) -> Iterable[tuple[int, list[list[bytes]]]]:
        """Return the ids of each queue, those of each verdict in a list of their own."""
        if queue_count == 1:
            return [(0, [[entry_id for _, entry_id in entries.values()] for entries in self.given.values()])]
        found: dict[int, list[list[bytes]]] = {}
        for column, entries in enumerate(self.given.values()):
            for queue, entry_id in entries.values():
                if queue not in found:
                    found[queue] = [[] for _ in self.given]
                found[queue][column].append(entry_id)
        return sorted(found.items())

    def call(
        self, consumer: str, queues: Sequence[str], incarnations: Sequence[bytes], *, again: bool, rearm: bool
    ) -> Call[Settled]:
        """Return the call. `again`: it was sent before and the reply lost. `rearm`: nothing else is held."""
        args: list[Arg] = [consumer, int(again), int(rearm)]
        for index, lists in self._rows(len(queues)):
            args += (queues[index], incarnations[index], *map(len, lists))
            for ids in lists:
                args += ids
        return Call("settle", tuple(args), lambda reply: _settled(reply, queues))


def _settled(reply: Reply, queues: Sequence[str]) -> Settled:
    if not reply:
        return Settled([], [])
    stale, gone = reply
    return Settled(_pairs(stale, queues), [name.decode() for name in gone])


def _pairs(flat: Sequence[bytes], queues: Sequence[str]) -> list[tuple[int, bytes]]:
    return [(queues.index(flat[i].decode()), flat[i + 1]) for i in range(0, len(flat), 2)]


def extend(consumer: str, queues: Sequence[str], known: Sequence[Sequence[bytes]]) -> Call[list[tuple[int, bytes]]]:
    """Start the ack timeout of deliveries anew; returns the stale ones."""
    args: list[Arg] = [consumer]
    for name, ids in zip(queues, known, strict=True):
        if ids:
            args += (name, len(ids), *ids)
    return Call("extend", tuple(args), lambda reply: _pairs(reply, queues))
