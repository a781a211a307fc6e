"""The retry policy of a queue: how long a message waits between its tries, and how many it has.

Given by arguments (``x-retry-…``) or by a policy (the same keys without ``x-``). Either a list of delays, or one that
grows; an end there always is. What scripts read of it is one text (lua/lib/retries.lua): ``d <tries> <jitter>`` and the
delays, or ``e <tries> <jitter> <first> <factor> <longest>``, times in ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

LONGEST_MS = 0xFFFF_FFFF
"""49 days, as for the other timers."""
MOST_TRIES = 1_000_000
MOST_DELAYS = 100
DEFAULT_FACTOR = 2
DEFAULT_LONGEST_MS = 3_600_000
DEFAULT_JITTER = 0.1
"""Of delays that grow; those of a list are kept to the ms where nothing is said."""

KEYS = ("retry-delays", "retry-first", "retry-factor", "retry-longest", "retry-tries", "retry-jitter")
"""The keys of a policy's definition; as arguments they begin with x-."""
_GROWING = ("retry-first", "retry-factor", "retry-longest")


def _is_ms(value: object, least: int = 0) -> bool:
    return type(value) is int and least <= value <= LONGEST_MS


def _is_delays(value: object) -> bool:
    if not isinstance(value, list | tuple):
        return False
    delays = cast("Sequence[object]", value)
    return 0 < len(delays) <= MOST_DELAYS and all(map(_is_ms, delays))


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "retry-delays": (f"a list of 1 to {MOST_DELAYS} ints of ms, each from 0 to {LONGEST_MS} (49 days)", _is_delays),
    "retry-first": (f"an int of ms, from 1 to {LONGEST_MS} (49 days)", lambda value: _is_ms(value, 1)),
    "retry-factor": ("a number from 1 to 1000", lambda value: _is_number(value, 1, 1000)),
    "retry-longest": (f"an int of ms, from 1 to {LONGEST_MS} (49 days)", lambda value: _is_ms(value, 1)),
    "retry-tries": (
        f"an int from 1 to {MOST_TRIES}",
        lambda value: type(value) is int and 1 <= value <= MOST_TRIES,
    ),
    "retry-jitter": ("a number from 0 to 1, the share of the delay", lambda value: _is_number(value, 0, 1)),
}
"""What each may be, in words and as a test."""


def fault(values: Mapping[str, object], prefix: str = "") -> tuple[str, object, str] | None:
    """Return what is wrong where each value by itself is legal: the key, its value, and what to give; None: nothing."""
    given = {key: values[f"{prefix}{key}"] for key in KEYS if f"{prefix}{key}" in values}
    if not given:
        return None
    delays, first, tries = (f"{prefix}{key}" for key in ("retry-delays", "retry-first", "retry-tries"))
    grows = next((key for key in _GROWING if key in given), None)
    if "retry-delays" in given and grows is not None:
        return f"{prefix}{grows}", given[grows], f"none beside {delays}: delays are a list, or they grow"
    if "retry-delays" not in given and "retry-first" not in given:
        key = next(iter(given))
        return f"{prefix}{key}", given[key], f"{delays} or {first} too: they say how long a message waits"
    if "retry-first" in given and "retry-tries" not in given:
        return first, given["retry-first"], f"{tries} too: without it the policy would never end"
    longest, least = given.get("retry-longest"), given.get("retry-first")
    if isinstance(longest, int) and isinstance(least, int) and longest < least:
        return f"{prefix}retry-longest", longest, f"at least {first} ({least})"
    return None


def of_queue(arguments: Mapping[str, object], definition: Mapping[str, object]) -> str | None:
    """Return what scripts read of the policy of a queue; its arguments beat what a policy defines, as a whole."""
    own = {key: arguments[f"x-{key}"] for key in KEYS if f"x-{key}" in arguments}
    values = own or definition
    delays, tries = values.get("retry-delays"), values.get("retry-tries")
    if isinstance(delays, list | tuple):
        numbers = [*cast("Sequence[int]", delays)]
        return " ".join(map(str, ["d", tries or len(numbers) + 1, values.get("retry-jitter", 0), *numbers]))
    first = values.get("retry-first")
    if not isinstance(first, int):
        return None
    longest = values.get("retry-longest", max(DEFAULT_LONGEST_MS, first))
    jitter, factor = values.get("retry-jitter", DEFAULT_JITTER), values.get("retry-factor", DEFAULT_FACTOR)
    return " ".join(map(str, ["e", tries, jitter, first, factor, longest]))
