"""What a queue is beyond a plain one: its arguments and its policy, as scripts read them (lua/lib/traits.lua).

An argument beats the policy, of two numbers the smaller holds (RabbitMQ's rule: docs/semantics.md, Policies). A queue
without any trait has no record, and costs nothing.

The record is a table: `ttl`, `expires`, `age` in ms; `length`, `bytes`, `priority`, `limit` (deliveries) as numbers;
`overflow` where it is not drop-head; `dlx`, `dlk`; `single` for a single active consumer; `kind` for a quorum queue or
a stream; `retry` for the retry policy (`retries`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rexchange import retries
from rexchange.arguments import QUORUM_DELIVERY_LIMIT, age_ms
from rexchange.codec import FieldValue, Table, as_text, encode_table

if TYPE_CHECKING:
    from rexchange.topology import Queue

NUMBERS = {
    "message-ttl": "ttl",
    "expires": "expires",
    "max-length": "length",
    "max-length-bytes": "bytes",
    "delivery-limit": "limit",
    "consumer-timeout": "timeout",
}
"""Keys of policies (as arguments they begin with x-) that are numbers, and their traits."""
ON_ARRIVAL = {"ttl", "length", "bytes", "priority"}
"""Traits that matter when a message arrives; a record without any begins with "-", so that publish need not read it."""
TEXTS = {"overflow": "overflow", "dead-letter-exchange": "dlx", "dead-letter-routing-key": "dlk"}


def of_queue(queue: Queue, policy: Mapping[str, object] | None = None) -> bytes:
    """Return the record of a queue's traits, empty for a plain queue. `policy` is the definition that applies."""
    arguments, definition = queue.arguments, policy or {}
    kind = as_text(arguments.get("x-queue-type"))
    traits: dict[str, FieldValue] = {}
    for key, trait in NUMBERS.items():
        argument = None if key == "consumer-timeout" else arguments.get(f"x-{key}")  # that one is in the record
        number = _least(argument, definition.get(key))
        if number is not None:
            traits[trait] = number
    if kind == "quorum":
        traits.setdefault("limit", QUORUM_DELIVERY_LIMIT)
    for key, trait in TEXTS.items():
        text = as_text(arguments.get(f"x-{key}", definition.get(key)))
        if text is not None:
            traits[trait] = text
    _settle(traits)
    priority = arguments.get("x-max-priority")
    if isinstance(priority, int) and priority > 0:
        traits["priority"] = priority
    if arguments.get("x-single-active-consumer") is True:
        traits["single"] = True
    traits |= _by_kind(kind, arguments, definition)
    record = encode_table(traits)
    return record if not traits or ON_ARRIVAL & traits.keys() or kind == "stream" else b"-" + record


def _by_kind(kind: str | None, arguments: Table, definition: Mapping[str, object]) -> dict[str, FieldValue]:
    """Return the traits that some types of queues have alone."""
    found: dict[str, FieldValue] = {}
    age = as_text(arguments.get("x-max-age", definition.get("max-age")))
    if kind == "stream" and age is not None:
        found["age"] = age_ms(age)
    retry = retries.of_queue(arguments, definition)
    if kind != "stream" and retry is not None:
        found["retry"] = retry
    if kind in ("quorum", "stream"):
        found["kind"] = kind
    return found


def _least(argument: object, policy: object) -> int | None:
    numbers = [value for value in (argument, policy) if isinstance(value, int) and not isinstance(value, bool)]
    # A negative delivery limit is none at all, so any other is less (RabbitMQ).
    return max(numbers) if any(number < 0 for number in numbers) else min(numbers, default=None)


def _settle(traits: dict[str, FieldValue]) -> None:
    """Leave out what is the same as nothing: drop-head, a delivery limit of -1, a key without its exchange."""
    if traits.get("overflow") == "drop-head":
        del traits["overflow"]
    limit = traits.get("limit")
    if isinstance(limit, int) and limit < 0:
        del traits["limit"]
    if "dlx" not in traits:
        traits.pop("dlk", None)


def is_single(queue: Queue) -> bool:
    """Say whether the queue has a single active consumer."""
    return queue.arguments.get("x-single-active-consumer") is True
