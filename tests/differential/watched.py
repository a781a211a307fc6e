"""What is seen of RabbitMQ after a step: it pushes when it likes, so its coming to rest is waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from tests.differential import steps as s
from tests.differential.books import PROPERTIES, Handed, Holder, typed
from tests.differential.rabbitmq import Client
from tests.differential.runner import CLIENTS, Runner
from tests.differential.steps import Outcome, Seen, Step

SETTLED_S = 5.0
NOT_FOUND = 404


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
        self.totals: dict[str, int] = {}

    def start(self, prefix: str) -> None:
        super().start(prefix)
        self.inbox, self.cancelled, self.totals = {}, set(), {}

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
            typed(properties.headers or {}),
            typed({name: value for name, value in given.items() if value is not None}),
        )

    # --- looking

    def observe(self, step: Step, outcome: Outcome) -> None:
        before, reached = dict(self.totals), 0
        for queue in list(self.owners):
            counted = self._at_rest(queue, step, outcome)
            if counted is None:
                self.gone(queue, outcome)
                continue
            outcome.queues[queue] = counted
            total = counted[0] + self._unacked(queue)
            reached += total + self.taken[queue] - before.get(queue, 0) if isinstance(step, s.Publish) else 0
            self.totals[queue] = total
        if isinstance(step, s.Publish) and outcome.code is None:
            outcome.value = reached
        if isinstance(step, s.REMOVING):
            outcome.exchanges = sorted(name for name in self.exchanges if self._has_exchange(name))

    def gone(self, queue: str, outcome: Outcome) -> None:
        super().gone(queue, outcome)
        self.totals.pop(queue, None)

    def _unacked(self, queue: str) -> int:
        return sum(holder.unacked for holder in self.holders if holder.is_open and holder.queue == queue)

    def _at_rest(self, queue: str, step: Step, outcome: Outcome) -> tuple[int, int] | None:
        """Return ready and consumers once nothing is on its way between queue, channels and us; None: deleted.

        RabbitMQ answers a declare before it has seen to a requeue, so the messages are counted: none was lost.
        """
        limit = time.monotonic() + SETTLED_S
        consumer = next((each for each in self.holders if each.reading and each.queue == queue), None)
        while True:
            counted = self._count(queue, consumer)
            if counted is None:
                return None
            if consumer is not None:
                self._read(consumer, outcome)
            ready, consumers = counted
            found = ready + self._unacked(queue) + self.taken[queue]
            known = isinstance(step, s.Publish) or found == self.totals.get(queue, 0)
            served = consumer is None or ready == 0 or consumer.is_full
            if known and served and consumers == (consumer is not None):
                return counted
            if time.monotonic() > limit:
                raise NeverSettled(f"{queue}: {counted}, {found} of {self.totals.get(queue, 0)} after {s.code(step)}")

    def _count(self, queue: str, consumer: Holder | None) -> tuple[int, int] | None:
        """Ask on the consumer's own channel: what was sent to it comes before the answer."""
        desk = self.clients[self.exclusive.get(queue, 0)].desk
        channel = desk if consumer is None else consumer.handle
        try:
            method = channel.queue_declare(self.name(queue), passive=True).method
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
            self.taken[holder.queue] += holder.auto_ack
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
