"""Spies on a plugin: counts the calls of its hooks, and finds the events that it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any

from antflow._plugins.dispatcher import Listener, Listeners
from antflow._plugins.plugin_set import PluginSet, resolve
from antflow._read_only import ReadOnlyError
from antflow.exceptions import text_of
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
            with self._noting_changes(listener):
                answer = listener.call(argument)
                # an async hook may change the event until it has ended
                if answer is not None and isawaitable(answer):
                    return finish(answer)
                return answer

        async def finish(answer: Any) -> Any:
            with self._noting_changes(listener):
                return await answer

        return call

    @contextmanager
    def _noting_changes(self, listener: Listener) -> Iterator[None]:
        """Note that the hook changes an event, in place of the error that it gets for it."""
        try:
            yield
        except ReadOnlyError as error:
            what = text_of(error).partition(" is read-only")[0]
            self.changes.append(
                f"{listener.hook} of plugin {listener.name!r} changed {what}, which other plugins "
                "get, too; take a copy"
            )


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
        self._runs.definition.plugins = SpiedPluginSet(resolve([plugin], self.name), spy)
