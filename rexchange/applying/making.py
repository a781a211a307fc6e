"""One exchange, queue, binding or policy, checked as when it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from rexchange import policies
from rexchange.arguments import QueueOptions, exchange_arguments, queue_arguments
from rexchange.checks import check_arguments, check_flags
from rexchange.codec import encode_table, short_string
from rexchange.definitions.jsontext import Wrong
from rexchange.policies import Policy
from rexchange.topology import (
    Binding,
    Exchange,
    Queue,
    check_exchange,
    check_name,
    check_new_name,
    check_queue,
    check_type,
)


def exchange(value: Exchange, alternate_exchange: str | None = None) -> Exchange:
    """Return the exchange, checked."""
    check_new_name("exchange", value.name)
    check_type(value.type, value.name)
    check_flags(durable=value.durable, auto_delete=value.auto_delete, internal=value.internal)
    arguments = exchange_arguments(value.arguments, alternate_exchange=alternate_exchange, name=value.name)
    made = Exchange(value.name, value.type, value.durable, value.auto_delete, value.internal, arguments)
    check_exchange(made)
    return made


def queue(value: Queue, options: Mapping[str, object] | None = None) -> Queue:
    """Return the queue, checked."""
    check_new_name("queue", value.name)
    if value.exclusive:
        raise Wrong("exclusive queues belong to the Broker that declares them, and go with it: leave it out")
    check_flags(durable=value.durable, auto_delete=value.auto_delete)
    arguments = queue_arguments(value.arguments, cast("QueueOptions", options or {}), name=value.name)
    made = Queue(value.name, durable=value.durable, auto_delete=value.auto_delete, arguments=arguments)
    check_queue(made, named=True)
    return made


def policy(value: Policy) -> Policy:
    """Return the policy, checked."""
    policies.check(value)
    return value


def binding(value: Binding) -> Binding:
    """Return the binding, checked as far as that can be done without its ends."""
    check_name("exchange", value.source)
    check_name(value.destination_kind, value.destination)
    if value.destination_kind not in ("queue", "exchange"):
        raise Wrong(f"destination_kind is {value.destination_kind!r}: give queue or exchange")
    if "" in (value.source, value.destination):
        raise Wrong("the default exchange cannot be bound: every queue is bound to it by its name")
    short_string("binding_key", value.binding_key)
    check_arguments(value.arguments)
    table = dict(value.arguments)
    encode_table(table, "arguments")
    return Binding(value.source, value.destination, value.destination_kind, value.binding_key, table)
