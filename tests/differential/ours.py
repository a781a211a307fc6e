"""The scenario on rexchange. A client is a Broker; where it fares otherwise than RabbitMQ's, `explained` counts it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rexchange import Broker, Exchange
from rexchange.errors import ConsumerCancelled, NotFound, RexchangeError, StaleDelivery
from rexchange.protocol.inspect import QueueInfo
from rexchange.topology import Queue
from tests.differential import steps as s
from tests.differential.books import PROPERTIES, UNKNOWN_TAG, Handed, Holder, Refused, evened_deaths, typed
from tests.differential.explained import Explained, Reason
from tests.differential.races import Races
from tests.differential.runner import CLIENTS, Runner
from tests.differential.steps import Outcome, Seen, Step


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except RexchangeError as error:
        raise Refused(error.reply_code or type(error).__name__) from error


#: So long nothing may happen where messages are dying of age.
REST_S = s.SHORT_MS * 1.6 / 1000
POLL_S = 0.008


class Ours(Runner):
    """One server, one vhost."""

    def __init__(self, url: str, vhost: str, explained: Explained) -> None:
        super().__init__()
        self.url, self.vhost, self.explained = url, vhost, explained
        self._auto_delete: set[str] = set()
        self._brokers: list[Broker | None] = [None] * CLIENTS
        self._races = Races(url, vhost)

    def start(self, prefix: str) -> None:
        super().start(prefix)
        self._races.start()

    def raced(self) -> bool:
        """Whether the last step left the order in some queue open, for RabbitMQ."""
        several = len(self.having("x-dead-letter-exchange")) > 1
        return several and self._races.is_open(map(self.name, self.owners))

    def broker(self, client: int = 0) -> Broker:
        broker = self._brokers[client]
        if broker is None:
            broker = self._brokers[client] = Broker(self.url, vhost=self.vhost)
        return broker

    # --- topology

    def declare_exchange(self, step: s.DeclareExchange) -> None:
        flags = {flag: getattr(step, flag) for flag in ("durable", "auto_delete", "internal", "passive")}
        with refusals():
            self.broker().declare_exchange(
                self.name(step.name), step.type, arguments=self.arguments(step.arguments), **flags
            )

    def declare_queue(self, step: s.DeclareQueue) -> tuple[int, int]:
        flags = {flag: getattr(step, flag) for flag in ("durable", "exclusive", "auto_delete", "passive")}
        with refusals():
            broker = self.broker(step.client)
            queue = broker.declare_queue(self.name(step.name), arguments=self.arguments(step.arguments), **flags)
        return queue.message_count, queue.consumer_count - self._cancelled(step.name)

    def bind(self, step: s.Bind | s.Unbind) -> None:
        broker = self.broker(step.client)
        method = broker.bind if isinstance(step, s.Bind) else broker.unbind
        name = self.name(step.destination)
        destination = Exchange(name, "direct") if step.to_exchange else Queue(name)
        with refusals():
            method(destination, self.name(step.source), self.name(step.key), self.arguments(step.arguments))

    def delete_exchange(self, step: s.DeleteExchange) -> None:
        with refusals():
            self.broker().delete_exchange(self.name(step.name), if_unused=step.if_unused)

    def delete_queue(self, step: s.DeleteQueue) -> int:
        broker = self.broker(step.client)
        if_unused = step.if_unused and not self._cancelled_only(step.name)
        with refusals():
            return broker.delete_queue(self.name(step.name), if_unused=if_unused, if_empty=step.if_empty)

    def purge(self, step: s.Purge) -> int:
        with refusals():
            return self.broker(step.client).purge(self.name(step.queue))

    # --- messages

    def publish(self, step: s.Publish, body: bytes) -> int | None:
        with refusals():
            return self.broker(step.client).publish(
                body,
                exchange=self.name(step.exchange),
                routing_key=self.name(step.key),
                headers=self.headers(step.headers),
                mandatory=step.mandatory,
                **step.properties,
            )

    def get(self, step: s.Get, holder: Holder) -> Any:  # noqa: ARG002 - RabbitMQ's has its channel there
        with refusals():
            return self.broker(step.client).get(self.name(step.queue), auto_ack=step.auto_ack)

    def consume(self, step: s.Consume, holder: Holder) -> None:
        broker = self.broker(step.client)
        with refusals():
            holder.handle = broker.consume(
                self.name(step.queue),
                auto_ack=step.auto_ack,
                prefetch=step.prefetch,
                timeout=0,
                exclusive=step.exclusive,
                arguments=step.arguments,
            )
            holder.handle.open()

    def settle(self, step: s.Settle, holder: Holder, chosen: Handed | None) -> None:
        try:
            self._judge(step, holder, chosen)
        except StaleDelivery as error:
            if not self.explained.late_verdict(type(error).__name__, lost=holder.lost):
                raise Refused(type(error).__name__) from error
        except RexchangeError as error:
            self.explained.note(Reason.ERRORS_CLOSE_NOTHING)
            raise Refused(error.reply_code or type(error).__name__) from error

    def _judge(self, step: s.Settle, holder: Holder, chosen: Handed | None) -> None:
        if chosen is None:
            who, tag = holder.handle, [0 if step.which == "zero" else UNKNOWN_TAG]
        else:
            who, tag = chosen.delivery, []
        if step.verdict == "ack":
            who.ack(*tag, multiple=step.multiple, wait=True)
        elif step.verdict == "nack":
            who.nack(*tag, requeue=step.requeue, multiple=step.multiple, wait=True)
        else:
            who.reject(*tag, requeue=step.requeue, wait=True)

    def cancel(self, holder: Holder) -> None:
        holder.handle.cancel()
        if holder.queue in self._auto_delete:
            self.explained.note(Reason.CANCEL_KEEPS_QUEUE)
            holder.handle.close()

    def close_holder(self, holder: Holder) -> None:
        if not holder.is_get:
            holder.handle.close()
            return
        for handed in holder.held:
            if not holder.lost:
                handed.delivery.nack(wait=True)

    def close_client(self, client: int, reading: Sequence[Holder] = ()) -> None:  # noqa: ARG002 - they end with it
        broker, self._brokers[client] = self._brokers[client], None
        if broker is not None:
            broker.close()

    def await_cancel(self, holder: Holder) -> None:
        full = not holder.auto_ack and 0 < holder.prefetch <= len(holder.held)
        with refusals():
            try:
                next(holder.handle, None)
            except ConsumerCancelled:
                return
        if not full:
            raise Refused("no ConsumerCancelled")
        self.explained.note(Reason.FULL_WINDOW)

    def look(self, holder: Holder, delivery: Any) -> Seen:
        given = {name: getattr(delivery.properties, name) for name in PROPERTIES}
        return Seen(
            holder.number,
            delivery.body,
            delivery.redelivered,
            self.short(delivery.exchange),
            self.short(delivery.routing_key),
            typed(evened_deaths(self.explained.without_last_death(delivery.headers)), self.prefix),
            typed({name: value for name, value in given.items() if value is not None}),
        )

    # --- looking

    def observe(self, step: Step, outcome: Outcome) -> None:
        there: dict[str, QueueInfo] = {}
        before: dict[str, QueueInfo] | None = None
        while there != before:  # a look may drop what has expired, into another queue, and that to a consumer
            self._read_all(outcome)
            there, before = self._there(), there
        short = self.having("x-message-ttl", s.SHORT_MS)
        if self.hurried or any(there[queue].ready for queue in short if queue in there):
            there = self._come_to_rest(outcome)
        for queue in self.having("x-expires", s.EXPIRES_MS):
            with suppress(NotFound):  # RabbitMQ's side looks by declaring, which is a use
                self.broker(self.exclusive.get(queue, 0)).declare_queue(self.name(queue), passive=True)
        for queue in [queue for queue in self.owners if queue not in there]:
            self.gone(queue, outcome)
        self._auto_delete = {name for name, info in there.items() if info.queue.auto_delete}
        for queue, info in there.items():
            outcome.queues[queue] = info.ready, info.consumers - self._cancelled(queue)
        if isinstance(step, s.REMOVING):
            names = {self.short(exchange.name) for exchange in self.broker().exchanges()}
            outcome.exchanges = sorted(self.exchanges & (names | {""}))

    def ranked(self) -> set[int]:
        """Return the consumers of queues with priorities."""
        queues = self.having("x-max-priority")
        return {holder.number for holder in self.holders if not holder.is_get and holder.queue in queues}

    def serve(self, outcome: Outcome) -> None:
        self._read_all(outcome)

    def _there(self) -> dict[str, QueueInfo]:
        return {self.short(info.name): info for info in self.broker().queues() if info.name.startswith(self.prefix)}

    def _come_to_rest(self, outcome: Outcome) -> dict[str, QueueInfo]:
        """Wait while messages die of age, and go on from queue to queue; consumers stay on the watch."""
        before, since = self._there(), time.monotonic()
        while time.monotonic() < since + REST_S:
            time.sleep(POLL_S)
            took = self._read_all(outcome)
            there = self._there()
            if took or there != before:
                before, since = there, time.monotonic()
        return before

    def _read_all(self, outcome: Outcome) -> int:
        """Read until nobody gets any more: whoever comes first in RabbitMQ is asked first."""
        total, took = 0, -1
        while took != 0:
            reading = [holder for holder in self.holders if holder.reading]
            took = sum(self._read(holder, outcome) for holder in sorted(reading, key=lambda each: -each.priority))
            total += took
        return total

    def _cancelled(self, queue: str) -> int:
        """How many consumers are registered though they were cancelled."""
        return sum(
            each.is_open and not (each.is_get or each.reading or each.lost) and each.queue == queue
            for each in self.holders
        )

    def _cancelled_only(self, queue: str) -> bool:
        reading = any(each.reading and each.queue == queue for each in self.holders)
        only = not reading and self._cancelled(queue) > 0
        if only:
            self.explained.note(Reason.CANCEL_KEEPS_QUEUE)
        return only

    def _read(self, holder: Holder, outcome: Outcome) -> int:
        found = list(holder.handle)
        for delivery in found:
            holder.handed.append(Handed(delivery, settled=holder.auto_ack))
            outcome.seen.append(self.look(holder, delivery))
        return len(found)

    # --- the end

    def clean(self) -> None:
        for holder in self.holders:
            if not holder.is_get:
                holder.handle.close()
        for queue in list(self.owners):
            self.broker(self.exclusive.get(queue, 0)).delete_queue(self.name(queue))
        for exchange in self.exchanges:
            if self.name(exchange) != exchange:
                self.broker().delete_exchange(self.name(exchange))

    def close(self) -> None:
        for client in range(CLIENTS):
            self.close_client(client)
        self._races.close()
