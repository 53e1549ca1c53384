"""What has been counted so far: of the runs that have ended, and of those that last."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from threading import Lock
from weakref import ref

from antflow import Pipeline, PipelineStats

from ._forks import renewed_in_children
from ._names import Names
from ._pacing import give_way
from ._reading import Buckets, Reading, a_fault, at_the_start, read

MOST_UNREAD = 16
"""How many ended runs may wait for the next scrape to sum them."""


class LiveRun:
    """A run that lasts, and its figures when they were last read.

    Args:
        run_id: tells it from all others.
        pipeline: whose run it is; it is not kept alive.
        loop: the event loop that it works in; it is not kept alive.
        label: what the pipeline is called.
        names: what all else is called.
    """

    def __init__(
        self, run_id: str, pipeline: Pipeline, loop: AbstractEventLoop, label: str, names: Names
    ) -> None:
        self.run_id = run_id
        self._pipeline = ref(pipeline)
        self._names = names
        self._loop = ref(loop)
        self.label = label
        self.figures = at_the_start(label)

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The event loop that it works in; None if that is closed, or gone."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    @property
    def is_left(self) -> bool:
        """Whether it was left behind: its loop is closed, or its pipeline collected."""
        return self._pipeline() is None or self.loop is None

    def last(self) -> Reading:
        """Return its figures when they were last read."""
        return self.figures

    def update(self) -> bool:
        """Read its figures as they are now, and return False if it was left behind."""
        pipeline = self._pipeline()
        if pipeline is None or self.loop is None:
            return False
        stats = pipeline.get_stats()
        if stats.run_id != self.run_id:
            return False
        self.take(stats, pipeline.plugin_names, pipeline.plugin_faults)
        return True

    def take(
        self, stats: PipelineStats, plugins: tuple[str, ...], faults: dict[str, int]
    ) -> Reading:
        """Return its figures as these statistics have them."""
        self.figures.rise(read(stats, plugins, faults, self.label, self._names))
        return self.figures


class Ledger:
    """Sums the figures of runs, by name; they are read, and runs begin and end, from any thread.

    Runs begin and end in event loops, which must not wait: they hold one lock, for moments, and
    leave the summing to those who read. These hold the other one, and take turns.
    """

    def __init__(self) -> None:
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """Forget everything, and what holds the locks."""
        self._lock = Lock()
        self._summing = Lock()
        self._names = Names()
        self._live: dict[str, LiveRun] = {}
        self._unread: deque[Callable[[], Reading]] = deque()
        self._ended = Reading()
        self._buckets: dict[str, Buckets] = {}
        self._sweep_at = MOST_UNREAD

    def begin(self, pipeline: Pipeline, loop: AbstractEventLoop, buckets: Buckets) -> None:
        """Count a run from now on.

        Args:
            pipeline: whose run it is.
            loop: the event loop that it works in.
            buckets: the upper bounds that its histograms are shown with, in seconds.
        """
        run_id = pipeline.get_stats().run_id
        with self._lock:
            (label,) = self._names.of("pipeline", (), pipeline.name)
            self._live[run_id] = LiveRun(run_id, pipeline, loop, label, self._names)
            self._buckets[label] = buckets
            if len(self._live) > self._sweep_at:
                self._sweep()
        self._sum_some()

    def finish(self, pipeline: Pipeline) -> None:
        """Keep the totals of the run of a pipeline that ends, and forget the run."""
        stats = pipeline.get_stats()
        plugins, faults = pipeline.plugin_names, pipeline.plugin_faults
        with self._lock:
            run = self._live.pop(stats.run_id, None)
            if run is not None:
                self._unread.append(lambda: run.take(stats, plugins, faults))
        self._sum_some()

    def count_fault(self, pipeline: Pipeline, plugin: str) -> None:
        """Count a fault of a plugin that comes after the end of a run."""
        with self._lock:
            (label,) = self._names.of("pipeline", (), pipeline.name)
            self._unread.append(lambda: a_fault(label, plugin, self._names))

    def read(self) -> tuple[Reading, dict[str, Buckets]]:
        """Return all figures as they are now, and the histograms' bounds, by the pipeline's label.

        A run that was left behind without an end, its event loop closed or its pipeline
        collected, is closed with the figures that were read last.
        """
        with self._summing:
            with self._lock:
                live, buckets = list(self._live.values()), dict(self._buckets)
                unread = self._take_unread()
            for figures in unread:
                give_way()
                self._ended.add(figures(), is_over=True)
            last = self._update(live)
            sums = self._ended.copy()
            for run in last:
                give_way()
                sums.add(run.figures, is_over=False)
            return sums, buckets

    def loops(self) -> dict[str, set[AbstractEventLoop]]:
        """Return the event loops that runs work in, by the pipeline's label."""
        with self._lock:
            live = list(self._live.values())
        loops: dict[str, set[AbstractEventLoop]] = {}
        for run in live:
            if (loop := run.loop) is not None:
                loops.setdefault(run.label, set()).add(loop)
        return loops

    def _update(self, live: list[LiveRun]) -> list[LiveRun]:
        """Read runs anew, close those that were left behind, and return the others."""
        last = []
        for run in live:
            give_way()
            if run.update() or not self._leave(run):
                last.append(run)
            else:
                self._ended.add(run.figures, is_over=True)
        return last

    def _leave(self, run: LiveRun) -> bool:
        """Forget a run that was left behind; return False if it has ended meanwhile."""
        with self._lock:
            return self._live.pop(run.run_id, None) is not None

    def _sweep(self) -> None:
        """Let go of runs that were left behind, where nobody reads."""
        for run in [run for run in self._live.values() if run.is_left]:
            del self._live[run.run_id]
            self._unread.append(run.last)
        self._sweep_at = 2 * len(self._live) + MOST_UNREAD

    def _take_unread(self) -> list[Callable[[], Reading]]:
        unread = list(self._unread)
        self._unread.clear()
        return unread

    def _sum_some(self) -> None:
        """Sum a few of the ended runs, where nobody reads and too many wait for it."""
        if len(self._unread) <= MOST_UNREAD or not self._summing.acquire(blocking=False):
            return
        try:
            for _ in range(min(2, len(self._unread))):
                self._ended.add(self._unread.popleft()(), is_over=True)
        finally:
            self._summing.release()
