"""What the command prints, and how a process ends that could not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from threading import Thread

SUCCEEDED, FAILED, OUTPUT_CLOSED = 0, 1, 141


def say(text: str) -> None:
    """Print on standard error, if there is one."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


def say_in_time(texts: Iterable[str], seconds: float) -> bool:
    """Print on standard error, and tell whether it took all of that in time.

    A thread that waits for it longer is left behind. It may hold the lock of Python's file then:
    whoever prints there waits, and so does Python's own exit.

    Args:
        texts: what to print.
        seconds: how long to wait.
    """
    saying = Thread(target=_say_each, args=([*texts],), name="antflow-saying", daemon=True)
    saying.start()
    saying.join(seconds)
    return not saying.is_alive()


def _say_each(texts: list[str]) -> None:
    for text in texts:
        say(text)


def show(text: str) -> int:
    """Print on standard output, and return the exit code: 141 where nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        code = OUTPUT_CLOSED
    except OSError as error:
        say(f"standard output cannot be written: {error.strerror}")
        code = FAILED
    else:
        return SUCCEEDED
    _forget_what_is_buffered()
    return code


def _forget_what_is_buffered() -> None:
    """Have Python's last flush succeed, which would report the same error once more."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
