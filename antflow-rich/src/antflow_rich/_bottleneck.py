"""Which stage holds up the others."""

from __future__ import annotations

from collections.abc import Sequence

from ._scene import Shares, StageScene

FULLY_AT_WORK = 0.7
"""What part of its workers' time a stage spends on items that holds up the others."""

ABOUT = 0.05
"""Parts of the time that are no further apart are about the same."""


def bottleneck(stages: Sequence[StageScene]) -> StageScene | None:
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
