"""The thread that keeps a session alive and runs the reaper: with a connection of its own, in both colours.

It is a thread in async too, so that only code which holds the GIL longer than the session's limit can starve it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from redis.exceptions import RedisError, ResponseError

from rexchange import scripts
from rexchange.protocol import tick
from rexchange.protocol.call import refusal
from rexchange.server import failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange.protocol.call import Call
    from rexchange.server.endpoint import Address, SyncConnection
    from rexchange.settings import Settings

T = TypeVar("T")
_log = logging.getLogger("rexchange.heartbeat")

SHORTEST_PAUSE_S = 0.02
"""Between two ticks that have nothing more to do: keeps a wrong deadline from becoming a busy loop."""


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
    ) -> None:
        """`vhost_id` is asked before each call, since it changes when a lost topology is declared again.

        `on_gone` is called, in this thread, when the session was reaped; the thread ends with it.
        """
        self._address = address
        self._settings = settings
        self._vhost_key = vhost_key
        self._vhost_id = vhost_id
        self._session = session
        self._on_gone = on_gone
        self._ttl_ms = int(settings.session_timeout.total_seconds() * 1000)
        self._stopping = False
        self._poke = threading.Event()
        self._planned = math.inf
        self._renewals: dict[Renewal, float] = {}
        self._connection: SyncConnection = address.connection(
            "sync",
            socket_timeout=min(settings.socket_timeout, settings.heartbeat).total_seconds(),
            connect_timeout=min(settings.connect_timeout, settings.heartbeat).total_seconds(),
        )
        self.thread = threading.Thread(target=self._run, name="rexchange-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the session is open already."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does so within a socket timeout. Then join `thread`."""
        self._stopping = True
        self._poke.set()

    def plan(self, seconds: float) -> None:
        """See to it that the reaper runs in so many seconds, since its last answer did not know what is planned now."""
        at = time.monotonic() + seconds
        if at < self._planned:
            self._planned = at
            self._poke.set()

    def renew(self, renewal: Renewal) -> None:
        """Renew the deliveries of a consumer from now on."""
        self._renewals[renewal] = time.monotonic() + renewal.interval

    def forget(self, renewal: Renewal) -> None:
        """Renew them no more."""
        self._renewals.pop(renewal, None)

    def _run(self) -> None:
        beat_s = self._settings.heartbeat.total_seconds()
        next_beat = time.monotonic() + beat_s
        attempt = 0
        while not self._stopping:
            now = time.monotonic()
            if self._planned <= now:
                self._planned = math.inf  # before the tick, so that what is planned during it is not forgotten
            try:
                if time.monotonic() >= next_beat:
                    if not self._call(tick.renew_session(self._session, self._ttl_ms)):
                        self._on_gone()
                        break
                    next_beat = time.monotonic() + beat_s
                self._extend()
                ticked = self._call(tick.tick(self._ttl_ms))
            except Exception as error:  # noqa: BLE001 - whatever it was, the session lives on only if this goes on
                # Gone keys and a lost server look alike from here; the Broker's own calls raise the typed error.
                _log.debug("heartbeat of %s failed: %s", self._address.display, error)
                self._connection.disconnect()
                self._sleep(time.monotonic() + min(failures.backoff(attempt), beat_s))
                attempt += 1
                continue
            attempt = 0
            if ticked.next_ms == 0 and ticked.given_back:
                continue
            # A tick after half a session's life without one takes all sessions for living (tick.lua), the dead too.
            until = min([next_beat, time.monotonic() + self._ttl_ms / 3000, *self._renewals.copy().values()])
            if ticked.next_ms is not None:
                until = min(until, time.monotonic() + ticked.next_ms / 1000)
            self._sleep(max(until, time.monotonic() + SHORTEST_PAUSE_S))
        self._connection.disconnect()

    def _sleep(self, until: float) -> None:
        """Sleep until then, or until what is planned meanwhile."""
        while not self._stopping:
            left = min(until, self._planned) - time.monotonic()
            if left <= 0:
                return
            self._poke.wait(left)
            self._poke.clear()

    def _extend(self) -> None:
        now = time.monotonic()
        for renewal, due in self._renewals.copy().items():
            if now >= due:
                call = renewal.extension()
                if call is not None:
                    renewal.lost(self._call(call))
                if renewal in self._renewals:
                    self._renewals[renewal] = now + renewal.interval

    def _call(self, call: Call[T]) -> T:
        script = scripts.load(call.script)
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
