"""Runs a plan of the protocol on replies that the test wrote down."""

from typing import Any

from rexchange.protocol.call import Call, Plan


def drive(plan: Plan[Any], replies: list[Any]) -> tuple[list[Call[Any]], Any]:
    """Run a plan on raw replies; return the calls it made and its result. Each reply is asked for, and no more."""
    calls: list[Call[Any]] = []
    answers = list(replies)
    try:
        call = next(plan)
        while True:
            calls.append(call)
            assert answers, f"the plan made a call too many: {call.args}"
            call = plan.send(call.decode(answers.pop(0)))
    except StopIteration as stop:
        assert answers == [], "the plan ended before its replies did"
        return calls, stop.value
