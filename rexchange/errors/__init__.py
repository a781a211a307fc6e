"""What rexchange raises: one class per AMQP reply code, one tree.

::

    RexchangeError
    ├── InvalidArgument (also ValueError)   a Python argument of a wrong type or out of range
    ├── DefinitionsError (also ValueError)  definitions or a topology not to be had: .problems
    ├── TopologyError                       kind, name, argument, current, wanted
    │   ├── AccessRefused        403        reserved name, default exchange, exclusive consumer
    │   ├── NotFound             404        no such exchange, queue, vhost
    │   ├── ResourceLocked       405        exclusive to another session
    │   ├── PreconditionFailed   406        declared before with other values; a value AMQP forbids
    │   ├── NotSupported         540        RabbitMQ has it, rexchange has it not (yet)
    │   └── TopologyLost         541        FLUSHALL, eviction, wrong db, corrupt record
    ├── PublishError
    │   ├── ContentTooLarge      311        a body or a call over its limit (RabbitMQ answers 406)
    │   ├── Unroutable           312        mandatory, and no queue: .messages
    │   ├── PublishRefused                  memory is full, or a queue: .refused, .counts, .moved
    │   └── Unconfirmed                     published, but not on replicas or disk in time: .counts
    ├── DeliveryError
    │   ├── UnknownDeliveryTag   406        never given out
    │   ├── AlreadySettled       406        acked, nacked or rejected before
    │   ├── StaleDelivery        406        given back meanwhile, another consumer may have it
    │   └── ConsumerCancelled               the queue was deleted while it was consumed
    ├── TransactionError                    used twice, outside of its block, or a value asked for too early
    │   └── CommandFailed                   a Redis command of a transaction: .command, .index, .reason, .written
    ├── NoReply                             a call was not answered in time
    ├── BrokerConnectionError               address, outcome
    │   └── ServerRefused                   no Redis, too old, cluster, newer schema
    └── ScriptError              541        a script failed, or stored bytes cannot be read

Every class can be pickled and copied. ``reply_code`` is the AMQP number, or None where AMQP has none.
No message holds a password: what looks like a URL's user part is masked.
"""

from rexchange.errors.base import DefinitionsError, InvalidArgument, Problem, RexchangeError, redact
from rexchange.errors.messages import (
    AlreadySettled,
    CommandFailed,
    ConsumerCancelled,
    ContentTooLarge,
    DeliveryError,
    NoReply,
    PublishError,
    PublishRefused,
    StaleDelivery,
    TransactionError,
    Unconfirmed,
    UnknownDeliveryTag,
    Unroutable,
    UnroutableMessage,
)
from rexchange.errors.server import BrokerConnectionError, Outcome, ScriptError, ServerRefused
from rexchange.errors.topology import (
    AccessRefused,
    NotFound,
    NotSupported,
    PreconditionFailed,
    ResourceLocked,
    TopologyError,
    TopologyLost,
)

__all__ = [
    "AccessRefused",
    "AlreadySettled",
    "BrokerConnectionError",
    "CommandFailed",
    "ConsumerCancelled",
    "ContentTooLarge",
    "DefinitionsError",
    "DeliveryError",
    "InvalidArgument",
    "NoReply",
    "NotFound",
    "NotSupported",
    "Outcome",
    "PreconditionFailed",
    "Problem",
    "PublishError",
    "PublishRefused",
    "ResourceLocked",
    "RexchangeError",
    "ScriptError",
    "ServerRefused",
    "StaleDelivery",
    "TopologyError",
    "TopologyLost",
    "TransactionError",
    "Unconfirmed",
    "UnknownDeliveryTag",
    "Unroutable",
    "UnroutableMessage",
    "redact",
]

# Where it is imported from, whatever file it stands in: tracebacks show it, and pickles keep it.
for _name in __all__:
    if isinstance(_class := globals()[_name], type):
        _class.__module__ = __name__
