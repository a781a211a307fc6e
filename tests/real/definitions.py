"""Definition files (what RabbitMQ exports), read without rexchange, and what of them rexchange cannot have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FOLDER = DATA / "definitions"
FILES = sorted(FOLDER.glob("*.json")) if FOLDER.is_dir() else []
PREDECLARED = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
    "amq.rabbitmq.trace": "topic",
}
ELSEWHERE = {"x-federation-upstream"}
"""Types of exchanges in these files that only RabbitMQ has."""
LIMITS = {"x-expires", "x-max-age", "x-max-length", "x-message-ttl", "x-overflow"}
"""Arguments of queues in these files that may take messages away again."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What one file says of one vhost."""

    vhost: str
    exchanges: list[Row]
    queues: list[Row]
    bindings: list[Row]


def read(path: Path) -> list[Part]:
    """Read a file vhost by vhost; rows that name none are a vhost of their own."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    parts: dict[str, Part] = {vhost["name"]: Part(vhost["name"], [], [], []) for vhost in content.get("vhosts", [])}
    for kind in ("exchanges", "queues", "bindings"):
        for row in content.get(kind, []):
            name = row.get("vhost", "no vhost")
            part = parts.setdefault(name, Part(name, [], [], []))
            getattr(part, kind).append(row)
    return list(parts.values())


def is_reserved(queue: Row) -> bool:
    """Whether a client may not declare a queue of this name."""
    return str(queue["name"]).startswith("amq.")
