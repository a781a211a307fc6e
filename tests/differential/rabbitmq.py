"""Connections to RabbitMQ, its refusals, and vhosts of its own."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, NackError, UnroutableError

from tests.differential.books import FULL, Refused

HOST = ("127.0.0.1", 5672)


class Client:
    """A connection."""

    def __init__(self, vhost: str) -> None:
        self.vhost = vhost
        self.connection: Any = None
        self._desk: Any = None
        self._spare: Any = None

    def open(self) -> Any:
        if self.connection is None:
            address = pika.ConnectionParameters(*HOST, virtual_host=self.vhost, heartbeat=0)
            self.connection = pika.BlockingConnection(address)
        return self.connection

    @property
    def desk(self) -> Any:
        """A channel that holds nothing, with confirms."""
        if self._desk is None or not self._desk.is_open:
            self._desk = self.open().channel()
            self._desk.confirm_delivery()
        return self._desk

    def channel(self) -> Any:
        if self._spare is None or not self._spare.is_open:
            self._spare = self.open().channel()
        return self._spare

    def keep(self) -> None:
        """The channel got a holder: the next one needs another."""
        self._spare = None

    def close(self) -> None:
        if self.connection is not None and self.connection.is_open:
            self.connection.close()
        self.connection = self._desk = self._spare = None


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as closed:
        raise Refused(closed.reply_code) from closed
    except UnroutableError as returned:
        raise Refused(312) from returned
    except NackError as nacked:
        raise Refused(FULL) from nacked


@contextmanager
def fresh_vhost() -> Iterator[str]:
    """Make a vhost of RabbitMQ and remove it afterwards."""
    vhost = f"differential-{secrets.token_hex(4)}"
    rabbitmqctl("add_vhost", vhost)
    try:
        rabbitmqctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
        yield vhost
    finally:
        rabbitmqctl("delete_vhost", vhost)


def rabbitmqctl(*words: str, stdin: str = "") -> str:
    """Run a command of RabbitMQ's, which takes a second to start, and return what it printed."""
    command = ["rabbitmqctl", "--quiet", *words]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
