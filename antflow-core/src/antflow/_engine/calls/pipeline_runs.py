"""The runs of one pipeline: beginning one, at most one at a time; which one a call is for."""

from __future__ import annotations

from asyncio import get_running_loop
from asyncio.events import _get_running_loop
from contextvars import Context
from functools import partial

from antflow._engine.base.run_state import Phase
from antflow._engine.feeding.sources import InputFraction, Source, length_of
from antflow._engine.running.display import Display, DisplayRequest
from antflow._engine.running.run import Definition, Run
from antflow._limits.call_limits import CallRates
from antflow._plugins.plugin_set import dashboard_plugin
from antflow.exceptions import PipelineError

from . import snapshot
from .checks import (
    check_accepts_items,
    check_feeding_loop,
    check_loop,
    check_not_consumer,
    check_outside_tasks,
    has_unreported_failures,
    raise_unreported_failures,
)
from .operations import DEFAULT_PRIORITY, reader_in_thread


class PipelineRuns:
    """Makes the runs of one pipeline, and decides which run a call is for.

    A run is made when it is first fed or started. So `latest` is active, or is waiting for its
    start, or else is the last one, whose results can still be read.

    Args:
        definition: what each new run is made of, as it is then.
    """

    # Calls that begin a run pass the pipeline. If it were kept here, the two would refer to each
    # other, and only the garbage collector would free a pipeline that is dropped.

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.latest: Run | None = None
        self._rates = CallRates()  # kept between runs: the called service counts across runs, too
        self._first_run: Run | None = None  # made to be read, until it or another one begins

    # Beginning a run

    async def begin(
        self,
        pipeline: object,
        context: Context,
        source: Source | None = None,
        display: DisplayRequest | None = None,
        buffer_size: float | None = None,
    ) -> Run:
        """Begin a run.

        Args:
            pipeline: what plugins and displays are called with.
            source: the input that the caller reads next; None if the run is fed.
            buffer_size: results that may wait for the consumer of a stream; None for no stream.
        """
        await self._wait_stopped()
        if await self.is_taken():
            raise PipelineError(
                f"Pipeline {self.definition.name!r} is already running; wait for its end, or make "
                "a second Pipeline of the same stages"
            )
        check_feeding_loop(self.latest, "start()")
        return self.begin_now(pipeline, context, source, display, buffer_size)

    def begin_now(
        self,
        pipeline: object,
        context: Context,
        source: Source | None = None,
        display: DisplayRequest | None = None,
        buffer_size: float | None = None,
    ) -> Run:
        """Begin a run, none being active; without an await, or another call could begin one."""
        plugins = (
            {} if display is None else dashboard_plugin(display.dashboard, self.definition.name)
        )
        total = length_of(source)
        run = self.latest
        if run is None or not run.is_new:
            run = self._replace_run()
        shown = None if display is None else _make_display(display, pipeline, total, run)
        if buffer_size is not None:
            run.results.stream(buffer_size)
        run.input_fraction = InputFraction(source)
        run.is_joined = source is not None  # `run` and `stream` report the end of their own run
        run.start(context, pipeline=pipeline, total_items=total, display=shown, plugins=plugins)
        return run

    async def begin_stream(
        self,
        pipeline: object,
        context: Context,
        source: Source,
        display: DisplayRequest | None,
        buffer_size: float,
        *,
        read_in_thread: bool,
    ) -> Run:
        """Begin a run whose results a stream yields."""
        run = await self.begin(pipeline, context, source, display, buffer_size)
        reader = reader_in_thread(source, run, context=context) if read_in_thread else source
        run.read(reader, DEFAULT_PRIORITY)
        return run

    async def _wait_stopped(self) -> None:
        """Wait for the end of a run that was fed, and stopped before its start.

        Raises:
            BaseException: the error that ended it.
        """
        while (run := self.latest) is not None and not run.is_started and run.is_closed:
            await run.finished.wait()
            run.raise_once()
            if run is self.latest:
                return

    def _replace_run(self, previous: Run | None = None) -> Run:
        """Hold a run that has not begun, instead of the last one."""
        run, self._first_run = self._first_run, None
        if run is None or self.latest is not None:
            run = Run(self.definition, self._rates)
        if previous is not None:
            # Results stay those of the last run until this one starts. The run before the last is
            # let go, so that runs do not form a chain that keeps all results.
            run.previous, previous.previous = previous, None
        self.latest = run
        return run

    # Which run a call is for

    def is_running(self) -> bool:
        """Return whether a run is active."""
        run = self.latest
        return run is not None and run.is_started and not (run.is_over or run.is_loop_closed)

    async def is_taken(self) -> bool:
        """Return whether no run can begin now; wait for the end of an abandoned one first."""
        await self._wait_abandoned()
        return self.is_running()

    async def _wait_abandoned(self) -> None:
        """Wait for the end of an active run whose stream was dropped.

        Raises:
            PipelineError: the caller is a task of that run.
        """
        # A stream that was dropped, as by `break`, is cancelled without a caller that waits for it.
        # So the next call waits, instead of failing with "already running".
        while self.latest is not None and self.latest.is_abandoned and self.is_running():
            check_loop(self.latest, "call of the next run")
            check_outside_tasks(self.latest, "the end", "begin another run from outside")
            await self.latest.finished.wait()

    def last_started(self) -> Run | None:
        """Return the last run that was started; one that is only fed does not replace it."""
        run = self.latest
        return run if run is None or not run.is_new else run.previous

    def to_read(self) -> Run:
        """Return the run of which statistics tell: the latest, or else the first to come."""
        # Any thread may read, and a run may begin while one is made here. So `latest` is not set.
        run = self.latest
        if run is None:
            run = self._first_run
        if run is None:
            run = self._first_run = Run(self.definition, self._rates)
        return run

    def active(self) -> Run:
        """Return the active run.

        Raises:
            PipelineError: there is none.
            TooManyFailuresError: failures have stopped it.
        """
        run = self.latest
        if run is None or run.is_abandoned or not self.is_running():
            if run is not None and run.is_over and not run.is_joined:
                run.failures.raise_exceeded()
            raise PipelineError(
                f"Pipeline {self.definition.name!r} is not running; call start() first"
            )
        return run

    async def to_feed(self) -> Run:
        """Return the run that `feed` puts items into: the active one, or the next.

        Raises:
            PipelineError: it is on another event loop.
            TooManyFailuresError: failures have stopped the active one.
        """
        check_loop(self.latest, "feed()")
        # Asked twice, because `feed` is called often, and the question is cheaper than an await.
        if has_unreported_failures(self.latest):
            await raise_unreported_failures(self.latest)
        run = self.latest
        # Tasks of an abandoned run may still feed it: to wait for its end would be a deadlock.
        if run is not None and self.is_running() and (not run.is_abandoned or run.is_inside()):
            return run
        return await self._next_run()

    async def _next_run(self) -> Run:
        """Return the run that starts next, after an abandoned one has ended."""
        await self._wait_abandoned()
        run = self.latest
        if run is None or not (self.is_running() or run.is_new):
            run = self._replace_run(previous=run)
        if run.is_new:
            run.feeding_loop = get_running_loop()
        return run

    async def to_process(self) -> Run:
        """Return the active run for a call of `process`, which may wait for it."""
        check_loop(self.latest, "process()")
        if has_unreported_failures(self.latest):
            await raise_unreported_failures(self.latest)
        run = self.active()
        check_outside_tasks(run, "process()", "use feed()")
        check_not_consumer(run, "process()")
        return run

    def with_room(self) -> Run | None:
        """Return the active run if a call can submit to it at once; None if more is to be asked."""
        # One question for those that `submit` asks otherwise, which would be a third of its time.
        run = self.latest
        if run is None or run.phase is not Phase.OPEN or run.loop is not _get_running_loop():
            return None
        if run.is_abandoned or run.failures.is_exceeded or run.submitter.is_observed:
            return None
        return run

    def to_submit_nowait(self) -> Run:
        """Return the active run for a call of `submit_nowait`."""
        check_loop(self.latest, "submit_nowait()")
        run = self.active()
        check_accepts_items(run, "submit_nowait")
        return run

    async def to_submit(self) -> Run:
        """Return the active run for a call of `submit`."""
        check_loop(self.latest, "submit()")
        if has_unreported_failures(self.latest):
            await raise_unreported_failures(self.latest)
        return self.active()

    def to_join(self) -> Run:
        """Return the run that `join` waits for: the active one, or one that has ended."""
        run = self.latest
        if run is None or not run.is_started or run.is_loop_closed:
            raise PipelineError(
                f"Pipeline {self.definition.name!r} is not started; call start() before join()"
            )
        return run


def _make_display(
    request: DisplayRequest, pipeline: object, total_items: int | None, run: Run
) -> Display:
    read = partial(snapshot.dashboard_snapshot, run)
    return Display(request.dashboard, pipeline, total_items, request.interval, read, run.abort)
