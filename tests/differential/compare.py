"""One scenario on both, step by step, until they differ."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

from tests.differential.explained import Explained
from tests.differential.features import features, vanished
from tests.differential.ours import Ours
from tests.differential.rabbit import Rabbit
from tests.differential.rabbitmq import fresh_vhost
from tests.differential.steps import Outcome, Step, code


class Different(AssertionError):
    """They differ; shows the scenario as a test to keep."""

    def __init__(self, scenario: Sequence[Step], at: int, theirs: Outcome, ours: Outcome) -> None:
        self.scenario, self.at = list(scenario[: at + 1]), at
        self.what = [
            f"{each.name}: RabbitMQ {getattr(theirs, each.name)!r}, rexchange {getattr(ours, each.name)!r}"
            for each in fields(Outcome)
            if getattr(theirs, each.name) != getattr(ours, each.name)
        ]
        super().__init__("\n".join([f"step {at + 1}, {code(scenario[at])}", *self.what, as_test(self.scenario)]))

    @property
    def kind(self) -> tuple[object, ...]:
        """What makes it another difference: the kind of step, and which fields differ."""
        return type(self.scenario[-1]), tuple(words.partition(":")[0] for words in self.what)


def as_test(scenario: Sequence[Step]) -> str:
    """Return a scenario as a regression test, to be pasted into test_found.py."""
    lines = [f"        {code(step)}," for step in scenario]
    return "\n".join(
        [
            "",
            "def test_NAME_ME(pair: Both) -> None:",
            "    scenario: list[Step] = [",
            *lines,
            "    ]",
            "    pair.run(scenario)",
        ]
    )


@dataclass
class Both:
    """RabbitMQ and rexchange, side by side; `run` takes one scenario after the other."""

    theirs: Rabbit
    ours: Ours
    explained: Explained
    features: Counter[str]
    scenarios: int = 0
    steps: int = 0

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
        for at, step in enumerate(scenario):
            theirs, ours = self.theirs.step(step), self.ours.step(step)
            self.steps += 1
            evened = self.explained.evened(step, theirs, ours)
            if evened != ours:
                raise Different(scenario, at, replace(evened), ours)
            self.features.update({*features(step, ours)} | {*vanished(step, before, ours)})
            if not ours.skipped:
                before = ours

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
