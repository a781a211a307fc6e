# Generated from rexchange/_async/stakes.py by `python tools/unasync.py`. Do not edit.
"""The part of a holder that transactions use: what they settle leaves the ledger when it is done, not before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rexchange.errors import DeliveryError
from rexchange.protocol.settle import KINDS
from rexchange.protocol.transaction import Row

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping

    from rexchange._sync import io
    from rexchange._sync.deadlines import Holding
    from rexchange._sync.link import Link
    from rexchange.hooks import Hooks
    from rexchange.ledger import Ledger
    from rexchange.protocol.settle import Verdict


class Stakes:
    """What a holder knows (see `Holder`), as far as transactions need it."""

    name: str
    queues: list[str]
    types: list[str]
    incarnations: list[bytes]
    ledger: Ledger
    freed: io.Signal
    _tag: str
    _link: Link
    _hooks: Hooks | None
    _mutex: threading.Lock
    sending: io.Lock

    def is_of(self, link: Link) -> bool:
        """Whether it belongs to the Broker of this link."""
        return self._link is link

    def entry(self, tag: int) -> tuple[int, bytes]:
        """Return queue and id of an outstanding delivery; raises AlreadySettled, StaleDelivery, UnknownDeliveryTag."""
        with self._mutex:
            return self.ledger.entry(tag)

    def fixed(self, deadline: float) -> Holding:
        """Return what keeps its name in Redis as it is, in `with`."""
        return self._link.holding(self.sending, deadline)

    def announce(self, verdicts: Mapping[int, Verdict]) -> None:
        """Tell the hooks what is about to be settled; what they raise stops it. Raises as `entry`."""
        for tag in verdicts:
            self.entry(tag)
        self._before(_by_verdict(verdicts))

    def rows(self, verdicts: Mapping[int, Verdict]) -> list[Row]:
        """Return the verdicts as a transaction sends them, one row a queue; call it in `fixed`. Raises as `entry`."""
        rows: dict[int, Row] = {}
        for tag, verdict in verdicts.items():
            index, entry_id = self.entry(tag)
            row = rows.setdefault(index, Row(self.name, self.queues[index], self.incarnations[index], [], [], []))
            row.of(verdict).append(entry_id)
        return list(rows.values())

    def lose(self, queue: str, entry_id: bytes) -> int:
        """Take note of a delivery that is not ours any more; return its tag."""
        with self._mutex:
            tag = self.ledger.lose(self.queues.index(queue), entry_id)
        self._link.counters.stale += 1
        return tag or 0

    def settled_elsewhere(self, verdicts: Mapping[int, Verdict]) -> None:
        """Take out of the ledger what a transaction has settled."""
        with self._mutex:
            for tag in verdicts:
                with suppress(DeliveryError):  # judged meanwhile by another thread, which was too late
                    self.ledger.settle(tag)
        self._link.counters.settled += len(verdicts)
        self.freed.set()

    def tell(self, verdicts: Mapping[int, Verdict]) -> None:
        """Tell the hooks what was settled."""
        self._after(_by_verdict(verdicts), set())

    def _before(self, told: Iterable[tuple[Verdict, list[int]]]) -> None:
        """Tell the hooks which deliveries are about to be settled, and how; raises what they raise."""
        for verdict, tags in told:
            if self._hooks is not None and tags:
                self._hooks.before_settle(self._tag, tags, KINDS[verdict])

    def _after(self, told: Iterable[tuple[Verdict, list[int]]], stale: set[int]) -> None:
        """Tell them which were, and which of these came too late."""
        for verdict, tags in told:
            if self._hooks is not None:
                self._hooks.after_settle(self._tag, tags, KINDS[verdict], sorted(stale.intersection(tags)))


def _by_verdict(verdicts: Mapping[int, Verdict]) -> list[tuple[Verdict, list[int]]]:
    return [
        (verdict, tags) for verdict in KINDS if (tags := [tag for tag, given in verdicts.items() if given == verdict])
    ]
