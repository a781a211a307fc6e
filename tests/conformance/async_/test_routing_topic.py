"""Topic exchanges (docs/semantics.md, Exchanges; every row was seen on a live RabbitMQ)."""

from __future__ import annotations

from itertools import groupby

from rexchange import AsyncBroker

VECTORS = """
(empty)|(empty)|1 (empty)|a|0 (empty)|.|0 #|(empty)|1 #|a|1 #|a.b.c|1 #|.|1 #|..|1 *|(empty)|0 *|a|1 *|a.b|0 *|.|0
*.*|(empty)|0 *.*|.|1 *.*|a.b|1 *.*|a|0 *.*|a.|1 *.*|.a|1 *.*|..|0 *.#|(empty)|0 *.#|a|1 *.#|a.b|1 *.#|.|1
#.*|(empty)|0 #.*|a|1 #.*|a.b|1 #.#|(empty)|1 #.#|a|1 #.*.#|(empty)|0 #.*.#|a|1 #.*.#|a.b.c|1 a.#|a|1 a.#|a.|1
a.#|a.b.c|1 a.#|ab|0 a.#|.a|0 #.a|a|1 #.a|.a|1 #.a|b.c.a|1 #.a|a.|0 a.*|a|0 a.*|a.|1 a.*|a.b|1 a.*|a.b.c|0 *.a|.a|1
*.a|a|0 a.*.b|a.b|0 a.*.b|a..b|1 a.*.b|a.x.b|1 a..b|a..b|1 a..b|a.b|0 a..b|a.x.b|0 a.#.b|a.b|1 a.#.b|a..b|1
a.#.b|a.x.y.b|1 a.#.b|a.b.b|1 a.#.b|a.b.c|0 a.#.*|a|0 a.#.*|a.b|1 a.#.#|a|1 #.b.#|b|1 #.b.#|a.b|1 #.b.#|a.bb.c|0
a.|a.|1 a.|a|0 .a|.a|1 .a|a|0 .|.|1 .|(empty)|0 .#|(empty)|0 .#|.|1 .#|.x|1 .#|x|0 .*|.|1 .*|.x|1 .*|x|0 a*|a*|1
a*|ab|0 a#|a#|1 a#|abc|0 ##|##|1 ##|a|0 **|a|0 **|a.b|0 #a|xa|0 a.b|A.B|0 a.b|a.*|0 a.*|a.*|1 a.*|a.#|1 *|#|1 #|#|1
a~b.c|a~b.c|1 a-b.*|a-b.c_d|1 a/b|a/b|1 a.é.*|a.é.ü|1 *.*.*|a.b|0 *.stock.#|usd.stock|1 *.stock.#|eur.stock.db|1
*.stock.#|stock.nasdaq|0 #.#.#|a|1 this.*.rules|*.queue.rules|0 *.for.*|carrots.for.power|1
simply#carrots|simplycarrots|0
"""


def vectors() -> list[tuple[str, str, bool]]:
    """Return (binding key, routing key, whether they match); ~ stands for a space."""
    rows = (row.replace("(empty)", "").replace("~", " ").split("|") for row in VECTORS.split())
    return [(pattern, key, expected == "1") for pattern, key, expected in rows]


async def test_every_vector_matches_as_in_rabbitmq(broker: AsyncBroker) -> None:
    assert len(vectors()) == 103
    wrong: list[tuple[str, str, bool]] = []
    await broker.declare_queue("q")

    for pattern, rows in groupby(vectors(), key=lambda row: row[0]):
        await broker.bind("q", "amq.topic", pattern)
        for _, key, expected in rows:
            reached = [
                await broker.publish(b"", exchange="amq.topic", routing_key=key),  # fills the cache
                await broker.publish(b"", exchange="amq.topic", routing_key=key),  # from the cache
                len(await broker.route("amq.topic", key)),
            ]
            if reached != [int(expected)] * 3:
                wrong.append((pattern, key, expected))
        await broker.unbind("q", "amq.topic", pattern)

    assert wrong == []


async def test_all_patterns_at_once_reach_just_the_queues_whose_pattern_matches(broker: AsyncBroker) -> None:
    patterns = sorted({pattern for pattern, _, _ in vectors()})
    names = {pattern: f"q{number:03}" for number, pattern in enumerate(patterns)}
    for pattern, name in names.items():
        await broker.declare_queue(name)
        await broker.bind(name, "amq.topic", pattern)

    for pattern, key, expected in vectors():
        assert (names[pattern] in await broker.route("amq.topic", key)) is expected, (pattern, key)


async def test_unbinding_prunes_only_what_leads_nowhere(broker: AsyncBroker) -> None:
    keys = ["a", "a.b", "a.b.c", "a.*", "a.#", "#"]
    await broker.declare_queue("q")
    for key in keys:
        await broker.declare_queue(f"to {key}")
        await broker.bind(f"to {key}", "amq.topic", key)

    for position, key in enumerate(keys):
        await broker.unbind(f"to {key}", "amq.topic", key)
        left = keys[position + 1 :]
        assert await broker.route("amq.topic", "a.b.c") == sorted(f"to {k}" for k in left if k in ("a.b.c", "a.#", "#"))
        assert await broker.route("amq.topic", "a") == sorted(f"to {k}" for k in left if k in ("a", "a.#", "#"))

    assert await broker.bindings() == []


async def test_a_new_binding_counts_for_a_key_that_is_cached(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.declare_queue("later")
    await broker.bind("q", "amq.topic", "a.*")
    assert await broker.publish(b"", exchange="amq.topic", routing_key="a.b") == 1

    await broker.bind("later", "amq.topic", "#.b")

    assert await broker.publish(b"", exchange="amq.topic", routing_key="a.b") == 2


async def test_the_empty_key_does_not_leak_into_other_exchanges(broker: AsyncBroker) -> None:
    await broker.declare_exchange("one", "topic")
    await broker.declare_exchange("two", "topic")
    await broker.declare_queue("q")
    await broker.bind("q", "one", "")

    assert await broker.route("one", "") == ["q"]
    assert await broker.route("two", "") == []


async def test_fifteen_hashes_against_thirty_words_take_no_time(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.bind("q", "amq.topic", ".".join(["#"] * 15))
    await broker.bind("q", "amq.topic", ".".join(["#", "a"] * 15))

    assert await broker.publish(b"", exchange="amq.topic", routing_key=".".join("a" * 31)) == 1
    assert await broker.publish(b"", exchange="amq.topic", routing_key=".".join("b" * 100)) == 1


async def test_a_key_of_127_levels_is_matched(broker: AsyncBroker) -> None:
    key = ".".join("a" * 128)
    await broker.declare_queue("q")
    await broker.bind("q", "amq.topic", key)

    assert len(key) == 255
    assert await broker.route("amq.topic", key) == ["q"]
    assert await broker.route("amq.topic", key[:-2]) == []
