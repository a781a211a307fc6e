# Generated from rexchange/_async/consumer.py by `python tools/unasync.py`. Do not edit.
"""A consumer: it hands out the deliveries of its queues one by one, and takes the verdicts on them."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from rexchange._sync import io
from rexchange._sync.deadlines import CLOSE_S
from rexchange._sync.delivery import Delivery, OnReceipt, nack_verdict
from rexchange._sync.holder import Holder
from rexchange._sync.intake import Intake
from rexchange._sync.renewing import Renewing
from rexchange._sync.retries import check_policy
from rexchange.checks import check_flags, check_optional_seconds, check_tag
from rexchange.errors import ConsumerCancelled, InvalidArgument, NotSupported, StaleDelivery, UnknownDeliveryTag
from rexchange.protocol.consume import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from types import TracebackType

    from rexchange._sync.holder import OnStale
    from rexchange._sync.link import Link
    from rexchange._sync.session import Session
    from rexchange._sync.stakes import Stakes
    from rexchange.codec import Table
    from rexchange.hooks import Hooks
    from rexchange.protocol.consume import Kind, Place
    from rexchange.protocol.settle import Verdict

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
        priority: int,
        exclusive: bool,
        place: Place,
        reader: str,
        renew: bool,
        on_stale: OnStale | None,
        on_open: Callable[[Consumer], None],
        on_close: Callable[[Consumer], None],
        client: str,
    ) -> None:
        """Nothing is registered yet: that happens on entering, or with the first delivery asked for."""
        self.tag = tag
        self.auto_ack = auto_ack
        self.prefetch = prefetch
        self._link = link
        self._session = session
        self._hooks = hooks
        self._timeout = timeout
        self._renew = renew
        self._on_open = on_open
        self._on_close = on_close
        self._pid = os.getpid()
        info: Table = {"tag": tag, "auto_ack": auto_ack, "client": client}
        kind: Kind = "p" if len(queues) == 1 else "m"
        limit = min(prefetch or MOST_UNACKED, MOST_UNACKED)
        # What is acknowledged on receipt is no longer held, so there is always room (RabbitMQ: no-ack has no prefetch).
        options = Options(kind, ack_timeout_ms, MOST_UNACKED if auto_ack else limit, priority, exclusive)
        self._holder = Holder(link, session, queues, options, tag=tag, info=info, hooks=hooks, on_stale=on_stale)
        self._holder.log.reader = reader
        self._renewing = Renewing(link, self._holder)
        self._intake = Intake(
            link,
            self._holder,
            OnReceipt(tag) if auto_ack else self,
            place,
            tag=tag,
            auto_ack=auto_ack,
            prefetch=limit,
        )
        self._flight = io.Flight()
        self._ending = io.Flight()
        self._flusher = io.Flusher(link.settings.settle_delay.total_seconds(), self._flush)
        self._given: list[Delivery] = []
        self._shown = 0
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
        self._check_process()
        if not self._holder.name:
            self._on_open(self)
            self._holder.attach()
            if self._holder.is_log and self.auto_ack:
                self._refuse_log()
            self._intake.begin()
            if self._renew:
                self._session.renew(self._renewing)

    def _refuse_log(self) -> None:
        """RabbitMQ too wants acks from the consumers of a stream: they are what makes room for more."""
        self.close()
        queue = self.queues[0]
        message = f"queue {queue!r} is a stream: pass auto_ack=False (an ack makes room for more, and removes nothing)"
        raise NotSupported(message, kind="queue", name=queue, argument="auto_ack", current=False, wanted=True)

    def _check_process(self) -> None:
        """Refuse to work in a forked child, where the parent works on the deliveries, and in another event loop."""
        if self._pid != os.getpid():
            reason = "it belongs to the parent process: consume anew after a fork"
            raise ConsumerCancelled(", ".join(self.queues), reason)
        if io.HAS_LOOPS:
            self._link.at_home()

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
        if self._pid == os.getpid():
            self._cancel(self._link.deadline())

    def _cancel(self, deadline: float) -> None:
        if self._intake.stopped:
            return
        told = self._intake.stop(deadline)
        if not self._flight.mine():
            # From a signal handler that interrupted our own read nothing can be waited for: the iteration does it.
            self._flight.finish(self._link.settings.block.total_seconds() if told else CLOSE_S)
            self._end_reading(deadline)

    def close(self) -> None:
        """End the consumer: verdicts are sent, what is not settled goes back to its place, the connection is closed."""
        if self._pid != os.getpid() or self._ending.mine():
            return  # in a forked child it is the parent's: its deliveries are being worked on there
        # One run for all who ask: a caller that is cancelled must not leave it half done.
        self._ending.run(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        deadline = self._link.deadline()
        # All goes back in one step below. In two, the next consumer would have its turn before these are back.
        self._reading_ended = True
        self._cancel(deadline)
        self._closed = True
        self._taken_back()
        self._flusher.close(self._link.left(deadline))
        self._session.forget(self._renewing)
        self._intake.give_back(deadline, keep=False)
        self._holder.end()
        self._intake.close()
        self._on_close(self)

    def _end_reading(self, deadline: float) -> None:
        if not self._reading_ended:
            self._reading_ended = True
            io.shielded(lambda: self._intake.give_back(deadline, keep=True))

    # --- deliveries

    def __repr__(self) -> str:
        """Show its tag and its queues."""
        return f"<{type(self).__name__} {self.tag!r} of {', '.join(map(repr, self.queues))}>"

    def __iter__(self) -> Self:
        """Iterate over deliveries."""
        return self

    def __next__(self) -> Delivery:
        """Return the next delivery; ends after `timeout` seconds without any, or when cancelled.

        Raises ConsumerCancelled when a queue was deleted, BrokerConnectionError when the server stays away.
        """
        intake = self._intake
        # The way that nearly all deliveries take: nothing is to be done but to hand out what was read ahead. In a
        # forked child that never is: no session of its own is that in which its parent registered.
        ours = self._holder.generation == self._session.alive
        if ours and intake.buffer and self._hooks is None and not intake.stopped:
            try:
                delivery = intake.buffer.popleft()
            except IndexError:  # another thread was quicker
                pass
            else:
                self._show(delivery)
                return delivery
        last = self._next_within(self._timeout)
        if last is None:
            raise StopIteration
        return last

    def next(self, timeout: float | timedelta | None = None) -> Delivery | None:
        """Return the next delivery; None at the end, and after `timeout` seconds without any (None: wait for ever)."""
        return self._next_within(check_optional_seconds("timeout", timeout))

    def _next_within(self, timeout: float | None) -> Delivery | None:
        self._check_process()
        if self._given:
            self._taken_back()
        idle_until = None if timeout is None else time.monotonic() + timeout
        looked = False  # a timeout of 0 takes what is there, so it too looks once
        while True:
            if self._intake.stopped:
                self._end_reading(self._link.deadline())
                return None
            if self._intake.buffer and not self._holder.registered:
                self._flight.run(self._intake.sort_out)
            try:
                delivery = self._intake.buffer.popleft()
            except IndexError:
                delivery = None  # what is raised below must not look as if this were an error
            if delivery is None:
                if looked and idle_until is not None and time.monotonic() >= idle_until:
                    return None
                self.open()
                self._flight.run(lambda: self._intake.fill(idle_until))
                looked = True
            else:
                self._show(delivery)
                return delivery

    def _show(self, delivery: Delivery) -> None:
        self._shown = delivery.delivery_tag
        counters = self._link.counters
        counters.delivered += 1
        if delivery.entry.times > 1:
            counters.redelivered += 1
        if self._hooks is not None:
            self._hooks.before_deliver(delivery)
            self._given.append(delivery)

    def _taken_back(self) -> None:
        """Whoever asks for the next delivery is done with the ones before."""
        given, self._given = self._given, []
        for delivery in given:
            if self._hooks is not None:
                self._hooks.after_deliver(delivery)

    def batches(self, size: int) -> Generator[list[Delivery], None]:
        """Iterate over lists of 1 to `size` deliveries: all that is there, without waiting for a list to fill."""
        if type(size) is not int or size < 1:
            raise InvalidArgument("size", size, "an int of at least 1")
        while True:
            first = self._next_within(self._timeout)
            if first is None:
                return
            batch = [first]
            while self._intake.buffer and len(batch) < size:
                delivery = self._intake.buffer.popleft()
                self._show(delivery)
                batch.append(delivery)
            yield batch

    def run(self, callback: Callable[[Delivery], None]) -> None:
        """Call `callback` with each delivery until the consumer ends; what the callback raises ends it too."""
        if not callable(callback):
            raise InvalidArgument("callback", callback, "a function that takes a delivery")
        for delivery in self:
            callback(delivery)

    # --- settling

    def _flush(self) -> None:
        self._holder.flush()

    def settle(self, tag: int, verdict: Verdict, *, multiple: bool, wait: bool) -> None:
        """Settle by tag, for `Delivery.ack` and its like. Raises UnknownDeliveryTag, AlreadySettled, StaleDelivery."""
        if io.HAS_LOOPS:
            self._link.at_home()
        if self._holder.generation != self._session.alive:  # as in __next__
            self._check_process()
        if type(multiple) is not bool or type(wait) is not bool:  # quicker than the check, which most need not
            check_flags(multiple=multiple, wait=wait)
        if self.auto_ack:
            OnReceipt(self.tag).settle(tag, verdict, multiple=multiple, wait=wait)
        if verdict == "retry":
            check_policy(self._link, self._holder, tag, multiple=multiple, shown=self._shown)
        if wait or self._closed:
            settled = self._holder.settle_now(tag, verdict, multiple=multiple, shown=self._shown)
            if settled.stale:
                raise StaleDelivery(tag)
        else:
            self._holder.judge(tag, verdict, multiple=multiple, shown=self._shown)
            if not self._flusher.is_poked():
                self._flusher.poke()

    def stakes(self, tag: int) -> Stakes:  # noqa: ARG002 - a Settler's
        """Return what a transaction settles with."""
        self._check_process()
        return self._holder

    def settled(self, tags: Sequence[int]) -> None:
        """Do nothing more: the next delivery asked for says that the user is done with those before."""

    def ack(self, tag: int, *, multiple: bool = False, wait: bool = False) -> None:
        """Acknowledge by tag: see `Delivery.ack`. Tag 0 with `multiple`: all that was handed out."""
        self._check_shown(tag)
        self.settle(tag, "ack", multiple=multiple, wait=wait)

    def nack(
        self, tag: int, *, requeue: bool = True, retry: bool = False, multiple: bool = False, wait: bool = False
    ) -> None:
        """Refuse by tag: see `Delivery.nack`."""
        self._check_shown(tag)
        self.settle(tag, nack_verdict(requeue=requeue, retry=retry), multiple=multiple, wait=wait)

    def reject(self, tag: int, *, requeue: bool = False, wait: bool = False) -> None:
        """Refuse by tag: see `Delivery.reject`."""
        self._check_shown(tag)
        check_flags(requeue=requeue)
        self.settle(tag, "requeue" if requeue else "reject", multiple=False, wait=wait)

    def extend(self, tag: int) -> None:
        """Start the ack timeout of a delivery anew."""
        self._check_shown(tag)
        self._renewing.extend(tag)

    def _check_shown(self, tag: int) -> None:
        """Refuse a tag that was read ahead: its user was never given it, so it is a mistake for another one."""
        check_tag(tag)
        try:
            first = self._intake.buffer[0].delivery_tag
        except IndexError:
            return
        if tag >= first:
            raise UnknownDeliveryTag(tag)
