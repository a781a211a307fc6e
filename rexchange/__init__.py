"""RabbitMQ's semantics on the Redis that you already run: exchanges, queues, bindings, deliveries, acks."""

from rexchange import errors
from rexchange._async.broker import AsyncBroker
from rexchange._async.consumer import AsyncConsumer
from rexchange._async.delivery import AsyncDelivery
from rexchange._sync.broker import Broker
from rexchange._sync.consumer import Consumer
from rexchange._sync.delivery import Delivery
from rexchange.hooks import Counters, Hooks
from rexchange.message import Message, Properties
from rexchange.settings import Settings
from rexchange.topology import Binding, Exchange, Queue

__version__ = "0.1.0"

__all__ = [
    "AsyncBroker",
    "AsyncConsumer",
    "AsyncDelivery",
    "Binding",
    "Broker",
    "Consumer",
    "Counters",
    "Delivery",
    "Exchange",
    "Hooks",
    "Message",
    "Properties",
    "Queue",
    "Settings",
    "errors",
]
