# Generated from rexchange/_async/changing.py by `python tools/unasync.py`. Do not edit.
"""Changing queues and exchanges that are there, with what they hold."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING

from rexchange import changes, topology
from rexchange._sync.base import name_of
from rexchange._sync.policies import known
from rexchange._sync.topology import Topology
from rexchange.arguments import exchange_arguments, queue_arguments
from rexchange.errors import BrokerConnectionError
from rexchange.protocol import update
from rexchange.protocol.call import PoliciesChanged
from rexchange.topology import Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from rexchange.arguments import QueueOptions
    from rexchange.changes import Change
    from rexchange.codec import FieldValue, Table


class Changing(Topology):
    """The methods of a broker that change what is there."""

    def update_queue(
        self, name: str | Queue, *, arguments: Table | None = None, **options: Unpack[QueueOptions]
    ) -> list[Change]:
        """Change arguments of a queue that may hold messages and have consumers; returns what changed, in one step.

        `options` are those of declare_queue, `arguments` the raw ones: what is given is set, None takes it away, and
        all the rest stays. A new TTL is for messages to come, a new limit holds at once, a new ack timeout for
        consumers that come. A declare of it must ask for the new values from now on.
        Raises PreconditionFailed for what cannot change (type, max_priority, single_active_consumer, durable,
        exclusive, auto_delete) and for values that declare_queue refuses, NotFound, ResourceLocked.
        """
        name = name_of("queue", name)
        asked = changes.given(arguments, options)

        def rework(current: Queue) -> dict[str, FieldValue]:
            flags = {flag: getattr(current, flag) for flag in ("durable", "exclusive", "auto_delete")}
            changes.check_flags("queue", name, flags, asked)
            return changes.merged(current.arguments, changes.flags_off(asked, "queue"))

        return self._update_queue(name, rework)

    def update_exchange(
        self,
        name: str | Exchange,
        *,
        alternate_exchange: str | EllipsisType | None = ...,
        arguments: Table | None = None,
    ) -> list[Change]:
        """Change the alternate exchange of an exchange, or other arguments; returns what changed, in one step.

        None takes the alternate exchange away, and so it does with any of the raw `arguments`; what is not given stays.
        Raises PreconditionFailed for what cannot change (x-delayed-type) and for values that declare_exchange refuses,
        NotFound, AccessRefused ("amq." names).
        """
        name = name_of("exchange", name)
        topology.check_new_name("exchange", name)
        options = {} if isinstance(alternate_exchange, EllipsisType) else {"alternate_exchange": alternate_exchange}
        asked = changes.given_for_exchange(arguments, options)
        return self._update_exchange(name, lambda current: changes.merged(current.arguments, asked))

    def _update_queue(self, name: str, rework: Callable[[Queue], dict[str, FieldValue]]) -> list[Change]:
        """Give a queue the arguments that `rework` makes of it; again where it changed meanwhile."""
        self._ready()
        link = self._link
        while True:
            session = self._session.id
            found = link.run(update.read_queue(name, session, link.keys))
            wanted = replace(found.value, arguments=queue_arguments(rework(found.value), name=name))
            changed = changes.difference(found.value.arguments, wanted.arguments)
            changes.check("queue", name, changed)
            topology.check_queue(wanted, named=True)
            try:
                if not changed or link.run(update.update_queue(found, wanted, session, link.policies)):
                    break
            except PoliciesChanged:
                known(link)
        noted = self._declared.get(("queue", name))
        if isinstance(noted, Queue):
            self._note(replace(noted, arguments=wanted.arguments))
        if changed:
            # It is done; without a server what is over a new limit goes by the next reaper.
            with suppress(BrokerConnectionError):
                self._aged()
        return list(changed)

    def _update_exchange(self, name: str, rework: Callable[[Exchange], dict[str, FieldValue]]) -> list[Change]:
        """Give an exchange the arguments that `rework` makes of it; again where it changed meanwhile."""
        self._ready()
        link = self._link
        while True:
            found = link.run(update.read_exchange(name, link.keys))
            wanted = replace(found.value, arguments=exchange_arguments(rework(found.value), name=name))
            changed = changes.difference(found.value.arguments, wanted.arguments)
            changes.check("exchange", name, changed)
            topology.check_exchange(wanted)
            try:
                if not changed or link.run(update.update_exchange(found, wanted, link.policies)):
                    break
            except PoliciesChanged:
                known(link)
        if ("exchange", name) in self._declared:
            self._note(wanted)
        return list(changed)
