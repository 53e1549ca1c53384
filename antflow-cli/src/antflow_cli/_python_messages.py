"""What Python itself prints on standard error: warnings, and errors that nothing can catch."""

from __future__ import annotations

import sys
import threading
import warnings
from traceback import format_exception

from antflow.logs import text_of

from ._printing import print_err
from ._texts import shown


def escape_python_messages() -> None:
    """Have Python's own messages cut and escaped, unless the program replaces these functions.

    For a process that is the command: it does not restore them.
    """
    warnings.showwarning = _show_warning
    threading.excepthook = _show_thread_error
    sys.unraisablehook = _show_ignored_error


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    print_err(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"))


def _show_thread_error(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value
    if error is not None and not isinstance(error, SystemExit):
        name = "" if args.thread is None else args.thread.name
        print_err(f"Exception in thread {name}:\n{_traceback(error)}")


def _show_ignored_error(unraisable: sys.UnraisableHookArgs) -> None:
    what = unraisable.err_msg or "Exception ignored in"
    error = unraisable.exc_value
    found = "" if error is None else f"\n{_traceback(error)}"
    print_err(f"{what}: {shown(unraisable.object)}{found}")


def _traceback(error: BaseException) -> str:
    try:
        return "".join(format_exception(error)).rstrip("\n")
    except BaseException:  # its notes or attributes may raise anything when they are read
        return f"{type(error).__name__}: {text_of(error)}"
