"""What applying a topology would do, worked out before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from rexchange import changes
from rexchange.applying.checking import circles, problem
from rexchange.applying.places import place_of
from rexchange.applying.reading import Wanted
from rexchange.codec import as_text
from rexchange.definitions import Topology
from rexchange.definitions.jsontext import shown
from rexchange.definitions.planning import Action, ImportPlan, Step, Value, check_binding
from rexchange.definitions.values import binding_name, differing
from rexchange.errors import DefinitionsError, PreconditionFailed, Problem
from rexchange.records import encode_binding_id
from rexchange.topology import PREDECLARED, Binding, Exchange, Queue, is_durable

Identity: TypeAlias = tuple[str, bytes]
REFUSED: tuple[Literal["differs"], Literal["in use"]] = ("differs", "in use")


@dataclass(frozen=True, slots=True)
class TopologyPlan(ImportPlan):
    """What `apply` does, or would do: all objects of the topology and, to be deleted, others, in their order.

    `lines`: where in the file each stands, by kind and name.
    """

    lines: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def problems(self, *, skip_existing: bool = False, allow_unsupported: bool = False) -> list[Problem]:
        """Return what keeps it from being done; nothing can be passed over."""
        del skip_existing, allow_unsupported
        return [
            problem(step.kind, step.name, step.reason, self.lines)._replace(vhost=step.vhost, why=why)
            for why in REFUSED
            for step in self.of(why)
        ]

    def check(self, *, skip_existing: bool = False, allow_unsupported: bool = False) -> None:
        """Raise DefinitionsError where something keeps it from being done."""
        found = self.problems(skip_existing=skip_existing, allow_unsupported=allow_unsupported)
        if found:
            raise DefinitionsError(found, file=self.file)

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return any(step.action not in ("same", *REFUSED) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Present:
    """What a vhost holds; `busy` says in words why a queue is in use."""

    topology: Topology
    busy: Mapping[str, str]


def plan(wanted: Wanted, present: Present, *, vhost: str, prune: bool = False, in_use: bool = False) -> TopologyPlan:
    """Compare what is wanted with what is there.

    Raises DefinitionsError for bindings without their ends, or that their exchange does not allow, and for circles of
    alternate exchanges with those that are there.
    """
    worker = _Worker(wanted, present, vhost, prune=prune, in_use=in_use)
    steps = tuple(worker.steps())
    if worker.problems:
        raise DefinitionsError(sorted(worker.problems, key=lambda each: each.line or 0), file=wanted.file)
    return TopologyPlan(steps, wanted.file, wanted.lines)


class _Worker:
    """The work of `plan`."""

    def __init__(self, wanted: Wanted, present: Present, vhost: str, *, prune: bool, in_use: bool) -> None:
        self.problems: list[Problem] = []
        self._want, self._lines, self._busy, self._vhost = wanted.topology, wanted.lines, present.busy, vhost
        self._there, self._prune, self._in_use = present.topology, prune, in_use
        self._exchanges = {each.name: each for each in present.topology.exchanges}
        self._queues = {each.name: each for each in present.topology.queues}
        self._named = {
            "exchange": {each.name for each in wanted.topology.exchanges},
            "queue": {each.name for each in wanted.topology.queues},
        }
        # What there will be: ends of bindings, alternate and dead-letter exchanges.
        self._kept_exchanges = {each.name: each for each in self._there.exchanges if not self._goes(each)}
        self._kept_exchanges |= {each.name: each for each in self._want.exchanges}
        self._kept_queues = {each.name: each for each in self._there.queues if not self._goes(each)}
        self._kept_queues |= {each.name: each for each in self._want.queues}

    def steps(self) -> Iterator[Step]:
        """Yield all steps in the order in which they are done."""
        for exchange in self._want.exchanges:
            yield self._exchange(exchange)
        yield from self._policies()
        for queue in self._want.queues:
            yield self._queue(queue)
        bound = {_identity(each) for each in self._there.bindings}
        for binding in self._want.bindings:
            yield self._binding(binding, bound)
        rules = {each.name: each for each in (() if self._prune else self._there.policies)}
        rules |= {each.name: each for each in self._want.policies}
        mine = [each.name for each in self._want.exchanges]
        self.problems += circles(self._kept_exchanges.values(), rules.values(), self._lines, mine)
        if self._prune:
            yield from self._deletions()

    # --- what is wanted

    def _exchange(self, exchange: Exchange) -> Step:
        there, reason = self._exchanges.get(exchange.name), self._nowhere(exchange.alternate_exchange, "alternate")
        if there is None:
            return self._step("create", "exchange", exchange.name, reason, value=exchange)
        flags = {flag: (getattr(there, flag), getattr(exchange, flag)) for flag in _EXCHANGE_FLAGS}
        found = changes.difference(there.arguments, exchange.arguments)
        return self._changed("exchange", exchange, flags, found, reason)

    def _queue(self, queue: Queue) -> Step:
        there = self._queues.get(queue.name)
        reason = self._nowhere(as_text(queue.arguments.get("x-dead-letter-exchange")), "dead-letter")
        if there is None:
            return self._step("create", "queue", queue.name, reason, value=queue)
        flags: dict[str, tuple[object, object]] = {
            "exclusive": (there.exclusive, False),
            "durable": (is_durable(there), queue.durable),
            "auto_delete": (there.auto_delete, queue.auto_delete),
        }
        found = changes.difference(there.arguments, queue.arguments)
        return self._changed("queue", queue, flags, found, reason)

    def _changed(
        self,
        kind: changes.Kind,
        value: Exchange | Queue,
        flags: Mapping[str, tuple[object, object]],
        found: tuple[changes.Change, ...],
        reason: str,
    ) -> Step:
        fixed = [(flag, *ends) for flag, ends in flags.items() if ends[0] != ends[1]]
        fixed += [(each.argument, each.before, each.after) for each in found if each.argument in changes.FIXED]
        if fixed:
            argument, current, asked = fixed[0]
            why = str(changes.cannot(kind, value.name, argument, current, asked))
            step = self._step("differs", kind, value.name, why)
            return replace(step, argument=argument, current=current, wanted=asked)
        if not found:
            return self._step("same", kind, value.name, reason)
        told = ", ".join(f"{each.argument}: {shown(each.before)} -> {shown(each.after)}" for each in found)
        step = self._step("update", kind, value.name, f"{told}; {reason}" if reason else told, value=value)
        return replace(step, changes=found)

    def _nowhere(self, name: str | None, what: str) -> str:
        if not name or name in self._kept_exchanges:
            return ""
        return f"its {what} exchange {name!r} is nowhere: what goes there is lost"

    def _policies(self) -> Iterator[Step]:
        existing = {each.name: each for each in self._there.policies}
        for policy in self._want.policies:
            there = existing.get(policy.name)
            names = [] if there is None else differing(there, policy)
            if there is not None and not names:
                yield self._step("same", "policy", policy.name)
                continue
            told = ", ".join(
                f"{name}: {shown(getattr(there, name))} -> {shown(getattr(policy, name))}" for name in names
            )
            yield self._step("create" if there is None else "update", "policy", policy.name, told, value=policy)

    def _binding(self, binding: Binding, bound: set[Identity]) -> Step:
        name, kind = binding_name(binding), binding.destination_kind
        source = self._kept_exchanges.get(binding.source)
        ends: list[tuple[str, str, Exchange | Queue | None]] = [("exchange", binding.source, source)]
        kept = self._kept_queues if kind == "queue" else self._kept_exchanges
        ends.append((kind, binding.destination, kept.get(binding.destination)))
        for end_kind, end, value in ends:
            if value is None:
                gone = end in (self._exchanges if end_kind == "exchange" else self._queues)
                where = (
                    "in the topology, and pruning deletes the one that is there"
                    if gone
                    else "in the topology or in the vhost"
                )
                self._wrong(binding, f"no {end_kind} {end!r} {where}: add it")
            elif isinstance(value, Queue) and value.exclusive:
                self._wrong(binding, f"queue {end!r} is exclusive to another session")
        if source is not None:
            try:
                check_binding(binding, source)
            except PreconditionFailed as error:
                self._wrong(binding, str(error))
        return self._step("same" if _identity(binding) in bound else "create", "binding", name, value=binding)

    def _wrong(self, binding: Binding, words: str) -> None:
        name = binding_name(binding)
        found = problem("binding", name, f"binding {name}: {words}", self._lines, place_of(binding))
        self.problems.append(found._replace(vhost=self._vhost))

    # --- what is not

    def _deletions(self) -> Iterator[Step]:
        wanted = {_identity(each) for each in self._want.bindings}
        used: set[str] = set()
        for binding in self._there.bindings:
            ends = self._kept_queues if binding.destination_kind == "queue" else self._kept_exchanges
            if binding.destination_kind == "queue" and _is_ones_own(self._queues.get(binding.destination)):
                used.add(binding.source)
            elif _identity(binding) not in wanted:
                why = "" if binding.destination in ends else f"with its {binding.destination_kind}"
                yield self._step("delete", "binding", binding_name(binding), why, value=binding)
        for queue in self._there.queues:
            if self._goes(queue):
                yield self._deletion(queue, "queue", self._busy.get(queue.name, ""))
        for exchange in self._there.exchanges:
            if self._goes(exchange):
                why = "somebody's exclusive queue is bound to it" if exchange.name in used else ""
                yield self._deletion(exchange, "exchange", why)
        names = {each.name for each in self._want.policies}
        for policy in self._there.policies:
            if policy.name not in names:
                yield self._step("delete", "policy", policy.name, value=policy)

    def _deletion(self, value: Queue | Exchange, kind: str, busy: str) -> Step:
        if busy and not self._in_use:
            words = f"{kind} {value.name!r} is not in the topology, and in use: {busy}; in_use=True deletes it"
            return self._step("in use", kind, value.name, words)
        return self._step("delete", kind, value.name, busy, value=value)

    def _goes(self, value: Queue | Exchange) -> bool:
        """Whether pruning takes it: not what is wanted, nor what no topology may name."""
        if not self._prune or value.name in PREDECLARED or value.name.startswith("amq."):
            return False
        if isinstance(value, Queue):
            return not value.exclusive and value.name not in self._named["queue"]
        return value.name not in self._named["exchange"]

    def _step(self, action: Action, kind: str, name: str, reason: str = "", value: Value | None = None) -> Step:
        return Step(action, kind, self._vhost, name, reason, value)


_EXCHANGE_FLAGS = ("type", "durable", "auto_delete", "internal")


def _is_ones_own(queue: Queue | None) -> bool:
    """Whether it belongs to a session, or was named by the broker for one."""
    return queue is not None and (queue.exclusive or queue.name.startswith("amq."))


def _identity(binding: Binding) -> Identity:
    return binding.source, encode_binding_id(binding)
