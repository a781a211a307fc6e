"""Where rexchange differs on purpose: each difference with its reason, and how it is evened out. All of them are here.

`Explained.count` says how often each was met; docs/semantics.md has the row that a reason names.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import Enum

from tests.differential import steps as s
from tests.differential.steps import Outcome, Step


class Reason(Enum):
    """What differs, and why."""

    ERRORS_CLOSE_NOTHING = (
        "an error closes the channel in RabbitMQ and is an exception of one call here (What to know first): after a "
        "refused verdict the consumer is closed on our side too"
    )
    CANCEL_KEEPS_QUEUE = (
        "cancel() keeps a consumer's registration until it is closed (Queues, auto-delete): it is not counted as a "
        "consumer here, an auto-delete queue's is closed at once, and if_unused is left out where only such are left"
    )
    LATE_VERDICT = (
        "a verdict on a delivery of a deleted queue does no harm on both, and is told here as StaleDelivery "
        "(Consuming, cancel notification)"
    )
    FULL_WINDOW = (
        "a consumer whose prefetch is used up is told that its queue is deleted when it settles, or within 5 s; in "
        "RabbitMQ at once (Consuming, cancel notification)"
    )
    LAST_DEATH = "x-last-death-* headers are of RabbitMQ 3.13 and later (Dead-lettering): left out of the comparison"
    OLDER_DEATHS = (
        "x-death has the newest death first (Dead-lettering); 3.10 turns the order of the older ones round each time"
    )
    AT_ONCE = (
        "what one step brings to a queue with priorities is there at once, and a consumer gets the highest first; "
        "RabbitMQ hands each over as it arrives, one death after the other (Priorities)"
    )
    CHECKED_FIRST = (
        "what a call is given is checked before anything is sent (Publishing): where a message's properties or a "
        "consumer's x-priority are wrong, and the exchange or the queue is missing or another's too, RabbitMQ says "
        "403, 404 or 405, and rexchange 406"
    )
    RACE = (
        "two queues that dead-letter into a third at once race in RabbitMQ, and the order there is open "
        "(Dead-lettering): a scenario that differs after such a step ends there"
    )
    UNKNOWN_TYPE = "RabbitMQ 3.10 answers an unknown exchange type with 503, 4.x and rexchange with 406 (note on 3.10)"


BY_CONSTRUCTION = (
    "tags: a consumer, or all gets of one client from one queue, is one channel in RabbitMQ; there are none here",
    "redelivered of what was read ahead and never shown: all that is handed out is shown at once",
    "round robin: never two reading consumers on one queue",
    "publish to a missing exchange: RabbitMQ's late 404 is waited for (confirms)",
    "a dead client: connections end in order; a killed process is noticed after 15 s here (tests/chaos)",
    "single active consumer: after basic.cancel RabbitMQ 3.10 serves the next one only when something else happens",
    "x-expires and cancel(): a cancelled consumer keeps its queue in use until it is closed (Queues, x-expires)",
    "auto-delete and cancel(): the same, where the queue has other consumers",
    "x-death sent by a publisher: RabbitMQ 4 and rexchange start the history anew, 3.10 goes on with it",
    "a message that overtakes others by its priority and expires: RabbitMQ looks at it only when something happens",
    "times in x-death: by the clocks of the two brokers",
    "a connection's end: RabbitMQ closes its channels one by one, so a no-ack consumer may lose what another one held",
    "durable: nothing is restarted in a scenario",
    "server-named queues and consumer tags: the names are random on both",
    "get does not return how many are left: ready counts are compared after each step instead",
)
"""Differences that no scenario can meet, by the way both sides are driven."""

STALE = "StaleDelivery"


class Explained:
    """The counts of one run."""

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()

    def note(self, reason: Reason) -> None:
        self.counts[reason] += 1

    def late_verdict(self, error: str, *, lost: bool) -> bool:
        """Whether an error of ours is but the word that the delivery's queue is gone."""
        if lost and error == STALE:
            self.note(Reason.LATE_VERDICT)
            return True
        return False

    def without_last_death(self, headers: s.Table) -> s.Table:
        """Return headers of ours as RabbitMQ 3.10 has them."""
        kept = {key: value for key, value in headers.items() if not key.startswith("x-last-death-")}
        if len(kept) < len(headers):
            self.note(Reason.LAST_DEATH)
        if len(headers.get("x-death", ())) > 2:
            self.note(Reason.OLDER_DEATHS)
        return kept

    def at_once(self, theirs: Outcome, ours: Outcome, ranked: set[int]) -> Outcome:
        """Return RabbitMQ's outcome with what consumers of queues with priorities (`ranked`) saw in our order."""
        if theirs.seen == ours.seen or Counter(theirs.seen) != Counter(ours.seen):
            return theirs
        elsewhere = [[seen for seen in each.seen if seen.holder not in ranked] for each in (theirs, ours)]
        if elsewhere[0] != elsewhere[1]:
            return theirs
        self.note(Reason.AT_ONCE)
        return replace(theirs, seen=ours.seen)

    def evened(self, step: Step, theirs: Outcome, ours: Outcome) -> Outcome:
        """Return RabbitMQ's outcome as it is to be expected of rexchange."""
        if isinstance(step, s.Publish) and theirs.code is ours.code is None:
            theirs = replace(theirs, value=ours.value)  # AMQP does not tell how many queues a message reached
        if isinstance(step, s.Publish | s.Consume) and ours.code == 406 and theirs.code in (403, 404, 405):
            self.note(Reason.CHECKED_FIRST)
            return replace(theirs, code=406)
        if isinstance(step, s.DeclareExchange) and theirs.code == 503 and ours.code == 406:
            self.note(Reason.UNKNOWN_TYPE)
            return replace(theirs, code=406)
        return theirs
