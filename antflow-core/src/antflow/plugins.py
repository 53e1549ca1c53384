"""The installed plugins and their hooks, for programs that list plugins or play the command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ._plugins.discovery import INSTALLED, InstalledPlugin
from ._plugins.switches import STRICT, is_on
from ._plugins.validation import ARGUMENTS

__all__ = [
    "HOOKS",
    "HookFunction",
    "InstalledPlugin",
    "hook_functions",
    "installed_plugins",
    "is_strict",
    "leave_out",
]

HOOKS: Mapping[str, tuple[str, ...]] = MappingProxyType(ARGUMENTS)
"""The names of each hook's arguments, by the hook, in the order in which hooks are called."""


@dataclass(frozen=True, slots=True)
class HookFunction:
    """The function of one plugin that implements a hook.

    Args:
        plugin: the plugin's name.
        call: calls it, with the argument of a hook that has one, or with a dict of all arguments.
    """

    plugin: str
    call: Callable[[Any], Any]


def installed_plugins() -> tuple[InstalledPlugin, ...]:
    """Return all installed plugins in the order of their names, those that take no part included.

    The first call in a process loads them, unless a pipeline did. The environment variables
    ANTFLOW_PLUGINS, ANTFLOW_DISABLE_PLUGINS and ANTFLOW_PLUGIN_AUTOLOAD choose among them then.

    Warns:
        PluginWarning: once for each that is left out because something is wrong with it.
    """
    return INSTALLED.found()


def hook_functions(hook: str) -> tuple[HookFunction, ...]:
    """Return the functions of active plugins that implement a hook, in the order of the calls.

    A program that plays the command calls those of `antflow_add_options` and `antflow_configure`;
    pipelines call all others.

    Args:
        hook: one of `HOOKS`.

    Raises:
        ValueError: there is no such hook.
    """
    if hook not in HOOKS:
        raise ValueError(f"There is no hook {hook!r}; the hooks are {', '.join(HOOKS)}")
    listeners = INSTALLED.active().listeners(hook)
    return tuple(HookFunction(listener.name, listener.call) for listener in listeners)


def leave_out(plugin: str, reason: str) -> None:
    """Have an active plugin take no part in pipelines that are made from now on.

    Its status is "failed" then. Do this if a hook that your program calls raises.

    Args:
        plugin: the plugin's name.
        reason: why, for `InstalledPlugin.reason`.
    """
    INSTALLED.leave_out(plugin, reason)


def is_strict() -> bool:
    """Return whether ANTFLOW_STRICT_PLUGINS is set: a plugin's error then ends the program."""
    return is_on(os.environ, STRICT)
