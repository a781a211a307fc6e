"""Every definitions file, made on both: 200 messages go to the same queues, and the queues then hold the same.

RabbitMQ's side is made from the JSON, without rexchange. Left out on both: exchange types that this RabbitMQ has not,
and what would make the outcome a matter of time (TTLs) or of one side alone (queues that no client may declare).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pika
import pytest
from pika.exceptions import NackError, UnroutableError

from rexchange import Broker, errors
from tests.differential.compare import Both
from tests.differential.rabbitmq import Client
from tests.real.definitions import FILES, Part, is_reserved, read

pytestmark = [pytest.mark.differential, pytest.mark.timeout(120)]

MESSAGES = 200
TYPES = ("direct", "fanout", "topic", "headers")
#: What ends by itself, and what only a cluster or a stream of RabbitMQ's has.
LEFT_OUT = {"x-message-ttl", "x-expires", "x-max-age", "x-queue-master-locator"}
WORDS = ("a", "orders", "created", "eu", "42", "")


def comparable(part: Part) -> Part:
    """Return what of it both can make, and what does not depend on time."""
    exchanges = [row for row in part.exchanges if row["type"] in TYPES and not row["name"].startswith("amq.")]
    names = {row["name"] for row in exchanges} | {"amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"}
    queues = [
        {**row, "arguments": {key: value for key, value in row.get("arguments", {}).items() if key not in LEFT_OUT}}
        for row in part.queues
        if not is_reserved(row) and row.get("arguments", {}).get("x-queue-type") != "stream"
    ]
    ends = {"queue": {row["name"] for row in queues}, "exchange": names}
    bindings = [
        row
        for row in part.bindings
        if row["source"] in names and row["destination"] in ends[row.get("destination_type", "queue")]
    ]
    return replace(part, exchanges=exchanges, queues=queues, bindings=bindings)


class Theirs:
    """RabbitMQ's side of one part."""

    def __init__(self, vhost: str) -> None:
        self.client = Client(vhost)

    def make(self, part: Part) -> None:
        desk = self.client.desk
        for row in part.exchanges:
            desk.exchange_declare(
                row["name"],
                row["type"],
                durable=row.get("durable", True),
                auto_delete=row.get("auto_delete", False),
                internal=row.get("internal", False),
                arguments=row.get("arguments", {}),
            )
        for row in part.queues:
            desk.queue_declare(
                row["name"],
                durable=row.get("durable", True),
                auto_delete=row.get("auto_delete", False),
                arguments=row["arguments"],
            )
        for row in part.bindings:
            bind = desk.queue_bind if row.get("destination_type", "queue") == "queue" else desk.exchange_bind
            bind(row["destination"], row["source"], row["routing_key"], row.get("arguments", {}))

    def publish(self, exchange: str, key: str, body: bytes) -> None:
        with suppress(UnroutableError, NackError):
            self.client.desk.basic_publish(exchange, key, body, pika.BasicProperties())

    def contents(self, queue: str) -> list[bytes]:
        found: list[bytes] = []
        while True:
            method, _, body = self.client.desk.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(body)

    def clean(self, part: Part) -> None:
        for row in part.queues:
            self.client.desk.queue_delete(row["name"])
        for row in part.exchanges:
            self.client.desk.exchange_delete(row["name"])


def ours(broker: Broker, part: Part) -> None:
    """Make it by importing it."""
    broker.import_definitions(
        {
            kind: [{key: value for key, value in row.items() if key != "vhost"} for row in getattr(part, kind)]
            for kind in ("exchanges", "queues", "bindings")
        }
    )


def contents(broker: Broker, queue: str) -> list[bytes]:
    found: list[bytes] = []
    while (delivery := broker.get(queue)) is not None:
        found.append(delivery.body)
    return found


def keys(part: Part, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Draw exchanges and keys: those that a binding wants, those that it just does not, and names of queues."""
    sources = [row["name"] for row in part.exchanges if not row.get("internal")] + ["", "amq.topic"]
    wanted = [row for row in part.bindings if row["source"] in sources]
    for _ in range(MESSAGES):
        if wanted and chance.random() < 0.8:
            row = chance.choice(wanted)
            yield row["source"], _near(_drawn(row["routing_key"], chance), chance)
        else:
            names = [queue["name"] for queue in part.queues] or ["none"]
            yield chance.choice(sources), _near(chance.choice(names), chance)


def _drawn(pattern: str, chance: random.Random) -> str:
    words: list[str] = []
    for word in pattern.split("."):
        count = {"*": 1, "#": chance.randrange(3)}.get(word)
        words += [word] if count is None else [chance.choice(WORDS) for _ in range(count)]
    return ".".join(words)


def _near(key: str, chance: random.Random) -> str:
    return chance.choice([key, key, key, f"{key}.x", key.upper(), key[:-1], f".{key}", key.replace(".", "", 1)])


@pytest.mark.skipif(not FILES, reason="optional data, harmless: no definitions files beside the project")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_routes_and_holds_the_same_on_both(path: Any, pair: Both) -> None:
    chance = random.Random(path.stem)
    for number, whole in enumerate(read(path)):
        part = comparable(whole)
        theirs = Theirs(pair.theirs.vhost)
        with Broker(pair.ours.url, vhost=f"file-{path.stem}-{number}") as broker:
            try:
                theirs.make(part)
                ours(broker, part)
                _compare(part, theirs, broker, chance)
            finally:
                theirs.clean(part)
                theirs.client.close()
        pair.ours.broker().delete_vhost(f"file-{path.stem}-{number}")


def _compare(part: Part, theirs: Theirs, broker: Broker, chance: random.Random) -> None:
    sent: list[tuple[str, str]] = []
    for number, (exchange, key) in enumerate(keys(part, chance)):
        body = b"%d" % number
        theirs.publish(exchange, key, body)
        with suppress(errors.PublishRefused):
            broker.publish(body, exchange=exchange, routing_key=key)
        sent.append((exchange, key))
    for row in part.queues:
        mine, others = contents(broker, row["name"]), theirs.contents(row["name"])
        differing = sorted({*mine} ^ {*others})
        assert mine == others, f"{row['name']}: {[(body, sent[int(body)]) for body in differing]}"
