"""The scenario on RabbitMQ, through pika.

Consumers have a channel each, and so has all that a client gets from a queue: what a channel error takes down is then
one scope of delivery tags. All else goes over a channel that holds nothing and is opened anew after an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, UnroutableError

from tests.differential import steps as s
from tests.differential.runner import CLIENTS, Handed, Holder, Refused, Runner, typed
from tests.differential.steps import Outcome, Seen, Step

HOST = ("127.0.0.1", 5672)
SETTLED_S = 5.0
UNKNOWN_TAG = 4_000_000
NOT_FOUND, LOCKED = 404, 405
PROPERTIES = (
    *("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "message_id"),
    *("timestamp", "type", "user_id", "app_id"),
)


class NeverSettled(Exception):
    """RabbitMQ did not come to rest: a fault of these tests, not a difference."""


class Client:
    """A connection."""

    def __init__(self, vhost: str) -> None:
        self.vhost = vhost
        self.connection: Any = None
        self._desk: Any = None
        self._spare: Any = None

    def open(self) -> Any:
        if self.connection is None:
            address = pika.ConnectionParameters(*HOST, virtual_host=self.vhost, heartbeat=0)
            self.connection = pika.BlockingConnection(address)
        return self.connection

    @property
    def desk(self) -> Any:
        """A channel that holds nothing, with confirms."""
        if self._desk is None or not self._desk.is_open:
            self._desk = self.open().channel()
            self._desk.confirm_delivery()
        return self._desk

    def channel(self) -> Any:
        if self._spare is None or not self._spare.is_open:
            self._spare = self.open().channel()
        return self._spare

    def keep(self) -> None:
        """The channel got a holder: the next one needs another."""
        self._spare = None

    def close(self) -> None:
        if self.connection is not None and self.connection.is_open:
            self.connection.close()
        self.connection = self._desk = self._spare = None


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as closed:
        raise Refused(closed.reply_code) from closed
    except UnroutableError as returned:
        raise Refused(312) from returned


class Rabbit(Runner):
    """One broker, one vhost."""

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

    # --- topology

    def declare_exchange(self, step: s.DeclareExchange) -> None:
        words = dict(
            exchange_type=step.type, durable=step.durable, auto_delete=step.auto_delete, internal=step.internal
        )
        name, arguments = self.name(step.name), self.arguments(step.arguments)
        with refusals():
            if step.type in ("direct", "fanout", "topic", "headers"):
                self.clients[0].desk.exchange_declare(name, passive=step.passive, arguments=arguments, **words)
                return
            with closing(Client(self.vhost)) as own:  # 3.10 closes the connection over an unknown type
                own.desk.exchange_declare(name, passive=step.passive, arguments=arguments, **words)

    def declare_queue(self, step: s.DeclareQueue) -> tuple[int, int]:
        flags = dict(durable=step.durable, exclusive=step.exclusive, auto_delete=step.auto_delete)
        with refusals():
            desk = self.clients[step.client].desk
            frame = desk.queue_declare(
                self.name(step.name), passive=step.passive, arguments=self.arguments(step.arguments), **flags
            )
        return frame.method.message_count, frame.method.consumer_count

    def bind(self, step: s.Bind | s.Unbind) -> None:
        desk = self.clients[step.client].desk
        verb = "bind" if isinstance(step, s.Bind) else "unbind"
        method = getattr(desk, f"{'exchange' if step.to_exchange else 'queue'}_{verb}")
        with refusals():
            method(
                self.name(step.destination), self.name(step.source), self.name(step.key), self.arguments(step.arguments)
            )

    def delete_exchange(self, step: s.DeleteExchange) -> None:
        with refusals():
            self.clients[0].desk.exchange_delete(self.name(step.name), if_unused=step.if_unused)

    def delete_queue(self, step: s.DeleteQueue) -> int:
        with refusals():
            desk = self.clients[step.client].desk
            frame = desk.queue_delete(self.name(step.name), if_unused=step.if_unused, if_empty=step.if_empty)
        return int(frame.method.message_count)

    def purge(self, step: s.Purge) -> int:
        with refusals():
            frame = self.clients[step.client].desk.queue_purge(self.name(step.queue))
        count = int(frame.method.message_count)
        self.taken[step.queue] += count
        return count

    # --- messages

    def publish(self, step: s.Publish, body: bytes) -> int | None:
        given = dict(step.properties)
        if "timestamp" in given:
            given["timestamp"] = int(given["timestamp"].timestamp())
        properties = pika.BasicProperties(headers=step.headers or None, **given)
        with refusals():
            self.clients[step.client].desk.basic_publish(
                self.name(step.exchange), self.name(step.key), body, properties, mandatory=step.mandatory
            )
        return None  # `observe` counts

    def get(self, step: s.Get, holder: Holder) -> Any:
        client = self.clients[step.client]
        channel = holder.handle or client.channel()
        with refusals():
            method, properties, body = channel.basic_get(self.name(step.queue), auto_ack=step.auto_ack)
        if method is None:
            return None
        if holder.handle is None:
            holder.handle = channel
            client.keep()
        self.taken[step.queue] += step.auto_ack
        return method, properties, body

    def consume(self, step: s.Consume, holder: Holder) -> None:
        client = self.clients[step.client]
        channel = client.channel()
        inbox = self.inbox[holder.number] = []
        with refusals():
            channel.basic_qos(prefetch_count=step.prefetch)
            channel.add_on_cancel_callback(lambda _: self.cancelled.add(holder.number))
            channel.basic_consume(
                self.name(step.queue),
                lambda _, method, properties, body: inbox.append((method, properties, body)),
                auto_ack=step.auto_ack,
                consumer_tag=f"{self.prefix}{holder.number}",
            )
        client.keep()
        holder.handle = channel

    def settle(self, step: s.Settle, holder: Holder, chosen: Handed | None) -> None:
        special = 0 if step.which == "zero" else UNKNOWN_TAG
        tag = special if chosen is None else chosen.delivery[0].delivery_tag
        channel = holder.handle
        with refusals():
            if step.verdict == "ack":
                channel.basic_ack(tag, multiple=step.multiple)
            elif step.verdict == "nack":
                channel.basic_nack(tag, multiple=step.multiple, requeue=step.requeue)
            else:
                channel.basic_reject(tag, requeue=step.requeue)
            channel.basic_qos(prefetch_count=holder.prefetch)  # waits until the channel has seen the verdict

    def cancel(self, holder: Holder) -> None:
        holder.handle.basic_cancel(f"{self.prefix}{holder.number}")

    def close_holder(self, holder: Holder) -> None:
        if holder.handle.is_open:
            holder.handle.close()

    def close_client(self, client: int) -> None:
        self.clients[client].close()

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

    # --- the end

    def clean(self) -> None:
        for holder in self.holders:
            if holder.handle is not None and holder.handle.is_open:
                holder.handle.close()
        for queue in list(self.owners):
            self.clients[self.exclusive.get(queue, 0)].desk.queue_delete(self.name(queue))
        for exchange in self.exchanges:
            if self.name(exchange) != exchange:
                self.clients[0].desk.exchange_delete(self.name(exchange))

    def close(self) -> None:
        for client in self.clients:
            client.close()
