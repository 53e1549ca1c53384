"""Other work on the event loop has its turns beside tasks that compute."""

from __future__ import annotations

import asyncio

import pytest

from antflow import Limit, Pipeline
from antflow.testing import Clock
from tests.helpers.runs import piped, stage


@pytest.mark.parametrize("workers", [1, 10, 30])
@pytest.mark.parametrize("limits", [[], [Limit(rate=1e9)]], ids=["no limit", "a limit"])
@pytest.mark.parametrize("watched", [False, True])
def test_tasks_that_compute_for_long_hold_few_turns_in_a_row(
    workers: int, limits: list[Limit], watched: bool
) -> None:
    clock, computed, longest = Clock(), 0, 0

    async def compute(value: int) -> int:
        nonlocal computed
        clock.advance(0.05)
        computed += 1
        return value

    async def do_other_work() -> None:
        nonlocal longest
        while True:
            before = computed
            await asyncio.sleep(0.001)
            longest = max(longest, computed - before)

    async def main() -> None:
        other_work = asyncio.create_task(do_other_work())
        pipeline: Pipeline[int, int] = piped(
            stage(compute, workers=workers, limits=limits), watched=watched
        )
        await pipeline.run(range(90))
        other_work.cancel()

    clock.run(main())
    assert computed == 90
    assert longest <= 8  # three turns, and two items in some
