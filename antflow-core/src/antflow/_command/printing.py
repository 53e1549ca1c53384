"""What the command prints, and how a process ends that could not."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

SUCCEEDED, FAILED, OUTPUT_CLOSED = 0, 1, 141


def say(text: str) -> None:
    """Print on standard error, if there is one."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


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
