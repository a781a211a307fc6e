"""Which features a scenario touched, for the table of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.differential import steps as s
from tests.differential.steps import Outcome, Step

VALUED = ("x-overflow", "x-message-ttl", "x-max-length", "x-single-active-consumer", "x-expires")


def features(step: Step, outcome: Outcome) -> Iterator[str]:
    """Name what a step used; a refusal counts for itself."""
    word = _word(step)
    if outcome.skipped:
        yield "(skipped: nothing to work on)"
        return
    yield word if outcome.code is None else f"refused {outcome.code}: {word}"
    if outcome.code is None:
        yield from (f"{word}, {detail}" for detail in _details(step, outcome))
    yield from ("delivery" for _ in outcome.seen)
    yield from ("delivery, redelivered" for seen in outcome.seen if seen.redelivered)
    for seen in outcome.seen:
        yield from _of_death(seen.headers)
    yield from ("consumer told that its queue is deleted" for _ in outcome.cancelled)


def _of_death(headers: str) -> Iterator[str]:
    """Name the ways on which a dead letter came."""
    if "'x-death'" not in headers:
        return
    yield from (f"dead letter, {reason}" for reason in ("rejected", "expired", "maxlen") if f"'{reason}'" in headers)
    deaths = headers.count("'reason'")
    yield f"dead letter that died {deaths} times" if deaths > 1 else "dead letter that died once"
    yield from ["dead letter, original-expiration"] * ("'original-expiration'" in headers)
    yield from ["dead letter, count over 1"] * (headers.count("'count'") > headers.count("'count': 1,"))


def vanished(step: Step, before: Outcome | None, after: Outcome) -> Iterator[str]:
    """Name what went by itself."""
    if before is None or after.skipped or isinstance(step, s.DeleteQueue | s.CloseClient):
        return
    word = "queue went unused (x-expires)" if isinstance(step, s.Wait) else "auto-delete queue went"
    yield from (word for queue in before.queues if queue not in after.queues)
    if isinstance(step, s.Consume) and after.code is None:
        several = after.queues.get(step.queue, (0, 0))[1] > 1
        yield from ["consume, beside another consumer"] * several


def _word(step: Step) -> str:
    match step:
        case s.Bind() | s.Unbind():
            verb = "bind" if isinstance(step, s.Bind) else "unbind"
            return f"{verb} {'exchange' if step.to_exchange else 'queue'}"
        case s.DeclareExchange() | s.DeclareQueue():
            kind = "exchange" if isinstance(step, s.DeclareExchange) else "queue"
            of = f" {step.type}" if isinstance(step, s.DeclareExchange) else ""
            return f"passive declare {kind}" if step.passive else f"declare {kind}{of}"
        case s.Settle():
            verdict = step.verdict if step.verdict == "ack" else f"{step.verdict} requeue={step.requeue}"
            return verdict + (" multiple" if step.multiple else "") + ("" if step.which == "held" else f" {step.which}")
    return type(step).__name__.lower()


def _details(step: Step, outcome: Outcome) -> Sequence[str]:
    found: list[str] = []
    match step:
        case s.DeclareExchange() | s.DeclareQueue():
            names = ("durable", "auto_delete", "exclusive", "internal")
            found += [name for name in names if getattr(step, name, False)]
            traits = [name for name in step.arguments if name.startswith(("alternate", "x-"))]
            found += [f"{name} {step.arguments[name]}" if name in VALUED else name for name in traits]
            found += ["several x-arguments"] * (len(traits) > 1)
        case s.Publish():
            found += [name for name in ("mandatory", "headers", "properties") if getattr(step, name)]
            found += [name for name in ("CC", "BCC") if name in step.headers]
            found += ["priority"] * ("priority" in step.properties)
            found += [f"expiration {step.properties['expiration']}"] if "expiration" in step.properties else []
            reached = outcome.value if isinstance(outcome.value, int) else 0
            found.append("to 0 queues" if not reached else "to 1 queue" if reached == 1 else "to several queues")
        case s.Get():
            found += ["empty"] * (outcome.value is False) + ["auto_ack"] * step.auto_ack
        case s.Consume():
            found += ["auto_ack"] * step.auto_ack + ["prefetch 0"] * (step.prefetch == 0)
            found += ["exclusive"] * step.exclusive + [str(name) for name in step.arguments]
        case s.DeleteQueue() | s.DeleteExchange():
            found += [name for name in ("if_unused", "if_empty") if getattr(step, name, False)]
        case s.Bind():
            found += [f"x-match {step.arguments['x-match']}"] if "x-match" in step.arguments else []
    return found
