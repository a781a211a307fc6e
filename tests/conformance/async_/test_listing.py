"""Looking: exchanges, queues, bindings, consumers, status, the server."""

from __future__ import annotations

from rexchange import AsyncBroker, Message
from tests.conformance.async_.support import Connect


async def test_queues_are_listed_by_name_with_their_counts(broker: AsyncBroker) -> None:
    for name in ("b", "a", "c"):
        await broker.declare_queue(name)
    await broker.publish_many([Message(b"", routing_key="a")] * 3)
    delivery = await broker.get("a", auto_ack=False)
    assert delivery is not None

    async with broker.consume("b"), broker.consume(["b", "c"]):
        listed = [(info.queue.name, info.ready, info.unacked, info.consumers) for info in await broker.queues()]

    assert listed == [("a", 2, 1, 0), ("b", 0, 0, 2), ("c", 0, 0, 1)]
    await delivery.nack()
    assert [(info.ready, info.unacked) for info in await broker.queues()] == [(3, 0), (0, 0), (0, 0)]


async def test_more_than_a_page_is_listed_whole(broker: AsyncBroker) -> None:
    names = sorted(f"q{number}" for number in range(250))
    for name in names:
        await broker.declare_queue(name)
        await broker.bind(name, "amq.direct", name)

    assert [info.queue.name for info in await broker.queues()] == names
    assert sorted(binding.destination for binding in await broker.bindings()) == names
    assert len(await broker.bindings("amq.direct")) == 250


async def test_bindings_of_a_missing_exchange_are_none(broker: AsyncBroker) -> None:
    assert await broker.bindings("missing") == []


async def test_consumers_of_all_brokers_are_listed(broker: AsyncBroker, connect: Connect) -> None:
    other = await connect()
    await broker.declare_queue("q")

    async with broker.consume("q", tag="one"), other.consume("q", tag="two"):
        listed = await broker.consumers()

        assert {each.tag for each in listed} == {"one", "two"}
        assert len({each.session for each in listed}) == 2


async def test_status_counts(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q")

    async with broker.consume("q"):
        status = await broker.status()

    assert (status.sessions, status.consumers, status.queues, status.exchanges, status.lanes) == (1, 1, 1, 6, 1)


async def test_a_broker_that_only_publishes_has_no_session(broker: AsyncBroker) -> None:
    await broker.declare_queue("q")
    await broker.publish(b"", routing_key="q")

    assert (await broker.status()).sessions == 0


async def test_the_server_says_what_it_is(broker: AsyncBroker) -> None:
    facts = await broker.server()

    assert facts.kind in {"redis", "valkey", "fakeredis"}
    assert facts.version
    assert facts.mode == "standalone"


async def test_reap_of_an_idle_vhost_does_nothing(broker: AsyncBroker) -> None:
    done = await broker.reap()

    assert (done.sessions, done.queues, done.given_back, done.lanes, done.next_ms) == (0, 0, 0, 0, None)
