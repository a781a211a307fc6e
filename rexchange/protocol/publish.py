"""Publishing: messages become a group, groups become one call, the answer becomes counts or an error for each group."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rexchange import receipt
from rexchange.codec import canonical_table, netstring, read_netstring, short_string
from rexchange.errors import ContentTooLarge, PublishRefused, ScriptError, Unroutable
from rexchange.message import encode_options, validate
from rexchange.protocol.call import Call, Reply, refusal, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rexchange.codec import Table
    from rexchange.errors import RexchangeError
    from rexchange.keyspace import Keys
    from rexchange.message import Message
    from rexchange.protocol.call import Arg
    from rexchange.receipt import Receipt


APART = 65_536
"""Bodies of so many bytes are stored ahead of the call, by a command of their own (docs/adr/0014)."""
STORED_S = 60
"""So long such a body waits for its call: one that fails leaves it behind."""


class Group:
    """Messages of one caller that are published together or not at all."""

    __slots__ = ("args", "large", "messages", "size")

    def __init__(self, messages: Sequence[Message], *, max_body: int, max_call: int, patient: bool = False) -> None:
        """Check and encode all messages; raises what `message.validate` does, ContentTooLarge for all together.

        `patient`: it is refused whole where one of its queues is full, even one that would drop others for it.
        Neighbours with one route share one header of four arguments, so a batch to one key costs two a message.
        """
        args: list[Arg] = [0]
        runs = size = extra = 0
        last: tuple[str, str, bytes, bool] | None = None
        at = 0
        large: tuple[tuple[int, int], ...] = ()
        for message in messages:
            envelope = validate(message, max_body)
            body = message.body
            length = len(body)
            headers = b""
            if message.headers or message.properties or message.special is not None:
                headers = _headers(message)
                if message.headers or message.properties:
                    extra += len(envelope) + len(headers)  # the headers travel twice: to be kept, and to be matched
            route = (message.exchange, message.routing_key, headers, message.mandatory)
            if route == last and length < APART:
                args[at] += -1 if message.mandatory else 1  # type: ignore[operator]  # a number at these places
            else:
                last = route
                runs += 1
                at = len(args) + 3
                sign = -1 if message.mandatory else 1
                args += (message.exchange, message.routing_key, headers, sign)
            args += (envelope, body)
            size += length
            if length >= APART:
                large = (*large, (at - 1, len(args) - 1))
                last = None
        if size > max_call:
            raise ContentTooLarge("the bodies of one call together (bytes)", size, max_call)
        if extra > max_call:
            raise ContentTooLarge("the headers and properties of one call together (bytes)", extra, max_call)
        args[0] = -runs if patient else runs
        self.args = args
        #: Where the headers and the body of each large message are in `args`; it has a run of its own.
        self.large = large
        self.messages = messages
        self.size = size + extra

    def bodies(self) -> list[bytes]:
        """Return the bodies that may be stored ahead."""
        return [cast("bytes", self.args[at]) for _, at in self.large]

    def without(self, shares: Iterator[str]) -> list[Arg]:
        """Return the arguments with the numbers of stored bodies in place of these."""
        args = list(self.args)
        for headers, body in self.large:
            args[headers] = b"@" + netstring(next(shares).encode()) + cast("bytes", args[headers])
            args[body] = b""
        return args

    def outcome(self, answer: bytes) -> list[Receipt] | RexchangeError:
        """Return queues reached a message, or the error of the group, from its part of the answer."""
        kind, rest = answer[:1], answer[1:]
        if kind == b"=":
            return [receipt.plain(int(rest))] * len(self.messages)
        if kind == b"+":
            return [receipt.plain(int(count)) for count in rest.split(b",")]
        if kind == b"*":
            return [receipt.read(fate) for fate in rest.split(b",")]
        if kind == b"!":
            indexes = [int(index) for index in rest.split(b",")]
            return Unroutable(
                (index, self.messages[index].exchange, self.messages[index].routing_key) for index in indexes
            )
        if kind == b"-":
            return refusal(rest.decode())
        if kind == b"~":
            return _full(rest)
        raise ScriptError(f"publish answered {answer[:60]!r}")


def _headers(message: Message) -> bytes:
    """Return what routing looks at besides exchange and key."""
    headers = canonical_table(message.headers, "headers") if message.headers else b""
    options = encode_options(message)
    # One argument: each costs the server 0.1 us a run.
    return b"!" + netstring(options) + headers if options else headers


def store(keys: Keys, share: str, body: bytes) -> list[Arg]:
    """Return the command that stores a body ahead: Redis keeps the bytes as they came, and no script copies them."""
    return ["SET", keys.body(share.encode()), body, "EX", STORED_S]


def publish(
    lane: str, call_number: int, token: str, groups: Sequence[Group], shares: Sequence[str] = ()
) -> Call[list[list[Receipt] | RexchangeError]]:
    """Publish groups in one call of a lane. The same number and token again is answered from memory.

    `shares`: the numbers under which their large bodies are stored, where they are.
    """
    args: list[Arg] = [lane, call_number, token]
    if shares:
        stored = iter(shares)
        for group in groups:
            args += group.without(stored)
    else:
        for group in groups:
            args += group.args

    def decode(reply: Reply) -> list[list[Receipt] | RexchangeError]:
        if reply.startswith(b"=") and len(groups) == 1:
            return [groups[0].outcome(reply)]
        answers = _split(reply)
        return [group.outcome(answer) for group, answer in zip(groups, answers, strict=True)]

    return Call("publish", tuple(args), decode)


def _split(reply: bytes) -> list[bytes]:
    """Split the answers; only refusals hold free text, and those are netstrings."""
    if b"-" not in reply and b"~" not in reply:
        return reply.split(b";")
    answers: list[bytes] = []
    at = 0
    while at < len(reply):
        kind = reply[at : at + 1]
        if kind in (b"-", b"~"):
            text, at = read_netstring(reply, at + 1, "the answer of publish")
            answers.append(kind + text)
            at += 1
        else:
            end = reply.find(b";", at)
            end = len(reply) if end < 0 else end
            answers.append(reply[at:end])
            at = end + 1
    return answers


def _full(text: bytes) -> PublishRefused:
    """Read what full queues refused; the other queues keep what they got."""
    what = "the answer of publish"
    counts, at = read_netstring(text, 0, what)
    refused: list[tuple[int, str]] = []
    while at < len(text):
        index, at = read_netstring(text, at, what)
        queue, at = read_netstring(text, at, what)
        refused.append((int(index), queue.decode()))
    return PublishRefused.by_full_queues([receipt.read(count) for count in counts.split(b",")], refused)


def route(exchange: str, routing_key: str, headers: Table | None) -> Call[list[str]]:
    """Ask which queues a message would reach; nothing is written."""
    short_string("routing_key", routing_key)
    return Call("route", (exchange, routing_key, canonical_table(headers or {}, "headers")), texts)
