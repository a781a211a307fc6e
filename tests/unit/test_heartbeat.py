"""The heartbeat on fakeredis, on a clock of the test's own: its thread's work runs here, and its sleeps only count."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from rexchange import Broker
from rexchange.errors import ScriptError, TopologyLost
from rexchange.protocol import settle, tick
from rexchange.protocol.call import Call, SessionGone
from rexchange.protocol.tick import Ticked
from rexchange.server import failures, heartbeat
from rexchange.server.heartbeat import POLL_S, SHORTEST_PAUSE_S, Heartbeat
from rexchange.settings import Settings, load
from rexchange.testing import forget

pytest.importorskip("fakeredis")

SETTINGS = load(heartbeat=5, session_timeout=15)
Hook = Callable[[], object]


class Clock:
    """Stands for `time` and for the thread's event: waiting is what makes it later. The last wait stops the thread."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.during: dict[int, Hook] = {}
        self.stop: Hook = lambda: None
        self.limit = 1
        self.poked = False

    def monotonic(self) -> float:
        return self.now

    def wait(self, left: float) -> None:
        """Stand for the wait after a failure and, on fakeredis, for that between two looks for the alarm."""
        self.waits.append(round(left, 3))
        if len(self.waits) in self.during:
            self.during[len(self.waits)]()
        else:
            self.now += left
        if len(self.waits) >= self.limit:
            self.stop()

    def set(self) -> None:
        self.poked = True

    def clear(self) -> None:
        self.poked = False

    def is_set(self) -> bool:
        return self.poked


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(heartbeat, "time", made)
    monkeypatch.setattr(failures, "backoff", lambda attempt: 0.5 * 2**attempt)
    return made


@pytest.fixture
def broker() -> Iterator[Broker]:
    name = secrets.token_hex(8)
    with Broker(f"memory://{name}") as opened:
        yield opened
    forget(name)


@pytest.fixture
def gone() -> list[str]:
    return []


def make(
    broker: Broker, clock: Clock, gone: list[str], settings: Settings = SETTINGS, *, blocking: bool = False
) -> Heartbeat:
    link = broker._link
    link.run(tick.open_session("s1", 1000))
    made = Heartbeat(
        link.address,
        settings,
        link.keys.vhost,
        lambda: link.vhost_id,
        "s1",
        lambda: gone.append("s1"),
        blocking=blocking,
    )
    made._poke = clock  # type: ignore[assignment]  # as much of an event as it uses
    clock.stop = made.stop
    return made


@pytest.fixture
def heart(broker: Broker, clock: Clock, gone: list[str], monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    """A heartbeat of session s1, which lives for a second; every renewal makes that 15. No alarm shortens its waits."""
    made = make(broker, clock, gone)
    monkeypatch.setattr(made, "_wait", lambda until, *, exact: clock.wait(until - clock.now))  # noqa: ARG005 - a stand-in
    return made


@pytest.fixture
def looking(broker: Broker, clock: Clock, gone: list[str]) -> Heartbeat:
    """One that looks for the alarm between its waits."""
    return make(broker, clock, gone)


def run(heart: Heartbeat, clock: Clock, waits: int) -> list[float]:
    """Run until it has waited so often; return for how long each time."""
    clock.limit = waits
    heart._run()
    return clock.waits


def ask(broker: Broker, *words: bytes | str) -> Any:
    return broker._link.commands.roundtrip([list(words)])[0]


def deadline(broker: Broker) -> float:
    return float(ask(broker, "ZSCORE", broker._link.keys.sessions, "s1"))


def answering(heart: Heartbeat, monkeypatch: pytest.MonkeyPatch, *answers: Ticked | Exception) -> list[str]:
    """Let ticks answer so, the last one again and again; returns the scripts that will have been called."""
    called: list[str] = []
    left = list(answers)

    def call(wanted: Call[Any]) -> Any:
        called.append(wanted.script)
        if wanted.script != "tick":
            return True
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(heart, "_call", call)
    return called


IDLE = Ticked(None, 0, 0, 0, 0, 0, 0)


# --- the session


def test_the_session_is_renewed_at_every_beat(heart: Heartbeat, clock: Clock, broker: Broker, gone: list[str]) -> None:
    before = deadline(broker)
    run(heart, clock, 10)
    assert clock.now >= 1005.0
    assert deadline(broker) > before + 10_000
    assert gone == []


def test_a_reaped_session_is_told_and_the_thread_ends(
    heart: Heartbeat, clock: Clock, broker: Broker, gone: list[str]
) -> None:
    ask(broker, "ZREM", broker._link.keys.sessions, "s1")
    run(heart, clock, 1000)
    assert gone == ["s1"]
    assert len(clock.waits) < 1000


def test_a_thread_that_is_stopped_ends(heart: Heartbeat, gone: list[str]) -> None:
    heart.start()
    heart.stop()
    heart.thread.join(timeout=10)
    assert not heart.thread.is_alive()
    assert gone == []


# --- when it wakes


def test_nothing_planned_means_to_sleep_until_the_next_beat(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = answering(heart, monkeypatch, IDLE)
    assert run(heart, clock, 3) == [5.0, 5.0, 5.0]
    assert called == ["tick", "session", "tick", "session", "tick"]


def test_it_wakes_for_the_next_deadline(heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    called = answering(heart, monkeypatch, Ticked(1500, 0, 0, 0, 0, 0, 0), Ticked(60_000, 0, 0, 0, 0, 0, 0))
    assert run(heart, clock, 2) == [1.5, 3.5]
    assert called == ["tick", "tick"]


@pytest.mark.parametrize(
    "busy", [Ticked(0, 0, 1, 9, 0, 0, 0), Ticked(0, 0, 1, 0, 9, 0, 0), Ticked(0, 0, 0, 0, 0, 9, 0)]
)
def test_it_goes_on_at_once_while_a_tick_gives_back_expires_or_routes(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch, busy: Ticked
) -> None:
    called = answering(heart, monkeypatch, busy, busy, IDLE)
    assert run(heart, clock, 1) == [5.0]
    assert called == ["tick"] * 3


def test_a_deadline_that_stays_due_is_no_busy_loop(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(heart, monkeypatch, Ticked(0, 0, 0, 0, 0, 0, 0))
    assert run(heart, clock, 3) == [SHORTEST_PAUSE_S] * 3


@pytest.mark.parametrize(("session_timeout", "longest"), [(12, 4.0), (15, 5.0), (30, 5.0)])
def test_it_ticks_three_times_in_a_sessions_life_for_a_long_pause_makes_the_dead_look_alive(
    broker: Broker,
    clock: Clock,
    gone: list[str],
    monkeypatch: pytest.MonkeyPatch,
    session_timeout: int,
    longest: float,
) -> None:
    heart = make(broker, clock, gone, load(heartbeat=5, session_timeout=session_timeout))
    monkeypatch.setattr(heart, "_wait", lambda until, *, exact: clock.wait(until - clock.now))  # noqa: ARG005 - a stand-in
    answering(heart, monkeypatch, IDLE)
    assert run(heart, clock, 1) == [longest]


# --- the alarm


def ring(broker: Broker) -> None:
    """As lua/lib/due.lua does when something is due sooner than the last tick announced."""
    ask(broker, "XADD", broker._link.keys.alarm, "NOMKSTREAM", "MAXLEN", "1", "*", "t", "1")


def test_the_alarm_ends_its_wait(
    looking: Heartbeat, clock: Clock, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = answering(looking, monkeypatch, IDLE)

    def at_the_third_look() -> None:
        clock.now += POLL_S
        ring(broker)

    clock.during = {3: at_the_third_look}
    assert run(looking, clock, 5) == [POLL_S] * 5
    assert called == ["tick", "tick"]  # at once, and after three waits


def test_the_alarm_rings_once(looking: Heartbeat, broker: Broker) -> None:
    ring(broker)
    assert [looking._alarmed([]) for _ in range(2)] == [True, False]
    ring(broker)
    ring(broker)
    assert [looking._alarmed([]) for _ in range(2)] == [True, False]


def test_without_an_alarm_it_waits_all_the_time(
    looking: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = answering(looking, monkeypatch, Ticked(50, 0, 0, 0, 0, 0, 0), IDLE)
    assert run(looking, clock, 4) == [0.02, 0.02, 0.01, 0.02]
    assert called == ["tick", "tick"]


@pytest.mark.parametrize("how", ["renewed", "stopped"])
def test_a_consumer_to_renew_and_its_own_end_end_its_wait_too(
    looking: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    called = answering(looking, monkeypatch, IDLE)
    clock.during = {2: looking.stop if how == "stopped" else lambda: looking.renew(Consumer(1.0, None))}
    assert run(looking, clock, 3 if how == "renewed" else 1000) == [POLL_S] * (3 if how == "renewed" else 2)
    assert called == ["tick"] * (2 if how == "renewed" else 1)


def test_where_the_server_can_wait_the_thread_does_not_look_but_waits(
    broker: Broker, clock: Clock, gone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = make(broker, clock, gone, blocking=True)
    sent: list[list[Any]] = []
    monkeypatch.setattr(heart, "_send", sent.append)
    heart._wait(clock.now + 1.5, exact=False)
    heart._wait(clock.now - 1, exact=False)
    alarm = broker._link.keys.alarm
    assert sent == [
        ["XREADGROUP", "GROUP", "g", "s1", "COUNT", 1, "BLOCK", block_ms, "NOACK", "STREAMS", alarm, ">"]
        for block_ms in (1500, 1)
    ]
    assert clock.waits == []


def test_near_a_deadline_it_looks_since_a_server_with_nothing_to_do_ends_a_block_late(
    broker: Broker, clock: Clock, gone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = make(broker, clock, gone, blocking=True)
    sent: list[Any] = []

    def send(command: list[Any]) -> None:
        block_ms = command[command.index("BLOCK") + 1] if "BLOCK" in command else 0
        sent.append(block_ms)
        clock.now += block_ms / 1000

    monkeypatch.setattr(heart, "_send", send)
    clock.limit = 1000
    heart._wait(clock.now + 0.25, exact=True)
    assert sent == [140] + [0] * 6
    assert sum(clock.waits) == pytest.approx(0.11)
    sent.clear()
    heart._wait(clock.now + 0.02, exact=True)
    assert sent == [0]


def test_a_wait_that_was_ended_on_purpose_is_no_failure(
    broker: Broker, clock: Clock, gone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = make(broker, clock, gone, blocking=True)
    called = answering(heart, monkeypatch, IDLE)
    waits = 0

    def interrupted(_until: float, *, exact: bool) -> None:  # noqa: ARG001 - a stand-in
        nonlocal waits
        waits += 1
        if waits == 1:
            heart.renew(Consumer(1.0, None))
        else:
            heart.stop()
        raise RedisConnectionError("shut down")

    monkeypatch.setattr(heart, "_wait", interrupted)
    heart._run()
    assert called == ["tick", "tick"]
    assert clock.waits == []


def test_a_call_that_was_ended_on_purpose_when_a_round_had_just_begun_is_no_failure(
    broker: Broker, clock: Clock, gone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = make(broker, clock, gone, blocking=True)
    monkeypatch.setattr(heartbeat, "interrupt", lambda _connection: clock.clear())  # as the thread does at that moment
    called: list[str] = []

    def call(wanted: Call[Any]) -> Any:
        called.append(wanted.script)
        if len(called) == 1:
            heart.renew(Consumer(1.0, None))
            raise RedisConnectionError("shut down")
        heart.stop()
        return IDLE

    monkeypatch.setattr(heart, "_call", call)
    heart._run()
    assert called == ["tick", "tick"]
    assert clock.waits == []


# --- failures


def test_failures_are_waited_out_longer_and_longer_but_never_past_a_beat(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = TopologyLost("it is gone")
    answering(heart, monkeypatch, lost, lost, lost, lost, lost, IDLE, lost, IDLE)
    with caplog.at_level(logging.DEBUG, "rexchange.heartbeat"):
        assert run(heart, clock, 7) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 0.5]
    assert "failed: it is gone" in caplog.text


def test_what_nobody_else_may_meet_is_told_once(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = ScriptError("NOPERM this user has no permissions to run the 'zrangebyscore' command")
    answering(heart, monkeypatch, refused, refused, IDLE, refused, IDLE)
    run(heart, clock, 4)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert all("the heartbeat failed" in text and "zrangebyscore" in text for text in told)


@pytest.mark.parametrize(
    "error",
    [RedisConnectionError("reset by peer"), ResponseError("LOADING it is"), ResponseError("NOGROUP no such key")],
)
def test_a_lost_server_is_told_by_others(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    answering(heart, monkeypatch, error, IDLE)
    run(heart, clock, 2)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_lost_topology_is_a_typed_error_inside(heart: Heartbeat, clock: Clock, broker: Broker) -> None:
    ask(broker, "FLUSHALL")
    with pytest.raises(TopologyLost):
        heart._call(tick.tick(1000))
    assert run(heart, clock, 2) == [0.5, 1.0]


def test_a_dead_connection_is_a_typed_error_and_is_made_anew(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch, gone: list[str]
) -> None:
    send, failing = heart._send, [RedisConnectionError("reset by peer")] * 2

    def unlucky(command: list[Any]) -> Any:
        if failing:
            raise failing.pop()
        return send(command)

    monkeypatch.setattr(heart, "_send", unlucky)
    assert run(heart, clock, 3)[:2] == [0.5, 1.0]
    assert failing == []
    assert gone == []


def test_a_server_that_forgot_its_scripts_is_given_them_again(heart: Heartbeat, broker: Broker) -> None:
    ask(broker, "SCRIPT", "FLUSH")
    assert heart._call(tick.renew_session("s1", 1000)) is True
    assert heart._call(tick.renew_session("s1", 1000)) is True


def test_a_refusal_of_a_script_keeps_its_meaning(heart: Heartbeat, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_command: list[Any]) -> Any:
        raise ResponseError("SESSION_GONE session|s1|it was reaped")

    monkeypatch.setattr(heart, "_send", refuse)
    with pytest.raises(SessionGone):
        heart._call(tick.tick(1000))


# --- deliveries that are renewed


class Consumer:
    """A consumer with renew=True that holds one delivery, or none."""

    def __init__(self, interval: float, call: Call[list[tuple[int, bytes]]] | None) -> None:
        self.interval = interval
        self.call = call
        self.asked = 0
        self.stale: list[tuple[int, bytes]] = []
        self.on_lost: Hook = lambda: None

    def extension(self) -> Call[list[tuple[int, bytes]]] | None:
        self.asked += 1
        return self.call

    def lost(self, stale: list[tuple[int, bytes]]) -> None:
        self.stale += stale
        self.on_lost()


def test_deliveries_are_renewed_at_their_own_pace(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def call(wanted: Call[Any]) -> Any:
        called.append(wanted.script)
        return [] if wanted.script == "extend" else IDLE if wanted.script == "tick" else True

    monkeypatch.setattr(heart, "_call", call)
    busy = Consumer(2.0, settle.extend("c", ["q"], [[b"1-0"]]))
    idle = Consumer(3.0, None)
    heart.renew(busy)
    heart.renew(idle)
    assert run(heart, clock, 4) == [2.0, 1.0, 1.0, 1.0]  # at 2, 3, 4, and the beat at 5
    assert (busy.asked, idle.asked) == (2, 1)
    assert called == ["tick", "extend", "tick", "tick", "extend", "tick"]


def test_what_was_given_to_another_meanwhile_is_told(heart: Heartbeat, broker: Broker, clock: Clock) -> None:
    broker.declare_queue("q")
    consumer = Consumer(2.0, settle.extend("nobody", ["q"], [[b"1-0"]]))
    heart.renew(consumer)
    consumer.on_lost = heart.stop
    run(heart, clock, 1000)
    assert consumer.stale == [(0, b"1-0")]


def test_a_consumer_that_ends_is_forgotten_even_while_it_is_told(
    heart: Heartbeat, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "_call", lambda call: [] if call.script == "extend" else IDLE)
    ended = Consumer(1.0, settle.extend("c", ["q"], [[b"1-0"]]))
    ended.on_lost = lambda: heart.forget(ended)
    heart.renew(ended)
    heart.renew(never := Consumer(1.5, None))
    heart.forget(never)
    assert run(heart, clock, 2) == [1.0, 4.0]
    assert (ended.asked, never.asked) == (1, 0)
