"""Pipeline: the face of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sized
from contextvars import Context, copy_context
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

from . import _snapshot
from ._display import Display, chosen_dashboard
from ._intake import Source
from ._item import checked_priority
from ._limits import Rates
from ._results import MOST_KEPT_FAILURES, Results
from ._run import Run
from ._stage_run import worker_name
from ._stream import ResultStream
from .builder import Draft, stages_for
from .exceptions import PipelineError, StageValidationError
from .plugins import NONE, PluginSet, named, plugin_of
from .stage import CAPACITY_PER_WORKER, Stage, is_count, is_duration, is_positive
from .tracker import StatusTracker
from .types import (
    DashboardProtocol,
    DashboardSnapshot,
    ErrorSummary,
    PipelineResult,
    PipelineStats,
    TaskFunc,
    UnprocessedItem,
    WorkerMetrics,
    WorkerState,
)

__all__ = ["Pipeline", "PipelineBuilder", "Stage"]

DEFAULT_PRIORITY = 100


class Pipeline:
    """A chain of stages, and at most one run through it at a time.

    Args:
        stages: what is done to each item, in this order.
        collect_results: keep the results of `run`, or of `start` and `feed`, in `results`.
        status_tracker: told what happens to each item.
        name: names the pipeline in statistics, logs and errors.
        plugins: take part besides those that are installed, and instead of those of their names.
        autoload: have the plugins that are installed take part.

    Raises:
        PipelineError: there is no stage, the first one pulls, `name` is empty or no text,
            `status_tracker` is no StatusTracker, or two plugins have one name.
        StageValidationError: a stage contradicts itself, or two have one name.
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
    ) -> None:
        if not isinstance(name, str) or not name:
            raise PipelineError(f"A pipeline's name must be a text that is not empty, not {name!r}")
        if status_tracker is not None and not isinstance(status_tracker, StatusTracker):
            raise PipelineError(
                f"status_tracker of pipeline {name!r} is {status_tracker!r}; give a StatusTracker"
            )
        self.stages = _checked_stages(stages, name)
        self.collect_results = collect_results
        self.name = name
        self._plugins = _plugin_set(plugins, status_tracker, name, autoload=autoload)
        self._rates = Rates()
        self._run: Run | None = None  # the last that began
        self._coming: Run | None = None  # fed before its start
        self._blank: Run | None = None  # to be read before there is any, and never run

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
    ) -> list[PipelineResult]:
        """Run items through one task, or through several in order, each a stage of its own.

        A stage is named after its task: `fetch_data` is "FetchData", a second one "FetchData2".

        Args:
            items: as for `run`.
            tasks: one task, or a list of tasks.
            workers: of each stage.
            retries: the most attempts of each task, the first included.
            progress: as for `run`.
            dashboard: as for `run`.

        Returns:
            The successes in input order.

        Raises:
            PipelineError: there is no task.
            StageValidationError: `workers` or `retries` is no number above 0.
            ValueError: as from `run`.
        """
        pipeline = cls(stages_for(tasks, workers, retries))
        return await pipeline.run(items, progress, dashboard)

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
    ) -> list[PipelineResult]:
        """Run all items through the pipeline and return the successes in input order.

        What fails is in `failures`. Cancelling this call cancels all that runs.

        Args:
            items: any iterable or async iterable, read only as fast as there is room.
            progress: show a progress bar.
            dashboard: name of an installed dashboard; antflow-rich has "compact", "detailed" and
                "full".
            custom_dashboard: a dashboard of your own.
            dashboard_update_interval: seconds between its updates.
            return_exceptions: return failures too, each in its place. Without
                `collect_results` nothing is returned, and failures are in `failures` only.

        Raises:
            TypeError: `items` cannot be iterated over.
            ValueError: two displays are asked for, or one that is not installed, or the interval
                is no number of seconds.
            PluginError: the dashboard has hooks that cannot take part, or a plugin raised where
                `ANTFLOW_STRICT_PLUGINS` does not forgive that.
            PipelineError: the pipeline is running already.
            BaseException: what the input raised, after what was read has ended; or what ended
                the run, as a KeyboardInterrupt in a task does.
        """
        source = self._checked_source(items)
        shown = self._checked_display(
            progress, dashboard, custom_dashboard, dashboard_update_interval
        )
        run = await self._begin(self._collector(most_failures=None), source=source, shown=shown)
        run.read(source, DEFAULT_PRIORITY)
        await run.wait()
        results = run.results.kept()
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
    ) -> ResultStream:
        """Return an async iterator over results, failures too, in order of completion.

        Args:
            items: as for `run`.
            progress: as for `run`.
            buffer_size: results that may wait for the consumer; 0 hands each over directly, None
                stands for ten per worker of the last stage.
            dashboard: as for `run`.
            custom_dashboard: as for `run`.
            dashboard_update_interval: as for `run`.

        Raises:
            TypeError: `items` cannot be iterated over.
            ValueError: `buffer_size` is no number of results, or as from `run`.
        """
        if buffer_size is None:
            buffer_size = CAPACITY_PER_WORKER * self.stages[-1].workers
        if not is_count(buffer_size) or buffer_size < 0:
            raise ValueError(
                f"buffer_size of pipeline {self.name!r} is {buffer_size!r}; give the number of "
                "results that may wait, 0 or more, or None for ten per worker"
            )
        source = self._checked_source(items)
        shown = self._checked_display(
            progress, dashboard, custom_dashboard, dashboard_update_interval
        )
        context = copy_context()

        async def begin() -> Run:
            results = Results.for_stream(self.stages[-1].name, buffer_size)
            run = await self._begin(results, context, source, shown)
            run.read(source, DEFAULT_PRIORITY)
            return run

        return ResultStream(begin)

    async def start(self) -> None:
        """Start the pipeline; `feed` it then, and end it by `join` or `shutdown`.

        Raises:
            PipelineError: it is running already.
        """
        run = await self._begin(self._collector(most_failures=MOST_KEPT_FAILURES))
        await run.opened()

    async def feed(
        self, items: Source, target_stage: str | None = None, priority: int = DEFAULT_PRIORITY
    ) -> None:
        """Feed items, waiting for room; before `start`, too.

        From inside of a task or callback of the same run it does not wait: the items go in past
        the capacity. If it is cancelled, the value that it had just read has not been fed, unless
        an observer was being told that it is queued: then it has.

        Args:
            items: any iterable or async iterable. A dict with an "id" gives its id, its "value"
                if it has one and its other keys as metadata. An UnprocessedItem goes back to its
                own stage.
            target_stage: name of the stage that they enter; None for the first.
            priority: lower first; first come, first served within one priority.

        Raises:
            TypeError: `items` cannot be iterated over.
            ValueError: there is no stage of that name, or `priority` is no number.
            PipelineError: the pipeline is about to end, or was stopped meanwhile.
        """
        source = self._checked_source(items)
        checked_priority(priority)
        run = self._feedable()
        post = run.posts[0] if target_stage is None else run.intake.post_of(target_stage)
        self._refuse_late(run, "feed")
        if not await run.intake.feed(source, post, priority):
            raise PipelineError(
                f"Pipeline {self.name!r} was stopped while it was being fed; the value read last "
                "was not fed"
            )

    async def feed_async(
        self,
        items: AsyncIterable[Any],
        target_stage: str | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> None:
        """Feed items from an async iterable, as `feed` does, which raises the same."""
        await self.feed(items, target_stage, priority)

    async def process(self, item: Any, priority: int = DEFAULT_PRIORITY) -> PipelineResult:
        """Send one item through the started pipeline and return its result, failed or not.

        The result is kept nowhere else. If this call is cancelled the item goes on, and its
        result is kept like any other.

        Args:
            item: as in `feed`.
            priority: lower first.

        Raises:
            ValueError: `priority` is no number.
            PipelineError: the pipeline is not running, is about to end, was stopped meanwhile, or
                the call comes from one of its tasks or from the consumer of its stream.
        """
        checked_priority(priority)
        run = self._run
        if run is None or run.is_over or run.is_abandoned or run.is_lost():
            raise PipelineError(f"Pipeline {self.name!r} is not running; call start() first")
        self._refuse_own_task(run, "process()", "use feed()")
        self._refuse_consumer(run, "process()")
        self._refuse_late(run, "process")
        return await run.intake.process(item, priority)

    async def join(self) -> None:
        """Wait until everything fed has ended, and stop.

        Feeds that have begun are waited for. Cancelling this call cancels all that runs.

        Raises:
            PipelineError: the pipeline is not started, or a task of its own or the consumer of its
                stream calls this.
            BaseException: what ended the run.
        """
        run = self._run
        if run is None or run.is_lost() or (run.is_over and self._coming is not None):
            raise PipelineError(
                f"Pipeline {self.name!r} is not started; call start() before join()"
            )
        self._refuse_own_task(run, "join()", "call it from outside", also=run.is_own_task())
        self._refuse_consumer(run, "join()")
        run.seal()
        await run.wait()

    async def shutdown(
        self, drain: bool = False, timeout: float | None = None
    ) -> list[UnprocessedItem]:
        """Stop: take no new items, let attempts that run end, and return what is left.

        A `run` that goes on meanwhile returns what it has; a stream ends after its last result.

        Args:
            drain: finish everything fed first.
            timeout: seconds after which attempts are cancelled; None for no limit. What plugins
                and a display do at the end is waited for.

        Raises:
            ValueError: `timeout` is no number of seconds.
            PipelineError: a worker of the pipeline's own calls this, or the consumer of its stream
                asks to drain.
            BaseException: what ended the run, unless it was raised already.
        """
        if timeout is not None and not is_duration(timeout):
            raise ValueError(
                f"timeout of pipeline {self.name!r} is {timeout!r}; give seconds, 0 or more"
            )
        run = self._coming or self._run
        if run is None or run.is_lost():
            return []
        if run.is_own_task():
            raise PipelineError(
                f"A worker of pipeline {self.name!r} cannot wait for shutdown(), which waits for "
                "the worker; call it from outside, or in a task that is not awaited here"
            )
        if drain:
            self._refuse_consumer(run, "shutdown(drain=True)")
        if run is self._coming:
            await self._end_abandoned()
            self._run, self._coming = run, None
        await run.stop(drain=drain, timeout=timeout)
        return run.unprocessed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown(timeout=None if error is None else 0)

    # What became of the items

    @property
    def results(self) -> list[PipelineResult]:
        """The successes of the last run, in input order; none of a stream or without collecting."""
        return self._run.results.kept() if self._run is not None else []

    @property
    def failures(self) -> list[PipelineResult]:
        """What failed in the last run, in input order.

        Of a pipeline that is fed, or that collects no results, the latest 10,000; a stream hands
        failures over instead.
        """
        return self._run.results.kept_failures() if self._run is not None else []

    @property
    def unprocessed(self) -> list[UnprocessedItem]:
        """What the last run accepted and had not finished when it was stopped."""
        return self._run.unprocessed() if self._run is not None else []

    @property
    def undelivered(self) -> list[PipelineResult]:
        """Results that were not taken when the last stream was left, in order of completion."""
        return self._run.results.undelivered() if self._run is not None else []

    # Watching

    def get_stats(self) -> PipelineStats:
        """Return the statistics of the last run, or of what is fed for the next."""
        return _snapshot.pipeline_stats(self._shown())

    def get_worker_names(self) -> dict[str, list[str]]:
        """Return the names of all workers, by stage; also before any run."""
        return {
            stage.name: [worker_name(stage, number) for number in range(stage.workers)]
            for stage in self.stages
        }

    def get_worker_states(self) -> dict[str, WorkerState]:
        """Return what each worker does now, by its name."""
        return _snapshot.worker_states(self._shown())

    def get_dashboard_snapshot(self) -> DashboardSnapshot:
        """Return workers, statistics and failures of the last run, all at once."""
        return _snapshot.dashboard_snapshot(self._shown())

    def get_error_summary(self) -> ErrorSummary:
        """Return what failed in the last run, in total and in detail.

        The counts are exact. Where failures are not all kept, the details are those of the latest
        10,000.
        """
        return self._shown().error_summary()

    @property
    def plugin_faults(self) -> dict[str, int]:
        """How often each plugin raised in the last run, by its name; they are logged."""
        return dict(self._shown().notifier.faults)

    @property
    def plugin_names(self) -> tuple[str, ...]:
        """Names of the plugins that take part, those that joined only the last run included."""
        return tuple(self._shown().plugins.plugins)

    def get_worker_metrics(self) -> dict[str, WorkerMetrics]:
        """Return what each worker has done in the last run, by its name."""
        return _snapshot.worker_metrics(self._shown())

    # Runs

    def _collector(self, most_failures: int | None) -> Results:
        keep = self.collect_results
        return Results(
            self.stages[-1].name,
            keep=keep,
            most_failures=most_failures if keep else MOST_KEPT_FAILURES,
        )

    async def _begin(
        self,
        results: Results,
        context: Context | None = None,
        source: Source | None = None,
        shown: tuple[DashboardProtocol, float] | None = None,
    ) -> Run:
        """Begin a run.

        Args:
            results: where items end.
            context: copied for each worker; None for a copy of the present one.
            source: what is about to be read.
            shown: a dashboard, and the seconds between its updates.
        """
        if await self._is_taken():
            raise PipelineError(
                f"Pipeline {self.name!r} is already running; wait for its end, or make a second "
                "Pipeline of the same stages"
            )
        dashboard, interval = shown or (None, 0.0)
        also = plugin_of(dashboard, self.name)
        run = await self._take_coming() or self._make_run()
        total = len(source) if isinstance(source, Sized) else None
        display = None
        if dashboard is not None:
            snapshot = partial(_snapshot.dashboard_snapshot, run)
            display = Display(dashboard, self, total, interval, snapshot, run)
        self._run = run
        run.start(
            results,
            context or copy_context(),
            pipeline=self,
            total_items=total,
            display=display,
            also=also,
        )
        return run

    async def _take_coming(self) -> Run | None:
        """Return the run that was fed before its start, if there is one.

        Raises:
            BaseException: what has ended it already.
        """
        coming, self._coming = self._coming, None
        if coming is None or not coming.is_closed:
            return coming
        self._run = coming
        await coming.finished()
        coming.raise_once()
        return None

    def _is_running(self) -> bool:
        return self._run is not None and not self._run.is_over and not self._run.is_lost()

    async def _is_taken(self) -> bool:
        """Tell whether a run lasts, one whose stream was left having ended."""
        await self._end_abandoned()
        return self._is_running()

    async def _end_abandoned(self) -> None:
        """Wait for the end of a run whose stream was left.

        Raises:
            PipelineError: a task of that run's own calls this.
        """
        while self._run is not None and self._run.is_abandoned and self._is_running():
            self._refuse_own_task(self._run, "the end", "begin another run from outside")
            await self._run.finished()

    def _make_run(self) -> Run:
        results = self._collector(MOST_KEPT_FAILURES)
        return Run(self.name, self.stages, results, self._rates, self._plugins)

    def _feedable(self) -> Run:
        """Return the run that lasts, or the one that is to come."""
        run = self._run
        if run is not None and self._is_running() and (run.is_inside() or not run.is_abandoned):
            return run
        if self._coming is None:
            self._coming = self._make_run()
        return self._coming

    def _shown(self) -> Run:
        if self._run is not None and self._is_running():
            return self._run
        if self._coming is None and self._run is None and self._blank is None:
            self._blank = self._make_run()
        return self._coming or self._run or cast("Run", self._blank)

    def _refuse_own_task(self, run: Run, call: str, remedy: str, *, also: bool = False) -> None:
        if not run.is_over and (also or run.is_inside_task()):
            raise PipelineError(
                f"A task of pipeline {self.name!r} cannot wait for {call} of the same pipeline, "
                f"which may wait for the task; {remedy}"
            )

    def _refuse_consumer(self, run: Run, call: str) -> None:
        if not run.is_over and run.is_consumer():
            raise PipelineError(
                f"The consumer of a stream of pipeline {self.name!r} cannot wait for {call}, which "
                "waits for results to be taken; take them, leave the loop, or call shutdown()"
            )

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

    def _checked_source(self, items: Source) -> Source:
        is_some = isinstance(items, Iterable | AsyncIterable) or hasattr(items, "__getitem__")
        if not is_some or (isinstance(items, dict) and "id" in items):
            raise TypeError(
                f"Pipeline {self.name!r} takes items from an iterable or async iterable, not from "
                f"{items!r}; put a single item in a list"
            )
        return items


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
                f"Pipeline {name!r} takes a list of stages, with no {stage!r} in it"
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
    from ._discovery import INSTALLED

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
    return PluginSet({**others, **given}).and_also(tracked)


class PipelineBuilder(Draft):
    """A pipeline made step by step; begin with `Pipeline.create`.

    Args:
        name: names the pipeline in statistics, logs and errors.
    """

    def build(self) -> Pipeline:
        """Return the pipeline.

        Raises:
            PipelineError: there is no stage, or the first one pulls.
            StageValidationError: a stage contradicts itself, or two have one name.
        """
        return Pipeline(
            self._stages,
            self._collects,
            self._tracker,
            name=self._name,
            plugins=self._plugins,
            autoload=self._autoloads,
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
    ) -> list[PipelineResult]:
        """Build the pipeline and run it, as `Pipeline.run` does, which raises the same."""
        return await self.build().run(
            items,
            progress,
            dashboard,
            custom_dashboard,
            dashboard_update_interval,
            return_exceptions=return_exceptions,
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
    ) -> ResultStream:
        """Build the pipeline and stream, as `Pipeline.stream` does, which raises the same."""
        return self.build().stream(
            items,
            progress,
            buffer_size,
            dashboard=dashboard,
            custom_dashboard=custom_dashboard,
            dashboard_update_interval=dashboard_update_interval,
        )
