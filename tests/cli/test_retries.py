"""declare queue with a retry policy, retry list, retry now; what waits in list queues."""

from __future__ import annotations

import pytest

from rexchange import Broker
from tests.cli.conftest import Cli


def retry(broker: Broker, *bodies: bytes) -> None:
    for body in bodies:
        broker.publish(body, routing_key="work")
        delivery = broker.get("work", auto_ack=False)
        assert delivery is not None
        delivery.nack(retry=True)


def test_a_policy_by_options(cli: Cli, broker: Broker) -> None:
    cli.ok("declare", "queue", "a", "--retry-delay", "1", "--retry-delay", "60.5", "--retry-jitter", "0.5")
    cli.ok(
        *("declare", "queue", "b", "--retry-first", "1", "--retry-factor", "3", "--retry-longest", "60"),
        *("--retry-tries", "5"),
    )
    assert {info.name: info.queue.arguments for info in broker.queues()} == {
        "a": {"x-retry-delays": [1000, 60_500], "x-retry-jitter": 0.5},
        "b": {"x-retry-first": 1000, "x-retry-factor": 3, "x-retry-longest": 60_000, "x-retry-tries": 5},
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--retry-first", "1"), "without it the policy would never end"),
        (("--retry-delay", "1", "--retry-tries", "0"), "x-retry-tries is 0"),
        (("--retry-delay", "1", "--retry-factor", "2"), "none beside x-retry-delays"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(cli: Cli, broker: Broker, options: tuple[str, ...], says: str) -> None:
    done = cli("declare", "queue", "a", *options)
    assert done.code == 1
    assert says in " ".join(done.err.replace("│", " ").split())
    assert broker.queues() == []


def test_what_waits_is_listed_and_sent(cli: Cli, broker: Broker) -> None:
    cli.ok("declare", "queue", "work", "--retry-delay", "60")
    assert cli.ok("retry", "list", "work").out == "nothing waits in queue 'work'\n"
    assert "waiting" not in cli.ok("list", "queues").out
    retry(broker, b"1", b"2", b"3")

    assert "waiting" in cli.ok("list", "queues").out
    assert [item["waiting"] for item in cli.ok("list", "queues", "--json").json] == [3]
    listed = cli.ok("retry", "list", "work", "--json").json
    assert [(item["tries"], item["due"][:2]) for item in listed] == [(1, "20")] * 3
    assert listed[0]["id"] in cli.ok("retry", "list", "work").out
    assert cli.ok("retry", "now", "work", listed[0]["id"]).out == "1 message of queue 'work' sent at once\n"
    assert cli.ok("retry", "now", "work", "--json").json == {"queue": "work", "sent": 2}
    assert cli.ok("retry", "list", "work", "--json").json == []
    assert cli("retry", "now", "work", "first").code == 2
    assert cli("retry", "list", "nowhere").code == 1
