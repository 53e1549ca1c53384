"""What has been counted so far: of the runs that have ended, and of those that last."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from threading import Lock
from weakref import ref

from antflow import Pipeline

from ._names import Names
from ._pacing import give_way
from ._reading import Buckets, Reading, read


class LiveRun:
    """A run that lasts, and its figures when they were last read.

    Args:
        pipeline: whose run it is; it is not kept alive.
        loop: the event loop that it works in.
        label: what the pipeline is called.
        names: what all else is called.
    """

    def __init__(
        self, pipeline: Pipeline, loop: AbstractEventLoop, label: str, names: Names
    ) -> None:
        self._pipeline = ref(pipeline)
        self._names = names
        self.loop = loop
        self.label = label
        stats = pipeline.get_stats()
        self.run_id = stats.run_id
        self.figures = read(pipeline, stats, label, names)

    def read(self) -> Reading | None:
        """Return its figures as they are now; None if it was left behind without an end."""
        pipeline = self._pipeline()
        if pipeline is None or self.loop.is_closed():
            return None
        stats = pipeline.get_stats()
        if stats.run_id != self.run_id:
            return None
        return read(pipeline, stats, self.label, self._names)


class Ledger:
    """Sums the figures of runs, by name; they are read, and runs begin and end, from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names = Names()
        self._live: dict[str, LiveRun] = {}
        self._ended = Reading()
        self._buckets: dict[str, Buckets] = {}

    def begin(self, pipeline: Pipeline, loop: AbstractEventLoop, buckets: Buckets) -> None:
        """Count a run from now on.

        Args:
            pipeline: whose run it is.
            loop: the event loop that it works in.
            buckets: the upper bounds that its histograms are shown with, in seconds.
        """
        with self._lock:
            (label,) = self._names.of((), pipeline.name)
            run = LiveRun(pipeline, loop, label, self._names)
            self._live[run.run_id] = run
            self._buckets[label] = buckets

    def finish(self, pipeline: Pipeline) -> None:
        """Keep the totals of the run of a pipeline that ends, and forget the run."""
        with self._lock:
            run = self._live.get(pipeline.get_stats().run_id)
            if run is not None:
                self._update(run, run.read())
                self._close(run)

    def read(self) -> tuple[Reading, dict[str, Buckets]]:
        """Return all figures as they are now, and the histograms' bounds, by the pipeline's label.

        A run that was left behind without an end, its event loop closed or its pipeline
        collected, is closed with the figures that were read last.
        """
        with self._lock:
            live = list(self._live.values())
        readings = []
        for run in live:  # without the lock, because it takes long
            give_way()
            readings.append((run, run.read()))
        with self._lock:
            for run, reading in readings:
                self._update(run, reading)
            sums = self._ended.copy()
            for run in self._live.values():
                sums.add(run.figures, is_over=False)
            return sums, dict(self._buckets)

    def loops(self) -> dict[str, set[AbstractEventLoop]]:
        """Return the event loops that runs work in, by the pipeline's label; closed ones, too."""
        with self._lock:
            loops: dict[str, set[AbstractEventLoop]] = {}
            for run in self._live.values():
                loops.setdefault(run.label, set()).add(run.loop)
            return loops

    def _update(self, run: LiveRun, reading: Reading | None) -> None:
        """Take over what was read of a run, unless it has ended since."""
        if run.run_id not in self._live:
            return
        if reading is None:
            self._close(run)
        else:
            run.figures.rise(reading)

    def _close(self, run: LiveRun) -> None:
        self._ended.add(run.figures, is_over=True)
        del self._live[run.run_id]
