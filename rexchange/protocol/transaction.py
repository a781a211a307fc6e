"""A transaction as one call: Redis commands, messages and verdicts; and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from rexchange.codec import corrupt, read_netstring
from rexchange.errors import CommandFailed, TransactionError
from rexchange.protocol.call import Call, Reply
from rexchange.protocol.commands import read_replies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange.errors import RexchangeError
    from rexchange.protocol.call import Arg
    from rexchange.protocol.publish import Group
    from rexchange.protocol.settle import Verdict
    from rexchange.receipt import Receipt

T = TypeVar("T")

MOST_VERDICTS = 1000
"""Of one transaction: each is looked at by itself."""
_WHAT = "the answer of transaction"


class Row(NamedTuple):
    """Verdicts of one consumer on entries of one queue."""

    consumer: str
    queue: str
    incarnation: bytes
    acks: list[bytes]
    requeues: list[bytes]
    rejects: list[bytes]

    def of(self, verdict: Verdict) -> list[bytes]:
        """Return the list of one verdict."""
        return {"ack": self.acks, "requeue": self.requeues, "reject": self.rejects}[verdict]

    def args(self) -> list[Arg]:
        """Return what the script takes."""
        lists = self.acks, self.requeues, self.rejects
        return [*self[:3], *map(len, lists), *(entry_id for ids in lists for entry_id in ids)]


@dataclass(frozen=True, slots=True)
class Done:
    """What a transaction did: the reply to each command, the queues reached by each message.

    Or what kept it from doing anything: an error, or stale deliveries as row and id.
    """

    replies: list[Reply] = field(default_factory=list[Reply])
    counts: list[Receipt] = field(default_factory=list["Receipt"])
    error: RexchangeError | None = None
    stale: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])


class Result(Generic[T]):
    """The place of a result that is not there yet: `value` has it once the transaction is done."""

    __slots__ = ("_values", "_why")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._values: list[T] = []
        self._why = "it is known when the block of the transaction has ended"

    @property
    def value(self) -> T:
        """What it came to. Raises TransactionError where the transaction is not done, or was not."""
        if not self._values:
            raise TransactionError(f"there is no value: {self._why}")
        return self._values[0]

    def become(self, value: T) -> None:
        """Have a value."""
        self._values.append(value)

    def fail(self) -> None:
        """Say from now on that there will be none."""
        self._why = "the transaction was not done, or nobody knows"

    def __bool__(self) -> bool:
        """Refuse: whoever tests it means the value."""
        raise TransactionError("a result in a transaction is no value: take its .value after the block")

    def __iter__(self) -> object:
        """Refuse for the same reason."""
        raise TransactionError("a result in a transaction is no value: take its .value after the block")

    def __repr__(self) -> str:
        """Show the value where there is one."""
        return f"<{type(self).__name__} {self._values[0]!r}>" if self._values else f"<{type(self).__name__}>"


def transaction(
    lane: str,
    call_number: int,
    token: str,
    commands: Sequence[tuple[bytes, ...]],
    rows: Sequence[Row],
    group: Group | None,
) -> Call[Done]:
    """Do it all in one call of a lane. The same number and token again is answered from memory."""
    args: list[Arg] = [lane, call_number, token, len(commands)]
    for words in commands:
        args += (len(words), *words)
    args.append(len(rows))
    for row in rows:
        args += row.args()
    if group is not None:
        args += group.args
    return Call("transaction", tuple(args), lambda reply: _read(reply, commands, group))


def _read(reply: bytes, commands: Sequence[tuple[bytes, ...]], group: Group | None) -> Done:
    kind = reply[:1]
    if kind == b"=":
        counts, at = read_netstring(reply, 1, _WHAT)
        reached = [] if group is None else _counts(group, counts)
        return Done(replies=read_replies(reply, at, len(commands)), counts=reached)
    if kind == b"-" and group is not None:
        refusal = reply[1:]
        if refusal[:1] in b"-~":
            refusal = refusal[:1] + read_netstring(refusal, 1, _WHAT)[0]
        return Done(error=_error(group, refusal))
    if kind == b"?":
        flat = _netstrings(reply)
        return Done(stale=[(int(flat[i]), flat[i + 1]) for i in range(0, len(flat), 2)])
    if kind == b"!":
        index, reason, written = _netstrings(reply)
        places = [int(place) for place in written.split(b",") if place]
        return Done(error=CommandFailed(commands, int(index), reason.decode("utf-8", "backslashreplace"), places))
    raise corrupt(_WHAT, reply)


def _netstrings(reply: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 1
    while at < len(reply):
        text, at = read_netstring(reply, at, _WHAT)
        found.append(text)
    return found


def _counts(group: Group, answer: bytes) -> list[Receipt]:
    counts = group.outcome(answer)
    if not isinstance(counts, list):
        raise corrupt(_WHAT, answer)
    return counts


def _error(group: Group, answer: bytes) -> RexchangeError:
    error = group.outcome(answer)
    if isinstance(error, list):
        raise corrupt(_WHAT, answer)
    return error
