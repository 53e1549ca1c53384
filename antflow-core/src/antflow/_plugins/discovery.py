"""Finding the plugins that are installed, once a process, and what has become of each."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Literal

from antflow._errors.tracebacks import callers_level
from antflow.exceptions import PluginWarning, text_of

from .plugin_set import NONE, PluginSet
from .switches import is_off
from .validation import hooks_of, made, refusal

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "antflow"
PREDECESSOR = "antflow"

AUTOLOAD = "ANTFLOW_PLUGIN_AUTOLOAD"
ONLY = "ANTFLOW_PLUGINS"
WITHOUT = "ANTFLOW_DISABLE_PLUGINS"

PluginStatus = Literal["active", "disabled", "failed"]


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """A plugin that is installed, and what has become of it.

    Args:
        name: its entry point's name.
        distribution: name of the distribution that it comes with.
        version: of the distribution.
        target: what its entry point leads to.
        status: whether it takes part.
        reason: why it does not.
        hooks: the hooks that it implements, in the order of the specs.
        plugin: the plugin itself, if it takes part.
    """

    name: str
    distribution: str
    version: str
    target: str
    status: PluginStatus
    reason: str = ""
    hooks: tuple[str, ...] = ()
    plugin: object = None


class Discovery:
    """Looks for plugins once, at the first question, and remembers what it found."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._found: tuple[FoundPlugin, ...] | None = None
        self._active = NONE

    def found(self) -> tuple[FoundPlugin, ...]:
        """Return all plugins that are installed, by name; at the first call, load them.

        A plugin that asks while it is being loaded is answered that there are none.

        Warns:
            PluginWarning: once for each that is left out because something is wrong with it.
        """
        with self._lock:
            if self._found is not None:
                return self._found
            self._found = ()
            try:
                found = tuple(_look(os.environ))
                self._active = PluginSet(
                    {each.name: each.plugin for each in found if each.status == "active"}
                )
            except BaseException:
                self._found = None
                raise
            self._found = found
        for notice in _notices(found, os.environ):
            warnings.warn(PluginWarning(notice), stacklevel=callers_level())
        return found

    def active(self) -> PluginSet:
        """Return those that take part."""
        self.found()
        return self._active

    def forget(self) -> None:
        """Look anew at the next question, as another process would."""
        with self._lock:
            self._found, self._active = None, NONE


INSTALLED = Discovery()
"""The plugins that are installed, for all pipelines of this process."""


def _look(environ: Mapping[str, str]) -> Iterator[FoundPlugin]:
    from importlib.metadata import entry_points

    taken: dict[str, FoundPlugin] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _origin(entry))):
        found = _examine(entry, _why_disabled(entry.name, environ), taken)
        if found.status != "failed":
            taken.setdefault(entry.name, found)
        yield found


def _origin(entry: EntryPoint) -> tuple[str, str]:
    """Return name and version of the distribution that an entry point comes with."""
    try:
        assert entry.dist is not None
        metadata = entry.dist.metadata
        name = metadata["Name"] if "Name" in metadata else ""  # noqa: SIM401 - no get is promised
        version = metadata["Version"] if "Version" in metadata else ""  # noqa: SIM401
    except Exception:  # a distribution may lack its metadata
        return "?", "?"
    return name or "?", version or "?"


def _why_disabled(name: str, environ: Mapping[str, str]) -> str:
    if is_off(environ, AUTOLOAD):
        return f"{AUTOLOAD}={environ[AUTOLOAD]}"
    only = _names(environ, ONLY)
    if only and name not in only:
        return f"not among {ONLY}={environ[ONLY]}"
    if name in _names(environ, WITHOUT):
        return f"{WITHOUT}={environ[WITHOUT]}"
    return ""


def _names(environ: Mapping[str, str], variable: str) -> list[str]:
    return [name.strip() for name in environ.get(variable, "").split(",") if name.strip()]


def _examine(entry: EntryPoint, why_disabled: str, taken: Mapping[str, FoundPlugin]) -> FoundPlugin:
    """Load a plugin, unless it is disabled, and see whether it can take part."""
    status: PluginStatus = "failed"
    plugin: object = None
    namesake = taken.get(entry.name)
    if why_disabled:
        status, reason = "disabled", why_disabled
    elif namesake is not None:
        reason = (
            f"there is another plugin of this name, from {namesake.distribution} {namesake.version}"
        )
    else:
        plugin, reason = _loaded(entry)
        for other in taken.values():
            if plugin is not None and other.plugin is plugin:
                reason = f"it is the same object as plugin {other.name!r}"
        if not reason:
            status = "active"
    found = FoundPlugin(entry.name, *_origin(entry), entry.value, status, reason)
    if status == "active":
        found = replace(found, hooks=hooks_of(plugin), plugin=plugin)
    return found


def _loaded(entry: EntryPoint) -> tuple[object, str]:
    """Return a plugin, and why it cannot take part; SystemExit at its import is a reason, too."""
    try:
        plugin = made(entry.load())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return None, f"it cannot be loaded: {type(error).__name__}: {text_of(error)}"
    reason = refusal(plugin)
    return (plugin, "") if reason is None else (None, reason)


def _notices(found: tuple[FoundPlugin, ...], environ: Mapping[str, str]) -> Iterator[str]:
    names = [plugin.name for plugin in found]
    for plugin in found:
        if plugin.status == "failed":
            remedy = "Mend or uninstall it"
            if names.count(plugin.name) == 1:
                remedy += f", or set {WITHOUT}={plugin.name}"
            yield (
                f"Plugin {plugin.name!r} ({plugin.target}, from {plugin.distribution} "
                f"{plugin.version}) is left out: {plugin.reason}. {remedy}."
            )
    for variable in ONLY, WITHOUT:
        for name in _names(environ, variable):
            if name not in names:
                yield (
                    f"{variable} names {name!r}, and no plugin of that name is installed: mend it; "
                    f"installed are: {', '.join(names) or 'none'}."
                )
    if _has_predecessor():
        yield (
            "The distribution antflow, the single-package predecessor, is installed beside "
            "antflow-core, and both install the package antflow, one over the other: run "
            "`pip uninstall antflow`, then `pip install --force-reinstall antflow-core`."
        )


def _has_predecessor() -> bool:
    from importlib.metadata import distributions

    return any(True for _ in distributions(name=PREDECESSOR))
