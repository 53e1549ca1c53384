"""What has been counted so far: of the runs that have ended, and of those that last."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from threading import Lock
from weakref import WeakSet, ref

from antflow import Pipeline

from ._metrics_names import Names
from ._metrics_reading import Reading, read


class LiveRun:
    """A run that lasts, and its figures when they were last read.

    Args:
        pipeline: whose run it is; it is not kept alive.
        loop: the event loop that it works in.
        names: what all is called.
        with_durations: whether what fell into the buckets of durations is read, too.
    """

    def __init__(
        self, pipeline: Pipeline, loop: AbstractEventLoop, names: Names, *, with_durations: bool
    ) -> None:
        self._pipeline = ref(pipeline)
        self._loop = loop
        self._names = names
        self._with_durations = with_durations
        stats = pipeline.get_stats()
        self.run_id = stats.run_id
        self.reading = read(pipeline, stats, names, with_durations=with_durations)

    def read(self) -> Reading | None:
        """Return its figures as they are now; None if it was left behind without an end."""
        pipeline = self._pipeline()
        if pipeline is None or self._loop.is_closed():
            return None
        stats = pipeline.get_stats()
        if stats.run_id != self.run_id:
            return None
        return read(pipeline, stats, self._names, with_durations=self._with_durations)


class Ledger:
    """Sums the figures of runs; they are read, and runs begin and end, from any thread.

    In a process that was forked, counting starts anew: the runs are the parent's, which shows them.
    """

    def __init__(self) -> None:
        self.forget()
        _ledgers.add(self)

    def forget(self) -> None:
        """Start from nothing, whatever another thread was about to do."""
        self._lock = Lock()
        self.names = Names()
        self._live: dict[str, LiveRun] = {}
        self._ended = Reading()

    def begin(
        self, pipeline: Pipeline, loop: AbstractEventLoop, *, with_durations: bool = False
    ) -> bool:
        """Count a run from now on.

        Args:
            pipeline: whose run it is.
            loop: the event loop that it works in.
            with_durations: whether its durations are counted, too.

        Returns:
            Whether that is new; another plugin may have told of the run.
        """
        with self._lock:
            run = LiveRun(pipeline, loop, self.names, with_durations=with_durations)
            return self._live.setdefault(run.run_id, run) is run

    def finish(self, pipeline: Pipeline) -> None:
        """Keep the totals of the run of a pipeline that ends, and forget the run."""
        with self._lock:
            run = self._live.get(pipeline.get_stats().run_id)
            if run is not None:
                self._update(run, run.read())
                self._close(run)

    def read(self) -> Reading:
        """Return all figures as they are now.

        A run that was left behind without an end, its event loop closed or its pipeline collected,
        is closed with the figures that were read last.
        """
        with self._lock:
            live = list(self._live.values())
        readings = [(run, run.read()) for run in live]  # without the lock, because it takes long
        with self._lock:
            for run, reading in readings:
                self._update(run, reading)
            sums = self._ended.copy()
            for run in self._live.values():
                sums.add(run.reading, is_over=False)
            return sums

    def _update(self, run: LiveRun, reading: Reading | None) -> None:
        """Take over what was read of a run; that counts no more if it has ended since."""
        if reading is None:
            self._close(run)
        else:
            run.reading.rise(reading)

    def _close(self, run: LiveRun) -> None:
        if self._live.pop(run.run_id, None) is not None:
            self._ended.add(run.reading, is_over=True)


_ledgers: WeakSet[Ledger] = WeakSet()


def _forget_all() -> None:
    for ledger in _ledgers:
        ledger.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
