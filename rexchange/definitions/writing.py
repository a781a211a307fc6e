"""Values -> definitions as RabbitMQ exports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rexchange.definitions.jsontext import to_json
from rexchange.definitions.values import SECTIONS, Content
from rexchange.policies import Policy
from rexchange.records import encode_binding_id
from rexchange.topology import PREDECLARED, Binding, Exchange, Queue

_VERSION = "4.0.0"  # of the RabbitMQ whose format and rules these are


def dump(vhosts: Mapping[str, Content]) -> dict[str, Any]:
    """Return definitions as RabbitMQ exports them, ready for JSON and always in the same order.

    Left out is what no import takes: what is in every vhost anyway, exclusive queues, the broker's own names, and
    bindings that end there.
    """
    rows: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    for vhost, content in sorted(vhosts.items()):
        rows["vhosts"].append({"name": vhost})
        queues = [queue for queue in content.queues if not queue.exclusive and not queue.name.startswith("amq.")]
        ends = {("queue", queue.name) for queue in queues} | {("exchange", each.name) for each in content.exchanges}
        rows["exchanges"] += [
            _exchange_row(vhost, exchange)
            for exchange in sorted(content.exchanges, key=lambda each: each.name)
            if exchange.name not in PREDECLARED
        ]
        rows["policies"] += [
            _policy_row(vhost, policy) for policy in sorted(content.policies, key=lambda each: each.name)
        ]
        rows["queues"] += [_queue_row(vhost, queue) for queue in sorted(queues, key=lambda each: each.name)]
        bindings = sorted(content.bindings, key=lambda each: (each.source, encode_binding_id(each)))
        rows["bindings"] += [
            _binding_row(vhost, each) for each in bindings if (each.destination_kind, each.destination) in ends
        ]
    return {"rabbit_version": _VERSION, "rabbitmq_version": _VERSION, "product_name": "rexchange", **rows}


def without_vhosts(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return an export with no name of a vhost in it, as RabbitMQ exports a single one: it is for whichever one."""
    made = {key: value for key, value in definitions.items() if key != "vhosts"}
    for section in made.keys() & {*SECTIONS}:
        rows: list[dict[str, Any]] = made[section]
        made[section] = [{key: value for key, value in row.items() if key != "vhost"} for row in rows]
    return made


def _exchange_row(vhost: str, exchange: Exchange) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": to_json(exchange.arguments),
    }


def _policy_row(vhost: str, policy: Policy) -> dict[str, Any]:
    return {
        "vhost": vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": to_json(policy.definition),
        "priority": policy.priority,
    }


def _queue_row(vhost: str, queue: Queue) -> dict[str, Any]:
    return {
        "name": queue.name,
        "vhost": vhost,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": to_json(queue.arguments),
    }


def _binding_row(vhost: str, binding: Binding) -> dict[str, Any]:
    return {
        "source": binding.source,
        "vhost": vhost,
        "destination": binding.destination,
        "destination_type": binding.destination_kind,
        "routing_key": binding.binding_key,
        "arguments": to_json(binding.arguments),
    }
