"""What a plugin must be: which hooks it may implement, what it is called, and why it is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from pluggy import PluginManager, PluginValidationError

from antflow import hookspecs
from antflow._errors.suggestions import nearest
from antflow.exceptions import text_of

PREFIX = "antflow_"


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
