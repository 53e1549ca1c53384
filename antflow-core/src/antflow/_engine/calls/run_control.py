"""The runs of one pipeline: beginning one, at most one at a time; which one a call is for."""

from __future__ import annotations

from asyncio import get_running_loop
from asyncio.events import _get_running_loop
from contextvars import Context, copy_context
from functools import partial

from antflow._engine.base.run_state import Phase
from antflow._engine.feeding.sources import InputFraction, Source, length_of
from antflow._engine.running.display import Display, DisplayRequest
from antflow._engine.running.run import Run
from antflow._engine.workers.stage_runtime import stage_named
from antflow._limits.call_limits import CallRates
from antflow._plugins.plugin_set import PluginSet, dashboard_plugin
from antflow._stats.failure_tally import items_failed_error
from antflow.builder import LifespanFunc
from antflow.exceptions import PipelineError
from antflow.results import PipelineResult
from antflow.stage import Stage

from . import snapshot
from .call_checks import (
    check_accepts_items,
    check_called_on_loop,
    check_feeding_loop,
    check_loop,
    check_not_consumer,
    check_outside_tasks,
    has_unreported_failures,
    raise_unreported_failures,
)
from .feed_calls import reader_in_thread

DEFAULT_PRIORITY = 100


class RunControl:
    """The part of `Pipeline` that makes runs, and decides which run a call is for.

    A run is made when it is first fed or started. So the run held here is active, or is waiting for
    its start, or else is the last one, whose results can still be read.

    Args:
        name: the pipeline's name.
        stages: the stages, checked already.
        plugins: take part in every run.
        max_failures: how many items may fail, as `Pipeline` takes it.
        lifespan: returns the context manager around each run.
        collect_results: whether runs keep successes.
    """

    # A base class and no part of the pipeline: a new run reads the pipeline's public attributes as
    # they are then, and a part would have to refer to its pipeline, a reference cycle.

    def __init__(
        self,
        name: str,
        stages: tuple[Stage, ...],
        plugins: PluginSet,
        max_failures: float | None,
        lifespan: LifespanFunc | None,
        *,
        collect_results: bool,
    ) -> None:
        self.stages = stages
        self.collect_results = collect_results
        self.name = name
        self.max_failures = max_failures
        self._lifespan = lifespan
        self._plugins = plugins
        self._rates = CallRates()  # kept between runs: the called service counts across runs, too
        self._run: Run | None = None
        self._first_run: Run | None = None  # made to be read, until it or another one begins

    # Beginning a run

    async def _begin(
        self,
        context: Context,
        source: Source | None = None,
        display: DisplayRequest | None = None,
        buffer_size: float | None = None,
    ) -> Run:
        """Begin a run.

        Args:
            context: copied for each worker.
            source: the input that the caller reads next; None if the run is fed.
            display: shows the run.
            buffer_size: results that may wait for the consumer of a stream; None for no stream.
        """
        await self._wait_stopped()
        if await self._is_taken():
            raise PipelineError(
                f"Pipeline {self.name!r} is already running; wait for its end, or make a second "
                "Pipeline of the same stages"
            )
        check_feeding_loop(self._run, "start()")
        return self._begin_now(context, source, display, buffer_size)

    def _begin_now(
        self,
        context: Context,
        source: Source | None = None,
        display: DisplayRequest | None = None,
        buffer_size: float | None = None,
    ) -> Run:
        """Begin a run, none being active; without an await, or another call could begin one."""
        plugins = {} if display is None else dashboard_plugin(display.dashboard, self.name)
        total = length_of(source)
        run = self._run
        if run is None or not run.is_new:
            run = self._replace_run()
        shown = None if display is None else _make_display(display, self, total, run)
        if buffer_size is not None:
            run.results.stream(buffer_size)
        run.input_fraction = InputFraction(source)
        run.is_joined = source is not None  # `run` and `stream` report the end of their own run
        run.start(context, pipeline=self, total_items=total, display=shown, plugins=plugins)
        return run

    async def _run_all(
        self,
        source: Source,
        display: DisplayRequest | None,
        *,
        return_exceptions: bool,
        raise_failures: bool,
        read_in_thread: bool,
    ) -> list[PipelineResult]:
        """Run all of an input, and return what `Pipeline.run` returns."""
        run = await self._begin(copy_context(), source, display)
        if self.collect_results:
            run.results.keep_all_failures()
        is_received = raise_failures or (return_exceptions and self.collect_results)
        run.failures.warns = not is_received  # the caller gets the failures: no warning is needed
        run.read(reader_in_thread(source, run) if read_in_thread else source, DEFAULT_PRIORITY)
        await run.wait()
        run.failures.raise_exceeded()
        results = run.results.kept()
        if raise_failures:
            _raise_failures(run, results)
        if not return_exceptions or not self.collect_results:
            return results
        return sorted(results + run.results.kept_failures(), key=lambda result: result.sequence_id)

    async def _begin_stream(
        self,
        context: Context,
        source: Source,
        display: DisplayRequest | None,
        buffer_size: float,
        *,
        read_in_thread: bool,
    ) -> Run:
        """Begin a run whose results a stream yields."""
        run = await self._begin(context, source, display, buffer_size)
        reader = reader_in_thread(source, run, context=context) if read_in_thread else source
        run.read(reader, DEFAULT_PRIORITY)
        return run

    async def _wait_stopped(self) -> None:
        """Wait for the end of a run that was fed, and stopped before its start.

        Raises:
            BaseException: the error that ended it.
        """
        while (run := self._run) is not None and not run.is_started and run.is_closed:
            await run.finished.wait()
            run.raise_once()
            if run is self._run:
                return

    def _make_run(self) -> Run:
        return Run(
            self.name,
            self.stages,
            self._rates,
            self._plugins,
            self.max_failures,
            self._lifespan,
            collect=self.collect_results,
        )

    def _replace_run(self, previous: Run | None = None) -> Run:
        """Hold a run that has not begun, instead of the last one."""
        run, self._first_run = self._first_run, None
        if run is None or self._run is not None:
            run = self._make_run()
        if previous is not None:
            # Results stay those of the last run until this one starts. The run before the last is
            # let go, so that runs do not form a chain that keeps all results.
            run.previous, previous.previous = previous, None
        self._run = run
        return run

    # Which run a call is for

    def _is_running(self) -> bool:
        run = self._run
        return run is not None and run.is_started and not (run.is_over or run.is_loop_closed)

    async def _is_taken(self) -> bool:  # for the command, too
        """Return whether no run can begin now; wait for the end of an abandoned one first."""
        await self._wait_abandoned()
        return self._is_running()

    async def _wait_abandoned(self) -> None:
        """Wait for the end of an active run whose stream was dropped.

        Raises:
            PipelineError: the caller is a task of that run.
        """
        # A stream that was dropped, as by `break`, is cancelled without a caller that waits for it.
        # So the next call waits, instead of failing with "already running".
        while self._run is not None and self._run.is_abandoned and self._is_running():
            check_loop(self._run, "call of the next run")
            check_outside_tasks(self._run, "the end", "begin another run from outside")
            await self._run.finished.wait()

    def _current_run(self) -> Run:
        """Return the run to read: the active or fed one, or else the last, or else the first."""
        # Any thread may read, and a run may begin while one is made here. So `_run` is not set.
        run = self._run
        if run is None:
            run = self._first_run
        if run is None:
            run = self._first_run = self._make_run()
        return run

    def _running_run(self) -> Run:
        """Return the active run.

        Raises:
            PipelineError: there is none.
            TooManyFailuresError: failures have stopped it.
        """
        run = self._run
        if run is None or run.is_abandoned or not self._is_running():
            if run is not None and run.is_over and not run.is_joined:
                run.failures.raise_exceeded()
            raise PipelineError(f"Pipeline {self.name!r} is not running; call start() first")
        return run

    async def _run_to_feed(self) -> Run:
        """Return the run that `feed` puts items into: the active one, or the next.

        Raises:
            PipelineError: it is on another event loop.
            TooManyFailuresError: failures have stopped the active one.
        """
        check_loop(self._run, "feed()")
        # Asked twice, because `feed` is called often, and the question is cheaper than an await.
        if has_unreported_failures(self._run):
            await raise_unreported_failures(self._run)
        run = self._run
        # Tasks of an abandoned run may still feed it: to wait for its end would be a deadlock.
        if run is not None and self._is_running() and (not run.is_abandoned or run.is_inside()):
            return run
        return await self._next_run()

    async def _next_run(self) -> Run:
        """Return the run that starts next, after an abandoned one has ended."""
        await self._wait_abandoned()
        run = self._run
        if run is None or not (self._is_running() or run.is_new):
            run = self._replace_run(previous=run)
        if run.is_new:
            run.feeding_loop = get_running_loop()
        return run

    async def _run_to_process(self) -> Run:
        """Return the active run for a call of `process`, which may wait for it."""
        check_loop(self._run, "process()")
        if has_unreported_failures(self._run):
            await raise_unreported_failures(self._run)
        run = self._running_run()
        check_outside_tasks(run, "process()", "use feed()")
        check_not_consumer(run, "process()")
        return run

    def _run_with_room(self) -> Run | None:
        """Return the active run if a call can submit to it at once; None if more is to be asked."""
        # One question for those that `submit` asks otherwise, which would be a third of its time.
        run = self._run
        if run is None or run.phase is not Phase.OPEN or run.loop is not _get_running_loop():
            return None
        if run.is_abandoned or run.failures.is_exceeded or run.submitter.is_observed:
            return None
        return run

    def _run_to_submit_nowait(self) -> Run:
        """Return the active run for a call of `submit_nowait`."""
        check_loop(self._run, "submit_nowait()")
        run = self._running_run()
        check_accepts_items(run, "submit_nowait")
        return run

    async def _run_to_submit(self) -> Run:
        """Return the active run for a call of `submit`."""
        check_loop(self._run, "submit()")
        if has_unreported_failures(self._run):
            await raise_unreported_failures(self._run)
        return self._running_run()

    def _run_to_join(self) -> Run:
        """Return the run that `join` waits for: the active one, or one that has ended."""
        run = self._run
        if run is None or not run.is_started or run.is_loop_closed:
            raise PipelineError(
                f"Pipeline {self.name!r} is not started; call start() before join()"
            )
        return run

    # Changing a run

    def _set_workers(self, stage: str, n: int) -> None:
        run = self._running_run()
        check_called_on_loop(run, "set_workers")
        runtime = stage_named(run.stages, stage, run.name)
        if run.is_closed:
            raise PipelineError(
                f"Pipeline {self.name!r} is about to end and begins no attempt, so the workers of "
                f"stage {stage!r} stay as they are; call set_workers() before that"
            )
        run.workers.set_workers(runtime, n)


def _make_display(
    request: DisplayRequest, pipeline: object, total_items: int | None, run: Run
) -> Display:
    read = partial(snapshot.dashboard_snapshot, run)
    return Display(request.dashboard, pipeline, total_items, request.interval, read, run.abort)


def _raise_failures(run: Run, results: list[PipelineResult]) -> None:
    if failures := run.results.kept_failures():
        tally = run.failures.kept
        raise items_failed_error(
            run.failures.summary(tally), tally.advice(), results=results, failures=failures
        )
