"""Where a plugin is tried: pipelines that have it, items for them, and what is to come of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context, copy_context
from typing import Any
from weakref import ref

from antflow._plugins.plugin_set import resolve
from antflow.pipeline import Pipeline
from antflow.results import PipelineResult, UnprocessedItem
from antflow.stage import Stage, TaskFunc

from ._hook_spy import Watch, WatchedPipeline, WatchedPlugins
from ._problems import ProblemKind

THE_PIPELINE = "the pipeline"
Note = Callable[[ProblemKind, str], None]


class Thing:
    """The value of an item; whether it is still there can be seen from outside.

    Args:
        item_id: the id of the item.
    """

    def __init__(self, item_id: int | str) -> None:
        self.id = item_id


class Stand:
    """Makes pipelines with one plugin, and looks at what becomes of them.

    Args:
        plugin: the plugin that is tried.
        dashboards: the names of the displays that it has.
        watch: watches it.
        note: takes a problem.
    """

    def __init__(
        self, plugin: object, dashboards: tuple[str, ...], watch: Watch, note: Note
    ) -> None:
        self.plugin = plugin
        self.dashboards = dashboards
        self.watch = watch
        self.note = note
        self.reports: list[str] = []
        self._contexts: dict[asyncio.Task[Any], Context] = {}
        self._made: list[tuple[str, Callable[[], object]]] = []

    def pipeline(self, *stages: Stage) -> Pipeline:
        """Return a new pipeline with the plugin."""
        pipeline = WatchedPipeline(stages, self.plugin, self.watch)
        self._made.append((THE_PIPELINE, ref(pipeline)))
        return pipeline

    def stage(self, task: TaskFunc, name: str = "Work", **fields: Any) -> Stage:
        """Return a stage of one worker, which sees whether context variables are reset."""
        return Stage(name, 1, [task], skip_if=self._sees_no_change, **fields)

    def skipping(self, task: TaskFunc) -> Stage:
        """Return a stage that skips items of an even number."""

        def is_even(thing: object) -> bool:
            return self._sees_no_change(thing) or getattr(thing, "id", 1) % 2 == 0

        return Stage("Work", 1, [task], skip_if=is_even)

    def items(self, *ids: int | str) -> list[dict[str, Any]]:
        """Return items of these ids, with metadata."""
        things = [Thing(each) for each in ids]
        self._made += [("a value of an item", ref(thing)) for thing in things]
        return [{"id": thing.id, "value": thing, "origin": "a check"} for thing in things]

    def tell(self, hook: str, argument: Any) -> None:
        """Call the plugin's function for a hook of one argument, if it has one."""
        plugins = WatchedPlugins(resolve([self.plugin], "checked"), self.watch)
        for listener in plugins.listeners(hook):
            listener.call(argument)

    def expect(
        self,
        what: str,
        found: Iterable[PipelineResult | UnprocessedItem],
        wanted: Sequence[int | str],
    ) -> None:
        """Note a problem unless these are the items that are wanted, whole."""
        ids = [each.id for each in found]
        if ids != [*wanted]:
            self.note("outcome", f"Items {ids} {what} instead of {wanted}.")
        for each in found:
            if getattr(each.value, "id", None) != each.id:
                self.note("outcome", f"The value of item {each.id} is {each.value!r}.")

    def leave(self) -> None:
        """Forget what was seen of contexts, which hold what was run in them."""
        self._contexts.clear()

    def left(self) -> list[tuple[str, Any]]:
        """Return what is still there of the things that were made, and is to be gone."""
        there = [(what, still()) for what, still in self._made]
        return [(what, thing) for what, thing in there if thing is not None]

    def _sees_no_change(self, _: Any) -> bool:
        """Compare a worker's context variables with those before its first item; return False."""
        task = asyncio.current_task()
        assert task is not None
        now = copy_context()
        before = self._contexts.setdefault(task, now)
        for name in changed_variables(before, now):
            self.note(
                "context",
                f"Context variable {name!r} is not what it was before the item; a worker takes the "
                "next one in the same context, so reset in the hook of the end what is set in that "
                "of the start.",
            )
        return False


def changed_variables(before: Context, now: Context) -> list[str]:
    """Return the names of the context variables that are not what they were."""
    changed = [
        variable.name for variable, value in now.items() if before.get(variable) is not value
    ]
    gone = [
        variable.name
        for variable, value in before.items()
        if variable not in now and value is not None
    ]
    return sorted({*changed, *gone})
