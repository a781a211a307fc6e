"""Real payloads: GitHub's webhooks through a topic exchange, as `github.<event>.<action>`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rexchange import Broker, Message
from tests.real.definitions import DATA
from tests.support.reference import topic_matches

EVENTS = DATA / "webhooks" / "events"
FILES = sorted(EVENTS.glob("*.json")) if EVENTS.is_dir() else []
pytestmark = pytest.mark.skipif(not FILES, reason="optional data, harmless: these files are not in the repository")

PATTERNS = [
    "github.#",
    "github.*.opened",
    "github.issues.#",
    "#.created",
    "github.push.#",
    "github.*",
    "github.pull_request*.*",
    "*.*.deleted",
    "gitlab.#",
]


def webhooks() -> list[Message]:
    messages: list[Message] = []
    for path in FILES:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for example in content["examples"]:
            payload = example["payload"]
            action = payload.get("action")
            key = f"github.{content['event']}" + (f".{action}" if action else "")
            headers = {"X-GitHub-Event": content["event"], "file": example["file"]}
            messages.append(Message.json(payload, exchange="webhooks", routing_key=key, headers=headers))
    return messages


def drained(broker: Broker, queue: str, count: int) -> list[Message]:
    """Take what a queue holds and settle it, as the messages that were published."""
    found: list[Message] = []
    with broker.consume(queue, auto_ack=False, timeout=0) as consumer:
        for delivery in consumer:
            properties = {"content_type": delivery.properties.content_type}
            found.append(
                Message(
                    delivery.body,
                    exchange=delivery.exchange,
                    routing_key=delivery.routing_key,
                    headers=delivery.headers,
                    **properties,  # type: ignore[arg-type]  # a TypedDict's part
                )
            )
            assert not delivery.redelivered
            delivery.ack()
            if len(found) == count:
                break
    return found


def test_webhooks_reach_the_queues_bound_to_them_and_come_back_equal(open_broker: Callable[[str], Broker]) -> None:
    messages = webhooks()
    assert len(messages) > 200
    broker = open_broker("webhooks")
    broker.declare_exchange("webhooks", "topic")
    for pattern in PATTERNS:
        broker.declare_queue(pattern)
        broker.bind(pattern, "webhooks", pattern)
    expected = {
        pattern: [each for each in messages if topic_matches(pattern, each.routing_key)] for pattern in PATTERNS
    }
    counts: list[int] = []
    for start in range(0, len(messages), 100):
        counts += broker.publish_many(messages[start : start + 100])
    assert counts == [sum(topic_matches(pattern, each.routing_key) for pattern in PATTERNS) for each in messages]
    assert {info.queue.name: info.ready for info in broker.queues()} == {
        pattern: len(wanted) for pattern, wanted in expected.items()
    }
    assert [pattern for pattern in PATTERNS if not expected[pattern]] == ["github.pull_request*.*", "gitlab.#"]

    for pattern in PATTERNS:
        wanted = expected[pattern]
        if wanted:
            assert drained(broker, pattern, len(wanted)) == wanted
    assert {(info.ready, info.unacked) for info in broker.queues()} == {(0, 0)}


def test_a_payload_is_json_again(open_broker: Callable[[str], Broker]) -> None:
    broker = open_broker("webhooks")
    broker.declare_queue("all")
    message = max(webhooks(), key=lambda each: len(each.body))
    broker.publish(Message(message.body, routing_key="all", content_type="application/json"))
    delivery = broker.get("all")
    assert delivery is not None
    assert delivery.body == message.body
    assert delivery.json() == json.loads(message.body)
