"""What is remembered of a stage from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from antflow import StageStats

from ._reading import stage_scene
from ._scene import STATES, Shares, StageScene
from ._smoothing import Lately, shares_of

RATE_MEMORY = 5.0
"""Seconds that a rate looks back, about."""

_NO_ITEMS = Lately(RATE_MEMORY)
_NO_TIME = Lately(RATE_MEMORY, (0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class StageMemory:
    """What is remembered of a stage between two snapshots.

    Args:
        ended: items that had left it.
        seconds: worker-seconds in each of `STATES`.
        workers: how many it has, or had before the run was over.
        rate: items that left it lately.
        shares: worker-seconds in each state lately.
    """

    ended: int
    seconds: tuple[float, ...]
    workers: int
    rate: Lately = _NO_ITEMS
    shares: Lately = _NO_TIME

    @classmethod
    def of(cls, stats: StageStats) -> StageMemory:
        """Return what is to be remembered of a first snapshot."""
        ended = stats.completed_items + stats.failed_items + stats.dropped_items
        seconds = tuple(stats.seconds.get(state, 0.0) for state in STATES)
        return cls(ended, seconds, sum(stats.workers.values()))

    def after(self, stats: StageStats, passed: float) -> StageMemory:
        """Return what is to be remembered after so many seconds more."""
        if passed <= 0:
            return self
        now = self.of(stats)
        spent = [max(new - old, 0.0) for new, old in zip(now.seconds, self.seconds, strict=True)]
        return StageMemory(
            now.ended,
            now.seconds,
            max(now.workers, self.workers),
            self.rate.after((now.ended - self.ended,), passed),
            self.shares.after(spent, passed),
        )

    def scene(self, stats: StageStats) -> StageScene:
        """Return the stage as it is shown."""
        return replace(
            stage_scene(stats),
            workers=self.workers,
            rate=self.rate.rate,
            lately=as_shares(self.shares.shares),
            overall=as_shares(shares_of(self.seconds)),
        )


def as_shares(four: Sequence[float]) -> Shares:
    """Return shares of the four states as what they are."""
    busy, waiting, blocked, idle = four
    return busy, waiting, blocked, idle
