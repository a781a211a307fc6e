"""Random scenarios give the same on RabbitMQ and on rexchange; `make differential N=2000` runs more of them."""

from __future__ import annotations

import logging
import os

import pytest

from tests.differential.compare import Both
from tests.differential.hunt import hunt

SECONDS = float(os.environ.get("REXCHANGE_DIFFERENTIAL_SECONDS", "60"))
"""CI sets 180."""
SEED = 1
"""The same scenarios each time: `make differential` is for new ones."""

pytestmark = [pytest.mark.differential, pytest.mark.timeout(SECONDS + 240)]


def test_random_scenarios_do_not_differ(pair: Both, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="rexchange")  # set back after the test: others read the warnings

    different = next(hunt(pair, SEED, seconds=SECONDS), None)

    assert different is None, str(different)
    assert pair.scenarios > SECONDS / 10  # a hunt that runs nothing finds nothing
    assert pair.flukes <= 1 + pair.scenarios // 100, "what differs once in a while is no pause of the machine"
