# Generated from tests/conformance/async_/test_dead_letters.py by `python tools/unasync.py`. Do not edit.
"""Dead-lettering: what dies in a queue, where it goes, and its history (docs/semantics.md, Dead-lettering)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.codec import Table
from rexchange.errors import PreconditionFailed, StaleDelivery
from rexchange.testing import drain, messages, wait_until
from tests.conformance.sync_.support import Background, Connect, is_waiting
from tests.support.faults import Faults

SHORT = timedelta(milliseconds=50)


@pytest.fixture
def dlx(broker: Broker) -> str:
    """Return a fanout exchange to which the queue "dead" is bound."""
    broker.declare_exchange("dlx", "fanout")
    broker.declare_queue("dead")
    broker.bind("dead", "dlx")
    return "dlx"


def ready(broker: Broker, queue: str = "dead") -> int:
    """Return how many are ready."""
    return (broker.declare_queue(queue, passive=True)).message_count


def get(broker: Broker, queue: str) -> Delivery:
    """Take a message that must be there by now or soon, since the reaper brings it."""

    def there() -> bool:
        broker.reap()
        return ready(broker, queue) > 0

    wait_until(there)
    delivery = broker.get(queue, auto_ack=False)
    assert delivery is not None
    return delivery


def deaths(delivery: Delivery) -> list[dict[str, Any]]:
    """Return the rows of x-death without their time."""
    rows: Any = delivery.headers["x-death"]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def shown(delivery: Delivery) -> list[tuple[str, str, int]]:
    """Return queue, reason and count of each row of x-death."""
    return [(row["queue"], row["reason"], row["count"]) for row in deaths(delivery)]


def died_at(delivery: Delivery, queue: str) -> datetime:
    """Return when it died there, of one row."""
    rows: Any = delivery.headers["x-death"]
    (found,) = [row["time"] for row in rows if row["queue"] == queue]
    assert isinstance(found, datetime)
    return found


# --- what dies


@pytest.mark.parametrize("verdict", ["reject", "nack"])
def test_a_rejected_message_is_dead_lettered(broker: Broker, dlx: str, verdict: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.publish(b"1", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    (delivery.reject() if verdict == "reject" else delivery.nack(requeue=False))

    dead = broker.get("dead")
    assert dead is not None
    assert (dead.body, shown(dead), dead.redelivered) == (b"1", [("q", "rejected", 1)], False)
    assert (ready(broker, "q"), (broker.queues())[1].unacked) == (0, 0)


def test_all_that_one_nack_rejects_is_dead_lettered_in_order(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(4)])
    with broker.consume("q", auto_ack=False, prefetch=4, timeout=5) as consumer:
        deliveries = [next(consumer) for _ in range(4)]

        deliveries[2].nack(multiple=True, requeue=False, wait=True)

        assert [dead.body for dead in drain(broker, "dead")] == [b"0", b"1", b"2"]
        deliveries[3].ack(wait=True)
    assert ready(broker) == 0


def test_an_expired_message_is_dead_lettered_without_any_consumer(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", message_ttl=SHORT, dead_letter_exchange=dlx)
    broker.publish(b"1", routing_key="q")

    dead = get(broker, "dead")

    assert (dead.body, shown(dead)) == (b"1", [("q", "expired", 1)])
    assert (broker.status()).consumers == 1  # that of get, which came after


def test_the_heartbeat_of_any_consumer_dead_letters_what_expires_elsewhere(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    with broker.consume("dead", timeout=10) as consumer:
        broker.publish(b"1", routing_key="q", expiration="50")

        assert shown(next(consumer)) == [("q", "expired", 1)]


def test_what_a_limit_has_no_room_for_is_dead_lettered(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", max_length=1, dead_letter_exchange=dlx)

    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    dead = drain(broker, "dead")
    assert [(each.body, shown(each)) for each in dead] == [
        (b"0", [("q", "maxlen", 1)]),
        (b"1", [("q", "maxlen", 1)]),
    ]


def test_what_is_acked_or_given_back_is_not_dead_lettered(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(4)])
    with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        (next(consumer)).ack(wait=True)
        (next(consumer)).nack(wait=True)
        next(consumer)

    assert (ready(broker, "q"), ready(broker)) == (3, 0)


def test_what_goes_with_a_purge_or_its_queue_is_not_dead_lettered(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.publish(b"", routing_key="q")
    assert broker.purge("q") == 1
    broker.publish(b"", routing_key="q")
    assert broker.delete_queue("q") == 1

    assert ready(broker) == 0


@pytest.mark.parametrize("end", ["consumer", "session"])
def test_what_goes_with_the_last_consumer_of_an_auto_delete_queue_is_not_dead_lettered(
    broker: Broker, connect: Connect, dlx: str, end: str
) -> None:
    """Given back first, it would be more than the queue has room for."""
    other = connect()
    broker.declare_queue("q", auto_delete=True, max_length=2, dead_letter_exchange=dlx)
    consumer = other.consume("q", auto_ack=False, prefetch=2, timeout=5)
    broker.publish_many([Message(b"", routing_key="q")] * 2)
    for _ in range(2):
        next(consumer)
    broker.publish_many([Message(b"", routing_key="q")] * 2)

    (consumer.close() if end == "consumer" else other.close())

    assert [(info.name, info.ready) for info in broker.queues()] == [("dead", 0)]


def test_a_verdict_that_comes_too_late_dead_letters_nothing(broker: Broker, connect: Connect, dlx: str) -> None:
    slow = connect(ack_timeout=SHORT)
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.publish(b"", routing_key="q")
    late = slow.get("q", auto_ack=False)
    assert late is not None
    wait_until(lambda: ready(broker, "q"))

    with pytest.raises(StaleDelivery):
        late.reject()

    assert (ready(broker, "q"), ready(broker)) == (1, 0)


def test_a_reject_whose_reply_was_lost_dead_letters_once(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.publish(b"", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    rule = Faults(broker).cut("settle")

    delivery.reject()

    assert rule.done == 1
    assert (ready(broker, "q"), ready(broker)) == (0, 1)


def test_many_that_expire_at_once_are_dead_lettered_in_order(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", message_ttl=SHORT, dead_letter_exchange=dlx)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(350)])

    def died() -> bool:
        broker.reap()
        return ready(broker) == 350

    wait_until(died)

    assert [int(message.body) for message in messages(broker, "dead")] == list(range(350))


def test_a_queue_without_a_dead_letter_exchange_drops_what_dies(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)])
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    assert delivery.body == b"1"

    delivery.reject()

    (info,) = broker.queues()
    assert (info.ready, info.unacked) == (0, 0)


# --- where it goes


def test_a_dead_letter_keeps_its_key_and_shows_the_dead_letter_exchange(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    broker.bind("q", "amq.topic", "a.#")

    broker.publish(
        b"body", exchange="amq.topic", routing_key="a.b", headers={"h": 1}, priority=3, message_id="m", type="t"
    )

    dead = broker.get("dead")
    assert dead is not None
    assert (dead.body, dead.exchange, dead.routing_key) == (b"body", "dlx", "a.b")
    assert (dead.headers["h"], dead.properties.priority) == (1, 3)
    assert (dead.properties.message_id, dead.properties.type) == ("m", "t")


def test_a_dead_letter_takes_the_queues_dead_letter_key(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx, dead_letter_routing_key="other")

    broker.publish(b"", routing_key="q")

    dead = broker.get("dead")
    assert dead is not None
    assert dead.routing_key == "other"
    assert deaths(dead)[0]["routing-keys"] == ["q"]


def test_a_dead_letter_reaches_every_queue_that_its_exchange_routes_it_to(broker: Broker) -> None:
    broker.declare_exchange("dlx", "topic")
    for name, pattern in (("one", "a.*"), ("two", "#.b"), ("three", "c")):
        broker.declare_queue(name)
        broker.bind(name, "dlx", pattern)
    broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx", dead_letter_routing_key="a.b")

    broker.publish(b"", routing_key="q")

    assert [ready(broker, name) for name in ("one", "two", "three")] == [1, 1, 0]


def test_the_default_exchange_may_be_a_dead_letter_exchange(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("q", max_length=0, dead_letter_exchange="", dead_letter_routing_key="dead")

    broker.publish(b"", routing_key="q")

    dead = broker.get("dead")
    assert dead is not None
    assert (dead.exchange, dead.routing_key) == ("", "dead")


def test_an_internal_exchange_may_be_a_dead_letter_exchange(broker: Broker) -> None:
    broker.declare_exchange("dlx", "fanout", internal=True)
    broker.declare_queue("dead")
    broker.bind("dead", "dlx")
    broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx")

    broker.publish(b"", routing_key="q")

    assert ready(broker) == 1


def test_a_headers_exchange_sees_the_history_of_a_dead_letter(broker: Broker) -> None:
    for reason in ("maxlen", "rejected"):
        broker.declare_queue(reason)
        broker.bind(reason, "amq.headers", arguments={"x-match": "all-with-x", "x-first-death-reason": reason, "a": 1})
    broker.declare_queue("q", max_length=0, dead_letter_exchange="amq.headers")

    broker.publish(b"", routing_key="q", headers={"a": 1})

    assert [ready(broker, reason) for reason in ("maxlen", "rejected")] == [1, 0]


def test_the_dead_letter_exchanges_alternate_takes_what_it_does_not_route(broker: Broker, dlx: str) -> None:
    broker.declare_exchange("first", "direct", alternate_exchange=dlx)
    broker.declare_queue("q", max_length=0, dead_letter_exchange="first")

    broker.publish(b"", routing_key="q")

    assert ready(broker) == 1


def test_a_missing_dead_letter_exchange_drops_until_it_is_declared(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx")
    assert broker.publish(b"lost", routing_key="q") == 1

    broker.declare_exchange("dlx", "fanout")
    broker.publish(b"lost too", routing_key="q")
    broker.bind("dead", "dlx")
    broker.publish(b"kept", routing_key="q")

    assert [message.body for message in messages(broker, "dead")] == [b"kept"]


def test_a_consumer_that_waits_gets_a_dead_letter(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    with broker.consume("dead", timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        wait_until(lambda: is_waiting(consumer))

        broker.publish(b"1", routing_key="q")

        assert (waiting.result()).body == b"1"


def test_a_full_queue_that_refuses_drops_dead_letters_too(broker: Broker) -> None:
    broker.declare_queue("dead", max_length=1, overflow="reject-publish")
    broker.declare_queue("q", max_length=0, dead_letter_exchange="", dead_letter_routing_key="dead")

    assert broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)]) == [1, 1]

    assert [message.body for message in messages(broker, "dead")] == [b"0"]


def test_a_dead_letter_may_be_shown_to_the_readers_of_a_stream(broker: Broker) -> None:
    broker.declare_queue("dead", queue_type="stream")
    broker.declare_queue("q", max_length=0, dead_letter_exchange="", dead_letter_routing_key="dead")

    broker.publish(b"1", routing_key="q")

    with broker.consume("dead", auto_ack=False, offset="first", timeout=5) as consumer:
        assert shown(next(consumer)) == [("q", "maxlen", 1)]


# --- its history


def test_the_first_death_is_told_whole(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", dead_letter_exchange=dlx)
    broker.bind("q", "amq.topic", "a.#")
    broker.publish(
        b"", exchange="amq.topic", routing_key="a.b", headers={"CC": ["c"], "BCC": ["secret"]}, expiration="20"
    )
    before = datetime.now(UTC)

    dead = get(broker, "dead")

    assert deaths(dead) == [
        {
            "count": 1,
            "reason": "expired",
            "queue": "q",
            "exchange": "amq.topic",
            "routing-keys": ["a.b", "c"],
            "original-expiration": "20",
        }
    ]
    rows: Any = dead.headers["x-death"]
    assert abs(rows[0]["time"] - before) < timedelta(seconds=3)
    for which in ("first", "last"):
        told = [dead.headers[f"x-{which}-death-{what}"] for what in ("queue", "reason", "exchange")]
        assert told == ["q", "expired", "amq.topic"]


def test_its_expiration_is_gone_so_that_it_does_not_expire_again(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    broker.publish(b"", routing_key="q", expiration="50")
    until = time.monotonic() + 0.06

    wait_until(lambda: time.monotonic() > until)
    dead = get(broker, "dead")

    assert dead.properties.expiration is None
    assert deaths(dead)[0]["original-expiration"] == "50"


def test_a_message_without_an_expiration_has_no_original_one(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", message_ttl=SHORT, dead_letter_exchange=dlx)
    broker.publish(b"", routing_key="q")

    assert "original-expiration" not in deaths(get(broker, "dead"))[0]


def test_a_chain_of_deaths_has_a_row_for_each_queue_the_newest_first(broker: Broker) -> None:
    broker.declare_queue("dead")
    broker.declare_queue("second", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.declare_queue("first", max_length=0, dead_letter_exchange="", dead_letter_routing_key="second")
    broker.publish(b"1", routing_key="first", expiration="60000")

    dead = get(broker, "dead")

    assert deaths(dead) == [
        {"count": 1, "reason": "expired", "queue": "second", "exchange": "", "routing-keys": ["second"]},
        {
            "count": 1,
            "reason": "maxlen",
            "queue": "first",
            "exchange": "",
            "routing-keys": ["first"],
            "original-expiration": "60000",
        },
    ]
    names = ("x-first-death-queue", "x-first-death-reason", "x-last-death-queue", "x-last-death-reason")
    assert [dead.headers[name] for name in names] == ["first", "maxlen", "second", "expired"]


def test_of_many_deaths_each_comes_before_the_one_it_followed(broker: Broker) -> None:
    """RabbitMQ 3.10 turns the older ones round at every death; its documentation has the newest first."""
    names = [f"q{number}" for number in range(5)]
    for name, after in zip(names, [*names[1:], "dead"], strict=True):
        broker.declare_queue(name, dead_letter_exchange="", dead_letter_routing_key=after)
    broker.declare_queue("dead")
    broker.publish(b"", routing_key="q0")

    for name in names:
        (get(broker, name)).reject()

    assert [queue for queue, _, _ in shown(get(broker, "dead"))] == names[::-1]


def test_the_same_death_again_counts_and_comes_to_the_front(broker: Broker) -> None:
    broker.declare_queue("one", dead_letter_exchange="", dead_letter_routing_key="two")
    broker.declare_queue("two", dead_letter_exchange="", dead_letter_routing_key="one")
    broker.publish(b"", exchange="", routing_key="one")

    (get(broker, "one")).reject()
    once = get(broker, "two")
    once.reject()
    first = int(time.time())

    def a_second_later() -> bool:
        return int(time.time()) > first  # a time in x-death has seconds

    wait_until(a_second_later)
    (get(broker, "one")).reject()
    dead = get(broker, "two")

    assert deaths(dead) == [
        {"count": 2, "reason": "rejected", "queue": "one", "exchange": "", "routing-keys": ["one"]},
        {"count": 1, "reason": "rejected", "queue": "two", "exchange": "", "routing-keys": ["two"]},
    ]
    names = ("x-first-death-queue", "x-last-death-queue")
    assert [dead.headers[name] for name in names] == ["one", "one"]
    assert died_at(dead, "one") == died_at(once, "one"), "the time of the first death stays"


def test_two_reasons_in_one_queue_are_two_rows(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", message_ttl=timedelta(milliseconds=200), dead_letter_exchange=dlx)
    broker.bind("q", dlx)
    broker.publish(b"", routing_key="q")
    (get(broker, "q")).reject()

    rejected, expired = get(broker, "dead"), get(broker, "dead")

    assert shown(rejected) == [("q", "rejected", 1)]
    assert shown(expired) == [("q", "expired", 1), ("q", "rejected", 1)]


def test_a_client_that_publishes_a_dead_letter_again_starts_its_history_anew(broker: Broker, dlx: str) -> None:
    broker.declare_queue("first", max_length=0, dead_letter_exchange=dlx)
    broker.declare_queue("second", max_length=0, dead_letter_exchange=dlx)
    broker.publish(b"", routing_key="first")
    once = get(broker, "dead")
    once.ack()

    broker.publish(once.body, routing_key="second", headers=once.headers)

    twice = get(broker, "dead")
    assert shown(twice) == [("second", "maxlen", 1)]
    assert (twice.headers["x-first-death-queue"], twice.headers["x-last-death-queue"]) == ("second", "second")


@pytest.mark.parametrize("forged", [[], [{"queue": "q", "reason": "maxlen", "count": 5}], "text", [1], None])
def test_a_history_that_a_publisher_made_up_is_not_believed(broker: Broker, dlx: str, forged: object) -> None:
    broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    headers: Table = {"x-death": forged, "x-first-death-queue": "forged"}  # type: ignore[dict-item]

    broker.publish(b"", routing_key="q", headers=headers)

    dead = get(broker, "dead")
    assert shown(dead) == [("q", "maxlen", 1)]
    assert dead.headers["x-first-death-queue"] == "q"


# --- CC and BCC


def test_a_dead_letter_goes_by_all_its_keys_and_keeps_cc(broker: Broker) -> None:
    broker.declare_exchange("dlx", "direct")
    for key in ("q", "cc", "bcc"):
        broker.declare_queue(f"dead-{key}")
        broker.bind(f"dead-{key}", "dlx", key)
    broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx")

    broker.publish(b"", routing_key="q", headers={"CC": ["cc"], "BCC": ["bcc"]})

    for key in ("q", "cc", "bcc"):
        dead = broker.get(f"dead-{key}")
        assert dead is not None
        assert (dead.routing_key, dead.headers["CC"], "BCC" in dead.headers) == ("q", ["cc"], False)


def test_a_dead_letter_key_of_the_queue_takes_the_place_of_all_keys(broker: Broker) -> None:
    broker.declare_exchange("dlx", "direct")
    for key in ("q", "cc", "bcc", "own"):
        broker.declare_queue(f"dead-{key}")
        broker.bind(f"dead-{key}", "dlx", key)
    broker.declare_queue("q", max_length=0, dead_letter_exchange="dlx", dead_letter_routing_key="own")

    broker.publish(b"", routing_key="q", headers={"CC": ["cc"], "BCC": ["bcc"]})

    assert [ready(broker, f"dead-{key}") for key in ("q", "cc", "bcc")] == [0, 0, 0]
    dead = broker.get("dead-own")
    assert dead is not None
    assert "CC" not in dead.headers
    assert deaths(dead)[0]["routing-keys"] == ["q", "cc"]


def test_keys_that_a_dead_letter_key_took_the_place_of_do_not_come_back(broker: Broker) -> None:
    broker.declare_exchange("dlx", "direct")
    broker.declare_queue("first", max_length=0, dead_letter_exchange="dlx", dead_letter_routing_key="own")
    broker.declare_queue("second", max_length=0, dead_letter_exchange="dlx")
    broker.bind("second", "dlx", "own")
    for key in ("cc", "bcc"):
        broker.declare_queue(f"dead-{key}")
        broker.bind(f"dead-{key}", "dlx", key)

    broker.publish(b"", routing_key="first", headers={"CC": ["cc"], "BCC": ["bcc"]})

    assert [ready(broker, f"dead-{key}") for key in ("cc", "bcc")] == [0, 0]


# --- cycles


def test_a_cycle_of_expiries_ends_where_it_began(broker: Broker) -> None:
    broker.declare_queue("one", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="two")
    broker.declare_queue("two", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="one")
    broker.publish(b"", routing_key="one")
    died = 0

    def both_died() -> bool:
        nonlocal died
        died += (broker.reap()).died
        return died == 2

    wait_until(both_died)

    assert (ready(broker, "one"), ready(broker, "two")) == (0, 0)


def test_a_queue_that_is_full_does_not_dead_letter_into_itself(broker: Broker) -> None:
    broker.declare_queue("q", max_length=1, dead_letter_exchange="", dead_letter_routing_key="q")

    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    assert [message.body for message in messages(broker, "q")] == [b"2"]


def test_a_cycle_drops_only_the_copy_for_the_queue_that_it_has_been_in(broker: Broker, dlx: str) -> None:
    broker.declare_queue("q", max_length=0, dead_letter_exchange=dlx)
    broker.bind("q", dlx)

    broker.publish(b"", routing_key="q")

    assert (ready(broker, "q"), ready(broker)) == (0, 1)


def test_a_message_may_be_rejected_into_its_own_queue_for_ever(broker: Broker) -> None:
    broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="q")
    broker.publish(b"", routing_key="q")

    for _ in range(3):
        (get(broker, "q")).reject()

    assert shown(get(broker, "q")) == [("q", "rejected", 3)]


def test_a_reject_on_the_way_keeps_a_cycle_going(broker: Broker) -> None:
    broker.declare_queue("wait", message_ttl=SHORT, dead_letter_exchange="", dead_letter_routing_key="work")
    broker.declare_queue("work", dead_letter_exchange="", dead_letter_routing_key="wait")
    broker.publish(b"", routing_key="work")

    for _ in range(3):
        (get(broker, "work")).reject()

    assert shown(get(broker, "work")) == [("wait", "expired", 3), ("work", "rejected", 3)]


# --- bad input


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("x-dead-letter-exchange", {"x-dead-letter-exchange": 5}),
        ("x-dead-letter-exchange", {"x-dead-letter-exchange": None}),
        ("x-dead-letter-routing-key", {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": 5}),
        ("x-dead-letter-routing-key", {"x-dead-letter-routing-key": "key"}),
        ("x-dead-letter-strategy", {"x-dead-letter-exchange": "dlx", "x-dead-letter-strategy": "at-least-once"}),
    ],
)
def test_wrong_arguments_are_a_failed_precondition(broker: Broker, argument: str, arguments: Table) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", arguments=arguments)

    assert caught.value.argument == argument
    assert broker.queues() == []


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("x-dead-letter-exchange", {}),
        ("x-dead-letter-exchange", {"dead_letter_exchange": "other", "dead_letter_routing_key": "key"}),
        ("x-dead-letter-routing-key", {"dead_letter_exchange": "dlx"}),
    ],
)
def test_a_second_declare_must_repeat_exchange_and_key(broker: Broker, argument: str, options: dict[str, Any]) -> None:
    broker.declare_queue("q", dead_letter_exchange="dlx", dead_letter_routing_key="key")

    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", **options)

    assert caught.value.argument == argument
