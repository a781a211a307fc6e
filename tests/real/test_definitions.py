"""Real topologies: declared, listed as they were written, routed as in RabbitMQ.

The little that rexchange does not have must be refused by name and never ignored; `pytest -rP` shows the counts.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rexchange import Broker, Message
from rexchange.errors import AccessRefused, NotFound, NotSupported, PreconditionFailed
from rexchange.topology import Exchange
from tests.real.definitions import ELSEWHERE, FILES, FOLDER, LIMITS, PREDECLARED, Part, Row, is_reserved, read
from tests.support.reference import Arrow, Router, topic_matches, words_of

pytestmark = pytest.mark.skipif(not FILES, reason="optional data, harmless: these files are not in the repository")
Open = Callable[[str], Broker]
by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)

KEYS_PER_BINDING = 6
KEYS_PER_EXCHANGE = 30


def arguments_of(row: Row) -> Row:
    return row.get("arguments") or {}


def canonical(arguments: Row) -> str:
    return json.dumps(arguments, sort_keys=True)


def declare_exchanges(broker: Broker, part: Part, refused: Counter[str]) -> dict[str, Exchange]:
    """Declare what can be; the rest must be refused by name."""
    declared: dict[str, Exchange] = {}
    for row in part.exchanges:
        name, kind = row["name"], row["type"]

        def declare(name: str = name, kind: str = kind, row: Row = row) -> Exchange:
            flags = {flag: row.get(flag, flag == "durable") for flag in ("durable", "auto_delete", "internal")}
            return broker.declare_exchange(name, kind, arguments=arguments_of(row), **flags)

        if kind not in ELSEWHERE:
            declared[name] = declare()
            continue
        with pytest.raises(NotSupported) as caught:
            declare()
        assert (caught.value.name, caught.value.argument, caught.value.wanted) == (name, "type", kind)
        refused[f"exchange type {kind}"] += 1
    return declared


def declare_queue(broker: Broker, row: Row, arguments: Row) -> None:
    flags = {flag: row.get(flag, flag == "durable") for flag in ("durable", "auto_delete")}
    broker.declare_queue(row["name"], arguments=arguments, **flags)


def declare_queues(broker: Broker, part: Part, refused: Counter[str]) -> set[str]:
    declared: set[str] = set()
    for row in part.queues:
        if is_reserved(row):
            with pytest.raises(AccessRefused):
                declare_queue(broker, row, arguments_of(row))
            refused["reserved name of a queue"] += 1
        else:
            declare_queue(broker, row, arguments_of(row))
            declared.add(row["name"])
    return declared


def bind_all(broker: Broker, part: Part, exchanges: set[str], queues: set[str], refused: Counter[str]) -> list[Row]:
    """Bind what can be; a binding from or to what is not declared must be NotFound and name it."""
    bound: list[Row] = []
    for row in part.bindings:
        source, destination = row["source"], row["destination"]
        is_queue = row["destination_type"] == "queue"
        target = destination if is_queue else Exchange(destination, "direct")
        missing = {source} - exchanges | {destination} - (queues if is_queue else exchanges)
        if not missing:
            broker.bind(target, source, row["routing_key"], arguments_of(row))
            bound.append(row)
            continue
        with pytest.raises(NotFound) as caught:
            broker.bind(target, source, row["routing_key"], arguments_of(row))
        assert caught.value.name in missing
        refused["binding from or to something undeclared"] += 1
    return bound


@by_name
def test_a_file_is_declared_and_listed(path: Path, open_broker: Open) -> None:
    refused: Counter[str] = Counter()
    done: Counter[str] = Counter()
    for part in read(path):
        broker = open_broker(part.vhost)
        exchanges = declare_exchanges(broker, part, refused)
        queues = declare_queues(broker, part, refused)
        bound = bind_all(broker, part, exchanges.keys() | PREDECLARED.keys(), queues, refused)
        assert_listed(broker, part, exchanges, queues, bound)
        done.update(exchanges=len(exchanges), queues=len(queues), bindings=len(bound))
    print(f"{path.name}: declared {dict(done)}, refused {dict(refused)}")  # noqa: T201 - for pytest -rP
    total = sum(len(part.exchanges) + len(part.queues) + len(part.bindings) for part in read(path))
    assert done.total() + refused.total() == total


def assert_listed(
    broker: Broker, part: Part, exchanges: dict[str, Exchange], queues: set[str], bound: list[Row]
) -> None:
    listed = {exchange.name: exchange for exchange in broker.exchanges()}
    assert listed.keys() == exchanges.keys() | PREDECLARED.keys()
    for row in part.exchanges:
        if row["name"] in exchanges:
            found = listed[row["name"]]
            assert (found.type, found.durable, found.auto_delete, found.internal, found.arguments) == (
                row["type"],
                row.get("durable", True),
                row.get("auto_delete", False),
                row.get("internal", False),
                arguments_of(row),
            )
    rows = {info.queue.name: info for info in broker.queues()}
    assert rows.keys() == queues
    for row in part.queues:
        if row["name"] in queues:
            info = rows[row["name"]]
            assert (info.queue.durable, info.queue.auto_delete) == (
                row.get("durable", True),
                row.get("auto_delete", False),
            )
            assert info.queue.arguments == arguments_of(row)
            assert (info.ready, info.unacked, info.consumers) == (0, 0, 0)
    wanted = {
        (row["source"], row["destination_type"], row["destination"], row["routing_key"], canonical(arguments_of(row)))
        for row in bound
    }
    found_bindings = [
        (each.source, each.destination_kind, each.destination, each.binding_key, canonical(dict(each.arguments)))
        for each in broker.bindings()
    ]
    assert set(found_bindings) == wanted
    assert len(found_bindings) == len(wanted), "a binding is listed twice"


# --- routing: queues are declared without what takes messages away again, so that every binding counts


def keys_for(chance: random.Random, key: str) -> list[str]:
    """Keys that a binding takes, and near misses."""
    words = words_of(key)

    def filled() -> str:
        return ".".join(
            part
            for part in (
                {"*": chance.choice(["x", "a-b", "é", "*"]), "#": chance.choice(["", "one", "one.two", "#"])}.get(
                    word, word
                )
                for word in words
            )
            if part or not words
        )

    near = [f"{key}.more", f"more.{key}", ".".join(words[:-1]), key.swapcase(), f"{key}.", key + "x"]
    return [key, filled(), filled(), *chance.sample(near, KEYS_PER_BINDING - 3)]


def headers_for(chance: random.Random, arguments: Row) -> Row:
    """Headers that a binding takes, or near misses."""
    headers = {key: value for key, value in arguments.items() if key != "x-match" and isinstance(value, str | int)}
    if headers and chance.random() < 0.5:
        headers[chance.choice(sorted(headers))] = "something else"
    return headers


def hashed_by(part: Part) -> dict[str, str]:
    """The exchanges that give a message to one of their queues, and by which header they choose."""
    return {
        row["name"]: arguments_of(row)["hash-header"] for row in part.exchanges if row["type"] == "x-consistent-hash"
    }


def kind_of(row: Row) -> str:
    """The type by which an exchange routes: one that delays has a second one, and here nothing is delayed."""
    kind: str = row["type"]
    if kind == "x-consistent-hash":
        return "fanout"  # to one destination, which stands for all of its queues
    return str(arguments_of(row)["x-delayed-type"]) if kind == "x-delayed-message" else kind


def messages_for(part: Part, router: Router, internal: set[str]) -> list[Message]:
    chance = random.Random(f"{part.vhost} {len(part.bindings)}")
    messages: list[Message] = []
    hashed = hashed_by(part)
    for exchange in router.exchanges:
        arrows = [arrow for arrow in router.arrows if arrow.source == exchange]
        if exchange in internal or not (arrows or exchange not in PREDECLARED):
            continue
        drawn = [(key, headers_for(chance, arrow.arguments)) for arrow in arrows for key in keys_for(chance, arrow.key)]
        if exchange in hashed:
            drawn = [(key, {hashed[exchange]: f"{at}"}) for at, (key, _) in enumerate(drawn)]
        chance.shuffle(drawn)
        messages += [
            Message(b"%d" % at, exchange=exchange, routing_key=key, headers=headers)
            for at, (key, headers) in enumerate([*drawn[:KEYS_PER_EXCHANGE], ("no.such.key", {})])
            if len(key.encode()) <= 255
        ]
    return messages


def declared_for_routing(broker: Broker, part: Part) -> tuple[Router, set[str], dict[str, str]]:
    """Declare; return the router, the exchanges that are internal, and the queues of which one stands for all."""
    refused: Counter[str] = Counter()
    exchanges = declare_exchanges(broker, part, refused)
    queues: set[str] = set()
    for row in part.queues:
        if not is_reserved(row):
            kept = {name: value for name, value in arguments_of(row).items() if name not in LIMITS}
            declare_queue(broker, row, kept)
            queues.add(row["name"])
    bound = bind_all(broker, part, exchanges.keys() | PREDECLARED.keys(), queues, refused)
    known: dict[str, tuple[str, str | None]] = {name: (kind, None) for name, kind in PREDECLARED.items()}
    known |= {
        row["name"]: (kind_of(row), arguments_of(row).get("alternate-exchange"))
        for row in part.exchanges
        if row["name"] in exchanges
    }
    hashed = hashed_by(part)
    chosen = {row["destination"]: f"one of {row['source']}" for row in bound if row["source"] in hashed}
    arrows = [
        Arrow(
            row["source"],
            row["destination_type"] == "queue",
            chosen[row["destination"]] if row["source"] in hashed else row["destination"],
            row["routing_key"],
            arguments_of(row),
        )
        for row in bound
    ]
    internal = {row["name"] for row in part.exchanges if row.get("internal")} | {"amq.rabbitmq.trace"}
    return Router(known, queues, arrows), internal, chosen


@by_name
def test_messages_go_where_an_independent_router_says(path: Path, open_broker: Open) -> None:
    for part in read(path):
        broker = open_broker(part.vhost)
        router, internal, chosen = declared_for_routing(broker, part)
        messages = messages_for(part, router, internal)
        expected = [router.route(each.exchange, each.routing_key, each.headers) for each in messages]
        counts: list[int] = []
        for start in range(0, len(messages), 200):
            counts += broker.publish_many(messages[start : start + 200])
        assert counts == [len(queues) for queues in expected]
        held = Counter(queue for queues in expected for queue in queues)
        ready = {info.queue.name: info.ready for info in broker.queues()}
        assert ready.keys() == router.queues
        assert {queue: count for queue, count in ready.items() if queue not in chosen} == {
            queue: held[queue] for queue in router.queues - chosen.keys()
        }
        for group in {*chosen.values()}:
            counts = [ready[queue] for queue, one in chosen.items() if one == group]
            assert all(counts)
            assert sum(counts) == held[group]


def test_an_internal_exchange_of_a_file_takes_no_publish(open_broker: Open) -> None:
    internal = [
        (part.vhost, row)
        for path in FILES
        for part in read(path)
        for row in part.exchanges
        if row.get("internal") and row["type"] not in ELSEWHERE
    ]
    assert internal
    for vhost, row in internal:
        broker = open_broker(vhost)
        broker.declare_exchange(row["name"], row["type"], internal=True)
        with pytest.raises(AccessRefused):
            broker.publish(b"", exchange=row["name"])


def test_the_router_of_these_tests_knows_rabbitmqs_own_rows() -> None:
    rows = [
        ("", "", True), ("", ".", False), ("#", "", True), ("#", "..", True), ("*", "", False), ("*.*", ".", True),
        ("*.#", "", False), ("#.*.#", "a", True), ("a.#", "a", True), ("a.#", "ab", False), ("#.a", "a.", False),
        ("a.*", "a.", True), ("a.*.b", "a.b", False), ("a.#.b", "a.b.b", True), ("a.#.b", "a.b.c", False),
        ("a.#.*", "a", False), ("#.b.#", "a.bb.c", False), ("a*", "ab", False), ("##", "a", False), ("*", "#", True),
        ("#.#.#", "a", True), (".#", "", False), (".#", ".x", True),
    ]  # fmt: skip
    assert [topic_matches(pattern, key) for pattern, key, _ in rows] == [wanted for *_, wanted in rows]


# --- bad input


BAD = sorted((FOLDER / "bad-input").glob("*.json"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_input_gives_typed_errors(path: Path, open_broker: Open) -> None:
    try:
        (part,) = read(path)
    except json.JSONDecodeError:
        assert "trailing-comma" in path.stem
        return
    broker = open_broker(part.vhost)
    for row in part.queues:
        with pytest.raises(AccessRefused) as refused:
            declare_queue(broker, row, arguments_of(row))
        assert refused.value.name == row["name"]
    for row in part.exchanges:
        with pytest.raises(PreconditionFailed) as failed:
            broker.declare_exchange(row["name"], row["type"])
        assert (failed.value.name, failed.value.argument, failed.value.current) == (row["name"], "type", row["type"])
    assert broker.queues() == []
    assert {exchange.name for exchange in broker.exchanges()} == PREDECLARED.keys()
