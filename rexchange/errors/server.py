"""Errors of the server, and of the way to it."""

from __future__ import annotations

from typing import Literal

from rexchange.errors.base import RexchangeError, redact

Outcome = Literal["not_done", "unknown"]


class BrokerConnectionError(RexchangeError):
    """The server cannot be reached or did not answer.

    `outcome` is "not_done" where nothing of the operation happened for sure, "unknown" where it may have.
    """

    def __init__(self, message: str, *, address: str, outcome: Outcome) -> None:
        """Mask passwords in both texts: errors end in logs."""
        self.address = redact(address)
        self.outcome: Outcome = outcome
        words = "nothing was done" if outcome == "not_done" else "whether it was done is unknown"
        at = f"{self.address}: " if address else ""
        super().__init__(f"{at}{redact(message)} ({words})")


class ServerRefused(BrokerConnectionError):
    """The server answers but cannot be used: no Redis, too old, a cluster, a newer schema, an unfit policy."""


class ScriptError(RexchangeError):
    """541: a script failed, or what it or Redis gave back cannot be read. A bug or foreign data, never a refusal."""

    reply_code = 541
