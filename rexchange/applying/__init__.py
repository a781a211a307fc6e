"""Applying a topology: read from values or a file, checked whole, and compared with what is there.

`read` tells all that is wrong with it at once, with file, line and object; `plan` says what would be done; `dump` is
the way back. Nothing is asked and nothing done here.
"""

from rexchange.applying.planning import Present, TopologyPlan, plan
from rexchange.applying.reading import FORMS, Wanted, read
from rexchange.applying.writing import dump

__all__ = ["FORMS", "Present", "TopologyPlan", "Wanted", "dump", "plan", "read"]
