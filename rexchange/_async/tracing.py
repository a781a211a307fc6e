"""Tracing: the history of single messages, while it is switched on."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from rexchange._async.base import AsyncBase, name_of
from rexchange.codec import short_string
from rexchange.errors import InvalidArgument
from rexchange.protocol import tracing
from rexchange.protocol.tracing import Trace

if TYPE_CHECKING:
    from rexchange.protocol.tracing import Answer, TraceEvent
    from rexchange.topology import Exchange, Queue

HOUR = timedelta(hours=1)


class AsyncTracing(AsyncBase):
    """The methods of a broker about traces."""

    async def trace(
        self,
        *,
        queue: str | Queue | None = None,
        routing_key: str | None = None,
        exchange: str | Exchange | None = None,
        keep: int = 10_000,
        for_: float | timedelta = HOUR,
    ) -> Trace:
        """Trace messages that come from now on; what happens to them is told by `history`.

        `queue`: those that enter it. `routing_key`: those published with a key that matches this pattern (as in topic
        bindings: `*` one word, `#` any number). `exchange`: those published to it. Given together, all must hold.
        `keep`: so many events are kept in Redis, for all traces of the vhost together. `for_`: it ends by itself after
        so long. Raises InvalidArgument, NotFound, PreconditionFailed (there are 100 traces already).
        """
        call = tracing.start(
            secrets.token_hex(4),
            queue=None if queue is None else name_of("queue", queue),
            exchange=None if exchange is None else "" if exchange == "" else name_of("exchange", exchange),
            routing_key=routing_key,
            keep=keep,
            life=for_,
        )
        answer: Answer = await self._run(call)
        return next(trace for trace in answer.traces if trace.id == call.args[1])

    async def traces(self) -> list[Trace]:
        """List the traces that are on, oldest first."""
        answer: Answer = await self._run(tracing.listing())
        return answer.traces

    async def untrace(self, trace: Trace | str | None = None) -> None:
        """End a trace, or all of them; one that is over is no error. With the last one the events are deleted."""
        trace_id = trace.id if isinstance(trace, Trace) else trace
        if trace_id is not None and (not isinstance(trace_id, str) or not trace_id):
            raise InvalidArgument("trace", trace, "what `trace` returned, its id, or None for all")
        more = True
        while more:
            answer: Answer = await self._run(tracing.stop(trace_id or ""))
            more = answer.more

    async def history(self, trace_id: str | None = None, *, message_id: str | None = None) -> list[TraceEvent]:
        """Return what happened to a traced message, oldest first; empty where nothing is known of it (any more).

        By its trace id, as events have it, or by the property `message_id` with which it was published: then all
        messages that had it.
        """
        if (trace_id is None) == (message_id is None):
            raise InvalidArgument("trace_id", trace_id, "a trace id or a message_id, one of the two")
        short_string("trace_id", trace_id or "")
        short_string("message_id", message_id or "")
        await self._ready()
        return await self._link.follow(tracing.of_message(trace_id, message_id))

    async def traced(self, limit: int = 100) -> list[TraceEvent]:
        """Return the latest events of all traced messages, oldest first, at most `limit`."""
        if type(limit) is not int or limit < 1:
            raise InvalidArgument("limit", limit, "an int of at least 1")
        await self._ready()
        return await self._link.follow(tracing.latest(limit))
