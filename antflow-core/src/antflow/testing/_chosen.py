"""Plugins as a test names them: an object, a class, a module, or an installed one by its name."""

from __future__ import annotations

from antflow._plugins.discovery import GROUP
from antflow._plugins.validation import instantiate
from antflow.exceptions import PluginError, text_of


def chosen(plugin: object) -> object:
    """Return the plugin that is meant; an installed one, or a class, is made anew.

    Args:
        plugin: the name of an installed one's entry point, or an object, a class or a module.

    Raises:
        LookupError: none of that name is installed.
        PluginError: it cannot be loaded or made.
    """
    name = plugin if isinstance(plugin, str) else getattr(plugin, "__name__", repr(plugin))
    found = installed(plugin) if isinstance(plugin, str) else plugin
    try:
        return instantiate(found)
    except Exception as error:
        raise PluginError(
            f"Plugin {name!r} cannot be made: {type(error).__name__}: {text_of(error)}; give an "
            "object, or a class that needs no arguments",
            plugin=str(name),
        ) from error


def installed(name: str) -> object:
    """Return what an entry point leads to, whether or not it is disabled.

    Raises:
        LookupError: there is none of that name.
        PluginError: it cannot be loaded.
    """
    from importlib.metadata import entry_points

    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in entries:
        raise LookupError(
            f"No plugin {name!r} is installed; installed are: "
            f"{', '.join(sorted(entries)) or 'none'}. Install the package that is tested, "
            "such as by `pip install --editable .`, or give the plugin itself"
        )
    entry = entries[name]
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(
            f"Plugin {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: "
            f"{text_of(error)}; mend the entry point or what it leads to",
            plugin=name,
        ) from error
