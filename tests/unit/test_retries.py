"""Retry policies: what they may be, that each of them ends, and what scripts read of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import traits
from rexchange.arguments import queue_arguments
from rexchange.codec import FieldValue, decode_table
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.policies import Policy, check
from rexchange.protocol import retries as protocol
from rexchange.protocol.retries import PER_PAGE, Waiting
from rexchange.topology import Queue
from tests.support.plans import drive

SECOND = timedelta(seconds=1)


def policy_of(arguments: dict[str, FieldValue], definition: dict[str, object] | None = None) -> FieldValue:
    """What scripts read of the retry policy of a queue, None where it has none."""
    record = traits.of_queue(Queue("q", arguments=arguments), definition)
    assert record[:1] in (b"", b"-")  # it does not matter on arrival
    return decode_table(record[1:]).get("retry")


@pytest.mark.parametrize(
    ("options", "arguments", "read"),
    [
        (
            {"retry_delays": [SECOND, timedelta(0), timedelta(minutes=1)]},
            {"x-retry-delays": [1000, 0, 60_000]},
            "d 4 0 1000 0 60000",
        ),
        (
            {"retry_delays": (SECOND,), "retry_tries": 9, "retry_jitter": 0.5},
            {"x-retry-delays": [1000], "x-retry-tries": 9, "x-retry-jitter": 0.5},
            "d 9 0.5 1000",
        ),
        (
            {"retry_first": SECOND, "retry_tries": 5},
            {"x-retry-first": 1000, "x-retry-tries": 5},
            "e 5 0.1 1000 2 3600000",
        ),
        (
            {"retry_first": SECOND, "retry_factor": 1.5, "retry_longest": SECOND, "retry_tries": 1, "retry_jitter": 0},
            {
                "x-retry-first": 1000,
                "x-retry-factor": 1.5,
                "x-retry-longest": 1000,
                "x-retry-tries": 1,
                "x-retry-jitter": 0,
            },
            "e 1 0 1000 1.5 1000",
        ),
        (
            {"retry_first": timedelta(hours=2), "retry_tries": 3},
            {"x-retry-first": 7_200_000, "x-retry-tries": 3},
            "e 3 0.1 7200000 2 7200000",
        ),
    ],
)
def test_a_policy_by_options_by_arguments_and_by_a_policy(
    options: Any, arguments: dict[str, FieldValue], read: str
) -> None:
    assert queue_arguments(None, options) == arguments
    assert queue_arguments(arguments, options) == arguments
    assert policy_of(arguments) == read
    definition = {key.removeprefix("x-"): value for key, value in arguments.items()}
    check(Policy("p", "q", definition))
    assert policy_of({}, {**definition}) == read
    assert policy_of({**arguments, "x-queue-type": "quorum"}) == read


def test_arguments_beat_a_policy_as_a_whole() -> None:
    definition: dict[str, object] = {"retry-first": 5, "retry-tries": 3, "retry-jitter": 1}
    assert policy_of({"x-retry-delays": [1]}, definition) == "d 2 0 1"
    assert policy_of({}) is None


@pytest.mark.parametrize(
    ("arguments", "at_fault", "says"),
    [
        ({"x-retry-first": 1}, "x-retry-first", "would never end"),
        ({"x-retry-first": 1, "x-retry-tries": 0}, "x-retry-tries", "an int from 1"),
        ({"x-retry-delays": [1], "x-retry-tries": 0}, "x-retry-tries", "an int from 1"),
        ({"x-retry-delays": [1], "x-retry-tries": -1}, "x-retry-tries", "an int from 1"),
        ({"x-retry-delays": [1], "x-retry-tries": 1.0}, "x-retry-tries", "an int from 1"),
        ({"x-retry-delays": [1], "x-retry-tries": True}, "x-retry-tries", "an int from 1"),
        ({"x-retry-delays": [1], "x-retry-tries": 1_000_001}, "x-retry-tries", "to 1000000"),
        ({"x-retry-delays": []}, "x-retry-delays", "1 to 100 ints"),
        ({"x-retry-delays": [1] * 101}, "x-retry-delays", "1 to 100 ints"),
        ({"x-retry-delays": [1, -1]}, "x-retry-delays", "49 days"),
        ({"x-retry-delays": [2**32]}, "x-retry-delays", "49 days"),
        ({"x-retry-delays": [1.5]}, "x-retry-delays", "ints"),
        ({"x-retry-delays": "1"}, "x-retry-delays", "a list"),
        ({"x-retry-delays": 1}, "x-retry-delays", "a list"),
        ({"x-retry-first": 0, "x-retry-tries": 2}, "x-retry-first", "from 1"),
        ({"x-retry-first": 2**32, "x-retry-tries": 2}, "x-retry-first", "49 days"),
        ({"x-retry-first": 1, "x-retry-tries": 2, "x-retry-factor": 0.9}, "x-retry-factor", "from 1 to 1000"),
        ({"x-retry-first": 1, "x-retry-tries": 2, "x-retry-factor": float("inf")}, "x-retry-factor", "to 1000"),
        ({"x-retry-first": 1, "x-retry-tries": 2, "x-retry-factor": True}, "x-retry-factor", "a number"),
        ({"x-retry-first": 9, "x-retry-tries": 2, "x-retry-longest": 8}, "x-retry-longest", "at least x-retry-first"),
        ({"x-retry-first": 1, "x-retry-tries": 2, "x-retry-longest": 2**32}, "x-retry-longest", "49 days"),
        ({"x-retry-delays": [1], "x-retry-jitter": 1.1}, "x-retry-jitter", "from 0 to 1"),
        ({"x-retry-delays": [1], "x-retry-jitter": -0.1}, "x-retry-jitter", "from 0 to 1"),
        ({"x-retry-delays": [1], "x-retry-first": 1, "x-retry-tries": 2}, "x-retry-first", "none beside"),
        ({"x-retry-delays": [1], "x-retry-factor": 2}, "x-retry-factor", "none beside"),
        ({"x-retry-tries": 2}, "x-retry-tries", "how long a message waits"),
        ({"x-retry-jitter": 1}, "x-retry-jitter", "how long a message waits"),
        ({"x-retry-delays": [1], "x-queue-type": "stream"}, "x-retry-delays", "none on a stream queue"),
    ],
)
def test_a_policy_that_cannot_end_or_makes_no_sense_is_refused(
    arguments: dict[str, FieldValue], at_fault: str, says: str
) -> None:
    with pytest.raises(PreconditionFailed, match=says) as caught:
        queue_arguments(arguments, name="orders")
    assert (caught.value.name, caught.value.argument, caught.value.current) == (
        "orders",
        at_fault,
        arguments[at_fault],
    )
    if "x-queue-type" not in arguments:
        definition = {key.removeprefix("x-"): value for key, value in arguments.items()}
        with pytest.raises(PreconditionFailed, match=says.replace("x-", "")) as caught:
            check(Policy("p", ".", definition))
        assert caught.value.argument == at_fault.removeprefix("x-")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retry_delays", [1]),
        ("retry_delays", "1s"),
        ("retry_delays", SECOND),
        ("retry_delays", [timedelta(microseconds=-1)]),
        ("retry_delays", [timedelta(days=50)]),
        ("retry_first", timedelta(0)),
        ("retry_first", 1),
        ("retry_longest", timedelta(days=50)),
    ],
)
def test_a_typed_time_has_its_range(option: str, value: Any) -> None:
    options: Any = {option: value}
    with pytest.raises(InvalidArgument) as caught:
        queue_arguments(None, options)
    assert caught.value.argument == option


def test_a_stream_is_not_what_a_policy_with_retries_is_about() -> None:
    policy = Policy("p", ".", {"retry-delays": [1]})
    assert not policy.matches(Queue("s", arguments={"x-queue-type": "stream"}))
    assert policy.matches(Queue("q"))


# --- the calls


def row(number: int) -> list[Any]:
    return [b"%d-0" % number, 1_700_000_000_000 + number, 2]


def test_what_waits_is_read_page_by_page_and_what_is_met_twice_counts_once() -> None:
    full = [value for number in range(PER_PAGE) for value in row(number)]
    calls, found = drive(protocol.waiting("q"), [full, row(PER_PAGE - 1) + row(PER_PAGE)])
    assert [call.args[1] for call in calls] == [0, PER_PAGE]
    assert [each.id for each in found] == [f"{number}-0" for number in range(PER_PAGE + 1)]
    assert found[1] == Waiting("1-0", datetime(2023, 11, 14, 22, 13, 20, 1000, tzinfo=UTC), 2)


def test_all_that_waits_is_sent_and_not_what_comes_to_wait_meanwhile() -> None:
    calls, sent = drive(protocol.retry_now("q", "s", None), [[100, 150], [100, 90], [50, 70]])
    assert [call.args[2] for call in calls] == [100, 100, 50]
    assert sent == 250


def test_ids_are_sent_in_pages() -> None:
    ids = [f"{number}-0" for number in range(PER_PAGE + 1)]
    calls, sent = drive(protocol.retry_now("q", "s", ids), [[60, 5], [1, 5]])
    assert [call.args[3:] for call in calls] == [tuple(ids[:PER_PAGE]), tuple(ids[PER_PAGE:])]
    assert sent == 61
    assert drive(protocol.retry_now("q", "s", []), []) == ([], 0)
