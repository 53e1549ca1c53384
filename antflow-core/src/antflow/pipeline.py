"""`Pipeline`, which runs items through stages, and the builder that makes one step by step."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Sequence,
)
from concurrent.futures import Future
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, Unpack, cast, overload

from ._engine.calls import operations, snapshot
from ._engine.calls.checks import check_outside_tasks
from ._engine.calls.operations import DEFAULT_PRIORITY
from ._engine.calls.pipeline_runs import PipelineRuns
from ._engine.calls.stream import ResultStream
from ._engine.calls.sync import SyncStream, run_sync
from ._engine.channels.handle import ItemHandle
from ._engine.feeding.sources import Input, Inputs, Source, checked_source
from ._engine.running.display import DisplayRequest, requested_display
from ._engine.running.lifespan import checked_lifespan
from ._engine.running.run import Definition
from ._engine.workers.stage_runtime import (
    error_summary,
    stage_named,
    unprocessed_items,
    worker_name,
)
from ._errors.suggestions import explains_arguments
from ._errors.texts import one_line, short
from ._plugins.selection import select_plugins
from ._stats.failure_tally import checked_max_failures
from ._task_types import (
    A,
    AsyncTasks,
    B,
    C,
    D,
    Given,
    In_contra,
    Out_co,
    PlainTasks,
    Returned,
    Yielded_co,
)
from .builder import LifespanFunc, stage_of, stages_for
from .dashboards import DashboardProtocol, DashboardSnapshot, WorkerMetrics, WorkerState
from .exceptions import PipelineError
from .items import checked_priority
from .limits import Limit
from .results import ErrorSummary, PipelineResult, UnprocessedItem
from .retry import RetryWait, is_count, is_duration
from .stage import (
    CAPACITY_PER_WORKER,
    MAX_WORKERS,
    AddOptions,
    RetryMode,
    Stage,
    StageOptions,
    TaskFunc,
    chain_text,
    checked_stages,
)
from .stats import PipelineStats
from .tracker import StatusTracker

__all__ = ["Pipeline", "PipelineBuilder", "ResultStream", "Stage"]


class QuickOptions(TypedDict, total=False):
    """The keyword-only arguments of `Pipeline.quick`."""

    raise_failures: bool
    retry_wait: RetryWait | None
    task_timeout: float | None
    limits: Sequence[Limit]


@explains_arguments
class Pipeline(Generic[In_contra, Out_co]):
    """A chain of stages through which items are run, one run at a time.

    To type checkers, `Pipeline[In, Out]` takes values of type In, and its successes have values of
    type Out. Both are Any unless the pipeline is built by `create`, or its type is written.

    Args:
        stages: the steps that each item goes through, in this order.
        collect_results: keep the results of `run`, or of `start` and `feed`, in `results`.
        status_tracker: records the status of each item.
        name: names the pipeline in statistics, logs and errors.
        plugins: plugins for this pipeline, besides the installed ones; one with the same name as
            an installed plugin replaces it.
        autoload: whether installed plugins take part.
        max_failures: how many items may fail before the run is stopped: a whole number (with 0,
            the first failure stops it), or a share between 0 and 1, which is checked once 100 items
            have succeeded or failed, and at the end; None for no limit.
        lifespan: a function of the pipeline that returns an async context manager, such as one
            decorated with `contextlib.asynccontextmanager`. Each run enters it before input is
            read, and leaves it after the last worker has stopped. What it yields is `state`.

    Raises:
        PipelineError: there is no stage, the first one pulls, `name` is not a non-empty string,
            `status_tracker` is not a StatusTracker, two plugins have the same name,
            `max_failures` is neither a number of items nor a share, or `lifespan` is not a
            function of one argument.
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
        lifespan: LifespanFunc | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise PipelineError(f"A pipeline's name must be a non-empty string, not {name!r}")
        if status_tracker is not None and not isinstance(status_tracker, StatusTracker):
            raise PipelineError(
                f"status_tracker of pipeline {name!r} is {status_tracker!r}; give a StatusTracker"
            )
        definition = Definition(
            name,
            checked_stages(stages, name),
            select_plugins(plugins, status_tracker, name, autoload=autoload),
            checked_max_failures(max_failures, name),
            checked_lifespan(lifespan, name),
            collect_results,
        )
        self._runs = PipelineRuns(definition)

    @one_line
    def __repr__(self) -> str:
        state = "running" if self._runs.is_running() else "not running"
        return f"<{type(self).__name__} {short(self.name)}, {state}: {chain_text(self.stages)}>"

    # The definition

    @property
    def name(self) -> str:
        """Names the pipeline in statistics, logs and errors."""
        return self._runs.definition.name

    @name.setter
    def name(self, name: str) -> None:
        self._runs.definition.name = name

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The steps that each item goes through, in this order."""
        return self._runs.definition.stages

    @stages.setter
    def stages(self, stages: tuple[Stage, ...]) -> None:
        self._runs.definition.stages = stages

    @property
    def collect_results(self) -> bool:
        """Whether the next run keeps its results."""
        return self._runs.definition.collect_results

    @collect_results.setter
    def collect_results(self, enabled: bool) -> None:
        self._runs.definition.collect_results = enabled

    @property
    def max_failures(self) -> float | None:
        """How many items of the next run may fail before it is stopped; None for no limit."""
        return self._runs.definition.max_failures

    @max_failures.setter
    def max_failures(self, most: float | None) -> None:
        self._runs.definition.max_failures = most

    # Making one in short

    @classmethod
    def create(cls, *, name: str = "pipeline") -> EmptyBuilder:
        """Begin to build a pipeline, stage by stage.

        Args:
            name: names the pipeline in statistics, logs and errors.
        """
        return cast("EmptyBuilder", PipelineBuilder(name))

    @overload
    @classmethod
    async def quick(
        cls,
        items: Source,
        tasks: AsyncTasks[Returned, Yielded_co, A, B, C, D],
        workers: int = 5,
        retries: int = 3,
        progress: bool = False,
        dashboard: str | None = None,
        **options: Unpack[QuickOptions],
    ) -> list[PipelineResult[Returned]]: ...

    @overload
    @classmethod
    async def quick(
        cls,
        items: Source,
        tasks: PlainTasks[Returned, Yielded_co, A, B, C, D],
        workers: int = 5,
        retries: int = 3,
        progress: bool = False,
        dashboard: str | None = None,
        **options: Unpack[QuickOptions],
    ) -> list[PipelineResult[Returned]]: ...

    @overload
    @classmethod
    async def quick(
        cls,
        items: Source,
        tasks: list[TaskFunc],
        workers: int = 5,
        retries: int = 3,
        progress: bool = False,
        dashboard: str | None = None,
        **options: Unpack[QuickOptions],
    ) -> list[PipelineResult]: ...

    @classmethod
    @explains_arguments
    async def quick(
        cls,
        items: Source,
        tasks: TaskFunc | list[TaskFunc] | tuple[TaskFunc, ...],
        workers: int = 5,
        retries: int = 3,
        progress: bool = False,
        dashboard: str | None = None,
        *,
        raise_failures: bool = False,
        retry_wait: RetryWait | None = None,
        task_timeout: float | None = None,
        limits: Sequence[Limit] = (),
    ) -> list[PipelineResult]:
        """Run items through one task, or through several in order, each a stage of its own.

        A stage is named after its task: `fetch_data` is "FetchData", a second one "FetchData2".

        Args:
            items: as for `run`.
            tasks: one task, or a list or tuple of tasks. Type checkers know the types of one task,
                and of a tuple of up to five.
            workers: number of workers of each stage.
            retries: the most attempts of each task, the first included.
            progress: as for `run`.
            dashboard: as for `run`.
            raise_failures: as for `run`.
            retry_wait: how long an item waits for its next attempt, as for Stage; None for a
                second.
            task_timeout: seconds that one attempt at a task may take, as for Stage; None for no
                limit.
            limits: of each stage, as for Stage: how many attempts may start, and run at once.

        Returns:
            The successes in input order.

        Raises:
            PipelineError: there is no task.
            ItemsFailedError: as from `run`.
            StageValidationError: `workers` or `retries` is not a whole number above 0, or
                `retry_wait`, `task_timeout` or `limits` is invalid.
            ValueError: as from `run`.
        """
        stages = stages_for(
            tasks, workers, retries, retry_wait=retry_wait, task_timeout=task_timeout, limits=limits
        )
        pipeline: Pipeline = cls(stages)
        return await pipeline.run(items, progress, dashboard, raise_failures=raise_failures)

    # Running

    @explains_arguments
    async def run(
        self,
        items: Inputs[In_contra],
        progress: bool = False,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        *,
        return_exceptions: bool = False,
        raise_failures: bool = False,
        read_in_thread: bool = False,
    ) -> list[PipelineResult[Out_co]]:
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
                ended; or one that ended the run, such as a KeyboardInterrupt in a task; or one of
                the lifespan: on entering, before an item is read, or on leaving, with the results
                in `results`.
        """
        if return_exceptions and raise_failures:
            raise ValueError(
                "Cannot use both return_exceptions, which returns failures, and raise_failures, "
                f"which raises them, in a run of pipeline {self.name!r}; leave one out"
            )
        # All arguments are checked before the run begins, so that an error leaves nothing behind.
        source = checked_source(items, self.name, read_in_thread=read_in_thread)
        display = self._requested_display(
            progress, dashboard, custom_dashboard, dashboard_update_interval
        )
        run = await self._runs.begin(self, copy_context(), source, display)
        return await operations.read_all(
            run,
            source,
            returns_failures=return_exceptions,
            raises_failures=raise_failures,
            collects=self.collect_results,
            read_in_thread=read_in_thread,
        )

    def stream(
        self,
        items: Inputs[In_contra],
        progress: bool = False,
        buffer_size: int | None = None,
        *,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        read_in_thread: bool = False,
    ) -> ResultStream[Out_co]:
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
        if buffer_size is None:  # as the default capacity of a stage
            buffer_size = CAPACITY_PER_WORKER * self.stages[-1].workers
        if not is_count(buffer_size, 0):
            raise ValueError(
                f"buffer_size of pipeline {self.name!r} is {buffer_size!r}; give the number of "
                "results that may wait, 0 or more, or None for ten per worker"
            )
        source = checked_source(items, self.name, read_in_thread=read_in_thread)
        display = self._requested_display(
            progress, dashboard, custom_dashboard, dashboard_update_interval
        )
        # Arguments are checked, and the context is copied, here: in the call of the user, not at
        # the first result.
        begin = partial(
            self._runs.begin_stream,
            self,
            copy_context(),
            source,
            display,
            buffer_size,
            read_in_thread=read_in_thread,
        )
        return ResultStream(begin)

    def run_sync(
        self,
        items: Inputs[In_contra],
        progress: bool = False,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        *,
        return_exceptions: bool = False,
        raise_failures: bool = False,
        read_in_thread: bool = False,
    ) -> list[PipelineResult[Out_co]]:
        """Call `run` from a script, a notebook or a thread, and wait for it.

        Without a running event loop, the run has one of its own in this thread, as by
        `asyncio.run`. Where one is running, as in a notebook, the run has a loop in a thread of its
        own, and this call blocks the running one; in a coroutine, await `run` instead. Tasks see
        the caller's context variables. Ctrl-C cancels the run, and is raised when it has ended.

        Args:
            items: as for `run`, and so are the other arguments.

        Raises:
            PipelineError: as from `run`, also if a task calls this for its own pipeline.
            KeyboardInterrupt: Ctrl-C was pressed.
            BaseException: as from `run`.
        """
        return run_sync(
            partial(
                self.run,
                items,
                progress,
                dashboard,
                custom_dashboard,
                dashboard_update_interval,
                return_exceptions=return_exceptions,
                raise_failures=raise_failures,
                read_in_thread=read_in_thread,
            ),
            self.name,
        )

    def stream_sync(
        self,
        items: Inputs[In_contra],
        progress: bool = False,
        buffer_size: int | None = None,
        *,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        read_in_thread: bool = False,
    ) -> Generator[PipelineResult[Out_co], None, None]:
        """Return a generator of results, as `stream` yields them, for a plain `for` loop.

        The run begins when the first result is asked for, on an event loop in a thread of its own.
        It goes on between results, until `buffer_size` of them wait. Leaving the loop by `break` or
        an exception cancels the run and waits for its end, at most 5 seconds if a reference to the
        generator is merely dropped; so does `close`, or the exit of the interpreter, without a
        limit. Ctrl-C during a wait does so, too, and is raised afterwards.

        Args:
            items: as for `run`; a plain iterable is read in the thread of the loop.
            buffer_size: as for `stream`, and so are the other arguments.

        Raises:
            TypeError: as from `stream`.
            ValueError: as from `stream`.
        """
        stream = self.stream(
            items,
            progress,
            buffer_size,
            dashboard=dashboard,
            custom_dashboard=custom_dashboard,
            dashboard_update_interval=dashboard_update_interval,
            read_in_thread=read_in_thread,
        )
        return SyncStream(stream, self.name)

    async def start(self) -> None:
        """Start the pipeline. Then `feed` it, and end the run with `join` or `shutdown`.

        Raises:
            PipelineError: the pipeline is running already, or `feed` waits on another event loop.
            BaseException: what the lifespan raised on entering; items that were fed before are in
                `unprocessed`.
        """
        run = await self._runs.begin(self, copy_context())
        await run.wait_opened()  # so that errors at the beginning are raised here, not by `join`

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
        an observer of its "queued" event was just running; the same is true of the values that a
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
        run = await self._runs.to_feed()
        await operations.feed(run, source, target_stage, priority, read_in_thread=read_in_thread)

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
        run = self._runs.active()
        if target_stage is not None:
            stage_named(run.stages, target_stage, self.name)  # raises here, not only in the future
        make = partial(operations.feed, run, source, target_stage, priority)
        return operations.call_threadsafe(run, make)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Start the pipeline, and stop it at the end of the block: `async with p.running():`.

        At the end all items that were fed or submitted are finished. After an exception in the
        block, attempts are cancelled at once, and the items left are in `unprocessed`.

        Raises:
            PipelineError: as from `start`.
            TooManyFailuresError: more items failed than `max_failures` allows.
            BaseException: the exception that ended the run.
        """
        await self.start()
        try:
            yield self
        except BaseException:
            await operations.stop(
                self._runs.latest, drain=False, timeout=0, returns_unprocessed=False
            )
            raise
        await operations.drain(self._runs.latest)

    async def submit(
        self,
        item: Input[In_contra],
        priority: int = DEFAULT_PRIORITY,
        *,
        expires_in: float | None = None,
    ) -> ItemHandle[Out_co]:
        """Send one item through the started pipeline; return its handle as soon as it is accepted.

        This waits while there is no room, except in a task of the same run, as `feed` does.

        Args:
            item: as in `feed`.
            priority: lower goes first.
            expires_in: seconds after which the item is dropped, with the reason "expired", if it
                waits then: in front of a stage, for a retry or for a limit. An attempt that runs
                then may end; if the item has to wait after that, it is dropped. None for no limit.

        Returns:
            A handle: await it for the item's result, or cancel the item with it.

        Raises:
            ValueError: `priority` is not a number, `expires_in` is not a number of seconds, 0 or
                more, or the item is the result of a success.
            PipelineError: the pipeline is not running, is about to end, was stopped during this
                call, or runs on another event loop.
            TooManyFailuresError: more items failed than `max_failures` allows.
        """
        checked_priority(priority)
        self._check_expiry(expires_in)
        ready = self._runs.with_room()
        if ready is not None:
            handle = ready.submitter.submit_at_once(item, priority, expires_in)
            if handle is not None:
                return handle
        run = await self._runs.to_submit()
        return await operations.submit(run, item, priority, expires_in)

    def submit_nowait(
        self,
        item: Input[In_contra],
        priority: int = DEFAULT_PRIORITY,
        *,
        expires_in: float | None = None,
    ) -> ItemHandle[Out_co]:
        """Send one item through the started pipeline, if there is room, and return its handle.

        Args:
            item: as in `feed`.
            priority: lower goes first.
            expires_in: as for `submit`.

        Raises:
            PipelineFullError: there is no room in front of the item's stage.
            ValueError: as from `submit`.
            PipelineError: as from `submit`.
        """
        checked_priority(priority)
        self._check_expiry(expires_in)
        run = self._runs.with_room() or self._runs.to_submit_nowait()
        return run.submitter.submit_nowait(item, priority, expires_in)

    def _check_expiry(self, seconds: float | None) -> None:
        if seconds is not None and not is_duration(seconds):
            raise ValueError(
                f"expires_in of pipeline {self.name!r} is {seconds!r}; give seconds, 0 or more, or "
                "None"
            )

    async def process(
        self,
        item: Input[In_contra],
        priority: int = DEFAULT_PRIORITY,
        *,
        expires_in: float | None = None,
    ) -> PipelineResult[Out_co]:
        """Send one item through the started pipeline and return its result, failed or not.

        The result is only returned, not kept in `results` or `failures`. If this call is
        cancelled, the item goes on, and its result is kept like any other.

        Args:
            item: as in `feed`.
            priority: lower goes first.
            expires_in: as for `submit`; the result of an item that expired is "dropped".

        Raises:
            ValueError: as from `submit`.
            PipelineError: the pipeline is not running, is about to end, was stopped during this
                call, or runs on another event loop: use `process_threadsafe` there; or the call
                comes from one of its tasks or from the consumer of its stream.
            TooManyFailuresError: more items failed than `max_failures` allows.
        """
        checked_priority(priority)
        self._check_expiry(expires_in)
        run = await self._runs.to_process()
        return await operations.process(run, item, priority, expires_in)

    def process_threadsafe(
        self,
        item: Input[In_contra],
        priority: int = DEFAULT_PRIORITY,
        *,
        expires_in: float | None = None,
    ) -> Future[PipelineResult[Out_co]]:
        """Send one item through the started pipeline from any thread.

        Cancelling the future is like cancelling `process`. Do not wait for it on the run's event
        loop.

        Args:
            item: as in `feed`.
            priority: lower goes first.
            expires_in: as for `process`.

        Returns:
            A `concurrent.futures.Future` of the item's result, failed or not; it raises what
            `process` raises while it waits.

        Raises:
            ValueError: `priority` is not a number, or `expires_in` is not a number of seconds.
            PipelineError: the pipeline is not running, or the call comes from one of its tasks.
        """
        checked_priority(priority)
        self._check_expiry(expires_in)
        run = self._runs.active()
        # A plain task runs in a thread with its context, so it is recognised there, too.
        check_outside_tasks(run, "process_threadsafe()", "use feed_threadsafe()")
        make = partial(operations.process, run, item, priority, expires_in)
        return operations.call_threadsafe(run, make)

    def set_workers(self, stage: str, n: int) -> None:
        """Set how many workers a stage has, for the rest of the active run.

        More workers start as soon as there are items for them. Of workers that are too many, those
        that are idle stop at once, and others when they are done with their item; until then, no
        attempt begins in the stage. The capacity of its queue stays, and the next run begins with
        the number of the definition.

        Statistics show the workers that are there, so one that has to stop until it has stopped.
        New workers get the lowest free numbers, so a run has only as many names as it had workers
        at once. When a new worker gets a name that was used before, its counts continue.

        Args:
            stage: name of the stage.
            n: number of its workers, from 1 to 100,000.

        Raises:
            ValueError: there is no stage of that name, or `n` is not such a number.
            PipelineError: the pipeline is not running, is about to end, or this is not called on
                the event loop of its run: in another thread, use
                `loop.call_soon_threadsafe(pipeline.set_workers, stage, n)`.
            TooManyFailuresError: more items failed than `max_failures` allows.
        """
        if not is_count(n, 1) or n > MAX_WORKERS:
            raise ValueError(
                f"Stage {short(stage)} of pipeline {self.name!r} cannot have {short(n)} workers; "
                f"give a whole number from 1 to {MAX_WORKERS:,}"
            )
        operations.set_workers(self._runs.active(), stage, n)

    async def join(self) -> None:
        """Wait until all fed items have ended, and stop.

        It also waits for calls of `feed` that have begun. Cancelling this call cancels the run.

        Raises:
            PipelineError: the pipeline is not started, runs on another event loop, or the call
                comes from one of its tasks or from the consumer of its stream.
            TooManyFailuresError: more items failed than `max_failures` allows.
            BaseException: the exception that ended the run.
        """
        await operations.join(self._runs.to_join())

    async def shutdown(
        self, drain: bool = False, timeout: float | None = None
    ) -> list[UnprocessedItem]:
        """Stop: accept no new items, wait for running attempts, and return the items left.

        A call of `run` that is under way returns the results so far; a stream ends after its last
        result. The items left are in `unprocessed`, too; `feed` takes them back.

        Args:
            drain: first finish all items that were fed.
            timeout: seconds after which attempts are cancelled, and a thread that reads the input
                is abandoned; None for no limit. The last work of plugins is waited for in any case,
                and that of a display for 5 seconds a call.

        Raises:
            ValueError: `timeout` is not a number of seconds, 0 or more.
            PipelineError: the pipeline runs on another event loop, one of its workers waits for
                this call, or the consumer of its stream calls this with `drain`.
            BaseException: the exception that ended the run, unless it was raised already.
        """
        if timeout is not None and not is_duration(timeout):
            raise ValueError(
                f"timeout of pipeline {self.name!r} is {timeout!r}; give seconds, 0 or more"
            )
        return await operations.stop(
            self._runs.latest, drain=drain, timeout=timeout, returns_unprocessed=True
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # An error in the block cancels attempts at once; without one they may end.
        timeout = None if error is None else 0
        await operations.stop(
            self._runs.latest, drain=False, timeout=timeout, returns_unprocessed=False
        )

    # Results of the last run

    @property
    def results(self) -> list[PipelineResult[Out_co]]:
        """Successes of the last run, in input order.

        It is empty for a stream, or if results are not collected.
        """
        run = self._runs.last_started()
        return run.results.kept() if run is not None else []

    @property
    def failures(self) -> list[PipelineResult]:
        """Items that failed in the last run, in input order.

        If the pipeline is fed or collects no results, only the latest 10,000 are kept. A stream
        yields its failures instead.
        """
        run = self._runs.last_started()
        return run.results.kept_failures() if run is not None else []

    @property
    def unprocessed(self) -> list[UnprocessedItem]:
        """Items that the last run had accepted but not finished when it stopped."""
        run = self._runs.last_started()
        return unprocessed_items(run.stages) if run is not None and run.is_over else []

    @property
    def undelivered(self) -> list[PipelineResult[Out_co]]:
        """Results that the last stream had not yielded when it was closed, in completion order."""
        run = self._runs.last_started()
        return run.results.undelivered() if run is not None else []

    # Statistics and state

    @property
    def is_running(self) -> bool:
        """Whether a run is active, so that no other can begin before it has ended.

        A run whose stream was dropped does not count: the next run waits for its end.
        """
        run = self._runs.latest
        return run is not None and self._runs.is_running() and not run.is_abandoned

    @property
    def state(self) -> Any:
        """What the lifespan of the active run yielded.

        It is None before and after the run, and without a lifespan.
        """
        run = self._runs.latest
        return None if run is None else run.state

    @property
    def run_id(self) -> str:
        """Identifies the run of `get_stats`, across processes; its events have the same one."""
        return self._runs.to_read().dispatcher.run_id

    def get_stats(self) -> PipelineStats:
        """Return the statistics of the last run, or of the next one if it has been fed already."""
        return snapshot.pipeline_stats(self._runs.to_read())

    def get_worker_names(self) -> dict[str, list[str]]:
        """Return the names of all workers, by stage, now or in the last run, or before any."""
        run = self._runs.latest
        if run is None:  # not to make one
            return {
                stage.name: [worker_name(stage, number) for number in range(stage.workers)]
                for stage in self.stages
            }
        return {team.stage.name: [name for name, _ in team.listed()] for team in run.workers.teams}

    def get_worker_states(self) -> dict[str, WorkerState]:
        """Return the present state of each worker, by the worker's name."""
        return snapshot.worker_states(self._runs.to_read())

    def get_dashboard_snapshot(self) -> DashboardSnapshot:
        """Return workers, statistics and failures of the last run in one object."""
        return snapshot.dashboard_snapshot(self._runs.to_read())

    def get_error_summary(self) -> ErrorSummary:
        """Return the failures of the last run: counts and details.

        The counts are exact. If not all failures are kept, the details cover the latest 10,000.
        """
        run = self._runs.to_read()
        return error_summary(run.stages, run.results)

    @property
    def plugin_faults(self) -> dict[str, int]:
        """How many exceptions each plugin raised in the last run, by the plugin's name.

        The first exception of each hook is logged.
        """
        return dict(self._runs.to_read().dispatcher.faults)

    def _on_fault(self, listener: Callable[[str], None]) -> None:  # for `antflow.exporting`
        """Call a function with the plugin's name at each further exception in the present run."""
        self._runs.to_read().dispatcher.fault_listeners.append(listener)

    @property
    def plugin_names(self) -> tuple[str, ...]:
        """Names of the plugins, including those that took part in the last run only."""
        return tuple(self._runs.to_read().lifecycle.plugins.plugins)

    def get_worker_metrics(self) -> dict[str, WorkerMetrics]:
        """Return the counts and times of each worker in the last run, by the worker's name."""
        return snapshot.worker_metrics(self._runs.to_read())

    # For other modules of the package

    def _requested_display(
        self,
        progress: bool,
        dashboard: str | None,
        custom_dashboard: DashboardProtocol | None = None,
        interval: float = 0.5,
    ) -> DisplayRequest | None:
        return requested_display(
            self._runs.definition.plugins.dashboard,
            self.name,
            progress=progress,
            dashboard=dashboard,
            custom_dashboard=custom_dashboard,
            interval=interval,
        )


class PipelineBuilder(Generic[In_contra, Out_co]):
    """Builds a pipeline step by step; begin with `Pipeline.create`.

    Args:
        name: names the pipeline in statistics, logs and errors.
    """

    def __init__(self, name: str = "pipeline") -> None:
        self._name = name
        self._stages: list[Stage] = []
        self._plugins: list[object] = []
        self._options: dict[str, Any] = {}  # other keywords of Pipeline

    @one_line
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {short(self._name)}: {chain_text(self._stages)}>"

    @overload
    def add(
        self,
        name: str,
        task: Callable[[Out_co], Awaitable[Returned]],
        /,
        **options: Unpack[AddOptions],
    ) -> PipelineBuilder[In_contra, Returned]: ...

    @overload
    def add(
        self, name: str, task: Callable[[Out_co], Returned], /, **options: Unpack[AddOptions]
    ) -> PipelineBuilder[In_contra, Returned]: ...

    # With several tasks, `unpack_args` or `skip_if`, the types are Any.
    @overload
    def add(
        self,
        name: str,
        first: TaskFunc,
        second: TaskFunc,
        /,
        *tasks: TaskFunc,
        unpack_args: bool = False,
        skip_if: Callable[[Any], Any] | None = None,
        **options: Unpack[AddOptions],
    ) -> PipelineBuilder[In_contra, Any]: ...

    @overload
    def add(
        self,
        name: str,
        /,
        *tasks: TaskFunc,
        unpack_args: bool,
        skip_if: Callable[[Any], Any] | None = None,
        **options: Unpack[AddOptions],
    ) -> PipelineBuilder[In_contra, Any]: ...

    @overload
    def add(
        self,
        name: str,
        /,
        *tasks: TaskFunc,
        skip_if: Callable[[Any], Any] | None,
        **options: Unpack[AddOptions],
    ) -> PipelineBuilder[In_contra, Any]: ...

    def add(
        self,
        name: str,
        *tasks: TaskFunc,
        workers: int = 5,
        retries: int = 3,
        retry_policy: RetryMode = "per_task",
        **others: Unpack[StageOptions],
    ) -> PipelineBuilder[Any, Any]:
        """Add a stage at the end.

        Args:
            name: the stage's name.
            tasks: run in order on each item.
            workers: how many items the stage works on at once.
            retries: the most attempts, the first included: at each task or, with "per_stage", at
                the whole stage.
            retry_policy: "per_task" or "per_stage".
            others: any other fields of Stage.

        Raises:
            StageValidationError: `others` has a name that is not a field of Stage; it is a
                TypeError too.
        """
        self._stages.append(stage_of(name, tasks, workers, retries, retry_policy, **others))
        return self

    def with_tracker(self, tracker: StatusTracker) -> Self:
        """Use this StatusTracker."""
        return self._with(status_tracker=tracker)

    def with_plugins(self, *plugins: object, autoload: bool | None = None) -> Self:
        """Add plugins to the installed ones.

        Args:
            plugins: the plugins; one with the same name as an installed plugin replaces it.
            autoload: whether installed plugins take part; None leaves the setting as it is.
        """
        self._plugins += plugins
        return self if autoload is None else self._with(autoload=autoload)

    def with_max_failures(self, most: float | None) -> Self:
        """Stop a run when more items than this have failed.

        Args:
            most: a whole number of items, or a share between 0 and 1, as for `Pipeline`.
        """
        return self._with(max_failures=most)

    def with_lifespan(self, lifespan: LifespanFunc | None) -> Self:
        """Open before each run, and close after it, what its tasks need, such as a database pool.

        Args:
            lifespan: a function of the pipeline that returns an async context manager, as for
                `Pipeline`.
        """
        return self._with(lifespan=lifespan)

    def collect_results(self, enabled: bool = True) -> Self:
        """Set whether the pipeline keeps results."""
        return self._with(collect_results=enabled)

    def _with(self, **options: Any) -> Self:
        self._options |= options
        return self

    def build(self) -> Pipeline[In_contra, Out_co]:
        """Return the pipeline.

        Raises:
            PipelineError: there is no stage, or the first one pulls, or the limit of failures or
                the lifespan is invalid.
            StageValidationError: a stage's configuration is invalid, or two stages have the same
                name.
        """
        return Pipeline(self._stages, name=self._name, plugins=self._plugins, **self._options)

    async def run(
        self,
        items: Inputs[In_contra],
        progress: bool = False,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        *,
        return_exceptions: bool = False,
        raise_failures: bool = False,
        read_in_thread: bool = False,
    ) -> list[PipelineResult[Out_co]]:
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
        items: Inputs[In_contra],
        progress: bool = False,
        buffer_size: int | None = None,
        *,
        dashboard: str | None = None,
        custom_dashboard: DashboardProtocol | None = None,
        dashboard_update_interval: float = 0.5,
        read_in_thread: bool = False,
    ) -> ResultStream[Out_co]:
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


class EmptyBuilder(PipelineBuilder):
    """A PipelineBuilder without a stage, as type checkers see it: its first task says what In is.

    There is no object of this class, since a builder does not change its class when it is used.
    """

    @overload
    def add(
        self,
        name: str,
        task: Callable[[Given], Awaitable[Returned]],
        /,
        **options: Unpack[AddOptions],
    ) -> PipelineBuilder[Given, Returned]: ...

    @overload
    def add(
        self, name: str, task: Callable[[Given], Returned], /, **options: Unpack[AddOptions]
    ) -> PipelineBuilder[Given, Returned]: ...

    @overload
    def add(
        self,
        name: str,
        /,
        *tasks: TaskFunc,
        workers: int = 5,
        retries: int = 3,
        retry_policy: RetryMode = "per_task",
        **others: Unpack[StageOptions],
    ) -> PipelineBuilder: ...

    def add(self, name: str, *tasks: TaskFunc, **options: Any) -> PipelineBuilder:
        """Add the first stage, as `PipelineBuilder.add` does."""
        return super().add(name, *tasks, **options)
