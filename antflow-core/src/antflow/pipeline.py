"""Pipeline: the face of the engine."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sized
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from ._engine import snapshot
from ._engine.display import Display, chosen_dashboard
from ._engine.input_fraction import InputFraction
from ._engine.run import Run
from ._engine.sources import Source, checked_source
from ._engine.stage_runtime import StageRuntime, error_summary, unprocessed_items, worker_name
from ._engine.stream import ResultStream
from ._engine.thread_reader import ThreadReader
from ._errors.suggestions import explains_keywords
from ._errors.texts import one_line, short
from ._limits.stage_limits import Rates
from ._plugins.plugin_set import NONE, PluginSet, named, plugin_of
from ._stats.failure_tally import checked_max_failures
from .builder import BaseBuilder, stages_for
from .dashboards import DashboardProtocol, DashboardSnapshot, WorkerMetrics, WorkerState
from .exceptions import (
    MOST_GROUPED_ERRORS,
    ItemsFailedError,
    PipelineError,
    StageValidationError,
    as_exception,
)
from .items import checked_priority
from .results import ErrorSummary, PipelineResult, UnprocessedItem
from .stage import (
    CAPACITY_PER_WORKER,
    Stage,
    TaskFunc,
    chain_text,
    is_count,
    is_duration,
    is_positive,
)
from .stats import PipelineStats
from .tracker import StatusTracker

__all__ = ["Pipeline", "PipelineBuilder", "ResultStream", "Stage"]

T = TypeVar("T")

DEFAULT_PRIORITY = 100


@explains_keywords("Pipeline")
class Pipeline:
    """A chain of stages through which items are run, one run at a time.

    Args:
        stages: the steps that each item goes through, in this order.
        collect_results: keep the results of `run`, or of `start` and `feed`, in `results`.
        status_tracker: follows the status of each item.
        name: names the pipeline in statistics, logs and errors.
        plugins: plugins for this pipeline, besides the installed ones; one with the same name as
            an installed plugin replaces it.
        autoload: whether installed plugins take part.
        max_failures: how many items may fail before the run is stopped: a whole number (with 0,
            the first failure stops it), or a share between 0 and 1, which is checked once 100 items
            have succeeded or failed, and at the end; None for no limit.

    Raises:
        PipelineError: there is no stage, the first one pulls, `name` is not a non-empty string,
            `status_tracker` is not a StatusTracker, two plugins have the same name, or
            `max_failures` is neither a number of items nor a share.
        StageValidationError: a stage's configuration is invalid, or two stages have the same name.
        PluginError: a plugin cannot take part.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        collect_results: bool = True,
        status_tracker: StatusTracker | None = None,
        *,
        name: str = "pipeline",
        plugins: Iterable[object] = (),
        autoload: bool = True,
        max_failures: float | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise PipelineError(f"A pipeline's name must be a non-empty string, not {name!r}")
        if status_tracker is not None and not isinstance(status_tracker, StatusTracker):
            raise PipelineError(
                f"status_tracker of pipeline {name!r} is {status_tracker!r}; give a StatusTracker"
            )
        self.stages = _checked_stages(stages, name)
        self.collect_results = collect_results
        self.name = name
        self.max_failures = checked_max_failures(max_failures, name)
        self._plugins = _plugin_set(plugins, status_tracker, name, autoload=autoload)
        self._rates = Rates()
        self._run: Run | None = None  # the one that lasts or is to be started, else the last one

    @one_line
    def __repr__(self) -> str:
        state = "running" if self._is_running() else "not running"
        return f"<{type(self).__name__} {short(self.name)}, {state}: {chain_text(self.stages)}>"

    @classmethod
    def create(cls, *, name: str = "pipeline") -> PipelineBuilder:
        """Begin to build a pipeline, stage by stage.

        Args:
            name: names the pipeline in statistics, logs and errors.
        """
        return PipelineBuilder(name)

    @classmethod
    async def quick(
        cls,
        items: Source,
        tasks: TaskFunc | list[TaskFunc],
        workers: int = 5,
        retries: int = 3,
        progress: bool = False,
        dashboard: str | None = None,
        *,
        raise_failures: bool = False,
    ) -> list[PipelineResult]:
        """Run items through one task, or through several in order, each a stage of its own.

        A stage is named after its task: `fetch_data` is "FetchData", a second one "FetchData2".

        Args:
            items: as for `run`.
            tasks: one task, or a list of tasks.
            workers: number of workers of each stage.
            retries: the most attempts of each task, the first included.
            progress: as for `run`.
            dashboard: as for `run`.
            raise_failures: as for `run`.

        Returns:
            The successes in input order.

        Raises:
            PipelineError: there is no task.
            ItemsFailedError: as from `run`.
            StageValidationError: `workers` or `retries` is not a whole number above 0.
            ValueError: as from `run`.
        """
        pipeline = cls(stages_for(tasks, workers, retries))
        return await pipeline.run(items, progress, dashboard, raise_failures=raise_failures)

    # Running

    async def run(
        self,
        items: Source,
        progress: bool = False,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        *,
        return_exceptions: bool = False,
        raise_failures: bool = False,
        read_in_thread: bool = False,
    ) -> list[PipelineResult]:
        """Run all items through the pipeline and return the successes in input order.

        Failed items are in `failures`, and a warning in the log says what failed, unless
        `return_exceptions` or `raise_failures` is set. Cancelling this call cancels the run.

        Args:
            items: any iterable or async iterable, read only as fast as there is room; its items
                are as in `feed`.
            progress: show progress on standard error: as a bar if antflow-rich is installed, else
                as one line a second.
            dashboard: name of an installed dashboard; antflow-rich has "compact", "detailed" and
                "full".
            custom_dashboard: a dashboard of your own.
            dashboard_update_interval: seconds between its updates.
            return_exceptions: return failures too, each in its place. Without
                `collect_results` nothing is returned, and failures are in `failures` only.
            raise_failures: raise the errors of failed items once all items have ended.
            read_in_thread: read a plain iterable in a thread of its own, up to ten values ahead,
                so that one that blocks does not hold the event loop. The thread closes the
                iterable if that is a generator. It sees the caller's context variables. A run that
                is stopped waits for the value that the thread is reading; one that is cancelled
                abandons the thread if it is inside the iterable.

        Raises:
            ItemsFailedError: items failed, and `raise_failures` is set; a group of their errors.
            TooManyFailuresError: more items failed than `max_failures` allows.
            TypeError: `items` cannot be iterated over, is a single item such as a str, a mapping
                or a data frame, or is an async iterable with `read_in_thread`.
            ValueError: two displays are asked for, or one that is not installed, or the interval
                is not a number of seconds above 0, or both `return_exceptions` and
                `raise_failures` are set.
            PluginError: the dashboard's hooks are invalid, or a plugin raised an exception while
                `ANTFLOW_STRICT_PLUGINS` is set.
            PipelineError: the pipeline is running already, or `feed` waits on another event loop.
            BaseException: the exception of the input, raised once the items already read have
                ended; or one that ended the run, such as a KeyboardInterrupt in a task.
        """
        if return_exceptions and raise_failures:
            raise ValueError(
                "Cannot use both return_exceptions, which returns failures, and raise_failures, "
                f"which raises them, in a run of pipeline {self.name!r}; leave one out"
            )
        source = checked_source(items, self.name, read_in_thread=read_in_thread)
        shown = self._checked_display(
            progress, dashboard, custom_dashboard, dashboard_update_interval
        )
        run = await self._begin(copy_context(), source, shown)
        if self.collect_results:
            run.results.keep_all_failures()
        is_received = raise_failures or (return_exceptions and self.collect_results)
        run.failures.warns = not is_received
        run.read(_threaded(source, run) if read_in_thread else source, DEFAULT_PRIORITY)
        await run.wait()
        run.failures.raise_exceeded()
        results = run.results.kept()
        if raise_failures:
            _raise_failures(run, results)
        if not return_exceptions or not self.collect_results:
            return results
        return sorted(results + run.results.kept_failures(), key=lambda result: result.sequence_id)

    def stream(
        self,
        items: Source,
        progress: bool = False,
        buffer_size: int | None = None,
        *,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        read_in_thread: bool = False,
    ) -> ResultStream:
        """Return an async iterator over results, failures too, in order of completion.

        If more items fail than `max_failures` allows, it raises TooManyFailuresError after the last
        result.

        Args:
            items: as for `run`.
            progress: as for `run`.
            buffer_size: how many results may wait for the consumer; with 0, each result goes
                straight to the consumer; None means ten per worker of the last stage.
            dashboard: as for `run`.
            custom_dashboard: as for `run`.
            dashboard_update_interval: as for `run`.
            read_in_thread: as for `run`.

        Raises:
            TypeError: as from `run`.
            ValueError: `buffer_size` is not a whole number, 0 or more; or as from `run`.
        """
        if buffer_size is None:
            buffer_size = CAPACITY_PER_WORKER * self.stages[-1].workers
        if not is_count(buffer_size) or buffer_size < 0:
            raise ValueError(
                f"buffer_size of pipeline {self.name!r} is {buffer_size!r}; give the number of "
                "results that may wait, 0 or more, or None for ten per worker"
            )
        source = checked_source(items, self.name, read_in_thread=read_in_thread)
        shown = self._checked_display(
            progress, dashboard, custom_dashboard, dashboard_update_interval
        )
        context = copy_context()

        async def begin() -> Run:
            run = await self._begin(context, source, shown, buffer_size)
            reader = _threaded(source, run, context=context) if read_in_thread else source
            run.read(reader, DEFAULT_PRIORITY)
            return run

        return ResultStream(begin)

    async def start(self) -> None:
        """Start the pipeline. Then `feed` it, and end the run with `join` or `shutdown`.

        Raises:
            PipelineError: the pipeline is running already, or `feed` waits on another event loop.
        """
        run = await self._begin(copy_context())
        await run.wait_opened()

    async def feed(
        self,
        items: Source,
        target_stage: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        *,
        read_in_thread: bool = False,
    ) -> None:
        """Feed items, waiting while there is no room. This may be called before `start`.

        Called inside a task or callback of the same run, it does not wait: the items go in even
        beyond the capacity. If it is cancelled, the value read last has not been fed, except when
        an observer was just being told that it is queued; the same is true of the values that a
        thread has read ahead.

        Args:
            items: any iterable or async iterable. A dict with an "id" gives its id, its "value"
                if it has one and its other keys as metadata. An `Item` gives all of these and a
                priority. An UnprocessedItem goes back to its own stage. A failed PipelineResult
                goes back to the stage where it failed, with its value, id, metadata, priority and
                carrier.
            target_stage: name of the stage that the items enter; None for the first.
            priority: lower goes first; items of the same priority go in the order of feeding.
            read_in_thread: as for `run`, but a call that is stopped abandons the thread, too.

        Raises:
            TypeError: as from `run`.
            ValueError: there is no stage of that name, `priority` is not a number, or an item is
                the result of a success.
            PipelineError: the pipeline is about to end, was stopped during this call, or runs or
                is fed on another event loop: `start` it, and use `feed_threadsafe` there.
            TooManyFailuresError: more items failed than `max_failures` allows, and `join` or
                `shutdown` has not been called since.
        """
        source = checked_source(items, self.name, read_in_thread=read_in_thread)
        checked_priority(priority)
        self._refuse_other_loop("feed()")
        if self._has_unreported_failures():
            await self._refuse_after_failures()
        run = self._feedable() or await self._next_feedable()
        await self._feed(run, source, target_stage, priority, read_in_thread=read_in_thread)

    async def feed_async(
        self,
        items: AsyncIterable[Any],
        target_stage: str | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> None:
        """Feed items from an async iterable; the same as `feed`, errors included."""
        await self.feed(items, target_stage, priority)

    def feed_threadsafe(
        self, items: Source, target_stage: str | None = None, priority: int = DEFAULT_PRIORITY
    ) -> Future[None]:
        """Feed items to the started pipeline from any thread.

        The items are read on the run's event loop. The future is done when all are fed; cancelling
        it cancels the feeding. Do not wait for it on the run's event loop. In a thread that runs a
        task of the same run, the items do not wait for room, as with `feed` in a task.

        Args:
            items: as for `feed`.
            target_stage: as for `feed`.
            priority: as for `feed`.

        Returns:
            A `concurrent.futures.Future`; it raises what `feed` raises while it feeds.

        Raises:
            TypeError: as from `run`.
            ValueError: there is no stage of that name, or `priority` is not a number.
            PipelineError: the pipeline is not running.
        """
        source = checked_source(items, self.name)
        checked_priority(priority)
        run = self._running_run()
        if target_stage is not None:
            run.feeder.stage_named(target_stage)
        return self._call_threadsafe(run, partial(self._feed, run, source, target_stage, priority))

    async def process(self, item: Any, priority: int = DEFAULT_PRIORITY) -> PipelineResult:
        """Send one item through the started pipeline and return its result, failed or not.

        The result is only returned, not kept in `results` or `failures`. If this call is
        cancelled, the item goes on, and its result is kept like any other.

        Args:
            item: as in `feed`.
            priority: lower goes first.

        Raises:
            ValueError: `priority` is not a number, or the item is the result of a success.
            PipelineError: the pipeline is not running, is about to end, was stopped during this
                call, or runs on another event loop: use `process_threadsafe` there; or the call
                comes from one of its tasks or from the consumer of its stream.
            TooManyFailuresError: more items failed than `max_failures` allows.
        """
        checked_priority(priority)
        self._refuse_other_loop("process()")
        if self._has_unreported_failures():
            await self._refuse_after_failures()
        run = self._running_run()
        self._refuse_own_task(run, "process()", "use feed()")
        self._refuse_consumer(run, "process()")
        return await self._process(run, item, priority)

    def process_threadsafe(
        self, item: Any, priority: int = DEFAULT_PRIORITY
    ) -> Future[PipelineResult]:
        """Send one item through the started pipeline from any thread.

        Cancelling the future is like cancelling `process`. Do not wait for it on the run's event
        loop.

        Args:
            item: as in `feed`.
            priority: lower goes first.

        Returns:
            A `concurrent.futures.Future` of the item's result, failed or not; it raises what
            `process` raises while it waits.

        Raises:
            ValueError: `priority` is not a number.
            PipelineError: the pipeline is not running, or the call comes from one of its tasks.
        """
        checked_priority(priority)
        run = self._running_run()
        self._refuse_own_task(run, "process_threadsafe()", "use feed_threadsafe()")
        return self._call_threadsafe(run, partial(self._process, run, item, priority))

    async def join(self) -> None:
        """Wait until all fed items have ended, and stop.

        It also waits for calls of `feed` that have begun. Cancelling this call cancels the run.

        Raises:
            PipelineError: the pipeline is not started, runs on another event loop, or the call
                comes from one of its tasks or from the consumer of its stream.
            TooManyFailuresError: more items failed than `max_failures` allows.
            BaseException: the exception that ended the run.
        """
        run = self._run
        if run is None or not run.is_started or run.is_loop_closed:
            raise PipelineError(
                f"Pipeline {self.name!r} is not started; call start() before join()"
            )
        self._refuse_other_loop("join()")
        self._refuse_own_task(run, "join()", "call it from outside", also=run.is_own_task())
        self._refuse_consumer(run, "join()")
        run.close_input()
        run.is_joined = True
        await run.wait()
        run.failures.raise_exceeded()

    async def shutdown(
        self, drain: bool = False, timeout: float | None = None
    ) -> list[UnprocessedItem]:
        """Stop: accept no new items, wait for running attempts, and return the items left.

        A call of `run` that is under way returns the results so far; a stream ends after its last
        result. The items left are in `unprocessed`, too; `feed` takes them back.

        Args:
            drain: first finish all items that were fed.
            timeout: seconds after which attempts are cancelled, and a thread that reads the input
                is abandoned; None for no limit. The last work of plugins and displays is waited for
                in any case.

        Raises:
            ValueError: `timeout` is not a number of seconds, 0 or more.
            PipelineError: the pipeline runs on another event loop, the call comes from one of its
                workers, or the consumer of its stream calls this with `drain`.
            BaseException: the exception that ended the run, unless it was raised already.
        """
        return await self._stop(drain, timeout, returns_unprocessed=True)

    async def _stop(
        self, drain: bool, timeout: float | None, *, returns_unprocessed: bool
    ) -> list[UnprocessedItem]:
        if timeout is not None and not is_duration(timeout):
            raise ValueError(
                f"timeout of pipeline {self.name!r} is {timeout!r}; give seconds, 0 or more"
            )
        run = self._run
        if run is None or run.is_loop_closed:
            return []
        self._refuse_other_loop("shutdown()")
        if run.is_own_task():
            raise PipelineError(
                f"A worker of pipeline {self.name!r} cannot wait for shutdown(), which waits for "
                "the worker; call it from outside, or in a task that is not awaited here"
            )
        if drain:
            self._refuse_consumer(run, "shutdown(drain=True)")
        run.returns_unprocessed |= returns_unprocessed
        run.is_joined = True
        await run.stop(drain=drain, timeout=timeout)
        return unprocessed_items(run.stages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop(False, None if error is None else 0, returns_unprocessed=False)

    # What became of the items

    @property
    def results(self) -> list[PipelineResult]:
        """Successes of the last run, in input order.

        It is empty for a stream, or if results are not collected.
        """
        run = self._last()
        return run.results.kept() if run is not None else []

    @property
    def failures(self) -> list[PipelineResult]:
        """Items that failed in the last run, in input order.

        If the pipeline is fed or collects no results, only the latest 10,000 are kept. A stream
        yields its failures instead.
        """
        run = self._last()
        return run.results.kept_failures() if run is not None else []

    @property
    def unprocessed(self) -> list[UnprocessedItem]:
        """Items that the last run had accepted but not finished when it stopped."""
        run = self._last()
        return unprocessed_items(run.stages) if run is not None and run.is_over else []

    @property
    def undelivered(self) -> list[PipelineResult]:
        """Results that the last stream had not yielded when it was left, in completion order."""
        run = self._last()
        return run.results.undelivered() if run is not None else []

    # Watching

    def get_stats(self) -> PipelineStats:
        """Return the statistics of the last run, or of the next one if it has been fed already."""
        return snapshot.pipeline_stats(self._current())

    def get_worker_names(self) -> dict[str, list[str]]:
        """Return the names of all workers, by stage; this works before any run, too."""
        return {
            stage.name: [worker_name(stage, number) for number in range(stage.workers)]
            for stage in self.stages
        }

    def get_worker_states(self) -> dict[str, WorkerState]:
        """Return the present state of each worker, by the worker's name."""
        return snapshot.worker_states(self._current())

    def get_dashboard_snapshot(self) -> DashboardSnapshot:
        """Return workers, statistics and failures of the last run in one object."""
        return snapshot.dashboard_snapshot(self._current())

    def get_error_summary(self) -> ErrorSummary:
        """Return the failures of the last run: counts and details.

        The counts are exact. If not all failures are kept, the details cover the latest 10,000.
        """
        return error_summary(self._current().stages, self._current().results)

    @property
    def plugin_faults(self) -> dict[str, int]:
        """How many exceptions each plugin raised in the last run, by its name; each is logged."""
        return dict(self._current().dispatcher.faults)

    @property
    def plugin_names(self) -> tuple[str, ...]:
        """Names of the plugins, including those that took part in the last run only."""
        return tuple(self._current().lifecycle.plugins.plugins)

    def get_worker_metrics(self) -> dict[str, WorkerMetrics]:
        """Return the counts and times of each worker in the last run, by the worker's name."""
        return snapshot.worker_metrics(self._current())

    # Runs

    async def _begin(
        self,
        context: Context,
        source: Source | None = None,
        shown: tuple[DashboardProtocol, float] | None = None,
        buffer_size: float | None = None,
    ) -> Run:
        """Begin a run.

        Args:
            context: copied for each worker.
            source: what is about to be read.
            shown: a dashboard, and the seconds between its updates.
            buffer_size: results that may wait for the consumer of a stream; None if there is none.
        """
        if await self._is_taken():
            raise PipelineError(
                f"Pipeline {self.name!r} is already running; wait for its end, or make a second "
                "Pipeline of the same stages"
            )
        self._refuse_feeders_loop("start()")
        dashboard, interval = shown or (None, 0.0)
        plugins = plugin_of(dashboard, self.name)
        run = self._run = await self._startable()
        total = len(source) if isinstance(source, Sized) else None
        display = None
        if dashboard is not None:
            take = partial(snapshot.dashboard_snapshot, run)
            display = Display(dashboard, self, total, interval, take, run.abort)
        if buffer_size is not None:
            run.results.stream(buffer_size)
        run.input_fraction = InputFraction(source)
        run.is_joined = source is not None  # by the call that begins it
        run.start(context, pipeline=self, total_items=total, display=display, plugins=plugins)
        return run

    async def _startable(self) -> Run:
        """Return the run that was fed before its start, or a new one.

        Raises:
            BaseException: what has ended the one that was fed.
        """
        run = self._run
        if run is None or run.is_started:
            return self._make_run()
        if not run.is_closed:
            return run
        await run.finished.wait()
        run.raise_once()
        return self._make_run()

    def _is_running(self) -> bool:
        run = self._run
        return run is not None and run.is_started and not (run.is_over or run.is_loop_closed)

    async def _is_taken(self) -> bool:
        """Return whether a run lasts, one whose stream was left having ended."""
        await self._end_abandoned()
        return self._is_running()

    async def _end_abandoned(self) -> None:
        """Wait for the end of a run whose stream was left.

        Raises:
            PipelineError: a task of that run's own calls this.
        """
        while self._run is not None and self._run.is_abandoned and self._is_running():
            self._refuse_own_task(self._run, "the end", "begin another run from outside")
            await self._run.finished.wait()

    def _make_run(self, previous: Run | None = None) -> Run:
        run = Run(
            self.name,
            self.stages,
            self._rates,
            self._plugins,
            self.max_failures,
            collect=self.collect_results,
        )
        if previous is not None:
            run.previous, previous.previous = previous, None
        return run

    def _feedable(self) -> Run | None:
        """Return the run that lasts, if it can be fed."""
        run = self._run
        if run is not None and self._is_running() and (not run.is_abandoned or run.is_inside()):
            return run
        return None

    async def _next_feedable(self) -> Run:
        """Return a run that is to be started, once an abandoned one has ended."""
        await self._end_abandoned()
        run = self._run
        if run is None or not (self._is_running() or run.is_new):
            run = self._run = self._make_run(previous=run)
        if run.is_new:
            run.feeding_loop = get_running_loop()
        return run

    def _last(self) -> Run | None:
        """Return the last run, which one that is fed before its start does not replace."""
        run = self._run
        return run if run is None or not run.is_new else run.previous

    def _current(self) -> Run:
        """Return the run that lasts or is to be started, or else the last one."""
        if self._run is None:
            self._run = self._make_run()
        return self._run

    def _running_run(self) -> Run:
        """Return the run that lasts.

        Raises:
            PipelineError: there is none.
            TooManyFailuresError: it was stopped by failures.
        """
        run = self._run
        if run is None or run.is_abandoned or not self._is_running():
            if run is not None and run.is_over and not run.is_joined:
                run.failures.raise_exceeded()
            raise PipelineError(f"Pipeline {self.name!r} is not running; call start() first")
        return run

    async def _feed(
        self,
        run: Run,
        source: Source,
        target_stage: str | None,
        priority: int,
        *,
        read_in_thread: bool = False,
    ) -> None:
        stage = run.stages[0] if target_stage is None else run.feeder.stage_named(target_stage)
        if not run.admits():
            await self._refuse_after_failures()
        self._refuse_late(run, "feed")
        if read_in_thread:
            async with _threaded(source, run, stage) as reader:
                is_fed = await run.feeder.feed(reader, stage, priority)
        else:
            is_fed = await run.feeder.feed(source, stage, priority)
        if not is_fed:
            await self._refuse_after_failures("; the value read last was not fed")
            raise PipelineError(
                f"Pipeline {self.name!r} was stopped while it was being fed; the value read last "
                "was not fed"
            )

    async def _process(self, run: Run, item: Any, priority: int) -> PipelineResult:
        try:
            self._refuse_late(run, "process")
            return await run.feeder.process(item, priority)
        except PipelineError:
            await self._refuse_after_failures()
            raise

    def _call_threadsafe(self, run: Run, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        loop = run.loop
        if loop is None or not loop.is_running():
            raise PipelineError(
                f"The event loop of pipeline {self.name!r} is not running; call this while it is"
            )
        return run.threadsafe_calls.submit(loop, make)

    def _refuse_own_task(self, run: Run, call: str, remedy: str, *, also: bool = False) -> None:
        if not run.is_over and (also or run.reentrancy.is_inside_task()):
            raise PipelineError(
                f"A task of pipeline {self.name!r} cannot wait for {call} of the same pipeline, "
                f"which may wait for the task; {remedy}"
            )

    def _refuse_other_loop(self, call: str) -> None:
        if self._run is not None and self._run.is_on_other_loop:
            raise PipelineError(
                f"Pipeline {self.name!r} runs on another event loop than this {call}; on other "
                "loops and in other threads, use feed_threadsafe(items, ...) or "
                "process_threadsafe(item, ...), and call join() and shutdown() on the run's loop"
            )
        self._refuse_feeders_loop(call)

    def _refuse_feeders_loop(self, call: str) -> None:
        if self._run is not None and self._run.is_fed_on_other_loop:
            raise PipelineError(
                f"Pipeline {self.name!r} is not started, and feed() waits on another event loop "
                f"than this {call}; make both calls on one loop, or start() first and then use "
                "feed_threadsafe(items, ...) on other loops and in other threads"
            )

    def _refuse_consumer(self, run: Run, call: str) -> None:
        if not run.is_over and run.is_consumer():
            raise PipelineError(
                f"The consumer of a stream of pipeline {self.name!r} cannot wait for {call}, which "
                "waits for results to be taken; take them, leave the loop, or call shutdown()"
            )

    def _has_unreported_failures(self) -> bool:
        """Tell whether a run was stopped by failures, and its end has not been reported yet."""
        run = self._run
        if run is None or not run.failures.is_exceeded:
            return False
        return not (run.is_over and run.is_joined)

    async def _refuse_after_failures(self, addition: str = "") -> None:
        """Raise TooManyFailuresError where a run was stopped by failures, when it is over.

        Its own tasks may go on to feed it while it lasts: what they feed is unprocessed then. Once
        its end has been reported, what is fed is for the next run.
        """
        run = self._run
        if run is None or not self._has_unreported_failures():
            return
        if not (run.is_inside() or run.is_own_task()):
            await run.finished.wait()
            run.failures.raise_exceeded(addition)

    def _refuse_late(self, run: Run, call: str) -> None:
        if not run.admits():
            raise PipelineError(
                f"Pipeline {self.name!r} is about to end and takes no more; {call} before join() "
                "or shutdown(), or start() it again afterwards"
            )

    def _checked_display(
        self,
        progress: bool,
        dashboard: str | None,
        custom_dashboard: DashboardProtocol | None,
        seconds: float,
    ) -> tuple[DashboardProtocol, float] | None:
        """Return the dashboard that is asked for, and the seconds between its updates."""
        chosen = chosen_dashboard(
            self._plugins.dashboard,
            progress=progress,
            dashboard=dashboard,
            custom_dashboard=custom_dashboard,
        )
        if not is_positive(seconds):
            raise ValueError(
                f"dashboard_update_interval of pipeline {self.name!r} is {seconds!r}; give "
                "seconds, above 0"
            )
        return None if chosen is None else (chosen, seconds)


def _threaded(
    source: Source, run: Run, stage: StageRuntime | None = None, context: Context | None = None
) -> ThreadReader:
    """Return what reads an input in a thread.

    Args:
        source: a plain iterable.
        run: the run.
        stage: the stage that is fed; None for the first.
        context: copied for the thread; None for the present one.
    """
    threads = (stage or run.stages[0]).threads
    return ThreadReader(cast("Iterable[Any]", source), run.name, threads, context)


def _raise_failures(run: Run, results: list[PipelineResult]) -> None:
    failures = run.results.kept_failures()
    if not failures:
        return
    errors = [
        as_exception(failure.error, failure.stage)
        for failure in failures[:MOST_GROUPED_ERRORS]
        if failure.error is not None
    ]
    tally = run.failures.kept
    text = (
        f"{run.failures.summary(tally)}; see .failures and .results of this error{tally.advice()}"
    )
    raise ItemsFailedError(text, errors, results=results, failures=failures)


def _checked_stages(stages: Iterable[Stage], name: str) -> tuple[Stage, ...]:
    """Return the stages once each of them, and the chain as a whole, is valid."""
    if not isinstance(stages, Iterable):
        raise PipelineError(f"Pipeline {name!r} takes a list of stages, not {stages!r}")
    stages = tuple(stages)
    if not stages:
        raise PipelineError(f"Pipeline {name!r} must have at least one stage; give stages=[...]")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise PipelineError(
                f"Pipeline {name!r} takes a list of stages; {stage!r} is not a Stage"
            )
        stage.validate()
    if stages[0].pull:
        raise PipelineError(
            f"Stage {stages[0].name!r} cannot pull: it is the first stage, and nothing before it "
            "could wait; leave pull out"
        )
    seen: set[str] = set()
    for stage in stages:
        if stage.name in seen:
            raise StageValidationError(
                f"Duplicate stage name {stage.name!r} in pipeline {name!r}; name each differently"
            )
        seen.add(stage.name)
    return stages


def _plugin_set(
    plugins: Iterable[object], tracker: StatusTracker | None, pipeline: str, *, autoload: bool
) -> PluginSet:
    """Return who takes part in a pipeline: what is installed, what is given, and its tracker."""
    from ._plugins.discovery import INSTALLED

    given = named(plugins, pipeline)
    installed = INSTALLED.active() if autoload else NONE
    tracked = {} if tracker is None else named([tracker], pipeline)
    if not given and not tracked:
        return installed
    others = {
        name: plugin
        for name, plugin in installed.plugins.items()
        if name not in given and not any(plugin is other for other in given.values())
    }
    return PluginSet({**others, **given}).with_plugins(tracked)


@explains_keywords("Pipeline", name="_name")
class PipelineBuilder(BaseBuilder):
    """Builds a pipeline step by step; begin with `Pipeline.create`.

    Args:
        name: names the pipeline in statistics, logs and errors.
    """

    def build(self) -> Pipeline:
        """Return the pipeline.

        Raises:
            PipelineError: there is no stage, or the first one pulls, or the limit of failures is
                invalid.
            StageValidationError: a stage's configuration is invalid, or two stages have the same
                name.
        """
        return Pipeline(
            self._stages,
            self._collects,
            self._tracker,
            name=self._name,
            plugins=self._plugins,
            autoload=self._autoloads,
            max_failures=self._max_failures,
        )

    async def run(
        self,
        items: Source,
        progress: bool = False,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        *,
        return_exceptions: bool = False,
        raise_failures: bool = False,
        read_in_thread: bool = False,
    ) -> list[PipelineResult]:
        """Build the pipeline and call its `run`, with the same arguments and errors."""
        return await self.build().run(
            items,
            progress,
            dashboard,
            custom_dashboard,
            dashboard_update_interval,
            return_exceptions=return_exceptions,
            raise_failures=raise_failures,
            read_in_thread=read_in_thread,
        )

    def stream(
        self,
        items: Source,
        progress: bool = False,
        buffer_size: int | None = None,
        *,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        read_in_thread: bool = False,
    ) -> ResultStream:
        """Build the pipeline and call its `stream`, with the same arguments and errors."""
        return self.build().stream(
            items,
            progress,
            buffer_size,
            dashboard=dashboard,
            custom_dashboard=custom_dashboard,
            dashboard_update_interval=dashboard_update_interval,
            read_in_thread=read_in_thread,
        )
