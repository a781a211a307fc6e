"""All definition files, imported by RabbitMQ and by rexchange: the same is there then, also by way of our export.

The files are one import on each side, on vhosts of other names. Left out on both: exchange types and keys of policies
that this RabbitMQ has not. RabbitMQ fails where fields are missing, so all are given.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from rexchange import Broker
from tests.differential.compare import Both
from tests.differential.rabbitmq import rabbitmqctl
from tests.real.definitions import FILES, Row
from tests.real.test_import import NO_KEYS, SECTIONS, Content, canonical, names_of, renamed

pytestmark = [
    pytest.mark.differential,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not FILES, reason="optional data, harmless: no definitions files beside the project"),
]

PLUGINS = {"x-federation-upstream", "x-delayed-message", "x-consistent-hash"}


def comparable(content: Content) -> Content:
    """Return what both can have, with every field."""
    out = {row["name"] for row in content.get("exchanges", []) if row["type"] in PLUGINS}
    flags: Row = {"durable": True, "auto_delete": False, "arguments": {}}
    exchanges = [flags | {"internal": False} | row for row in content.get("exchanges", []) if row["name"] not in out]
    bindings = [
        {"arguments": {}} | row
        for row in content.get("bindings", [])
        if row["source"] not in out and row["destination"] not in out
    ]
    policies: list[Row] = []
    for row in content.get("policies", []):
        definition = {key: value for key, value in row["definition"].items() if key not in NO_KEYS}
        policies += [{**row, "definition": definition}] if definition else []
    queues = [flags | row for row in content.get("queues", [])]
    return {"exchanges": exchanges, "queues": queues, "policies": policies, "bindings": bindings}


def everything(prefix: str) -> Content:
    """Return all files as one, each on vhosts of its own."""
    whole: Content = {section: [] for section in SECTIONS}
    for path in FILES:
        part = renamed(comparable(json.loads(path.read_text(encoding="utf-8"))), f"{prefix} {path.stem}")
        for section in SECTIONS:
            whole[section] += part[section]
    return whole | {"vhosts": [{"name": name} for name in names_of(whole)]}


class Theirs:
    """RabbitMQ's own import and export."""

    def take(self, content: Content) -> None:
        rabbitmqctl("import_definitions", stdin=json.dumps({"rabbit_version": "4.0.0", **content}))

    def give(self, prefix: str) -> dict[str, set[str]]:
        content: Content = json.loads(rabbitmqctl("export_definitions", "-"))
        return {section: {*map(canonical, self._rows(section, content[section], prefix))} for section in SECTIONS}

    def _rows(self, section: str, rows: list[Row], prefix: str) -> Iterator[Row]:
        for row in rows:
            if row["vhost"].startswith(prefix):
                if section == "queues":
                    del row["type"]
                yield row | ({"internal": False} if section == "exchanges" else {})

    def forget(self, prefix: str) -> None:
        """Delete its vhosts, all in one call."""
        mine = f'V <- rabbit_vhost:list_names(), string:prefix(V, "{prefix}") =/= nomatch'
        rabbitmqctl("eval", f'[rabbit_vhost:delete(V, <<"test">>) || {mine}].')


def ours(content: dict[str, Any]) -> dict[str, set[str]]:
    """Return what an export of rexchange holds, but for internal exchanges, which RabbitMQ does not export."""
    return {
        section: {canonical(row) for row in content[section] if not row.get("internal", False)} for section in SECTIONS
    }


@pytest.fixture
def prefix() -> str:
    return f"import-{secrets.token_hex(4)}"


def test_both_import_and_export_the_same(pair: Both, prefix: str) -> None:
    content, theirs = everything(prefix), Theirs()
    names = names_of(content)
    try:
        theirs.take(content)
        with Broker(pair.ours.url, vhost=names[0]) as broker:
            broker.import_definitions(content)
            exported = broker.export_definitions(names)
            assert ours(exported) == theirs.give(f"{prefix} ")

            copies = renamed(exported, f"{prefix}-copy")
            theirs.take(copies)
            assert ours(copies) == theirs.give(f"{prefix}-copy ")
            broker.import_definitions(json.dumps(copies))
            assert broker.export_definitions(names_of(copies)) == copies
    finally:
        theirs.forget(prefix)
