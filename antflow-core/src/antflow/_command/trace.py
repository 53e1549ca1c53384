"""Where a program raised, as its author wants to see it."""

from __future__ import annotations

from pathlib import Path
from traceback import TracebackException

from antflow._faults import can_be_shown

OURS = str(Path(__file__).parent.parent)


def trace_of(error: BaseException) -> str:
    """Return where an error was raised, without our own frames; "" if nowhere else, or unknown."""
    if not can_be_shown(error):
        return ""
    traced = TracebackException.from_exception(error)
    theirs = [
        frame
        for frame in traced.stack
        if not frame.filename.startswith((OURS, "<frozen importlib"))
        and not frame.filename.endswith("/importlib/__init__.py")
    ]
    if not theirs:
        return "".join(traced.format_exception_only()) if isinstance(error, SyntaxError) else ""
    traced.stack[:] = theirs
    return "".join(traced.format(chain=False))
