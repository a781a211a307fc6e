# Generated from tests/conformance/async_/test_ttl.py by `python tools/unasync.py`. Do not edit.
"""Message TTL: of a queue and of a message (docs/semantics.md, Queues)."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from rexchange import Broker, Delivery, Message
from rexchange.errors import InvalidArgument, PreconditionFailed
from rexchange.keyspace import Keys
from rexchange.testing import drain, wait_until
from tests.conformance.sync_.support import Background, is_waiting
from tests.support.faults import Faults
from tests.support.servers import Bare

SHORT = timedelta(milliseconds=100)
LIFE = timedelta(milliseconds=600)  # long enough to be read before


def ready(broker: Broker, queue: str = "q") -> int:
    """Return how many are ready."""
    return (broker.declare_queue(queue, passive=True)).message_count


def past(milliseconds: int) -> None:
    """Let so much time go by: what is to expire in it has expired."""
    until = time.monotonic() + milliseconds / 1000
    wait_until(lambda: time.monotonic() > until)


def with_dead_letters(broker: Broker, **options: timedelta) -> None:
    """Declare q, and dead for what dies in it."""
    broker.declare_queue("dead")
    broker.declare_queue("q", dead_letter_exchange="", dead_letter_routing_key="dead", **options)  # type: ignore[arg-type]


# --- how long


def test_a_message_expires_after_the_ttl_of_its_queue(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=SHORT)
    broker.publish(b"", routing_key="q")

    past(110)

    assert broker.get("q") is None
    assert ready(broker) == 0


def test_a_message_expires_after_its_own_expiration(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q", expiration="100")

    past(110)

    assert broker.get("q") is None
    assert ready(broker) == 0


@pytest.mark.parametrize(("ttl_ms", "expiration"), [(500, "60000"), (60_000, "500")])
def test_the_shorter_one_of_ttl_and_expiration_holds(broker: Broker, ttl_ms: int, expiration: str) -> None:
    broker.declare_queue("q", message_ttl=timedelta(milliseconds=ttl_ms))
    broker.publish(b"", routing_key="q", expiration=expiration)
    assert ready(broker) == 1

    past(510)

    assert ready(broker) == 0


def test_an_expiration_holds_in_each_queue_with_that_queues_own_ttl(broker: Broker) -> None:
    for name, ttl in (("short", SHORT), ("long", timedelta(minutes=1))):
        broker.declare_queue(name, message_ttl=ttl)
        broker.bind(name, "amq.fanout")
    broker.publish(b"", exchange="amq.fanout", expiration="60000")

    past(110)

    assert (ready(broker, "short"), ready(broker, "long")) == (0, 1)


def test_the_ttl_is_the_argument_x_message_ttl(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=timedelta(seconds=90))

    queue = broker.declare_queue("q", arguments={"x-message-ttl": 90_000})

    assert queue.arguments == {"x-message-ttl": 90_000}
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", message_ttl=timedelta(seconds=91))
    assert caught.value.argument == "x-message-ttl"


def test_what_lives_is_delivered_with_its_expiration(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=timedelta(minutes=1))
    broker.publish(b"1", routing_key="q", expiration="30000")

    with broker.consume("q", timeout=5) as consumer:
        delivery = next(consumer)

    assert (delivery.body, delivery.properties.expiration, delivery.redelivered) == (b"1", "30000", False)


# --- what has expired is never delivered


def test_get_passes_over_what_has_expired(broker: Broker) -> None:
    broker.declare_queue("q")
    messages = [Message(b"short", routing_key="q", expiration="20") for _ in range(3)]
    broker.publish_many([*messages, Message(b"long", routing_key="q")])

    past(30)

    assert [delivery.body for delivery in drain(broker, "q")] == [b"long"]


@pytest.mark.parametrize("managed", [False, True])
def test_get_and_consumers_pass_over_many_that_have_expired(broker: Broker, managed: bool) -> None:
    broker.declare_queue("q")
    broker.declare_queue("other")
    for body in (b"got", b"consumed"):
        broker.publish_many([Message(b"dead", routing_key="q", expiration="20") for _ in range(250)])
        broker.publish(body, routing_key="q")

    past(30)

    delivery = broker.get("q")
    assert delivery is not None
    assert delivery.body == b"got"
    with broker.consume(["q", "other"] if managed else "q", timeout=5) as consumer:
        assert (next(consumer)).body == b"consumed"


def test_a_consumer_that_waits_in_a_queue_with_a_ttl_is_woken(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=timedelta(minutes=1))
    with broker.consume("q", timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        wait_until(lambda: is_waiting(consumer))

        broker.publish(b"1", routing_key="q")

        assert (waiting.result()).body == b"1"


def test_a_consumer_that_was_blocked_already_is_not_shown_what_expired_on_its_way(broker: Broker) -> None:
    broker.declare_queue("q")
    # The reply takes longer than the message lives.
    rule = Faults(broker).during("XREADGROUP", lambda: time.sleep(0.06), times=1000)
    with broker.consume("q", auto_ack=False, prefetch=5, timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        wait_until(lambda: is_waiting(consumer))

        broker.publish_many([Message(b"short", routing_key="q", expiration="20"), Message(b"long", routing_key="q")])
        delivery = waiting.result()

        assert (delivery.body, delivery.redelivered, delivery.delivery_count) == (b"long", False, 1)
        assert rule.done
        assert (broker.queues())[0].unacked == 1
        delivery.ack(wait=True)
    assert ready(broker) == 0


def test_a_consumer_of_several_queues_is_not_shown_what_has_expired(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=SHORT)
    broker.declare_queue("other")
    broker.publish(b"expires", routing_key="q")
    broker.publish(b"stays", routing_key="other")
    past(110)

    with broker.consume(["q", "other"], timeout=0.05) as consumer:
        assert [delivery.body for delivery in consumer] == [b"stays"]


def test_behind_many_that_have_expired_a_consumer_of_several_queues_gets_all(broker: Broker) -> None:
    """More than one call passes over; the first takes the token that told of them."""
    broker.declare_queue("q")
    broker.declare_queue("other")
    with broker.consume(["q", "other"], auto_ack=False, prefetch=1) as consumer:
        assert consumer.next(timeout=0) is None
        broker.publish_many([Message(b"", routing_key="q", expiration="20")] * 150)
        broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])
        past(30)
        for number in range(3):
            delivery = consumer.next(timeout=10)
            assert delivery is not None
            assert delivery.body == b"%d" % number
            delivery.ack()


def test_counts_do_not_show_what_has_expired_where_nobody_runs_the_reaper(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=SHORT)
    broker.publish_many([Message(b"", routing_key="q")] * 3)
    past(110)

    assert (broker.queues())[0].ready == 0
    assert (broker.declare_queue("q", message_ttl=SHORT)).message_count == 0
    assert (broker.status()).sessions == 0


def test_purge_does_not_count_what_has_expired(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"", routing_key="q", expiration="20")
    broker.publish(b"", routing_key="q")
    past(30)

    assert broker.purge("q") == 1


def test_what_has_expired_does_not_hold_up_if_empty(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=SHORT)
    broker.publish(b"", routing_key="q")
    past(110)

    assert broker.delete_queue("q", if_empty=True) == 0

    assert broker.queues() == []


def test_the_reaper_drops_what_has_expired_and_says_how_many(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=SHORT)
    broker.publish_many([Message(b"", routing_key="q")] * 150)
    past(110)

    assert (broker.reap()).died == 150


# --- at the head only


def test_what_expired_behind_a_live_head_is_counted_until_it_is_the_head(broker: Broker) -> None:
    with_dead_letters(broker)
    broker.publish(b"head", routing_key="q")
    broker.publish(b"behind", routing_key="q", expiration="20")
    past(30)
    broker.reap()
    assert (ready(broker), ready(broker, "dead")) == (2, 0)

    head = broker.get("q", auto_ack=False)
    assert head is not None
    assert head.body == b"head"

    assert (ready(broker), ready(broker, "dead")) == (0, 1)
    head.ack()


def test_what_expired_behind_a_live_head_is_never_delivered(broker: Broker) -> None:
    broker.declare_queue("q")
    broker.publish(b"head", routing_key="q")
    broker.publish(b"behind", routing_key="q", expiration="20")
    broker.publish(b"last", routing_key="q")
    past(30)

    with broker.consume("q", auto_ack=False, prefetch=10, timeout=0.05) as consumer:
        assert [delivery.body for delivery in consumer] == [b"head", b"last"]


# --- unacked, and back again


def test_unacked_messages_do_not_expire(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=LIFE)
    broker.publish(b"", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None

    past(610)
    broker.reap()

    assert (broker.queues())[0].unacked == 1
    delivery.ack()  # it raises where the message is gone


def test_what_was_read_ahead_does_not_expire_either(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=LIFE)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(2)])

    with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        next(consumer)
        past(610)

        assert (next(consumer)).body == b"1"


def test_the_instant_of_expiry_is_kept_when_a_message_is_given_back(broker: Broker) -> None:
    with_dead_letters(broker, message_ttl=LIFE)
    broker.declare_queue("meanwhile", dead_letter_exchange="", dead_letter_routing_key="dead")
    broker.publish(b"given back", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    past(300)

    delivery.nack()
    broker.publish(b"sooner than with a life anew", routing_key="meanwhile", expiration="450")

    def died() -> bool:
        broker.reap()
        return ready(broker, "dead") == 2

    wait_until(died)
    dead = [each.body for each in drain(broker, "dead")]
    assert dead == [b"given back", b"sooner than with a life anew"]


def test_what_expired_while_it_was_unacked_dies_when_it_is_given_back(broker: Broker) -> None:
    with_dead_letters(broker, message_ttl=LIFE)
    broker.publish(b"", routing_key="q")
    delivery = broker.get("q", auto_ack=False)
    assert delivery is not None
    past(610)
    broker.reap()

    delivery.nack()

    assert (ready(broker), ready(broker, "dead")) == (0, 1)


def test_what_was_read_ahead_and_has_expired_dies_when_its_consumer_goes(broker: Broker) -> None:
    with_dead_letters(broker, message_ttl=LIFE)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    with broker.consume("q", auto_ack=False, prefetch=3, timeout=5) as consumer:
        next(consumer)
        past(610)
        broker.reap()

    assert sorted(delivery.body for delivery in drain(broker, "dead")) == [b"0", b"1", b"2"]
    assert ready(broker) == 0


def test_the_reaper_comes_for_what_was_given_back_and_expires_later(broker: Broker) -> None:
    with_dead_letters(broker)
    broker.publish_many([Message(b"", routing_key="q", expiration=ms) for ms in ("600", "1200")])
    with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        first = next(consumer)
        past(610)
        broker.reap()  # with nothing ready in it, the queue has no head to wait for
        first.ack()

    def died() -> bool:
        broker.reap()
        return ready(broker, "dead") == 1

    wait_until(died)


def test_what_was_acknowledged_on_receipt_and_not_shown_keeps_its_instant_of_expiry(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=LIFE)
    broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

    with broker.consume("q", prefetch=3, timeout=5) as consumer:
        next(consumer)
        past(610)

    assert ready(broker) == 0


# --- zero


def test_a_message_of_ttl_0_is_gone_where_no_consumer_has_room(broker: Broker) -> None:
    with_dead_letters(broker, message_ttl=timedelta(0))

    assert broker.publish(b"", routing_key="q") == 1

    assert (ready(broker), ready(broker, "dead")) == (0, 1)


def test_an_expiration_of_0_is_gone_where_no_consumer_has_room(broker: Broker) -> None:
    with_dead_letters(broker)

    assert broker.publish(b"", routing_key="q", expiration="0") == 1

    assert (ready(broker), ready(broker, "dead")) == (0, 1)


def test_a_message_of_ttl_0_goes_behind_what_is_there(broker: Broker) -> None:
    with_dead_letters(broker)
    broker.publish(b"head", routing_key="q")
    broker.publish(b"behind", routing_key="q", expiration="0")
    assert (ready(broker), ready(broker, "dead")) == (2, 0)

    assert [delivery.body for delivery in drain(broker, "q")] == [b"head"]

    assert ready(broker, "dead") == 1


@pytest.mark.parametrize("options", [{"message_ttl": timedelta(0)}, {}])
def test_a_message_of_ttl_0_reaches_a_consumer_that_waits(broker: Broker, options: dict[str, timedelta]) -> None:
    with_dead_letters(broker, **options)
    with broker.consume("q", auto_ack=False, prefetch=1, timeout=10) as consumer:

        def first() -> Delivery:
            return next(consumer)

        waiting = Background(first)
        wait_until(lambda: is_waiting(consumer))

        broker.publish(b"now", routing_key="q", expiration="0")

        assert (waiting.result()).body == b"now"
        broker.publish(b"too late", routing_key="q", expiration="0")  # its one place is taken
        assert (ready(broker), ready(broker, "dead")) == (0, 1)


def test_a_message_of_ttl_0_waits_for_a_consumer_that_has_room_for_it(broker: Broker) -> None:
    broker.declare_queue("q", message_ttl=timedelta(0))
    with broker.consume("q", auto_ack=False, prefetch=2, timeout=5) as consumer:
        broker.publish_many([Message(b"%d" % number, routing_key="q") for number in range(3)])

        assert [(next(consumer)).body for _ in range(2)] == [b"0", b"1"]
        consumer.ack(0, multiple=True, wait=True)
        assert consumer.next(timeout=0.05) is None


def test_a_message_of_ttl_0_waits_for_a_consumer_for_a_second_at_most(broker: Broker) -> None:
    with_dead_letters(broker, message_ttl=timedelta(0))
    with broker.consume("q", auto_ack=False):
        broker.publish(b"", routing_key="q")
        assert ready(broker) == 1

        past(1010)

        assert (ready(broker), ready(broker, "dead")) == (0, 1)


# --- bad input


@pytest.mark.parametrize("expiration", ["5 ", " 5", "abc", "-1", "1.5", "", "4294967296"])
def test_an_expiration_that_is_no_number_is_a_failed_precondition(
    broker: Broker, ask: Bare, keys: Keys, expiration: str
) -> None:
    broker.declare_queue("q")
    before = ask.dump(keys.prefix)

    with pytest.raises(PreconditionFailed) as caught:
        broker.publish(b"", routing_key="q", expiration=expiration)

    assert (caught.value.argument, caught.value.current) == ("expiration", expiration)
    assert ask.dump(keys.prefix) == before


@pytest.mark.parametrize("ttl", [-1, "5", 1.5, True, None, 1 << 32])
def test_a_ttl_that_is_no_number_is_a_failed_precondition(broker: Broker, ttl: object) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        broker.declare_queue("q", arguments={"x-message-ttl": ttl})  # type: ignore[dict-item]

    assert caught.value.argument == "x-message-ttl"
    assert broker.queues() == []


@pytest.mark.parametrize("ttl", [5, timedelta(milliseconds=-1), timedelta(days=50)])
def test_a_ttl_that_is_no_time_is_an_invalid_argument(broker: Broker, ttl: object) -> None:
    with pytest.raises(InvalidArgument):
        broker.declare_queue("q", message_ttl=ttl)  # type: ignore[arg-type]

    assert broker.queues() == []
