"""Letting other threads go on during long work."""

from __future__ import annotations

from time import sleep

SHORTEST = 1e-6
"""Seconds; 0 would give up the interpreter, and take it back before anyone else wakes up."""


def give_way() -> None:
    """Let another thread have the interpreter, the event loop's for one.

    A thread that asks for the interpreter waits 5 milliseconds for one that does not give it up by
    itself (`sys.getswitchinterval`).
    """
    sleep(SHORTEST)
