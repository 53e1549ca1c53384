"""What a stage with limits waits for, and how its workers' time counts meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Limit, LimitStats, Pipeline, RetryAfter, Stage, StageStats
from tests.helpers.runs import piped, same, stage, watched_or_not
from tests.helpers.simulated import simulated


async def second(value: int) -> int:
    await asyncio.sleep(1)
    return value


def odd(value: int) -> int | None:
    return value % 2 or None


def figures(pipeline: Pipeline) -> StageStats:
    return pipeline.get_stats().stage_stats["Work"]


# Each stage has four workers and ten items; the figures are those after half a second.
SITUATIONS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str | None, dict[str, int]]] = {
    "a rate": (
        [{"rate": 1, "per": 100, "name": "rate"}],
        {},
        "rate",
        {"busy": 1, "waiting": 3, "pending": 9, "parked": 0, "rate": 9},
    ),
    "attempts at once": (
        [{"concurrency": 2, "name": "calls"}],
        {},
        "calls",
        {"busy": 2, "waiting": 2, "pending": 8, "parked": 0, "calls": 8},
    ),
    "a limit that lets more start than there are workers": (
        [{"concurrency": 9, "name": "calls"}],
        {},
        None,
        {"busy": 4, "waiting": 0, "pending": 6, "parked": 0, "calls": 0},
    ),
    "keys": (
        [{"concurrency": 1, "key": lambda value: value % 3, "name": "hosts"}],
        {},
        "hosts",
        {"busy": 3, "waiting": 1, "pending": 0, "parked": 7, "hosts": 7},
    ),
    "a key of some items, while the others pass": (
        [{"rate": 1, "per": 100, "key": odd, "name": "odd"}],
        {},
        "odd",
        {"busy": 4, "waiting": 0, "pending": 5, "parked": 1, "odd": 1},
    ),
    "two limits, of which one holds back": (
        [{"concurrency": 3, "name": "calls"}, {"concurrency": 1, "name": "one"}],
        {},
        "one",
        {"busy": 1, "waiting": 3, "pending": 9, "parked": 0, "calls": 0, "one": 9},
    ),
    "keys, of which all are free, and a rate": (
        [
            {"rate": 3, "per": 100, "burst": 3, "name": "rate"},
            {"rate": 1, "per": 0.001, "key": lambda value: value % 2, "name": "hosts"},
        ],
        {},
        "rate",
        {"busy": 3, "waiting": 1, "pending": 0, "parked": 7, "rate": 7, "hosts": 0},
    ),
    "a pull stage": (
        [{"concurrency": 1, "name": "calls"}],
        {"pull": True},
        "calls",
        {"busy": 1, "waiting": 3, "pending": 0, "parked": 0, "calls": 1},  # one worker sends
    ),
}


@watched_or_not
@pytest.mark.parametrize(
    ("limits", "fields", "waits_for", "expected"), SITUATIONS.values(), ids=SITUATIONS
)
@simulated()
async def test_a_stage_says_what_it_waits_for(
    limits: list[dict[str, Any]],
    fields: dict[str, Any],
    waits_for: str | None,
    expected: dict[str, int],
    watched: bool,
) -> None:
    new = [Limit(**options) for options in limits]
    before = [stage(same, name="Before")] if fields else []  # the first stage cannot pull
    work = stage(second, workers=4, limits=new, **fields)
    pipeline = piped(*before, work, watched=watched)
    await pipeline.start()
    await pipeline.feed(range(10))
    await asyncio.sleep(0.5)
    stats = figures(pipeline)
    assert stats.waits_for == waits_for
    waiting = {name: limit.waiting for name, limit in stats.limits.items()}
    assert expected == {
        "busy": stats.workers["busy"],
        "waiting": stats.workers["waiting"],
        "pending": stats.pending_items,
        "parked": stats.parked_items,
        **waiting,
    }
    assert stats.in_progress_items == expected["busy"]
    await pipeline.shutdown(timeout=0)
    stats = figures(pipeline)
    assert stats.waits_for is None
    assert stats.seconds["waiting"] == pytest.approx(0.5 * expected["waiting"], rel=0.01)


@pytest.mark.parametrize("key", [None, lambda value: "all"], ids=["without keys", "with keys"])
@simulated()
async def test_a_stage_that_waits_for_a_limit_is_the_bottleneck(key: Any) -> None:
    limit = Limit(rate=1, per=10, key=key, name="tokens")
    stages = [Stage("Work", 4, [second], limits=[limit]), Stage("Next", 4, [second])]
    pipeline = Pipeline(stages, autoload=False)
    await pipeline.start()
    await pipeline.feed(range(10))
    await asyncio.sleep(45)
    assert pipeline.get_stats().bottleneck == "Work"
    await pipeline.join()


@simulated()
async def test_a_pause_is_shown_until_it_ends() -> None:
    async def refused(value: int) -> int:
        if not tried:
            tried.append(value)
            raise RetryAfter(30, pause=True)
        return value

    tried: list[int] = []
    limit = Limit(concurrency=5, name="tokens")
    pipeline = piped(stage(refused, workers=1, limits=[limit]))
    await pipeline.start()
    await pipeline.feed(range(3))
    await asyncio.sleep(10)
    snapshot = pipeline.get_dashboard_snapshot()
    stats = snapshot.pipeline_stats.stage_stats["Work"]
    assert stats.waits_for == "tokens"
    until = stats.limits["tokens"].paused_until
    assert until is not None
    assert until - snapshot.timestamp == pytest.approx(20, abs=0.01)
    await pipeline.join()
    assert figures(pipeline).limits["tokens"].paused_until is None


def test_of_several_limits_it_is_the_one_that_most_items_wait_for() -> None:
    limits = {name: LimitStats(waiting, 0) for name, waiting in {"a": 3, "b": 12, "c": 0}.items()}
    assert StageStats("Work", 12, 0, 0, 0, limits=limits).waits_for == "b"
    assert StageStats("Work", 12, 0, 0, 0, limits={"c": limits["c"]}).waits_for is None
    assert StageStats("Work", 12, 0, 0, 0).waits_for is None


@simulated()
async def test_the_busiest_keys_are_those_for_which_most_items_wait() -> None:
    limit = Limit(concurrency=1, per=1000, key=lambda value: value, name="hosts")
    pipeline = piped(stage(second, workers=50, limits=[limit]))
    await pipeline.run(range(100))
    await pipeline.start()
    await pipeline.feed([70, *[71] * 3, *[72] * 2])
    await asyncio.sleep(0.5)
    stats = limit.stats()
    assert (stats.keys, len(stats.busiest)) == (100, 20)
    assert [(each.key, each.waiting, each.in_use) for each in stats.busiest[:4]] == [
        (71, 2, 1), (72, 1, 1), (70, 0, 1), (stats.busiest[3].key, 0, 0)
    ]  # fmt: skip
    await pipeline.join()
