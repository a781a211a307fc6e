"""The budgets of the design that need peers, from figures of the rounds that all contestants ran in turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Named as in tests/bench/budgets, which measures the same by pairs: name, what, ours, other, phase, budget.
_BUDGETS = (
    ("through-pika", "end to end over pika + RabbitMQ", "rexchange", "pika", "through_200", 15),
    ("through-kombu", "end to end over kombu on the same Redis", "rexchange", "kombu-redis", "through_200", 50),
    ("awaited-aio-pika", "awaited confirmed publishes, 100 at a time, over aio-pika", "rexchange-async",
     "aio-pika-confirm", "publish", 10),
)  # fmt: skip
NEEDED = tuple(name for row in _BUDGETS for name in row[2:4])


def rows(contestants: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each budget; one whose contestant did not run is missing, with the reason."""
    found: list[dict[str, Any]] = []
    for name, what, ours, other, phase, budget in _BUDGETS:
        row: dict[str, Any] = {"name": name, "what": what, "unit": "messages a second", "budget": budget}
        row["better"] = "higher"
        absent = [each for each in (ours, other) if phase not in contestants.get(each, {})]
        if absent:
            why = [f"{each}: {contestants.get(each, {}).get('missing', 'it was not run')}" for each in absent]
            found.append({**row, "verdict": "missing", "why": "; ".join(why)})
            continue
        mine, theirs = (contestants[each][phase]["rate"]["median"] for each in (ours, other))
        ratio = mine / theirs
        verdict = "pass" if ratio >= budget else "short"
        found.append({**row, "ours": mine, "other": theirs, "ratio": round(ratio, 2), "verdict": verdict})
    return found
