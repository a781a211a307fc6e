"""Faults on a broker's own connections, one request at a time: quick, on every server, in both colours.

`Faults(broker)` sits between the broker and its connections (the heartbeat's aside). A fault hits the next request that
holds a script's call (by its name) or a plain command. The chaos tests do the same to real lines, with a proxy.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from redis._parsers import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from rexchange import Broker
from rexchange.protocol import tick


@dataclass
class Rule:
    """What happens to the next `left` requests that hold `match`, and how often it did."""

    match: bytes
    left: int
    #: What is answered in place of the server, which never sees the request, one for each command or one for all; None:
    #: it does it, and then comes `hook`.
    lie: Exception | list[Any] | None = None
    hook: Callable[[], object] = lambda: None
    done: int = 0

    def strike(self) -> None:
        """Do it, now that the server has answered; what it refused (NOSCRIPT) does not count."""
        self.left -= 1
        self.done += 1
        self.hook()


class Faults:
    """The faults of one broker."""

    def __init__(self, broker: Any) -> None:
        self._rules: list[Rule] = []
        self._refusals: list[Exception] = []
        #: Whether the server is away: every request fails before it is sent. The heartbeat's connection goes on.
        self.away = False
        link = broker._link
        self._address = link.address
        make = link.wire

        def wire(**options: Any) -> Any:
            return self._wrapped(make(**options))

        link.wire = wire
        for made in (link.commands, broker._publisher._wire):
            self._wrapped(made)

    def cut(self, match: str, times: int = 1) -> Rule:
        """Lose the replies: the server does it, and the connection ends."""
        return self.during(match, _cut, times)

    def answer(self, match: str, error: str | Exception | list[Any], times: int = 1) -> Rule:
        """Answer in place of the server: with an error reply as it would send it, a lost connection, or replies."""
        lie: Any = cast("Any", BaseParser).parse_error(error) if isinstance(error, str) else error
        return self._add(Rule(self._bytes(match), times, lie=lie))

    def during(self, match: str, hook: Callable[[], object], times: int = 1) -> Rule:
        """Call `hook` when the server has done it and the broker has not seen the reply; what it raises is raised."""
        return self._add(Rule(self._bytes(match), times, hook=hook))

    def refuse(self, error: Exception) -> None:
        """Let the next request fail before it is sent: its connect does."""
        self._refusals.append(error)

    def refusal(self) -> Exception | None:
        """Return why the next connect fails."""
        if self.away:
            return RedisConnectionError("the server is away")
        return self._refusals.pop() if self._refusals else None

    def hit(self, packed: bytes) -> Rule | None:
        """Return the fault of a request."""
        for rule in self._rules:
            if rule.left and rule.match in packed:
                return rule
        return None

    def _bytes(self, match: str) -> bytes:
        """A script is known by its sum in the request, a command by its name."""
        return match.encode() if match.isupper() else self._address.script(match).sha.encode()

    def _add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule

    def _wrapped(self, wire: Any) -> Any:
        connect = wire._connect

        def again() -> Any:
            refusal = self.refusal()
            if refusal is not None:
                raise refusal
            made = connect()
            return keep_later(made) if inspect.isawaitable(made) else keep(made)

        def keep(pipe: Any) -> Any:
            wire._pipe = _Pipe(pipe, self)
            return wire._pipe

        async def keep_later(made: Awaitable[Any]) -> Any:
            return keep(await made)

        wire._connect = again
        if wire._pipe is not None:
            keep(wire._pipe)
        return wire


def reap(url: str, broker: Any) -> None:
    """End a broker's session, as the reaper does when it was silent for too long."""
    with Broker(url, vhost=broker.vhost) as other:
        while not other._link.run(tick.close_session(broker._session.id)):
            pass


class _Pipe:
    """A pipe with faults; in async a round trip is an awaitable, as the pipe's is."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self._rule: Rule | None = None

    @property
    def closed(self) -> bool:
        return bool(self._inner.closed)

    def abort(self) -> None:
        self._inner.abort()

    def pack(self, commands: Any) -> Any:
        refusal = self._faults.refusal()
        if refusal is not None:
            raise refusal
        packed = self._inner.pack(commands)
        self._rule = self._faults.hit(packed)
        return packed

    def roundtrip(self, packed: Any, count: int) -> Any:
        rule = self._rule
        is_async = inspect.iscoroutinefunction(self._inner.roundtrip)
        if rule is not None and rule.lie is not None:
            rule.strike()
            if not isinstance(rule.lie, list | ResponseError):
                raise rule.lie
            replies = list(rule.lie) if isinstance(rule.lie, list) else [rule.lie] * count
            return _value(replies) if is_async else replies
        replies = self._inner.roundtrip(packed, count)
        return _later(replies, rule) if is_async else _struck(replies, rule)


async def _value(value: Any) -> Any:
    """Stands for a round trip."""
    return value


async def _later(replies: Awaitable[list[Any]], rule: Rule | None) -> list[Any]:
    return _struck(await replies, rule)


def _struck(replies: list[Any], rule: Rule | None) -> list[Any]:
    """Let the fault happen, unless the server did not do it (NOSCRIPT)."""
    if rule is not None and not any(isinstance(reply, ResponseError) for reply in replies):
        rule.strike()
    return replies


def _cut() -> None:
    raise RedisConnectionError("cut by the test")
