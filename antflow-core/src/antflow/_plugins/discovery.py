"""Finding and loading the installed plugins, once in a process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Literal

from antflow._errors.texts import message_text
from antflow._errors.tracebacks import callers_level
from antflow.exceptions import PluginError, PluginWarning

from .plugin_set import EMPTY_SET, PluginSet
from .switches import is_off
from .validation import declared_name, explain_errors, hooks_of, instantiate, validation_error

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "antflow"
PREDECESSOR = "antflow"

AUTOLOAD = "ANTFLOW_PLUGIN_AUTOLOAD"
ONLY = "ANTFLOW_PLUGINS"
WITHOUT = "ANTFLOW_DISABLE_PLUGINS"

PluginStatus = Literal["active", "disabled", "failed"]


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An installed plugin, and whether it takes part.

    Args:
        name: its entry point's name.
        distribution: name of the distribution that it comes with.
        version: of the distribution.
        target: value of its entry point, "module:attribute".
        status: "active", "disabled" by a setting, or "failed" to load.
        reason: why it does not take part; empty if it does.
        hooks: the hooks that it implements itself, in the order of the specs.
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
    """Finds installed plugins at the first call, and keeps what it found."""

    def __init__(self) -> None:
        self._lock = RLock()  # reentrant: a plugin may make a Pipeline while it is imported
        self._found: tuple[InstalledPlugin, ...] | None = None
        self._active = EMPTY_SET

    def found(self) -> tuple[InstalledPlugin, ...]:
        """Return all installed plugins in the order of their names; load them at the first call.

        A plugin that calls this while it is being loaded gets none.

        Warns:
            PluginWarning: once for each that is left out because something is wrong with it.
        """
        with self._lock:
            if self._found is not None:
                return self._found
            self._found = ()  # for plugins that ask while they are loaded
            try:
                found = tuple(_discover(os.environ))
                self._active = _active_set(found)
            except BaseException:  # such as KeyboardInterrupt: the next call tries again
                self._found = None
                raise
            self._found = found
        # Outside the lock: a filter may turn a warning into an error, or run code of its own.
        for text in _warnings(found, os.environ):
            # Python writes warnings to standard error as they are.
            warning = PluginWarning(message_text(text, one_line=True))
            warnings.warn(warning, stacklevel=callers_level())
        return found

    def active(self) -> PluginSet:
        """Return the plugins that take part."""
        self.found()
        return self._active

    def leave_out(self, name: str, reason: str) -> None:
        """Have an active plugin take part no more, in pipelines that are made from now on."""
        self.found()
        with self._lock:
            self._found = tuple(
                replace(each, status="failed", reason=reason, hooks=(), plugin=None)
                if each.name == name and each.status == "active"
                else each
                for each in self._found or ()
            )
            self._active = _active_set(self._found)

    @contextmanager
    def replaced(self, found: tuple[InstalledPlugin, ...]) -> Iterator[None]:
        """Have these plugins in place of the installed ones until the block is left, for tests."""
        with self._lock:
            before = self._found, self._active
            self._found, self._active = found, _active_set(found)
        try:
            yield
        finally:
            with self._lock:
                self._found, self._active = before

    def forget(self) -> None:
        """Forget what was found, so that the next call looks again, as a new process would."""
        with self._lock:
            self._found, self._active = None, EMPTY_SET


INSTALLED = Discovery()
"""The installed plugins, for all pipelines of this process."""


def _active_set(found: Iterable[InstalledPlugin]) -> PluginSet:
    return PluginSet({each.name: each.plugin for each in found if each.status == "active"})


def _discover(environ: Mapping[str, str]) -> Iterator[InstalledPlugin]:
    from importlib.metadata import entry_points

    by_name: dict[str, InstalledPlugin] = {}
    entries = entry_points(group=GROUP)
    # Sorted, so that of two plugins of one name the same one is left out each time.
    for entry in sorted(entries, key=lambda entry: (entry.name, _distribution_of(entry))):
        # The settings are read before the import: a disabled plugin's code must not run at all.
        found = _load_entry(entry, _why_disabled(entry.name, environ), by_name)
        if found.status != "failed":
            by_name.setdefault(entry.name, found)
        yield found


def _distribution_of(entry: EntryPoint) -> tuple[str, str]:
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


def _load_entry(
    entry: EntryPoint, why_disabled: str, by_name: Mapping[str, InstalledPlugin]
) -> InstalledPlugin:
    """Load a plugin, unless it is disabled, and check it.

    Args:
        why_disabled: the setting that disables it; empty for none.
    """
    status: PluginStatus = "failed"
    plugin: object = None
    namesake = by_name.get(entry.name)
    if why_disabled:
        status, reason = "disabled", why_disabled
    elif namesake is not None:
        reason = (
            f"there is another plugin of this name, from {namesake.distribution} {namesake.version}"
        )
    else:
        plugin, reason = _load(entry)
        for other in by_name.values():
            if plugin is not None and other.plugin is plugin:
                reason = f"it is the same object as plugin {other.name!r}"
        if not reason and (own := declared_name(plugin)) not in {None, entry.name}:
            # An object that a pipeline is given would not take the place of the installed one.
            reason = (
                f"its antflow_name is {own!r}, which differs from the name of its entry point; "
                "give both the same name"
            )
        if not reason:
            status = "active"
    found = InstalledPlugin(entry.name, *_distribution_of(entry), entry.value, status, reason)
    if status == "active":
        found = replace(found, hooks=hooks_of(plugin), plugin=plugin)
    return found


def _load(entry: EntryPoint) -> tuple[object, str]:
    """Return a plugin and "", or None and the reason why it cannot take part."""
    try:
        with explain_errors("it cannot be loaded", entry.name):
            plugin = instantiate(entry.load())
    except PluginError as error:
        return None, str(error)
    reason = validation_error(plugin)
    return (plugin, "") if reason is None else (None, reason)


def _warnings(found: tuple[InstalledPlugin, ...], environ: Mapping[str, str]) -> Iterator[str]:
    names = [plugin.name for plugin in found]
    for plugin in found:
        if plugin.status == "failed":
            remedy = "Fix or uninstall it"
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
                    f"{variable} names {name!r}, and no plugin of that name is installed: "
                    f"correct it; installed are: {', '.join(names) or 'none'}."
                )
    if _has_predecessor():
        yield (
            "The distribution antflow, the single-package predecessor, is installed beside "
            "antflow-core, and both install the package antflow, one over the other: run "
            "`pip uninstall antflow`, then `pip install --force-reinstall antflow-core`."
        )


def _has_predecessor() -> bool:
    """Return whether the older distribution `antflow`, with the same package, is installed."""
    from importlib.metadata import distributions

    return any(True for _ in distributions(name=PREDECESSOR))
