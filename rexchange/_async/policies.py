"""Policies and vhosts: what is said of many queues and exchanges at once, and of whole namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexchange import topology
from rexchange._async.base import AsyncBase
from rexchange._async.link import follow
from rexchange.errors import AccessRefused
from rexchange.keyspace import Keys, scan_pattern, vhost_of
from rexchange.policies import Policy, check
from rexchange.protocol import policies as protocol
from rexchange.protocol import tick
from rexchange.protocol.call import PoliciesChanged

if TYPE_CHECKING:
    from rexchange._async.link import Link, Runner
    from rexchange.codec import Table
    from rexchange.policies import ApplyTo
    from rexchange.protocol.policies import State

PER_SCAN = 1000


async def known(link: Link, run: Runner | None = None) -> State:
    """Return the policies of now; where their consequences were not written to the end, that is done first.

    `run`: what runs calls while the link itself cannot, since the topology is being declared again.
    """
    runner = run or link.run
    while True:
        state: State = await runner(protocol.read())
        try:
            if state.number != state.applied:
                state = await follow(protocol.write_out(state, link.keys), runner)
        except PoliciesChanged:
            continue
        link.policies = state
        return state


class AsyncPolicies(AsyncBase):
    """The methods of a broker about policies and vhosts."""

    async def set_policy(
        self,
        name: str,
        pattern: str,
        definition: Table,
        *,
        priority: int = 0,
        apply_to: ApplyTo = "all",
    ) -> Policy:
        """Set a policy, for queues and exchanges that there are and that will be; it holds when this returns.

        `pattern`: a regular expression that is searched in names. `definition`: RabbitMQ's keys, such as
        {"message-ttl": 60000}. Of several that match one of the highest priority applies, and only that; arguments beat
        it.
        Raises InvalidArgument, PreconditionFailed (a key or value that is none).
        """
        policy = Policy(name, pattern, definition, priority, apply_to)
        check(policy)
        await self._run(protocol.put(policy))
        self._note(policy)
        await self._written_out()
        return policy

    async def delete_policy(self, name: str) -> None:
        """Delete a policy; one that is missing is no error."""
        topology.check_name("policy", name)
        await self._run(protocol.delete(name))
        self._declared.pop(("policy", name), None)
        await self._written_out()

    async def _written_out(self) -> None:
        """Write out what follows of the policies, and drop what is over a limit now."""
        await known(self._link)
        await self._aged()

    async def _aged(self) -> None:
        """Do what is due now, such as dropping what is over a new limit: no reaper may be running."""
        ttl_ms = int(self.settings.session_timeout.total_seconds() * 1000)
        while (await self._run(tick.tick(ttl_ms))).next_ms == 0:
            pass

    async def policies(self) -> list[Policy]:
        """List the vhost's policies, by name."""
        await self._ready()
        return list((await known(self._link)).policies)

    # --- vhosts

    async def vhosts(self) -> list[str]:
        """List the vhosts of this server and database. A vhost is there from its first use on."""
        found = [vhost_of(key) for key in await self._scan(scan_pattern() + b"vhost")]
        return sorted(name for name in found if name is not None)

    async def create_vhost(self, name: str) -> None:
        """Make a vhost with its predeclared exchanges; one that is there is no error."""
        other = self.on_vhost(name)
        await self._ready()
        await self._link.open()
        async with other:
            pass  # entering makes it

    async def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that it holds; one that is missing is no error.

        Raises AccessRefused for this Broker's own. Others that are connected to it get TopologyLost. Its keys go page
        by page, first the one without which nobody can work in it: a deletion that was cut short is finished by the
        next.
        """
        raw = topology.check_vhost(name)
        if name == self.vhost:
            message = f"vhost {name!r} is this Broker's own: delete it with another one"
            raise AccessRefused(message, kind="vhost", name=name)
        await self._ready()
        await self._link.plain("UNLINK", Keys(raw).vhost)
        keys = await self._scan(scan_pattern(raw) + b"*")
        for start in range(0, len(keys), PER_SCAN):
            await self._link.plain("UNLINK", *keys[start : start + PER_SCAN])

    async def _scan(self, pattern: bytes) -> list[bytes]:
        await self._ready()
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, page = await self._link.plain("SCAN", cursor, "MATCH", pattern, "COUNT", PER_SCAN)
            found.update(page)
            if int(cursor) == 0:
                return sorted(found)
