"""Test harness of `check_plugin`: pipelines with the plugin, their items and expected results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import Context, copy_context
from typing import Any
from weakref import ref

from antflow._plugins.plugin_set import resolve
from antflow.pipeline import Pipeline
from antflow.results import PipelineResult, UnprocessedItem
from antflow.stage import Stage, TaskFunc

from ._hook_spy import HookSpy, SpiedPipeline, SpiedPluginSet
from ._problems import AddProblem


class ItemValue:
    """The value of an item; unlike a number, it can be weakly referenced."""

    def __init__(self, item_id: int | str) -> None:
        self.id = item_id


class Harness:
    """Makes pipelines with the plugin under test, and reports unexpected results.

    Args:
        dashboards: names of the plugin's displays.
    """

    def __init__(
        self,
        plugin: object,
        dashboards: tuple[str, ...],
        spy: HookSpy,
        add_problem: AddProblem,
    ) -> None:
        self.plugin = plugin
        self.dashboards = dashboards
        self.spy = spy
        self.add_problem = add_problem
        self.loop_errors: list[str] = []
        self._contexts: dict[asyncio.Task[Any], Context] = {}
        self._pipelines: list[ref[Pipeline]] = []
        self._values: list[ref[ItemValue]] = []

    def pipeline(self, *stages: Stage) -> Pipeline:
        """Return a new pipeline with the plugin."""
        pipeline = SpiedPipeline(stages, self.plugin, self.spy)
        # weak references, so that the harness itself keeps nothing alive
        self._pipelines.append(ref(pipeline))
        return pipeline

    def stage(self, task: TaskFunc, name: str = "Work", **fields: Any) -> Stage:
        """Return a stage of one worker that checks context variables before each item."""
        return Stage(name, 1, [task], skip_if=self._check_context, **fields)

    def skipping_stage(self, task: TaskFunc) -> Stage:
        """Return a stage that skips items of an even number."""

        def is_even(value: object) -> bool:
            return self._check_context(value) or getattr(value, "id", 1) % 2 == 0

        return Stage("Work", 1, [task], skip_if=is_even)

    def items(self, *ids: int | str) -> list[dict[str, Any]]:
        """Return items of these ids, with metadata."""
        values = [ItemValue(each) for each in ids]
        self._values += map(ref, values)
        return [{"id": value.id, "value": value, "origin": "a check"} for value in values]

    def call_hook(self, hook: str, argument: Any) -> None:
        """Call the plugin's function for a hook of one argument, if it has one."""
        plugins = SpiedPluginSet(resolve([self.plugin], "checked"), self.spy)
        for listener in plugins.listeners(hook):
            listener.call(argument)

    def expect(
        self,
        what: str,
        found: Iterable[PipelineResult | UnprocessedItem],
        expected: Sequence[int | str],
    ) -> None:
        """Report a problem unless the items found have the expected ids, and their own values.

        Args:
            what: the verb of the message, such as "succeeded".
            found: results or items of a run.
            expected: their ids, in order.
        """
        ids = [each.id for each in found]
        if ids != [*expected]:
            self.add_problem("outcome", f"Items {ids} {what} instead of {expected}.")
        for each in found:
            if getattr(each.value, "id", None) != each.id:
                self.add_problem("outcome", f"The value of item {each.id} is {each.value!r}.")

    def forget_contexts(self) -> None:
        """Drop the contexts, which keep the values of a run alive."""
        self._contexts.clear()

    def kept_objects(self) -> list[tuple[str, Any]]:
        """Return the objects that are still alive, each with a description; pipelines first."""
        pipelines = [("the pipeline", reference()) for reference in self._pipelines]
        values = [("a value of an item", reference()) for reference in self._values]
        return [(what, kept) for what, kept in [*pipelines, *values] if kept is not None]

    def _check_context(self, _: Any) -> bool:
        """Compare a worker's context variables with those before its first item.

        Returns:
            False: this is a stage's `skip_if`, which a worker calls before any hook of the item.
        """
        task = asyncio.current_task()
        assert task is not None
        now = copy_context()
        before = self._contexts.setdefault(task, now)
        for name in changed_variables(before, now):
            self.add_problem(
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
    removed = [
        variable.name
        for variable, value in before.items()
        if variable not in now and value is not None  # None is as good as unset
    ]
    return sorted({*changed, *removed})
