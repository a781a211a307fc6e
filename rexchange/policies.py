"""Policies: what an operator says of many queues and exchanges at once, by a pattern of their names (RabbitMQ's rules).

Exactly one applies to each: of those that match the one of the highest priority, at equal priority the first by name.
One with a key that a queue's type has not does not match it. Arguments beat it; of two numbers the smaller holds
(`traits`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from rexchange import retries
from rexchange.arguments import ALTERNATE_EXCHANGE, argument_rule
from rexchange.codec import FieldValue, Table, as_text, corrupt, decode_table, encode_table
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.topology import Exchange, Queue, check_name

_POSIX_CLASS = re.compile(r"\[:\^?[a-z]+:\]")
ApplyTo = Literal["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"]
APPLY_TO: tuple[ApplyTo, ...] = get_args(ApplyTo)

MEANT = (
    *("message-ttl", "expires", "max-length", "max-length-bytes", "overflow", "delivery-limit", "max-age"),
    *("dead-letter-exchange", "dead-letter-routing-key", "consumer-timeout", ALTERNATE_EXCHANGE),
    *retries.KEYS,
)
"""The keys of a definition that do something here."""
IGNORED = frozenset(
    {"ha-mode", "ha-params", "ha-sync-mode", "ha-sync-batch-size", "ha-promote-on-shutdown", "ha-promote-on-failure"}
    | {"queue-mode", "queue-version", "queue-master-locator", "queue-leader-locator", "max-in-memory-length"}
    | {"max-in-memory-bytes", "initial-cluster-size", "stream-max-segment-size-bytes", "dead-letter-strategy"}
    | {"target-group-size"}
)
"""Keys that tune RabbitMQ's own storage and replication: kept, without effect."""
_CLASSIC = frozenset(
    {"queue-mode", "queue-master-locator", "ha-mode", "ha-params", "ha-sync-mode", "ha-sync-batch-size"}
    | {"ha-promote-on-shutdown", "ha-promote-on-failure"}
)
_QUORUM = frozenset({"delivery-limit", "dead-letter-strategy", "target-group-size"})
_STREAM = frozenset({"max-age", "stream-max-segment-size-bytes", "initial-cluster-size"})
_SHRINKING = frozenset(
    {"message-ttl", "expires", "max-length", "max-in-memory-length", "max-in-memory-bytes", "overflow"}
    | {"dead-letter-exchange", "dead-letter-routing-key", *retries.KEYS}
)
_HAS_NOT = {"classic": _QUORUM | _STREAM, "quorum": _CLASSIC | _STREAM, "stream": _CLASSIC | _QUORUM | _SHRINKING}
"""Keys that a type of queue has not: a policy with one of them is not about such queues (RabbitMQ 3.10 to 4.x)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. `pattern` is a regular expression that is searched in names."""

    name: str
    pattern: str
    definition: Table = field(default_factory=dict[str, FieldValue])
    priority: int = 0
    apply_to: ApplyTo = "all"

    def matches(self, thing: Queue | Exchange) -> bool:
        """Say whether it is about this queue or exchange."""
        if isinstance(thing, Exchange):
            wanted = self.apply_to in ("all", "exchanges")
        else:
            kind = as_text(thing.arguments.get("x-queue-type")) or "classic"
            own = "streams" if kind == "stream" else f"{kind}_queues"
            wanted = self.apply_to in ("all", "queues", own) and not _HAS_NOT[kind] & self.definition.keys()
        return wanted and re.search(self.pattern, thing.name) is not None


def check(policy: Policy) -> bytes:
    """Return the policy's record; raises InvalidArgument (types, pattern), PreconditionFailed (what it defines)."""
    check_name("policy", policy.name)
    if not policy.name:
        raise InvalidArgument("policy name", policy.name, "a name that is not empty")
    if not isinstance(policy.pattern, str):
        raise InvalidArgument("pattern", policy.pattern, "a regular expression as a str")
    if _POSIX_CLASS.search(policy.pattern):
        # Python would take [[:digit:]] for a set of these letters, and the policy would match nothing, without a word.
        raise InvalidArgument("pattern", policy.pattern, r"no POSIX classes such as [:digit:]: write [0-9], \d or \w")
    try:
        re.compile(policy.pattern)
    except re.error as error:
        raise InvalidArgument("pattern", policy.pattern, f"a regular expression ({error})") from error
    if type(policy.priority) is not int:
        raise InvalidArgument("priority", policy.priority, "an int")
    if policy.apply_to not in APPLY_TO:
        raise InvalidArgument("apply_to", policy.apply_to, f"one of {', '.join(APPLY_TO)}")
    if not isinstance(policy.definition, Mapping) or not policy.definition:
        raise InvalidArgument("definition", policy.definition, "a dict with at least one key")
    for key, value in policy.definition.items():
        _check_key(policy, key, value)
    wrong = retries.fault(policy.definition)
    if wrong is not None:
        raise PreconditionFailed.illegal("policy", policy.name, *wrong)
    record: Table = {
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
        "definition": policy.definition,
    }
    return encode_table(record, "definition")


def _check_key(policy: Policy, key: str, value: object) -> None:
    if key in IGNORED:
        return
    if key not in MEANT:
        wanted = f"one of {', '.join(MEANT)}"
        raise PreconditionFailed.illegal("policy", policy.name, "definition", key, wanted)
    words, test = argument_rule(key if key == ALTERNATE_EXCHANGE else f"x-{key}")
    if not test(value):
        raise PreconditionFailed.illegal("policy", policy.name, key, value, words)


def decode(name: bytes, record: bytes) -> Policy:
    """Return the policy of a record; ScriptError where it is corrupt."""
    table = decode_table(record, "a policy")
    try:
        return Policy(
            name.decode(),
            str(table["pattern"]),
            cast("Table", table["definition"]),
            cast("int", table["priority"]),
            cast("ApplyTo", table["apply-to"]),
        )
    except (KeyError, ValueError) as error:
        raise corrupt("a policy", record) from error


def effective(policies: Iterable[Policy], thing: Queue | Exchange) -> Policy | None:
    """Return the policy that applies."""
    found = [policy for policy in policies if policy.matches(thing)]
    return min(found, key=lambda policy: (-policy.priority, policy.name), default=None)


def definition(policies: Iterable[Policy], thing: Queue | Exchange) -> Table:
    """Return what the policy that applies defines, nothing where there is none."""
    policy = effective(policies, thing)
    return {} if policy is None else policy.definition


def alternate_exchange(policies: Iterable[Policy], exchange: Exchange) -> str | None:
    """Return the alternate exchange in effect: the argument's, else the policy's."""
    if exchange.alternate_exchange is not None:
        return exchange.alternate_exchange
    return as_text(definition(policies, exchange).get(ALTERNATE_EXCHANGE))
