"""Sums the metrics of all runs, those that have ended and those that have not."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from threading import Lock
from weakref import WeakSet, ref

from antflow import Pipeline

from ._labels import LabelLimiter
from ._snapshots import MetricsSnapshot, take_snapshot


class LiveRun:
    """A run that has not ended, and its last snapshot.

    Args:
        pipeline: the pipeline of the run; it is not kept alive.
        loop: the event loop of the run.
        limiter: gives the labels.
        with_durations: whether snapshots include the bucket counts of durations.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        loop: AbstractEventLoop,
        limiter: LabelLimiter,
        *,
        with_durations: bool,
    ) -> None:
        self._pipeline = ref(pipeline)  # a pipeline without an end must not live as long as this
        self._loop = loop
        self._limiter = limiter
        self._with_durations = with_durations
        stats = pipeline.get_stats()
        self.run_id = stats.run_id
        self.snapshot = take_snapshot(pipeline, stats, limiter, with_durations=with_durations)

    def take_snapshot(self) -> MetricsSnapshot | None:
        """Return the run's metrics now; None if the run was abandoned without an end."""
        pipeline = self._pipeline()
        if pipeline is None or self._loop.is_closed():
            return None
        stats = pipeline.get_stats()
        # The pipeline may run again, while the end of this run was missed.
        if stats.run_id != self.run_id:
            return None
        return take_snapshot(pipeline, stats, self._limiter, with_durations=self._with_durations)


class RunTotals:
    """Sums the metrics of runs; safe to call from any thread.

    A forked child process starts from zero: its parent shows the runs that the child inherited.
    """

    def __init__(self) -> None:
        self.reset()
        _all_totals.add(self)

    def reset(self) -> None:
        """Start from zero, with a new lock: a forked child may inherit one that is held."""
        self._lock = Lock()
        self.limiter = LabelLimiter()
        self._live: dict[str, LiveRun] = {}
        self._ended = MetricsSnapshot()

    def start_run(
        self, pipeline: Pipeline, loop: AbstractEventLoop, *, with_durations: bool = False
    ) -> bool:
        """Add a run that starts.

        Args:
            pipeline: the pipeline of the run.
            loop: the event loop of the run.
            with_durations: whether to count durations, too.

        Returns:
            False if the run is known already, because another plugin has added it.
        """
        with self._lock:
            run = LiveRun(pipeline, loop, self.limiter, with_durations=with_durations)
            # Several plugins may share a provider: the first one adds the run.
            return self._live.setdefault(run.run_id, run) is run

    def finish_run(self, pipeline: Pipeline) -> None:
        """Add the run of a pipeline to the ended ones."""
        with self._lock:
            run = self._live.get(pipeline.get_stats().run_id)
            if run is not None:
                self._update(run, run.take_snapshot())
                self._close(run)

    def snapshot(self) -> MetricsSnapshot:
        """Return the metrics of all runs now.

        A run that was abandoned without an end, because its event loop was closed or its pipeline
        collected, ends with its last snapshot.
        """
        with self._lock:
            live = list(self._live.values())
        # Without the lock: this takes long, and event loops wait for the lock.
        snapshots = [(run, run.take_snapshot()) for run in live]
        with self._lock:
            for run, snapshot in snapshots:
                self._update(run, snapshot)
            sums = self._ended.copy()
            for run in self._live.values():
                sums.add(run.snapshot, has_ended=False)
            return sums

    def _update(self, run: LiveRun, snapshot: MetricsSnapshot | None) -> None:
        # A run that has ended meanwhile is in the sum already; its record here no longer counts.
        if snapshot is None:
            self._close(run)
        else:
            run.snapshot.merge_monotonic(snapshot)

    def _close(self, run: LiveRun) -> None:
        if self._live.pop(run.run_id, None) is not None:
            self._ended.add(run.snapshot, has_ended=True)


_all_totals: WeakSet[RunTotals] = WeakSet()


def _reset_all() -> None:
    for totals in _all_totals:
        totals.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
