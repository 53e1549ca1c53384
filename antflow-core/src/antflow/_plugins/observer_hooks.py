"""The hooks of the observers that `antflow_pipeline_start` returns, as far as its code shows them.

Without a run no more can be known: they are those of the classes that the function's return
annotation or its code names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from inspect import getclosurevars, unwrap
from typing import Any, get_args

from pluggy import PluginManager

from .dispatcher import START
from .validation import ARGUMENTS, Manager


def observer_hooks_of(plugin: object) -> frozenset[str]:
    """Return the hooks of the observers of a run that a plugin seems to return."""
    manager = Manager()
    manager.register(plugin, "plugin")
    starts = getattr(manager.hook, START).get_hookimpls()
    kinds = {
        kind
        for start in starts
        for kind in _classes_in(unwrap(start.function))
        if not isinstance(plugin, kind)
    }
    return frozenset(hook for kind in kinds for hook in _hooks_of_class(manager, kind))


def _classes_in(function: Any) -> Iterator[type]:
    """Yield the classes that a function's return annotation and its code name."""
    function = getattr(function, "__func__", function)
    things: list[object] = []
    with suppress(Exception):  # such as a name that only type checkers import
        annotation = function.__annotations__.get("return")
        if isinstance(annotation, str):
            annotation = eval(annotation, function.__globals__)
        things += _parts(annotation)
    with suppress(Exception):  # a function in C
        named = getclosurevars(function)
        things += [*named.globals.values(), *named.nonlocals.values()]
    yield from (thing for thing in things if isinstance(thing, type))


def _parts(annotation: object) -> Iterator[object]:
    """Yield an annotation and its parts, such as the classes of a union or a list."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _hooks_of_class(manager: Manager, kind: type) -> Iterator[str]:
    for name in dir(kind):
        # The manager's own method would check the arguments, and those of a class include `self`.
        options = PluginManager.parse_hookimpl_opts(manager, kind, name)
        hook = options and (options.get("specname") or name)
        if hook in ARGUMENTS:
            yield hook
