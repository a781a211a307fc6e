"""Transactions: Redis commands, messages and verdicts that happen together or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

from rexchange._async import io
from rexchange._async.delivery import AsyncDelivery
from rexchange._async.messaging import AsyncMessaging
from rexchange.checks import check_flags, check_optional_seconds
from rexchange.confirms import read_level
from rexchange.errors import (
    AlreadySettled,
    BrokerConnectionError,
    ContentTooLarge,
    InvalidArgument,
    NotSupported,
    StaleDelivery,
    TransactionError,
    Unconfirmed,
)
from rexchange.message import Message, validate
from rexchange.protocol.commands import Commands
from rexchange.protocol.confirm import confirmed
from rexchange.protocol.publish import Group
from rexchange.protocol.transaction import MOST_VERDICTS, Result, transaction
from rexchange.server.commands import RedisCommands, shaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import timedelta
    from types import TracebackType
    from typing import Unpack

    from rexchange._async.delivery import Settler
    from rexchange._async.link import Link
    from rexchange._async.publisher import Publisher
    from rexchange._async.stakes import Stakes
    from rexchange.codec import Table
    from rexchange.confirms import Level
    from rexchange.hooks import Hooks
    from rexchange.message import MessageArgs
    from rexchange.protocol.settle import Verdict
    from rexchange.protocol.transaction import Done, Row
    from rexchange.receipt import Receipt
    from rexchange.topology import Exchange


class Means(NamedTuple):
    """What a transaction needs of its Broker."""

    link: Link
    publisher: Callable[[Level], Publisher]
    hooks: Hooks | None
    ready: Callable[[], Awaitable[None]]
    message: Callable[..., Message]
    with_reply_queue: Callable[[Sequence[Message]], Sequence[Message]]
    reachable: Callable[[Level, float], Awaitable[Level]]


class _Part:
    """What is settled of one consumer's deliveries, or of those from one queue's `get`."""

    def __init__(self, settler: Settler, stakes: Stakes) -> None:
        self.settler = settler
        self.stakes = stakes
        self.verdicts: dict[int, Verdict] = {}


class AsyncTransaction:
    """What is recorded in its block is done as one step when the block ends, and nothing where it raises.

    Made by `Broker.transaction`, for one use. First the Redis commands run, in order, then the messages are published
    and the deliveries settled. Nothing is sent inside the block, so its methods return at once, a `Result` whose
    `value` is there afterwards, and need no await.
    """

    def __init__(self, means: Means, timeout: float | None, level: Level) -> None:
        """Made by a Broker."""
        self._means = means
        self._timeout = timeout
        self._level = level
        self._why = ""
        self._state = "new"
        self._commands = Commands(means.link.settings.max_call)
        self._recorded: list[tuple[str, dict[str, Any], Result[Any]]] = []
        self._messages: list[Message] = []
        self._reached: list[Result[Receipt]] = []
        self._parts: dict[int, _Part] = {}
        self._wanted = True
        #: redis-py's command methods, recorded: `tx.redis.set("price", "9.90", ex=60)`.
        self.redis = RedisCommands(self._record)

    def __repr__(self) -> str:
        """Show how much is in it."""
        settled = sum(len(part.verdicts) for part in self._parts.values())
        held = f"{len(self._recorded)} commands, {len(self._messages)} messages, {settled} verdicts"
        return f"<{type(self).__name__} of {self._means.link}: {held}, {self._state}>"

    # --- recording

    def _check_open(self) -> None:
        if self._state == "new":
            raise TransactionError("this transaction has not begun: use it in `with`, and fill it in that block")
        if self._state != "open":
            raise TransactionError("this transaction is over: call broker.transaction() for each")

    def _record(self, args: tuple[Any, ...], options: dict[str, Any]) -> Result[Any]:
        self._check_open()
        self._commands.add(args)
        result: Result[Any] = Result()
        self._recorded.append((args[0] if isinstance(args[0], str) else args[0].decode(), options, result))
        return result

    @overload
    def publish(self, body: Message) -> Result[Receipt]: ...
    @overload
    def publish(
        self,
        body: bytes | bytearray | memoryview,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        **properties: Unpack[MessageArgs],
    ) -> Result[Receipt]: ...
    def publish(
        self,
        body: bytes | bytearray | memoryview | Message,
        *,
        exchange: str | Exchange = "",
        routing_key: str = "",
        headers: Table | None = None,
        mandatory: bool = False,
        **properties: Unpack[MessageArgs],
    ) -> Result[Receipt]:
        """Publish a message when the block ends, as `Broker.publish` does; `value`: how many queues it reached.

        Raises InvalidArgument, ContentTooLarge. What else `publish` raises comes at the end of the block, and then
        nothing of the transaction was done: Unroutable (`mandatory`), NotFound, PublishRefused (a queue is full).
        """
        self._check_open()
        message = self._means.message(body, exchange, routing_key, headers, properties, mandatory=mandatory)
        settings = self._means.link.settings
        if len(self._messages) == settings.max_batch:
            raise ContentTooLarge("a transaction (messages)", settings.max_batch + 1, settings.max_batch)
        validate(message, settings.max_body)
        if message.special is not None:
            message.special.options()
            message.special.check_time(int(time.time() * 1000))
        self._messages.append(message)
        self._reached.append(Result())
        return self._reached[-1]

    def ack(self, delivery: AsyncDelivery) -> None:
        """Acknowledge a delivery when the block ends; until then, and where nothing is done, it stays as it is.

        Raises AlreadySettled, StaleDelivery, NotSupported (of a stream), InvalidArgument (of another Broker).
        """
        self._settle(delivery, "ack")

    def nack(self, delivery: AsyncDelivery, *, requeue: bool = True) -> None:
        """Put it back to its place in the queue when the block ends, or with requeue=False drop it; see `ack`."""
        check_flags(requeue=requeue)
        self._settle(delivery, "requeue" if requeue else "reject")

    def reject(self, delivery: AsyncDelivery, *, requeue: bool = False) -> None:
        """Drop it (into the dead-letter exchange where there is one) when the block ends; see `nack`."""
        self.nack(delivery, requeue=requeue)

    def _settle(self, delivery: AsyncDelivery, verdict: Verdict) -> None:
        self._check_open()
        if not isinstance(delivery, AsyncDelivery):
            raise InvalidArgument("delivery", delivery, "a delivery of this Broker")
        tag = delivery.delivery_tag
        stakes = delivery.settler.stakes(tag)
        if not stakes.is_of(self._means.link):
            raise InvalidArgument("delivery", delivery, f"one of the Broker of the transaction ({self._means.link})")
        if "stream" in stakes.types:
            why = f"queue {delivery.queue!r} is a stream, where an ack only makes room for more: ack it by itself"
            raise NotSupported(why, kind="queue", name=delivery.queue)
        stakes.entry(tag)
        part = self._parts.setdefault(id(stakes), _Part(delivery.settler, stakes))
        if tag in part.verdicts:
            raise AlreadySettled(tag, queue=delivery.queue, hint="in this transaction")
        if sum(len(each.verdicts) for each in self._parts.values()) == MOST_VERDICTS:
            raise ContentTooLarge("a transaction (deliveries)", MOST_VERDICTS + 1, MOST_VERDICTS)
        part.verdicts[tag] = verdict

    # --- what came of it

    @property
    def results(self) -> list[Any]:
        """What each Redis command returned, in order. Raises TransactionError where it was not done (yet)."""
        self._check_done()
        return [result.value for _, _, result in self._recorded]

    @property
    def published(self) -> list[Receipt]:
        """How many queues each message reached, in order. Raises TransactionError where it was not done (yet)."""
        self._check_done()
        return [result.value for result in self._reached]

    def _check_done(self) -> None:
        if self._state != "done":
            left = self._state in ("new", "open")
            raise TransactionError(f"there are no results: it {'goes on' if left else 'was not done'}")

    # --- its block

    async def __aenter__(self) -> Self:
        """Begin."""
        if self._state != "new":
            raise TransactionError("this transaction was used before: call broker.transaction() for each")
        self._state = "open"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do all of it in one step, unless the block raised."""
        self._state = "ending"
        try:
            if error is None:
                await io.shielded(self._commit)
        finally:
            self._wanted = False  # a caller who was cancelled while it waited for its turn has it no more
            if self._state != "done":
                self._state = "not done"
                for result in (*self._reached, *(result for _, _, result in self._recorded)):
                    result.fail()

    async def _commit(self) -> None:
        if not (self._recorded or self._messages or self._parts):
            self._state = "done"
            return
        link, hooks = self._means.link, self._means.hooks
        deadline = link.deadline(self._timeout)
        messages = self._means.with_reply_queue(self._messages)
        if hooks is not None and messages:
            hooks.before_publish(messages)
        try:
            group = None
            if messages:
                group = Group(messages, max_body=link.settings.max_body, max_call=link.settings.max_call)
            for part in self._parts.values():
                part.stakes.announce(part.verdicts)
            await self._means.ready()
            self._level = await self._means.reachable(self._level, deadline)
            # In one order for all, so that two transactions do not wait for each other.
            parts = [self._parts[each] for each in sorted(self._parts)]
            done = await self._with_names_fixed(parts, [], group, deadline)
        except Exception as error:
            if hooks is not None and messages:
                hooks.after_publish(messages, None, error)
            raise
        self._take_note(done)
        if hooks is not None and messages:
            hooks.after_publish(messages, done.counts, None)
        for part in self._parts.values():
            part.stakes.tell(part.verdicts)
            part.settler.settled(list(part.verdicts))
        if self._why:
            raise Unconfirmed(self._why, done.counts)

    async def _with_names_fixed(
        self, parts: Sequence[_Part], rows: list[tuple[Stakes, Row]], group: Group | None, deadline: float
    ) -> Done:
        """Send it while no consumer changes its name: what is held is held under a name."""
        if not parts:
            return await self._send(rows, group, deadline)
        stakes = parts[0].stakes
        async with stakes.fixed(deadline):
            mine = [(stakes, row) for row in stakes.rows(parts[0].verdicts)]
            done = await self._with_names_fixed(parts[1:], [*rows, *mine], group, deadline)
            stakes.settled_elsewhere(parts[0].verdicts)
            return done

    async def _send(self, rows: Sequence[tuple[Stakes, Row]], group: Group | None, deadline: float) -> Done:
        link, level = self._means.link, self._level

        def call(lane: str, number: int, token: str) -> Any:  # noqa: ANN401 - a Call of Done, and why it is no more
            if not self._wanted:
                raise BrokerConnectionError(
                    "the caller was cancelled", address=link.address.display, outcome="not_done"
                )
            made = transaction(lane, number, token, self._commands.words, [row for _, row in rows], group)
            return confirmed(made, level, link.confirm_ms(deadline), link.keys.vhost)

        done: Done
        done, self._why = await self._means.publisher(level).lane.run(call, deadline)
        stale = [(*rows[place], entry_id) for place, entry_id in done.stale]
        late = [(stakes.lose(row.queue, entry_id), row.queue) for stakes, row, entry_id in stale]
        if late:
            raise StaleDelivery(late[0][0], queue=late[0][1])
        if done.error is not None:
            raise done.error
        return done

    def _take_note(self, done: Done) -> None:
        self._state = "done"  # also where a hook raises after this
        for (name, options, result), reply in zip(self._recorded, done.replies, strict=True):
            result.become(shaped(name, reply, options))
        for reached, count in zip(self._reached, done.counts, strict=True):
            reached.become(count)
        self._means.link.counters.published += len(self._messages)


class AsyncTransactions(AsyncMessaging):
    """The method of a broker for transactions."""

    def transaction(self, *, timeout: float | timedelta | None = None, confirm: str | None = None) -> AsyncTransaction:
        """Return a transaction, for `with`: Redis commands, publishes and acks that happen as one step.

        `timeout`: seconds to go on trying; `confirm`: what to wait for, as in `publish`. At the end of the block it
        raises CommandFailed where a Redis command fails (nothing published, nothing settled), StaleDelivery, what
        `publish` raises, and BrokerConnectionError whose `outcome` says whether it may have been done.
        """
        seconds = check_optional_seconds("timeout", timeout)
        level = self._confirm if confirm is None else read_level(confirm)
        means = Means(
            self._link,
            self._publisher_of,
            self._hooks,
            self._ready,
            self._message,
            self._with_reply_queue,
            self._reachable,
        )
        return AsyncTransaction(means, seconds, level)
