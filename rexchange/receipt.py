"""What a publisher is told of a message: how many queues it reached, and what else became of it."""

from __future__ import annotations

from functools import cache
from typing import Self


class Receipt(int):
    """How many queues the message is in: an int, and beside it what is said of a few messages only.

    `schedule_id`: it waits for its time (it is in 0 queues until then) under this id, see `cancel_scheduled`.
    `duplicate`: nothing was done, since a message with the same dedup_key was published before; all else that the
    receipt says is the first one's.
    """

    schedule_id: str
    duplicate: bool

    def __new__(cls, queues: int, schedule_id: str = "", *, duplicate: bool = False) -> Self:
        """Make one."""
        made = super().__new__(cls, queues)
        made.schedule_id = schedule_id
        made.duplicate = duplicate
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[int, str], dict[str, bool]]:
        """Pickle and copy."""
        return (int(self), self.schedule_id), {"duplicate": self.duplicate}


@cache
def plain(queues: int) -> Receipt:
    """Return the receipt of an ordinary message; one for all of them: making each would be felt."""
    return Receipt(queues)


def read(fate: bytes) -> Receipt:
    """Return the receipt of a message from its fate: ``<queues>[@<schedule id>][!]``, the last for a duplicate."""
    duplicate = fate.endswith(b"!")
    queues, _, schedule_id = fate.removesuffix(b"!").partition(b"@")
    return (
        Receipt(int(queues), schedule_id.decode(), duplicate=duplicate)
        if duplicate or schedule_id
        else plain(int(queues))
    )
