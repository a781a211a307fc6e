# Generated from rexchange/_async/consumer.py by `python tools/unasync.py`. Do not edit.
"""A consumer: it reads deliveries from its queues, hands them out one by one, and sends the verdicts on them."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from redis.exceptions import RedisError

from rexchange._sync import io
from rexchange._sync.delivery import Delivery, OnReceipt
from rexchange._sync.holder import Holder
from rexchange._sync.reader import Reader
from rexchange._sync.wire import ConnectionLost
from rexchange.errors import (
    BrokerConnectionError,
    ConsumerCancelled,
    InvalidArgument,
    NotFound,
    RexchangeError,
    ServerRefused,
    StaleDelivery,
    UnknownDeliveryTag,
)
from rexchange.protocol.call import SessionGone
from rexchange.protocol.consume import cancel, restore
from rexchange.server import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from types import TracebackType

    from rexchange._sync.holder import OnStale
    from rexchange._sync.link import Link
    from rexchange._sync.session import Session
    from rexchange.codec import Table
    from rexchange.hooks import Hooks
    from rexchange.protocol.consume import Entry, Kind
    from rexchange.protocol.settle import Batch, Verdict

_log = logging.getLogger("rexchange.consume")

MOST_UNACKED = 2000
"""What prefetch=0 (unlimited) means: RabbitMQ's quorum queues cap it so, too."""


class Consumer:
    """Iterate over it; leave it (`with`, `close`) and what you did not settle goes back to the queue at once."""

    def __init__(  # noqa: PLR0913 - made by Broker.consume, whose options these are
        self,
        link: Link,
        session: Session,
        hooks: Hooks | None,
        queues: Sequence[str],
        *,
        tag: str,
        auto_ack: bool,
        prefetch: int,
        timeout: float | None,
        ack_timeout_ms: int,
        renew: bool,
        on_stale: OnStale | None,
        on_open: Callable[[Consumer], None],
        on_close: Callable[[Consumer], None],
        client: str,
    ) -> None:
        """Nothing is registered yet: that happens on entering, or with the first delivery asked for."""
        self.tag = tag
        self.auto_ack = auto_ack
        self.prefetch = min(prefetch or MOST_UNACKED, MOST_UNACKED)
        self._link = link
        self._session = session
        self._hooks = hooks
        self._timeout = timeout
        self._renew = renew
        self._on_open = on_open
        self._on_close = on_close
        self._pid = os.getpid()
        info: Table = {"tag": tag, "prefetch": prefetch, "auto_ack": auto_ack, "client": client}
        kind: Kind = "plain" if len(queues) == 1 else "managed"
        self._holder = Holder(
            link, session, queues, kind, timeout_ms=ack_timeout_ms, info=info, hooks=hooks, on_stale=on_stale
        )
        self._reader = Reader(link, self._holder)
        self._buffer: deque[Delivery] = deque()
        self._flight = io.Flight()
        self._flusher = io.Flusher(link.settings.settle_delay.total_seconds(), self._flush)
        self._on_receipt = OnReceipt()
        self._idle_until: float | None = None
        self._given: list[Delivery] = []
        self._shown = 0
        self._cancelled = False
        # Set while a read is under way: one that was torn (Ctrl-C, an alarm) may have brought what nobody saw.
        self._torn = False
        self._reading_ended = False
        self._closed = False

    # --- life

    @property
    def queues(self) -> list[str]:
        """The names of its queues."""
        return list(self._holder.queues)

    def open(self) -> None:
        """Register the consumer; raises NotFound, ResourceLocked, BrokerConnectionError."""
        if self._closed:
            raise ConsumerCancelled(", ".join(self.queues), "the consumer is closed")
        if self._pid != os.getpid():
            raise ConsumerCancelled(
                ", ".join(self.queues), "it belongs to the parent process: consume anew after a fork"
            )
        if not self._holder.name:
            self._on_open(self)
            self._holder.attach()
            if self._renew:
                self._session.renew(self._holder)

    def __enter__(self) -> Self:
        """Register."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is not settled, and unregister."""
        self.close()

    def cancel(self) -> None:
        """Stop the deliveries (AMQP basic.cancel): iteration ends, what was not handed out goes back at once.

        What was handed out stays yours to settle until the consumer is closed. Any thread may call it, and a signal
        handler (sync): then the iteration that it interrupted does the rest.
        """
        if self._cancelled or self._pid != os.getpid():
            return
        self._cancelled = True
        self._holder.freed.set()
        self._reader.unblock()
        if not self._flight.mine():
            # From a signal handler that interrupted our own read nothing can be waited for: the iteration does it.
            self._flight.finish(self._link.settings.block.total_seconds())
            self._end_reading()

    def close(self) -> None:
        """End the consumer: verdicts are sent, what is not settled goes back to its place, the connection is closed."""
        if self._closed or self._pid != os.getpid():
            return  # in a forked child it is the parent's: its deliveries are being worked on there
        self.cancel()
        self._end_reading()
        self._closed = True
        self._taken_back()
        self._flusher.close()
        self._session.forget(self._holder)
        self._give_back(keep=False)
        self._holder.end()
        self._reader.close()
        self._on_close(self)

    def _end_reading(self) -> None:
        if not self._reading_ended:
            self._reading_ended = True
            self._give_back(keep=True)

    def _give_back(self, *, keep: bool) -> None:
        if not self._holder.name:
            return
        unseen = list(self._buffer)
        self._buffer.clear()
        holder = self._holder
        try:
            if self.auto_ack:
                self._restore(unseen)
            else:
                holder.drop(delivery.delivery_tag for delivery in unseen)
                holder.flush()
            self._link.run(cancel(holder.name, holder.queues, holder.known(), keep=keep))
        except RexchangeError as error:
            # The session ends with this process at the latest, and the reaper then gives back all of it.
            _log.warning("%s: consumer %s could not give back its deliveries now: %s", self._link, self.tag, error)

    def _restore(self, unseen: list[Delivery]) -> None:
        """Acknowledged when they were read, but nobody saw them: without this, leaving a loop early would lose them."""
        for index, queue in enumerate(self.queues):
            entries = [delivery.entry for delivery in unseen if delivery.queue == queue]
            if not entries:
                continue
            try:
                count = self._link.once(restore(queue, self._holder.incarnations[index], entries))
            except ConnectionLost as lost:
                raise failures.translate(lost.error, self._link.address, "unknown") from lost.error
            if count < len(entries):
                _log.warning("%s: %d messages of queue %r went with it", self._link, len(entries), queue)

    # --- deliveries

    def __iter__(self) -> Self:
        """Iterate over deliveries."""
        return self

    def __next__(self) -> Delivery:
        """Return the next delivery; ends after `timeout` seconds without any, or when cancelled.

        Raises ConsumerCancelled when a queue was deleted, BrokerConnectionError when the server stays away.
        """
        delivery = self._next()
        if delivery is None:
            raise StopIteration
        return delivery

    def _next(self) -> Delivery | None:
        self._taken_back()
        self._idle_until = None if self._timeout is None else time.monotonic() + self._timeout
        looked = False  # a timeout of 0 takes what is there, so it too looks once
        while True:
            if self._cancelled:
                self._end_reading()
                return None
            try:
                delivery = self._buffer.popleft()
            except IndexError:
                if looked and self._idle_until is not None and time.monotonic() >= self._idle_until:
                    return None
                self.open()
                self._flight.run(self._fill)
                looked = True
            else:
                self._show(delivery)
                return delivery

    def _show(self, delivery: Delivery) -> None:
        self._shown = delivery.delivery_tag
        counters = self._link.counters
        counters.delivered += 1
        counters.redelivered += delivery.redelivered
        if self._hooks is not None:
            self._hooks.before_deliver(delivery)
            self._given.append(delivery)

    def _taken_back(self) -> None:
        """Whoever asks for the next delivery is done with the ones before."""
        if self._hooks is not None:
            given, self._given = self._given, []
            for delivery in given:
                self._hooks.after_deliver(delivery)

    def batches(self, size: int) -> Generator[list[Delivery], None]:
        """Iterate over lists of 1 to `size` deliveries: all that is there, without waiting for a list to fill."""
        if size < 1:
            raise InvalidArgument("size", size, "at least 1")
        while True:
            first = self._next()
            if first is None:
                return
            batch = [first]
            while self._buffer and len(batch) < size:
                delivery = self._buffer.popleft()
                self._show(delivery)
                batch.append(delivery)
            yield batch

    def run(self, callback: Callable[[Delivery], None]) -> None:
        """Call `callback` with each delivery until the consumer ends; what the callback raises ends it too."""
        for delivery in self:
            callback(delivery)

    # --- reading

    def _fill(self) -> None:
        """Bring a delivery into the buffer, or find out that the time is up. Reconnects as long as allowed."""
        if self._buffer or self._cancelled:
            return
        give_up = time.monotonic() + self._link.settings.consumer_retry_timeout.total_seconds()
        attempt = 0
        while not self._cancelled:
            try:
                self._read()
            except SessionGone:
                self._reattach(give_up)
            except ServerRefused:
                raise
            except BrokerConnectionError:
                if time.monotonic() > give_up or self._link.closed:
                    raise
                self._reattach(give_up)
            except ConnectionLost as lost:
                pause = failures.backoff(attempt)
                attempt += 1
                passing = failures.is_connection_failure(lost.error) or failures.is_transient(lost.error)
                if not passing or time.monotonic() + pause > give_up:
                    raise failures.translate(lost.error, self._link.address, "unknown") from lost.error
                _log.info("%s: consumer %s lost its connection (%s), reconnecting", self._link, self.tag, lost.error)
                self._link.counters.reconnects += 1
                io.sleep(pause)
                self._reattach(give_up)
            else:
                return

    def _reattach(self, give_up: float) -> None:
        while not self._cancelled:
            try:
                self._attach()
            except ServerRefused:
                raise
            except BrokerConnectionError:
                # One operation's limit is shorter than a consumer's: a restart of Redis must not end its consumers.
                if time.monotonic() > give_up or self._link.closed:
                    raise
            else:
                return

    def _attach(self) -> None:
        try:
            self._holder.attach()
        except NotFound as error:
            raise ConsumerCancelled(error.name, "the queue was deleted") from error
        self._torn = False

    def _read(self) -> None:
        """One read: the waiting verdicts go in front of it."""
        if self._holder.gone or not self._holder.registered or self._torn:
            # A queue that a settle missed is deleted, which this tells, or was declared anew.
            self._holder.gone.clear()
            self._attach()
        wait = self._link.settings.block.total_seconds()
        if self._idle_until is not None:
            wait = min(wait, max(self._idle_until - time.monotonic(), 0.0))
        self._holder.freed.clear()
        window, batch = (self.prefetch, None) if self.auto_ack else self._holder.window(self.prefetch)
        if window <= 0:
            self._wait_for_place(batch, wait)
            return
        self._torn = True
        try:
            entries = self._reader.read(window, wait, lambda: self._cancelled, batch)
        except RedisError as error:
            if failures.is_transient(error):
                raise ConnectionLost(error, sent=False) from error
            if not failures.is_unblocked(error):
                raise self._link.error(error) from error
            self._attach()
            return
        except NotFound:
            self._attach()  # deleted, which this tells, or declared anew
            return
        if entries and not self._holder.registered:
            self._attach()  # reaped meanwhile: what was just read is given back, to be read again
        elif entries:
            self._receive(entries)
        self._torn = False

    def _wait_for_place(self, batch: Batch | None, wait: float) -> None:
        """Wait until something is settled; verdicts that come meanwhile leave with the flusher."""
        if batch is not None:
            self._holder.send(batch)
        self._holder.freed.wait(wait)

    def _receive(self, entries: list[Entry]) -> None:
        holder = self._holder
        queues = holder.queues
        tags = [holder.add(entry.queue, [entry.id])[0] for entry in entries] if len(queues) > 1 else None
        tagged = zip(tags or holder.add(0, [entry.id for entry in entries]), entries, strict=True)
        if not self.auto_ack:
            self._buffer.extend(Delivery(self, entry, queues[entry.queue], tag) for tag, entry in tagged)
            return
        deliveries = [Delivery(self._on_receipt, entry, queues[entry.queue], tag) for tag, entry in tagged]
        last = deliveries[-1].delivery_tag
        stale = set((holder.settle_now(last, "ack", multiple=True, shown=last)).stale)
        self._buffer.extend(
            delivery
            for delivery, entry in zip(deliveries, entries, strict=True)
            if (entry.queue, entry.id) not in stale
        )

    # --- settling

    def _flush(self) -> None:
        self._holder.flush()

    def settle(self, tag: int, verdict: Verdict, *, multiple: bool, wait: bool) -> None:
        """Settle by tag, for `Delivery.ack` and its like. Raises UnknownDeliveryTag, AlreadySettled, StaleDelivery."""
        if self.auto_ack:
            self._on_receipt.settle(tag, verdict, multiple=multiple, wait=wait)
        if wait or self._closed:
            settled = self._holder.settle_now(tag, verdict, multiple=multiple, shown=self._shown)
            if settled.stale:
                raise StaleDelivery(tag)
        else:
            self._holder.judge(tag, verdict, multiple=multiple, shown=self._shown)
            self._flusher.poke()

    def ack(self, tag: int, *, multiple: bool = False, wait: bool = False) -> None:
        """Acknowledge by tag: see `Delivery.ack`. Tag 0 with `multiple`: all that was handed out."""
        self._check_shown(tag)
        self.settle(tag, "ack", multiple=multiple, wait=wait)

    def nack(self, tag: int, *, requeue: bool = True, multiple: bool = False, wait: bool = False) -> None:
        """Refuse by tag: see `Delivery.nack`."""
        self._check_shown(tag)
        self.settle(tag, "requeue" if requeue else "reject", multiple=multiple, wait=wait)

    def reject(self, tag: int, *, requeue: bool = False, wait: bool = False) -> None:
        """Refuse by tag: see `Delivery.reject`."""
        self._check_shown(tag)
        self.settle(tag, "requeue" if requeue else "reject", multiple=False, wait=wait)

    def extend(self, tag: int) -> None:
        """Start the ack timeout of a delivery anew."""
        self._check_shown(tag)
        self._holder.extend(tag)

    def _check_shown(self, tag: int) -> None:
        """Refuse a tag that was read ahead: its user was never given it, so it is a mistake for another one."""
        try:
            first = self._buffer[0].delivery_tag
        except IndexError:
            return
        if tag >= first:
            raise UnknownDeliveryTag(tag)
