"""Every Redis key, and nothing else builds one (scripts receive names and build them the same way).

All begin with ``rx:{<vhost>}:``: one hash tag a vhost, so one vhost is one cluster slot and a script may reach all
its keys. Names come last in a key and stand as they are: no byte in them is special.

==========================  ======  ==================================================  =============================
key                         type    holds                                               lives until (owner)
==========================  ======  ==================================================  =============================
``vhost``                   hash    id = "<schema>.<epoch>", next (generations),        the vhost is deleted (vhost)
                                    tick (the reaper's last run), sweep (of lanes)
``exchanges``               hash    exchange -> record                                  exchange.delete
``queues``                  hash    queue -> record                                     queue.delete
``bindings:<exchange>``     hash    binding id -> arguments as given                    unbind, delete of either end
``routes:<exchange>``       hash    what routing reads: direct key -> destinations,     with the bindings
                                    fanout "" -> destinations, topic trie,
                                    headers id -> match form
``cache``                   hash    topic routes once found; bounded in bytes           a change of topology (vhost)
``inbound:<q|x>:<name>``    set     bindings that end here                              with the bindings
``stream:<queue>``          stream  the messages, fields m and b                        queue.delete
``wake:<queue>``            stream  at most one token: something was given back         queue.delete
``users:<queue>``           set     names of its consumers                              cancel, end of the session
``returned``                hash    queue -> how many entries are given back            queue.delete
``managed``                 hash    queue -> how many managed consumers                 cancel, end of the session
``consumers``               hash    consumer name -> record                             cancel, end of the session
``fences``                  hash    consumer name -> whether its entries are all its    cancel, end of the session
``sessions``                zset    session -> deadline in ms by the server's TIME      close, or the reaper
``session:<id>``            set     what the session owns                               close, or the reaper
``due``                     zset    queue -> its next visit by the reaper, ms           queue.delete
``visits``                  hash    queue -> where the reaper's visit goes on           the visit's last page
``lanes``                   hash    producer lane -> last call, token, answer           an hour unused (reaper)
==========================  ======  ==================================================  =============================

No key has a TTL. ``volatile-*`` eviction takes keys with a TTL first: a lost lane doubles a message, a lost
session gives back what is being worked on, a lost record loses a queue. The reaper removes by score instead.
"""

from __future__ import annotations

from typing import Literal

SCHEMA = 1
"""The layout above. A vhost with a newer one is refused by name, never guessed at."""

_ROOT = b"rx:{%s}:"


class Keys:
    """The keys of one vhost as bytes, built once. Names are bytes as `topology.check_name` returns them."""

    __slots__ = (
        "_bindings",
        "_inbound_exchange",
        "_inbound_queue",
        "_routes",
        "_session",
        "_stream",
        "_users",
        "_wake",
        "cache",
        "consumers",
        "due",
        "exchanges",
        "fences",
        "lanes",
        "managed",
        "prefix",
        "queues",
        "returned",
        "sessions",
        "vhost",
        "visits",
    )

    def __init__(self, vhost: bytes) -> None:
        """Take the vhost's name, checked by `topology.check_vhost`."""
        prefix = _ROOT % vhost
        self.prefix = prefix
        self.vhost = prefix + b"vhost"
        self.exchanges = prefix + b"exchanges"
        self.queues = prefix + b"queues"
        self.cache = prefix + b"cache"
        self.returned = prefix + b"returned"
        self.managed = prefix + b"managed"
        self.consumers = prefix + b"consumers"
        self.fences = prefix + b"fences"
        self.sessions = prefix + b"sessions"
        self.due = prefix + b"due"
        self.visits = prefix + b"visits"
        self.lanes = prefix + b"lanes"
        self._bindings = prefix + b"bindings:"
        self._routes = prefix + b"routes:"
        self._inbound_queue = prefix + b"inbound:q:"
        self._inbound_exchange = prefix + b"inbound:x:"
        self._stream = prefix + b"stream:"
        self._wake = prefix + b"wake:"
        self._users = prefix + b"users:"
        self._session = prefix + b"session:"

    def __repr__(self) -> str:
        """Show the prefix, which says all."""
        return f"Keys({self.prefix!r})"

    def bindings(self, exchange: bytes) -> bytes:
        """Hash: bindings whose source is `exchange`."""
        return self._bindings + exchange

    def routes(self, exchange: bytes) -> bytes:
        """Hash: what routing reads of `exchange`."""
        return self._routes + exchange

    def inbound(self, kind: Literal["queue", "exchange"], name: bytes) -> bytes:
        """Set: bindings that end at this queue or exchange."""
        return (self._inbound_queue if kind == "queue" else self._inbound_exchange) + name

    def stream(self, queue: bytes) -> bytes:
        """Stream: the messages of `queue`."""
        return self._stream + queue

    def wake(self, queue: bytes) -> bytes:
        """Stream: the wake token of `queue`."""
        return self._wake + queue

    def users(self, queue: bytes) -> bytes:
        """Set: the names of the consumers of `queue`."""
        return self._users + queue

    def session(self, session: bytes) -> bytes:
        """Set: what the session owns."""
        return self._session + session
