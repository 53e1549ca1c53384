"""Plugins of a pipeline: what is refused, what each is called, and who listens to which hook."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, cast

from pluggy import HookImpl, PluginManager, PluginValidationError

from . import hookspecs
from ._faults import log_error
from ._keywords import nearest
from ._plain_progress import PROGRESS, PlainProgress
from ._plugins.dispatcher import Listener, Listeners, Observer
from .exceptions import PipelineError, PluginError, text_of
from .types import DashboardProtocol

PREFIX = "antflow_"
TRACE = "ANTFLOW_TRACE_PLUGINS"
STRICT = "ANTFLOW_STRICT_PLUGINS"
OFF = ("0", "false", "no", "off")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if name.startswith(PREFIX)
}
"""The hooks, and the names of their arguments."""

PLAIN = ("antflow_add_options", "antflow_configure", "antflow_dashboard")
"""The hooks that are called where nothing can be awaited."""

NO_PLUGINS = (str, bytes, int, float, list, tuple, dict, set, FunctionType, partial)
"""What may be given in the place of a plugin by mistake."""

EVERYWHERE = frozenset(dir(object))
"""Names that every object has: none is a hook's, so more than half of most objects is skipped."""

OF_RICH = {"compact", "detailed", "full"}
GET_RICH = (
    "The dashboards 'compact', 'detailed' and 'full' come with the package antflow-rich; in a "
    "checkout of antflow: pip install ./antflow-rich"
)

_logger = logging.getLogger(__name__)


class Manager(PluginManager):
    """Knows the hooks, and refuses what pluggy would accept or overlook."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def take(self, plugin: object, name: str) -> None:
        """Register a plugin, and have it compared with no other: pluggy would do so by `==`."""
        self.register(plugin, name)
        self._name2plugin.clear()

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Return how a function of a plugin implements a hook; None if it does not.

        Raises:
            PluginValidationError: it seems to, and cannot.
        """
        if name in EVERYWHERE:
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None:
            if name.startswith(PREFIX) and _is_function(inspect.getattr_static(plugin, name, None)):
                raise PluginValidationError(
                    plugin, f"{name} lacks the marker; write @antflow.hookimpl above it"
                )
            return None
        hook = options.get("specname") or name
        if (wrong := _wrong_with(hook, getattr(plugin, name), options)) is not None:
            raise PluginValidationError(plugin, f"{name} {wrong}")
        return options


def _is_function(attribute: object) -> bool:
    return callable(attribute) or isinstance(attribute, classmethod | staticmethod)


def _wrong_with(hook: str, function: Callable[..., Any], options: Mapping[str, Any]) -> str | None:
    """Return why a function cannot implement a hook, but for its arguments' names."""
    if options.get("wrapper") or options.get("hookwrapper"):
        return (
            "is a wrapper, and hooks cannot be wrapped; implement the hook of the start and those "
            "of the end"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "is a generator function, which would not be run; make it a plain one"
    if hook in PLAIN and inspect.iscoroutinefunction(function):
        return "is a coroutine function; make it a plain one"
    if hook in ARGUMENTS:
        return _wrong_among_arguments(hook, function)
    return None if options.get("optionalhook") else f"implements no hook; {_meant(hook)}"


def _wrong_among_arguments(hook: str, function: Callable[..., Any]) -> str | None:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            return f"takes {parameter.name!r} by keyword only; leave out the asterisk"
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in ARGUMENTS[hook]:
            offered = ", ".join(map(repr, ARGUMENTS[hook]))
            return f"takes {parameter.name!r}, which it is not given; it may take {offered}"
    return None


def is_off(environ: Mapping[str, str], variable: str) -> bool:
    """Tell whether a switch among the environment variables is set to "0" or the like."""
    return environ.get(variable, "").strip().lower() in OFF


def is_on(environ: Mapping[str, str], variable: str) -> bool:
    """Tell whether a switch among the environment variables is set, and not to "0" or the like."""
    return bool(environ.get(variable, "").strip()) and not is_off(environ, variable)


def _meant(hook: str) -> str:
    known = [name.removeprefix(PREFIX) for name in ARGUMENTS]
    near = nearest(hook.removeprefix(PREFIX), known)
    return f"{PREFIX + near!r} may be meant" if near else f"the hooks are {', '.join(ARGUMENTS)}"


def refusal(plugin: object) -> str | None:
    """Return why an object cannot take part; None if it can."""
    if plugin is None or isinstance(plugin, NO_PLUGINS):
        return f"{type(plugin).__name__!r} has no hooks; give an object, a class or a module"
    try:
        Manager().take(plugin, name_of(plugin))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, PluginValidationError):
            return text_of(error)
        return f"{type(error).__name__}: {text_of(error)}"
    return None


def hooks_of(plugin: object) -> tuple[str, ...]:
    """Return the hooks that a plugin implements, in the order of the specs."""
    manager = Manager()
    manager.take(plugin, "plugin")
    return tuple(hook for hook in ARGUMENTS if getattr(manager.hook, hook).get_hookimpls())


def has_hooks(thing: object) -> bool:
    """Tell whether an object has functions that implement hooks, or are named as if."""
    manager = Manager()
    return any(
        (name.startswith(PREFIX) and _is_function(inspect.getattr_static(thing, name, None)))
        or PluginManager.parse_hookimpl_opts(manager, thing, name) is not None
        for name in dir(thing)
    )


def made(plugin: object) -> object:
    """Return a plugin, made if it is a class."""
    return plugin() if inspect.isclass(plugin) else plugin


def name_of(plugin: object) -> str:
    """Return what a plugin is called: what it says itself, else its module's or class's name."""
    if (name := _own_name(plugin)) is not None:
        return name
    if isinstance(plugin, ModuleType):
        return plugin.__name__.rpartition(".")[2]
    return type(plugin).__name__


def _own_name(plugin: object) -> str | None:
    name = getattr(plugin, "antflow_name", None)
    return name if isinstance(name, str) and name else None


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
