"""The commands `antflow plugins` and `antflow hooks`: what is installed, and who listens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields

from antflow._discovery import INSTALLED, FoundPlugin
from antflow.plugins import ARGUMENTS

from .tables import table

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
