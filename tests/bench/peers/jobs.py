"""Steven Yue's benchmark of Python task queues: no-op jobs, all in the queue, drained by 10 workers.

His are 20,000; a contestant that would need longer than its time box gets fewer, and the result says how many. A worker
here is a process with the library's own worker in it; for rexchange, a consumer loop. The clock starts when ten
processes that have connected are told to go, and stops when the last job was handled.
"""

from __future__ import annotations

import struct
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.peers.process import Failed, Process
from tests.bench.peers.roster import REPORTED, Contestant

JOBS = 20_000
WORKERS = 10
FEW_WORKERS = 3  # of a quick run
PREFETCH = 20  # of all that have a setting for it: with 200, the first workers would leave nothing to the others
_SLOT = struct.Struct("qd")  # as in contestants/runner.py
_LIMIT_S = 40.0
_POLL_S = 0.005
_FEWEST = 200


def count_for(rate: float, box_s: float) -> int:
    """Return how many jobs fit into the time box."""
    return int(max(_FEWEST, min(JOBS, rate * box_s)))


def _handled(slots: Path) -> tuple[int, float]:
    found = list(_SLOT.iter_unpack(slots.read_bytes()))
    return sum(count for count, _ in found), max(at for _, at in found)


def drain(contestant: Contestant, python: Path, url: str, count: int, crew: int = WORKERS) -> dict[str, Any]:
    """Return how many jobs there were, and the seconds to publish and to drain them."""
    order = {"url": url, "packages": REPORTED[contestant.venv], "prefetch": PREFETCH}
    with tempfile.TemporaryDirectory(prefix="rx-bench-") as folder, ExitStack() as stack:
        slots = Path(folder) / "slots"
        slots.write_bytes(bytes(_SLOT.size * crew))
        publisher = stack.enter_context(Process(contestant, python, {**order, "role": "publisher"}))
        publisher.ready()
        publisher.tell(do="publish", size=200, count=count)
        published = publisher.answer(_LIMIT_S)
        workers = [
            stack.enter_context(
                Process(contestant, python, {**order, "role": "consumer", "slots": str(slots), "slot": number})
            )
            for number in range(crew)
        ]
        for worker in workers:
            worker.ready()
        started = time.monotonic()
        for worker in workers:
            worker.tell(do="go")
        while (handled := _handled(slots))[0] < count:
            time.sleep(_POLL_S)
            if time.monotonic() > started + _LIMIT_S:
                raise Failed(f"{handled[0]:,} of {count:,} jobs after {_LIMIT_S:g} s")
            dead = [worker for worker in workers if not worker.alive()]
            if dead:
                raise dead[0].failed("ended")
    seconds = handled[1] - started
    return {
        "jobs": count,
        "workers": crew,
        "publish_s": round(published["ended"] - published["started"], 3),
        "drain_s": round(seconds, 3),
        "rate": float(f"{count / seconds:.4g}"),
    }
