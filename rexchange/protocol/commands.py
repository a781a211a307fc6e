"""The caller's own Redis commands in a transaction: which are refused, how they are written, how replies are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rexchange.codec import corrupt, read_netstring
from rexchange.errors import ContentTooLarge, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexchange.protocol.call import Reply

MOST_COMMANDS = 1000
"""Of one transaction: Redis serves nobody else meanwhile."""
MOST_ARGUMENTS = 7000
"""Of one command: Lua hands over fewer than 8,000 at once."""
MOST_IN_ALL = 100_000
"""Arguments of one transaction."""

OURS = b"rx:{"
"""How every key of rexchange begins."""

_REFUSED = {
    "it waits, and nobody else would be served meanwhile": (
        "BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF"
    ),
    "the transaction is a script itself, and Redis runs none inside another": (
        "EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO SCRIPT FUNCTION"
    ),
    "it would take the queues, too": "FLUSHALL FLUSHDB",
    "it works on another database, and the queues are in this one": "SWAPDB SELECT MOVE",
    "the transaction is one step already": "MULTI EXEC DISCARD WATCH UNWATCH",
    "it is about a connection, and a transaction has none of its own": (
        "SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE MONITOR AUTH HELLO QUIT RESET CLIENT "
        "ASKING READONLY READWRITE"
    ),
    "it is about the server, and no part of a step that is to be done once": (
        "MIGRATE CONFIG SHUTDOWN DEBUG REPLICAOF SLAVEOF FAILOVER SAVE BGSAVE BGREWRITEAOF SYNC PSYNC REPLCONF CLUSTER "
        "ACL MODULE"
    ),
}
REFUSED: dict[str, str] = {name: why for why, names in _REFUSED.items() for name in names.split()}
"""Name of each command that is refused -> why. One that is not known here goes to the server, which knows."""
_MAY_BLOCK = ("XREAD", "XREADGROUP")


def encode(args: Sequence[object]) -> tuple[bytes, ...]:
    """Return a command's words as bytes, as redis-py writes them, once it may run. Raises InvalidArgument."""
    if not args:
        raise InvalidArgument("command", args, "a command's name and its arguments")
    words = _name(args[0])
    words += [_word(arg, words[0]) for arg in args[1:]]
    name = words[0].decode("utf-8", "backslashreplace").upper()
    why = REFUSED.get(name)
    if name in _MAY_BLOCK and any(word.upper() == b"BLOCK" for word in words[1 : words.index(_streams(words))]):
        why = REFUSED["BLPOP"]
    if why is not None:
        raise InvalidArgument("command", name, f"another one in a transaction: {why}")
    for word in words[1:]:
        if word.startswith(OURS):
            raise InvalidArgument(f"an argument of {name}", word, "no key of rexchange, and nothing that begins as one")
    if len(words) > MOST_ARGUMENTS:
        wanted = f"at most {MOST_ARGUMENTS} arguments in a command: make it several"
        raise InvalidArgument(f"the arguments of {name}", len(words), wanted)
    return tuple(words)


def _streams(words: Sequence[bytes]) -> bytes:
    """Return the word after which XREAD has keys: one may have the name BLOCK."""
    return next((word for word in words if word.upper() == b"STREAMS"), words[-1])


def _name(value: object) -> list[bytes]:
    """Return the words of a name: redis-py writes some with their subcommand, as one argument."""
    text = value.encode() if isinstance(value, str) else value
    if not isinstance(text, bytes) or not text.split():
        raise InvalidArgument("command", value, "the name of a Redis command as a str")
    return text.split()


def _word(value: object, name: bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(cast("bytearray", value))
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value).encode()
    raise InvalidArgument(f"an argument of {name.decode(errors='replace')}", value, "bytes, a str, an int or a float")


class Commands:
    """The commands of one transaction, in order."""

    __slots__ = ("_arguments", "_limit", "_size", "words")

    def __init__(self, limit: int) -> None:
        """Take how many bytes all arguments may have together."""
        self.words: list[tuple[bytes, ...]] = []
        self._limit = limit
        self._size = self._arguments = 0

    def add(self, args: Sequence[object]) -> None:
        """Add one. Raises InvalidArgument, ContentTooLarge."""
        words = encode(args)
        size, arguments = self._size + sum(map(len, words)), self._arguments + len(words)
        if len(self.words) == MOST_COMMANDS:
            raise ContentTooLarge("a transaction (Redis commands)", MOST_COMMANDS + 1, MOST_COMMANDS)
        if size > self._limit:
            raise ContentTooLarge("the Redis commands of a transaction together (bytes)", size, self._limit)
        if arguments > MOST_IN_ALL:
            raise ContentTooLarge("the Redis commands of a transaction together (arguments)", arguments, MOST_IN_ALL)
        self._size, self._arguments = size, arguments
        self.words.append(words)


_WHAT = "a reply in the answer of transaction"


def read_replies(raw: bytes, at: int, count: int) -> list[Reply]:
    """Read the replies of so many commands from `at` on, as RESP2 gives them: bytes, int, None, lists of them."""
    replies: list[Reply] = []
    for _ in range(count):
        reply, at = _read(raw, at)
        replies.append(reply)
    return replies


def _read(raw: bytes, at: int) -> tuple[Reply, int]:
    kind = raw[at : at + 1]
    text, at = read_netstring(raw, at + 1, _WHAT)
    if kind in (b"b", b"s"):
        return text, at
    if kind == b"i":
        return int(text), at
    if kind == b"n":
        return None, at
    if kind != b"l":
        raise corrupt(_WHAT, raw)
    items: list[Reply] = []
    for _ in range(int(text)):
        item, at = _read(raw, at)
        items.append(item)
    return items, at
