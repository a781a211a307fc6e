"""One scenario on both, step by step, until they differ."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial

from tests.differential import steps as s
from tests.differential.explained import Explained, Reason
from tests.differential.features import features, vanished
from tests.differential.ours import Ours
from tests.differential.rabbit import Rabbit
from tests.differential.rabbitmq import fresh_vhost
from tests.differential.steps import Outcome, Step, code


class Different(AssertionError):
    """They differ; shows the scenario and what differs at its last step."""

    def __init__(self, scenario: Sequence[Step], at: int, theirs: Outcome, ours: Outcome) -> None:
        self.scenario, self.at = list(scenario[: at + 1]), at
        self.what = [
            f"{each.name}: RabbitMQ {getattr(theirs, each.name)!r}, rexchange {getattr(ours, each.name)!r}"
            for each in fields(Outcome)
            if getattr(theirs, each.name) != getattr(ours, each.name)
        ]
        super().__init__("\n".join([*map(code, self.scenario), *self.what]))

    @property
    def kind(self) -> tuple[object, ...]:
        """What makes it another difference: the kind of step, and which fields differ."""
        return type(self.scenario[-1]), tuple(words.partition(":")[0] for words in self.what)


def _reached(before: Outcome | None, after: Outcome) -> int:
    """How many queues a message reached, where none but consumers takes messages away."""
    ready = sum(ready for ready, _ in after.queues.values())
    return ready + len(after.seen) - (sum(ready for ready, _ in before.queues.values()) if before else 0)


@dataclass
class Both:
    """RabbitMQ and rexchange, side by side; `run` takes one scenario after the other."""

    theirs: Rabbit
    ours: Ours
    explained: Explained
    features: Counter[str]
    scenarios: int = 0
    steps: int = 0
    seed: int = 0
    flukes: int = 0
    """Scenarios that differed once and not again."""

    def run(self, scenario: Sequence[Step]) -> None:
        """Raise Different at the first step whose outcomes differ."""
        prefix = f"{secrets.token_hex(4)}."
        self.theirs.start(prefix)
        self.ours.start(prefix)
        self.scenarios += 1
        try:
            self._steps(scenario)
        finally:
            self.theirs.clean()
            self.ours.clean()

    def _steps(self, scenario: Sequence[Step]) -> None:
        before: Outcome | None = None
        their_before: Outcome | None = None
        raced = False
        for at, step in enumerate(scenario):
            ours = self.ours.step(step)
            self.theirs.is_expected = partial(self._is_expected, step, ours)
            theirs = self.theirs.step(step)
            self.steps += 1
            raced = raced or self.ours.raced()
            evened = self.explained.evened(step, theirs, ours)
            if isinstance(step, s.Publish) and ours.code is None and self.theirs.is_plain:
                evened = replace(evened, value=_reached(their_before, theirs))
            if not isinstance(step, s.Consume):  # what was there before it comes in one order on both
                evened = self.explained.at_once(evened, ours, self.ours.ranked())
            if evened != ours and raced:
                self.explained.note(Reason.RACE)
                return
            if evened != ours:
                raise Different(scenario, at, replace(evened), ours)
            self.features.update({*features(step, ours)} | {*vanished(step, before, ours)})
            if not ours.skipped:
                before, their_before = ours, theirs

    def _is_expected(self, step: Step, ours: Outcome, theirs: Outcome) -> bool:
        return Explained().evened(step, theirs, ours) == ours

    def shrink(self, different: Different) -> Different:
        """Leave out step after step while the same kind of difference remains."""
        at = len(different.scenario) - 2
        while at >= 0:
            shorter = different.scenario[:at] + different.scenario[at + 1 :]
            try:
                self.run(shorter)
            except Different as again:
                if again.kind == different.kind:
                    different = again
                    at = min(at, len(different.scenario) - 1)
            at -= 1
        return different


@contextmanager
def both(url: str) -> Iterator[Both]:
    """Open both; whatever was made on them is removed at the end."""
    explained = Explained()
    with fresh_vhost() as vhost:
        theirs, ours = Rabbit(vhost), Ours(url, vhost, explained)
        try:
            yield Both(theirs, ours, explained, Counter())
        finally:
            theirs.close()
            ours.close()
