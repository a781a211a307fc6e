"""What an import would do, worked out before anything is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rexchange.arguments import DELAYED_TYPE, headers_match
from rexchange.changes import Change
from rexchange.codec import as_text
from rexchange.definitions.jsontext import shown
from rexchange.definitions.values import Content, Definitions, LeftOut, binding_name, differing
from rexchange.errors import DefinitionsError, PreconditionFailed, Problem, ResourceLocked
from rexchange.policies import Policy
from rexchange.records import encode_binding_id
from rexchange.topology import DELAYED, PREDECLARED, Binding, Exchange, Queue, compare_exchange, compare_queue

Action = Literal["create", "replace", "same", "differs", "unsupported", "skipped", "update", "delete", "in use"]
Value: TypeAlias = Exchange | Policy | Queue | Binding
Identity: TypeAlias = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one object.

    "create"; "replace" (a policy: RabbitMQ's import does so too); "same": it is there; "differs": another one of this
    name is there, in `argument`, which is `current` there and `wanted` in the file; "unsupported"; "skipped". Of
    `apply` only: "update" (`changes` says what), "delete", and "in use" where it would be deleted otherwise. `reason`
    is in words, `value` what is to be made.
    """

    action: Action
    kind: str
    vhost: str
    name: str
    reason: str = ""
    value: Value | None = None
    argument: str | None = None
    current: object = None
    wanted: object = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import does, or would do: all objects of the file, in the order in which they are made."""

    steps: tuple[Step, ...]
    file: str = ""

    def of(self, *actions: Action) -> list[Step]:
        """Return the steps with one of these actions."""
        return [step for step in self.steps if step.action in actions]

    @property
    def counts(self) -> dict[Action, int]:
        """How many objects there are of each action; those of none are missing."""
        return dict(Counter(step.action for step in self.steps))

    def problems(self, *, skip_existing: bool = False, allow_unsupported: bool = False) -> list[Problem]:
        """Return what keeps it from being done, as long as it is not said to be passed over."""
        found = [] if skip_existing else [_problem(step, "differs") for step in self.of("differs")]
        if not allow_unsupported:
            found += [_problem(step, "unsupported") for step in self.of("unsupported")]
        return found

    def check(self, *, skip_existing: bool = False, allow_unsupported: bool = False) -> None:
        """Raise DefinitionsError where something keeps it from being done."""
        found = self.problems(skip_existing=skip_existing, allow_unsupported=allow_unsupported)
        if found:
            raise DefinitionsError(found, file=self.file)


def _problem(step: Step, why: Literal["differs", "unsupported"]) -> Problem:
    return Problem(f"vhost {step.vhost!r}: {step.reason}", step.kind, step.vhost, step.name, why=why)


def plan(definitions: Definitions, present: Mapping[str, Content]) -> ImportPlan:
    """Compare a file with what is `present`; a vhost that is missing there is made.

    Raises DefinitionsError for bindings that the type of their exchange does not allow.
    """
    problems: list[Problem] = []
    steps: list[Step] = []
    left_out = {(each.vhost, each.kind, each.name): each for each in definitions.left_out}
    for vhost, wanted in definitions.vhosts.items():
        steps += _Vhost(vhost, wanted, present.get(vhost), left_out, problems).steps()
    if problems:
        raise DefinitionsError(problems, file=definitions.file)
    steps += [Step(each.action, each.kind, each.vhost, each.name, each.reason) for each in definitions.left_out]
    return ImportPlan(tuple(steps), definitions.file)


@dataclass
class _Vhost:
    """The part of one vhost."""

    name: str
    wanted: Content
    present: Content | None
    left_out: Mapping[tuple[str, str, str], LeftOut]
    problems: list[Problem]

    def steps(self) -> Iterator[Step]:
        there = self.present or Content(tuple(each for name, each in PREDECLARED.items() if name))
        yield Step("create" if self.present is None else "same", "vhost", self.name, self.name)
        exchanges = {each.name: each for each in there.exchanges}
        for exchange in self.wanted.exchanges:
            yield self._exchange(exchange, exchanges.get(exchange.name))
        policies = {each.name: each for each in there.policies}
        for policy in self.wanted.policies:
            yield self._policy(policy, policies.get(policy.name))
        queues = {each.name: each for each in there.queues}
        for queue in self.wanted.queues:
            yield self._queue(queue, queues.get(queue.name))
        # What is there stays, also where the file has another one of this name.
        exchanges = {each.name: each for each in self.wanted.exchanges} | exchanges
        queues = {each.name: each for each in self.wanted.queues} | queues
        bound = {(each.source, encode_binding_id(each)) for each in there.bindings}
        for binding in self.wanted.bindings:
            yield self._binding(binding, exchanges, queues, bound)

    def _exchange(self, exchange: Exchange, existing: Exchange | None) -> Step:
        if existing is None:
            return Step("create", "exchange", self.name, exchange.name, value=exchange)
        try:
            compare_exchange(existing, exchange)
        except PreconditionFailed as error:
            return self._differs("exchange", exchange.name, error)
        return Step("same", "exchange", self.name, exchange.name)

    def _queue(self, queue: Queue, existing: Queue | None) -> Step:
        if existing is None:
            return Step("create", "queue", self.name, queue.name, value=queue)
        try:
            compare_queue(existing, queue)
        except (PreconditionFailed, ResourceLocked) as error:
            return self._differs("queue", queue.name, error)
        return Step("same", "queue", self.name, queue.name)

    def _differs(self, kind: str, name: str, error: PreconditionFailed | ResourceLocked) -> Step:
        here, there = shown(error.current), shown(error.wanted)
        reason = f"{kind} {name!r} is there with {error.argument}={here}, and the file wants {there}"
        return Step(
            *("differs", kind, self.name, name, reason),
            argument=error.argument,
            current=error.current,
            wanted=error.wanted,
        )

    def _policy(self, policy: Policy, existing: Policy | None) -> Step:
        if existing is None:
            return Step("create", "policy", self.name, policy.name, value=policy)
        names = differing(existing, policy)
        if not names:
            return Step("same", "policy", self.name, policy.name)
        reason = f"another {', '.join(names)} than that of the policy that is there"
        return Step("replace", "policy", self.name, policy.name, reason, policy)

    def _binding(
        self,
        binding: Binding,
        exchanges: Mapping[str, Exchange],
        queues: Mapping[str, Queue],
        bound: set[Identity],
    ) -> Step:
        name, kind = binding_name(binding), binding.destination_kind
        for end_kind, end in (("exchange", binding.source), (kind, binding.destination)):
            if end in (exchanges if end_kind == "exchange" else queues):
                continue
            left = self.left_out.get((self.name, end_kind, end))
            reason = f"no {end_kind} {end!r}, in the file or there: RabbitMQ leaves the binding out too"
            if left is not None:
                reason = f"binding {name}: {end_kind} {end!r} is {left.action}"
            return Step("skipped" if left is None else left.action, "binding", self.name, name, reason)
        if kind == "queue" and queues[binding.destination].exclusive:
            reason = f"queue {binding.destination!r} is exclusive to the connection that declared it"
            return Step("skipped", "binding", self.name, name, reason)
        try:
            check_binding(binding, exchanges[binding.source])
        except PreconditionFailed as error:
            where = f"vhost {self.name!r}: binding {name}: "
            self.problems.append(Problem(where + str(error), "binding", self.name, name))
        if (binding.source, encode_binding_id(binding)) in bound:
            return Step("same", "binding", self.name, name)
        return Step("create", "binding", self.name, name, value=binding)


def check_binding(binding: Binding, source: Exchange) -> None:
    """Refuse what the server would: RabbitMQ's import is silent about it and leaves the binding out."""
    type_name = as_text(source.arguments.get(DELAYED_TYPE)) if source.type == DELAYED else source.type
    if type_name == "headers":
        headers_match(binding.arguments, source.name)
    elif type_name == "x-consistent-hash" and not re.fullmatch("[1-9][0-9]*", binding.binding_key):
        wanted = "the weight there: a whole number of at least 1"
        raise PreconditionFailed.illegal("binding", source.name, "routing_key", binding.binding_key, wanted)
