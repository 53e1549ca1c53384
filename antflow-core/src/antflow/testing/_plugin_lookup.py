"""Finds the plugin that a test names: an object, a class, a module, or an installed plugin."""

from __future__ import annotations

from antflow._plugins.discovery import GROUP
from antflow._plugins.validation import explain_errors, instantiate


def resolve_plugin(plugin: object) -> object:
    """Return the plugin itself: a new object for a class or the name of an installed plugin.

    Args:
        plugin: the name of an entry point, or an object, a class or a module.

    Raises:
        LookupError: no plugin of that name is installed.
        PluginError: the plugin cannot be loaded or made.
    """
    name = plugin if isinstance(plugin, str) else getattr(plugin, "__name__", repr(plugin))
    found = load_installed(plugin) if isinstance(plugin, str) else plugin
    remedy = "; give an object, or a class that needs no arguments"
    with explain_errors(f"Plugin {name!r} cannot be made", str(name), remedy):
        return instantiate(found)


def load_installed(name: str) -> object:
    """Load the plugin of an entry point, even if the plugin is disabled.

    Raises:
        LookupError: there is no entry point of that name.
        PluginError: the entry point cannot be loaded.
    """
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in entries:
        raise LookupError(
            f"No plugin {name!r} is installed; installed are: "
            f"{', '.join(sorted(entries)) or 'none'}. Install the package that is tested, "
            "such as by `pip install --editable .`, or give the plugin itself"
        )
    entry = entries[name]
    what = f"Plugin {name!r} ({entry.value}) cannot be loaded"
    with explain_errors(what, name, "; fix the entry point or what it leads to"):
        return entry.load()
