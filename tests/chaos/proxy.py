"""A TCP proxy in front of a server that loses replies, hides, falls silent or lies: the faults that tests ask for.

It runs in threads of its own, so sync and async tests use it alike. A rule looks at what a client sends: a command
that holds the rule's bytes has been done by the server when its reply is lost.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

_CHUNK = 1 << 18
_COMMAND = re.compile(rb"(?:^|\r\n)\*\d+\r\n\$")


@dataclass
class Rule:
    """What happens to the next `left` requests that hold `match`."""

    match: bytes
    left: int
    #: Of the requests that match, only each `every`-th is hit.
    every: int = 1
    #: How many matched.
    seen: int = 0
    #: A reply to give instead of asking the server; None: the server does it, and the connection is cut for a reply.
    lie: bytes | None = None
    #: How often it happened.
    done: int = 0
    #: Set when it has happened `left` times.
    over: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on a free port of this machine and passes everything on, but for what the rules say."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._flow = threading.Event()  # clear: replies wait
        self._flow.set()
        self._swallowing = False
        self._closed = False
        self._serve(self._listener)

    def url(self, db: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{db}"

    # --- faults

    def cut(self, match: bytes, times: int = 1, *, every: int = 1) -> Rule:
        """Lose the replies to the next requests that hold `match`: the server does them, then the connection ends."""
        return self._add(Rule(match, times, every))

    def lie(self, match: bytes, reply: bytes, times: int = 1) -> Rule:
        """Answer the next requests that hold `match` with `reply`; the server never sees them."""
        return self._add(Rule(match, times, lie=reply))

    def cut_all(self) -> None:
        """End every connection now."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _end(*pair)

    def swallow(self) -> None:
        """Half-open: from now on the open connections look alive, and nothing passes; new ones work."""
        with self._lock:
            self._pairs.clear()  # their threads see that they are dropped and go silent
        self._swallowing = True

    def hold(self) -> None:
        """Keep replies back until `release`."""
        self._flow.clear()

    def release(self) -> None:
        """Let the replies go that `hold` kept back."""
        self._flow.set()

    def refuse(self) -> None:
        """Refuse connections, and end the open ones."""
        # A thread in accept keeps the port open until it is woken.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def accept(self) -> None:
        """Take connections again after `refuse`."""
        self._listener = self._listen(self.port)
        self._serve(self._listener)

    # --- works

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def _hit(self, data: bytes) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.left <= 0 or rule.match not in data:
                    continue
                rule.seen += 1
                if rule.seen % rule.every == 0:
                    rule.left -= 1
                    rule.done += 1
                    return rule
        return None

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        return listener

    def _serve(self, listener: socket.socket) -> None:
        def loop() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                try:
                    server = socket.create_connection(self._target, timeout=10)
                    server.settimeout(None)
                except OSError:
                    client.close()
                    continue
                pair = (client, server)
                with self._lock:
                    self._pairs.add(pair)
                doomed: list[Rule] = []
                _thread(self._requests, pair, doomed)
                _thread(self._replies, pair, doomed)

        _thread(loop)

    def _gone(self, pair: tuple[socket.socket, socket.socket]) -> bool:
        return pair not in self._pairs and self._swallowing

    def _requests(self, pair: tuple[socket.socket, socket.socket], doomed: list[Rule]) -> None:
        client, server = pair
        try:
            while data := client.recv(_CHUNK):
                if self._gone(pair):
                    continue
                rule = self._hit(data)
                if rule is not None and rule.lie is not None:
                    client.sendall(rule.lie * len(_COMMAND.findall(data)))
                    self._tell(rule)
                    continue
                if rule is not None:
                    doomed.append(rule)
                server.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    def _replies(self, pair: tuple[socket.socket, socket.socket], doomed: list[Rule]) -> None:
        client, server = pair
        try:
            while data := server.recv(_CHUNK):
                self._flow.wait()
                if self._gone(pair):
                    continue
                if doomed:
                    self._tell(doomed[0])
                    break
                client.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    @staticmethod
    def _tell(rule: Rule) -> None:
        if rule.left == 0:
            rule.over.set()

    def _drop(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        _end(*pair)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._closed:
            self._closed = True
            self._flow.set()
            if self._listener.fileno() >= 0:
                self.refuse()


def _thread(work: Callable[..., None], *args: object) -> None:
    threading.Thread(target=work, args=args, name="chaos-proxy", daemon=True).start()


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
