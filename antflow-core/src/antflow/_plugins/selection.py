"""Choosing the plugins of one pipeline: installed ones, given ones, and its tracker."""

from __future__ import annotations

from collections.abc import Iterable

from .plugin_set import EMPTY_SET, PluginSet, resolve


def select_plugins(
    plugins: Iterable[object], tracker: object | None, pipeline: str, *, autoload: bool
) -> PluginSet:
    """Return the plugins that take part in the runs of a pipeline.

    Args:
        plugins: given to the pipeline; one replaces the installed plugin of its name.
        autoload: whether installed plugins take part.

    Raises:
        PipelineError: `plugins` is not a list, or has two plugins of one name.
        PluginError: a plugin cannot take part.
    """
    # Imported here, so that `import antflow` does not pay for it.
    from .discovery import INSTALLED

    given = resolve(plugins, pipeline)
    installed = INSTALLED.active() if autoload else EMPTY_SET
    tracked = {} if tracker is None else resolve([tracker], pipeline)
    if not given and not tracked:
        return installed  # one set for all such pipelines: nothing is registered again
    others = {
        name: plugin
        for name, plugin in installed.plugins.items()
        # Compared by identity, as everywhere: two equal dataclasses are two plugins.
        if name not in given and not any(plugin is other for other in given.values())
    }
    return PluginSet({**others, **given}).with_plugins(tracked)
