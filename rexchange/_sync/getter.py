# Generated from rexchange/_async/getter.py by `python tools/unasync.py`. Do not edit.
"""`get`: one message at a time, without a consumer (AMQP basic.get)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rexchange._sync import io
from rexchange._sync.delivery import Delivery, OnReceipt
from rexchange._sync.holder import Holder
from rexchange._sync.wire import ConnectionLost
from rexchange.errors import NotFound, RexchangeError, StaleDelivery
from rexchange.protocol.call import SessionGone
from rexchange.protocol.consume import cancel, restore, take
from rexchange.server import failures

if TYPE_CHECKING:
    from rexchange._sync.link import Link
    from rexchange._sync.session import Session
    from rexchange.hooks import Hooks
    from rexchange.protocol.consume import Entry
    from rexchange.protocol.settle import Verdict

_log = logging.getLogger("rexchange.consume")


class _GetCall:
    """One caller's wish, and what it got."""

    __slots__ = ("auto_ack", "delivery", "wanted")

    def __init__(self, auto_ack: bool) -> None:  # noqa: FBT001
        self.auto_ack = auto_ack
        self.wanted = True
        self.delivery: Delivery | None = None


class Getter:
    """All that one Broker gets from one queue."""

    def __init__(self, link: Link, session: Session, queue: str, hooks: Hooks | None) -> None:
        """Nothing is registered yet."""
        self._link = link
        self._holder = Holder(link, session, [queue], "get", info={"kind": "get"}, hooks=hooks)
        self._session = session
        self._queue = queue
        self._lock = io.Lock()
        # Set while a take is under way: one that was interrupted may have brought what nobody saw.
        self._torn = False

    def get(self, *, auto_ack: bool, deadline: float) -> Delivery | None:
        """Return the next message or None; raises NotFound, ResourceLocked."""
        call = _GetCall(auto_ack)
        try:
            return io.shielded(lambda: self._get(call, deadline))
        except BaseException:
            # The caller is gone (cancelled, interrupted), and what it would have got must not stay in our name unseen.
            call.wanted = False
            if call.delivery is not None:
                io.shielded(lambda: self._return(call))
            raise

    def _get(self, call: _GetCall, deadline: float) -> Delivery | None:
        with self._lock:
            while True:
                entries = self._take(deadline)
                if not entries:
                    self._torn = False
                    return None
                if not call.wanted:
                    self._holder.attach()
                    return None
                (entry,) = entries
                (tag,) = self._holder.add(0, [entry.id])
                delivery = Delivery(OnReceipt() if call.auto_ack else self, entry, self._queue, tag)
                self._torn = False
                if call.auto_ack:
                    try:
                        settled = self._holder.settle_now(tag, "ack", multiple=False, shown=tag)
                    except RexchangeError:
                        raise
                    except BaseException:
                        call.delivery = delivery  # Ctrl-C meanwhile: the ack will be done, and nobody saw the message
                        raise
                    if settled.stale:
                        continue  # the reply took longer than the ack timeout: somebody else has it
                call.delivery = delivery
                if not call.wanted:
                    self._put_back(call)
                    return None
                return delivery

    def _return(self, call: _GetCall) -> None:
        try:
            with self._lock:
                self._put_back(call)
        except (RexchangeError, ConnectionLost) as error:
            # The caller shall see what interrupted it. The ack timeout gives back at the latest what was not acked.
            _log.warning("%s: get of %r could not give back what it took: %s", self._link, self._queue, error)

    def _put_back(self, call: _GetCall) -> None:
        """Give back, as never seen, what was taken for a caller that went; acknowledged, it is put at the end again."""
        delivery, call.delivery = call.delivery, None
        if delivery is None:
            return
        if call.auto_ack:
            self._link.once(restore(self._queue, self._holder.incarnations[0], [delivery.entry]))
        else:
            self._holder.drop([delivery.delivery_tag])
            self._torn = True  # should this fail, the next take gives it back
            self._holder.attach()
            self._torn = False

    def close(self) -> None:
        """Unregister, since the queue is deleted; else the name would stay until the session ends."""
        if not self._holder.name:
            return
        try:
            self._link.run(cancel(self._holder.name, [self._queue], self._holder.known(), keep=False))
        except RexchangeError as error:
            _log.debug("%s: get of %r could not unregister: %s", self._link, self._queue, error)

    def _take(self, deadline: float) -> list[Entry]:
        attempt = 0
        again, self._torn = self._torn, True
        while True:
            if not self._holder.registered or again:
                self._holder.attach()
            call = take(self._holder.name, 1, [self._queue], self._holder.incarnations, plan=True)
            try:
                entries = self._link.once(call)
            except (SessionGone, NotFound):
                # NotFound: deleted, and perhaps declared again; registering anew tells which.
                if again and attempt:
                    raise
                again, attempt = True, attempt + 1
            except ConnectionLost as lost:
                # The entry may be in our name, unseen: registering anew gives it back before we take again.
                again = True
                pause = failures.backoff(attempt)
                attempt += 1
                if not failures.is_connection_failure(lost.error) or time.monotonic() + pause > deadline:
                    raise failures.translate(lost.error, self._link.address, "unknown") from lost.error
                io.sleep(pause)
            else:
                if entries:
                    self._session.plan(self._holder.timeout)
                return entries

    def settle(self, tag: int, verdict: Verdict, *, multiple: bool, wait: bool) -> None:  # noqa: ARG002
        """Settle, and always wait for the answer: there is no next read to ride on."""
        settled = self._holder.settle_now(tag, verdict, multiple=multiple, shown=tag)
        if settled.stale:
            raise StaleDelivery(tag, queue=self._queue)

    def extend(self, tag: int) -> None:
        """Start the ack timeout anew."""
        self._holder.extend(tag)
