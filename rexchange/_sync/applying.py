# Generated from rexchange/_async/applying.py by `python tools/unasync.py`. Do not edit.
"""Applying a topology: the vhost is made to hold what a value or a file says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rexchange._sync import io
from rexchange._sync.base import key_of
from rexchange._sync.definitions import PER_ROUND_TRIP, Definitions
from rexchange.checks import check_flags
from rexchange.definitions import Topology
from rexchange.errors import BrokerConnectionError, InvalidArgument
from rexchange.policies import Policy
from rexchange.protocol import declare, policies
from rexchange.topology import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from rexchange.applying import TopologyPlan, Wanted
    from rexchange.definitions import Value
    from rexchange.protocol.inspect import QueueInfo

    Progress = Callable[[int, int], None]


class Applying(Definitions):
    """The method of a broker that makes its vhost what it is to be."""

    def apply(
        self,
        topology: Topology | Path | Mapping[str, object],
        *,
        prune: bool = False,
        in_use: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> TopologyPlan:
        """Make this vhost hold a topology: what is missing is made, what differs is updated, and again is nothing.

        `topology`: a Topology, a Path to a file of TOML or YAML, or a mapping of the same form (docs/changing.md). It
        is checked whole, and against what is there, before anything is written. `prune`: delete what is not in it, but
        for queues that hold messages or have consumers; with `in_use` those, too. Returns what was done; with `dry_run`
        what would be. `progress(done, total)` is called as steps are done. Each step is atomic; an apply that was cut
        short is completed by the next.
        Raises DefinitionsError that lists all that is wrong, OSError for a file that cannot be read, and the error of a
        step that others made impossible meanwhile.
        """
        check_flags(prune=prune, in_use=in_use, dry_run=dry_run)
        if in_use and not prune:
            raise InvalidArgument("in_use", in_use, "prune=True with it")
        wanted = _read(topology)
        plan = self._planned(wanted, prune=prune, in_use=in_use)
        if dry_run:
            return plan
        plan.check()
        self._carry_out(plan, in_use=in_use, progress=progress)
        if any(exchange.auto_delete for exchange in wanted.topology.exchanges) and plan.of("delete"):
            # It may have gone with its last binding, and all that was bound to it.
            again = self._planned(wanted, prune=prune, in_use=in_use)
            again.check()
            self._carry_out(again, in_use=in_use)
        with suppress(BrokerConnectionError):  # all is done; else the next reaper drops what is over a limit
            self._aged()
        found = wanted.topology
        self._note(*found.exchanges, *found.policies, *found.queues, *found.bindings)
        return plan

    def topology(self) -> Topology:
        """Return what this vhost holds, as `apply` takes it.

        Left out is what no topology may name: predeclared exchanges, names that begin with "amq.", exclusive queues,
        and bindings to these.
        """
        there, _ = self._present()
        queues = tuple(each for each in there.queues if not each.exclusive and not each.name.startswith("amq."))
        exchanges = tuple(each for each in there.exchanges if not each.name.startswith("amq."))
        named = {("queue", each.name) for each in queues} | {("exchange", each.name) for each in there.exchanges}
        bindings = tuple(each for each in there.bindings if (each.destination_kind, each.destination) in named)
        plain = tuple(replace(each, incarnation="", message_count=0, consumer_count=0) for each in queues)
        return Topology(exchanges, there.policies, plain, bindings)

    def _planned(self, wanted: Wanted, *, prune: bool, in_use: bool) -> TopologyPlan:
        from rexchange import applying  # noqa: PLC0415 - who never applies does not load it

        present = applying.Present(*self._present())
        return applying.plan(wanted, present, vhost=self.vhost, prune=prune, in_use=in_use)

    def _present(self) -> tuple[Topology, dict[str, str]]:
        """Return what there is, and why queues are in use."""
        exchanges, found, infos = self.exchanges(), self.policies(), self.queues()
        queues = tuple(info.queue for info in infos)
        busy = {info.name: _busy(info) for info in infos if _busy(info)}
        bindings = tuple(self.bindings())
        return Topology(tuple(exchanges), tuple(found), queues, bindings), busy

    def _carry_out(self, plan: TopologyPlan, *, in_use: bool, progress: Progress | None = None) -> None:
        """Do the steps: what others need comes before them, and what is deleted goes when nothing needs it any more."""
        made, updated, deleted = plan.of("create"), plan.of("update"), plan.of("delete")
        made += [step for step in updated if step.kind == "policy"]
        updated = [step for step in updated if step.kind != "policy"]
        total, done = len(made) + len(updated) + len(deleted), 0

        def count(more: int) -> None:
            if progress is not None:
                progress(done + more, total)

        self._make(made, count)
        done = len(made)
        for step in updated:
            self._update(step.value)
            done += 1
            count(0)
        bindings = [step.value for step in deleted if isinstance(step.value, Binding)]
        self._unbind_all(bindings)
        done += len(bindings)
        others = [step.value for step in deleted if not isinstance(step.value, Binding)]
        for value in others:
            self._delete(value, in_use=in_use)
            done += 1
            count(0)
        if any(isinstance(value, Policy) for value in others):
            self._written_out()

    def _update(self, value: Value | None) -> None:
        if isinstance(value, Exchange):
            exchange = dict(value.arguments)
            self._update_exchange(value.name, lambda _: exchange)
        elif isinstance(value, Queue):
            queue = dict(value.arguments)
            self._update_queue(value.name, lambda _: queue)

    def _delete(self, value: Value | None, *, in_use: bool) -> None:
        if isinstance(value, Exchange):
            self.delete_exchange(value.name)
        elif isinstance(value, Policy):
            self._run(policies.delete(value.name))
            self._declared.pop(key_of(value), None)
        elif isinstance(value, Queue):
            # Whether it is still not in use is looked at in the step that deletes it.
            idle = not in_use
            plan = declare.delete_queue(value.name, self._session.id, if_unused=idle, if_empty=idle, idle=idle)
            self._link.follow(plan)
            self._forget_queue(value.name)

    def _unbind_all(self, bindings: list[Binding]) -> None:
        for start in range(0, len(bindings), PER_ROUND_TRIP):
            page = bindings[start : start + PER_ROUND_TRIP]
            calls = [declare.unbind(binding, self._session.id) for binding in page]
            for index in self._link.together(calls):
                self._link.run(calls[index])
            for binding in page:
                self._declared.pop(key_of(binding), None)


def _read(topology: object) -> Wanted:
    from rexchange import applying  # noqa: PLC0415 - as above

    if not isinstance(topology, Path):
        return applying.read(topology)
    content = io.run_blocking(topology.read_bytes)
    return applying.read(content, file=str(topology), form=topology.suffix.lower())


def _busy(info: QueueInfo) -> str:
    """Say in words why a queue is in use, if it is."""
    held = [
        (info.ready, "ready message"),
        (info.waiting, "waiting message"),
        (info.unacked, "unacked message"),
        (info.consumers, "consumer"),
    ]
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in held if count > 0)
