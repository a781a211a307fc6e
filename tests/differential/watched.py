"""What is seen of RabbitMQ after a step: it pushes when it likes, so its coming to rest is waited for.

rexchange goes first, and RabbitMQ is at rest once it looks the same. Where it never does, it has to stay as it is for
a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from tests.differential import steps as s
from tests.differential.books import PROPERTIES, Handed, Holder, evened_deaths, typed
from tests.differential.rabbitmq import Client
from tests.differential.runner import CLIENTS, Runner, sorted_out
from tests.differential.steps import Outcome, Seen, Step

SETTLED_S = 5.0
#: So long it stays as it is, where it is not as expected.
REST_S = 0.6
#: Between two looks where something may be on its way from queue to queue.
PAUSE_S = 0.002
NOT_FOUND = 404
#: Arguments of a queue by which messages move when nobody moves them.
MOVING = ("x-dead-letter-exchange", "x-message-ttl", "x-max-length", "x-max-length-bytes")


class NeverSettled(Exception):
    """RabbitMQ did not come to rest: a fault of these tests, not a difference."""


class Watched(Runner):
    """The looking half of RabbitMQ's side; one broker, one vhost."""

    def __init__(self, vhost: str) -> None:
        super().__init__()
        self.vhost = vhost
        self.clients = [Client(vhost) for _ in range(CLIENTS)]
        self.inbox: dict[int, list[Any]] = {}
        self.cancelled: set[int] = set()
        self.is_expected: Callable[[Outcome], bool] = bool

    def start(self, prefix: str) -> None:
        super().start(prefix)
        self.inbox, self.cancelled = {}, set()

    def await_cancel(self, holder: Holder) -> None:
        limit = time.monotonic() + SETTLED_S
        while holder.number not in self.cancelled:
            holder.handle.connection.process_data_events(time_limit=0.1)
            if time.monotonic() > limit:
                raise NeverSettled(f"no cancel notification for {holder.queue}")

    def look(self, holder: Holder, delivery: Any) -> Seen:
        method, properties, body = delivery
        given = {name: getattr(properties, name) for name in PROPERTIES}
        if given["timestamp"] is not None:
            given["timestamp"] = datetime.fromtimestamp(given["timestamp"], UTC)
        return Seen(
            holder.number,
            body,
            method.redelivered,
            self.short(method.exchange),
            self.short(method.routing_key),
            typed(evened_deaths(properties.headers or {}), self.prefix),
            typed({name: value for name, value in given.items() if value is not None}),
        )

    # --- looking

    @property
    def is_plain(self) -> bool:
        """Whether messages move and go only when somebody moves or takes them."""
        return not self.expiring and not any(self.having(argument) for argument in MOVING)

    def observe(self, step: Step, outcome: Outcome) -> None:
        short = self.having("x-message-ttl", s.SHORT_MS)
        if self.hurried or short:
            self._look(step, outcome)
            if self.hurried or any(outcome.queues.get(queue, (0, 0))[0] for queue in short):
                time.sleep(s.SHORT_MS * 1.5 / 1000)
        looks = 1 if self.is_plain else 2
        equal, before, since = 0, None, time.monotonic()
        while True:
            self._look(step, outcome)
            equal = equal + 1 if self.is_expected(sorted_out(outcome)) else 0
            if equal == looks:
                return
            now = (dict(outcome.queues), len(outcome.seen), equal)
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() > since + REST_S:
                return
            time.sleep(PAUSE_S)

    def _look(self, step: Step, outcome: Outcome) -> None:
        outcome.queues.clear()
        for queue in list(self.owners):
            counted = self._count(queue)
            if counted is None:
                self.gone(queue, outcome)
            else:
                outcome.queues[queue] = counted
        for holder in self.holders:
            if holder.reading:
                self._read(holder, outcome)
        if isinstance(step, s.REMOVING):
            outcome.exchanges = sorted(name for name in self.exchanges if self._has_exchange(name))

    def _count(self, queue: str) -> tuple[int, int] | None:
        """Return ready and consumers; None: it is deleted."""
        desk = self.clients[self.exclusive.get(queue, 0)].desk
        try:
            method = desk.queue_declare(self.name(queue), passive=True).method
        except ChannelClosedByBroker as closed:
            if closed.reply_code != NOT_FOUND:
                raise
            return None
        return method.message_count, method.consumer_count

    def _read(self, holder: Holder, outcome: Outcome) -> None:
        holder.handle.connection.process_data_events(time_limit=0)
        inbox = self.inbox[holder.number]
        for delivery in inbox:
            holder.handed.append(Handed(delivery, settled=holder.auto_ack))
            outcome.seen.append(self.look(holder, delivery))
        inbox.clear()

    def _has_exchange(self, name: str) -> bool:
        try:
            self.clients[0].desk.exchange_declare(self.name(name), passive=True)
        except ChannelClosedByBroker as closed:
            if closed.reply_code != NOT_FOUND:
                raise
            return False
        return True
