"""What is done when the process ends normally."""

from __future__ import annotations

import atexit
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def at_exit(work: Callable[[], None], priority: int) -> None:
    """Run `work` when the process ends normally; asked for again it moves to the front: the last one comes first.

    `priority`: in a forked worker of multiprocessing, which skips atexit, the highest comes first.
    """
    atexit.unregister(work)
    atexit.register(work)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        import multiprocessing.util  # noqa: PLC0415 - most processes have none

        multiprocessing.util.Finalize(None, work, exitpriority=priority)
