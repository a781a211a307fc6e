"""publish --delay, --at, --dedup-key, --wait; list scheduled, cancel; vhost limit."""

from __future__ import annotations

import pytest

from rexchange import Broker
from rexchange.testing import drain
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def _topology(broker: Broker) -> None:
    broker.declare_queue("mail")


def test_a_delayed_message_is_listed_and_cancelled(cli: Cli, broker: Broker) -> None:
    done = cli.ok("publish", "", "mail", "later", "--delay", "3600", "--json")
    assert done.json["queued"] == 0
    schedule_id = done.json["schedule_id"]

    (row,) = cli.ok("list", "scheduled", "--json").json
    assert (row["id"], row["routing_key"], row["body"]) == (schedule_id, "mail", "later")
    assert schedule_id in cli.ok("list", "scheduled").out

    assert "cancelled: exchange '', key mail" in cli.ok("cancel", schedule_id).out
    assert "there are no scheduled messages" in cli.ok("list", "scheduled").out
    failed = cli("cancel", schedule_id)
    assert failed.code == 1
    assert "rexchange list scheduled" in failed.err
    assert broker.get("mail") is None


def test_at_a_time(cli: Cli) -> None:
    said = cli.ok("publish", "", "mail", "later", "--at", "2035-01-31T12:00:00Z").out
    assert said.startswith("published 1 message, which waits as ")
    (row,) = cli.ok("list", "scheduled", "--json").json
    assert row["due"] == "2035-01-31T12:00:00+00:00"
    cli.ok("cancel", row["id"])

    assert cli("publish", "", "mail", "x", "--at", "2001-01-31T12:00:00Z").code == 2
    assert cli("publish", "", "mail", "x", "--at", "soon").code == 2


def test_once_by_a_key(cli: Cli, broker: Broker) -> None:
    assert cli.ok("publish", "", "mail", "1", "--dedup-key", "k").out == "published 1 message to 1 queue\n"
    again = cli.ok("publish", "", "mail", "2", "--dedup-key", "k", "--dedup-window", "60")
    assert again.out == "published nothing: one with this key was published before, and went to 1 queue\n"
    assert [each.body for each in drain(broker, "mail")] == [b"1"]
    assert cli("publish", "", "mail", "--lines", "-", "--dedup-key", "k").code == 2


def test_the_limit_of_a_vhost(cli: Cli) -> None:
    assert "no limit" in cli.ok("vhost", "limit").out
    cli.ok("vhost", "limit", "0")
    refused = cli("publish", "", "mail", "1", "--wait", "0.05")
    assert refused.code == 1
    assert "its limit is 0" in refused.err
    assert "--wait" in refused.err
    assert cli.ok("vhost", "limit", "none", "--json").json["limit"] is None
    assert cli("vhost", "limit", "many").code == 2
