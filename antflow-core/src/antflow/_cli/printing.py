"""What the command prints, and how a process ends that could not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from threading import Thread

from antflow._plugins.discovery import INSTALLED, FoundPlugin
from antflow._plugins.validation import ARGUMENTS

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
    said = [*texts]

    def say_each() -> None:
        for text in said:
            say(text)

    return in_time(say_each, seconds, "antflow-saying")


def in_time(function: Callable[[], object], seconds: float, name: str) -> bool:
    """Call a function in a thread, and tell whether it returned in time; else it is left behind.

    Args:
        function: what may block.
        seconds: how long to wait.
        name: of the thread.
    """
    thread = Thread(target=function, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


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


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as lines whose columns are as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


LISTED = [field.name for field in fields(FoundPlugin) if field.name != "plugin"]


def plugins_as_json(found: Iterable[FoundPlugin]) -> str:
    """Return plugins as a list of JSON objects."""
    listed = [{name: getattr(plugin, name) for name in LISTED} for plugin in found]
    return json.dumps(listed, indent=2)


def plugins_as_text(found: Sequence[FoundPlugin]) -> str:
    """Return plugins as a table."""
    if not found:
        return "No plugin is installed."
    rows = [("NAME", "STATUS", "DISTRIBUTION", "VERSION", "HOOKS OR REASON")]
    for plugin in found:
        about = plugin.reason or ", ".join(hook.removeprefix("antflow_") for hook in plugin.hooks)
        rows.append(
            (plugin.name, plugin.status, plugin.distribution, plugin.version, about or "none")
        )
    return table(rows)


def hooks_as_text() -> str:
    """Return the hooks, and who implements them, as a table."""
    rows = [("HOOK", "PLUGINS, IN THE ORDER OF THE CALLS")]
    active = INSTALLED.active()
    for hook, arguments in ARGUMENTS.items():
        names = ", ".join(listener.name for listener in active.listeners(hook))
        rows.append((f"{hook}({', '.join(arguments)})", names or "-"))
    return table(rows)
