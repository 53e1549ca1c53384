"""One run of a pipeline: its parts, its tasks, and how it ends."""

from __future__ import annotations

import logging
import os
from asyncio import Task, get_running_loop, wait
from collections.abc import Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any
from warnings import warn

from antflow._cancellation import present_task
from antflow._engine.base.loop_budget import budget_of
from antflow._engine.base.reentrancy import enter, new_context
from antflow._engine.base.run_state import Phase, RunState
from antflow._engine.channels.edge import Edge, Entry
from antflow._engine.channels.result_queue import ResultQueue
from antflow._engine.feeding.dropping import Dropper
from antflow._engine.feeding.feeder import Feeder
from antflow._engine.feeding.item_factory import ItemFactory
from antflow._engine.feeding.reader import InputReader
from antflow._engine.feeding.sources import InputFraction, Source
from antflow._engine.feeding.submitter import Submitter
from antflow._engine.limiting.executor_stage import ExecutorStage
from antflow._engine.workers.failures import Failures
from antflow._engine.workers.stage_runtime import StageRuntime
from antflow._engine.workers.worker_pool import WorkerPool
from antflow._limits.call_limits import CallRates
from antflow._plugins.dispatcher import Dispatcher
from antflow._plugins.plugin_set import PluginSet
from antflow._plugins.switches import STRICT, is_on
from antflow.builder import LifespanFunc
from antflow.logs import UNPROCESSED_LOGGER
from antflow.stage import Stage

from .display import Display
from .lifecycle import Ending, Lifecycle
from .lifespan import Lifespan
from .threadsafe_calls import ThreadsafeCalls

_logger = logging.getLogger(UNPROCESSED_LOGGER)


@dataclass(slots=True)
class Definition:
    """What the runs of a pipeline are made of, as `Pipeline` takes and checks it."""

    name: str
    stages: tuple[Stage, ...]
    plugins: PluginSet
    max_failures: float | None
    lifespan: LifespanFunc | None
    collect_results: bool


class Run(RunState):
    """A run, from the first item fed to the end of the last worker.

    It ends by closing its channels: once its input is closed and nothing is outstanding, or on
    demand, with whatever is left then. To abort is to close and to cancel the running tasks.

    Args:
        definition: of the pipeline; later changes of it are for later runs.
        rates: the pipeline's call rates, which are kept from run to run.
    """

    entries: list[Entry]
    ends: list[Edge]

    def __init__(self, definition: Definition, rates: CallRates) -> None:
        name, stages, plugins = definition.name, definition.stages, definition.plugins
        super().__init__(name, self._end)
        self.is_joined = False  # its end has been, or will be, reported to a caller
        self.input_fraction = InputFraction()
        self.threadsafe_calls = ThreadsafeCalls(name)
        self.dispatcher = Dispatcher(name, self.abort)
        self.dispatcher.strict = is_on(os.environ, STRICT)
        self.dispatcher.listen(plugins)
        self.results = ResultQueue(stages[-1].name, keep=definition.collect_results)
        self.stages = _connect(stages, self.results, self.dispatcher)
        self.entries = [stage.entry for stage in self.stages]
        self.ends = [stage.output for stage in self.stages if stage.output.stage is None]
        self.workers = WorkerPool(self, self.stages)
        self.failures = Failures(self, self.stages, self.results, definition.max_failures)
        self.items = ItemFactory(name, self.stages)
        self.feeder = Feeder(self, self.items, self.dispatcher)
        self.dropper = Dropper(self, self.stages, self.workers, self.results, self.dispatcher)
        self.submitter = Submitter(
            self, self.stages[0], self.items, self.feeder, self.results, self.dropper
        )
        self.lifecycle = Lifecycle(self, self.stages, self.dispatcher, self.feeder, plugins)
        if definition.lifespan is not None:
            self.lifecycle.lifespan = Lifespan(self, definition.lifespan)
        self.previous: Run | None = None  # whose `results` are the last ones until this one starts
        self.is_started = False
        self._rates = rates
        self._opening: Task[None] | None = None
        self._reader: InputReader | None = None
        self.closers += [stage.input.close for stage in self.stages]
        self.closers += [self.results.unbound, self.workers.cancel_waits, self._stop_reading]
        self._ending = Ending(self, partial(self.lifecycle.end, self.results), self._finish)

    # Starting

    def start(
        self,
        context: Context,
        *,
        pipeline: object,
        total_items: int | None = None,
        display: Display | None = None,
        plugins: Mapping[str, object] | None = None,
    ) -> None:
        """Begin; workers start when plugins have been called and the display has begun.

        Args:
            context: copied for each worker.
            total_items: how many items there are; None where that is unknown.
            plugins: those that take part in this run only, by name.
        """
        self.is_started = True
        self.previous = None
        self.advance(Phase.OPEN)
        enter(self, context)
        self.context, self.loop = context, get_running_loop()
        self.budget = budget_of(self.loop, self.clock)
        self.lifecycle.prepare(pipeline, total_items, display, plugins or {})
        for stage in self.stages:
            definition = stage.stage
            rate = self._rates.of(stage.name, definition.call_rate, definition.call_rate_period)
            stage.begin(rate, self.clock)
        if self.lifecycle.has_begin:
            begin, name = self.lifecycle.begin(context), f"{self.name}-opening"
            create_task = partial(self.loop.create_task, begin, name=name, context=context)
            self._opening = self.tasks.create(create_task, self._on_opened)
        else:
            self.lifecycle.skip_begin()
            self.workers.open(context, self.failures)

    async def wait_opened(self) -> None:
        """Wait until workers may start.

        Raises:
            BaseException: what ended the run meanwhile.
        """
        if self._opening is not None:
            try:
                await wait([self._opening])
            except GeneratorExit:
                raise
            except BaseException:  # the caller was cancelled
                self.abort()
                await self.wait_closed()
                raise
        if self.error is not None:
            await self.wait_closed()
        self.raise_once()

    def read(self, source: Source, priority: int) -> None:
        """Feed all of an input to the first stage, and then close the input."""
        self._reader = InputReader(self, self.feeder)
        start = self._reader.start
        self.tasks.create(partial(start, source, self.stages[0], priority, self._opening))

    def __del__(self) -> None:
        if self.is_started and not self.is_over:
            warn(
                f"Pipeline {self.name!r} was dropped, or its event loop closed, while it was "
                'running; call shutdown() or join(), or use "async with pipeline"',
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    def is_own_task(self, task: Task[Any] | None = None) -> bool:
        """Return whether the run waits for a task, or for the hook that it calls.

        Args:
            task: the task; None for the present one.
        """
        task, display = task or present_task(), self.lifecycle.display
        return not self.is_over and (
            task in self.tasks.active
            or (self._ending.is_begun and self.reentrancy.is_inside_task())
            or self.reentrancy.is_observing(task)
            or self.lifecycle.is_in_lifespan(task)
            or (display is not None and display.is_calling(task))
        )

    def admits(self) -> bool:
        """Return whether a feed may begin; inside, as long as the run lasts."""
        return self.phase < Phase.INPUT_CLOSED or (not self.is_finalized and self.is_inside())

    # Ending

    def drain(self) -> None:
        """Read no more, refuse waiting feeders, and close when all fed items have ended."""
        self.advance(Phase.DRAINING)
        self._stop_reading()
        for stage in self.stages:
            stage.input.waiters.dismiss_feeders()
        self.check_done()

    async def wait(self) -> None:
        """Wait until no task of the run is left; to be cancelled here aborts the run.

        Raises:
            BaseException: what ended the run, or what its input raised.
        """
        try:
            await self.finished.wait()
        except GeneratorExit:  # nothing can be awaited
            self.abort()
            raise
        except BaseException:
            self.abort()
            if not self.reentrancy.is_inside_task():  # or it would wait for its own task
                await self.wait_closed()
            raise
        error = self.error or (None if self._reader is None else self._reader.error)
        if error is not None:
            self.is_raised = True
            raise error

    def _stop_reading(self) -> None:
        """Cancel the opening and the reading of the input, once, so that they may clean up."""
        # To drain, workers need what a lifespan that is being entered opens.
        cuts_opening = self.is_closed or self.lifecycle.lifespan is None
        self.tasks.cancel_once(self._opening if cuts_opening else None)
        self.tasks.cancel_once(self.reentrancy.reader)

    def _on_opened(self, task: Task[None]) -> None:
        self.tasks.end(task)
        if self.context is not None:
            self.workers.open(self.context, self.failures)

    def _end(self) -> None:
        """Finish, the last worker being gone: at once, or after observers and the display."""
        if self.is_over or self._ending.task is not None:
            return
        for stage in self.stages:
            stage.end(self.clock(), is_aborted=self.is_aborted or self.is_loop_closed)
        for worker in self.workers.begun():
            worker.stop()
        if self.lifecycle.has_end():
            self._ending.start(self.context or new_context(self))
        else:
            self._finish()

    def _finish(self) -> None:
        self.failures.check(at_end=True)
        self.advance(Phase.OVER)
        self.results.close()  # not before the last task, whose result a stream still gets
        self.dropper.stop()
        self.submitter.fail_handles()
        self.threadsafe_calls.close()
        self.failures.warn()
        _warn_of_unprocessed(self.name, self.stages, is_returned=self.returns_unprocessed)
        self.lifecycle.release_pipeline()
        self.finished.set()


def _connect(
    stages: Iterable[Stage], results: ResultQueue, dispatcher: Dispatcher
) -> list[StageRuntime]:
    """Set up each stage so that its output is the input of the next."""
    runtimes: list[StageRuntime] = []
    for stage in reversed(list(stages)):
        output = runtimes[-1].new_input() if runtimes else Edge(results, None)
        runtimes.append(StageRuntime(stage, results, output, dispatcher))
    return runtimes[::-1]


def _warn_of_unprocessed(
    pipeline: str, stages: Iterable[StageRuntime], *, is_returned: bool
) -> None:
    left = {
        stage.name: len(stage.input.unprocessed)
        for stage in stages
        if not isinstance(stage.stage, ExecutorStage)  # of which each call's future says it
    }
    if total := sum(left.values()):
        _logger.warning(
            "Pipeline %r stopped: %s %s unprocessed (%s); see pipeline.unprocessed, which feed() "
            "takes back.",
            pipeline,
            "1 item was" if total == 1 else f"{total} items were",
            "returned" if is_returned else "discarded",
            ", ".join(f"{count} in {name!r}" for name, count in left.items() if count),
        )
