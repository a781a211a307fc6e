"""How a consumer reads: natively where it has one queue (with the wake stream beside it), else woken and by `take`."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from rexchange._async import io
from rexchange._async.fetching import fetched
from rexchange._async.wire import ConnectionLost
from rexchange.protocol import consume
from rexchange.protocol.call import SessionGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange._async.holder import Holder
    from rexchange._async.link import Link
    from rexchange.protocol.call import Arg, Call
    from rexchange.protocol.consume import Entry
    from rexchange.protocol.settle import Batch, Settled

_log = logging.getLogger("rexchange.consume")

POLL_S = 0.01
"""Between two looks at a server whose XREADGROUP cannot block (fakeredis)."""


class Reader:
    """The reading connection of one consumer. All methods but `unblock` are called by one reader at a time."""

    def __init__(self, link: Link, holder: Holder, place: consume.Place) -> None:
        """Nothing is connected yet. `place`: where to begin in a stream."""
        self._link = link
        self._holder = holder
        self._place = place
        self._wire = link.wire(blocking=True)
        names = [queue.encode() for queue in holder.queues]
        self._names = names
        self._streams = [link.keys.stream(name) for name in names]
        self._wakes = [link.keys.wake(name) for name in names]
        self._client_id = 0
        self._blocked = False
        # More may be given back than the last look had room for.
        self._more = False
        #: Whether nothing of what was read last had ever been handed out before: it came natively.
        self.fresh = False
        # The consumer's name when all its queues were found empty: from then on a token tells of what comes. And that
        # when at one of them it turned out to matter whose turn it is: then it asks, and is seen to wait, at each read.
        self._emptied_as = ""
        self._in_turn_as = ""

    async def read(
        self, window: int, wait: float, stopped: Callable[[], bool], batch: Batch | None = None
    ) -> list[Entry]:
        """Return up to `window` entries, none after `wait` seconds; the verdicts of `batch` go in front.

        Raises ConnectionLost, SessionGone, and redis-py's error of a read that was ended.
        """
        self.fresh = False
        if self._holder.is_log:
            return await self._read_log(window, wait, stopped, batch)
        if batch is not None and (self._holder.kind == "m" or self._more):
            await self._holder.send(batch)
            batch = None
        if self._holder.kind == "m":
            return await self._read_managed(window, wait, stopped)
        if self._more:
            # A native read would bring new entries only to see them put back, and so on while there are any.
            entries = await self._take(window, [b""], [])
            self._more = len(entries) == window and any(entry.times > 1 for entry in entries)
            if entries:
                return entries
        return await self._read_plain(window, wait, stopped, batch)

    async def _read_plain(
        self, window: int, wait: float, stopped: Callable[[], bool], batch: Batch | None
    ) -> list[Entry]:
        """Read natively, and by script what the server has to judge."""
        blocking = self._link.facts is None or self._link.facts.blocking
        until = time.monotonic() + wait
        while True:
            block_ms = max(int(wait * 1000), 1) if blocking else None
            command = consume.read_command(self._link.keys, self._holder.name, self._names[0], window, block_ms)
            found = consume.read_reply(await self._send(command, batch), self._streams[0])
            batch = None  # while it polls, the flusher sends what is settled
            noted = found.noted
            if found.token or (noted and found.judged):
                entries = await self._take(window, [found.token], found.entries)
                self._more = len(entries) == window
                if entries:
                    return entries
            elif found.entries:
                self.fresh = True
                return await self._whole(found.entries) if noted else found.entries
            if blocking or stopped() or time.monotonic() >= until:
                return []
            await io.sleep(POLL_S)

    async def _read_managed(self, window: int, wait: float, stopped: Callable[[], bool]) -> list[Entry]:
        """Look first, for what came before anybody was there to be woken; then wait for a token."""
        blocking = self._link.facts is None or self._link.facts.blocking
        until = time.monotonic() + wait
        nothing = [b""] * len(self._names)
        tokens, bell, left = nothing, b"", wait
        while True:
            if self._emptied_as != self._holder.name:
                entries = await self._look(window, tokens, bell, int(left * 1000))
                left = until - time.monotonic()
                if entries or stopped() or left <= 0:
                    return entries
            block_ms = max(int(left * 1000), 1) if blocking and left > 0 else None
            command = consume.wake_command(self._link.keys, self._holder.name, self._names, block_ms)
            tokens, bell = consume.wake_reply(await self._send(command), self._wakes)
            while not (any(tokens) or bell or blocking or stopped()) and time.monotonic() < until:
                await io.sleep(POLL_S)
                tokens, bell = consume.wake_reply(await self._send(command), self._wakes)
            left = until - time.monotonic()
            if self._emptied_as != self._holder.name:
                continue
            # Also without a token: it tells that the session was reaped, or that turns have come to matter.
            entries = await self._take(window, tokens, [], bell, partial=True)
            if entries is consume.ALL:
                self._emptied_as, self._in_turn_as = "", self._holder.name
            elif entries or stopped() or left <= 0:
                return entries
            else:
                tokens, bell = nothing, b""

    async def _look(self, window: int, tokens: list[bytes], bell: bytes, wait_ms: int) -> list[Entry]:
        """Take from all queues. Once they are empty, and turns do not matter, there is no need to do so again."""
        entries = await self._take(window, tokens, [], bell, wait_ms)
        is_simple = len(self._names) > 1 and self._in_turn_as != self._holder.name
        if is_simple and window > 0 and not entries:
            self._emptied_as = self._holder.name
        return entries

    async def begin(self) -> None:
        """Ask where to begin, where the queue is a stream: what is published from then on comes after that."""
        if self._holder.is_log:
            await self._after()

    async def _after(self) -> bytes:
        """Return after which entry of the stream to read on."""
        holder, log = self._holder, self._holder.log
        if log.after is None:
            call = consume.seek(holder.queues[0], holder.incarnations[0], log.reader, self._place)
            log.after = await self._link.run(call)
        return log.after

    async def _read_log(
        self, window: int, wait: float, stopped: Callable[[], bool], batch: Batch | None
    ) -> list[Entry]:
        """Read on in a stream. Its end is no error of the read, so it is asked for."""
        holder, link, log = self._holder, self._link, self._holder.log
        if batch is not None:
            await holder.send(batch)
        after = await self._after()
        blocking = link.facts is None or link.facts.blocking
        until = time.monotonic() + wait
        while True:
            block_ms = max(int(wait * 1000), 1) if blocking else None
            command = consume.log_command(link.keys, self._names[0], after, window, block_ms)
            reply = await self._send(command)
            if reply or blocking or stopped() or time.monotonic() >= until:
                break
            await io.sleep(POLL_S)
        # What was read may be of another queue that has the name by now.
        await link.run(consume.look(holder.queues[0], holder.incarnations[0]))
        entries = consume.log_reply(reply)
        log.read([entry.id for entry in entries])
        return entries

    async def _take(
        self,
        window: int,
        tokens: list[bytes],
        unseen: list[Entry],
        bell: bytes = b"",
        wait_ms: int = 0,
        *,
        partial: bool = False,
    ) -> list[Entry]:
        holder = self._holder
        call = consume.take(
            holder.name,
            window,
            holder.queues,
            holder.incarnations,
            tokens=tokens,
            unseen=unseen,
            bell=bell,
            wait_ms=wait_ms,
            partial=partial,
        )
        try:
            entries = await self._link.once(call, wire=self._wire)
            while entries is consume.MORE:
                # Tokens and unseen entries have been dealt with: a second time they might be another's.
                call = consume.take(holder.name, window, holder.queues, holder.incarnations, wait_ms=wait_ms)
                entries = await self._link.once(call, wire=self._wire)
        except ConnectionLost:
            self._client_id = 0
            raise
        return await self._whole(entries)

    async def _whole(self, entries: list[Entry]) -> list[Entry]:
        """Fetch the bodies that are stored for several queues."""
        try:
            whole = await fetched(self._link, self._wire, entries)
        except ConnectionLost:
            self._client_id = 0
            raise
        if whole is None:
            # They may be another's by now. Registering anew keeps what is still ours and was shown, and gives back the
            # rest; what the server hands out then has its body, or it says that it is lost.
            raise SessionGone("a body was gone before it was fetched")
        return whole

    async def _send(self, command: list[Arg], batch: Batch | None = None) -> object:
        """Send a read, verdicts in front of it in the same write."""
        holder, link = self._holder, self._link
        commands = [command]
        settle: Call[Settled] | None = None
        if batch is not None:
            # Nothing is being read while this runs, so with nothing else in hand the fence may stand again.
            settle = holder.settle_call(batch, rearm=not holder.held - len(batch))
            commands = [link.command(settle), command]
        try:
            if not self._client_id:
                await self._learn_id()
            self._blocked = True
            replies = await self._wire.roundtrip(commands)
        except BaseException:  # a lost connection, or an interrupted caller: what was sent may have been done
            self._client_id = 0
            if batch is not None:
                holder.mislay(batch)
            raise
        finally:
            self._blocked = False
        if batch is not None and settle is not None:
            if isinstance(replies[0], RedisError):
                # Nothing was done. Sent once more by itself: NOSCRIPT after a restart, BUSY, or it is a real refusal.
                _log.debug("%s: a settle in front of a read was refused: %s", link, replies[0])
                await holder.send(batch)
            else:
                holder.settled(batch, settle.decode(replies[0]))
        if isinstance(replies[-1], RedisError):
            raise replies[-1]
        return replies[-1]

    async def _learn_id(self) -> None:
        """Ask for the connection's id, by which `unblock` ends a read, and make the server know the settle.

        A script that is unknown there would let the read behind it come first, and the consumer exceed its prefetch.
        """
        load: list[Arg] = ["SCRIPT", "LOAD", self._link.address.script("settle").text]
        reply, _ = await self._wire.roundtrip([["CLIENT", "ID"], load])
        self._client_id = reply if isinstance(reply, int) else -1

    async def unblock(self, within: float) -> bool:
        """End a read that is under way; without the permission for it, it ends with its block.

        Returns False where the server could not be reached.
        """
        if not self._blocked or self._client_id <= 0:
            return True
        # A connection of its own: a signal handler may have interrupted the thread that holds another one's lock.
        wire = self._link.wire()
        try:
            await wire.roundtrip([["CLIENT", "UNBLOCK", self._client_id]], within)
        except ConnectionLost as error:
            _log.debug("%s: could not unblock a read: %s", self._link, error)
            return False
        else:
            return True
        finally:
            await wire.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.aclose()
