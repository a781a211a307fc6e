"""Which queues a policy is about, asked of RabbitMQ: one with a key that the type of a queue has not passes it over."""

from __future__ import annotations

import json

import pytest

from rexchange.codec import FieldValue
from rexchange.policies import Policy, effective
from rexchange.topology import Queue
from tests.differential.rabbitmq import fresh_vhost, rabbitmqctl

pytestmark = [pytest.mark.differential, pytest.mark.timeout(120)]

TYPES = ("classic", "quorum", "stream")
#: Every key of 3.10 that means the same in 4.x; there a classic queue has queue-leader-locator too.
KEYS: dict[str, FieldValue] = {
    "alternate-exchange": "x",
    "dead-letter-exchange": "x",
    "dead-letter-routing-key": "k",
    "dead-letter-strategy": "at-least-once",
    "delivery-limit": 3,
    "expires": 1_000_000,
    "ha-mode": "all",
    "initial-cluster-size": 1,
    "max-age": "1D",
    "max-in-memory-bytes": 5,
    "max-in-memory-length": 5,
    "max-length": 5,
    "max-length-bytes": 5,
    "message-ttl": 60_000,
    "overflow": "reject-publish",
    "queue-master-locator": "min-masters",
    "queue-mode": "lazy",
    "queue-version": 2,
    "stream-max-segment-size-bytes": 5000,
}
BESIDE: dict[str, dict[str, FieldValue]] = {"dead-letter-routing-key": {"dead-letter-exchange": "x"}}
POLICIES = [Policy(key, f"^{key} ", {**BESIDE.get(key, {}), key: value}, 1) for key, value in KEYS.items()]
REST = Policy("the rest", ".*", {"max-length-bytes": 1_000_000})
QUEUES = [Queue(f"{key} {kind}", arguments={"x-queue-type": kind}) for key in KEYS for kind in TYPES]


@pytest.mark.usefixtures("pair")
def test_a_policy_is_about_the_same_queues() -> None:
    rows = [
        {"name": each.name, "pattern": each.pattern, "definition": each.definition, "priority": each.priority}
        for each in (*POLICIES, REST)
    ]
    queues = [
        {"name": each.name, "durable": True, "auto_delete": False, "arguments": each.arguments} for each in QUEUES
    ]
    with fresh_vhost() as vhost:
        content = {
            "rabbit_version": "4.0.0",
            "policies": [row | {"vhost": vhost, "apply-to": "all"} for row in rows],
            "queues": [row | {"vhost": vhost} for row in queues],
        }
        rabbitmqctl("import_definitions", stdin=json.dumps(content))
        listed = json.loads(rabbitmqctl("list_queues", "-p", vhost, "name", "policy", "--formatter", "json"))
    theirs = {row["name"]: row["policy"] for row in listed}

    ours = {queue.name: effective((*POLICIES, REST), queue) for queue in QUEUES}
    assert {name: policy and policy.name for name, policy in ours.items()} == theirs
