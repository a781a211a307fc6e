# Generated from rexchange/_async/definitions.py by `python tools/unasync.py`. Do not edit.
"""Definitions: RabbitMQ's JSON imported and exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexchange import definitions, topology
from rexchange._sync import io
from rexchange._sync.changing import Changing
from rexchange._sync.listing import Listing
from rexchange._sync.policies import known
from rexchange.definitions import Content
from rexchange.errors import InvalidArgument, NotFound
from rexchange.keyspace import Keys
from rexchange.policies import Policy
from rexchange.protocol import policies
from rexchange.topology import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rexchange.definitions import ImportPlan, Step, Value
    from rexchange.protocol.call import Call

    Progress = Callable[[int, int], None]

PER_ROUND_TRIP = 100
"""So many objects are made in one round trip; each is a script call of its own, so none of them stalls the server."""


class Definitions(Changing, Listing):
    """The methods of a broker about definitions."""

    def import_definitions(
        self,
        source: str | bytes | Mapping[str, object] | Path,
        *,
        dry_run: bool = False,
        allow_unsupported: bool = False,
        skip_existing: bool = False,
        progress: Progress | None = None,
    ) -> ImportPlan:
        """Import what RabbitMQ exported: vhosts, exchanges, policies, queues, bindings. Nothing is ever deleted.

        `source`: a Path, JSON as str or bytes, or what was read from it; objects that name no vhost go to this
        Broker's own. It is checked whole, and against what is there, before anything is written. Returns what was done;
        with `dry_run` what would be. `allow_unsupported`: leave out what rexchange does not have. `skip_existing`:
        leave what is there otherwise as it is. `progress(done, total)` is called as objects are made.
        Raises DefinitionsError that lists all that is wrong, OSError for a file that cannot be read.
        """
        file = str(source) if isinstance(source, Path) else ""
        content = io.run_blocking(source.read_bytes) if isinstance(source, Path) else source
        wanted = definitions.read(content, vhost=self.vhost, file=file)
        present = {name: self._content(name) for name in wanted.vhosts if self._is_there(name)}
        plan = definitions.plan(wanted, present)
        if dry_run:
            return plan
        plan.check(allow_unsupported=allow_unsupported, skip_existing=skip_existing)
        done, steps = 0, plan.of("create", "replace")
        for name in dict.fromkeys(step.vhost for step in steps):
            mine = [step for step in steps if step.vhost == name]

            def made(count: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + count, len(steps))

            if name == self.vhost:
                self._make(mine, made)
            else:
                with self.on_vhost(name) as other:
                    other._make(mine, made)
            done += len(mine)
        return plan

    def export_definitions(self, vhosts: Iterable[str] | None = None) -> dict[str, Any]:
        """Return definitions as RabbitMQ exports them, ready for JSON: those of all vhosts, or of some.

        Exclusive queues and those that the broker named are left out, since no import takes them. Raises NotFound.
        """
        if isinstance(vhosts, str) or not (vhosts is None or isinstance(vhosts, Iterable)):
            raise InvalidArgument("vhosts", vhosts, "several names, or None for all")
        names = self.vhosts() if vhosts is None else list(vhosts)
        missing = [name for name in names if not self._is_there(name)]
        if missing and vhosts is not None:
            raise NotFound(kind="vhost", name=missing[0])
        # One that is missing of all that were listed was deleted meanwhile.
        return definitions.dump({name: self._content(name) for name in names if name not in missing})

    def _is_there(self, vhost: str) -> bool:
        """Whether a vhost is there: looking into one would make it."""
        key = Keys(topology.check_vhost(vhost)).vhost
        return vhost == self.vhost or bool(self._run_plain("EXISTS", key))

    def _run_plain(self, *command: str | bytes) -> Any:  # noqa: ANN401 - a reply
        self._ready()
        return self._link.plain(*command)

    def _content(self, vhost: str) -> Content:
        if vhost != self.vhost:
            with self.on_vhost(vhost) as other:
                return other._content(vhost)  # noqa: SLF001 - a Broker as this one
        exchanges, found = self.exchanges(), self.policies()
        queues = [info.queue for info in self.queues()]
        return Content(tuple(exchanges), tuple(found), tuple(queues), tuple(self.bindings()))

    # --- writing

    def _make(self, steps: Sequence[Step], made: Callable[[int], None]) -> None:
        """Make what is to be made in this vhost, which is there once it was opened."""
        self._ready()
        known(self._link)  # what is made is worked out from the policies
        values = [step.value for step in steps if step.value is not None]
        done = len(steps) - len(values)
        made(done)
        for kind in (Exchange, Policy, Queue, Binding):
            mine = [value for value in values if isinstance(value, kind)]
            for start in range(0, len(mine), PER_ROUND_TRIP):
                page = mine[start : start + PER_ROUND_TRIP]
                for index in self._link.together([self._call(value) for value in page]):
                    self._make_alone(page[index])
                self._note(*page)
                done += len(page)
                made(done)
            if mine and kind is Policy:
                self._written_out()

    def _call(self, value: Value) -> Call[Any]:
        return policies.put(value) if isinstance(value, Policy) else self._declaring(value)

    def _make_alone(self, value: Value) -> None:
        """Make what was refused among others: by what can be mended (the policies changed), or for good."""
        if isinstance(value, Exchange):
            self._declare_exchange(value, passive=False)
        elif isinstance(value, Queue):
            self._declare_queue(value, passive=False)
        else:
            self._link.run(self._call(value))
