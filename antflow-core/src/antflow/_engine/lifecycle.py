"""How a run begins and ends for its plugins and its display."""

from __future__ import annotations

from asyncio import CancelledError, current_task, sleep
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from antflow._display import Display
from antflow._plugins.dispatcher import Dispatcher, cancellations, listeners_of
from antflow.exceptions import PluginError
from antflow.plugins import PluginSet, refusal
from antflow.types import ErrorSummary, PipelineResult

from .stage_runtime import StageRuntime

START, FINISH = "antflow_pipeline_start", "antflow_pipeline_finish"


class LifecycleRun(Protocol):
    """What the begin and the end ask of their run."""

    dispatcher: Dispatcher

    @property
    def stages(self) -> Sequence[StageRuntime]:
        """The stages of the run."""

    @property
    def is_aborted(self) -> bool:
        """Whether what runs is cancelled."""

    def announced(self) -> Iterable[tuple[PipelineResult, StageRuntime]]:
        """Return the items that observers know of and that are not deposited yet."""

    def error_summary(self) -> ErrorSummary:
        """Return the failures."""

    def kept(self) -> list[PipelineResult]:
        """Return the results that are kept."""


class Lifecycle:
    """Calls the plugins and the display of one run at its begin and its end.

    Args:
        run: the run.
        plugins: take part in it.
        pipeline: what plugins are called with.
        total_items: how many items there are; None where that is unknown.
        display: begins before the first item is taken, and ends when the run has.
    """

    def __init__(
        self,
        run: LifecycleRun,
        plugins: PluginSet,
        pipeline: object,
        total_items: int | None,
        display: Display | None,
    ) -> None:
        self.plugins = plugins
        self.display = display
        self._run = run
        self._pipeline = pipeline
        self._total_items = total_items
        self._has_begun = False

    @property
    def has_begin(self) -> bool:
        """Whether anything has to happen before workers start."""
        return self.display is not None or bool(self.plugins.listeners(START))

    async def begin(self) -> None:
        """Call the plugins, add the observers that they return, and start the display."""
        self._has_begun = True
        before = cancellations()
        arguments = {"pipeline": self._pipeline, "total_items": self._total_items}
        answers = await self._run.dispatcher.call_hook(START, arguments)
        await self._add_observers(answers)
        if cancellations() > before:
            raise CancelledError
        if self.display is not None:
            await self.display.begin()

    def skip_begin(self) -> None:
        """Note that the run has begun, there being nothing to do."""
        self._has_begun = True

    def release_pipeline(self) -> None:
        """Hold the pipeline no more, the run being over."""
        self._pipeline = None

    async def _add_observers(self, answers: Mapping[str, object]) -> None:
        """Have what plugins returned observe this run, and the items that wait already."""
        dispatcher = self._run.dispatcher
        scoped = {}
        for name, answer in answers.items():
            if answer is None:
                continue
            if (reason := refusal(answer)) is None:
                scoped[f"{name}.run"] = answer
            else:
                error = PluginError(f"What it returned cannot take part: {reason}", plugin=name)
                dispatcher.note_fault(name, START, error)
        if not scoped:
            return
        waiting = [(item, stage) for stage in self._run.stages for item in stage.input.queue]
        waiting += self._run.announced()
        self.plugins = self.plugins.with_plugins(scoped)
        dispatcher.listen(self.plugins)
        added = listeners_of(dispatcher.item_start, scoped)
        for item, stage in waiting if added else ():
            pending = dispatcher.emit_status(item, stage.name, "queued", listeners=added)
            if pending is not None:
                await pending

    def has_end(self) -> bool:
        """Return whether anything has to happen when the last worker is gone."""
        is_left = any(stage.input.unprocessed for stage in self._run.stages)
        return (
            self.display is not None
            or (self._has_begun and bool(self.plugins.listeners(FINISH)))
            or bool(is_left and self._run.dispatcher.item_finish)
        )

    async def end(self, finalize: Callable[[], None]) -> None:
        """Report the items that are left, call the plugins, and end the display.

        Args:
            finalize: called when the items are reported, so that none is added any more.
        """
        if self._run.dispatcher.item_finish:
            await self._report_unprocessed()
        finalize()
        if self._has_begun:
            summary = self._run.error_summary()
            arguments = {"pipeline": self._pipeline, "error_summary": summary}
            await self._run.dispatcher.call_hook(FINISH, arguments)
        if self.display is not None:
            await self.display.end(self._run.kept())

    async def _report_unprocessed(self) -> None:
        """Emit that items are unprocessed, those included that late feeders add meanwhile.

        Where the run was aborted, no observer is waited for: each is cancelled at its first wait.
        """
        stages = self._run.stages
        reported = dict.fromkeys(stages, 0)
        while more := [s for s in stages if len(s.input.unprocessed) > reported[s]]:
            stage = more[0]
            item = stage.input.unprocessed[reported[stage]]
            reported[stage] += 1
            pending = self._run.dispatcher.emit_status(item, stage.name, "unprocessed", final=True)
            if pending is not None:
                await (_await_briefly(pending) if self._run.is_aborted else pending)


async def _await_briefly(pending: Awaitable[Any]) -> None:
    """Await observers, each cancelled at its first wait."""
    this = current_task()
    assert this is not None
    this.cancel()
    await pending
    with suppress(CancelledError):
        await sleep(0)  # which takes the cancellation if no observer has waited
    this.uncancel()
