"""What definitions hold, as values: of a file, or of a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from rexchange.arguments import same_value
from rexchange.policies import Policy
from rexchange.topology import Binding, Exchange, Queue

SECTIONS = ("vhosts", "exchanges", "policies", "queues", "bindings")
"""What of RabbitMQ's definitions rexchange has, in the order in which it is made."""


@dataclass(frozen=True, slots=True)
class Topology:
    """What a vhost holds, or is to hold: `broker.apply` makes it so."""

    exchanges: tuple[Exchange, ...] = ()
    policies: tuple[Policy, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()


Content = Topology
"""What definitions call it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a file has and rexchange does not take.

    "unsupported" is what would be missed, "skipped" what no import takes or what is RabbitMQ's own affair.
    """

    action: Literal["unsupported", "skipped"]
    kind: str
    vhost: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Definitions:
    """What a file says of each vhost."""

    vhosts: Mapping[str, Content]
    left_out: tuple[LeftOut, ...] = ()
    file: str = ""


def binding_name(binding: Binding) -> str:
    """Return what a binding is called in plans and errors: it has no name."""
    by = f" by {binding.binding_key!r}" if binding.binding_key else ""
    return f"{binding.source} -> {binding.destination}{by}"


def differing(one: object, other: object) -> list[str]:
    """Return the names of the fields in which two values of one dataclass differ; "x" is the same as b"x"."""
    names = [each.name for each in dataclasses.fields(cast("Any", one))]
    return [name for name in names if not same_value(getattr(one, name), getattr(other, name))]
