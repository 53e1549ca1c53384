"""Plugins of a pipeline: what is refused, what each is called, and who listens to which hook."""

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
from .validation import ARGUMENTS, Manager, _own_name, has_hooks, made, name_of, refusal

OF_RICH = {"compact", "detailed", "full"}
GET_RICH = (
    "The dashboards 'compact', 'detailed' and 'full' come with the package antflow-rich; in a "
    "checkout of antflow: pip install ./antflow-rich"
)

_logger = logging.getLogger(__name__)


def named(plugins: Iterable[object], pipeline: str) -> dict[str, object]:
    """Return the plugins that a pipeline is given, checked, by name.

    Args:
        plugins: objects, modules, or classes, each of which stands for an object made of it.
        pipeline: the pipeline's name.

    Raises:
        PipelineError: `plugins` is not a list, has one twice, or has two with the same name.
        PluginError: one cannot take part.
    """
    if isinstance(plugins, str) or not isinstance(plugins, Iterable):
        raise PipelineError(f"Pipeline {pipeline!r} takes a list of plugins, not {plugins!r}")
    given: dict[str, object] = {}
    for entry in plugins:
        name, plugin = _made_for(entry, pipeline)
        if any(plugin is other for other in given.values()):
            raise PipelineError(
                f"Pipeline {pipeline!r} is given plugin {name!r} twice; give it once"
            )
        if name in given and _own_name(plugin) is not None:
            raise PipelineError(
                f"Pipeline {pipeline!r} is given two plugins called {name!r}; leave one out, or "
                "give it another antflow_name"
            )
        if (reason := refusal(plugin)) is not None:
            raise PluginError(f"Plugin {name!r} of pipeline {pipeline!r}: {reason}", plugin=name)
        given[_numbered(name, given)] = plugin
    return given


def _made_for(plugin: object, pipeline: str) -> tuple[str, object]:
    try:
        plugin = made(plugin)
        return name_of(plugin), plugin
    except Exception as error:
        name = getattr(plugin, "__name__", type(plugin).__name__)
        raise PluginError(
            f"Plugin {name!r} of pipeline {pipeline!r} cannot be made or named: "
            f"{type(error).__name__}: {text_of(error)}; give an object that can",
            plugin=name,
        ) from error


def _numbered(name: str, taken: Mapping[str, object]) -> str:
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name}-{number}"
    return unused


class PluginSet:
    """The plugins that take part in a run, by name; who comes last is called first.

    Args:
        plugins: checked already.
    """

    def __init__(self, plugins: Mapping[str, object]) -> None:
        self.plugins = dict(plugins)
        self._manager: Manager | None = None
        if self.plugins:
            self._manager = Manager()
            for name, plugin in self.plugins.items():
                self._manager.take(plugin, name)

    def with_plugins(self, plugins: Mapping[str, object]) -> PluginSet:
        """Return a set with some more, but for those that are in it already."""
        more = dict(self.plugins)
        for name, plugin in plugins.items():
            if not any(plugin is other for other in more.values()):
                more[_numbered(name, more)] = plugin
        return PluginSet(more) if len(more) > len(self.plugins) else self

    def observers(self) -> list[Observer]:
        """Return those that tell when they begin or cease to listen."""
        return [plugin for plugin in self.plugins.values() if isinstance(plugin, Observer)]

    def listeners(self, hook: str) -> Listeners:
        """Return who listens to a hook, in the order of the calls."""
        if self._manager is None:
            return ()
        caller = getattr(self._manager.hook, hook)
        return tuple(
            Listener(impl.plugin, impl.plugin_name, hook, _traced(impl, _call(impl, hook)))
            for impl in reversed(caller.get_hookimpls())
            if not isinstance(impl.plugin, Observer) or impl.plugin.listens_to(hook)
        )

    def dashboard(self, name: str) -> DashboardProtocol:
        """Return a new dashboard of that name; plain lines for "progress" where no plugin has it.

        Raises:
            ValueError: none of that name is installed.
        """
        for listener in self.listeners("antflow_dashboard"):
            try:
                found = listener.call(name)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                if is_on(os.environ, STRICT):
                    raise PluginError(
                        f"Plugin {listener.name!r} raised {type(error).__name__}: "
                        f"{text_of(error)} when asked for dashboard {name!r}; mend it, disable "
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
        near = nearest(name, [each for each in {*names, *OF_RICH} if each != name])
        installed = "installed are" if near is None else f"did you mean {near!r}? Installed are"
        text = f"There is no dashboard {name!r}; {installed}: {', '.join(names)}"
        raise ValueError(text if OF_RICH.issubset(names) else f"{text}. {GET_RICH}")


def dashboards_of(plugin: object) -> tuple[str, ...]:
    """Return the names of the dashboards that a plugin says it has."""
    names = getattr(plugin, "antflow_dashboards", None) or ()
    return (names,) if isinstance(names, str) else tuple(names)


NONE = PluginSet({})


def plugin_of(dashboard: object, pipeline: str) -> dict[str, object]:
    """Return a dashboard as a plugin, by name, if it has hooks.

    Raises:
        PluginError: it cannot take part.
    """
    if dashboard is None or not has_hooks(dashboard):
        return {}
    return named([dashboard], pipeline)


def _call(impl: HookImpl, hook: str) -> Callable[[Any], Any]:
    """Return a function that calls an implementation with those of the arguments that it takes.

    A hook of one argument is called with it, and any other with all of them, by name.
    """
    function, wanted, offered = impl.function, tuple(impl.argnames), ARGUMENTS[hook]
    if len(offered) > 1:
        return lambda arguments: function(*(arguments[name] for name in wanted))
    return function if wanted == offered else lambda _: function()


def _traced(impl: HookImpl, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a call that is logged, if that is wanted."""
    if not is_on(os.environ, TRACE):
        return call

    def logged(argument: Any) -> Any:
        _logger.warning("%s: %s(%r)", impl.plugin_name, impl.function.__name__, argument)
        return call(argument)

    return logged
