"""What both sides share: which queues, consumers and deliveries there are, and what a step means for them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.differential import steps as s
from tests.differential.books import Handed, Holder, Refused, Skipped
from tests.differential.steps import Outcome, Seen, Step

CLIENTS = 3


def sorted_out(outcome: Outcome) -> Outcome:
    """Return it with what different consumers saw in the order of the consumers."""
    seen = sorted(outcome.seen, key=lambda seen: seen.holder)
    return replace(outcome, seen=seen, cancelled=sorted(outcome.cancelled))


class Runner(ABC):
    """One broker under a scenario. `prefix` makes the names of each scenario its own."""

    def __init__(self) -> None:
        self.prefix = ""
        self.holders: list[Holder] = []
        self.owners: dict[str, int] = {}
        self.exclusive: dict[str, int] = {}
        self.exchanges: set[str] = set()
        self.given: dict[str, s.Table] = {}
        self.auto_delete: set[str] = set()
        self.hurried = self.expiring = False
        self.number = 0

    # --- names

    def name(self, word: str) -> str:
        """Return a scenario's name, or a key that is one, as it is on the server."""
        return self.prefix + word if len(word) == 2 and word[0] in "qx" and word[1].isdigit() else word

    def arguments(self, table: s.Table) -> s.Table:
        return {key: self.name(value) if isinstance(value, str) else value for key, value in table.items()}

    def headers(self, table: s.Table) -> s.Table:
        """Return headers whose CC and BCC name the scenario's queues."""
        lists = {key: table[key] for key in ("CC", "BCC") if isinstance(table.get(key), list)}
        named = {key: [self.name(w) if isinstance(w, str) else w for w in words] for key, words in lists.items()}
        return table | named

    def short(self, name: str) -> str:
        return name.removeprefix(self.prefix)

    # --- running

    def start(self, prefix: str) -> None:
        self.prefix = prefix
        self.holders, self.owners, self.exclusive, self.exchanges = [], {}, {}, set()
        self.given = {}
        self.expiring = False
        self.number = 0

    def step(self, step: Step) -> Outcome:
        """Do one step and look at everything after it."""
        outcome = Outcome()
        self.number += 1
        expiration = step.properties.get("expiration") if isinstance(step, s.Publish) else None
        self.hurried = expiration == str(s.SHORT_MS)
        self.expiring |= expiration is not None
        try:
            outcome.value = self.perform(step, outcome)
        except Refused as refused:
            outcome.code = refused.code
        except Skipped:
            outcome.skipped = True
            return outcome
        self.observe(step, outcome)
        return sorted_out(outcome)

    def perform(self, step: Step, outcome: Outcome) -> object:
        """Do a step; returns what its caller is told."""
        match step:
            case s.Publish():
                return self.publish(step, b"%d%s" % (self.number, b"x" * step.pad))
            case s.Get():
                return self._get(step, outcome)
            case s.Consume():
                self._consume(step)
            case s.Settle():
                self._settle(step)
            case s.Cancel() | s.CloseConsumer():
                self._end_consumer(step)
            case s.CloseClient():
                self._close_client(step.client, outcome)
            case s.Drain():
                self._drain(outcome)
            case s.Wait():
                idle = bool(self.having("x-expires", s.EXPIRES_MS))
                time.sleep(s.EXPIRES_MS * 1.25 / 1000 if idle else 0)
            case _:
                return self._change(step, outcome)
        return None

    def _drain(self, outcome: Outcome) -> None:
        for queue in sorted(self.owners):
            each = s.Get(queue, auto_ack=True, client=self.exclusive.get(queue, 0))
            while self._get(each, outcome):
                pass
            self.serve(outcome)

    def _change(self, step: s.Change, outcome: Outcome) -> object:
        match step:
            case s.DeclareQueue():
                return self._declare_queue(step)
            case s.DeclareExchange():
                self.declare_exchange(step)
                if not step.passive:
                    self.exchanges.add(step.name)
            case s.Bind() | s.Unbind():
                self.bind(step)
            case s.DeleteExchange():
                self.delete_exchange(step)
            case s.DeleteQueue():
                count = self.delete_queue(step)
                self.gone(step.name, outcome)
                return count
            case s.Purge():
                return self.purge(step)
        return None

    # --- what a step means for the books

    def _declare_queue(self, step: s.DeclareQueue) -> object:
        counts = self.declare_queue(step)
        if not step.passive:
            if step.name not in self.owners:
                self.given[step.name] = step.arguments
                self.auto_delete = self.auto_delete - {step.name} | ({step.name} if step.auto_delete else set())
                if step.exclusive:
                    self.exclusive[step.name] = step.client
            self.owners.setdefault(step.name, step.client)
        return counts

    def gone(self, queue: str, outcome: Outcome) -> None:
        """Note that a queue is deleted: its consumers are to be told, its deliveries are lost."""
        self.owners.pop(queue, None)
        self.exclusive.pop(queue, None)
        self.given.pop(queue, None)
        for holder in self.holders:
            if holder.queue == queue:
                holder.lost = True
                if holder.reading:
                    self.await_cancel(holder)
                    holder.reading = False
                    outcome.cancelled.append(holder.number)

    def _get(self, step: s.Get, outcome: Outcome) -> bool:
        for holder in self.holders:
            usable = holder.is_get and holder.is_open and not holder.lost
            if usable and (holder.client, holder.queue) == (step.client, step.queue):
                break
        else:
            holder = Holder(len(self.holders), step.client, step.queue, None, is_get=True)
        delivery = self.get(step, holder)
        if delivery is None:
            return False
        if holder.number == len(self.holders):
            self.holders.append(holder)
        holder.handed.append(Handed(delivery, settled=step.auto_ack))
        outcome.seen.append(self.look(holder, delivery))
        return True

    def _consume(self, step: s.Consume) -> None:
        if not self._determined(step):
            raise Skipped
        number = len(self.holders)
        holder = Holder(number, step.client, step.queue, None, auto_ack=step.auto_ack, prefetch=step.prefetch)
        holder.priority, holder.exclusive = step.priority, step.exclusive
        self.consume(step, holder)
        holder.reading = True
        self.holders.append(holder)

    def _determined(self, step: s.Consume) -> bool:
        """Whether RabbitMQ says who gets what: not where consumers of one priority take turns."""
        others = [holder for holder in self.holders if holder.reading and holder.queue == step.queue]
        alone = step.exclusive or any(holder.exclusive for holder in others)  # so it is refused
        single = self.given.get(step.queue, {}).get("x-single-active-consumer") is True
        return not others or alone or single or step.priority not in {holder.priority for holder in others}

    def having(self, argument: str, value: object = None) -> list[str]:
        """Return the queues that were declared with an argument (of that value)."""
        return [
            queue
            for queue, given in self.given.items()
            if argument in given and (value is None or given[argument] == value)
        ]

    def _chosen(self, number: int, *, consumers: bool = False) -> Holder:
        fit = [each for each in self.holders if each.is_open and not (consumers and each.is_get)]
        if not fit:
            raise Skipped
        return fit[number % len(fit)]

    def _settle(self, step: s.Settle) -> None:
        holder = self._chosen(step.holder)
        if step.which in ("held", "settled"):
            wanted = step.which == "settled"
            fit = [each for each in holder.handed if each.settled == wanted and not (wanted and holder.lost)]
            if not fit:
                raise Skipped
            chosen = fit[step.number % len(fit)]
            upto = holder.handed[: holder.handed.index(chosen) + 1] if step.multiple else [chosen]
        else:
            if holder.is_get or holder.auto_ack:
                raise Skipped  # a getter of ours has no tags of its own
            chosen, upto = None, holder.handed if step.which == "zero" else []
        try:
            self.settle(step, holder, chosen)
        except Refused:
            self.close_holder(holder)
            holder.is_open = holder.reading = False
            raise
        for each in upto:
            each.settled = True

    def _end_consumer(self, step: s.Cancel | s.CloseConsumer) -> None:
        holder = self._chosen(step.holder, consumers=True)
        if isinstance(step, s.CloseConsumer):
            self.close_holder(holder)
            holder.is_open = holder.reading = False
        elif holder.queue in self.having("x-expires", s.EXPIRES_MS) or self._is_kept(holder):
            raise Skipped  # it would keep the queue alive here
        elif holder.reading:
            self.cancel(holder)
            holder.reading = False
        else:
            raise Skipped

    def _is_kept(self, holder: Holder) -> bool:
        """Whether it is one of several consumers of an auto-delete queue."""
        shared = [each for each in self.holders if each.reading and each.queue == holder.queue]
        return holder.queue in self.auto_delete and len(shared) > 1

    def _close_client(self, client: int, outcome: Outcome) -> None:
        reading = [holder for holder in self.holders if holder.client == client and holder.reading]
        self.close_client(client, reading)
        for holder in self.holders:
            if holder.client == client:
                holder.is_open = holder.reading = False
        for queue in [queue for queue, owner in self.exclusive.items() if owner == client]:
            self.gone(queue, outcome)

    # --- what a side does

    @abstractmethod
    def declare_exchange(self, step: s.DeclareExchange) -> None: ...
    @abstractmethod
    def declare_queue(self, step: s.DeclareQueue) -> tuple[int, int]: ...
    @abstractmethod
    def bind(self, step: s.Bind | s.Unbind) -> None: ...
    @abstractmethod
    def delete_exchange(self, step: s.DeleteExchange) -> None: ...
    @abstractmethod
    def delete_queue(self, step: s.DeleteQueue) -> int: ...
    @abstractmethod
    def purge(self, step: s.Purge) -> int: ...
    @abstractmethod
    def publish(self, step: s.Publish, body: bytes) -> int | None: ...
    @abstractmethod
    def get(self, step: s.Get, holder: Holder) -> Any: ...
    @abstractmethod
    def consume(self, step: s.Consume, holder: Holder) -> None: ...
    @abstractmethod
    def settle(self, step: s.Settle, holder: Holder, chosen: Handed | None) -> None: ...
    @abstractmethod
    def cancel(self, holder: Holder) -> None: ...
    @abstractmethod
    def close_holder(self, holder: Holder) -> None: ...
    @abstractmethod
    def close_client(self, client: int, reading: Sequence[Holder] = ()) -> None: ...
    @abstractmethod
    def await_cancel(self, holder: Holder) -> None: ...
    @abstractmethod
    def look(self, holder: Holder, delivery: Any) -> Seen: ...
    @abstractmethod
    def observe(self, step: Step, outcome: Outcome) -> None: ...
    def serve(self, outcome: Outcome) -> None:  # noqa: B027 - RabbitMQ does it unasked
        """Let consumers have what came for them in the middle of a step, before anybody else takes it."""

    @abstractmethod
    def clean(self) -> None:
        """Remove all that the scenario left."""

    @abstractmethod
    def close(self) -> None: ...
