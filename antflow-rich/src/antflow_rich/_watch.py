"""From snapshots of a run to scenes: rates and what follows from several snapshots, smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import nan

from antflow import DashboardSnapshot, ErrorSummary, FailedItem, PipelineStats
from antflow.stats import find_bottleneck

from ._reading import counts_of, failure_of, latest_failures, worker_scenes
from ._scene import STATES, Counts, ErrorGroup, Scene, StageScene
from ._smoothing import History, Lately
from ._stage_memory import RATE_MEMORY, StageMemory
from ._texts import one_line

LEFT_MEMORY = 30.0
"""Seconds that the time that is left looks back, about; it should not jump."""

LONGEST_LEFT = 100 * 86400.0
"""Seconds; what takes longer cannot be said to end."""


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
        self._stages: dict[str, StageMemory] = {}
        self._examples: dict[str, FailedItem] = {}
        self._scene = Scene(self._name, Counts(total_items))

    def update(self, snapshot: DashboardSnapshot, now: float, faults: Mapping[str, int]) -> Scene:
        """Return what is to be shown now.

        Args:
            snapshot: the run's present state.
            now: seconds on a clock that never goes back.
            faults: exceptions that plugins raised, by plugin.
        """
        stats = snapshot.pipeline_stats
        counts = counts_of(stats, self._total, snapshot.input_fraction)
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
            faults=dict(faults),
        )
        return self._scene

    def end(self, summary: ErrorSummary, faults: Mapping[str, int]) -> Scene:
        """Return what is to be shown when the run is over, its last state having been told.

        Args:
            summary: what failed.
            faults: exceptions that plugins raised, by plugin.
        """
        scene = self._scene
        counts = replace(scene.counts, failed=max(scene.counts.failed, summary.total_failed))
        elapsed = self._elapsed
        return replace(
            scene,
            counts=counts,
            rate=counts.done / elapsed if elapsed > 0 else 0.0,
            left=None,
            stages=tuple(replace(stage, is_bottleneck=False) for stage in scene.stages),
            groups=self._groups(summary, nan),
            faults=dict(faults),
            was_interrupted=counts.remaining > 0,
        )

    @property
    def _elapsed(self) -> float:
        return self._last - self._began if self._began is not None else 0.0

    def _learn(self, stats: PipelineStats, done: int, now: float) -> None:
        if self._began is None:
            self._began, self._last, self._done = now, now, done
        passed = now - self._last
        came = max(done - self._done, 0)
        self._last = max(now, self._last)
        self._stages = {
            name: self._stages[name].after(stage, passed)
            if name in self._stages
            else StageMemory.of(stage)
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
            memory.scene(stage)
            for stage, memory in zip(stats.stage_stats.values(), self._stages.values(), strict=True)
        ]
        recent = [
            replace(stage, seconds=dict(zip(STATES, scene.lately, strict=True)))
            for stage, scene in zip(stats.stage_stats.values(), scenes, strict=True)
        ]
        bottleneck = find_bottleneck(recent)
        return tuple(
            replace(scene, is_bottleneck=stage.stage_name == bottleneck)
            for stage, scene in zip(recent, scenes, strict=True)
        )

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
    expected = counts.expected
    if expected is None or not counts.done:
        return None
    if not expected:
        return 0.0
    left = expected / rate if rate > 0 else LONGEST_LEFT
    return left if left < LONGEST_LEFT else None
