# Generated from rexchange/_async/getter.py by `python tools/unasync.py`. Do not edit.
"""`get`: one message at a time, without a consumer (AMQP basic.get)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rexchange._sync import io
from rexchange._sync.delivery import Delivery, OnReceipt, Origin
from rexchange._sync.fetching import fetched
from rexchange._sync.holder import Holder
from rexchange._sync.renewing import Renewing
from rexchange._sync.retries import check_policy
from rexchange._sync.session import client_name
from rexchange._sync.wire import ConnectionLost
from rexchange.checks import check_flags
from rexchange.errors import NotFound, RexchangeError, StaleDelivery
from rexchange.protocol.call import SessionGone
from rexchange.protocol.consume import MORE, Options, cancel, restore, take
from rexchange.server import failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange._sync.link import Link
    from rexchange._sync.session import Session
    from rexchange._sync.stakes import Stakes
    from rexchange.hooks import Hooks
    from rexchange.protocol.consume import Entry
    from rexchange.protocol.settle import Verdict

_log = logging.getLogger("rexchange.consume")


class _GetCall:
    """One caller's wish, and what it got."""

    __slots__ = ("auto_ack", "delivery", "wanted")

    def __init__(self, auto_ack: bool) -> None:  # noqa: FBT001 - inside only
        self.auto_ack = auto_ack
        self.wanted = True
        self.delivery: Delivery | None = None


class Getter:
    """All that one Broker gets from one queue."""

    def __init__(self, link: Link, session: Session, queue: str, hooks: Hooks | None) -> None:
        """Nothing is registered yet."""
        self._link = link
        #: What hooks are told: names that begin with amq. are the broker's.
        self.tag = f"amq.get.{queue}"
        info = {"tag": self.tag, "client": client_name()}
        self._holder = Holder(link, session, [queue], Options("g"), tag=self.tag, info=info, hooks=hooks)
        self._hooks = hooks
        # What was handed out and is not settled, for the hooks.
        self._shown: dict[int, Delivery] = {}
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
        with self._link.holding(self._lock, deadline):
            while True:
                entries = self._take(deadline)
                if not entries:
                    self._torn = False
                    return None
                if not call.wanted:
                    self._holder.attach(deadline)
                    return None
                (entry,) = entries
                (tag,) = self._holder.add([entry])
                settler = OnReceipt(self.tag) if call.auto_ack else self
                delivery = Delivery(Origin(settler, self._queue, self._holder.types[0]), entry, tag)
                self._torn = False
                if call.auto_ack:
                    try:
                        settled = self._holder.settle_now(tag, "ack", multiple=False, shown=tag, deadline=deadline)
                    except RexchangeError:
                        # Not to be acknowledged some time later: nobody will have seen it.
                        self._holder.unjudge((0, entry.id))
                        self._torn = True
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

    def show(self, delivery: Delivery, *, auto_ack: bool) -> None:
        """Tell the hooks of what is handed out; nothing is settled of what was acknowledged when it was taken."""
        if self._hooks is None:
            return
        self._hooks.before_deliver(delivery)
        self._shown[delivery.delivery_tag] = delivery
        if auto_ack:
            self._taken_back([delivery.delivery_tag])

    def _taken_back(self, tags: list[int]) -> None:
        for tag in tags:
            delivery = self._shown.pop(tag, None)
            if delivery is not None and self._hooks is not None:
                self._hooks.after_deliver(delivery)

    def end(self) -> None:
        """Tell the hooks that what was handed out is taken back: the session ends."""
        self._taken_back(list(self._shown))

    def close(self) -> None:
        """Unregister, since the queue is deleted; else the name would stay until the session ends."""
        self.end()
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
                self._holder.attach(deadline)
            call = take(self._holder.name, 1, [self._queue], self._holder.incarnations, plan=True)
            try:
                entries = self._link.once(call, deadline=deadline)
                whole = fetched(self._link, self._link.commands, entries, self._link.left(deadline))
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
                if not failures.is_connection_failure(lost.error) or pause >= self._link.again(deadline):
                    raise failures.translate(lost.error, self._link.address, "unknown") from lost.error
                io.sleep(pause)
            else:
                if whole is not None and whole is not MORE:
                    return whole
                again = whole is None  # its body is gone: so is the entry, or the server tells

    def settle(self, tag: int, verdict: Verdict, *, multiple: bool, wait: bool) -> None:
        """Settle, and always wait for the answer: there is no next read to ride on."""
        check_flags(multiple=multiple, wait=wait)
        if verdict == "retry":
            check_policy(self._link, self._holder, tag, multiple=multiple, shown=tag)
        try:
            settled = self._holder.settle_now(tag, verdict, multiple=multiple, shown=tag)
        finally:
            self._taken_back([shown for shown in self._shown if not self._holder.holds(shown)])
        if settled.stale:
            raise StaleDelivery(tag, queue=self._queue)

    def stakes(self, tag: int) -> Stakes:  # noqa: ARG002 - a Settler's
        """Return what a transaction settles with."""
        return self._holder

    def settled(self, tags: Sequence[int]) -> None:
        """Tell the hooks."""
        self._taken_back(list(tags))

    def extend(self, tag: int) -> None:
        """Start the ack timeout anew."""
        Renewing(self._link, self._holder).extend(tag)
