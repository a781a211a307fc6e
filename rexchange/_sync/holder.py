# Generated from rexchange/_async/holder.py by `python tools/unasync.py`. Do not edit.
"""What a consumer (or `get`) holds: the ledger of its deliveries, verdicts on their way, and its name in Redis."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from rexchange._sync import io
from rexchange._sync.stakes import Stakes
from rexchange.errors import BrokerConnectionError, RexchangeError
from rexchange.ledger import Ledger, Log
from rexchange.protocol.call import SessionGone
from rexchange.protocol.consume import consume, keep_place
from rexchange.protocol.settle import Batch, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rexchange._sync.link import Link
    from rexchange._sync.session import Session
    from rexchange.codec import Table
    from rexchange.hooks import Hooks
    from rexchange.protocol.call import Call
    from rexchange.protocol.consume import Entry, Kind, Options
    from rexchange.protocol.settle import Verdict

    OnStale = Callable[[int, str], None]

_log = logging.getLogger("rexchange.settle")


class Holder(Stakes):
    """The owner of deliveries, under one name after another: a new one for each connection it reads on.

    `_mutex` guards the ledger and the batches for a few lines (other threads settle, the heartbeat renews);
    `sending` is held while verdicts travel, so that a change of names never overtakes them.
    """

    def __init__(
        self,
        link: Link,
        session: Session,
        queues: Sequence[str],
        options: Options,
        *,
        tag: str,
        info: Table | None = None,
        hooks: Hooks | None = None,
        on_stale: OnStale | None = None,
    ) -> None:
        """Nothing is registered yet: see `attach`."""
        self._link = link
        self._session = session
        self.queues = list(queues)
        self._options = options
        #: What the queues made of it at the last `attach`.
        self.kind: Kind = options.kind
        #: The type of each queue, empty for a classic one.
        self.types: list[str] = []
        #: Whether each queue has a retry policy, as far as we know.
        self.retries: list[bool] = []
        self._tag = tag
        self._info = info or {}
        #: Where it is, for a stream.
        self.log = Log()
        self._hooks = hooks
        self._on_stale = on_stale
        self.ledger = Ledger()
        #: Its name in Redis, empty before the first `attach`.
        self.name = ""
        #: Of each queue: an ack for one that was deleted and declared again must not touch the new one.
        self.incarnations: list[bytes] = []
        #: Queues that were deleted under us, as a settle found out.
        self.gone: list[str] = []
        #: Set whenever a place in the prefetch may have become free.
        self.freed = io.Signal()
        self._mutex = threading.Lock()
        self.sending = io.Lock()
        self._waiting = Batch()
        self._flying: list[Batch] = []
        self._mislaid: list[Batch] = []
        self._count = 0
        self._fresh = ""
        #: The generation of the session in which it was registered.
        self.generation = -1
        #: Seconds: the ack timeout that holds, known once registered.
        self.timeout = 0.0

    # --- registration

    @property
    def is_log(self) -> bool:
        """Whether its queue is a stream: settling gives room for more, and nothing leaves the queue."""
        return self.types == ["stream"]

    @property
    def registered(self) -> bool:
        """Whether the registration belongs to the session of now."""
        return self.generation == self._session.alive

    @property
    def is_moving(self) -> bool:
        """Whether it is being registered under another name: what is held is the old one's, or the new one's."""
        return bool(self._fresh)

    def attach(self, deadline: float | None = None) -> None:
        """Register under a new name; what the old one held and we know of comes along, the rest is given back.

        Raises NotFound, ResourceLocked, BrokerConnectionError.
        """
        limit = self._link.deadline() if deadline is None else deadline
        with self._link.holding(self.sending, limit):
            if self.name:
                self._send_mislaid(limit)
            session = self._session.ensure(limit)
            while True:
                generation = self._session.generation
                try:
                    self._register(session, limit)
                except SessionGone:
                    session = self._session.renewed(session, limit)
                else:
                    self.generation = generation
                    return

    def _register(self, session: str, deadline: float) -> None:
        if not self._fresh.startswith(f"{session}."):
            self._count += 1
            self._fresh = f"{session}.{id(self):x}.{self._count}"
        # A try that was given up may have been done: under another name, what it moved would be out of our reach.
        fresh = self._fresh
        known = self.known()
        call = consume(
            session,
            fresh,
            self.name,
            self.queues,
            known,
            self._options,
            default_ms=int(self._link.settings.ack_timeout.total_seconds() * 1000),
            info=self._info,
        )
        registered = self._link.run(call, deadline=deadline)
        self.name, self._fresh, self.incarnations = fresh, "", registered.incarnations
        self.timeout = registered.timeout_ms / 1000
        self.kind, self.types, self.retries = registered.kind, registered.types, registered.retries
        if self.is_log:
            return  # nothing of a stream is anybody's, so nothing was taken from us
        self._lose({(index, lost) for index, ids in enumerate(registered.kept) for lost in {*known[index]} - {*ids}})

    def _lose(self, entries: set[tuple[int, bytes]]) -> None:
        """Take note of what the old name did not hold any more; verdicts on it that wait are stale.

        They must not be sent under the new name: its fence stands, so they would be taken for its own, and settle
        the delivery of whoever has the message now.
        """
        self.forget(entries)
        with self._mutex:
            late = self._waiting.take_out(entries)
            self._flying.append(late)
        self.settled(late, Settled(list(late.tags), []))

    # --- what is held

    @property
    def held(self) -> int:
        """Deliveries that the server may count as ours: not judged, or their verdict waits or is on its way."""
        with self._mutex:
            return self.ledger.outstanding + len(self._waiting) + sum(map(len, self._flying))

    def add(self, entries: Sequence[Entry], *, fresh: bool = False) -> Sequence[int]:
        """Note deliveries and return their tags; `fresh` as in the ledger."""
        with self._mutex:
            if len(self.queues) == 1:
                return self.ledger.add_many(0, [entry.id for entry in entries], fresh=fresh)
            return [self.ledger.add(entry.queue, entry.id) for entry in entries]

    def holds(self, tag: int) -> bool:
        """Whether a delivery is outstanding, as far as we know."""
        with self._mutex:
            return self.ledger.holds(tag)

    def queues_of(self, tag: int, *, multiple: bool, shown: int) -> set[int]:
        """Return the queues of the deliveries that a verdict would settle; raises what the ledger raises."""
        with self._mutex:
            tags = self.ledger.judged(tag, multiple=multiple, shown=shown)
            return {self.ledger.entry(each)[0] for each in tags}

    def known(self) -> list[list[bytes]]:
        """Return the ids of each queue that the user was shown or will be, verdicts on their way included."""
        with self._mutex:
            batches = [self._waiting, *self._flying, *self._mislaid]
            return [
                [*self.ledger.known(index), *(entry_id for batch in batches for entry_id in batch.ids(index))]
                for index in range(len(self.queues))
            ]

    def drop(self, tags: Iterable[int]) -> None:
        """Forget deliveries that the user never saw: `cancel` gives them back."""
        with self._mutex:
            for tag in tags:
                self.ledger.settle(tag)

    def end(self) -> None:
        """Forget all: it was given back, so a verdict from now on is stale."""
        for index, ids in enumerate(self.known()):
            self.forget((index, entry_id) for entry_id in ids)

    def outstanding(self) -> list[list[bytes]]:
        """Return the ids of each queue that are not judged yet."""
        with self._mutex:
            return [self.ledger.known(index) for index in range(len(self.queues))]

    def forget(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Take note that entries are not ours any more: their deliveries are stale."""
        with self._mutex:
            for index, entry_id in entries:
                self.ledger.lose(index, entry_id)

    # --- verdicts

    def judge(self, tag: int, verdict: Verdict, *, multiple: bool, shown: int) -> None:
        """Note a verdict on a delivery, or with `multiple` on all up to it; it leaves with the next batch.

        `shown` is the last tag that the user has seen. Raises what the ledger raises.
        """
        if self._hooks is not None:
            self._announce(tag, verdict, multiple=multiple, shown=shown)
        with self._mutex:
            if multiple:
                self._waiting.add(verdict, self.ledger.settle(tag, multiple=True, shown=shown))
            else:
                self._waiting.given[verdict][tag] = self.ledger.take(tag)
        if not self.freed.is_set():
            self.freed.set()

    def _announce(self, tag: int, verdict: Verdict, *, multiple: bool, shown: int) -> None:
        """Tell the hooks which deliveries are about to be settled; raises what the ledger raises, and what they do."""
        if self._hooks is None:
            return
        with self._mutex:
            tags = self.ledger.judged(tag, multiple=multiple, shown=shown)
        self._before([(verdict, tags)])

    def window(self, prefetch: int) -> tuple[int, Batch | None]:
        """Return how many more may be read once the waiting verdicts have arrived, and these, to go in front.

        In one look: verdicts that left with the flusher in between may arrive after the read, so they still count.
        """
        with self._mutex:
            flying = sum(map(len, self._flying))
            return prefetch - self.ledger.outstanding - flying, self._take_batch()

    def take_batch(self) -> Batch | None:
        """Take the waiting verdicts to send them; then call `settled`, `send` or `mislay`."""
        with self._mutex:
            return self._take_batch()

    def _take_batch(self) -> Batch | None:
        if not self._waiting:
            return None
        batch, self._waiting = self._waiting, Batch()
        self._flying.append(batch)
        return batch

    def settle_call(self, batch: Batch, *, again: bool = False, rearm: bool = False) -> Call[Settled]:
        """Return the call for a batch."""
        return batch.call(self.name, self.queues, self.incarnations, again=again, rearm=rearm)

    def settled(self, batch: Batch, result: Settled) -> None:
        """Take note of the reply to a batch."""
        with self._mutex:
            self._flying.remove(batch)
        counters = self._link.counters
        counters.settled += len(batch) - len(result.stale)
        counters.stale += len(result.stale)
        self.gone += result.gone
        self.freed.set()
        tags = batch.tags if result.stale else {}
        for entry in result.stale:
            tag, queue = tags[entry], self.queues[entry[0]]
            _log.info(
                "%s: delivery %d of queue %r was settled too late: it had been given back", self._link, tag, queue
            )
            if self._on_stale is not None:
                self._on_stale(tag, queue)
        if self._hooks is not None:
            self._after(batch.verdicts(), {tags[entry] for entry in result.stale})

    def mislay(self, batch: Batch) -> None:
        """Note that the reply to a batch was lost: it is sent again, as such, before anything else."""
        with self._mutex:
            self._flying.remove(batch)
            self._mislaid.append(batch)

    def unjudge(self, entry: tuple[int, bytes]) -> None:
        """Forget a delivery and the verdict on it that did not arrive: registering anew gives it back."""
        self.forget([entry])
        with self._mutex:
            for batch in self._mislaid:
                batch.take_out([entry])
            self._mislaid = [batch for batch in self._mislaid if batch]

    def send(self, batch: Batch) -> None:
        """Send a batch that was taken by itself; raises what the server refuses."""
        with self.sending:
            self._send(batch)

    def flush(self, deadline: float | None = None) -> None:
        """Send the waiting verdicts now. Raises BrokerConnectionError."""
        limit = self._link.deadline() if deadline is None else deadline
        with self._link.holding(self.sending, limit):
            self._send_mislaid(limit)
            batch = self.take_batch()
            if batch is not None:
                self._send(batch, deadline=limit)

    def settle_now(
        self, tag: int, verdict: Verdict, *, multiple: bool, shown: int, deadline: float | None = None
    ) -> Settled:
        """Settle by a call of its own and return the answer; raises what the ledger raises."""
        self._announce(tag, verdict, multiple=multiple, shown=shown)
        limit = self._link.deadline() if deadline is None else deadline
        with self._link.holding(self.sending, limit):
            self._send_mislaid(limit)
            batch = Batch()
            with self._mutex:
                batch.add(verdict, self.ledger.settle(tag, multiple=multiple, shown=shown))
                self._flying.append(batch)
            return self._send(batch, deadline=limit)

    def _send_mislaid(self, deadline: float) -> None:
        while self._mislaid:
            with self._mutex:
                batch = self._mislaid.pop(0)
                self._flying.append(batch)
            self._send(batch, again=True, deadline=deadline)

    def _read_on(self, batch: Batch) -> Settled:
        """Settle deliveries of a stream: the place of a reader with a name moves to the first that is not settled."""
        result = Settled([], [])
        self.settled(batch, result)
        with self._mutex:
            place = self.log.place(lambda entry_id: self.ledger.has((0, entry_id)))
        if place is not None:
            self._link.run(keep_place(self.queues[0], self.incarnations[0], self.log.reader, place))
        return result

    def _send(self, batch: Batch, *, again: bool = False, deadline: float | None = None) -> Settled:
        if self.is_log:
            return self._read_on(batch)
        call = self._again(batch) if again else self.settle_call(batch)
        try:
            result = self._link.run(call, resend=lambda: self._again(batch), deadline=deadline)
        except RexchangeError as error:
            if isinstance(error, BrokerConnectionError):
                self.mislay(batch)
            else:
                with self._mutex:
                    self._flying.remove(batch)
            raise
        except BaseException:
            self.mislay(batch)  # interrupted or cancelled: it may have been done
            raise
        self.settled(batch, result)
        return result

    def _again(self, batch: Batch) -> Call[Settled]:
        """Return the call that sends a batch again after a lost reply.

        Left out is what came to us anew since: it was requeued by the first try, or went round by a timeout. A verdict
        on the old delivery would settle the new one under its user's hands.
        """
        with self._mutex:
            batch.take_out({entry for entry in batch.tags if self.ledger.has(entry)})
        return self.settle_call(batch, again=True)
