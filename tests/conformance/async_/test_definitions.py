"""Definitions: imported whole or not at all, exported, and nothing is lost on the way round."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rexchange import AsyncBroker, Policy
from rexchange._async import definitions as importer
from rexchange.codec import Table
from rexchange.errors import DefinitionsError, InvalidArgument, NotFound, PreconditionFailed
from rexchange.keyspace import Keys
from rexchange.policies import check
from rexchange.testing import async_drain
from rexchange.topology import PREDECLARED
from tests.conformance.async_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare

SHOP: dict[str, Any] = {
    "rabbitmq_version": "3.13.0",
    "users": [{"name": "guest", "password_hash": "x"}],
    "exchanges": [
        {"name": "events", "type": "topic", "arguments": {"alternate-exchange": "rest"}},
        {"name": "rest", "type": "fanout", "internal": True, "durable": False},
        {"name": "later", "type": "x-delayed-message", "arguments": {"x-delayed-type": "direct"}},
    ],
    "policies": [{"name": "short", "pattern": "^mail", "definition": {"max-length": 2}, "apply-to": "queues"}],
    "queues": [
        {"name": "mail", "arguments": {"x-message-ttl": 60_000, "x-dead-letter-exchange": "rest"}},
        {"name": "audit", "durable": False, "auto_delete": True, "arguments": {"x-queue-mode": "lazy"}},
        {"name": "log", "arguments": {"x-queue-type": "stream", "x-max-age": "7D"}},
    ],
    "bindings": [
        {"source": "events", "destination": "mail", "destination_type": "queue", "routing_key": "user.*.created"},
        {"source": "events", "destination": "rest", "destination_type": "exchange", "routing_key": "audit.#"},
        {"source": "rest", "destination": "audit", "destination_type": "queue", "arguments": {"note": [1, None]}},
        {"source": "amq.headers", "destination": "log", "destination_type": "queue", "arguments": {"x-match": "any"}},
        {"source": "", "destination": "mail", "destination_type": "queue", "routing_key": "mail"},
    ],
}


@pytest.fixture
async def other(vhost: str, ask: Bare) -> AsyncIterator[str]:
    """Yield the name of another vhost that is not there yet; what becomes of it is removed."""
    name = f"{vhost}-other"
    yield name
    for key in ask.keys(Keys(name.encode()).prefix):
        ask("UNLINK", key)


async def names(broker: AsyncBroker) -> tuple[set[str], set[str]]:
    """Return the exchanges that were declared, and the queues."""
    exchanges = {exchange.name for exchange in await broker.exchanges()} - PREDECLARED.keys()
    return exchanges, {info.name for info in await broker.queues()}


# --- import


async def test_everything_is_made_and_works(broker: AsyncBroker) -> None:
    plan = await broker.import_definitions(SHOP)

    assert plan.counts == {"same": 1, "create": 11, "skipped": 2}
    assert await names(broker) == ({"events", "rest", "later"}, {"mail", "audit", "log"})
    assert await broker.route("events", "user.1.created") == ["mail"]
    assert await broker.route("events", "audit.x") == ["audit"]
    assert await broker.route("events", "nothing") == ["audit"], "by the alternate exchange"
    for number in range(3):
        await broker.publish(b"%d" % number, exchange="events", routing_key="user.1.created")
    assert [delivery.body for delivery in await async_drain(broker, "mail")] == [b"1", b"2"], "the policy's limit"
    assert [delivery.headers["x-death"][0]["reason"] for delivery in await async_drain(broker, "audit")] == ["maxlen"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize("form", ["text", "bytes", "path"])
async def test_it_comes_as_text_bytes_or_a_file(broker: AsyncBroker, tmp_path: Path, form: str) -> None:
    text = json.dumps(SHOP)
    path = tmp_path / "shop.json"
    path.write_text(text)

    sources: dict[str, Any] = {"text": text, "bytes": text.encode(), "path": path}
    plan = await broker.import_definitions(sources[form])

    assert plan.counts["create"] == 11
    assert plan.file == (str(path) if form == "path" else "")


async def test_again_it_does_nothing(broker: AsyncBroker) -> None:
    await broker.import_definitions(SHOP)
    before = await broker.export_definitions([broker.vhost])

    plan = await broker.import_definitions(SHOP)

    assert plan.counts == {"same": 12, "skipped": 2}
    assert await broker.export_definitions([broker.vhost]) == before


async def test_it_adds_and_never_deletes(broker: AsyncBroker) -> None:
    await broker.declare_queue("mine")
    await broker.bind("mine", "amq.topic", "#")
    await broker.publish(b"kept", routing_key="mine")

    await broker.import_definitions(SHOP)

    assert (await names(broker))[1] == {"mail", "audit", "log", "mine"}
    assert len(await broker.bindings("amq.topic")) == 1
    assert [delivery.body for delivery in await async_drain(broker, "mine")] == [b"kept"]


async def test_a_dry_run_writes_nothing(broker: AsyncBroker, ask: Bare, keys: Keys, other: str) -> None:
    await broker.open()
    before = ask.dump(keys.prefix)
    theirs = {"queues": [{"name": "q", "vhost": other}]}

    assert await broker.import_definitions(SHOP | theirs, dry_run=True) == await broker.import_definitions(
        SHOP | theirs, dry_run=True
    )

    assert ask.dump(keys.prefix) == before
    assert other not in await broker.vhosts(), "looking does not make a vhost"


async def test_the_plan_of_a_dry_run_is_what_is_done(broker: AsyncBroker) -> None:
    assert await broker.import_definitions(SHOP, dry_run=True) == await broker.import_definitions(SHOP)


async def test_a_file_with_anything_wrong_in_it_changes_nothing(broker: AsyncBroker) -> None:
    bad = SHOP | {"queues": [*SHOP["queues"], {"name": "bad", "arguments": {"x-max-length": "5"}}]}

    with pytest.raises(DefinitionsError, match="x-max-length is '5'") as caught:
        await broker.import_definitions(bad)
    with pytest.raises(DefinitionsError, match="line 1, column 3"):
        await broker.import_definitions("{,}", dry_run=True)

    assert (caught.value.kind, caught.value.name, caught.value.vhost) == ("queue", "bad", broker.vhost)
    assert await names(broker) == (set(), set())
    assert await broker.policies() == []


async def test_a_file_that_is_missing_is_told_as_such(broker: AsyncBroker, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await broker.import_definitions(tmp_path / "missing.json")
    with pytest.raises(InvalidArgument, match="a dict, or a Path"):
        await broker.import_definitions(None)  # type: ignore[arg-type]


async def test_what_is_there_otherwise_stops_it_before_anything_is_written(broker: AsyncBroker) -> None:
    await broker.declare_queue("audit")
    await broker.declare_exchange("rest", "fanout")

    with pytest.raises(DefinitionsError) as caught:
        await broker.import_definitions(SHOP)

    assert [(each.kind, each.name, each.why) for each in caught.value.problems] == [
        ("exchange", "rest", "differs"),
        ("queue", "audit", "differs"),
    ]
    assert "queue 'audit' is there with durable=true, and the file wants false" in str(caught.value)
    assert await names(broker) == ({"rest"}, {"audit"})


async def test_what_is_there_otherwise_is_left_as_it_is_when_asked(broker: AsyncBroker) -> None:
    await broker.declare_queue("audit")

    plan = await broker.import_definitions(SHOP, skip_existing=True)

    assert [step.name for step in plan.of("differs")] == ["audit"]
    assert (await broker.declare_queue("audit")).durable
    assert await broker.route("rest") == ["audit"], "its binding is made"


async def test_what_rexchange_does_not_have_stops_it_unless_it_may_be_left_out(broker: AsyncBroker) -> None:
    more = SHOP | {
        "exchanges": [*SHOP["exchanges"], {"name": "f", "type": "x-federation-upstream"}],
        "policies": [
            *SHOP["policies"],
            {"name": "m", "pattern": "log", "definition": {"max-priority": 1, "expires": 1}},
        ],
        "bindings": [*SHOP["bindings"], {"source": "f", "destination": "mail", "destination_type": "queue"}],
    }

    with pytest.raises(DefinitionsError) as caught:
        await broker.import_definitions(more)
    assert [(each.kind, each.name, each.why) for each in caught.value.problems] == [
        ("binding", "f -> mail", "unsupported"),
        ("exchange", "f", "unsupported"),
        ("policy", "m", "unsupported"),
    ]
    assert await names(broker) == (set(), set())

    plan = await broker.import_definitions(more, allow_unsupported=True)
    assert plan.counts == {"same": 1, "create": 12, "unsupported": 3, "skipped": 2}
    assert await names(broker) == ({"events", "rest", "later"}, {"mail", "audit", "log"})
    assert [policy.definition for policy in await broker.policies()] == [{"expires": 1}, {"max-length": 2}]


async def test_a_policy_is_replaced_and_holds_for_what_is_there(broker: AsyncBroker) -> None:
    await broker.set_policy("short", "^mail", {"max-length": 10})
    await broker.declare_queue("mail-2")
    for _ in range(5):
        await broker.publish(b"", routing_key="mail-2")

    plan = await broker.import_definitions(SHOP)

    assert [step.name for step in plan.of("replace")] == ["short"]
    assert await broker.policies() == [Policy("short", "^mail", {"max-length": 2}, 0, "queues")]
    assert (await broker.declare_queue("mail-2")).message_count == 2


async def test_objects_go_to_the_vhosts_that_they_name(broker: AsyncBroker, other: str) -> None:
    plan = await broker.import_definitions(
        {
            "vhosts": [{"name": other}],
            "queues": [{"name": "here"}, {"name": "there", "vhost": other}],
            "policies": [{"name": "p", "vhost": other, "pattern": ".", "definition": {"max-length": 1}}],
            "bindings": [
                {"source": "amq.topic", "vhost": other, "destination": "there", "destination_type": "queue"},
                {"source": "amq.topic", "vhost": other, "destination": "here", "destination_type": "queue"},
            ],
        }
    )

    assert [(step.action, step.kind, step.vhost) for step in plan.steps] == [
        ("create", "vhost", other),
        ("create", "policy", other),
        ("create", "queue", other),
        ("create", "binding", other),
        ("skipped", "binding", other),
        ("same", "vhost", broker.vhost),
        ("create", "queue", broker.vhost),
    ]
    assert await names(broker) == (set(), {"here"})
    async with broker.on_vhost(other) as theirs:
        assert await names(theirs) == (set(), {"there"})
        assert await theirs.route("amq.topic") == ["there"]
        assert [policy.name for policy in await theirs.policies()] == ["p"]


async def test_a_vhost_alone_is_made(broker: AsyncBroker, other: str) -> None:
    await broker.import_definitions({"vhosts": [{"name": other}]})

    assert other in await broker.vhosts()


async def test_progress_is_told_and_ends_at_all(broker: AsyncBroker, other: str) -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    many = {"queues": [{"name": f"q{number}", "vhost": other} for number in range(250)]}
    plan = await broker.import_definitions(SHOP | many, progress=progress)

    assert seen == sorted(seen)
    assert {total for _, total in seen} == {plan.counts["create"]} == {seen[-1][0]}
    assert len(seen) > 4


async def test_many_bindings_take_few_round_trips(broker: AsyncBroker) -> None:
    """Each is a script call of its own, so none of them is long; a round trip holds a hundred."""
    count = importer.PER_ROUND_TRIP * 3 + 7
    rows = [
        {"source": "x", "destination": "q", "destination_type": "queue", "routing_key": f"k.{number}"}
        for number in range(count)
    ]
    await broker.declare_exchange("x", "direct")
    await broker.bind(await broker.declare_queue("q"), "x", "warm")  # the scripts are known to the server
    faults = Faults(broker)
    requests = faults.during("bind", lambda: None, times=1000)

    plan = await broker.import_definitions(
        {"queues": [{"name": "q"}], "bindings": rows, "exchanges": [{"name": "x", "type": "direct"}]}
    )

    assert plan.counts == {"same": 3, "create": count}
    assert len(await broker.bindings("x")) == count + 1
    assert requests.done == 4


async def test_a_policy_that_is_set_meanwhile_holds_for_what_is_imported(broker: AsyncBroker, ask: Bare) -> None:
    faults = Faults(broker)
    prefix = broker._link.keys.prefix
    record = check(Policy("other", ".*", {"max-length": 1, "alternate-exchange": "rest"}))
    looks: list[object] = []

    def change() -> None:
        looks.append(None)
        if len(looks) == 2:  # at what is there, for the plan, and before writing
            ask("HSET", prefix + b"policies", "other", record)
            ask("HINCRBY", prefix + b"vhost", "policies", 1)

    faults.during("policies", change, times=2)
    await broker.import_definitions({section: SHOP[section] for section in ("exchanges", "queues")})
    for _ in range(3):
        await broker.publish(b"", routing_key="mail")
    assert (await broker.declare_queue("mail", arguments=SHOP["queues"][0]["arguments"])).message_count == 1
    await broker.bind("audit", "rest")
    assert await broker.route("later", "nothing") == ["audit"]


async def test_a_queue_declared_otherwise_in_between_is_an_error(broker: AsyncBroker, ask: Bare, keys: Keys) -> None:
    await broker.declare_queue("q", durable=False)
    taken = ask("HGET", keys.queues, "q")
    ask("HDEL", keys.queues, "q")
    looks: list[object] = []

    def declare() -> None:
        looks.append(None)
        if len(looks) == 2:  # at what is there, for the plan, and before writing
            ask("HSET", keys.queues, "q", taken)

    Faults(broker).during("policies", declare, times=2)

    with pytest.raises(PreconditionFailed, match="exists with durable=False, and this declare wants True"):
        await broker.import_definitions({"queues": [{"name": "q"}]})


async def test_a_reply_that_is_lost_makes_nothing_twice(broker: AsyncBroker) -> None:
    faults = Faults(broker)
    rules = [faults.cut(script) for script in ("declare_exchange", "declare_queue", "bind", "policies")]

    await broker.import_definitions(SHOP)

    assert [rule.done for rule in rules] == [1, 1, 1, 1]
    assert (await broker.import_definitions(SHOP, dry_run=True)).counts == {"same": 12, "skipped": 2}


async def test_what_was_imported_is_declared_again_with_all_else(connect: Connect, ask: Bare) -> None:
    broker = await connect(redeclare=True)
    await broker.import_definitions(SHOP)
    for key in ask.keys(broker._link.keys.prefix):
        ask("UNLINK", key)

    assert await broker.publish(b"", exchange="events", routing_key="user.1.created") == 1
    assert (await broker.import_definitions(SHOP, dry_run=True)).counts == {"same": 12, "skipped": 2}


# --- export


async def test_a_round_trip_loses_nothing(broker: AsyncBroker, other: str) -> None:
    await broker.import_definitions(SHOP)
    odd: Table = {"bytes": b"\xff", "at": datetime(2030, 1, 1, tzinfo=UTC), "none": None, "list": [1.5, {"a": "é"}]}
    await broker.declare_queue("odd", arguments=odd)
    await broker.bind("odd", "amq.headers", "", {**odd, "x-match": "all"})
    await broker.set_policy("ha", "^x", {"ha-mode": "exactly", "ha-params": 2}, priority=-3, apply_to="exchanges")

    written = json.loads(json.dumps(await broker.export_definitions([broker.vhost])))
    renamed = json.loads(json.dumps(written).replace(json.dumps(broker.vhost), json.dumps(other)))
    await broker.import_definitions(renamed)

    assert await broker.export_definitions([other]) == renamed
    async with broker.on_vhost(other) as theirs:
        (info,) = [info for info in await theirs.queues() if info.name == "odd"]
        assert info.queue.arguments == odd
        assert await theirs.policies() == await broker.policies()
        assert await theirs.bindings() == await broker.bindings()


@pytest.fixture
def listed(broker: AsyncBroker, other: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let only our vhosts be listed, since other tests share the server; and those that are put in here, too."""
    added: list[str] = []
    vhosts = broker.vhosts

    async def ours() -> list[str]:
        return sorted({*added, *(name for name in await vhosts() if name in (broker.vhost, other))})

    monkeypatch.setattr(broker, "vhosts", ours)
    return added


@pytest.mark.usefixtures("listed")
async def test_an_export_is_of_all_vhosts_or_of_some(broker: AsyncBroker, other: str) -> None:
    await broker.declare_queue("q")
    await broker.import_definitions({"queues": [{"name": "q", "vhost": other}]})

    both = await broker.export_definitions([other, broker.vhost])
    assert both["vhosts"] == [{"name": broker.vhost}, {"name": other}]
    assert [row["vhost"] for row in both["queues"]] == [broker.vhost, other]
    assert await broker.export_definitions() == both


async def test_a_vhost_that_is_deleted_while_all_are_exported_is_left_out(
    broker: AsyncBroker, other: str, listed: list[str]
) -> None:
    listed.append(other)

    assert (await broker.export_definitions())["vhosts"] == [{"name": broker.vhost}]


async def test_exclusive_and_server_named_queues_are_not_exported(broker: AsyncBroker) -> None:
    mine = await broker.declare_queue(exclusive=True)
    named = await broker.declare_queue()
    for queue in (mine, named, await broker.declare_queue("q")):
        await broker.bind(queue, "amq.topic", "#")

    written = await broker.export_definitions([broker.vhost])

    assert [row["name"] for row in written["queues"]] == ["q"]
    assert [row["destination"] for row in written["bindings"]] == ["q"]
    assert written["exchanges"] == []


async def test_a_vhost_that_is_missing_is_not_exported_and_not_made(broker: AsyncBroker, other: str) -> None:
    with pytest.raises(NotFound) as caught:
        await broker.export_definitions([broker.vhost, other])
    assert (caught.value.kind, caught.value.name) == ("vhost", other)
    assert other not in await broker.vhosts()


@pytest.mark.parametrize("vhosts", ["/", 5])
async def test_vhosts_to_export_are_several_names(broker: AsyncBroker, vhosts: Any) -> None:
    with pytest.raises(InvalidArgument, match="several names, or None for all"):
        await broker.export_definitions(vhosts)
