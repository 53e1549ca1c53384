"""Which stage holds up the others."""

from __future__ import annotations

from typing import Any

import pytest

from antflow import LimitStats, PipelineStats, StageStats
from antflow.stats import BOTTLENECK_LOAD, ActivityState, find_bottleneck

STATES: tuple[ActivityState, ...] = ("busy", "waiting", "blocked", "idle")
Shares = tuple[float, float, float, float]
AT_WORK, BLOCKED, IDLE = (0.95, 0.0, 0.0, 0.05), (0.2, 0.0, 0.8, 0.0), (0.1, 0.0, 0.0, 0.9)
LESS, MORE = BOTTLENECK_LOAD - 0.01, BOTTLENECK_LOAD + 0.01


def stage(
    name: str,
    shares: Shares,
    pending: int = 0,
    capacity: int | None = 10,
    limit_wait_share: float = 1.0,
    **limited: int,
) -> StageStats:
    seconds = {state: 7 * share for state, share in zip(STATES, shares, strict=True)}
    fields: dict[str, Any] = {"capacity": capacity, "seconds": seconds}
    limits = {limit: LimitStats(waiting, 0) for limit, waiting in limited.items()}
    fields |= {"limits": limits, "limit_wait_share": limit_wait_share}
    return StageStats(name, pending, 0, 0, 0, **fields)


CASES: dict[str, tuple[list[StageStats], str | None]] = {
    "always at work": ([stage("a", BLOCKED, 10), stage("b", AT_WORK, 10), stage("c", IDLE)], "b"),
    "waits for a limit, and items queue": (
        [stage("a", BLOCKED), stage("b", (0.1, 0.85, 0.0, 0.05), 3)],
        "b",
    ),
    "waits for keys of a limit, and nothing is pending": (
        [stage("a", BLOCKED, 10), stage("b", (0.1, 0.85, 0.0, 0.05), hosts=3, tokens=0)],
        "b",
    ),
    "has a limit, and only waits for retries": (
        [stage("a", IDLE), stage("b", (0.1, 0.85, 0.0, 0.05), 0, 10, 0.0, hosts=0)],
        None,
    ),
    "equally busy, more that waits for keys": (
        [stage("a", AT_WORK, 8), stage("b", AT_WORK, 2, hosts=9), stage("c", AT_WORK, 3, tokens=3)],
        "b",
    ),
    "only waits for retries, beside one that is always busy": (
        [stage("a", (1.0, 0.0, 0.0, 0.0), 10), stage("b", (0.45, 0.55, 0.0, 0.0))],
        "a",
    ),
    "only waits for retries, and one has just become due": (
        [stage("a", (0.9, 0.0, 0.0, 0.1), 1), stage("b", (0.45, 0.55, 0.0, 0.0), 5, 10, 0.0)],
        "a",
    ),
    "only waits for retries": ([stage("a", IDLE), stage("b", (0.45, 0.55, 0.0, 0.0))], None),
    "equally busy, fuller queue": (
        [stage("a", AT_WORK, 1), stage("b", (0.96, 0.0, 0.0, 0.04)), stage("c", AT_WORK, 9)],
        "c",
    ),
    "equally busy, a queue without a bound": (
        [stage("a", AT_WORK, 1), stage("b", AT_WORK, 500, None)],
        "b",
    ),
    "all wait for the input": ([stage("a", IDLE), stage("b", IDLE)], None),
    "no stage": ([], None),
    "a stage alone": ([stage("a", AT_WORK)], None),
    "at work a part of the time": (
        [stage("a", IDLE), stage("b", (LESS, 0.0, 0.0, 1 - LESS), 10)],
        None,
    ),
    "at work long enough": ([stage("a", IDLE), stage("b", (MORE, 0.0, 0.0, 1 - MORE))], "b"),
    "no time has passed": ([stage("a", (0, 0, 0, 0)), stage("b", (0, 0, 0, 0))], None),
}


@pytest.mark.parametrize(("stages", "expected"), CASES.values(), ids=CASES)
def test_the_bottleneck(stages: list[StageStats], expected: str | None) -> None:
    assert find_bottleneck(stages) == expected
    stats = PipelineStats(0, 0, 0, {}, {each.stage_name: each for each in stages})
    assert stats.bottleneck == expected
