"""The scenario on RabbitMQ, through pika.

Consumers have a channel each, and so has all that a client gets from a queue: what a channel error takes down is then
one scope of delivery tags. All else goes over a channel that holds nothing and is opened anew after an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pika

from tests.differential import steps as s
from tests.differential.books import UNKNOWN_TAG, Handed, Holder
from tests.differential.rabbitmq import Client, refusals
from tests.differential.watched import Watched


class Rabbit(Watched):
    """RabbitMQ's side: what each step does there."""

    # --- topology

    def declare_exchange(self, step: s.DeclareExchange) -> None:
        words = {
            "exchange_type": step.type,
            "durable": step.durable,
            "auto_delete": step.auto_delete,
            "internal": step.internal,
        }
        name, arguments = self.name(step.name), self.arguments(step.arguments)
        with refusals():
            if step.type in ("direct", "fanout", "topic", "headers"):
                self.clients[0].desk.exchange_declare(name, passive=step.passive, arguments=arguments, **words)
                return
            with closing(Client(self.vhost)) as own:  # 3.10 closes the connection over an unknown type
                own.desk.exchange_declare(name, passive=step.passive, arguments=arguments, **words)

    def declare_queue(self, step: s.DeclareQueue) -> tuple[int, int]:
        flags = {flag: getattr(step, flag) for flag in ("durable", "exclusive", "auto_delete")}
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
        return int(frame.method.message_count)

    # --- messages

    def publish(self, step: s.Publish, body: bytes) -> int | None:
        given = dict(step.properties)
        if "timestamp" in given:
            given["timestamp"] = int(given["timestamp"].timestamp())
        properties = pika.BasicProperties(headers=self.headers(step.headers) or None, **given)
        with refusals():
            self.clients[step.client].desk.basic_publish(
                self.name(step.exchange), self.name(step.key), body, properties, mandatory=step.mandatory
            )
        return None  # AMQP does not tell

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
                exclusive=step.exclusive,
                arguments=step.arguments,
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
        others = [each for each in self.holders if each.reading and each.queue == holder.queue and each is not holder]
        if others and holder.queue in self.having("x-single-active-consumer", value=True):
            self._nudge(holder)

    def _nudge(self, holder: Holder) -> None:
        """3.10 serves the next single active consumer only when something else happens: a consumer comes and goes."""
        tag = f"{self.prefix}nudge"
        holder.handle.basic_consume(
            self.name(holder.queue), lambda *_: None, consumer_tag=tag, arguments={"x-priority": -100}
        )
        holder.handle.basic_cancel(tag)

    def close_holder(self, holder: Holder) -> None:
        if holder.handle.is_open:
            holder.handle.close()

    def close_client(self, client: int, reading: Sequence[Holder] = ()) -> None:
        for holder in sorted(reading, key=lambda each: (each.priority, -each.number)):
            holder.handle.basic_cancel(f"{self.prefix}{holder.number}")  # else they get what its other channels held
        self.clients[client].close()

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
