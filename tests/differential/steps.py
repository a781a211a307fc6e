"""The steps of a scenario, plain values that both brokers are given, and what is seen after each.

A later feature is a further argument here, or a further step: then `runner.Runner.perform`, its method in `ours` and
`rabbit`, its strategy in `scenarios` and its row in `features`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

Table: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class DeclareExchange:
    name: str
    type: str = "direct"
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    passive: bool = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True)
class DeclareQueue:
    name: str
    durable: bool = False
    exclusive: bool = False
    auto_delete: bool = False
    passive: bool = False
    arguments: Table = field(default_factory=dict)
    client: int = 0


@dataclass(frozen=True)
class Bind:
    destination: str
    source: str
    key: str = ""
    arguments: Table = field(default_factory=dict)
    to_exchange: bool = False
    client: int = 0


@dataclass(frozen=True)
class Unbind:
    destination: str
    source: str
    key: str = ""
    arguments: Table = field(default_factory=dict)
    to_exchange: bool = False
    client: int = 0


@dataclass(frozen=True)
class DeleteExchange:
    name: str
    if_unused: bool = False


@dataclass(frozen=True)
class DeleteQueue:
    name: str
    if_unused: bool = False
    if_empty: bool = False
    client: int = 0


@dataclass(frozen=True)
class Purge:
    queue: str
    client: int = 0


@dataclass(frozen=True)
class Publish:
    """The body is the step's number, and `pad` bytes. Keys that are names in CC and BCC mean those of the scenario."""

    exchange: str
    key: str = ""
    headers: Table = field(default_factory=dict)
    mandatory: bool = False
    properties: Table = field(default_factory=dict)
    client: int = 0
    pad: int = 0


@dataclass(frozen=True)
class Get:
    queue: str
    auto_ack: bool = False
    client: int = 0


@dataclass(frozen=True)
class Consume:
    """Skipped where it would share a queue with another in no certain order (round robin is different on purpose)."""

    queue: str
    auto_ack: bool = False
    prefetch: int = 1
    client: int = 0
    exclusive: bool = False
    arguments: Table = field(default_factory=dict)
    """x-priority."""

    @property
    def priority(self) -> int:
        given = self.arguments.get("x-priority", 0)
        return given if isinstance(given, int) else 0


Which = Literal["held", "settled", "zero", "unknown"]


@dataclass(frozen=True)
class Settle:
    """`holder` and `number` choose, modulo how many there are, a consumer (or getter) and one of its deliveries.

    `which`: one that is held, one that was settled before, tag 0, or a tag that was never given out.
    """

    holder: int
    number: int = 0
    verdict: Literal["ack", "nack", "reject"] = "ack"
    requeue: bool = True
    multiple: bool = False
    which: Which = "held"


@dataclass(frozen=True)
class Cancel:
    holder: int


@dataclass(frozen=True)
class CloseConsumer:
    """In RabbitMQ its channel is closed."""

    holder: int


@dataclass(frozen=True)
class CloseClient:
    """Its connection ends in order, with all its consumers and exclusive queues."""

    client: int


@dataclass(frozen=True)
class Wait:
    """Nobody does anything until what is short is over: a queue's x-expires, where one is short."""


@dataclass(frozen=True)
class Drain:
    """All that is ready is taken, queue by queue: the end of every scenario, so that nothing stays unseen."""


SHORT_MS = 50
"""A time to live that ends within the step that starts it; all others are 0 or last longer than any scenario."""
EXPIRES_MS = 800
"""An x-expires that ends while a Wait lasts, and not before."""

Change: TypeAlias = DeclareExchange | DeclareQueue | Bind | Unbind | DeleteExchange | DeleteQueue | Purge
Step: TypeAlias = Change | Publish | Get | Consume | Settle | Cancel | CloseConsumer | CloseClient | Wait | Drain
REMOVING = (Unbind, DeleteExchange, DeleteQueue, Settle, Cancel, CloseConsumer, CloseClient, Wait)
"""Steps after which an auto-delete exchange may be gone, so it is looked which exchanges are there."""


def code(step: Step) -> str:
    """Return the Python that makes the step, without what is the default."""
    empty = type(step)(*(getattr(step, each.name) for each in fields(step)[: _required(step)]))
    words = [repr(getattr(step, each.name)) for each in fields(step)[: _required(step)]]
    for each in fields(step)[_required(step) :]:
        value = getattr(step, each.name)
        if value != getattr(empty, each.name) or type(value) is not type(getattr(empty, each.name)):
            words.append(f"{each.name}={value!r}")
    return f"{type(step).__name__}({', '.join(words)})"


def _required(step: Step) -> int:
    """Return how many fields have no default; they come first."""
    return 0 if isinstance(step, Wait | Drain) else 2 if isinstance(step, Bind | Unbind) else 1


@dataclass(frozen=True)
class Seen:
    """A delivery as its consumer sees it; `headers` and `properties` as sorted pairs with their types."""

    holder: int
    body: bytes
    redelivered: bool
    exchange: str
    key: str
    headers: str
    properties: str


@dataclass
class Outcome:
    """What a step did, as far as anybody can see."""

    code: int | str | None = None
    """The reply code it was refused with; the name of the exception where that has none."""
    value: object = None
    seen: list[Seen] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    """Consumers that were told that their queue is deleted."""
    queues: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of every queue that there is: ready messages, consumers."""
    exchanges: list[str] | None = None
    skipped: bool = False
