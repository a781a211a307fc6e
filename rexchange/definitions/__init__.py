"""Definitions: what RabbitMQ exports as JSON, read into values and written again, and what an import would do.

A file is read whole, and all that is wrong with it is told at once (`read`). What rexchange cannot have, and what no
import takes (users, the broker's own names), is left out by name. `plan` compares it with what a server has; `dump`
is the way back. Nothing is asked and nothing done here.
"""

from rexchange.definitions.planning import Action, ImportPlan, Step, Value, plan
from rexchange.definitions.reading import read
from rexchange.definitions.values import SECTIONS, Content, Definitions, LeftOut, Topology
from rexchange.definitions.writing import dump, without_vhosts

__all__ = [
    "SECTIONS",
    "Action",
    "Content",
    "Definitions",
    "ImportPlan",
    "LeftOut",
    "Step",
    "Topology",
    "Value",
    "dump",
    "plan",
    "read",
    "without_vhosts",
]
