"""Spies on a plugin: counts the calls of its hooks, and finds the events that it changes."""

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


class HookSpy:
    """Records what a plugin does in its hooks.

    `calls` counts the calls of each hook; `changes` has a text for each change of an event.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.changes: list[str] = []

    def wrap(self, listener: Listener) -> Callable[[Any], Any]:
        """Return a function that calls the listener's and records the call."""

        def call(argument: Any) -> Any:
            self.calls[listener.hook] += 1
            before = _fields(argument)
            answer = listener.call(argument)
            # an async hook may change the event until it has ended
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
        for name, value in _fields(event).items():
            # identity first, since comparing values runs their own code
            if value is not before[name] and value != before[name]:
                self.changes.append(
                    f"{listener.hook} of plugin {listener.name!r} changed event.{name}, which "
                    "other plugins get, too; take a copy"
                )


def _fields(event: Any) -> dict[str, Any]:
    """Return the fields of an event; the metadata is copied, since a hook may change it."""
    if not isinstance(event, StatusEvent | TaskEvent):
        return {}
    values = {each.name: getattr(event, each.name) for each in fields(event)}
    return {name: copy(value) if name == "metadata" else value for name, value in values.items()}


class SpiedPluginSet(PluginSet):
    """A set of plugins with a spy on their hooks."""

    def __init__(self, plugins: Mapping[str, object], spy: HookSpy) -> None:
        super().__init__(plugins)
        self._spy = spy

    def with_plugins(self, plugins: Mapping[str, object]) -> PluginSet:
        """Return a set that has more plugins, with the same spy."""
        more = super().with_plugins(plugins)
        return self if more is self else SpiedPluginSet(more.plugins, self._spy)

    def listeners(self, hook: str) -> Listeners:
        """Return the wrapped listeners of a hook, in the order of the calls."""
        return tuple(
            listener._replace(call=self._spy.wrap(listener)) for listener in super().listeners(hook)
        )


class SpiedPipeline(Pipeline):
    """A pipeline with one plugin and a spy on its hooks; installed plugins do not take part."""

    def __init__(self, stages: Iterable[Stage], plugin: object, spy: HookSpy) -> None:
        super().__init__(stages, name="checked", autoload=False)
        self._plugins = SpiedPluginSet(resolve([plugin], self.name), spy)
