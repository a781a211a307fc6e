"""What rexchange knows of a message and AMQP does not: options, and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rexchange.arguments import queue_arguments
from rexchange.errors import InvalidArgument
from rexchange.special import Special, due_ms, time_of

NEXT_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def test_options_are_what_scripts_read() -> None:
    minute = timedelta(minutes=1)
    assert Special().options() == {}
    assert Special(delay=timedelta(0)).options() == {}
    assert Special(delay=minute).options() == {"l": 60_000}
    assert Special(at=NEXT_YEAR).options() == {"a": 1_798_761_600_000}
    assert Special(dedup_key="k", dedup_window=minute).options() == {"d": "k", "w": 60_000}


def test_a_message_has_either_a_delay_or_a_time() -> None:
    with pytest.raises(InvalidArgument, match="either it or delay"):
        Special(delay=timedelta(1), at=NEXT_YEAR).options()


def test_a_time_is_rounded_up_and_its_zone_counts() -> None:
    assert due_ms(datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) == 1
    assert due_ms(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert time_of(1_798_761_600_000) == NEXT_YEAR


def test_a_time_must_be_to_come() -> None:
    special = Special(at=NEXT_YEAR)
    special.check_time(due_ms(NEXT_YEAR) - 1)
    Special().check_time(0)
    for now_ms in (due_ms(NEXT_YEAR), due_ms(NEXT_YEAR) + 1, due_ms(NEXT_YEAR) - 200 * 366 * 86_400_000):
        with pytest.raises(InvalidArgument, match="a time to come"):
            special.check_time(now_ms)


def test_a_factor_that_is_whole_is_the_same_as_a_float() -> None:
    hour = timedelta(hours=1)
    whole = queue_arguments(None, {"retry_first": hour, "retry_tries": 3, "retry_factor": 2})
    assert whole == queue_arguments(None, {"retry_first": hour, "retry_tries": 3, "retry_factor": 2.0})
