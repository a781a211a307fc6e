# Generated from rexchange/_async/broker.py by `python tools/unasync.py`. Do not edit.
"""The broker: RabbitMQ's model on Redis. Every operation of the library begins here."""

from __future__ import annotations

from rexchange._sync.applying import Applying
from rexchange._sync.browsing import Browsing
from rexchange._sync.replies import Replies
from rexchange._sync.retries import Retries
from rexchange._sync.scheduling import Scheduling
from rexchange._sync.tracing import Tracing
from rexchange._sync.transaction import Transactions


class Broker(Replies, Transactions, Applying, Scheduling, Retries, Browsing, Tracing):
    """A connection to the broker (AMQP's connection and channel in one). Tasks of one event loop may share it.

    `url`: None means the environment's REXCHANGE_URL, else an embedded server; see the README for the schemes.
    `client`: take the connection settings of a redis-py client instead. `settings`: all settings at once; `options`:
    single ones by name, such as `ack_timeout=timedelta(minutes=5)` (see `rexchange.settings.Settings`).
    Raises InvalidArgument; the server is asked when it is first needed, or on entering.
    """
