"""RabbitMQ's semantics on the Redis that you already run: exchanges, queues, bindings, deliveries, acks."""

# Names are imported when they are first used: whoever has rexchange installed loads this file at every start of
# pytest (its plugin), and all the rest takes a third of a second.

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rexchange import errors
    from rexchange._async.broker import AsyncBroker
    from rexchange._async.consumer import AsyncConsumer
    from rexchange._async.delivery import AsyncDelivery
    from rexchange._async.transaction import AsyncTransaction
    from rexchange._sync.broker import Broker
    from rexchange._sync.consumer import Consumer
    from rexchange._sync.delivery import Delivery
    from rexchange._sync.transaction import Transaction
    from rexchange.applying import TopologyPlan
    from rexchange.blocked import Blocked
    from rexchange.changes import Change
    from rexchange.definitions import ImportPlan, Topology
    from rexchange.hooks import Counters, Hooks
    from rexchange.message import Message, Properties
    from rexchange.policies import Policy
    from rexchange.protocol.browse import BrowsedMessage, Unacked
    from rexchange.protocol.later import Scheduled
    from rexchange.protocol.tracing import Trace, TraceEvent
    from rexchange.receipt import Receipt
    from rexchange.settings import Settings
    from rexchange.topology import Binding, Exchange, Queue

__version__ = "0.1.0"

__all__ = [
    "AsyncBroker",
    "AsyncConsumer",
    "AsyncDelivery",
    "AsyncTransaction",
    "Binding",
    "Blocked",
    "Broker",
    "BrowsedMessage",
    "Change",
    "Consumer",
    "Counters",
    "Delivery",
    "Exchange",
    "Hooks",
    "ImportPlan",
    "Message",
    "Policy",
    "Properties",
    "Queue",
    "Receipt",
    "Scheduled",
    "Settings",
    "Topology",
    "TopologyPlan",
    "Trace",
    "TraceEvent",
    "Transaction",
    "Unacked",
    "errors",
]

_HOMES = {
    "_async.broker": ("AsyncBroker",),
    "_async.consumer": ("AsyncConsumer",),
    "_async.delivery": ("AsyncDelivery",),
    "_async.transaction": ("AsyncTransaction",),
    "_sync.broker": ("Broker",),
    "_sync.consumer": ("Consumer",),
    "_sync.delivery": ("Delivery",),
    "_sync.transaction": ("Transaction",),
    "applying": ("TopologyPlan",),
    "blocked": ("Blocked",),
    "changes": ("Change",),
    "definitions": ("ImportPlan", "Topology"),
    "hooks": ("Counters", "Hooks"),
    "message": ("Message", "Properties"),
    "policies": ("Policy",),
    "protocol.browse": ("BrowsedMessage", "Unacked"),
    "protocol.later": ("Scheduled",),
    "receipt": ("Receipt",),
    "protocol.tracing": ("Trace", "TraceEvent"),
    "settings": ("Settings",),
    "topology": ("Binding", "Exchange", "Queue"),
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("rexchange.errors")
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"rexchange.{home}"), name)
            globals()[name] = value  # the next use does not come here
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
