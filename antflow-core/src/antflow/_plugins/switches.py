"""Environment variables that are switches, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping

TRACE = "ANTFLOW_TRACE_PLUGINS"
STRICT = "ANTFLOW_STRICT_PLUGINS"
OFF = ("0", "false", "no", "off")


def is_off(environ: Mapping[str, str], variable: str) -> bool:
    """Return whether a variable is set to "0", "false", "no" or "off"."""
    return environ.get(variable, "").strip().lower() in OFF


def is_on(environ: Mapping[str, str], variable: str) -> bool:
    """Return whether a variable is set to anything else, but for an empty text."""
    # Any text switches it on: a misspelt value then shows that the variable was read.
    return bool(environ.get(variable, "").strip()) and not is_off(environ, variable)
