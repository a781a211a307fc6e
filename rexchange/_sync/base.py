# Generated from rexchange/_async/base.py by `python tools/unasync.py`. Do not edit.
"""What all groups of a broker's methods share: its parts, its life, and what becomes of it in a forked child."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Self

from rexchange import hooks as hooks_module
from rexchange import settings as settings_module
from rexchange import topology
from rexchange._sync import io
from rexchange._sync.lane import Lane
from rexchange._sync.link import Link
from rexchange._sync.publisher import Publisher
from rexchange._sync.session import Session
from rexchange._sync.wire import inherited
from rexchange.confirms import read_level
from rexchange.errors import InvalidArgument
from rexchange.records import encode_binding_id
from rexchange.server.address import resolve
from rexchange.server.exits import at_exit
from rexchange.topology import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rexchange._sync.consumer import Consumer
    from rexchange._sync.getter import Getter
    from rexchange._sync.replies import ReplyDesk
    from rexchange.blocked import Blocked
    from rexchange.confirms import Level
    from rexchange.definitions import Value
    from rexchange.hooks import Counters, Hooks
    from rexchange.protocol.call import Call
    from rexchange.protocol.publish import Group
    from rexchange.settings import Settings

_brokers: weakref.WeakSet[Base] = weakref.WeakSet()


class Base:
    """The parts of a broker, and its life."""

    def __init__(
        self,
        url: str | None = None,
        *,
        client: object = None,
        vhost: str | None = None,
        settings: Settings | None = None,
        hooks: Hooks | None = None,
        **options: Any,  # noqa: ANN401 - Settings checks each by name and type
    ) -> None:
        """Nothing is connected yet."""
        if settings is not None and options:
            raise InvalidArgument("settings", sorted(options), "either settings or single options, not both")
        self.settings = settings_module.load(vhost=vhost, **options) if settings is None else settings
        if not isinstance(self.settings, settings_module.Settings):
            raise InvalidArgument("settings", settings, "what rexchange.Settings(...) or settings.load(...) returned")
        if hooks is not None and not isinstance(hooks, hooks_module.Hooks):
            raise InvalidArgument("hooks", hooks, "an instance of a class derived from rexchange.Hooks")
        name = self.settings.vhost if vhost is None else vhost
        if url is not None and (not isinstance(url, str) or not url):
            # An empty one is a variable that nobody set: it must not mean the embedded server.
            raise InvalidArgument("url", url, "a URL as a str, or None for REXCHANGE_URL or the embedded server")
        if url is None and client is None and self.settings.url is not None:
            url = self.settings.url.get_secret_value()
        if url is None and client is None and self.settings.data_dir is not None:
            url = f"embedded://{self.settings.data_dir.absolute()}"
        address = resolve(url, client)
        self._declared: dict[object, Value] = {}
        self._link = Link(address, self.settings, name)
        self._link.restore = self.restore
        self._session = Session(self._link)
        self._publisher = Publisher(self._link)
        self._confirming: dict[Level, Publisher] = {}
        self._lane = Lane(self._link)
        self._hooks = hooks
        self._confirm = read_level(self.settings.confirm)
        self._blocked: dict[Group, Blocked] = {}
        self._getters: dict[str, Getter] = {}
        self._consumers: set[Consumer] = set()
        self._reply_name = ""
        self._replies: ReplyDesk | None = None
        self._release: Callable[[], None] | None = None
        self._holding = io.Lock()
        self._pid = os.getpid()
        _brokers.add(self)

    # --- life

    def open(self) -> Self:
        """Connect now; every operation does it when needed. Raises BrokerConnectionError, ServerRefused."""
        self._ready()
        self._link.open()
        return self

    def _ready(self) -> None:
        if self._pid != os.getpid():
            self.after_fork()
        self._link.at_home()
        if self._release is None:
            with self._holding:
                if self._release is None and not self._link.closed:
                    self._release = io.run_blocking(self._link.address.hold)
                    at_exit(_end_all, 1)  # anew, since it must come before that of the embedded server

    def after_fork(self) -> None:
        """Become a broker of one's own in a forked child: its connections, lane and session are the parent's."""
        self._pid = os.getpid()
        self._holding = io.Lock()
        self._release = None
        self._getters = {}
        self._reply_name, self._replies = "", None
        self._blocked = {}
        inherited.append(self._consumers)
        self._consumers = set()
        self._link.reset()
        self._session.reset()
        self._publisher.reset()
        for publisher in self._confirming.values():
            publisher.reset()
        self._lane.reset()

    def __enter__(self) -> Self:
        """Connect."""
        try:
            return self.open()
        except BaseException:
            self.close()  # `with` does not leave what it did not enter: the connection would stay open
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close: consumers end, all that is unacked goes back at once, exclusive queues are deleted."""
        if self._link.closed or self._pid != os.getpid():
            return
        self._link.at_home()
        self._link.closing()
        for consumer in list(self._consumers):
            consumer.close()
        for getter in self._getters.values():
            getter.end()
        self._session.close()
        for publisher in [self._publisher, *self._confirming.values()]:
            publisher.close()
        self._link.close()
        if self._release is not None:
            io.run_blocking(self._release)
            self._release = None

    def _note(self, *values: Value) -> None:
        """Keep what was declared, for `restore`."""
        self._declared.update((key_of(value), value) for value in values)

    def restore(self, run: Callable[[Call[Any]], Any]) -> None:
        """Declare again, after the server lost it all, what this Broker declared (redeclare=True)."""
        raise NotImplementedError

    def on_vhost(self, name: str) -> Self:
        """Return a Broker of its own on another vhost of the same server, with the same settings; close it as any.

        The vhost is there from its first use on.
        """
        other = type(self)(client=self._link.address, vhost=name, settings=self.settings, hooks=self._hooks)
        other._link.facts = self._link.facts  # noqa: SLF001 - one look at the server, and one warning, is enough
        return other

    def is_left_open(self) -> bool:
        """Whether it holds what nobody else gets before its session is reaped."""
        return bool(self._session.id) and not self._link.closed and self._pid == os.getpid()

    # --- what it is

    def __repr__(self) -> str:
        """Show the server, without password, and the vhost."""
        return f"<{type(self).__name__} at {self._link}>"

    @property
    def vhost(self) -> str:
        """The name of its vhost."""
        return self._link.vhost

    @property
    def address(self) -> str:
        """The server's address, without password."""
        return self._link.address.display

    @property
    def counters(self) -> Counters:
        """What it did since it was made."""
        return self._link.counters

    def _run(self, call: Call[Any], timeout: float | None = None) -> Any:  # noqa: ANN401 - what the call decodes to
        self._ready()
        return self._link.run(call, deadline=self._link.deadline(timeout))


def name_of(kind: str, value: str | Queue | Exchange) -> str:
    """Return the name of what may be given as a name or as a declared value; raises InvalidArgument."""
    if isinstance(value, Queue | Exchange):
        is_queue = isinstance(value, Queue)
        if is_queue != (kind == "queue"):
            # Exchanges and queues may have the same name, so the other one would be taken for it.
            wanted = f"{'an exchange' if is_queue else 'a queue'}: its name or what declare_{kind} returned"
            raise InvalidArgument(kind, value, wanted)
        value = value.name
    topology.check_name(kind, value)
    return value


def key_of(value: Value) -> object:
    """Return what a declared value is known by among those of its Broker."""
    if isinstance(value, Binding):
        return "binding", value.source, encode_binding_id(value)
    return "exchange" if isinstance(value, Exchange) else "queue" if isinstance(value, Queue) else "policy", value.name


def _end_all() -> None:
    io.end([broker for broker in list(_brokers) if broker.is_left_open()])


def _fork_all() -> None:
    for broker in list(_brokers):
        broker.after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_fork_all)
