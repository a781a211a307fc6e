"""What each contestant's two processes do: the standard library only, as it runs in the contestants' own venvs.

The harness starts an adapter twice, as publisher and as consumer, and speaks JSON lines with both over a socket. The
consumer reports *marks*: after so many messages, the time, its CPU and its memory. Marks travel as datagrams, which
the harness reads, and the publisher while it measures round trips.

By hand, with no harness: `VENV/bin/python peer_x.py '{"url": "redis://127.0.0.1:6379/9", "count": 1000}'`.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import socket
import struct
import sys
import threading
import time
from importlib.metadata import version

NAME = "rx-bench"  # of every exchange and queue, so that the harness can remove what a killed contestant left
BINDING_KEY = "user.*.created"
ROUTING_KEY = "user.1.created"
BATCH = 100
PREFETCH = 200
MARK = struct.Struct("qddq")  # messages so far, CLOCK_MONOTONIC, CPU seconds, peak memory in KiB
SLOT = struct.Struct("qd")  # messages so far, CLOCK_MONOTONIC


class Contestant:
    """What an adapter fills in."""

    def __init__(self, url: str, variant: str) -> None:
        self.url, self.variant = url, variant

    def setup(self) -> None:
        """Connect and declare; both processes do it, before any message."""

    def publish(self, body: bytes, count: int) -> None:
        """Publish `count` messages; return when the library says that they are published."""
        raise NotImplementedError

    def consume(self, handled) -> None:
        """Consume and ack until killed, calling `handled()` once a message."""
        raise NotImplementedError


def batches(count: int):
    """Yield the sizes of the batches that make up `count`."""
    for start in range(0, count, BATCH):
        yield min(BATCH, count - start)


class Marks:
    """Counts handled messages and reports those that the harness asked for."""

    def __init__(self, send: socket.socket, at: list[int]) -> None:
        self._send, self._at = send, iter(at)
        self._count, self._next = 0, next(self._at)
        self._last = at[-1]

    def __call__(self) -> None:
        self._count += 1
        if self._count >= self._next:
            self._send.send(MARK.pack(self._count, time.monotonic(), time.process_time(), peak()))
            # After the last that was asked for, each: round trips are measured then.
            self._next = next(self._at, self._count + 1)


class Slot:
    """Counts handled messages in a file that all workers of a contestant share (a worker may fork for each job)."""

    def __init__(self, path: str, slot: int) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._at = slot * SLOT.size

    def __call__(self) -> None:
        count, _ = SLOT.unpack_from(self._map, self._at)
        SLOT.pack_into(self._map, self._at, count + 1, time.monotonic())


def peak() -> int:
    """Return the peak memory of this process in KiB."""
    try:
        # Not ru_maxrss where there is /proc: on Linux that begins with the memory of whoever started this process.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # macOS counts bytes


def timed(contestant: Contestant, size: int, count: int) -> dict:
    body = b"x" * size
    cpu, started = time.process_time(), time.monotonic()
    contestant.publish(body, count)
    ended = time.monotonic()
    return {"started": started, "ended": ended, "cpu": time.process_time() - cpu, "rss": peak()}


def round_trips(contestant: Contestant, marks: socket.socket, count: int, seconds: float) -> dict:
    """Publish, wait until the handler ran, again; at least three times, else until the time is up."""
    marks.settimeout(10)
    trips: list[float] = []
    began = time.monotonic()
    while len(trips) < count and (len(trips) < 3 or time.monotonic() < began + seconds):
        started = time.perf_counter()
        contestant.publish(b"x" * 200, 1)
        marks.recv(MARK.size)
        trips.append(time.perf_counter() - started)
    return {"trips": trips}


def serve(contestant: Contestant, order: dict) -> None:
    """Do what the harness says, until it closes the socket."""
    control = socket.socket(fileno=order["control"])
    lines = control.makefile("r")

    def answer(value: dict) -> None:
        control.sendall(json.dumps(value).encode() + b"\n")

    contestant.setup()
    answer({"ready": True, "versions": {name: version(name) for name in order["packages"]}})
    if order["role"] == "consumer":
        if not lines.readline():
            return
        if "slots" in order:
            handled = Slot(order["slots"], order["slot"])
        else:
            handled = Marks(socket.socket(fileno=order["marks"]), order["at"])
        # Libraries' workers want the main thread, for their signal handlers. When the harness goes, so does this.
        threading.Thread(target=lambda: (lines.readline(), os._exit(1)), daemon=True).start()
        contestant.consume(handled)
        return
    for line in lines:
        command = json.loads(line)
        if command["do"] == "publish":
            answer(timed(contestant, command["size"], command["count"]))
        else:
            marks = socket.socket(fileno=os.dup(order["marks"]))
            answer(round_trips(contestant, marks, command["count"], command["seconds"]))


def by_hand(contestant: Contestant, count: int) -> None:
    """Publish and consume in this process, and print how long each took."""
    contestant.setup()
    report = timed(contestant, 200, count)
    print(f"published {count} in {report['ended'] - report['started']:.3f} s")
    started = time.monotonic()
    seen = 0

    def handled() -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            print(f"consumed {count} in {time.monotonic() - started:.3f} s", flush=True)
            os._exit(0)

    contestant.consume(handled)


def main(kind: type[Contestant]) -> None:
    """Run as the first argument says, a JSON object."""
    order = json.loads(sys.argv[1])
    global PREFETCH  # noqa: PLW0603 - adapters read it when they declare or consume, which is later
    PREFETCH = order.get("prefetch", PREFETCH)
    contestant = kind(order["url"], order.get("variant", ""))
    if "role" in order:
        serve(contestant, order)
        os._exit(0)  # non-daemon threads of a library would keep it alive
    by_hand(contestant, order.get("count", 1000))
