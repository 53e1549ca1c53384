"""One run of a pipeline: its phase, its tasks, and the conservation of items."""

from __future__ import annotations

import logging
import os
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Event,
    Task,
    current_task,
    get_running_loop,
    wait,
)
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from enum import IntEnum, auto
from functools import partial
from itertools import chain

from antflow._clock import CLOCK
from antflow._display import Display
from antflow._fraction import InputFraction
from antflow._limits import Rates
from antflow._plugins.dispatcher import Dispatcher
from antflow._sources import Source
from antflow._threadsafe import ThreadsafeCalls
from antflow.exceptions import PipelineError
from antflow.plugins import STRICT, PluginSet, is_on
from antflow.stage import Stage
from antflow.types import ErrorSummary, PipelineResult, UnprocessedItem

from .failures import Failures
from .feeder import Feeder
from .item import to_unprocessed
from .lifecycle import Lifecycle
from .loop_budget import LoopBudget, budget_of
from .reader import InputReader
from .reentrancy import Reentrancy, enter
from .result_queue import ResultQueue
from .stage_runtime import StageRuntime, worker_name
from .worker import Worker

_logger = logging.getLogger(__name__)


class Phase(IntEnum):
    """How far a run is."""

    NEW = auto()
    """It may be fed, and has not been started."""
    OPEN = auto()
    SEALED = auto()
    """No call of `feed` from outside may begin; the run closes when all fed items have ended."""
    DRAINING = auto()
    """Those that have begun are stopped, too."""
    CLOSED = auto()
    """Nothing more is taken; attempts that run may end."""
    ABORTED = auto()
    """What runs is cancelled."""
    FINALIZED = auto()
    """The items that are left have been reported, so that none can be added."""
    OVER = auto()
    """No task of the run is left."""


class Run:
    """A run, from the first item fed to the end of the last worker.

    It ends by closing: as soon as it is sealed and nothing is outstanding, or on demand, with
    whatever is left then. To abort is to close and to cancel what runs.

    Args:
        name: the pipeline's name.
        stages: the definition.
        collect: whether successes are kept.
        rates: the pipeline's call rates, which outlast the run.
        plugins: take part in it.
        max_failures: how many items may fail, as `Pipeline` takes it.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        rates: Rates,
        plugins: PluginSet,
        max_failures: float | None = None,
        *,
        collect: bool,
    ) -> None:
        self.name = name
        self.clock = CLOCK.get()
        self.budget = LoopBudget(self.clock)
        self.phase = Phase.NEW
        self.error: BaseException | None = None
        self.is_abandoned = False  # its stream was dropped
        self.stops_feeding = False  # `not accepts_input`, for the price of an attribute
        self.is_joined = False  # its end has been, or will be, reported to a caller
        self.returns_unprocessed = False  # to a caller of shutdown()
        self.loop: AbstractEventLoop | None = None
        self.input_fraction = InputFraction()
        self.threadsafe_calls = ThreadsafeCalls(name)
        self.results = ResultQueue(stages[-1].name, keep=collect)
        self.failures = Failures(self, self.results, max_failures)
        self.dispatcher = Dispatcher(name, self.abort)
        self.dispatcher.strict = is_on(os.environ, STRICT)
        self.dispatcher.listen(plugins)
        self.stages = _connect(stages, self.results, self.dispatcher)
        self.feeder = Feeder(self, self.stages, self.dispatcher)
        self.reentrancy = Reentrancy(self)
        self.workers = [
            [
                Worker(worker_name(stage.stage, number), stage, self)
                for number in range(stage.stage.workers)
            ]
            for stage in self.stages
        ]
        self._plugins = plugins
        self._rates = rates
        self._lifecycle: Lifecycle | None = None
        self._context: Context | None = None
        self._opening: Task[None] | None = None
        self._reader: InputReader | None = None
        self._ending: Task[None] | None = None
        self._is_ending_begun = False  # so that it may be cancelled
        self._tasks: set[Task[None]] = set()
        self._stopped: set[Task[None]] = set()  # cancelled by the run itself
        self._ended = 0
        self._is_raised = False
        self._finished = Event()

    # Its phase

    @property
    def is_new(self) -> bool:
        """Whether it has not been started."""
        return self.phase is Phase.NEW

    @property
    def is_started(self) -> bool:
        """Whether it was started, whatever became of it."""
        return self._lifecycle is not None

    @property
    def accepts_input(self) -> bool:
        """Whether calls of `feed` that have begun, and the reading of the input, may go on."""
        return self.phase < Phase.DRAINING

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing more."""
        return self.phase >= Phase.CLOSED

    @property
    def is_aborted(self) -> bool:
        """Whether what runs is cancelled."""
        return self.phase >= Phase.ABORTED

    @property
    def is_finalized(self) -> bool:
        """Whether the items that are left have been reported."""
        return self.phase >= Phase.FINALIZED

    @property
    def is_over(self) -> bool:
        """Whether no task of it is left."""
        return self.phase is Phase.OVER

    @property
    def is_loop_closed(self) -> bool:
        """Whether it can never go on, its event loop having been closed."""
        return self.loop is not None and self.loop.is_closed() and not self.is_over

    @property
    def is_on_other_loop(self) -> bool:
        """Whether it is going on, but not on the running event loop."""
        if self.loop is None or self.is_over or self.is_loop_closed:
            return False
        return self.loop is not get_running_loop()

    @property
    def plugins(self) -> PluginSet:
        """The plugins that take part."""
        return self._plugins if self._lifecycle is None else self._lifecycle.plugins

    def _advance(self, phase: Phase) -> None:
        self.phase = max(self.phase, phase)
        self.stops_feeding = not self.accepts_input

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
            pipeline: what plugins are called with.
            total_items: how many items there are; None where that is unknown.
            display: shows the run.
            plugins: those that take part in this run only, by name.
        """
        self._advance(Phase.OPEN)
        enter(context, self)
        self._context, self.loop = context, get_running_loop()
        self.budget = budget_of(self.loop, self.clock)
        everyone = self._plugins.with_plugins(plugins or {})
        self.dispatcher.listen(everyone)
        self._lifecycle = Lifecycle(self, everyone, pipeline, total_items, display)
        now = self.clock()
        for stage in self.stages:
            stage.limits.rate = self._rates.of(stage.stage)
            stage.counters.begin(now)
            stage.input.on_parked(partial(self._on_parked, stage))
        if self._lifecycle.has_begin:
            opening = self._lifecycle.begin()
            self._opening = self.loop.create_task(
                opening, name=f"{self.name}-opening", context=context
            )
            self._track(self._opening)
        else:
            self._lifecycle.skip_begin()
            self._add_workers()

    def _on_parked(self, stage: StageRuntime, has_parked: bool) -> None:
        stage.counters.set_parked(has_parked, self.clock())

    async def wait_opened(self) -> None:
        """Wait until workers may start.

        Raises:
            BaseException: what ended the run meanwhile.
        """
        if self._opening is not None:
            try:
                await wait([self._opening])
            except BaseException:
                self.abort()
                await self.wait_closed()
                raise
        self.raise_once()

    def read(self, source: Source, priority: int) -> None:
        """Feed all of an input to the first stage, and then seal."""
        self._reader = InputReader(self, source, self.stages[0], priority, self._opening)
        self._track(self._reader.task)

    def _add_workers(self) -> None:
        """Have workers started as there is work for them."""
        if self.is_closed:
            return
        for stage, workers in zip(self.stages, self.workers, strict=True):
            stage.input.add_lazy_receivers(partial(self._start_worker, w) for w in workers)

    def _start_worker(self, worker: Worker) -> None:
        assert self._context is not None
        loop = worker.loop()
        try:
            create_task = get_running_loop().create_task
            task = self._context.copy().run(create_task, loop, name=worker.name)
        except Exception as error:
            loop.close()
            self.abort(error)
        else:
            self._track(task)

    def _track(self, task: Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    # Which code calls

    def is_inside(self) -> bool:
        """Return whether a worker, or the stream's consumer, may be waiting for this code."""
        return self.reentrancy.is_inside_task() or self.is_consumer()

    def is_consumer(self) -> bool:
        """Return whether the present task is the one that took the stream's last result."""
        return not (self.is_abandoned or self.is_closed) and self.reentrancy.is_consumer()

    def is_reader(self) -> bool:
        """Return whether the present task is the one that reads the run's input."""
        return self._reader is not None and current_task() is self._reader.task

    def is_own_task(self) -> bool:
        """Return whether the run waits for the present task, or for the hook that it calls."""
        task = current_task()
        display = None if self._lifecycle is None else self._lifecycle.display
        return (
            task in self._tasks
            or (self._is_ending_begun and self.reentrancy.is_inside_task())
            or self.reentrancy.is_observing()
            or (display is not None and task is not None and task is display.caller)
        )

    def admits(self) -> bool:
        """Return whether a feed may begin; inside, as long as the run lasts."""
        return self.phase < Phase.SEALED or (not self.is_finalized and self.is_inside())

    def announced(self) -> list[tuple[PipelineResult, StageRuntime]]:
        """Return the items that observers know of and that are not deposited yet."""
        return list(self.feeder.announced.values())

    # Ending

    def seal(self) -> None:
        """Let no feed from outside begin, and end when all fed items have."""
        self._advance(Phase.SEALED)
        self.check_done()

    def drain(self) -> None:
        """Seal, and stop the feeds that have begun as well."""
        self._advance(Phase.DRAINING)
        self._stop_reading()
        for stage in self.stages:
            stage.input.dismiss_feeders()
        self.check_done()

    def items_ended(self, number: int) -> None:
        """Count so many items more as ended."""
        self._ended += number

    def check_done(self) -> None:
        """Close the run if it is sealed and nothing is outstanding."""
        if (
            self.phase in (Phase.SEALED, Phase.DRAINING)
            and sum(stage.counters.fed for stage in self.stages) == self._ended
            and not (self.feeder.active and self.accepts_input)
            and not self.reentrancy.has_observing
        ):
            self.close()

    def close(self) -> None:
        """Take no more; attempts that run may end."""
        if self.is_closed:
            return
        self._advance(Phase.CLOSED)
        for stage in self.stages:
            stage.input.close()
        self.results.unbound()
        for worker in self._all_workers():
            worker.cancel_limit_wait()
        self._stop_reading()
        if not self._tasks:
            self._end()

    def abort(self, error: BaseException | None = None) -> None:
        """Close and cancel everything.

        Args:
            error: what ended the run; of several, the first is raised.
        """
        if self.is_over:
            return
        if self.error is None:
            self.error = error
        running = [*self._tasks]
        if self._ending is not None and self._is_ending_begun:
            running.append(self._ending)
        self.close()
        self._advance(Phase.ABORTED)
        this = current_task()
        for task in running:
            if task is not this:
                task.cancel()

    def on_worker_cancelled(self, worker: str) -> None:
        """Abort, unless the run is ending already: the pool would shrink silently."""
        if not self.is_closed:
            self.abort(
                PipelineError(
                    f"Pipeline {self.name!r} was stopped: its worker {worker!r} was cancelled "
                    "from outside of the pipeline or by the task that it ran. Raise an exception "
                    "to fail an item; cancel what called run(), or call shutdown(), to stop the "
                    "pipeline."
                )
            )

    async def stop(self, *, drain: bool, timeout: float | None) -> None:
        """Stop, and wait until no task of the run is left.

        Args:
            drain: finish everything fed first.
            timeout: seconds after which to abort.

        Raises:
            BaseException: what ended the run, unless it was raised already.
        """
        if drain and not self.is_new:
            self.drain()
        else:
            self.close()
        if timeout is not None and timeout <= 0:
            self.abort()
        timer = get_running_loop().call_later(timeout, self.abort) if timeout else None
        try:
            if not (self.is_over and self._is_raised):
                await self.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def wait(self) -> None:
        """Wait until no task of the run is left; to be cancelled here aborts the run.

        Raises:
            BaseException: what ended the run, or what its input raised.
        """
        try:
            await self._finished.wait()
        except BaseException:
            self.abort()
            if not self.reentrancy.is_inside_task():  # or it would wait for its own task
                await self.wait_closed()
            raise
        error = self.error or (None if self._reader is None else self._reader.error)
        if error is not None:
            self._is_raised = True
            raise error

    def raise_once(self) -> None:
        """Raise what ended the run, unless that was done already."""
        if self.error is not None and not self._is_raised:
            self._is_raised = True
            raise self.error

    async def finished(self) -> None:
        """Wait until no task of the run is left, or this is cancelled."""
        await self._finished.wait()

    async def wait_closed(self) -> None:
        """Wait until no task of the run is left; to be cancelled comes into effect only then."""
        cancelled: CancelledError | None = None
        while not self.is_over:
            try:
                await self._finished.wait()
            except CancelledError as error:
                cancelled = error
                self.abort()
        if cancelled is not None:
            raise cancelled

    def leave_display(self, seconds: float) -> None:
        """Have the display give back what it has taken, before the process ends.

        Args:
            seconds: how long to wait for it.
        """
        if self._lifecycle is not None and self._lifecycle.display is not None:
            self._lifecycle.display.leave(seconds)

    def _stop_reading(self) -> None:
        """Cancel the opening and the reading of the input, once, so that they may clean up."""
        reader = None if self._reader is None else self._reader.task
        for task in self._opening, reader:
            if task is not None and task is not current_task() and task not in self._stopped:
                self._stopped.add(task)
                task.cancel()

    def _on_task_done(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if task is self._opening:
            self._add_workers()
        if task.cancelled():
            is_reader = self._reader is not None and task is self._reader.task
            if not is_reader and task not in self._stopped:
                self.on_worker_cancelled(task.get_name())
        elif (error := task.exception()) is not None:
            self.abort(error)
        if self.is_closed and not self._tasks:
            self._end()

    def _end(self) -> None:
        """Finish, the last worker being gone: at once, or after observers and the display."""
        if self.is_over or self._ending is not None:
            return
        now = self.clock()
        for stage in self.stages:
            stage.counters.stop(now)
            stage.threads.close()
        for worker in self._all_workers():
            worker.stop()
        lifecycle = self._lifecycle or Lifecycle(self, self._plugins, None, None, None)
        if lifecycle.has_end():
            self._start_ending(lifecycle)
        else:
            self._finish()

    def _start_ending(self, lifecycle: Lifecycle) -> None:
        ending = self._run_ending(lifecycle)
        try:
            self._ending = get_running_loop().create_task(ending, context=self._context)
        except RuntimeError:  # the loop is closed: nothing can be awaited
            ending.close()
            self._finish()
            return
        self._ending.add_done_callback(partial(self._on_ending_done, lifecycle))

    async def _run_ending(self, lifecycle: Lifecycle) -> None:
        self._is_ending_begun = True
        await lifecycle.end(finalize=partial(self._advance, Phase.FINALIZED))

    def _on_ending_done(self, lifecycle: Lifecycle, ending: Task[None]) -> None:
        if not ending.cancelled() and (error := ending.exception()) is not None:
            self.error = self.error or error
        # It may be cancelled before its first step, as asyncio.run does at its end.
        if self._is_ending_begun:
            self._finish()
        else:
            self._start_ending(lifecycle)

    def _finish(self) -> None:
        self.failures.check(at_end=True)
        self._advance(Phase.OVER)
        self.results.close()
        self.feeder.fail_replies()
        self.threadsafe_calls.close()
        self.failures.warn()
        self._warn_of_unprocessed()
        if self._lifecycle is not None:
            self._lifecycle.release_pipeline()
        self._finished.set()

    def _all_workers(self) -> Iterator[Worker]:
        return chain.from_iterable(self.workers)

    # What became of the items

    def unprocessed(self) -> list[UnprocessedItem]:
        """Return what was left when the run ended, by stage, priority and input order."""
        if not self.is_over:
            return []
        return [
            to_unprocessed(item, stage.name)
            for stage in self.stages
            for item in sorted(
                stage.input.unprocessed, key=lambda item: (item.priority, item.sequence_id)
            )
        ]

    def successes(self) -> int:
        """Return how many items went through every stage."""
        return sum(worker.processed for worker in self.workers[-1])

    def kept(self) -> list[PipelineResult]:
        """Return the successes that are kept, in input order."""
        return self.results.kept()

    def error_summary(self, most: int | None = None) -> ErrorSummary:
        """Return the failures: exact counts, and details of the latest `most`, or of all kept."""
        by_type: Counter[str] = Counter()
        for stage in self.stages:
            by_type.update(stage.counters.errors_by_type.copy())
        by_stage = {s.name: s.counters.failed for s in self.stages if s.counters.failed}
        # Another thread may ask: the loop can add to what is copied only between two steps.
        items = list(self.results.failed_items)
        return ErrorSummary(
            total_failed=sum(by_stage.values()),
            errors_by_type=dict(by_type),
            errors_by_stage=by_stage,
            failed_items=items if most is None else items[-most:],
        )

    def _warn_of_unprocessed(self) -> None:
        left = {stage.name: len(stage.input.unprocessed) for stage in self.stages}
        if total := sum(left.values()):
            _logger.warning(
                "Pipeline %r stopped: %s %s unprocessed (%s); see pipeline.unprocessed, "
                "which feed() takes back.",
                self.name,
                "1 item was" if total == 1 else f"{total} items were",
                "returned" if self.returns_unprocessed else "discarded",
                ", ".join(f"{count} in {name!r}" for name, count in left.items() if count),
            )


def _connect(
    stages: Iterable[Stage], results: ResultQueue, dispatcher: Dispatcher
) -> list[StageRuntime]:
    """Set up each stage so that its output is the input of the next."""
    runtimes: list[StageRuntime] = []
    for stage in reversed(list(stages)):
        next_stage = runtimes[-1] if runtimes else None
        runtimes.append(StageRuntime(stage, results, next_stage, dispatcher))
    return runtimes[::-1]
