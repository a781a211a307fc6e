"""Tracing changes nothing of what it watches: tests of settling and giving back once more, with all messages traced."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.async_ import test_give_back, test_settle
from tests.conformance.async_.support import Connect

pytestmark = pytest.mark.slow

consumer = test_settle.consumer
NOT_HERE = "test_a_nack_whose_reply_was_lost_does_not_take_away_what_came_again"
"""It stops the connection on which a consumer would register anew, to be read by script."""
GIVEN_BACK = (
    "test_cancel_gives_back_what_was_not_handed_out_as_never_delivered",
    "test_closing_gives_back_what_was_not_settled_in_its_place",
    "test_a_late_nack_does_the_new_holder_no_harm",
    "test_a_dead_session_gives_back_all_it_held",
)


@pytest.fixture(autouse=True)
async def _all_is_traced(connect: Connect) -> None:
    await (await connect()).trace(routing_key="#")


def _tests() -> dict[str, Any]:
    settling = {name: item for name, item in vars(test_settle).items() if name.startswith("test_") and name != NOT_HERE}
    return settling | {name: getattr(test_give_back, name) for name in GIVEN_BACK}


globals().update(_tests())
