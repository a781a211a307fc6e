"""Settling and extending deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rexchange.protocol.call import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from rexchange.hooks import SettleKind
    from rexchange.protocol.call import Arg

Verdict = Literal["ack", "requeue", "reject", "retry"]
_ORDER: dict[Verdict, int] = {"ack": 0, "requeue": 1, "reject": 2, "retry": 3}
KINDS: dict[Verdict, SettleKind] = {"ack": "ack", "requeue": "nack", "reject": "reject", "retry": "retry"}
"""What hooks are told: a requeue is a nack, a drop is a reject, whichever method asked for it."""


class Settled(NamedTuple):
    """What became of a batch: the stale ones by queue index and id, and queues that are gone."""

    stale: list[tuple[int, bytes]]
    gone: list[str]


class Batch:
    """Verdicts of one consumer that are sent together; at most the prefetch of them, so at most 2,000."""

    __slots__ = ("_ids", "tags")

    def __init__(self) -> None:
        """Start empty."""
        self._ids: dict[int, tuple[list[bytes], list[bytes], list[bytes], list[bytes]]] = {}
        #: The delivery tag of each entry, to name the stale ones.
        self.tags: dict[tuple[int, bytes], int] = {}

    def __len__(self) -> int:
        """Return how many verdicts there are."""
        return len(self.tags)

    def add(self, verdict: Verdict, settled: Iterable[tuple[int, tuple[int, bytes]]]) -> None:
        """Add deliveries as (tag, (queue index, entry id))."""
        column = _ORDER[verdict]
        for tag, entry in settled:
            queue, entry_id = entry
            lists = self._ids.get(queue)
            if lists is None:
                lists = self._ids[queue] = ([], [], [], [])
            lists[column].append(entry_id)
            self.tags[entry] = tag

    def take_out(self, entries: Container[tuple[int, bytes]]) -> Batch:
        """Take out the verdicts on some entries, as a batch of their own."""
        taken = Batch()
        for queue, lists in self._ids.items():
            for verdict, column in _ORDER.items():
                for entry_id in [entry_id for entry_id in lists[column] if (queue, entry_id) in entries]:
                    lists[column].remove(entry_id)
                    entry = queue, entry_id
                    taken.add(verdict, [(self.tags.pop(entry), entry)])
        return taken

    def verdicts(self) -> list[tuple[Verdict, list[int]]]:
        """Return the tags of each verdict that there is, for those who watch."""
        found: list[tuple[Verdict, list[int]]] = []
        for verdict, column in _ORDER.items():
            tags = [self.tags[queue, entry_id] for queue, lists in self._ids.items() for entry_id in lists[column]]
            if tags:
                found.append((verdict, tags))
        return found

    def ids(self, queue: int) -> list[bytes]:
        """Return the ids of one queue."""
        acks, requeues, rejects, retries = self._ids.get(queue, ((), (), (), ()))
        return [*acks, *requeues, *rejects, *retries]

    def call(
        self, consumer: str, queues: Sequence[str], incarnations: Sequence[bytes], *, again: bool, rearm: bool
    ) -> Call[Settled]:
        """Return the call. `again`: it was sent before and the reply lost. `rearm`: nothing else is held."""
        args: list[Arg] = [consumer, int(again), int(rearm)]
        for index, lists in self._ids.items():
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
