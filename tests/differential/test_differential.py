"""Random scenarios give the same on RabbitMQ and on rexchange; `make differential N=2000` runs more of them."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.compare import Both
from tests.differential.scenarios import scenarios
from tests.differential.steps import Step

pytestmark = [pytest.mark.differential, pytest.mark.timeout(300)]

EXAMPLES = 60


def test_random_scenarios_do_not_differ(pair: Both, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="rexchange")  # set back after the test: others read the warnings

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,  # the same ones each time: `make differential` is for new ones
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def every(scenario: list[Step]) -> None:
        pair.run(scenario)

    every()
