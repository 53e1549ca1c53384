"""The begin and the end of a run: calls plugins, and starts and stops the display."""

from __future__ import annotations

from asyncio import CancelledError, Task, get_running_loop, sleep, wait
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any

from antflow._cancellation import HOOK_SECONDS, cancellations, delivered_cancellations, present_task
from antflow._engine.base.reentrancy import hide_when_destroyed
from antflow._engine.base.run_state import Phase, RunState
from antflow._engine.base.user_awaitable import UserAwaitable
from antflow._engine.channels.result_queue import ResultQueue
from antflow._engine.feeding.feeder import Feeder
from antflow._engine.workers.stage_runtime import StageRuntime, error_summary
from antflow._plugins.dispatcher import START, Dispatcher, listeners_of
from antflow._plugins.plugin_set import PluginSet, unused_name
from antflow._plugins.validation import observer_error
from antflow.exceptions import PluginError
from antflow.results import PipelineResult

from .display import Display
from .lifespan import Lifespan

FINISH = "antflow_pipeline_finish"


class Lifecycle:
    """Calls the plugins and the display of one run at its begin and its end."""

    def __init__(
        self,
        run: RunState,
        stages: Sequence[StageRuntime],
        dispatcher: Dispatcher,
        feeder: Feeder,
        plugins: PluginSet,
    ) -> None:
        self.plugins = plugins
        self.display: Display | None = None
        self.lifespan: Lifespan | None = None
        self._run = run
        self._stages = stages
        self._dispatcher = dispatcher
        self._feeder = feeder
        self._arguments: dict[str, object] = {}
        self._has_begun = False

    def prepare(
        self,
        pipeline: object,
        total_items: int | None,
        display: Display | None,
        plugins: Mapping[str, object],
    ) -> None:
        """Set what the begin is to be called with.

        Args:
            total_items: how many items there are; None where that is unknown.
            display: begins before the first item is taken, and ends when the run has.
            plugins: those that take part in this run only, by name.
        """
        self.plugins = self.plugins.with_plugins(plugins)
        self.display = display
        self._arguments = {"pipeline": pipeline, "total_items": total_items}
        self._dispatcher.listen(self.plugins)

    @property
    def has_begin(self) -> bool:
        """Whether anything has to happen before workers start."""
        has_display_or_lifespan = self.display is not None or self.lifespan is not None
        return has_display_or_lifespan or bool(self.plugins.listeners(START))

    async def begin(self, context: Context) -> None:
        """Call the plugins, add their observers, enter the lifespan, and start the display."""
        # In a task of its own, whose context the workers' contexts are copied from.
        await self._run.leave_eager_step()
        self._has_begun = True
        before = delivered_cancellations()
        answers = await self._dispatcher.call_hook(START, lambda: self._arguments)
        await self._add_observers(answers)
        if delivered_cancellations() > before:
            raise CancelledError
        if self.lifespan is not None and not self._run.is_closed:
            await self.lifespan.enter(self._arguments["pipeline"], context)
        if self.display is not None and not self._run.is_aborted:  # as a plugin may refuse the run
            await self.display.begin()

    def skip_begin(self) -> None:
        """Note that the run has begun, there being nothing to do."""
        self._has_begun = True

    def is_in_lifespan(self, task: Task[Any] | None) -> bool:
        """Return whether a task is the one in which the lifespan was entered."""
        return self.lifespan is not None and self.lifespan.is_task(task)

    def release_pipeline(self) -> None:
        """Hold the pipeline no more, the run being over."""
        self._arguments = {}

    async def _add_observers(self, answers: Mapping[str, object]) -> None:
        """Have what plugins returned observe this run, and the items that wait already."""
        dispatcher = self._dispatcher
        scoped: dict[str, object] = {}
        for name, observer in _observers_of(answers):
            if (reason := observer_error(observer)) is None:
                scoped[unused_name(f"{name}.run", scoped)] = observer
            else:
                error = PluginError(f"What it returned cannot take part: {reason}", plugin=name)
                dispatcher.note_fault(name, START, error)
        if not scoped:
            return
        # Observers that are added here get the events of items that were fed before the start.
        waiting = [(item, stage) for stage in self._stages for item in stage.input.queue]
        waiting += self._feeder.depositor.announced.values()
        self.plugins = self.plugins.with_plugins(scoped)
        dispatcher.listen(self.plugins)
        added = listeners_of(dispatcher.item_start, scoped)
        for item, stage in waiting if added else ():
            pending = dispatcher.emit_status(item, stage.name, "queued", listeners=added)
            if pending is not None:
                await pending

    def has_end(self) -> bool:
        """Return whether anything has to happen when the last worker is gone."""
        is_left = any(stage.input.unprocessed for stage in self._stages)
        return (
            self.display is not None
            or (self.lifespan is not None and self.lifespan.is_begun)
            or (self._has_begun and bool(self.plugins.listeners(FINISH)))
            or bool(is_left and self._dispatcher.item_finish)
            or any(stage.closing for stage in self._stages)
        )

    async def end(self, results: ResultQueue, context: Context) -> None:
        """End the runners, leave the lifespan, report items, call plugins, stop the display."""
        await self._wait_for_runners()
        if self.lifespan is not None:
            await self.lifespan.leave()
        is_aborted = self._run.is_aborted
        if self._dispatcher.item_finish:
            await self._report_unprocessed()
        self._run.advance(Phase.FINALIZED)
        summary = partial(error_summary, self._stages, results)  # each receiver may change its own
        if self._has_begun:
            pipeline = self._arguments["pipeline"]
            await self._dispatcher.call_hook(
                FINISH,
                lambda: {"pipeline": pipeline, "error_summary": summary()},
                lambda hook: _await_finish(UserAwaitable(hook, context), is_aborted=is_aborted),
            )
        if self.display is not None:
            await self.display.end(results.kept(), summary(), is_aborted=is_aborted)

    async def _wait_for_runners(self) -> None:
        """Wait until the runners have ended, also when the run is aborted meanwhile."""
        closing = [stage.closing for stage in self._stages if stage.closing is not None]
        while not all(each.done() for each in closing):
            with suppress(CancelledError):  # the next steps find it in `cancelling()`
                await wait(closing)

    async def _report_unprocessed(self) -> None:
        """Emit that items are unprocessed, those included that late feeders add meanwhile.

        Where the run was aborted, no observer is waited for: each is cancelled at its first wait.
        """
        stages = self._stages
        reported = dict.fromkeys(stages, 0)
        while more := [s for s in stages if len(s.input.unprocessed) > reported[s]]:
            stage = more[0]
            item = stage.input.unprocessed[reported[stage]]
            reported[stage] += 1
            await self._report(item, stage.name)

    async def _report(self, item: PipelineResult, stage: str) -> None:
        """Emit that an item is unprocessed, in a stage of this name."""
        listeners, is_aborted = self._dispatcher.item_finish, self._run.is_aborted
        # One cancellation ends one hook only, so each observer is called by itself.
        for group in [(each,) for each in listeners] if is_aborted else [listeners]:
            pending = self._dispatcher.emit_status(
                item, stage, "unprocessed", final=True, listeners=group
            )
            if pending is not None:
                await (_await_briefly(pending) if is_aborted else pending)


def _observers_of(answers: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Return the observers in the answers of plugins, each with its plugin's name."""
    for name, answer in answers.items():
        observers = answer if isinstance(answer, list | tuple) else (answer,)
        yield from ((name, observer) for observer in observers if observer is not None)


async def _await_finish(hook: UserAwaitable, *, is_aborted: bool) -> None:
    """Await a hook: as long as it takes, but in a cancelled run for a limited time."""
    await hook.wait(HOOK_SECONDS if is_aborted or cancellations() else None)


async def _await_briefly(pending: Awaitable[Any]) -> None:
    """Await observers, each cancelled at its first wait."""
    this = present_task()
    assert this is not None
    this.cancel()
    await pending
    with suppress(CancelledError):
        await sleep(0)  # which takes the cancellation if no observer has waited
    this.uncancel()


class Ending:
    """Runs what is to be awaited at the end of a run, and then finishes the run.

    Args:
        run: the state of the run; an error at its end becomes the run's.
        end: what is to be awaited; called with its context.
        finish: called after that, whatever happened.
    """

    def __init__(
        self, run: RunState, end: Callable[[Context], Awaitable[None]], finish: Callable[[], None]
    ) -> None:
        self.task: Task[None] | None = None
        self.is_begun = False
        self._run = run
        self._end = end
        self._finish = finish

    def start(self, context: Context) -> None:
        """Begin, in a context."""
        ending = self._await_end(context)
        try:
            # Not by the loop's task factory, which may make eager tasks or take no context.
            self.task = Task(ending, loop=get_running_loop(), context=context)
        except RuntimeError:  # the loop is closed: nothing can be awaited
            ending.close()
            self._finish()
            return
        self.task.add_done_callback(partial(self._on_done, context))
        hide_when_destroyed(self.task)

    async def _await_end(self, context: Context) -> None:
        self.is_begun = True
        self._run.tasks.ending = self.task  # so that it may be cancelled
        await self._end(context)

    def _on_done(self, context: Context, task: Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._run.error = self._run.error or error
        # It may be cancelled before its first step, as asyncio.run does at its end.
        if self.is_begun:
            self._finish()
        else:
            self.start(context)
