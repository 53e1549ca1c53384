"""Sums the metrics of all runs, those that have ended and those that have not."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from threading import Lock, RLock
from weakref import ref

from antflow.pipeline import Pipeline
from antflow.stats import PipelineStats

from .forks import reset_after_fork
from .labels import LabelLimiter, Labels
from .measurements import Measurements, Sample, measure, yield_gil
from .metrics import PLUGIN_FAULTS

MAX_PENDING = 16
"""How many ended runs may wait for the next reading to sum them."""

NOT_MEASURED = PipelineStats(0, 0, 0, {})


class _ActiveRun:
    """A run that has not ended, and its last measurements.

    Args:
        pipeline: the pipeline of the run; it is not kept alive.
        loop: the event loop of the run; it is not kept alive.
    """

    def __init__(
        self, pipeline: Pipeline, loop: AbstractEventLoop, label: str, limiter: LabelLimiter
    ) -> None:
        self.run_id = pipeline.run_id
        self.label = label
        self._pipeline = ref(pipeline)
        self._loop = ref(loop)
        self._limiter = limiter
        self.measured = measure(NOT_MEASURED, (), label, limiter)

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The event loop of the run; None if it is closed or gone."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    def active_pipeline(self) -> Pipeline | None:
        """Return the pipeline of the run; None if the run was abandoned without an end."""
        pipeline = self._pipeline()
        if pipeline is None or self.loop is None:
            return None
        # The pipeline may run again, while the end of this run was missed.
        return pipeline if pipeline.run_id == self.run_id else None

    def update(self) -> bool:
        """Measure the run again; return False if it was abandoned."""
        pipeline = self.active_pipeline()
        if pipeline is None:
            return False
        stats = pipeline.get_stats()
        if stats.run_id != self.run_id:
            return False
        self.merge(stats, pipeline.plugin_names)
        return True

    def last(self) -> Measurements:
        """Return the last measurements."""
        return self.measured

    def merge(self, stats: PipelineStats, plugins: tuple[str, ...]) -> Measurements:
        """Update the measurements by these statistics, and return them."""
        later = measure(stats, plugins, self.label, self._limiter)
        self.measured.merge_monotonic(later)
        return self.measured


class RunTotals:
    """Sums the metrics of the runs that it is given; any thread may read them.

    Counters include the runs that have ended, and never fall. A run that was abandoned without an
    end, because its event loop was closed or its pipeline collected, ends with its last
    measurements. A forked child process starts from zero.

    Attributes:
        limiter: gives the labels.
    """

    # Runs start and end on event loops, which must not wait. They hold one lock for moments, and
    # leave the summing to readings, which take turns under the other lock.

    def __init__(self) -> None:
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Start from zero, with new locks: a forked child may inherit some that are held."""
        # Reentrant: what the garbage collector destroys under it may be a hook that raises.
        self._lock = RLock()
        self._sum_lock = Lock()
        self.limiter = LabelLimiter()
        self._active: dict[str, _ActiveRun] = {}
        self._pending: deque[Callable[[], Measurements]] = deque()
        self._ended = Measurements()
        self._faults: Counter[Labels] = Counter()
        self._drop_at = MAX_PENDING

    def start_run(self, pipeline: Pipeline) -> bool:
        """Add the run of a pipeline that starts; call this in `antflow_pipeline_start`.

        It is called on the event loop of the run.

        Args:
            pipeline: the pipeline; it is not kept alive.

        Returns:
            False if the run was added before.
        """
        loop = get_running_loop()
        with self._lock:
            if pipeline.run_id in self._active:
                return False
            (label,) = self.limiter.limit("pipeline", pipeline.name)
            self._active[pipeline.run_id] = _ActiveRun(pipeline, loop, label, self.limiter)
            if len(self._active) > self._drop_at:
                self._drop_abandoned()
        # Each is counted as it happens: hooks are called after this exporter's last one, too.
        count = partial(self._count_fault, self._faults, label)
        for plugin in Counter(pipeline.plugin_faults).elements():
            count(plugin)
        pipeline._on_fault(count)  # noqa: SLF001 - for exporting only
        self._sum_pending()
        return True

    def finish_run(self, pipeline: Pipeline) -> None:
        """Add the run of a pipeline to the ended ones; call this in `antflow_pipeline_finish`.

        Args:
            pipeline: the pipeline; nothing happens if its run was not added.
        """
        with self._lock:
            run = self._active.get(pipeline.run_id)
        if run is None:
            return
        stats, plugins = pipeline.get_stats(), pipeline.plugin_names
        with self._lock:
            if self._active.pop(run.run_id, None) is not None:
                # The statistics are final, so they can be merged later, outside of the event loop.
                self._pending.append(lambda: run.merge(stats, plugins))
        self._sum_pending()

    def read(self) -> list[Sample]:
        """Return samples of all metrics now, in the order of `METRICS`.

        All samples are of one moment: each run is counted once, as active or as ended.
        """
        with self._sum_lock:
            with self._lock:
                active = list(self._active.values())
                pending = list(self._pending)
                self._pending.clear()
                faults = self._faults.copy()
            for measured in pending:
                yield_gil()
                self._ended.add(measured(), has_ended=True)
            still_active = self._update(active)
            sums = self._ended.copy()
            for run in still_active:
                yield_gil()
                sums.add(run.measured, has_ended=False)
            for labels, number in faults.items():
                sums.add_value(PLUGIN_FAULTS, labels, number)
        return list(sums.samples())

    def event_loops(self) -> dict[str, set[AbstractEventLoop]]:
        """Return the event loops of active runs, by the pipeline's label."""
        with self._lock:
            active = list(self._active.values())
        loops: dict[str, set[AbstractEventLoop]] = {}
        for run in active:
            if (loop := run.loop) is not None:
                loops.setdefault(run.label, set()).add(loop)
        return loops

    def _count_fault(self, faults: Counter[Labels], label: str, plugin: str) -> None:
        with self._lock:
            faults[self.limiter.limit("plugin", plugin, label)] += 1

    def _update(self, active: list[_ActiveRun]) -> list[_ActiveRun]:
        """Measure runs, end the abandoned runs, and return the others."""
        still_active = []
        for run in active:
            yield_gil()
            if run.update() or not self._remove(run):
                still_active.append(run)
            else:
                self._ended.add(run.measured, has_ended=True)
        return still_active

    def _remove(self, run: _ActiveRun) -> bool:
        """Remove an abandoned run; return False if it has ended meanwhile."""
        with self._lock:
            return self._active.pop(run.run_id, None) is not None

    def _drop_abandoned(self) -> None:
        """End abandoned runs; without readings, they would pile up."""
        for run in [run for run in self._active.values() if run.active_pipeline() is None]:
            del self._active[run.run_id]
            self._pending.append(run.last)
        # The limit grows with the number of active runs, so that the search stays rare.
        self._drop_at = 2 * len(self._active) + MAX_PENDING

    def _sum_pending(self) -> None:
        """Sum two ended runs if too many are pending, as they are without readings."""
        # An event loop does not wait for the lock: a reading that holds it sums them all.
        if len(self._pending) <= MAX_PENDING or not self._sum_lock.acquire(blocking=False):
            return
        try:
            for _ in range(min(2, len(self._pending))):
                self._ended.add(self._pending.popleft()(), has_ended=True)
        finally:
            self._sum_lock.release()
