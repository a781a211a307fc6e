"""Hooks do nothing until they are overridden; counters count."""

from dataclasses import dataclass, field

from rexchange.hooks import Counters, DeliveryLike, Hooks, MessageLike
from rexchange.message import Message


@dataclass
class Delivered:
    queue: str = "orders"
    exchange: str = ""
    routing_key: str = "orders"
    body: bytes = b"body"
    delivery_tag: int = 1
    consumer_tag: str = "tag"
    redelivered: bool = False
    headers: dict[str, object] = field(default_factory=dict)


def test_the_hooks_of_the_base_class_let_everything_pass() -> None:
    hooks = Hooks()
    message: MessageLike = Message(b"body")
    delivery: DeliveryLike = Delivered()
    hooks.before_publish([message])
    hooks.after_publish([message], [1], None)
    hooks.after_publish([message], None, ValueError())
    hooks.before_deliver(delivery)
    hooks.after_deliver(delivery)
    hooks.before_settle("tag", [1], "ack")
    hooks.after_settle("tag", [1, 2], "reject", [2])


def test_a_hook_is_overridden_by_a_subclass() -> None:
    class Seen(Hooks):
        def __init__(self) -> None:
            self.keys: list[str] = []

        def before_deliver(self, delivery: DeliveryLike) -> None:
            self.keys.append(delivery.routing_key)

    hooks = Seen()
    hooks.before_deliver(Delivered())
    assert hooks.keys == ["orders"]


def test_counters_start_at_zero_and_show_themselves() -> None:
    counters = Counters()
    assert set(counters.snapshot().values()) == {0}
    counters.published += 3
    counters.stale += 1
    assert counters.snapshot() == {
        "delivered": 0,
        "published": 3,
        "reconnects": 0,
        "redelivered": 0,
        "retries": 0,
        "settled": 0,
        "stale": 1,
    }
    assert "published=3" in repr(counters)
