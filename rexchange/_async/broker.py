"""The broker: RabbitMQ's model on Redis. Every operation of the library begins here."""

from __future__ import annotations

from rexchange._async.applying import AsyncApplying
from rexchange._async.browsing import AsyncBrowsing
from rexchange._async.replies import AsyncReplies
from rexchange._async.retries import AsyncRetries
from rexchange._async.scheduling import AsyncScheduling
from rexchange._async.tracing import AsyncTracing
from rexchange._async.transaction import AsyncTransactions


class AsyncBroker(
    AsyncReplies, AsyncTransactions, AsyncApplying, AsyncScheduling, AsyncRetries, AsyncBrowsing, AsyncTracing
):
    """A connection to the broker (AMQP's connection and channel in one). Tasks of one event loop may share it.

    `url`: None means the environment's REXCHANGE_URL, else an embedded server; see the README for the schemes.
    `client`: take the connection settings of a redis-py client instead. `settings`: all settings at once; `options`:
    single ones by name, such as `ack_timeout=timedelta(minutes=5)` (see `rexchange.settings.Settings`).
    Raises InvalidArgument; the server is asked when it is first needed, or on entering.
    """
