"""policy, vhost, and their lists."""

from __future__ import annotations

import pytest

from rexchange import Broker, Policy
from tests.cli.conftest import Cli


def test_policies(cli: Cli, broker: Broker) -> None:
    assert cli.ok("list", "policies").out == "there are no policies in vhost '/'\n"
    set_ = ("policy", "set", "ttl", "^mail", '{"message-ttl": 60000}')
    assert cli.ok(*set_, "--priority", "3", "--apply-to", "queues").out == "policy 'ttl' is set\n"
    assert broker.policies() == [Policy("ttl", "^mail", {"message-ttl": 60000}, 3, "queues")]
    assert cli.ok("list", "policies", "--json").json == [
        {
            "name": "ttl",
            "pattern": "^mail",
            "definition": {"message-ttl": 60000},
            "priority": 3,
            "apply_to": "queues",
        }
    ]
    listed = cli.ok("list", "policies").out
    assert [line.split() for line in listed.splitlines() if "ttl" in line] == [
        ["ttl", "^mail", "queues", "3", "message-ttl=60000"]
    ]
    assert cli.ok(*set_, "--json").json == {"policy": "ttl"}
    assert cli.ok("policy", "delete", "ttl").out == "policy 'ttl' is gone\n"
    assert cli.ok("policy", "delete", "ttl", "--json").json == {"policy": "ttl"}
    assert broker.policies() == []


def test_a_policy_of_another_vhost(cli: Cli) -> None:
    cli.ok("policy", "set", "p", ".", '{"expires": 1000}', "--vhost", "blue")
    assert cli.ok("list", "policies", "--json").json == []
    assert len(cli.ok("list", "policies", "--json", "--vhost", "blue").json) == 1


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("p", "(", '{"expires": 1}'), 2, "wanted a regular expression"),
        (("p", ".", '{"expires": 0}'), 1, "expires is 0: give an int"),
        (("p", ".", '{"max-priority": 1}'), 1, "give one of message-ttl"),
        (("p", ".", '{"expires": 1}', "--apply-to", "all queues"), 2, "wanted one of all, queues"),
        (("p", ".", '{"expires": 1}', "--priority", "high"), 2, "unable to parse string as an integer"),
        (("p", ".", "{expires: 1}"), 2, "wanted a JSON object, such as"),
        (("p", ".", "[1]"), 2, "wanted a JSON object, such as"),
        (("p", ".", "{}"), 2, "at least one key"),
    ],
)
def test_what_is_no_policy_is_refused(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    done = cli("policy", "set", *args)
    assert done.code == code, done
    assert says in " ".join(done.err.replace("│", " ").split())


def test_vhosts(cli: Cli, broker: Broker) -> None:
    assert cli.ok("vhost", "create", "blue").out == "vhost 'blue' is there\n"
    assert cli.ok("vhost", "create", "blue", "--json").json == {"vhost": "blue"}
    assert cli.ok("list", "vhosts", "--json").json == ["/", "blue"] == broker.vhosts()
    assert cli.ok("list", "vhosts").out.split()[-2:] == ["/", "blue"]
    cli.ok("declare", "queue", "mail", "--vhost", "blue")
    assert cli.ok("vhost", "delete", "blue").out == "vhost 'blue' is gone\n"
    assert cli.ok("vhost", "delete", "blue", "--json").json == {"vhost": "blue"}
    assert broker.vhosts() == ["/"]


def test_a_vhost_is_not_deleted_through_itself(cli: Cli) -> None:
    done = cli("vhost", "delete", "/")
    assert done.code == 1
    assert "vhost '/' is this Broker's own" in done.err
    assert "hint: name another one with --vhost" in done.err
    assert cli("vhost", "create", "a{b").code == 2
