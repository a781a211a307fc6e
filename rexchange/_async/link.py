"""The broker's way to the server: opening a vhost, running calls and plans, retrying what may be retried."""

from __future__ import annotations

import logging
import math
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import RedisError

from rexchange import topology
from rexchange._async import io
from rexchange._async.deadlines import Holding
from rexchange._async.trying import Trying
from rexchange._async.wire import ConnectionLost, Wire
from rexchange.errors import BrokerConnectionError, TopologyLost
from rexchange.keyspace import Keys
from rexchange.protocol import declare
from rexchange.protocol.call import ProducerClash
from rexchange.protocol.policies import NONE
from rexchange.server import facts, failures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rexchange.protocol.call import Arg, Call, Plan, Reply
    from rexchange.protocol.policies import State
    from rexchange.server.endpoint import Address
    from rexchange.server.facts import ServerFacts
    from rexchange.settings import Settings

    Runner = Callable[[Call[Any]], Awaitable[Any]]

T = TypeVar("T")
_log = logging.getLogger("rexchange.connection")

BLOCK_MARGIN_S = 2.0
"""A blocking read may answer so much later than its block before the connection counts as half-open."""


async def follow(plan: Plan[T], run: Runner) -> T:
    """Run the calls of a plan and return its result."""
    try:
        call = next(plan)
        while True:
            call = plan.send(await run(call))
    except StopIteration as stop:
        result: T = stop.value
        return result


class Link(Trying):
    """Everything of one Broker that talks to the server shares this."""

    def __init__(self, address: Address, settings: Settings, vhost: str) -> None:
        """Take where the server is; nothing is connected yet."""
        super().__init__(address, settings)
        self.vhost = vhost
        self.keys = Keys(topology.check_vhost(vhost))
        self.facts: ServerFacts | None = None
        patience = settings.confirm_timeout or settings.socket_timeout * 0.6
        self._confirm_s = patience.total_seconds()
        self.restore: Callable[[Runner], Awaitable[None]] | None = None
        self.commands = self.wire()
        self.closed = False
        #: The policies, as far as they are known here; scripts refuse what was worked out from others.
        self.policies: State = NONE
        self._vhost_id = b""
        # How the EVALSHA of each script begins.
        self._heads: dict[str, tuple[bytes, ...]] = {}
        self._opening = io.Lock()
        self._home: object = None

    def __str__(self) -> str:
        """Show the server and the vhost, for logs."""
        return f"{self.address.display} vhost {self.vhost!r}"

    def reset(self) -> None:
        """Start anew in a forked child: locks may be held by threads that do not exist here."""
        self.forgive()
        self._opening = io.Lock()
        self._home = None
        self.commands.reset()

    def wire(self, *, blocking: bool = False) -> Wire:
        """Make a connection; a `blocking` one waits longer for replies (redis-py's default of 5 s kills long reads)."""
        socket_timeout = self.settings.socket_timeout.total_seconds()
        if blocking:
            socket_timeout = self.settings.block.total_seconds() + BLOCK_MARGIN_S
        connect_timeout = self.settings.connect_timeout.total_seconds()
        return Wire(self.address, connect_timeout=connect_timeout, socket_timeout=socket_timeout)

    @property
    def vhost_id(self) -> bytes:
        """What `open_vhost` returned, empty before."""
        return self._vhost_id

    def at_home(self) -> None:
        """Refuse to work in another event loop than before: its connections wait in that one."""
        if not io.HAS_LOOPS:
            return
        here = io.loop()
        if self._home is None:
            self._home = here
        elif self._home is not here:
            message = "it belongs to the event loop in which it was used first, and this is another: make one in each"
            raise BrokerConnectionError(message, address=self.address.display, outcome="not_done")

    def holding(self, lock: io.Lock, deadline: float) -> Holding:
        """Return what holds a lock in `with`. Raises BrokerConnectionError on entering when the time is up."""
        return Holding(lock, self.left(deadline), self._busy)

    def _busy(self) -> BrokerConnectionError:
        message = "the time was up while another operation of this Broker was under way"
        return BrokerConnectionError(message, address=self.address.display, outcome="not_done")

    def command(self, call: Call[T], vhost_id: bytes | None = None) -> list[Arg]:
        """Return the EVALSHA of a call; `vhost_id` is given while it is not yet the one for all."""
        head = self._heads.get(call.script)
        if head is None:
            sha = self.address.script(call.script).sha.encode()
            head = self._heads[call.script] = (b"EVALSHA", sha, b"1", self.keys.vhost)
        return [*head, *call.args] if call.opens else [*head, vhost_id or self._vhost_id, *call.args]

    def confirm_ms(self, deadline: float) -> int:
        """Return how many milliseconds a publish waits for replicas or the disk: the answer has to come in time, too.

        Never 0, with which Redis waits for ever.
        """
        return max(1, int(1000 * min(self._confirm_s, 0.6 * self.left(deadline))))

    async def open(self, deadline: float | None = None) -> None:
        """Connect, look at the server, open the vhost; nothing where that was done.

        Raises BrokerConnectionError, ServerRefused.
        """
        if self.closed:
            message = "this Broker is closed: make a new one"
            raise BrokerConnectionError(message, address=self.address.display, outcome="not_done")
        self.at_home()
        if self._vhost_id:
            return
        limit = self.deadline() if deadline is None else deadline
        async with self.holding(self._opening, limit):
            if self._vhost_id:
                return
            if self.facts is None:
                await self._look(limit)
            self._vhost_id = await self._run(declare.open_vhost(secrets.token_hex(8).encode()), self.commands, limit)

    async def replies(self, *commands: Sequence[Arg]) -> list[Reply]:
        """Run commands that are no scripts in one write; error replies are returned. Twice must be as once."""
        deadline = self.deadline()
        await self.open(deadline)
        return await self._retried(lambda within: self.commands.roundtrip(commands, within), deadline)

    async def plain(self, *command: Arg) -> Reply:
        """Run a command that is no script; twice must be as once. Raises as `run` does."""
        (reply,) = await self.replies(command)
        if isinstance(reply, RedisError):
            raise self.error(reply)
        return reply

    async def _look(self, deadline: float) -> None:
        commands = (["HELLO"], ["INFO"], ["CONFIG", "GET", "save"])
        replies = await self._retried(lambda within: self.commands.roundtrip(commands, within), deadline)
        told = facts.read(*[None if isinstance(reply, RedisError) else reply for reply in replies])
        for warning in facts.judge(told, strict=self.settings.strict, address=self.address.display):
            _log.warning("%s: %s", self.address.display, warning)
        self.facts = told

    async def run(
        self,
        call: Call[T],
        *,
        wire: Wire | None = None,
        deadline: float | None = None,
        resend: Callable[[], Call[T]] | None = None,
    ) -> T:
        """Run a call and decode its reply.

        It is sent again after a lost connection, so calls are such that twice is as once; `resend` makes what is sent
        in its place when the first may have been done. Raises the typed error of the reply, or BrokerConnectionError
        when `deadline` (monotonic; the default is the setting retry_timeout) passes.
        """
        limit = self.deadline() if deadline is None else deadline
        if not self._vhost_id or self.closed:
            await self.open(limit)
        elif self._given_up:
            raise self._gave_up()
        if io.HAS_LOOPS:
            self.at_home()
        seen, used = self._vhost_id, wire or self.commands
        first: RedisError | ConnectionLost
        # The first try stands here by itself, without the steps of all others: it nearly always is the last, and this
        # is a third of what a publish costs.
        try:
            reply = await self._sent(call, used, self.left(limit))
        except ConnectionLost as lost:
            first = lost
        else:
            if not isinstance(reply, RedisError):
                if self._last != math.inf:
                    self._answered_now()
                return call.decode(reply)
            first = reply
        try:
            return await self._run(call, used, limit, resend, first=first)
        except TopologyLost:
            if not await self.recovered(seen, limit):
                raise
            return await self._run(call, used, limit, resend)

    async def _sent(self, call: Call[Any], wire: Wire, within: float, vhost_id: bytes | None = None) -> Reply:
        """Send a call; return the reply, or all where commands go behind it (of an error reply that alone)."""
        command = self.command(call, vhost_id)
        if not call.then:
            return (await wire.roundtrip((command,), within))[0]
        replies = await wire.roundtrip((command,), within, call.then)
        return replies[0] if isinstance(replies[0], RedisError) else replies

    async def once(self, call: Call[T], *, wire: Wire | None = None, deadline: float | None = None) -> T:
        """Run a call that must not be done twice: raises ConnectionLost instead of sending it again."""
        limit = self.deadline() if deadline is None else deadline
        await self.open(limit)
        seen, attempt = self._vhost_id, 0
        while True:
            (reply,) = await (wire or self.commands).roundtrip([self.command(call)], self.left(limit))
            if not isinstance(reply, RedisError):
                return call.decode(reply)
            pause = failures.backoff(attempt)
            attempt += 1
            if failures.is_noscript(reply):
                await self.load(call.script, wire or self.commands, limit)
            elif failures.is_transient(reply) and pause < self.again(limit):
                await io.sleep(pause)
            else:
                error = self.error(reply)
                if not (isinstance(error, TopologyLost) and await self.recovered(seen, limit)):
                    raise error
                seen = self._vhost_id

    async def together(self, calls: Sequence[Call[Any]]) -> list[int]:
        """Run calls in one round trip; return the positions of those that got an error and are to be run alone.

        Each is a step of its own, and twice is as once. Decoding may raise.
        """
        deadline = self.deadline()
        await self.open(deadline)
        commands = [self.command(call) for call in calls]
        replies = await self._retried(lambda within: self.commands.roundtrip(commands, within), deadline)
        alone: list[int] = []
        for index, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            if isinstance(reply, RedisError):
                alone.append(index)
            else:
                call.decode(reply)
        return alone

    async def follow(self, plan: Plan[T], *, deadline: float | None = None) -> T:
        """Run the calls of a plan and return its result."""
        limit = self.deadline() if deadline is None else deadline
        return await follow(plan, lambda call: self.run(call, deadline=limit))

    async def recovered(self, seen: bytes, deadline: float) -> bool:
        """Whether a topology that was lost under the vhost id `seen` is there again (redeclare=True)."""
        restore = self.restore
        if restore is None or not self.settings.redeclare:
            return False
        async with self.holding(self._opening, deadline):
            if self._vhost_id != seen:
                return True
            epoch = secrets.token_hex(8).encode()
            fresh = await self._run(declare.open_vhost(epoch), self.commands, deadline)
            if fresh == seen:
                return False  # the vhost is there: a part of it is broken, which declaring again does not mend
            # The others go on under the old id, and wait for us, until all is there: half of it looks like NotFound.
            await restore(lambda call: self._run(call, self.commands, deadline, vhost_id=fresh))
            self._vhost_id = fresh
            _log.warning("%s: the topology was gone and has been declared again", self.address.display)
        return True

    async def _run(
        self,
        call: Call[T],
        wire: Wire,
        deadline: float,
        resend: Callable[[], Call[T]] | None = None,
        *,
        vhost_id: bytes | None = None,
        first: RedisError | ConnectionLost | None = None,
    ) -> T:
        """Run a call as often as it takes. `first`: how the first try ended, where it was made before."""
        lost = isinstance(first, ConnectionLost) and first.undecided

        async def once(within: float) -> Reply:
            nonlocal lost, first
            try:
                if first is not None:
                    ended, first = first, None
                    if isinstance(ended, ConnectionLost):
                        raise ended
                    return ended
                sent = resend() if lost and resend is not None else call
                return await self._sent(sent, wire, within, vhost_id)
            except ConnectionLost as error:
                lost = lost or error.undecided
                raise

        try:
            return call.decode(await self._answered(once, call.script, wire, deadline))
        except (BrokerConnectionError, ProducerClash) as error:
            if not lost or (isinstance(error, BrokerConnectionError) and error.outcome == "unknown"):
                raise
            # What was refused is the retry. The first try, whose reply was lost, may have been done.
            why = failures.reply_text(error.__cause__ or error)
            kind = type(error) if isinstance(error, BrokerConnectionError) else BrokerConnectionError
            raise kind(why, address=self.address.display, outcome="unknown") from error

    async def _answered(
        self, once: Callable[[float], Awaitable[Reply]], script: str, wire: Wire, deadline: float
    ) -> Reply:
        """Return the reply to a script call; raises the typed error of an error reply."""
        loads = 0
        while True:
            reply = await self._retried(once, deadline)
            if not isinstance(reply, RedisError):
                return reply
            if not failures.is_noscript(reply) or loads == 3:  # noqa: PLR2004 - a server that forgets at once is broken
                raise self.error(reply)
            loads += 1
            await self.load(script, wire, deadline)

    async def aclose(self) -> None:
        """Close the command connection; nothing runs any more."""
        self.closed = True
        await self.commands.aclose()
