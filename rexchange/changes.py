"""What of a queue or an exchange can change while it is there, and by what a change is asked for.

What decides how messages are stored or who may have them cannot: those in it were stored by the old rule. Everything
else can, also arguments that nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from rexchange.arguments import ALTERNATE_EXCHANGE, DELAYED_TYPE, OPTION_NAMES, option_value, same_value
from rexchange.codec import FieldValue, Table
from rexchange.errors import InvalidArgument, PreconditionFailed

Kind = Literal["queue", "exchange"]
QUEUE_TYPE = "x-queue-type"
FIXED: Mapping[str, str] = {
    "type": "its bindings are stored for that type",
    DELAYED_TYPE: "its bindings are stored for that type",
    "durable": "AMQP gives it to it for its life",
    "internal": "publishers and bindings rely on it",
    "auto_delete": "it was made to go, or to stay, when nobody uses it",
    "exclusive": "it belongs to the session that declared it",
    QUEUE_TYPE: "what it holds is stored for that type",
    "x-max-priority": "what it holds is sorted by it",
    "x-single-active-consumer": "its consumers came under the other rule",
}
"""What cannot change, and why."""
_FLAGS = {"queue": ("durable", "exclusive", "auto_delete"), "exchange": ("type", "durable", "auto_delete", "internal")}


@dataclass(frozen=True, slots=True)
class Change:
    """One argument that changed: its value before and after, None where it is not there."""

    argument: str
    before: FieldValue
    after: FieldValue


def given(arguments: Table | None, options: Mapping[str, object]) -> dict[str, FieldValue]:
    """Return what the caller of `update_queue` asks for, by argument or flag; None takes one away.

    Raises InvalidArgument: an option that nobody knows, one that contradicts its raw form.
    """
    asked = _own(arguments)
    for option, value in options.items():
        if option in _FLAGS["queue"]:
            _add(asked, option, option, cast("FieldValue", value))
        elif option in OPTION_NAMES:
            _add(asked, option, OPTION_NAMES[option], None if value is None else option_value(option, value))
        else:
            raise InvalidArgument("option", option, f"one of {', '.join(sorted(OPTION_NAMES))}")
    return asked


def given_for_exchange(arguments: Table | None, options: Mapping[str, str | None]) -> dict[str, FieldValue]:
    """Return what the caller of `update_exchange` asks for, as `given`."""
    asked = _own(arguments)
    for option, value in options.items():
        _add(asked, option, ALTERNATE_EXCHANGE, value)
    return asked


def _own(arguments: object) -> dict[str, FieldValue]:
    if arguments is not None and not isinstance(arguments, Mapping):
        raise InvalidArgument("arguments", arguments, "a dict")
    return dict(cast("Table", arguments or {}))


def _add(asked: dict[str, FieldValue], option: str, argument: str, value: FieldValue) -> None:
    if argument in asked and not same_value(asked[argument], value):
        raise InvalidArgument(option, value, f"the same as {argument} in arguments ({asked[argument]!r}), or one")
    asked[argument] = value


def merged(arguments: Table, asked: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """Return the arguments as they are to be."""
    after = {**arguments, **asked}
    return {argument: value for argument, value in after.items() if value is not None or argument not in asked}


def difference(before: Table, after: Table) -> tuple[Change, ...]:
    """Return what differs, in the order of the names; "x" is the same as b"x", a classic queue as one of no type."""
    changes: list[Change] = []
    for argument in sorted(before.keys() | after.keys()):
        default = "classic" if argument == QUEUE_TYPE else None
        here, there = before.get(argument, default), after.get(argument, default)
        if not same_value(here, there):
            changes.append(Change(argument, here, there))
    return tuple(changes)


def check_flags(kind: Kind, name: str, values: Mapping[str, object], asked: Mapping[str, FieldValue]) -> None:
    """Raise PreconditionFailed where a flag is asked for that is another one there: `values`, by name."""
    for flag in _FLAGS[kind]:
        if flag in asked and asked[flag] != values[flag]:
            raise cannot(kind, name, flag, values[flag], asked[flag])


def flags_off(asked: Mapping[str, FieldValue], kind: Kind) -> dict[str, FieldValue]:
    """Return what is asked for without the flags, which are no arguments."""
    return {argument: value for argument, value in asked.items() if argument not in _FLAGS[kind]}


def check(kind: Kind, name: str, changes: tuple[Change, ...]) -> None:
    """Raise PreconditionFailed where something is to change that cannot."""
    for change in changes:
        if change.argument in FIXED:
            raise cannot(kind, name, change.argument, change.before, change.after)


def cannot(kind: Kind, name: str, argument: str, current: object, wanted: object) -> PreconditionFailed:
    """Return the error of a change that cannot be: why, and what to do instead."""
    move = ", move its messages there" if kind == "queue" else ""
    message = (
        f"{kind} {name!r}: {argument} is {current!r:.80} and cannot become {wanted!r:.80}, since {FIXED[argument]}: "
        f"declare another {kind} with {wanted!r:.80}, bind it as this one is{move}, and delete this one"
    )
    return PreconditionFailed(message, kind=kind, name=name, argument=argument, current=current, wanted=wanted)


def method(kind: str, name: str, argument: str) -> str:
    """Return the call that changes an argument, empty where none does."""
    if argument in FIXED:
        return ""
    if kind == "exchange":
        option = "alternate_exchange=..." if argument == ALTERNATE_EXCHANGE else "arguments=..."
        return f"broker.update_exchange({name!r}, {option})"
    option = next((option for option, of in OPTION_NAMES.items() if of == argument), "arguments")
    return f"broker.update_queue({name!r}, {option}=...)"
