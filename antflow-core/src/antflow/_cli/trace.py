"""Where a program raised, as its author wants to see it."""

from __future__ import annotations

from traceback import TracebackException, format_exception

from antflow._errors.safe_logging import can_be_shown
from antflow._errors.tracebacks import location, remove_own_frames


def trace_of(error: BaseException) -> str:
    """Return where an error was raised, without our own frames; "" if nowhere else, or unknown."""
    if not can_be_shown(error):
        return ""
    remove_own_frames(error)
    traced = TracebackException.from_exception(error)
    theirs = [
        frame
        for frame in traced.stack
        if not frame.filename.startswith("<frozen importlib")
        and not frame.filename.endswith("/importlib/__init__.py")
    ]
    if not theirs:
        return "".join(traced.format_exception_only()) if isinstance(error, SyntaxError) else ""
    traced.stack[:] = theirs
    return "".join(traced.format(chain=False))


def failure_trace(error: BaseException) -> str:
    """Return where a task failed, with the causes of its error; "" if no frame is the program's."""
    if location(error) is None or not can_be_shown(error):
        return ""
    return "".join(format_exception(error)).rstrip()
