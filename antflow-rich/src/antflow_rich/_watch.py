"""From snapshots of a run to scenes: rates and what follows from several snapshots, smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan

from antflow import DashboardSnapshot, ErrorSummary, FailedItem, PipelineStats, StageStats

from ._reading import counts_of, failure_of, latest_failures, stage_scene, worker_scenes
from ._scene import STATES, Counts, ErrorGroup, Scene, Shares, StageScene
from ._smoothing import History, Lately, shares_of
from ._texts import one_line

RATE_MEMORY = 5.0
"""Seconds that a rate looks back, about."""

LEFT_MEMORY = 30.0
"""The same for the time that is left, which should not jump."""

LONGEST_LEFT = 100 * 86400.0
"""Seconds; what takes longer cannot be said to end."""

FULLY_AT_WORK = 0.7
"""What part of its workers' time a stage spends on items that holds up the others."""


ABOUT = 0.05
"""Parts of the time that are no further apart are about the same."""

_NO_ITEMS = Lately(RATE_MEMORY)
_NO_TIME = Lately(RATE_MEMORY, (0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class _StageMemory:
    """What is remembered of a stage between two snapshots.

    Args:
        ended: items that had left it.
        seconds: worker-seconds in each of `STATES`.
        rate: items that left it lately.
        shares: worker-seconds in each state lately.
    """

    ended: int
    seconds: tuple[float, ...]
    rate: Lately = _NO_ITEMS
    shares: Lately = _NO_TIME

    @classmethod
    def of(cls, stats: StageStats) -> _StageMemory:
        """Return what is to be remembered of a first snapshot."""
        ended = stats.completed_items + stats.failed_items + stats.dropped_items
        return cls(ended, tuple(stats.seconds.get(state, 0.0) for state in STATES))

    def after(self, stats: StageStats, passed: float) -> _StageMemory:
        """Return what is to be remembered after so many seconds more."""
        if passed <= 0:
            return self
        now = self.of(stats)
        spent = [max(new - old, 0.0) for new, old in zip(now.seconds, self.seconds, strict=True)]
        return _StageMemory(
            now.ended,
            now.seconds,
            self.rate.after((now.ended - self.ended,), passed),
            self.shares.after(spent, passed),
        )


class Watch:
    """Turns the snapshots of one run, one after the other, into scenes.

    It has no clock: what it returns follows from what it was given.

    Args:
        pipeline_name: the pipeline's name.
        total_items: how many items there are to be; None where that is unknown.
    """

    def __init__(self, pipeline_name: str, total_items: int | None) -> None:
        self._name = one_line(pipeline_name)
        self._total = total_items
        self._began: float | None = None
        self._last = 0.0
        self._done = 0
        self._rate = Lately(RATE_MEMORY)
        self._pace = Lately(LEFT_MEMORY)
        self._history = History()
        self._stages: dict[str, _StageMemory] = {}
        self._examples: dict[str, FailedItem] = {}
        self._scene = Scene(self._name, Counts(total_items))

    def update(
        self, snapshot: DashboardSnapshot, now: float, faults: Mapping[str, int] | None = None
    ) -> Scene:
        """Return what is to be shown now.

        Args:
            snapshot: the run's present state.
            now: seconds on a clock that never goes back.
            faults: exceptions that plugins raised, by plugin; None for those of the last time.
        """
        stats = snapshot.pipeline_stats
        counts = counts_of(stats, self._total)
        self._learn(stats, counts.done, now)
        self._scene = Scene(
            name=self._name,
            counts=counts,
            elapsed=self._elapsed,
            rate=self._rate.rate,
            left=time_left(counts, self._pace.rate),
            stages=self._stage_scenes(stats),
            workers=worker_scenes(snapshot),
            busy_workers=sum(state.status == "busy" for state in snapshot.worker_states.values()),
            groups=self._groups(snapshot.error_summary, snapshot.timestamp),
            failures=latest_failures(snapshot.error_summary, snapshot.timestamp),
            history=self._history.rates,
            span=self._history.span,
            faults=dict(self._scene.faults if faults is None else faults),
        )
        return self._scene

    def end(
        self,
        snapshot: DashboardSnapshot | None,
        summary: ErrorSummary,
        now: float,
        faults: Mapping[str, int] | None = None,
        *,
        was_interrupted: bool = False,
    ) -> Scene:
        """Return what is to be shown of the run when it is over.

        Args:
            snapshot: its last state; None for that of the last update.
            summary: what failed.
            now: as for `update`.
            faults: as for `update`.
            was_interrupted: whether the run was stopped; it is taken to be where items are left.
        """
        if snapshot is not None:
            self.update(snapshot, now, faults)
        scene = self._scene
        counts = replace(scene.counts, failed=max(scene.counts.failed, summary.total_failed))
        elapsed = self._elapsed
        return replace(
            scene,
            counts=counts,
            rate=counts.done / elapsed if elapsed > 0 else 0.0,
            left=None,
            stages=tuple(replace(stage, is_bottleneck=False) for stage in scene.stages),
            groups=self._groups(summary, snapshot.timestamp if snapshot is not None else nan),
            faults=dict(scene.faults if faults is None else faults),
            has_ended=True,
            was_interrupted=was_interrupted or counts.unprocessed > 0,
        )

    @property
    def _elapsed(self) -> float:
        return self._last - self._began if self._began is not None else 0.0

    def _learn(self, stats: PipelineStats, done: int, now: float) -> None:
        if self._began is None:
            self._began, self._last, self._done = now, now, done
        passed = max(now - self._last, 0.0)
        came = max(done - self._done, 0)
        self._last = max(now, self._last)
        self._stages = {
            name: self._stages[name].after(stage, passed)
            if name in self._stages
            else _StageMemory.of(stage)
            for name, stage in stats.stage_stats.items()
        }
        if passed <= 0:
            return
        self._done = done
        self._rate = self._rate.after((came,), passed)
        self._pace = self._pace.after((came,), passed)
        self._history = self._history.after(came, passed)

    def _stage_scenes(self, stats: PipelineStats) -> tuple[StageScene, ...]:
        scenes = [
            stage_scene(stage, memory.rate.rate, memory.shares.shares, shares_of(memory.seconds))
            for stage, memory in zip(stats.stage_stats.values(), self._stages.values(), strict=True)
        ]
        slowest = bottleneck(scenes)
        return tuple(replace(each, is_bottleneck=each is slowest) for each in scenes)

    def _groups(self, summary: ErrorSummary, now: float) -> tuple[ErrorGroup, ...]:
        seen = {failed.error_type: failed for failed in summary.failed_items}
        known = self._examples | seen
        self._examples = {name: known[name] for name in summary.errors_by_type if name in known}
        most_first = sorted(summary.errors_by_type.items(), key=lambda entry: -entry[1])
        return tuple(
            ErrorGroup(
                one_line(name),
                count,
                failure_of(self._examples[name], now) if name in self._examples else None,
            )
            for name, count in most_first
        )


def time_left(counts: Counts, rate: float) -> float | None:
    """Return the seconds that the rest takes at this rate; None where that cannot be said."""
    if counts.total is None or not counts.done:
        return None
    if not counts.remaining:
        return 0.0
    left = counts.remaining / rate if rate > 0 else LONGEST_LEFT
    return left if left < LONGEST_LEFT else None


def bottleneck(stages: list[StageScene]) -> StageScene | None:
    """Return the stage that holds up the others: its workers are at work most of the time.

    Of several that are about equally busy it is the one with the fullest queue in front.
    """
    if len(stages) < 2:
        return None

    most = max(at_work(stage.lately) for stage in stages)
    if most < FULLY_AT_WORK:
        return None
    busiest = [stage for stage in stages if at_work(stage.lately) >= most - ABOUT]
    return max(busiest, key=fullness)


def fullness(stage: StageScene) -> float:
    """Return how full the queue in front of a stage is; without a bound, one that is there is."""
    return stage.pending / stage.capacity if stage.capacity else float(stage.pending > 0)


def at_work(shares: Shares) -> float:
    """Return the part of the time in which workers have an item, waits for a retry included."""
    return shares[0] + shares[1]
