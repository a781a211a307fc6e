"""The sync flusher: its thread ends when it is closed, whenever that is."""

from __future__ import annotations

import threading

from rexchange._sync.io import Flusher


def test_closing_while_work_is_under_way_ends_the_thread() -> None:
    working, go_on = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        assert go_on.wait(10)

    flusher = Flusher(0.0, work)
    flusher.poke()
    assert working.wait(10)

    closing = threading.Thread(target=flusher.close)
    closing.start()
    go_on.set()
    closing.join(10)

    assert not closing.is_alive()


def test_closing_between_the_delay_and_the_work_ends_the_thread() -> None:
    """It hung once: the thread cleared the wish that `close` had just set, and waited for another for ever."""
    flusher = Flusher(0.0, lambda: None)
    wanted = flusher._wanted

    class Late(threading.Event):
        def clear(self) -> None:
            flusher._closing.set()
            self.set()
            super().clear()

    flusher._wanted = Late()
    flusher.poke()
    assert flusher._thread is not None
    flusher._thread.join(10)

    assert not flusher._thread.is_alive()
    assert not wanted.is_set()


def test_what_the_work_raises_does_not_end_it() -> None:
    done = threading.Event()
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            flusher.poke()
            raise RuntimeError("the first time")
        done.set()

    flusher = Flusher(0.0, work)
    flusher.poke()

    assert done.wait(10)
    flusher.close()


def test_a_flusher_that_was_never_used_has_no_thread() -> None:
    flusher = Flusher(0.0, lambda: None)
    flusher.close()

    assert flusher._thread is None
