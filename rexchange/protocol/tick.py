"""Sessions and the reaper."""

from __future__ import annotations

from dataclasses import dataclass

from rexchange.protocol.call import Call, Reply, flag

REAPED_PER_CALL = 100
"""Entries of one tick: about 0.2 ms of the server's time."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one tick did. `next_ms`: until the next deadline; 0: there is more now; None: nothing is planned.

    `died`: messages that expired, or that a limit had no room for any more. `routed`: delayed messages whose time had
    come.
    """

    next_ms: int | None
    sessions: int
    queues: int
    given_back: int
    died: int
    routed: int
    lanes: int

    def __add__(self, later: Ticked) -> Ticked:
        """Add up what two ticks did; the later one knows the next deadline."""
        return Ticked(
            later.next_ms,
            self.sessions + later.sessions,
            self.queues + later.queues,
            self.given_back + later.given_back,
            self.died + later.died,
            self.routed + later.routed,
            self.lanes + later.lanes,
        )


def open_session(session: str, ttl_ms: int) -> Call[bool]:
    """Open a session."""
    return _session(session, "open", ttl_ms)


def renew_session(session: str, ttl_ms: int) -> Call[bool]:
    """Renew it; False: it was reaped, and all it owned was given back."""
    return _session(session, "renew", ttl_ms)


def close_session(session: str) -> Call[bool]:
    """Close it; False: there is more to give back, call again."""
    return _session(session, "close", 0)


def _session(session: str, verb: str, ttl_ms: int) -> Call[bool]:
    return Call("session", (session, verb, ttl_ms, REAPED_PER_CALL), flag)


def tick(ttl_ms: int) -> Call[Ticked]:
    """Run one step of the reaper."""
    return Call("tick", (ttl_ms, REAPED_PER_CALL), _ticked)


def _ticked(reply: Reply) -> Ticked:
    next_ms, *counts = reply
    return Ticked(None if next_ms < 0 else next_ms, *counts)
