"""Checks of plugins: which hooks one implements, what its name is, and why it cannot take part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from pluggy import PluginManager, PluginValidationError

from antflow import hookspecs
from antflow._errors.suggestions import nearest
from antflow.exceptions import PluginError, text_of

PREFIX = "antflow_"


ARGUMENTS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if name.startswith(PREFIX)
}
"""The names of each hook's arguments, by the hook; in the order of the specs."""


SYNC_HOOKS = ("antflow_add_options", "antflow_configure", "antflow_dashboard")
"""Hooks that are called where nothing can be awaited."""


NOT_PLUGINS = (str, bytes, int, float, list, tuple, dict, set, FunctionType, partial)
"""Types that are given in place of a plugin by mistake, such as a function alone."""


DASHBOARD_METHODS = ("on_start", "on_update", "on_finish")


# These are more than half of the names of most objects, and each would cost a look.
OBJECT_ATTRIBUTES = frozenset(dir(object))
"""Names that every object has; none is a hook's."""


class Manager(PluginManager):
    """A pluggy manager that knows antflow's hooks, and refuses more than pluggy does.

    It refuses wrappers, generator functions, and functions that lack the marker.
    """

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin, whatever it is equal to."""
        name = super().register(plugin, name)
        # pluggy refuses a plugin that is `==` to one in this dict; two equal dataclasses may both
        # take part.
        self._name2plugin.clear()
        return name

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Return how a function of a plugin implements a hook; None if it does not.

        Raises:
            PluginValidationError: it seems to, and cannot.
        """
        if name in OBJECT_ATTRIBUTES:
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None:
            # pluggy would ignore such a function without a word.
            if name.startswith(PREFIX) and _is_function(inspect.getattr_static(plugin, name, None)):
                raise PluginValidationError(
                    plugin, f"{name} lacks the marker; write @antflow.hookimpl above it"
                )
            return None
        hook = options.get("specname") or name
        if (error := _hook_error(hook, getattr(plugin, name), options)) is not None:
            raise PluginValidationError(plugin, f"{name} {error}")
        return options


def _is_function(attribute: object) -> bool:
    return callable(attribute) or isinstance(attribute, classmethod | staticmethod)


def _hook_error(hook: str, function: Callable[..., Any], options: Mapping[str, Any]) -> str | None:
    """Return why a function cannot implement a hook; None if it can."""
    # Nothing calls hooks through pluggy, so nothing would run a wrapper. The hooks of an attempt's
    # start and end are called in one context, which serves the same purpose.
    if options.get("wrapper") or options.get("hookwrapper"):
        return (
            "is a wrapper, and hooks cannot be wrapped; implement the hook of the start and those "
            "of the end"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "is a generator function, which would not be run; make it a plain one"
    if hook in SYNC_HOOKS and inspect.iscoroutinefunction(function):
        return "is a coroutine function; make it a plain one"
    if hook in ARGUMENTS:
        return _argument_error(hook, function)
    # `optionalhook` marks a hook that only other versions of antflow have.
    return None if options.get("optionalhook") else f"implements no hook; {_hook_hint(hook)}"


def _argument_error(hook: str, function: Callable[..., Any]) -> str | None:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            continue  # pluggy does not pass it, and the default applies
        if parameter.kind is parameter.KEYWORD_ONLY:
            return f"takes {parameter.name!r} by keyword only; leave out the asterisk"
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in ARGUMENTS[hook]:
            offered = ", ".join(map(repr, ARGUMENTS[hook]))
            return f"takes {parameter.name!r}, which it is not given; it may take {offered}"
    return None


def _hook_hint(hook: str) -> str:
    known = [name.removeprefix(PREFIX) for name in ARGUMENTS]
    near = nearest(hook.removeprefix(PREFIX), known)
    return f"{PREFIX + near!r} may be meant" if near else f"the hooks are {', '.join(ARGUMENTS)}"


def validation_error(plugin: object) -> str | None:
    """Return why an object cannot be a plugin; None if it can."""
    if plugin is None or isinstance(plugin, NOT_PLUGINS):
        return f"{type(plugin).__name__!r} has no hooks; give an object, a class or a module"
    # A manager of its own: a plugin that fails half way leaves nothing behind in a shared one.
    return _registration_error(Manager(), plugin)


def observer_error(observer: object) -> str | None:
    """Return why what `antflow_pipeline_start` returned cannot observe a run; None if it can."""
    manager = Manager()
    reason = _registration_error(manager, observer)
    if reason is not None and inspect.isclass(observer):
        return f"{observer.__name__!r} is a class; return an object of it"
    # Hooks that only other versions of antflow have count, too.
    if reason is None and not any(hook.get_hookimpls() for hook in vars(manager.hook).values()):
        return f"{type(observer).__name__!r} has no hooks; return an observer, or a list of them"
    return reason


def _registration_error(manager: Manager, plugin: object) -> str | None:
    try:
        manager.register(plugin, name_of(plugin))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the plugin's properties run here, and may raise anything
        if isinstance(error, PluginValidationError):
            return text_of(error)
        return f"{type(error).__name__}: {text_of(error)}"
    return None


def hooks_of(plugin: object) -> tuple[str, ...]:
    """Return the hooks that a plugin implements, in the order of the specs."""
    manager = Manager()
    manager.register(plugin, "plugin")
    return tuple(hook for hook in ARGUMENTS if getattr(manager.hook, hook).get_hookimpls())


def has_hooks(thing: object) -> bool:
    """Return whether an object has functions that are marked as hooks or named like hooks."""
    manager = Manager()
    return any(
        (name.startswith(PREFIX) and _is_function(inspect.getattr_static(thing, name, None)))
        or PluginManager.parse_hookimpl_opts(manager, thing, name) is not None
        for name in dir(thing)
    )


@contextmanager
def explain_errors(what: str, plugin: str, remedy: str = "") -> Iterator[None]:
    """Raise a PluginError in place of what a plugin's code raises while it is loaded or made.

    Args:
        what: what cannot be done; the text begins with it.
        plugin: the plugin's name.
        remedy: what to do about it; the text ends with it.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the user's program
        text = f"{what}: {type(error).__name__}: {text_of(error)}{remedy}"
        raise PluginError(text, plugin=plugin) from error


def instantiate(plugin: object) -> object:
    """Return a plugin; a class is called without arguments."""
    return plugin() if inspect.isclass(plugin) else plugin


def name_of(plugin: object) -> str:
    """Return a plugin's name: its `antflow_name`, or else its module's or class's name."""
    if (name := declared_name(plugin)) is not None:
        return name
    if isinstance(plugin, ModuleType):
        return plugin.__name__.rpartition(".")[2]
    return type(plugin).__name__


def declared_name(plugin: object) -> str | None:
    """Return a plugin's `antflow_name`; None if it has none that is a non-empty string."""
    name = getattr(plugin, "antflow_name", None)
    return name if isinstance(name, str) and name else None


def dashboards_of(plugin: object) -> tuple[str, ...]:
    """Return the names in a plugin's `antflow_dashboards`, without what is no name."""
    # For error texts, which are shown whatever a plugin has there.
    try:
        names = getattr(plugin, "antflow_dashboards", ())
        names = (names,) if isinstance(names, str) else names
        names = [*names] if isinstance(names, Collection) else []
    except Exception:
        return ()
    return tuple(name for name in names if isinstance(name, str))


def check_dashboard(dashboard: object) -> None:
    """Raise TypeError if an object lacks a method of `DashboardProtocol`."""
    for method in DASHBOARD_METHODS:
        if not callable(getattr(dashboard, method, None)):
            raise TypeError(
                f"a dashboard of type {type(dashboard).__name__} has no method {method}; a "
                f"dashboard has {', '.join(DASHBOARD_METHODS)}, as DashboardProtocol says"
            )
