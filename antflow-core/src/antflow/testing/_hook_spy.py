"""A pipeline whose plugin is watched: which hooks are called, and whether it changes events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import fields
from inspect import isawaitable
from typing import Any

from antflow._plugins.dispatcher import Listener, Listeners
from antflow._plugins.plugin_set import PluginSet, resolve
from antflow.events import StatusEvent, TaskEvent
from antflow.pipeline import Pipeline
from antflow.stage import Stage


class Watch:
    """What a plugin does in its hooks.

    `calls` counts them by hook; `changes` says which parts of events were changed.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.changes: list[str] = []

    def around(self, listener: Listener) -> Callable[[Any], Any]:
        """Return a listener's function, watched."""

        def call(argument: Any) -> Any:
            self.calls[listener.hook] += 1
            before = _parts(argument)
            answer = listener.call(argument)
            if answer is not None and isawaitable(answer):
                return finish(answer, argument, before)
            self._compare(listener, argument, before)
            return answer

        async def finish(answer: Any, argument: Any, before: dict[str, Any]) -> Any:
            answer = await answer
            self._compare(listener, argument, before)
            return answer

        return call

    def _compare(self, listener: Listener, event: Any, before: dict[str, Any]) -> None:
        for name, value in _parts(event).items():
            if value is not before[name] and value != before[name]:
                self.changes.append(
                    f"{listener.hook} of plugin {listener.name!r} changed event.{name}, which "
                    "other plugins get, too; take a copy"
                )


def _parts(event: Any) -> dict[str, Any]:
    """Return the fields of an event, to be compared with those of later."""
    if not isinstance(event, StatusEvent | TaskEvent):
        return {}
    parts = {each.name: getattr(event, each.name) for each in fields(event)}
    return {name: copy(part) if name == "metadata" else part for name, part in parts.items()}


class WatchedPlugins(PluginSet):
    """Plugins that are watched.

    Args:
        plugins: checked already.
        watch: watches them.
    """

    def __init__(self, plugins: Mapping[str, object], watch: Watch) -> None:
        super().__init__(plugins)
        self._watch = watch

    def with_plugins(self, plugins: Mapping[str, object]) -> PluginSet:
        """Return a set with some more, all of them watched."""
        more = super().with_plugins(plugins)
        return self if more is self else WatchedPlugins(more.plugins, self._watch)

    def listeners(self, hook: str) -> Listeners:
        """Return who listens to a hook, in the order of the calls."""
        return tuple(
            listener._replace(call=self._watch.around(listener))
            for listener in super().listeners(hook)
        )


class WatchedPipeline(Pipeline):
    """A pipeline with one plugin, which is watched.

    Args:
        stages: what is done to each item.
        plugin: takes part, and no other.
        watch: watches it.
    """

    def __init__(self, stages: Iterable[Stage], plugin: object, watch: Watch) -> None:
        super().__init__(stages, name="checked", autoload=False)
        self._plugins = WatchedPlugins(resolve([plugin], self.name), watch)
