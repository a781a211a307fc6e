"""The thread that keeps a session alive and runs the reaper: with a connection of its own, in both colours.

It is a thread in async too, so that only code which holds the GIL longer than the session's limit can starve it.
Between two runs of the reaper it waits for the alarm: a stream into which scripts post when something is due sooner
than the last run announced. One of all waiting threads gets it (docs/architecture.md, Sessions and the reaper).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from redis.exceptions import RedisError, ResponseError

from rexchange.errors import TopologyLost
from rexchange.protocol import tick
from rexchange.protocol.call import refusal
from rexchange.server import failures
from rexchange.server.endpoint import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange.protocol.call import Call
    from rexchange.server.endpoint import Address, SyncConnection
    from rexchange.settings import Settings

T = TypeVar("T")
_log = logging.getLogger("rexchange.heartbeat")

SHORTEST_PAUSE_S = 0.02
"""Between two ticks that have nothing more to do: keeps a wrong deadline from becoming a busy loop."""
POLL_S = 0.02
"""Between two looks for the alarm on a server whose XREADGROUP cannot block (fakeredis), and near a deadline."""
CRON_S = 0.11
"""A server with nothing to do ends a BLOCK up to so much too late: its timer runs ten times a second (hz)."""


class Renewal(Protocol):
    """A consumer whose deliveries are renewed while its user works on them (renew=True)."""

    @property
    def interval(self) -> float:
        """Seconds from one renewal to the next."""
        ...

    def extension(self) -> Call[list[tuple[int, bytes]]] | None:
        """The call that renews what is held now, or None when nothing is."""
        ...

    def lost(self, stale: list[tuple[int, bytes]]) -> None:
        """Take note of what was not its own any more."""
        ...


class Heartbeat:
    """Renews one session, and ticks, until stopped."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        vhost_key: bytes,
        vhost_id: Callable[[], bytes],
        session: str,
        on_gone: Callable[[], None],
        *,
        blocking: bool,
    ) -> None:
        """`vhost_id` is asked before each call, since it changes when a lost topology is declared again.

        `on_gone` is called, in this thread, when the session was reaped; the thread ends with it. `blocking`: whether
        the server's XREADGROUP can wait.
        """
        self._address = address
        self._settings = settings
        self._vhost_key = vhost_key
        self._vhost_id = vhost_id
        self._session = session
        self._on_gone = on_gone
        self._ttl_ms = int(settings.session_timeout.total_seconds() * 1000)
        self._blocking = blocking
        self._stopping = False
        self._poke = threading.Event()
        self._renewals: dict[Renewal, float] = {}
        beat_s = settings.heartbeat.total_seconds()
        # A tick after half a session's life without one takes all sessions for living (tick.lua), the dead too.
        self._longest_s = min(beat_s, self._ttl_ms / 3000)
        self._alarm: list[Any] = ["STREAMS", vhost_key.removesuffix(b"vhost") + b"alarm", ">"]
        self._connection: SyncConnection = address.connection(
            "sync",
            socket_timeout=self._longest_s + min(settings.socket_timeout.total_seconds(), beat_s) / 2,
            connect_timeout=min(settings.connect_timeout.total_seconds(), beat_s),
        )
        self.thread = threading.Thread(target=self._run, name="rexchange-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the session is open already."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does so at once. Then join `thread`."""
        self._stopping = True
        self._interrupt()

    def renew(self, renewal: Renewal) -> None:
        """Renew the deliveries of a consumer from now on."""
        self._renewals[renewal] = time.monotonic() + renewal.interval
        self._interrupt()  # it may be waiting for longer than that

    def _interrupt(self) -> None:
        """End the thread's wait: what it waits for is shorter now."""
        self._poke.set()
        if self._blocking:
            interrupt(self._connection)
            # Again, since a thread that had just begun another round has forgotten it, and would take what it meets
            # now for a failure.
            self._poke.set()

    def forget(self, renewal: Renewal) -> None:
        """Renew them no more."""
        self._renewals.pop(renewal, None)

    def _run(self) -> None:
        beat_s = self._settings.heartbeat.total_seconds()
        next_beat = time.monotonic() + beat_s
        attempt = 0
        while not self._stopping:
            self._poke.clear()
            try:
                if time.monotonic() >= next_beat:
                    if not self._call(tick.renew_session(self._session, self._ttl_ms)):
                        self._on_gone()
                        break
                    next_beat = time.monotonic() + beat_s
                self._extend()
                ticked = self._call(tick.tick(self._ttl_ms))
                attempt = 0
                if ticked.next_ms == 0 and ticked.given_back + ticked.died + ticked.routed:
                    continue
                until = min([next_beat, time.monotonic() + self._longest_s, *self._renewals.copy().values()])
                due = math.inf if ticked.next_ms is None else time.monotonic() + ticked.next_ms / 1000
                self._wait(max(min(until, due), time.monotonic() + SHORTEST_PAUSE_S), exact=due <= until)
            except Exception as error:  # noqa: BLE001 - whatever it was, the session lives on only if this goes on
                self._connection.disconnect()
                if self._poke.is_set():
                    continue  # it was interrupted on purpose
                self._tell(error, attempt)
                self._poke.wait(min(failures.backoff(attempt), beat_s))
                attempt += 1
        self._connection.disconnect()

    def _tell(self, error: Exception, attempt: int) -> None:
        """Log a failure: a warning the first time in a row, where nobody else may meet what it is.

        A lost server and a lost topology are met by the Broker's own calls too, which tell of them.
        """
        cause = error.__cause__ or error
        met = isinstance(error, TopologyLost) or any(
            is_such(cause) for is_such in (failures.is_connection_failure, failures.is_transient, failures.is_unblocked)
        )
        level = logging.DEBUG if met or attempt else logging.WARNING
        message = "%s: the heartbeat failed: %s (until that is mended this process gives nothing back for others)"
        _log.log(level, message, self._address.display, error)

    def _wait(self, until: float, *, exact: bool) -> None:
        """Wait until then, or for the alarm; what something is due at is met to some ms (`exact`)."""
        left = until - time.monotonic()
        if self._blocking and not self._poke.is_set():
            block_ms = int((left - CRON_S if exact else left) * 1000)
            rung = (block_ms > 0 or not exact) and self._alarmed(["BLOCK", max(block_ms, 1)])
            if rung or not exact:
                return
            left = until - time.monotonic()
        while left > 0 and not self._poke.is_set() and not self._alarmed([]):
            self._poke.wait(min(left, POLL_S))
            left = until - time.monotonic()

    def _alarmed(self, block: list[Any]) -> bool:
        """Look for the alarm. Its token needs no ack: who got it runs the reaper, or dies, and then another does."""
        command = ["XREADGROUP", "GROUP", "g", self._session, "COUNT", 1, *block, "NOACK", *self._alarm]
        return bool(self._send(command))

    def _extend(self) -> None:
        now = time.monotonic()
        for renewal, due in self._renewals.copy().items():
            if now >= due - SHORTEST_PAUSE_S:  # nearly due counts: the tick that follows would not find it renewed
                call = renewal.extension()
                if call is not None:
                    renewal.lost(self._call(call))
                if renewal in self._renewals:
                    self._renewals[renewal] = now + renewal.interval

    def _call(self, call: Call[T]) -> T:
        script = self._address.script(call.script)
        command = ["EVALSHA", script.sha, 1, self._vhost_key, self._vhost_id(), *call.args]
        try:
            try:
                reply = self._send(command)
            except ResponseError as error:
                if not failures.is_noscript(error):
                    raise
                self._send(["SCRIPT", "LOAD", script.text])
                reply = self._send(command)
            return call.decode(reply)
        except ResponseError as error:
            raise refusal(failures.reply_text(error)) from error
        except RedisError as error:
            raise failures.translate(error, self._address, "unknown") from error

    def _send(self, command: list[Any]) -> Any:
        connection = self._connection
        connection.connect()
        connection.send_packed_command(connection.pack_commands([command]), check_health=False)
        return connection.read_response(disconnect_on_error=True)
