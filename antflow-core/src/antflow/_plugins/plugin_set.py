"""The plugins of a pipeline: resolving them by name, and finding the listeners of each hook."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from pluggy import HookImpl

from antflow._errors.safe_logging import log_error
from antflow._errors.suggestions import nearest
from antflow.dashboards import DashboardProtocol
from antflow.exceptions import PipelineError, PluginError, text_of

from .dispatcher import Listener, Listeners, Observer
from .plain_progress import PROGRESS, PlainProgress
from .switches import STRICT, TRACE, is_on
from .validation import (
    ARGUMENTS,
    Manager,
    check_dashboard,
    dashboards_of,
    declared_name,
    explain_errors,
    has_hooks,
    instantiate,
    name_of,
    validation_error,
)

# The core knows no plugin by name, except in this hint for users who have not installed it.
RICH_DASHBOARDS = {"compact", "detailed", "full"}
RICH_REMEDY = (
    "The dashboards 'compact', 'detailed' and 'full' come with the package antflow-rich; in a "
    "checkout of antflow: pip install ./antflow-rich"
)

_logger = logging.getLogger(__name__)


def resolve(plugins: Iterable[object], pipeline: str) -> dict[str, object]:
    """Return the plugins that a pipeline is given, by name; check each, and call classes.

    Args:
        plugins: objects, modules, or classes.

    Raises:
        PipelineError: `plugins` is not a list, has one twice, or has two with the same name.
        PluginError: one cannot take part.
    """
    if isinstance(plugins, str) or not isinstance(plugins, Iterable):
        raise PipelineError(f"Pipeline {pipeline!r} takes a list of plugins, not {plugins!r}")
    given: dict[str, object] = {}
    for entry in plugins:
        name, plugin = _instantiate_for(entry, pipeline)
        if any(plugin is other for other in given.values()):
            raise PipelineError(
                f"Pipeline {pipeline!r} is given plugin {name!r} twice; give it once"
            )
        # Two objects of one class get numbers. A name of the plugin's own is kept as it is, because
        # options and error texts refer to it.
        if name in given and declared_name(plugin) is not None:
            raise PipelineError(
                f"Pipeline {pipeline!r} is given two plugins called {name!r}; leave one out, or "
                "give it another antflow_name"
            )
        if (reason := validation_error(plugin)) is not None:
            raise PluginError(f"Plugin {name!r} of pipeline {pipeline!r}: {reason}", plugin=name)
        given[unused_name(name, given)] = plugin
    return given


def _instantiate_for(plugin: object, pipeline: str) -> tuple[str, object]:
    kind = plugin if isinstance(plugin, type) else type(plugin)
    what = f"Plugin {kind.__name__!r} of pipeline {pipeline!r} cannot be made or named"
    with explain_errors(what, kind.__name__, "; give an object that can"):
        plugin = instantiate(plugin)
        return name_of(plugin), plugin


def unused_name(name: str, taken: Mapping[str, object]) -> str:
    """Return a name, with a number if it is taken."""
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name}-{number}"
    return unused


class PluginSet:
    """The plugins that take part in a run, by name; the last one is called first.

    Args:
        plugins: plugins that `resolve` or the discovery has checked.
    """

    def __init__(self, plugins: Mapping[str, object]) -> None:
        self.plugins = dict(plugins)
        self._manager: Manager | None = None  # None: a manager costs time, and most sets are empty
        if self.plugins:
            self._manager = Manager()
            for name, plugin in self.plugins.items():
                self._manager.register(plugin, name)

    def with_plugins(self, plugins: Mapping[str, object]) -> PluginSet:
        """Return a set with more plugins; plugins that are in this set already are left out."""
        more = dict(self.plugins)
        for name, plugin in plugins.items():
            if not any(plugin is other for other in more.values()):
                more[unused_name(name, more)] = plugin
        return PluginSet(more) if len(more) > len(self.plugins) else self

    def observers(self) -> list[Observer]:
        """Return the plugins that notify dispatchers when they begin or cease to listen."""
        return [plugin for plugin in self.plugins.values() if isinstance(plugin, Observer)]

    def listeners(self, hook: str) -> Listeners:
        """Return the functions that implement a hook, in the order of the calls."""
        # pluggy checks and orders the functions. It does not call them: a call through pluggy costs
        # a microsecond even without implementations, and each event is a call.
        if self._manager is None:
            return ()
        caller = getattr(self._manager.hook, hook)
        return tuple(
            Listener(impl.plugin, impl.plugin_name, hook, _function(impl, hook))
            # pluggy keeps the implementations in the reverse order of their calls.
            for impl in reversed(caller.get_hookimpls())
            if not isinstance(impl.plugin, Observer) or impl.plugin.listens_to(hook)
        )

    def dashboard(self, name: str) -> DashboardProtocol:
        """Return a new dashboard of that name; without a plugin, "progress" writes plain lines.

        Raises:
            ValueError: none of that name is installed.
        """
        for listener in self.listeners("antflow_dashboard"):
            try:
                if (found := listener.call(name)) is not None:
                    check_dashboard(found)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                # A fault in one plugin leaves the others: the next may have the dashboard.
                if is_on(os.environ, STRICT):
                    raise PluginError(
                        f"Plugin {listener.name!r} raised {type(error).__name__}: "
                        f"{text_of(error)} when asked for dashboard {name!r}; fix it, disable "
                        f"the plugin, or unset {STRICT}",
                        plugin=listener.name,
                        hook=listener.hook,
                    ) from error
                log_error(_logger, error, "Plugin %r raised at dashboard %r.", listener.name, name)
            else:
                if found is not None:
                    return cast("DashboardProtocol", found)
        if name == PROGRESS:
            return PlainProgress()
        plugins = self.plugins.values()
        names = sorted({PROGRESS}.union(*(dashboards_of(plugin) for plugin in plugins)))
        near = nearest(name, [each for each in {*names, *RICH_DASHBOARDS} if each != name])
        installed = "installed are" if near is None else f"did you mean {near!r}? Installed are"
        text = f"There is no dashboard {name!r}; {installed}: {', '.join(names)}"
        raise ValueError(text if RICH_DASHBOARDS.issubset(names) else f"{text}. {RICH_REMEDY}")


EMPTY_SET = PluginSet({})
"""No plugins."""


def dashboard_plugin(dashboard: object, pipeline: str) -> dict[str, object]:
    """Return a dashboard as a plugin, by name, if it has hooks.

    Raises:
        PluginError: it cannot take part.
    """
    if not has_hooks(dashboard):
        return {}
    return resolve([dashboard], pipeline)


def _function(impl: HookImpl, hook: str) -> Callable[[Any], Any]:
    return _log_calls(impl, _bind_arguments(impl, hook))


def _bind_arguments(impl: HookImpl, hook: str) -> Callable[[Any], Any]:
    """Return a function that calls an implementation with the arguments that it takes.

    For a hook of one argument it takes that argument, for any other a dict of all arguments.
    """
    function, wanted, offered = impl.function, tuple(impl.argnames), ARGUMENTS[hook]
    if len(offered) > 1:
        return lambda arguments: function(*(arguments[name] for name in wanted))
    # The common case, an event hook with its event, is the function itself: no call is added.
    return function if wanted == offered else lambda _: function()


def _log_calls(impl: HookImpl, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that also logs each call if `ANTFLOW_TRACE_PLUGINS` is set."""
    if not is_on(os.environ, TRACE):
        return call

    def logged(argument: Any) -> Any:
        _logger.warning("%s: %s(%r)", impl.plugin_name, impl.function.__name__, argument)
        return call(argument)

    return logged
