"""Who takes part: one row each, with what it was set to. The rows are printed in docs/performance.md as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ADAPTERS = Path(__file__).parent / "contestants"

# What is installed in each venv, always the newest; hiredis where redis-py is used, since redis-py is faster with it.
VENVS: dict[str, tuple[str, ...]] = {
    "bare": ("redis", "hiredis"),
    "rexchange": (),  # it has this repository's
    "pika": ("pika",),
    "aio-pika": ("aio-pika",),
    "kombu": ("kombu[redis]", "hiredis"),
    "celery": ("celery[redis]", "hiredis"),
    "dramatiq": ("dramatiq[redis,rabbitmq]", "hiredis"),
    "rq": ("rq", "hiredis"),
    "arq": ("arq", "hiredis"),
    "taskiq-redis": ("taskiq-redis", "hiredis"),
    "faststream": ("faststream[redis,rabbit]", "hiredis"),
    "saq": ("saq[redis]", "hiredis", "typing-extensions"),  # SAQ 0.26 imports it and does not ask for it
    "huey": ("huey", "redis", "hiredis"),
}
REPORTED: dict[str, tuple[str, ...]] = {
    "bare": ("redis", "hiredis"),
    "rexchange": ("rexchange", "redis", "hiredis"),
    "pika": ("pika",),
    "aio-pika": ("aio-pika",),
    "kombu": ("kombu", "redis", "amqp"),
    "celery": ("celery", "kombu", "redis", "amqp"),
    "dramatiq": ("dramatiq", "redis", "pika"),
    "rq": ("rq", "redis"),
    "arq": ("arq", "redis"),
    "taskiq-redis": ("taskiq-redis", "taskiq", "redis"),
    "faststream": ("faststream", "redis", "aio-pika"),
    "saq": ("saq", "redis"),
    "huey": ("huey", "redis"),
}


@dataclass(frozen=True)
class Contestant:
    """One library, on one broker, used in one way."""

    name: str
    label: str
    venv: str
    adapter: str
    rate: int
    """A first guess of its messages a second, from which the first round takes the number of messages."""
    publishes: str
    """How, and what it waits for."""
    consumes: str
    broker: Literal["redis", "rabbitmq"] = "redis"
    variant: str = ""
    consumer_of: str = ""
    """Whose consumer it has, if it only publishes in another way: it is measured there, where the queue is filled
    quickly. With no more messages than one prefetch holds, it would seem faster than it is."""
    in_turn: bool = True
    """Takes part in the rounds."""
    jobs: bool = False
    """Takes part in the job queues' benchmark: 10 workers drain no-op jobs."""

    @property
    def ours(self) -> bool:
        """Whether it is what this repository is about."""
        return self.venv == "rexchange"


_RABBIT: Literal["rabbitmq"] = "rabbitmq"
_TOPIC = "prefetch 200, an ack each"
_OURS = "prefetch 200, an ack each (they travel together)"
_WORKER = "10 jobs at once in one process"

ROSTER = (
    Contestant(
        "bare", "bare Redis commands", "bare", "peer_bare", 60_000,
        "pipelines of 100 XADD, each pipeline's answers awaited", "one pipeline: XACK and XDEL of 200, then XREADGROUP",
    ),
    Contestant(
        "rexchange", "rexchange", "rexchange", "peer_rexchange", 60_000,
        "`publish_many` by 100, each call confirmed", _OURS, variant="batch", jobs=True,
    ),
    Contestant(
        "rexchange-async", "rexchange, async", "rexchange", "peer_rexchange", 20_000,
        "100 `publish` awaited at a time, each its confirm", _OURS, variant="async", jobs=True,
    ),
    Contestant(
        "rexchange-one", "rexchange, one by one", "rexchange", "peer_rexchange", 6_000,
        "`publish`, each call confirmed before the next", _OURS, variant="one", consumer_of="rexchange",
    ),
    Contestant(
        "pika", "pika", "pika", "peer_pika", 6_000,
        "one by one, no confirms; one round trip at the end", _TOPIC, broker=_RABBIT,
    ),
    Contestant(
        "pika-confirm", "pika, confirms", "pika", "peer_pika", 500,
        "one by one, each confirmed before the next", _TOPIC, broker=_RABBIT, variant="confirm", consumer_of="pika",
    ),
    Contestant(
        "aio-pika", "aio-pika", "aio-pika", "peer_aio_pika", 2_000,
        "100 awaited at a time, no confirms; one round trip at the end", _TOPIC, broker=_RABBIT,
    ),
    Contestant(
        "aio-pika-confirm", "aio-pika, confirms", "aio-pika", "peer_aio_pika", 1_500,
        "100 awaited at a time, each its confirm", _TOPIC, broker=_RABBIT, variant="confirm",
    ),
    Contestant(
        "kombu-redis", "kombu on Redis", "kombu", "peer_kombu", 700,
        "one by one, each RPUSH answered", "prefetch 200, an ack each",
    ),
    Contestant(
        "kombu-rabbitmq", "kombu on RabbitMQ", "kombu", "peer_kombu", 5_000,
        "one by one, no confirms", _TOPIC, broker=_RABBIT,
    ),
    Contestant(
        "kombu-rabbitmq-confirm", "kombu on RabbitMQ, confirms", "kombu", "peer_kombu", 500,
        "one by one, each confirmed before the next", _TOPIC, broker=_RABBIT, variant="confirm",
        consumer_of="kombu-rabbitmq",
    ),
    Contestant(
        "faststream-redis", "FastStream on Redis", "faststream", "peer_faststream", 1_200,
        "stream; 100 `publish` awaited at a time, each XADD answered", "XREADGROUP 200, XACK after each handler",
        jobs=True,
    ),
    Contestant(
        "faststream-rabbitmq", "FastStream on RabbitMQ", "faststream", "peer_faststream", 1_000,
        "topic exchange; 100 awaited at a time, each its confirm", "prefetch 200, an ack after each handler",
        broker=_RABBIT, jobs=True,
    ),
    Contestant(
        "celery-redis", "Celery on Redis", "celery", "peer_celery", 500,
        "`delay`, one by one", "solo pool, prefetch 200, acks late", jobs=True,
    ),
    Contestant(
        "celery-rabbitmq", "Celery on RabbitMQ", "celery", "peer_celery", 800,
        "`delay`, one by one, no confirms (its default)", "solo pool, prefetch 200, acks late",
        broker=_RABBIT, jobs=True,
    ),
    Contestant(
        "dramatiq-redis", "Dramatiq on Redis", "dramatiq", "peer_dramatiq", 500,
        "`send`, one by one", "one thread, acks after the actor", jobs=True,
    ),
    Contestant(
        "dramatiq-rabbitmq", "Dramatiq on RabbitMQ", "dramatiq", "peer_dramatiq", 1_500,
        "`send`, one by one, no confirms (its default)", "one thread, acks after the actor", broker=_RABBIT, jobs=True,
    ),
    Contestant(
        "taskiq-redis", "taskiq-redis", "taskiq-redis", "peer_taskiq", 500,
        "RedisStreamBroker; 100 `kiq` awaited at a time", "100 tasks at once in one process, XACK after each",
        jobs=True,
    ),
    Contestant(
        "rq", "RQ", "rq", "peer_rq", 300,
        "`enqueue_many` by 100", "SimpleWorker (no fork); marks each job started and done",
    ),
    Contestant(
        "rq-fork", "RQ, its default worker", "rq", "peer_rq", 40,
        "`enqueue_many` by 100", "Worker, a fork for each job", variant="fork", in_turn=False, jobs=True,
    ),
    Contestant(
        "arq", "arq", "arq", "peer_arq", 250,
        "100 `enqueue_job` awaited at a time", f"{_WORKER}, polls each 0.5 s (its default)", jobs=True,
    ),
    Contestant(
        "saq", "SAQ", "saq", "peer_saq", 350,
        "100 `enqueue` awaited at a time", _WORKER, jobs=True,
    ),
    Contestant(
        "huey", "Huey", "huey", "peer_huey", 1_000,
        "the task is called, one by one", "one thread; BRPOP, **no ack**: a job dies with its worker", jobs=True,
    ),
)  # fmt: skip


def named(names: list[str]) -> list[Contestant]:
    """Return those of the roster whose names are given (all of a family by its first word), or fail by name."""
    found: list[Contestant] = []
    for name in names:
        wanted = [each for each in ROSTER if each.name == name or each.name.startswith(f"{name}-")]
        if not wanted:
            known = ", ".join(each.name for each in ROSTER)
            raise ValueError(f"no contestant {name!r}; there are {known}")
        found += [each for each in wanted if each not in found]
    return found
