"""The end of the process, where something that a run has left behind would keep it."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from threading import Event, Thread

from .printing import in_time

GRACE_SECONDS = 1.0
"""How long what is left behind may take to end before the process does without it."""


def leave_in_time(code: int) -> None:
    """End the process after the grace, if it is waiting for its threads or its event loop then.

    Python waits without a limit for functions in threads, and for tasks that ignore their
    cancellation. What plugins do at the exit comes later, and may take its time.

    Args:
        code: what the process is to end with.
    """
    is_leaving = Event()
    atexit.register(is_leaving.set)
    Thread(target=_leave_unless, args=(is_leaving, code), name="antflow-exit", daemon=True).start()


def _leave_unless(is_leaving: Event, code: int) -> None:
    if not is_leaving.wait(GRACE_SECONDS):
        leave(code)


def leave(code: int) -> None:
    """End the process, with what was printed if that is taken, and without waiting for anybody.

    Args:
        code: what the process is to end with.
    """
    try:
        in_time(_flush, GRACE_SECONDS, "antflow-flush")
    finally:
        os._exit(code)


def _flush() -> None:
    for stream in sys.stdout, sys.stderr:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
