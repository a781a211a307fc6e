"""Moving and copying while clients and servers are killed with -9: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from rexchange import Broker, Message, scripts
from tests.chaos.conftest import SHORT, Make
from tests.chaos.doomed import Doomed
from tests.chaos.proxy import Proxy
from tests.chaos.servers import KINDS, Server, running, until

MOVE = scripts.load("move").sha.encode()
COUNT = 2000
PAGE = 100
KILLS = 5


def bodies(broker: Broker, queue: str) -> Counter[bytes]:
    return Counter(message.body for message in broker.browse(queue, limit=10 * COUNT))


WANTED = Counter(b"%d" % number for number in range(COUNT))


def fill(broker: Broker) -> None:
    for queue in ("a", "b"):
        broker.declare_queue(queue)
    for first in range(0, COUNT, 1000):
        broker.publish_many([Message(b"%d" % i, routing_key="a") for i in range(first, first + 1000)])


def test_a_client_killed_before_its_page_arrived_moved_nothing_more(
    make: Make, proxy: Proxy, vhost: str, outside: redis.Redis
) -> None:
    broker = make()
    fill(broker)
    victim = Doomed("move", proxy.url(), vhost).told("ready")
    lost = proxy.lie(MOVE, b"", 100)  # the server never sees it, and no answer comes
    victim.go()
    until(lambda: lost.done, 10, "a page sent")
    victim.end()
    assert outside.xlen(f"rx:{{{vhost}}}:stream:b") == 0
    assert broker.move("a", "b") == COUNT
    assert bodies(broker, "b") == WANTED


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_a_client_killed_after_its_page_was_sent_leaves_a_whole_page(
    make: Make, proxy: Proxy, vhost: str, verb: str
) -> None:
    broker = make()
    fill(broker)
    victim = Doomed(verb, proxy.url(), vhost).told("ready")
    proxy.hold()
    victim.go()
    until(lambda: broker.browse("b", limit=1), 10, "a page done")
    victim.end()
    assert len(broker.browse("b", limit=COUNT)) == PAGE
    if verb == "move":
        assert bodies(broker, "a") + bodies(broker, "b") == WANTED
        assert broker.move("a", "b") == COUNT - PAGE
        assert [each.body for each in broker.browse("b", limit=COUNT)] == [b"%d" % number for number in range(COUNT)]
    else:
        assert bodies(broker, "a") == WANTED


def test_clients_killed_at_any_moment_lose_and_double_nothing(
    make: Make, server: Server, vhost: str, outside: redis.Redis
) -> None:
    broker = make()
    fill(broker)
    chance = random.Random(4)
    moments: list[tuple[int, int]] = []
    for _ in range(KILLS):
        victim = Doomed("move", server.url, vhost, back=True).told("ready")
        connected = len(outside.client_list())
        victim.go()
        threading.Event().wait(chance.uniform(0.02, 0.15))
        victim.end()
        # Its connection is gone: the server has done all that it will do of what was sent.
        until(lambda: len(outside.client_list()) < connected, 10, "the end of its connection")  # noqa: B023 - now
        found = bodies(broker, "a"), bodies(broker, "b")
        moments.append((found[0].total(), found[1].total()))
        assert found[0] + found[1] == WANTED
    assert any(0 < left < COUNT for left, _ in moments), f"none was killed in the middle: {moments}"


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, with AOF."""
    with running(request.param) as made:
        yield made


@pytest.mark.parametrize("is_done", [False, True], ids=["before the page", "after the page, before its reply"])
def test_a_server_killed_at_each_step_loses_and_doubles_nothing(mortal: Server, *, is_done: bool) -> None:
    with Proxy(mortal.port) as proxy, Broker(proxy.url(), vhost="v", **SHORT) as broker:
        fill(broker)
        broker.declare_queue("copies")
        assert broker.move("a", "b", limit=700) == 700
        assert across_a_kill(mortal, proxy, partial(broker.move, "a"), "b", is_done=is_done) == COUNT - 700
        assert across_a_kill(mortal, proxy, partial(broker.copy, "b"), "copies", is_done=is_done) == COUNT
        assert bodies(broker, "b") == WANTED
        assert bodies(broker, "copies") == WANTED
        assert bodies(broker, "a") == Counter()


def across_a_kill(mortal: Server, proxy: Proxy, work: Callable[[str], int], target: str, *, is_done: bool) -> int:
    """Do the work while the server dies at its first page, which never arrives, or is done and its reply is lost."""
    result: list[int] = []

    def length() -> int:
        with mortal.client() as client:
            return int(client.xlen(f"rx:{{v}}:stream:{target}"))

    wanted = length() + (PAGE if is_done else 0)
    rule = proxy.cut(MOVE) if is_done else proxy.lie(MOVE, b"")
    proxy.hold()
    thread = threading.Thread(target=lambda: result.append(work(target)))
    thread.start()
    until(lambda: rule.done and length() == wanted, 10, "the page")
    mortal.kill()
    mortal.start()
    proxy.release()
    thread.join(20)
    return result[0]


def test_servers_killed_at_any_moment_lose_and_double_nothing(mortal: Server) -> None:
    """The client goes on where its reply was lost: what move and copy return is right too."""
    with Broker(mortal.url, vhost="v", **SHORT) as broker:
        fill(broker)
        broker.declare_queue("copies")
        done: list[int] = []
        copies: list[Counter[bytes]] = []
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                done.append(broker.move("a", "b"))
                done.append(broker.copy("b", "copies"))
                done.append(broker.move("b", "a"))
                copies.append(bodies(broker, "copies"))
                broker.purge("copies")

        thread = threading.Thread(target=work)
        thread.start()
        chance = random.Random(5)
        for _ in range(KILLS):
            before = len(done)
            until(lambda: len(done) > before or not thread.is_alive(), 20, "a round")  # noqa: B023 - now
            threading.Event().wait(chance.uniform(0, 0.1))
            mortal.kill()
            mortal.start()
        over.set()
        thread.join(25)
        assert broker.counters.retries >= KILLS
        assert done == [COUNT] * len(done)
        assert copies == [WANTED] * (len(done) // 3)
        assert bodies(broker, "a") == WANTED
        assert bodies(broker, "b") == Counter()
