# Generated from tests/conformance/async_/test_applying.py by `python tools/unasync.py`. Do not edit.
"""A topology is applied: checked whole, made, updated, pruned; again is nothing, and cut short it is completed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rexchange import Binding, Broker, Change, Exchange, Policy, Queue, Topology
from rexchange.errors import BrokerConnectionError, DefinitionsError, InvalidArgument, PreconditionFailed
from rexchange.keyspace import Keys
from rexchange.testing import drain
from rexchange.topology import PREDECLARED
from tests.conformance.sync_.support import Connect
from tests.support.faults import Faults
from tests.support.servers import Bare

FILE = """\
[exchanges.events]
type = "topic"
alternate_exchange = "unrouted"

[exchanges.unrouted]
type = "fanout"

[queues.mail]
message_ttl = "1m"
arguments = { "x-own" = 1 }

[queues.rest]

[[bindings]]
source = "events"
queue = "mail"
key = "user.#"

[[bindings]]
source = "unrouted"
queue = "rest"

[[bindings]]
source = "events"
exchange = "unrouted"
key = "audit"

[policies.few]
pattern = "^rest$"
definition = { max-length = 2 }
"""
WANTED = Topology(
    exchanges=(
        Exchange("events", "topic", arguments={"alternate-exchange": "unrouted"}),
        Exchange("unrouted", "fanout"),
    ),
    policies=(Policy("few", "^rest$", {"max-length": 2}),),
    queues=(Queue("mail", arguments={"x-own": 1, "x-message-ttl": 60_000}), Queue("rest")),
    bindings=(
        Binding("events", "mail", binding_key="user.#"),
        Binding("unrouted", "rest"),
        Binding("events", "unrouted", "exchange", "audit"),
    ),
)


def comparable(topology: Topology) -> dict[str, set[str]]:
    """What two topologies have to have alike."""
    queues = {
        f"{each.name} {each.durable} {each.auto_delete} {sorted(each.arguments.items())}" for each in topology.queues
    }
    return {
        "exchanges": {repr(each) for each in topology.exchanges if each.name not in PREDECLARED},
        "policies": {repr(each) for each in topology.policies},
        "queues": queues,
        "bindings": {repr(each) for each in topology.bindings},
    }


def holds(broker: Broker) -> dict[str, set[str]]:
    return comparable((broker._present())[0])


def sources(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "topology.toml"
    path.write_text(FILE)
    mapping = {
        "exchanges": {"events": {"type": "topic", "alternate_exchange": "unrouted"}, "unrouted": {"type": "fanout"}},
        "queues": {"mail": {"message_ttl": 60, "arguments": {"x-own": 1}}, "rest": {}},
        "bindings": [
            {"source": "events", "queue": "mail", "key": "user.#"},
            {"source": "unrouted", "queue": "rest"},
            {"source": "events", "exchange": "unrouted", "key": "audit"},
        ],
        "policies": {"few": {"pattern": "^rest$", "definition": {"max-length": 2}}},
    }
    return {"file": path, "values": WANTED, "mapping": mapping}


@pytest.mark.parametrize("source", ["file", "values", "mapping"])
def test_all_is_made_and_again_is_nothing(broker: Broker, tmp_path: Path, source: str) -> None:
    given = sources(tmp_path)[source]
    planned = broker.apply(given, dry_run=True)
    assert broker.queues() == []

    plan = broker.apply(given)

    assert planned == plan
    assert plan.counts == {"create": 8}
    assert [step.kind for step in plan.steps] == [*["exchange"] * 2, "policy", *["queue"] * 2, *["binding"] * 3]
    assert holds(broker) == comparable(WANTED)
    assert broker.route("events", "user.1") == ["mail"]
    assert broker.route("events", "else") == ["rest"]
    again = broker.apply(given)
    assert (again.counts, again.changed) == ({"same": 8}, False)


def test_what_differs_is_updated_with_its_messages(broker: Broker) -> None:
    broker.declare_queue("mail", message_ttl=timedelta(minutes=5), max_length=9)
    broker.declare_queue("rest")
    broker.declare_exchange("events", "topic")
    broker.set_policy("few", "^other$", {"max-length": 1})
    for number in range(5):
        broker.publish(b"%d" % number, routing_key="mail")
        broker.publish(b"%d" % number, routing_key="rest")

    plan = broker.apply(WANTED)

    updates = {step.name: step for step in plan.of("update")}
    assert updates.keys() == {"mail", "events", "few"}
    assert updates["mail"].changes == (
        Change("x-max-length", 9, None),
        Change("x-message-ttl", 300_000, 60_000),
        Change("x-own", None, 1),
    )
    assert updates["mail"].reason == "x-max-length: 9 -> null, x-message-ttl: 300000 -> 60000, x-own: null -> 1"
    assert updates["few"].reason.startswith('pattern: "^other$" -> "^rest$"')
    assert holds(broker) == comparable(WANTED)
    assert len(drain(broker, "mail")) == 5
    assert [delivery.body for delivery in drain(broker, "rest")] == [b"3", b"4"]


def test_what_cannot_change_is_told_all_at_once_and_nothing_is_written(broker: Broker) -> None:
    broker.declare_queue("mail", queue_type="quorum")
    broker.declare_exchange("events", "direct")
    before = holds(broker)

    planned = broker.apply(WANTED, dry_run=True)
    with pytest.raises(DefinitionsError) as caught:
        broker.apply(WANTED)

    assert [(each.kind, each.name, each.why) for each in caught.value.problems] == [
        ("exchange", "events", "differs"),
        ("queue", "mail", "differs"),
    ]
    assert "type is 'direct' and cannot become 'topic'" in str(caught.value)
    assert "x-queue-type is 'quorum' and cannot become 'classic'" in str(caught.value)
    assert planned.problems() == caught.value.problems
    assert holds(broker) == before


# --- pruning


def test_what_is_not_in_it_stays_unless_it_is_pruned(broker: Broker, connect: Connect) -> None:
    broker.apply(WANTED)
    broker.declare_exchange("old")
    broker.declare_queue("old")
    broker.bind("old", "old", "k")
    broker.bind("mail", "amq.topic", "a")
    broker.bind("mail", "events", "other")
    broker.set_policy("old", "^x", {"max-length": 2})
    other = connect()
    own = other.declare_queue("own", exclusive=True)
    other.bind(own, "events", "own")
    assert (broker.apply(WANTED)).counts == {"same": 8}

    plan = broker.apply(WANTED, prune=True)

    assert [(step.kind, step.name) for step in plan.of("delete")] == [
        ("binding", "amq.topic -> mail by 'a'"),
        ("binding", "events -> mail by 'other'"),
        ("binding", "old -> old by 'k'"),
        ("queue", "old"),
        ("exchange", "old"),
        ("policy", "old"),
    ]
    assert broker.route("events", "own") == ["own"]
    other.delete_queue(own)
    assert holds(broker) == comparable(WANTED)
    assert not (broker.apply(WANTED, prune=True)).changed


def test_what_is_in_use_is_not_pruned_unless_it_is_said(broker: Broker, connect: Connect) -> None:
    broker.declare_queue("full")
    broker.publish(b"1", routing_key="full")
    broker.declare_queue("held")
    broker.publish(b"1", routing_key="held")
    other = connect()
    assert other.get("held", auto_ack=False) is not None
    other.declare_exchange("used", "fanout")
    other.bind(other.declare_queue("own", exclusive=True), "used")

    with pytest.raises(DefinitionsError) as caught:
        broker.apply(WANTED, prune=True)

    assert [(each.name, each.why) for each in caught.value.problems] == [
        ("full", "in use"),
        ("held", "in use"),
        ("used", "in use"),
    ]
    assert "queue 'full' is not in the topology, and in use: 1 ready message; in_use=True deletes it" in str(
        caught.value
    )
    assert "1 unacked message" in str(caught.value)
    assert [info.name for info in broker.queues()] == ["full", "held", "own"]

    assert {step.name for step in (broker.apply(WANTED, prune=True, in_use=True)).of("delete")} == {
        "full",
        "held",
        "used",
    }
    assert [info.name for info in broker.queues()] == ["mail", "own", "rest"]
    with pytest.raises(InvalidArgument, match="prune=True with it"):
        broker.apply(WANTED, in_use=True)


def test_a_queue_that_gets_a_message_meanwhile_is_not_deleted(broker: Broker, url: str) -> None:
    broker.declare_queue("old")
    broker.declare_exchange("old")
    broker.bind("old", "old")

    def meanwhile() -> None:
        with Broker(url, vhost=broker.vhost) as other:
            other.publish(b"1", routing_key="old")

    Faults(broker).during("unbind", meanwhile)
    with pytest.raises(PreconditionFailed, match="it holds 1 ready messages"):
        broker.apply(WANTED, prune=True)
    assert [delivery.body for delivery in drain(broker, "old")] == [b"1"]


def test_a_consumer_keeps_its_queue(broker: Broker) -> None:
    broker.declare_queue("old")
    with broker.consume("old"):
        with pytest.raises(DefinitionsError, match="in use: 1 consumer"):
            broker.apply(WANTED, prune=True)
    broker.apply(WANTED, prune=True)
    assert holds(broker) == comparable(WANTED)


def test_an_auto_delete_exchange_that_pruning_takes_along_is_made_again(broker: Broker) -> None:
    going = Exchange("going", "fanout", auto_delete=True)
    wanted = Topology(exchanges=(going,), bindings=(Binding("amq.topic", "going", "exchange", "k"),))
    broker.apply(wanted)
    broker.declare_queue("old")
    broker.bind("old", going)

    broker.apply(wanted, prune=True)

    assert holds(broker) == comparable(wanted)


def test_bindings_and_policies_alone(broker: Broker) -> None:
    broker.declare_queue("mail")
    plan = broker.apply({"bindings": [{"source": "amq.topic", "queue": "mail", "key": "a"}]})
    assert plan.counts == {"create": 1}
    assert broker.route("amq.topic", "a") == ["mail"]


def test_what_a_vhost_holds_is_a_topology(broker: Broker, connect: Connect) -> None:
    broker.apply(WANTED)
    other = connect()
    other.bind(other.declare_queue("own", exclusive=True), "events")
    broker.bind("mail", "amq.topic", "k")

    held = broker.topology()

    bindings = (*WANTED.bindings, Binding("amq.topic", "mail", binding_key="k"))
    extra = Topology(WANTED.exchanges, WANTED.policies, WANTED.queues, bindings)
    assert comparable(held) == comparable(extra)
    assert not (broker.apply(held, prune=True)).changed
    with broker.on_vhost(f"{broker.vhost}-copy") as copy:
        copy.apply(held)
        assert comparable(copy.topology()) == comparable(held)
    broker.delete_vhost(f"{broker.vhost}-copy")


# --- what is wrong with it


def test_bindings_without_their_ends_are_told(broker: Broker, tmp_path: Path) -> None:
    broker.declare_queue("there")
    broker.declare_exchange("headers", "headers")
    path = tmp_path / "t.toml"
    path.write_text(
        "[[bindings]]\nsource = 'no'\nqueue = 'there'\n"
        "[[bindings]]\nsource = 'amq.topic'\nqueue = 'no'\n"
        "[[bindings]]\nsource = 'amq.topic'\nexchange = 'no'\n"
        "[[bindings]]\nsource = 'headers'\nqueue = 'there'\narguments = { x-match = 'some' }\n"
    )
    with pytest.raises(DefinitionsError) as caught:
        broker.apply(path)
    assert str(caught.value) == (
        f"{path}: 4 problems\n"
        "- line 1: binding no -> there: no exchange 'no' in the topology or in the vhost: add it\n"
        "- line 4: binding amq.topic -> no: no queue 'no' in the topology or in the vhost: add it\n"
        "- line 7: binding amq.topic -> no: no exchange 'no' in the topology or in the vhost: add it\n"
        "- line 10: binding headers -> there: binding 'headers': x-match is 'some': give all, any, all-with-x or "
        "any-with-x"
    )
    assert [(each.line, each.kind, each.vhost) for each in caught.value.problems] == [
        (line, "binding", broker.vhost) for line in (1, 4, 7, 10)
    ]
    with pytest.raises(DefinitionsError, match="no queue 'there' in the topology, and pruning deletes"):
        broker.apply({"bindings": [{"source": "amq.topic", "queue": "there"}]}, prune=True)


def test_a_circle_of_alternates_with_those_that_are_there(broker: Broker) -> None:
    broker.declare_exchange("there", alternate_exchange="mine")
    wanted = Topology(exchanges=(Exchange("mine", "fanout", arguments={"alternate-exchange": "there"}),))
    with pytest.raises(DefinitionsError, match="alternate exchanges in a circle"):
        broker.apply(wanted)
    broker.apply(wanted, prune=True)
    assert holds(broker) == comparable(wanted)


def test_what_is_no_topology(broker: Broker, tmp_path: Path) -> None:
    for wrong in ("topology.toml", b"", None, 5, [WANTED]):
        with pytest.raises((InvalidArgument, DefinitionsError), match=r"topology|its name ends in"):
            broker.apply(wrong)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        broker.apply(tmp_path / "none.toml")
    with pytest.raises(InvalidArgument, match="prune"):
        broker.apply(WANTED, prune="yes")  # type: ignore[arg-type]


# --- trouble


@pytest.mark.parametrize(
    "script", ["declare_exchange", "policies", "declare_queue", "bind", "update", "unbind", "delete_queue"]
)
def test_a_step_whose_reply_is_lost_is_done_once(broker: Broker, script: str) -> None:
    broker.declare_queue("mail", max_length=9)
    broker.declare_exchange("old")
    broker.declare_queue("old")
    broker.bind("old", "old")
    broker.publish(b"1", routing_key="mail")
    cut = Faults(broker).cut(script)

    broker.apply(WANTED, prune=True)

    assert cut.done == 1
    assert holds(broker) == comparable(WANTED)
    assert [delivery.body for delivery in drain(broker, "mail")] == [b"1"]


@pytest.mark.parametrize("script", ["declare_exchange", "declare_queue", "bind", "update", "unbind", "delete_queue"])
def test_an_apply_that_is_cut_short_is_completed_by_the_next(broker: Broker, connect: Connect, script: str) -> None:
    broker.declare_queue("mail", max_length=9)
    broker.declare_exchange("old")
    broker.declare_queue("old")
    broker.bind("old", "old")
    broker.publish(b"1", routing_key="mail")
    doomed = connect(retry_timeout=timedelta(seconds=0.01))
    faults = Faults(doomed)

    def away() -> None:
        faults.away = True
        raise ConnectionResetError

    faults.during(script, away)
    with pytest.raises(BrokerConnectionError):
        doomed.apply(WANTED, prune=True)
    faults.away = False

    broker.apply(WANTED, prune=True)
    assert holds(broker) == comparable(WANTED)
    assert [delivery.body for delivery in drain(broker, "mail")] == [b"1"]


def test_what_was_applied_is_declared_again(connect: Connect, ask: Bare, keys: Keys) -> None:
    broker = connect(redeclare=True)
    (connect()).apply(WANTED)
    broker.apply(WANTED)
    for key in ask.keys(keys.prefix):
        ask("UNLINK", key)
    broker.publish(b"1", routing_key="mail")
    assert holds(broker) == comparable(WANTED)


def test_progress_is_told(broker: Broker) -> None:
    broker.declare_queue("old")
    broker.declare_queue("mail")
    told: list[tuple[int, int]] = []
    broker.apply(WANTED, prune=True, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (9, 9)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
