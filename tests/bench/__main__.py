"""`make check-bench`: every budget once, with little to do, to see that they run; `make bench-budgets` measures.

Those that need other brokers and packages from the network are left out.
"""

from __future__ import annotations

import argparse
import sys

from tests.bench.budgets import running
from tests.bench.budgets.case import Scale


def main() -> int:
    """Run and print them; the figures say nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=500, help="of one round")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    scale = Scale(options.messages, options.rounds, part=0.001, deep=2000)
    cases = running.all_cases(scale)
    here = [case for case in cases if not case.outside]
    console = running.a_console()
    rows, _servers = running.run_all(here, scale, lambda _: None)
    running.show(console, rows)
    left_out = [row.name for case in cases if case.outside for row in case.rows]
    console.print(f"left out: {', '.join(left_out)}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
