"""Two topologies to go to and fro between, what a vhost holds, and a process whose children die while they apply one.

`python -m tests.chaos.applied '<json>'` applies a topology at each line of its input, in a child that may be told to
kill itself (-9) before one of its requests, and writes how that ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Self

from rexchange import Binding, Broker, Exchange, Policy, Queue, Topology
from rexchange._sync import applying, definitions
from rexchange._sync.wire import Wire
from rexchange.codec import FieldValue
from rexchange.topology import PREDECLARED

KEPT = 2
"""Each second queue is in both topologies, with other arguments."""


def topology(letter: str, size: int) -> Topology:
    """Return topology a or b, of about `size` objects: a part of each is in the other too, and differs there."""
    queues: list[Queue] = [Queue("dead")]
    bindings: list[Binding] = []
    for n in range(size // 2):
        kept = n % KEPT == 0
        name = f"kept-{n}" if kept else f"{letter}-{n}"
        arguments: dict[str, FieldValue] = {"x-max-length": 3 if letter == "b" else 4}
        if letter == "b":
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        queues.append(Queue(name, arguments=arguments if kept else {}))
        bindings.append(Binding(f"events-{letter}" if n % 3 else "events", name, binding_key=f"{letter}.{n}.#"))
    return Topology(
        exchanges=(
            Exchange("events", "topic", arguments={"alternate-exchange": f"rest-{letter}"}),
            Exchange(f"rest-{letter}", "fanout"),
            Exchange(f"events-{letter}", "topic"),
        ),
        policies=(Policy("both", "^kept", {"delivery-limit": 1}), Policy(letter, "^x", {"max-length": size})),
        queues=tuple(queues),
        bindings=(*bindings, Binding(f"rest-{letter}", "dead")),
    )


def fill(broker: Broker, size: int) -> dict[str, list[bytes]]:
    """Go to topology a with four messages in each queue that is in both; return what is to be where after b."""
    broker.apply(topology("a", size))
    found: dict[str, list[bytes]] = {"dead": []}
    for queue in topology("a", size).queues:
        if queue.name.startswith("kept"):
            bodies = [f"{queue.name}:{n}".encode() for n in range(4)]
            for body in bodies:
                broker.publish(body, routing_key=queue.name)
            found["dead"].append(bodies[0])
            found[queue.name] = bodies[1:]
    found["dead"].sort()
    return found


def messages(broker: Broker) -> dict[str, list[bytes]]:
    """Return what is in each queue that holds anything, the dead ones sorted; they stay there as given back."""
    found: dict[str, list[bytes]] = {}
    for info in broker.queues():
        held = [broker.get(info.name, auto_ack=False) for _ in range(info.ready)]
        bodies = [delivery.body for delivery in held if delivery is not None]
        if bodies:
            found[info.name] = sorted(bodies) if info.name == "dead" else bodies
    return found


def holds(broker: Broker) -> dict[str, set[str]]:
    """Return what the vhost holds, to be compared."""
    return comparable(broker._present()[0])


def comparable(held: Topology) -> dict[str, set[str]]:
    """Return what two topologies have to have alike."""
    return {
        "exchanges": {f"{each.name} {sorted(each.arguments.items())}" for each in held.exchanges} - _STANDARD,
        "policies": {repr(each) for each in held.policies},
        "queues": {f"{each.name} {sorted(each.arguments.items())}" for each in held.queues},
        "bindings": {repr(each) for each in held.bindings},
    }


_STANDARD = {f"{name} []" for name in PREDECLARED}


class Applier:
    """The test's handle on such a process."""

    def __init__(self, url: str, size: int) -> None:
        whole = json.dumps({"url": url, "size": size})
        command = [sys.executable, "-m", "tests.chaos.applied", whole]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        """Wait until it is there."""
        self.told()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def go(self, vhost: str, letter: str, *, die_at: int = 0, die_in: float = 0.0, alone: bool = False) -> Self:
        """Apply: the child kills itself before its request `die_at`, or is killed after `die_in` seconds."""
        assert self.process.stdin is not None
        job = {"vhost": vhost, "letter": letter, "die_at": die_at, "die_in": die_in, "alone": alone}
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        return self

    def told(self) -> str:
        """Return how it ended: done, killed, or what went wrong."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()


def _child(url: str, size: int, job: dict[str, Any]) -> None:
    real, count = Wire.roundtrip, 0

    def roundtrip(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == job["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    Wire.roundtrip = roundtrip  # type: ignore[method-assign]  # the way to break it
    if job["alone"]:  # each object in a request of its own
        definitions.PER_ROUND_TRIP = applying.PER_ROUND_TRIP = 1  # type: ignore[attr-defined]  # as applying imports it
    with Broker(url, vhost=job["vhost"]) as broker:
        broker.apply(topology(job["letter"], size), prune=True)


def main(url: str, size: int) -> None:
    """Have children apply, one after the other."""
    print("ready", flush=True)  # noqa: T201 - the other end reads it
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                _child(url, size, job)
            except BaseException as error:  # noqa: BLE001 - it is told
                print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)  # noqa: T201 - as above
                os._exit(1)
            os._exit(0)
        if job["die_in"]:
            time.sleep(job["die_in"])  # any moment will do
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFEXITED(status):
            print("killed", flush=True)  # noqa: T201 - as above
        elif os.WEXITSTATUS(status) == 0:
            print("done", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
