"""Sums the metrics of all runs, those that have ended and those that have not."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from threading import Lock
from weakref import ref

from antflow import Pipeline, PipelineStats

from ._event_loops import yield_gil
from ._forks import reset_after_fork
from ._labels import LabelLimiter
from ._snapshots import Buckets, MetricsSnapshot, fault_snapshot, initial_snapshot, take_snapshot

MAX_PENDING = 16
"""How many ended runs may wait for the next scrape to sum them."""


class LiveRun:
    """A run that has not ended, and its last snapshot.

    Args:
        run_id: the id of the run.
        pipeline: the pipeline of the run; it is not kept alive.
        loop: the event loop of the run; it is not kept alive.
        label: the pipeline's label.
        limiter: gives the other labels.
    """

    def __init__(
        self,
        run_id: str,
        pipeline: Pipeline,
        loop: AbstractEventLoop,
        label: str,
        limiter: LabelLimiter,
    ) -> None:
        self.run_id = run_id
        self._pipeline = ref(pipeline)
        self._limiter = limiter
        self._loop = ref(loop)
        self.label = label
        self.snapshot = initial_snapshot(label)

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The event loop of the run; None if it is closed or gone."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    @property
    def is_abandoned(self) -> bool:
        """Whether the run cannot end: its loop is closed, or its pipeline collected."""
        return self._pipeline() is None or self.loop is None

    def last_snapshot(self) -> MetricsSnapshot:
        """Return the last snapshot."""
        return self.snapshot

    def update(self) -> bool:
        """Update the snapshot; return False if the run was abandoned."""
        pipeline = self._pipeline()
        if pipeline is None or self.loop is None:
            return False
        stats = pipeline.get_stats()
        # The pipeline may run again, while the end of this run was missed.
        if stats.run_id != self.run_id:
            return False
        self.merge(stats, pipeline.plugin_names, pipeline.plugin_faults)
        return True

    def merge(
        self, stats: PipelineStats, plugins: tuple[str, ...], faults: dict[str, int]
    ) -> MetricsSnapshot:
        """Update the snapshot by these statistics, and return it."""
        later = take_snapshot(stats, plugins, faults, self.label, self._limiter)
        self.snapshot.merge_monotonic(later)
        return self.snapshot


class RunTotals:
    """Sums the metrics of runs; safe to call from any thread.

    Runs start and end in event loops, which must not wait. They hold one lock for moments, and
    leave the summing to scrapes, which take turns under the other lock.
    """

    def __init__(self) -> None:
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Start from zero, with new locks: a forked child may inherit some that are held."""
        self._lock = Lock()
        self._sum_lock = Lock()
        self._limiter = LabelLimiter()
        self._live: dict[str, LiveRun] = {}
        self._pending: deque[Callable[[], MetricsSnapshot]] = deque()
        self._ended = MetricsSnapshot()
        self._buckets: dict[str, Buckets] = {}
        self._drop_at = MAX_PENDING

    def start_run(self, pipeline: Pipeline, loop: AbstractEventLoop, buckets: Buckets) -> None:
        """Add a run that starts.

        Args:
            pipeline: the pipeline of the run.
            loop: the event loop of the run.
            buckets: the upper bounds of the histograms, in seconds. They belong to the pipeline's
                name: the last start decides, for earlier runs as well.
        """
        run_id = pipeline.get_stats().run_id
        with self._lock:
            (label,) = self._limiter.labels("pipeline", (), pipeline.name)
            self._live[run_id] = LiveRun(run_id, pipeline, loop, label, self._limiter)
            self._buckets[label] = buckets
            if len(self._live) > self._drop_at:
                self._drop_abandoned()
        self._sum_pending()

    def finish_run(self, pipeline: Pipeline) -> None:
        """Add the run of a pipeline to the ended ones."""
        stats = pipeline.get_stats()
        plugins, faults = pipeline.plugin_names, pipeline.plugin_faults
        with self._lock:
            run = self._live.pop(stats.run_id, None)
            if run is not None:
                # The statistics are final, so they can be merged later, outside of the event loop.
                self._pending.append(lambda: run.merge(stats, plugins, faults))
        self._sum_pending()

    def add_fault(self, pipeline: Pipeline, plugin: str) -> None:
        """Add a fault of a plugin that comes after the end of a run."""
        with self._lock:
            (label,) = self._limiter.labels("pipeline", (), pipeline.name)
            self._pending.append(lambda: fault_snapshot(label, plugin, self._limiter))

    def snapshot(self) -> tuple[MetricsSnapshot, dict[str, Buckets]]:
        """Return the metrics of all runs now, and the histograms' bounds by the pipeline's label.

        A run that was abandoned without an end, because its event loop was closed or its pipeline
        collected, ends with its last snapshot.
        """
        with self._sum_lock:
            # Both are taken at one moment: each run is live or ended, so no counter misses a run
            # or counts it twice.
            with self._lock:
                live, buckets = list(self._live.values()), dict(self._buckets)
                pending = self._take_pending()
            for take in pending:
                yield_gil()
                self._ended.add(take(), has_ended=True)
            still_live = self._update(live)
            sums = self._ended.copy()
            for run in still_live:
                yield_gil()
                sums.add(run.snapshot, has_ended=False)
            return sums, buckets

    def loops(self) -> dict[str, set[AbstractEventLoop]]:
        """Return the event loops of live runs, by the pipeline's label."""
        with self._lock:
            live = list(self._live.values())
        loops: dict[str, set[AbstractEventLoop]] = {}
        for run in live:
            if (loop := run.loop) is not None:
                loops.setdefault(run.label, set()).add(loop)
        return loops

    def _update(self, live: list[LiveRun]) -> list[LiveRun]:
        """Update the snapshots of runs, end the abandoned runs, and return the others."""
        still_live = []
        for run in live:
            yield_gil()
            if run.update() or not self._remove(run):
                still_live.append(run)
            else:
                self._ended.add(run.snapshot, has_ended=True)
        return still_live

    def _remove(self, run: LiveRun) -> bool:
        """Remove an abandoned run; return False if it has ended meanwhile."""
        with self._lock:
            return self._live.pop(run.run_id, None) is not None

    def _drop_abandoned(self) -> None:
        """End abandoned runs; without scrapes, they would pile up."""
        for run in [run for run in self._live.values() if run.is_abandoned]:
            del self._live[run.run_id]
            self._pending.append(run.last_snapshot)
        # The limit grows with the number of live runs, so that the search stays rare.
        self._drop_at = 2 * len(self._live) + MAX_PENDING

    def _take_pending(self) -> list[Callable[[], MetricsSnapshot]]:
        pending = list(self._pending)
        self._pending.clear()
        return pending

    def _sum_pending(self) -> None:
        """Sum two ended runs if too many are pending, as they are without scrapes."""
        # An event loop does not wait for the lock: a scrape that holds it sums them all.
        if len(self._pending) <= MAX_PENDING or not self._sum_lock.acquire(blocking=False):
            return
        try:
            for _ in range(min(2, len(self._pending))):
                self._ended.add(self._pending.popleft()(), has_ended=True)
        finally:
            self._sum_lock.release()
