"""Every Redis key, and nothing else builds one (scripts receive names and build them the same way).

All begin with ``rx:{<vhost>}:``: one hash tag a vhost, so one vhost is one cluster slot and a script may reach all
its keys. Names come last in a key and stand as they are: no byte in them is special.

==========================  ======  ==================================================  =============================
key                         type    holds                                               lives until (owner)
==========================  ======  ==================================================  =============================
``vhost``                   hash    id = "<schema>.<epoch>", next (generations),        the vhost is deleted (vhost)
                                    tick (the reaper's last run), alarm (its next),
                                    trace, keyed and untrace (lua/lib/traces.lua),
                                    sweep (of lanes), policies and applied (the number
                                    of their state, and of the one written out last),
                                    limit (messages), touch (for WAIT to wait for:
                                    rexchange/protocol/confirm.py)
``exchanges``               hash    exchange -> record                                  exchange.delete
``queues``                  hash    queue -> record                                     queue.delete
``bindings:<exchange>``     hash    binding id -> arguments as given                    unbind, delete of either end
``routes:<exchange>``       hash    what routing reads: direct key -> destinations,     with the bindings
                                    fanout "" -> destinations, topic trie,
                                    headers id -> match form, and
                                    test -> bindings (lua/lib/headers.lua)
``cache``                   hash    topic routes once found; bounded in bytes           a change of topology (vhost)
``inbound:<q|x>:<name>``    set     bindings that end here                              with the bindings
``stream:<queue>``          stream  the messages, fields m and b                        queue.delete
``body:<share>``            string  a large body that went to several queues; their    the last of these entries
                                    entries have an empty b, and s: share:size          leaves its queue
``shares``                  hash    id of such a body -> how many entries point to it   with the body
``sharing``                 hash    queue -> how many of its entries do that            with the entries
``graves``                  hash    number of a deleted queue's rest -> how many        the reaper
                                    entries in it point to a body
``grave:<number>``          stream  what is left of its messages                        the reaper
``wake:<queue>``            stream  at most one token: something was given back         queue.delete
``order:<queue>``           zset    ready entries by priority and age                   with the entries
``users:<queue>``           zset    names of its consumers, by age                      cancel, end of the session
``ranks:<queue>``           hash    consumer -> its priority, and until when it waits   cancel, end of the session
``waiting:<queue>``         zset    consumers that wait, best first                     cancel, end of the session
``bell:<consumer>``         stream  at most one token: it is this consumer's turn       cancel, end of the session
``traits``                  hash    queue -> what it is beyond a plain one              queue.delete
``windows``                 hash    queue -> how many its consumers may hold together   cancel, end of the session
``choosy``                  hash    queue -> whose turn it is matters, and why          queue.delete, cancel
``sole``                    hash    queue -> the consumer that has it for itself        cancel, end of the session
``idle``                    hash    queue -> when it was used last (x-expires)          queue.delete
``timed``                   hash    queue -> it may hold messages that expire           the reaper, queue.delete
``bytes``                   hash    queue -> bytes of its ready bodies (limited ones)   queue.delete
``measures``                hash    queue -> how far its bytes have been counted        the reaper, queue.delete
``history:<exchange>``      list    what an x-recent-history exchange remembers         exchange.delete
``retries:<queue>``         zset    id of an entry that waits to be tried again ->      queue.delete, with the entries
                                    when it is due, ms
``retrying``                zset    queue -> when the first of these is due, ms         the reaper, queue.delete
``later``                   zset    number of a delayed message -> when it is due, ms   the reaper, when it is due
``parcels``                 hash    number of a delayed message -> what to route        the reaper, when it is due
``fates``                   hash    key of deduplication -> until when it holds, and    its window's end (next use,
                                    what became of the first message                    or the reaper)
``fading``                  zset    key of deduplication -> the end of its window, ms   with its fate
``quota``                   hash    how many messages a vhost with a limit holds, and   the limit is taken away
                                    how far they have been counted
``offsets``                 hash    stream queue -> its next offset                     queue.delete
``marks:<queue>``           zset    ids of every hundredth entry of a stream queue      queue.delete, with the entries
``places:<queue>``          hash    named consumer of a stream queue -> its place       queue.delete
``policies``                hash    name of a policy -> its record                      delete_policy
``traces``                  hash    id -> what is traced, and until when                untrace, the reaper
``traced``                  hash    queue -> it got a traced message                    untrace, the reaper
``trace``                   stream  what happened to traced messages; bounded           untrace, the reaper (an hour)
``alarm``                   stream  at most one token: the reaper is wanted sooner      vhost
``returned``                hash    queue -> how many entries are given back            queue.delete
``managed``                 hash    queue -> how many managed consumers                 cancel, end of the session
``consumers``               hash    consumer name -> record                             cancel, end of the session
``fences``                  hash    consumer name -> whether its entries are all its    cancel, end of the session
                                    (1; s: some may share a body, t: be traced)
``sessions``                zset    session -> deadline in ms by the server's TIME      close, or the reaper
``session:<id>``            set     what the session owns                               close, or the reaper
``due``                     zset    queue -> its next visit by the reaper, ms           queue.delete
``visits``                  hash    queue -> where the reaper's visit goes on           the visit's last page
``lanes``                   hash    producer lane -> last call, token, answer           an hour unused (reaper)
==========================  ======  ==================================================  =============================

No key has a TTL, but for a body that is stored ahead of the publish that adopts it. ``volatile-*`` eviction takes
keys with a TTL first: a lost lane doubles a message, a lost session gives back what is being worked on, a lost record
loses a queue. The reaper removes by score instead.
"""

from __future__ import annotations

import re
from typing import Literal

SCHEMA = 1
"""The layout above. A vhost with a newer one is refused by name, never guessed at."""

_ROOT = b"rx:{%s}:"


def scan_pattern(vhost: bytes | None = None) -> bytes:
    """Return what SCAN's MATCH takes for the prefix of a vhost's keys, or that of any vhost's."""
    if vhost is None:
        return _ROOT % b"*"
    return _ROOT % re.sub(rb"([\\*?\[\]^-])", rb"\\\1", vhost)


def vhost_of(key: bytes) -> str | None:
    """Return the vhost whose `vhost` key this is; None where it is none of ours."""
    found = re.fullmatch(rb"rx:\{([^{}]+)\}:vhost", key)
    return None if found is None else found[1].decode("utf-8", "backslashreplace")


class Keys:
    """The keys of one vhost as bytes, built once. Names are bytes as `topology.check_name` returns them."""

    __slots__ = (
        "_bell",
        "_bindings",
        "_body",
        "_inbound_exchange",
        "_inbound_queue",
        "_order",
        "_retries",
        "_routes",
        "_session",
        "_stream",
        "_users",
        "_wake",
        "alarm",
        "bytes",
        "cache",
        "choosy",
        "consumers",
        "due",
        "exchanges",
        "fading",
        "fates",
        "fences",
        "graves",
        "idle",
        "lanes",
        "later",
        "managed",
        "measures",
        "offsets",
        "parcels",
        "prefix",
        "queues",
        "quota",
        "retrying",
        "returned",
        "sessions",
        "shares",
        "sharing",
        "sole",
        "timed",
        "trace",
        "traced",
        "traces",
        "traits",
        "vhost",
        "visits",
        "windows",
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
        self.alarm = prefix + b"alarm"
        self.traits = prefix + b"traits"
        self.windows = prefix + b"windows"
        self.choosy = prefix + b"choosy"
        self.sole = prefix + b"sole"
        self.idle = prefix + b"idle"
        self.timed = prefix + b"timed"
        self.bytes = prefix + b"bytes"
        self.measures = prefix + b"measures"
        self.retrying = prefix + b"retrying"
        self.later = prefix + b"later"
        self.parcels = prefix + b"parcels"
        self.fates = prefix + b"fates"
        self.fading = prefix + b"fading"
        self.quota = prefix + b"quota"
        self.offsets = prefix + b"offsets"
        self.shares = prefix + b"shares"
        self.sharing = prefix + b"sharing"
        self.graves = prefix + b"graves"
        self.trace = prefix + b"trace"
        self.traced = prefix + b"traced"
        self.traces = prefix + b"traces"
        self._order = prefix + b"order:"
        self._retries = prefix + b"retries:"
        self._bell = prefix + b"bell:"
        self._body = prefix + b"body:"
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
        """Sorted set: the names of the consumers of `queue`, by age."""
        return self._users + queue

    def order(self, queue: bytes) -> bytes:
        """Sorted set: the ready entries of a `queue` with priorities."""
        return self._order + queue

    def retries(self, queue: bytes) -> bytes:
        """Sorted set: the entries of `queue` that wait to be tried again."""
        return self._retries + queue

    def bell(self, consumer: bytes) -> bytes:
        """Stream: the token that calls `consumer`."""
        return self._bell + consumer

    def body(self, share: bytes) -> bytes:
        """String: the large body with this number."""
        return self._body + share

    def session(self, session: bytes) -> bytes:
        """Set: what the session owns."""
        return self._session + session
