"""Real definition files: each is imported whole, exported again, and a round trip loses nothing.

What a file says is read here without rexchange. The counts are shown by `pytest -rP`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rexchange import Broker
from rexchange.errors import DefinitionsError
from rexchange.testing import memory_broker
from tests.real.definitions import FILES, FOLDER, PREDECLARED, Row

pytestmark = pytest.mark.skipif(not FILES, reason="optional data, harmless: these files are not in the repository")
Open = Callable[[str], Broker]
Content = dict[str, Any]
by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)

SECTIONS = ("exchanges", "policies", "queues", "bindings")
FEDERATED = "federation: adapter-outbound-exchange -> rm@cluster:field_vhost:adapter-outbound-exchange"
UNSUPPORTED = {
    "01-ons-census-federated.json": {
        ("exchange", f"{FEDERATED} B"),
        ("binding", f"adapter-outbound-exchange -> {FEDERATED} B"),
        ("binding", f"{FEDERATED} B -> {FEDERATED}"),
        ("policy", "federated-adapter-outbound-exchange-policy"),
    },
    "10-gasolinera-prod.json": {("policy", "priority-queue-policy")},
}
"""All that rexchange does not have of these files: a federated exchange, and keys of policies RabbitMQ refuses too."""
NO_KEYS = {"federation-upstream-set", "max-priority"}


def renamed(content: Content, prefix: str) -> Content:
    """Return the same for vhosts of other names; what names none is of "/"."""
    copy: Content = json.loads(json.dumps(content))
    for row in copy.get("vhosts", []):
        row["name"] = f"{prefix} {row['name']}"
    for section in SECTIONS:
        for row in copy.get(section, []):
            row["vhost"] = f"{prefix} {row.get('vhost', '/')}"
    return copy


def canonical(row: Row) -> str:
    return json.dumps(row, sort_keys=True)


def wanted(content: Content) -> dict[str, set[str]]:
    """Return what must be there after an import, each row with all its fields; worked out from the file alone."""
    exchanges = [row for row in content.get("exchanges", []) if row["type"] != "x-federation-upstream"]
    queues = [row for row in content.get("queues", []) if not row["name"].startswith("amq.")]
    defaults = {"durable": True, "auto_delete": False, "arguments": {}}
    rows: dict[str, list[Row]] = {
        "exchanges": [defaults | {"internal": False} | row for row in exchanges],
        "queues": [defaults | {key: value for key, value in row.items() if key != "type"} for row in queues],
        "policies": [],
        "bindings": [],
    }
    for row in content.get("policies", []):
        definition = {key: value for key, value in row["definition"].items() if key not in NO_KEYS}
        if definition:
            rows["policies"].append({"apply-to": "all", "priority": 0} | row | {"definition": definition})
    ends = {("exchange", row["vhost"], row["name"]) for row in exchanges}
    ends |= {("queue", row["vhost"], row["name"]) for row in queues}
    for row in content.get("bindings", []):
        source = row["source"] in PREDECLARED or ("exchange", row["vhost"], row["source"]) in ends
        if source and (row["destination_type"], row["vhost"], row["destination"]) in ends:
            rows["bindings"].append({"arguments": {}} | row)
    return {section: {canonical(row) for row in listed} for section, listed in rows.items()}


def found(exported: Content) -> dict[str, set[str]]:
    listed = {section: [canonical(row) for row in exported[section]] for section in SECTIONS}
    assert all(len(rows) == len({*rows}) for rows in listed.values()), "something is exported twice"
    return {section: {*rows} for section, rows in listed.items()}


def names_of(content: Content) -> list[str]:
    rows = [row for section in SECTIONS for row in content.get(section, [])]
    return sorted({row["name"] for row in content.get("vhosts", [])} | {row["vhost"] for row in rows})


@by_name
def test_a_file_is_imported_whole_and_a_round_trip_loses_nothing(path: Path, open_broker: Open) -> None:
    original: Content = json.loads(path.read_text(encoding="utf-8"))
    unsupported = UNSUPPORTED.get(path.name, set())
    broker = open_broker("/")  # on the vhost of objects that name none
    prefix = broker.vhost.removesuffix(" /")
    content = renamed(original, prefix)
    if unsupported:
        with pytest.raises(DefinitionsError) as caught:
            broker.import_definitions(content)
        assert {(each.kind, each.name) for each in caught.value.problems} == unsupported
        assert broker.queues() == []

    planned = broker.import_definitions(content, allow_unsupported=bool(unsupported), dry_run=True)
    plan = broker.import_definitions(content, allow_unsupported=bool(unsupported))

    assert plan == planned
    assert {(step.kind, step.name) for step in plan.of("unsupported")} == unsupported
    assert plan.of("differs", "replace") == []
    names = names_of(content)
    exported = broker.export_definitions(names)
    assert [row["name"] for row in exported["vhosts"]] == names
    assert found(exported) == wanted(content)
    assert broker.import_definitions(exported).counts.keys() == {"same"}, "what was exported is there"
    assert broker.import_definitions(content, allow_unsupported=True).of("create", "replace", "differs") == []

    copies = renamed(exported, f"{prefix} copy of")
    broker.import_definitions(json.dumps(copies))
    assert broker.export_definitions([f"{prefix} copy of {name}" for name in names]) == copies
    left_out = Counter(f"{step.action} {step.kind}" for step in plan.of("skipped", "unsupported"))
    print(f"{path.name}: { ({section: len(exported[section]) for section in SECTIONS}) }, {dict(left_out)}")  # noqa: T201 - for pytest -rP


@by_name
def test_a_file_is_imported_as_it_lies_there(path: Path) -> None:
    with memory_broker() as broker:
        plan = broker.import_definitions(path, allow_unsupported=path.name in UNSUPPORTED)
        content: Content = json.loads(path.read_text(encoding="utf-8"))
        for section in SECTIONS:
            for row in content.get(section, []):
                row.setdefault("vhost", "/")
        assert plan.file == str(path)
        assert found(broker.export_definitions()) == wanted(content)


BAD = sorted((FOLDER / "bad-input").glob("*.json"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_input_changes_nothing_and_is_told(path: Path, open_broker: Open) -> None:
    broker = open_broker("/")
    with pytest.raises(DefinitionsError) as caught:
        broker.import_definitions(path)
    error = caught.value
    assert error.file == str(path)
    if "trailing-comma" in path.stem:
        assert f"line {error.line}, column {error.column}: " in str(error)
    else:
        assert (error.kind, error.name) == ("exchange", "invalid_type")
    assert broker.queues() == []
    assert {exchange.name for exchange in broker.exchanges()} == PREDECLARED.keys()
