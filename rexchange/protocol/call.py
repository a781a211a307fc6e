"""A script call as a value, a plan of several, and how the plainest replies are read."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from rexchange.errors import RexchangeError
from rexchange.protocol.refusals import from_reply

T = TypeVar("T")

Reply: TypeAlias = Any
"""What RESP2 gives back: bytes, int, None, or a list of them. Only `decode` functions look inside."""

Arg: TypeAlias = bytes | int | str


@dataclass(slots=True)
class Call(Generic[T]):
    """One run of a script: the shell adds the vhost's key and, unless `opens`, the vhost's id before `args`.

    Nobody changes one; it is not frozen since setting the fields of a frozen one takes three times as long.
    """

    script: str
    args: tuple[Arg, ...]
    decode: Callable[[Reply], T]
    opens: bool = False
    #: Plain commands behind it on the same connection, unless it is an error; `decode` is then given all replies.
    then: tuple[tuple[Arg, ...], ...] = ()


Plan: TypeAlias = Generator[Call[Any], Any, T]
"""Several calls where the next depends on the reply before: yields calls, is sent what they decode to, returns T."""


class SessionGone(RexchangeError):
    """Inside only: the session, or one of its consumers, was reaped; the shell opens a new one and goes on."""


class ProducerClash(RexchangeError):
    """Inside only: another process used this lane; nothing was done, so the shell draws a new lane and sends again."""


class PoliciesChanged(RexchangeError):
    """Inside only: what was sent was worked out from policies that are others by now; the shell reads them anew."""


class BodyGone(RexchangeError):
    """Inside only: a body stored ahead is not there (memory is full); nothing was done, so it is sent whole."""


_INSIDE = {
    "SESSION_GONE": SessionGone,
    "PRODUCER_CLASH": ProducerClash,
    "POLICIES_CHANGED": PoliciesChanged,
    "BODY_GONE": BodyGone,
}


def refusal(text: str) -> RexchangeError:
    """Return the exception for an error reply of a script."""
    inside = _INSIDE.get(text.partition(" ")[0])
    return inside(text) if inside else from_reply(text)


def nothing(_reply: Reply) -> None:
    """Read a reply that says nothing."""


def number(reply: Reply) -> int:
    """Read an integer reply."""
    return int(reply)


def flag(reply: Reply) -> bool:
    """Read 1 or 0."""
    return int(reply) == 1


def raw(reply: Reply) -> bytes:
    """Read a bulk reply."""
    return bytes(reply)


def texts(reply: Reply) -> list[str]:
    """Read an array of names."""
    return [name.decode() for name in reply]
