"""Arguments of a wrong type, refused before anything is sent: a text "false" is true, and NaN is no time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from rexchange.errors import InvalidArgument

_LONGEST_S = 1e9
"""30 years: threads cannot wait for much longer."""


def check_flags(**flags: object) -> None:
    """Refuse what is no bool: the text "false" would mean True."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InvalidArgument(name, value, "True or False")


def check_seconds(name: str, value: object) -> float:
    """Return a time as seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= _LONGEST_S:
        return seconds
    raise InvalidArgument(name, value, "seconds, at least 0, as a number or a timedelta")


def check_optional_seconds(name: str, value: object) -> float | None:
    """Return a time as seconds, or None where there is none."""
    return None if value is None else check_seconds(name, value)


def check_tag(value: object) -> None:
    """Refuse what is no delivery tag."""
    if type(value) is not int:
        raise InvalidArgument("tag", value, "an int: the delivery_tag of a delivery")


def check_arguments(value: object) -> None:
    """Refuse x-arguments that are no mapping."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidArgument("arguments", value, "a dict of x-arguments, or None")
