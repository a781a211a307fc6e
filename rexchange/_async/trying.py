"""A server that does not answer, or not now: how often a call is tried, and until when."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, TypeVar, cast

from redis.exceptions import RedisError

from rexchange._async import io
from rexchange._async.deadlines import CLOSE_S, ONE_TRY, after
from rexchange._async.wire import ConnectionLost
from rexchange.errors import BrokerConnectionError
from rexchange.hooks import Counters
from rexchange.protocol.call import refusal
from rexchange.server import failures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rexchange._async.wire import Wire
    from rexchange.errors import Outcome
    from rexchange.protocol.call import Arg
    from rexchange.server.endpoint import Address
    from rexchange.settings import Settings

T = TypeVar("T")
_log = logging.getLogger("rexchange.connection")


class Trying:
    """The patience of one Broker: that of its settings, and little once it is being closed."""

    def __init__(self, address: Address, settings: Settings) -> None:
        """Take whom to speak to."""
        self.address = address
        self.settings = settings
        self.counters = Counters()
        self._patience = settings.connect_timeout.total_seconds() + settings.socket_timeout.total_seconds()
        self._retry_s = settings.retry_timeout.total_seconds()
        self.forgive()

    def forgive(self) -> None:
        """Start with full patience."""
        # Once it is being closed: when it is given up, and whether it was.
        self._last = math.inf
        self._given_up = False

    def deadline(self, timeout: float | None = None) -> float:
        """Return when an operation that starts now is given up, by the monotonic clock."""
        return after(self._retry_s if timeout is None else timeout)

    def left(self, deadline: float) -> float:
        """Return how many seconds an operation has left; what is tried once has those of a connect and an answer."""
        now = time.monotonic()
        left = self._patience if deadline == ONE_TRY else deadline - now
        return left if self._last == math.inf else min(left, self._last - now)

    def closing(self) -> None:
        """Give up soon, from now on, what the server does not answer."""
        self._last = time.monotonic() + CLOSE_S

    async def load(self, script: str, wire: Wire, deadline: float) -> None:
        """Make the server know a script."""
        command: list[Arg] = ["SCRIPT", "LOAD", self.address.script(script).text]
        await self._retried(lambda within: wire.roundtrip([command], within), deadline)

    def error(self, reply: RedisError, outcome: Outcome = "not_done") -> Exception:
        """Return the typed error of an error reply."""
        text = failures.reply_text(reply)
        ours = refusal(text)
        inside = type(ours).__module__ != "rexchange.errors"
        translated = ours if inside else failures.translate(reply, self.address, outcome)
        translated.__cause__ = reply
        return translated

    def again(self, deadline: float) -> float:
        """Return how many seconds are left for another try."""
        return self.left(deadline) if deadline != ONE_TRY else 0.0

    def _gave_up(self) -> BrokerConnectionError:
        message = "the server did not answer while this Broker was being closed"
        return BrokerConnectionError(message, address=self.address.display, outcome="not_done")

    def _answered_now(self) -> None:
        """Note that the server answers: while this Broker is being closed, it is waited for again."""
        self._last = max(self._last, time.monotonic() + CLOSE_S)  # inf while it is open

    async def _retried(self, work: Callable[[float], Awaitable[T]], deadline: float) -> T:
        """Run work until it gets an answer that is neither a lost connection nor "not now".

        `work` is told how many seconds it may take.
        """
        if self._given_up:
            raise self._gave_up()
        attempt = 0
        outcome: Outcome = "not_done"
        while True:
            failure: BaseException
            try:
                result = await work(self.left(deadline))
            except ConnectionLost as lost:
                failure = lost.error
                if lost.undecided:
                    outcome = "unknown"
                if not failures.is_connection_failure(failure):
                    raise failures.translate(failure, self.address, outcome) from failure
            else:
                refused = _not_now(result)
                if refused is None:
                    self._answered_now()
                    return result
                failure = refused
            pause = failures.backoff(attempt)
            attempt += 1
            left = self.again(deadline)
            if pause >= left:
                self._given_up = time.monotonic() + pause >= self._last
                raise failures.translate(failure, self.address, outcome) from failure
            if attempt == 1:
                message = "%s: %s; trying again for up to %.1f s"
                _log.warning(message, self.address.display, failure, left, extra={"trying_again": True})
            self.counters.retries += 1
            await io.sleep(pause)


def _not_now(result: object) -> RedisError | None:
    """Return the error of a reply (or of the first of several) that means: nothing was done, come again."""
    replies: list[object] = list(cast("list[object]", result)[:1]) if isinstance(result, list) else [result]
    for reply in replies:
        if isinstance(reply, RedisError) and failures.is_transient(reply):
            return reply
    return None
