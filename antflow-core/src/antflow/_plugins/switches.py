"""Switches among the environment variables."""

from __future__ import annotations

from collections.abc import Mapping

TRACE = "ANTFLOW_TRACE_PLUGINS"


STRICT = "ANTFLOW_STRICT_PLUGINS"


OFF = ("0", "false", "no", "off")


def is_off(environ: Mapping[str, str], variable: str) -> bool:
    """Tell whether a switch among the environment variables is set to "0" or the like."""
    return environ.get(variable, "").strip().lower() in OFF


def is_on(environ: Mapping[str, str], variable: str) -> bool:
    """Tell whether a switch among the environment variables is set, and not to "0" or the like."""
    return bool(environ.get(variable, "").strip()) and not is_off(environ, variable)
