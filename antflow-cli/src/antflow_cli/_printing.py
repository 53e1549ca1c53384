"""Output of the command on standard output and standard error: text, tables and tracebacks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from threading import Thread

from antflow.logs import escape_controls, format_traceback, shorten
from antflow.plugins import HOOKS, InstalledPlugin, hook_functions

from ._file_io import write_all
from ._records import escape_json
from ._texts import encodable, message_text, safe_text

SUCCEEDED, FAILED, OUTPUT_CLOSED = 0, 1, 141
MAX_CELL = 10_000
PACKAGE = "antflow_cli"


def print_err(text: str) -> None:
    """Print on standard error, cut and without control characters; do nothing if it is closed."""
    stream = sys.__stderr__
    with suppress(OSError, ValueError, AttributeError):
        text = encodable(message_text(text), sys.stderr)
        # A display may have replaced the stream, or its method.
        is_captured = stream is not None and "write" in vars(stream)
        if sys.stderr is not stream or is_captured:
            print(text, file=sys.stderr, flush=True)
            return
        if stream is None:  # closed at the start; print would take standard output
            return
        with suppress(OSError):
            stream.flush()
        # Python drops text if a child process has made standard error non-blocking.
        write_all(stream.fileno(), f"{text}\n".encode(stream.encoding, "backslashreplace"))


def print_warning(text: str) -> None:
    """Print one line on standard error."""
    print_err(f"warning: {message_text(text, one_line=True)}")


def print_err_in_time(texts: Iterable[str], timeout: float) -> bool:
    """Print on standard error in a thread, and return whether that ended before the timeout.

    A thread that is still blocked may hold the lock of `sys.stderr`. Then further prints block, and
    so does Python's own exit.
    """
    lines = [*texts]  # in this thread, since a generator may read the state of the run

    def print_each() -> None:
        for line in lines:
            print_err(line)

    return call_in_time(print_each, timeout, "antflow-stderr")


def call_in_time(function: Callable[[], object], timeout: float, name: str) -> bool:
    """Call a function in a daemon thread, and return whether it returned before the timeout.

    Args:
        function: may block.
        timeout: in seconds.
        name: of the thread.
    """
    thread = Thread(target=function, name=name, daemon=True)
    thread.start()
    thread.join(timeout)
    return not thread.is_alive()


def print_out(text: str) -> int:
    """Print on standard output without control characters, and return the exit code.

    That is 141 if the reader has closed it.
    """
    try:
        print(encodable(escape_controls(text), sys.stdout), flush=True)
    except BrokenPipeError:
        code = OUTPUT_CLOSED
    except OSError as error:
        print_err(f"standard output cannot be written: {error.strerror}")
        code = FAILED
    else:
        return SUCCEEDED
    _redirect_to_null()
    return code


def _redirect_to_null() -> None:
    """Let Python's flush at exit succeed, which would report the same error again."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


# Tables


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as lines with aligned columns, whatever the cells contain."""
    rows = [tuple(safe_text(cell, MAX_CELL) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


LISTED = [field.name for field in fields(InstalledPlugin) if field.name != "plugin"]


def plugins_as_json(found: Iterable[InstalledPlugin]) -> str:
    """Return plugins as a list of JSON objects."""
    listed = [{name: getattr(plugin, name) for name in LISTED} for plugin in found]
    return escape_json(json.dumps(listed, indent=2))


def plugins_as_text(found: Sequence[InstalledPlugin]) -> str:
    """Return plugins as a table."""
    if not found:
        return "No plugin is installed."
    rows = [("NAME", "STATUS", "DISTRIBUTION", "VERSION", "HOOKS OR REASON")]
    for plugin in found:
        hooks = (hook.removeprefix("antflow_") for hook in plugin.hooks)
        about = plugin.reason or ", ".join(hooks)
        rows.append(
            (plugin.name, plugin.status, plugin.distribution, plugin.version, about or "none")
        )
    return table(rows)


def hooks_as_text() -> str:
    """Return the hooks and the plugins that implement them as a table."""
    rows = [("HOOK", "PLUGINS, IN THE ORDER OF THE CALLS")]
    for hook, arguments in HOOKS.items():
        names = [function.plugin for function in hook_functions(hook)]
        rows.append((f"{hook}({', '.join(arguments)})", ", ".join(names) or "-"))
    return table(rows)


# Tracebacks


def format_program_error(error: BaseException) -> str:
    """Return the traceback of an error that the user's program raised, without its causes.

    Returns:
        The traceback; "" if no frame of the program is left.
    """
    return format_traceback(error, hidden=(PACKAGE, "importlib"), chain=False)


def format_task_error(error: BaseException) -> str:
    """Return the traceback of a task's error, with its causes.

    It is cut, because it is kept until the end of the run.

    Returns:
        The traceback; "" if no frame of the program is left.
    """
    return shorten(format_traceback(error, hidden=(PACKAGE,)).rstrip())
